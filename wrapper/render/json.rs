//! Pieces that several JSON documents share. Field names are a promise.

use serde_json::{Map, Value, json};
use shmwarden::judge::Holder;
use shmwarden::object::{Bytes, Identity, Key};

use super::text;

/// The version of every document.
pub(crate) const SCHEMA: u32 = 1;

/// Kind, id, name, key and size of an object.
pub(crate) fn identity(identity: &Identity) -> Map<String, Value> {
    let mut out = Map::new();
    out.insert("kind".into(), identity.kind().into());
    match identity {
        Identity::Shm(segment) => system_v(&mut out, segment.id, segment.key),
        Identity::Posix(file) => {
            out.insert("id".into(), Value::Null);
            name(&mut out, &file.name);
            out.insert("key".into(), Value::Null);
        }
        Identity::Sem(set) => system_v(&mut out, set.id, set.key),
        Identity::Msg(queue) => system_v(&mut out, queue.id, queue.key),
    }
    out.insert("bytes".into(), identity.bytes().into());
    out
}

fn system_v(out: &mut Map<String, Value>, id: i32, key: Key) {
    out.insert("id".into(), id.into());
    out.insert("name".into(), Value::Null);
    out.insert("key".into(), key.to_string().into());
}

/// A name, lossily, and exactly as `name_bytes` where it is no text.
fn name(out: &mut Map<String, Value>, name: &Bytes) {
    out.insert("name".into(), name.lossy().into());
    if let Some(bytes) = name_bytes(name) {
        out.insert("name_bytes".into(), bytes.into());
    }
}

/// A name exactly, where it is no text.
pub(crate) fn name_bytes(name: &Bytes) -> Option<String> {
    let is_text = std::str::from_utf8(&name.0).is_ok();
    (!is_text).then(|| base64(&name.0))
}

/// A holder.
pub(crate) fn holder(holder: &Holder, instance: &str) -> Value {
    json!({
        "pid": holder.process.pid,
        "uid": holder.uid,
        "user": holder.uid.map(text::user),
        "command": holder.command,
        "state": holder.state.to_string(),
        "since": since(holder.process.start),
        "attachments": holder.attachments,
        "instance": if holder.orphan { Some(instance) } else { None },
        "orphan": holder.orphan,
        "advice": holder.advice(),
    })
}

/// Returns when a process began, from its start time in clock ticks since boot.
pub(crate) fn since(start_ticks: u64) -> Option<String> {
    let now = shmwarden::snapshot::boot_ticks();
    let ticks_a_second = shmwarden::snapshot::ticks_a_second();
    let ago = now.checked_sub(start_ticks)?.checked_div(ticks_a_second)?;
    let then = std::time::SystemTime::now().checked_sub(std::time::Duration::from_secs(ago))?;
    Some(humantime::format_rfc3339_seconds(then).to_string())
}

/// A time, RFC 3339.
pub(crate) fn time(time: std::time::SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// RFC 4648 base64 with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = chunk
            .iter()
            .enumerate()
            .fold(0_u32, |group, (index, &byte)| group | u32::from(byte) << (16 - 8 * index));
        for place in 0..4 {
            let digit = (group >> (18 - 6 * place)) & 63;
            let digit = DIGITS.get(digit as usize).copied().unwrap_or(b'=');
            out.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd, 0x00]), "//79AA==");
    }
}

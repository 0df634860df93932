//! Pieces that several JSON documents share. Field names are a promise.

use serde::Serialize;
use serde_json::{Map, Value};
use shmwarden::judge;
use shmwarden::object::{Bytes, Identity};

/// The version of every document.
pub(crate) const SCHEMA: u32 = 1;

/// Describes an object by its identity, where that is known, and by the fields of `more`, which
/// count where both have one.
pub(crate) fn object(identity: Option<&Identity>, more: Value) -> Value {
    let mut out = identity.map(fields).unwrap_or_default();
    if let Value::Object(more) = more {
        out.extend(more);
    }
    Value::Object(out)
}

/// Kind, id, name, key and size of an object.
fn fields(identity: &Identity) -> Map<String, Value> {
    let (id, key, name) = match identity {
        Identity::Shm(segment) => (Some(segment.id), Some(segment.key), None),
        Identity::Posix(file) => (None, None, Some(&file.name)),
        Identity::Sem(set) => (Some(set.id), Some(set.key), None),
        Identity::Msg(queue) => (Some(queue.id), Some(queue.key), None),
    };
    let mut out = Map::new();
    out.insert("kind".into(), identity.kind().into());
    out.insert("id".into(), id.into());
    out.insert("name".into(), name.map(Bytes::lossy).into());
    if let Some(bytes) = name.and_then(name_bytes) {
        out.insert("name_bytes".into(), bytes.into());
    }
    out.insert("key".into(), key.map(|key| key.to_string()).into());
    out.insert("bytes".into(), identity.bytes().into());
    out
}

/// A name exactly, where it is no text.
pub(crate) fn name_bytes(name: &Bytes) -> Option<String> {
    let is_text = std::str::from_utf8(&name.0).is_ok();
    (!is_text).then(|| base64(&name.0))
}

/// A process that holds an object.
#[derive(Debug, Serialize)]
pub(crate) struct Holder<'a> {
    pid: i32,
    uid: Option<u32>,
    user: Option<String>,
    command: String,
    state: char,
    since: Option<String>,
    attachments: u64,
    #[serde(rename = "use", skip_serializing_if = "Option::is_none")]
    how: Option<&'static str>,
    instance: Option<&'a str>,
    orphan: bool,
    advice: Option<String>,
}

impl<'a> Holder<'a> {
    /// Describes a holder; `how` is its use of the object, where the document says that.
    pub(crate) fn of(
        holder: &judge::Holder,
        user: Option<String>,
        how: Option<&'static str>,
        instance: Option<&'a str>,
    ) -> Self {
        Self {
            pid: holder.process.pid,
            uid: holder.uid,
            user,
            command: holder.command.clone(),
            state: holder.state,
            since: since(holder.process.start),
            attachments: holder.attachments,
            how,
            instance,
            orphan: holder.orphan,
            advice: holder.advice(),
        }
    }
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

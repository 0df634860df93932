//! Log sentences and small pieces of text.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use shmwarden::judge::Holder;
use shmwarden::object::Identity;
use shmwarden::sweep::{Fate, Report, Settled, State};

/// A size for people, in powers of 1024; whole bytes below 1 KiB.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    // The loss of precision of a float is far below what is printed.
    #[allow(clippy::cast_precision_loss)]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = UNITS.iter();
    let mut name = unit.next().copied().unwrap_or_default();
    for next in unit {
        if value < 1023.95 {
            break;
        }
        value /= 1024.0;
        name = next;
    }
    format!("{value:.1} {name}")
}

/// An object with its size, as log lines name it.
pub(crate) fn object(identity: &Identity) -> String {
    match (identity, identity.bytes()) {
        (_, Some(bytes)) => format!("{identity}, {}", size(bytes)),
        (Identity::Sem(set), None) if set.nsems == 1 => format!("{identity}, 1 semaphore"),
        (Identity::Sem(set), None) => format!("{identity}, {} semaphores", set.nsems),
        (_, None) => identity.to_string(),
    }
}

/// A foreign string that is safe for a terminal and of bounded length.
pub(crate) fn safe(text: &str) -> String {
    const LONGEST: usize = 200;
    let mut escaped = String::new();
    for character in text.chars().take(LONGEST) {
        match character {
            '\'' | '"' => escaped.push(character),
            other => escaped.extend(other.escape_debug()),
        }
    }
    if text.chars().nth(LONGEST).is_some() { format!("{escaped}...") } else { escaped }
}

/// A foreign string that is safe for a terminal, whole.
pub(crate) fn escaped(text: &str) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\') {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' => out.push(c),
            c => out.extend(c.escape_debug()),
        }
    }
    out
}

/// A line that is to be copied (a command, a line of a file): as it is but for what a terminal
/// would act on.
pub(crate) fn verbatim(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for c in line.chars() {
        match c {
            '\t' | '\\' | '"' | '\'' => out.push(c),
            c => out.extend(c.escape_debug()),
        }
    }
    out
}

/// A word of a command that is printed, as a shell takes it. What a terminal would act on, or is
/// not text, is written as bash, ksh, zsh and POSIX 2024 read it (`$'...'`).
pub(crate) fn word(word: &OsStr) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-@:+,=%".contains(c);
    match word.to_str() {
        Some(text) if !text.is_empty() && text.chars().all(is_plain) => text.to_owned(),
        Some(text) if text.chars().all(|c| c == '\\' || c == '\'' || c.escape_debug().eq([c])) => {
            format!("'{}'", text.replace('\'', "'\\''"))
        }
        _ => {
            let mut out = "$'".to_owned();
            for &byte in word.as_bytes() {
                match byte {
                    b'\'' | b'\\' => out.extend(['\\', char::from(byte)]),
                    b' '..=b'~' => out.push(char::from(byte)),
                    // Always three digits: what stands behind may be one.
                    byte => out.push_str(&format!("\\{byte:03o}")),
                }
            }
            out + "'"
        }
    }
}

/// A user by name, or by number where the account is gone.
pub(crate) fn user(uid: u32) -> String {
    user_name(uid).map_or_else(|| uid.to_string(), |name| safe(&name))
}

/// The name of a user as the user database has it, `None` where the account is gone.
pub(crate) fn user_name(uid: u32) -> Option<String> {
    let known = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid)).ok().flatten();
    known.map(|user| user.name)
}

/// A holder as a phrase.
pub(crate) fn holder(holder: &Holder) -> String {
    let user = holder.uid.map_or_else(|| "an unknown user".to_owned(), user);
    let times = if holder.attachments > 1 {
        format!(", {} mappings", holder.attachments)
    } else {
        String::new()
    };
    let advice = holder.advice().map_or_else(String::new, |advice| format!(" ({advice})"));
    format!(
        "process {} of {user} (state {}{times}): {}{advice}",
        holder.process.pid,
        holder.state,
        safe(&holder.command)
    )
}

/// The words on a ledger that is a copy, and what to do.
pub(crate) const COPY: &str = "this file is not the one that the ledger was written to (it was \
    copied, restored or cloned), so its free lock proves no death; what nothing else proves dead \
    is kept. Sweep the ledger itself; where that is lost, `run` on this file goes on with it, and \
    `adopt` takes what is left";

/// Logs what a pass did and what it left.
pub(crate) fn log_report(report: &Report) {
    if report.state == State::Copy {
        log::warn!("{COPY}");
    }
    log_changes(report);
    log_kept(report);
}

/// Logs what was removed, and what went wrong.
pub(crate) fn log_changes(report: &Report) {
    for settled in &report.objects {
        let name = object(&settled.identity);
        match &settled.result {
            Fate::Removed => log::info!("removed {name}: {}", settled.evidence),
            Fate::Raced(why) => {
                log::error!("raced for {name}: {why}{}", by(settled));
            }
            Fate::Failed(why) => log::error!("cannot remove {name}: {why}"),
            Fate::Gone => log::debug!("{name} is gone"),
            Fate::Kept(_) | Fate::WouldRemove => {}
        }
    }
}

/// Logs what was kept; not what a living instance uses.
pub(crate) fn log_kept(report: &Report) {
    if let State::Live(evidence) = &report.state {
        if !report.objects.is_empty() {
            log::warn!("nothing is removed: {evidence}");
        }
        return;
    }
    for settled in &report.objects {
        if let Fate::Kept(reason) = &settled.result {
            log::info!("kept {}: {reason}{}", object(&settled.identity), by(settled));
        }
    }
}

/// Logs what is still held after the wait.
pub(crate) fn log_held(report: &Report) {
    log_kept(report);
    let bytes: u64 = report
        .objects
        .iter()
        .filter(|object| matches!(object.result, Fate::Kept(_)))
        .filter_map(|object| object.identity.bytes())
        .sum();
    let what = match bytes {
        0 => "sets or queues".to_owned(),
        bytes => size(bytes),
    };
    log::warn!(
        "{what} of the dead server stay for now; sweep removes them when nobody holds them any more"
    );
}

fn by(settled: &Settled) -> String {
    let names: Vec<String> = settled.holders.iter().map(holder).collect();
    if names.is_empty() { String::new() } else { format!("; held by {}", names.join("; ")) }
}

/// Appends a number in decimal digits; `write!` takes several times as long.
pub(crate) fn digits(number: u64, out: &mut String) {
    if number >= 10 {
        digits(number / 10, out);
    }
    out.push(char::from(b'0' + u8::try_from(number % 10).unwrap_or(0)));
}

/// A time span in its largest unit.
pub(crate) fn span(seconds: u64, out: &mut String) {
    let (count, unit) = match seconds {
        0..=99 => (seconds, 's'),
        100..=5_999 => (seconds / 60, 'm'),
        6_000..=172_799 => (seconds / 3600, 'h'),
        _ => (seconds / 86400, 'd'),
    };
    digits(count, out);
    out.push(unit);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short_and_round_over_to_the_next_unit() {
        assert_eq!(size(0), "0 B");
        assert_eq!(size(1023), "1023 B");
        assert_eq!(size(1024), "1.0 KiB");
        assert_eq!(size(272_629_760), "260.0 MiB");
        assert_eq!(size((1 << 20) - 1), "1.0 MiB");
        assert_eq!(size(u64::MAX), "16.0 EiB");
    }

    #[test]
    fn control_characters_never_reach_a_terminal() {
        assert_eq!(safe("a\u{1b}[31m\nb"), "a\\u{1b}[31m\\nb");
        assert!(safe(&"x".repeat(100_000)).len() < 300);
    }

    #[test]
    fn spans_are_short() {
        for (seconds, text) in [
            (0, "0s"),
            (99, "99s"),
            (100, "1m"),
            (6000, "1h"),
            (172_800, "2d"),
            (u64::MAX, "213503982334601d"),
        ] {
            let mut said = String::new();
            span(seconds, &mut said);
            assert_eq!(said, text);
        }
    }

    #[test]
    fn a_word_of_a_command_is_one_word_to_a_shell_and_safe_to_print() {
        let of = |bytes: &[u8]| word(OsStr::from_bytes(bytes));
        assert_eq!(of(b"it's"), "'it'\\''s'");
        assert_eq!((of(b""), of(b"/a-b.c@d")), ("''".to_owned(), "/a-b.c@d".to_owned()));
        assert_eq!(of(b"a\\x2db"), "'a\\x2db'");
        for bytes in [&b"/a\n7\x1b[2J'\\b"[..], b"\xff\xfe", "/\u{202e}x".as_bytes(), b"a b$(c)"] {
            let printed = of(bytes);
            assert_eq!(verbatim(&printed), printed, "what is copied is what was meant");
            let script = format!("printf %s {printed}");
            let said = std::process::Command::new("bash").args(["-c", &script]).output().unwrap();
            assert_eq!(said.stdout, bytes, "{printed}");
        }
    }
}

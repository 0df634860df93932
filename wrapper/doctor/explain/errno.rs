//! The errno in a message, in any form that programs print it in, and what each means for shared
//! memory, semaphores and queues. Pure.

use std::sync::LazyLock;

use nix::errno::Errno;
use regex_lite::Regex;

use super::text::{self, Text};

/// The words of `strerror(3)` in the languages of glibc.
static WORDS: LazyLock<Vec<(String, Errno)>> = LazyLock::new(|| {
    let rows = include_str!("strerror.tsv").lines().filter_map(|line| line.split_once('\t'));
    let known =
        rows.filter_map(|(name, words)| Some((text::plain(words).to_lowercase(), named(name)?)));
    known.collect()
});

/// The ways to print the number alone: `errno = 22`, `Error: 28`, `os error 28`, `(28)`, `[28]`.
/// A number in brackets right behind a word is a pid or a line, and 1 a point of a list.
static NUMBER: LazyLock<Option<Regex>> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?:errno|error|error code|error number|failed with status|oserr|uunixerr)",
        r#"[\s:=(\[#"]{1,4}([0-9]{1,3})\b"#
    ))
    .ok()
});
static BRACKETS: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"(?:^|[\s:=\]])[\[(]([0-9]{2,3})(?:\]|\)|: )").ok());

/// The errnos that are known.
static KNOWN: LazyLock<Vec<Errno>> =
    LazyLock::new(|| (1..=133).map(Errno::from_raw).filter(|one| said(*one).is_some()).collect());

/// What an errno says by itself, where it is known.
fn said(errno: Errno) -> Option<&'static str> {
    let name = name(errno);
    let rows = include_str!("meanings.tsv").lines().filter_map(|line| line.strip_prefix("*\t"));
    rows.filter_map(|row| row.split_once('\t')).find(|(one, _)| *one == name).map(|(_, text)| text)
}

/// What an errno says by itself.
pub(crate) fn meaning(errno: Errno) -> &'static str {
    said(errno).unwrap_or("an errno that no call on shared memory gives")
}

/// An errno's name, as `<errno.h>` has it.
pub(crate) fn name(errno: Errno) -> String {
    format!("{errno:?}")
}

fn named(name: &str) -> Option<Errno> {
    KNOWN.iter().copied().find(|errno| self::name(*errno) == name)
}

/// Finds the first errno of a message, and the bytes that say it.
pub(crate) fn find(text: &Text) -> Option<(std::ops::Range<usize>, Errno)> {
    let lower = text.lower();
    let words = WORDS.iter().filter_map(|(words, errno)| {
        let at = lower.find(words.as_str())?;
        Some((at..at + words.len(), *errno))
    });
    let names = KNOWN.iter().filter_map(|errno| {
        let name = name(*errno).to_ascii_lowercase();
        let at = text::word(lower, &name)?;
        Some((at..at + name.len(), *errno))
    });
    let numbers = |pattern: &'static LazyLock<Option<Regex>>| {
        let found = pattern.iter().flat_map(|pattern| pattern.captures_iter(lower));
        found.filter_map(|found| {
            let errno = Errno::from_raw(found.get(1)?.as_str().parse().ok()?);
            KNOWN.contains(&errno).then_some((found.get(0)?.range(), errno))
        })
    };
    // "Too many open files" begins "Too many open files in system".
    let first =
        |(range, _): &(std::ops::Range<usize>, Errno)| (range.start, usize::MAX - range.end);
    let found = words.chain(names).chain(numbers(&NUMBER)).min_by_key(first);
    let found = found.or_else(|| numbers(&BRACKETS).min_by_key(first));
    found.or_else(|| loose(lower))
}

/// A text in lower case without the words and the name of an errno.
pub(crate) fn taken_out(lower: &str, errno: Errno) -> String {
    let words = WORDS.iter().filter(|(_, one)| *one == errno).map(|(words, _)| words.clone());
    let all = words.chain([name(errno).to_ascii_lowercase()]);
    all.fold(lower.to_owned(), |rest, words| rest.replace(&words, " "))
}

/// What may be an errno and may be ordinary words, and the limits that PostgreSQL's hints name:
/// these stay where a message was translated.
fn loose(lower: &str) -> Option<(std::ops::Range<usize>, Errno)> {
    const LOOSE: [(&str, Errno); 9] = [
        ("shmmni", Errno::ENOSPC),
        ("semmni", Errno::ENOSPC),
        ("semmns", Errno::ENOSPC),
        ("shmmax", Errno::EINVAL),
        ("shmall", Errno::ENOMEM),
        ("out of memory", Errno::ENOMEM),
        ("out of resources", Errno::ENOSPC),
        ("not enough space", Errno::ENOSPC),
        ("no such file", Errno::ENOENT),
    ];
    let found = LOOSE.into_iter().filter_map(|(words, errno)| {
        let at = text::word(lower, words)?;
        Some((at..at + words.len(), errno))
    });
    found.min_by_key(|(range, _)| range.start)
}

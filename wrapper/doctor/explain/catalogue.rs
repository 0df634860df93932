//! What PostgreSQL says, in every language that it is shipped in. Pure.

use std::sync::LazyLock;

use super::call::Call;
use super::message::Topic;
use super::text::plain;

const ROWS: &str = include_str!("catalogue.tsv");

/// The rows: what a phrase means, and the phrase, `%` for what the server puts in.
pub(crate) fn rows() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROWS.lines().filter_map(|line| line.split_once('\t'))
}

/// A phrase as the pieces between what the server puts in. Quotes stay: "shared memory segment" is
/// System V's, "shared memory segment \"/name\"" a file.
struct Phrase {
    topic: Topic,
    pieces: Vec<String>,
}

static PHRASES: LazyLock<Vec<Phrase>> = LazyLock::new(|| {
    let known = rows().filter_map(|(what, phrase)| {
        let phrase = plain(phrase).to_lowercase();
        let pieces = phrase.split('%').map(|piece| piece.trim_matches([' ', ':', '.']));
        let pieces = pieces
            .filter(|piece| piece.chars().any(char::is_alphabetic))
            .map(str::to_owned)
            .collect();
        Some(Phrase { topic: topic(what)?, pieces })
    });
    known.collect()
});

fn topic(what: &str) -> Option<Topic> {
    if let Some(name) = what.strip_prefix("call ") {
        return Call::ALL.into_iter().find(|call| call.name() == name).map(Topic::Failed);
    }
    Topic::WORDS.iter().find(|(_, word)| *word == what).map(|(topic, _)| *topic)
}

/// The topic of the longest phrase that a message has, in lower case; nothing within 12 bytes of
/// one is a phrase.
pub(crate) fn find(lower: &str) -> Option<Topic> {
    const SHORTEST: usize = 12;
    let has = |phrase: &&Phrase| {
        let mut rest = lower;
        phrase.pieces.iter().all(|piece| match rest.split_once(piece.as_str()) {
            Some((_, behind)) => {
                rest = behind;
                true
            }
            None => false,
        })
    };
    let length = |phrase: &&Phrase| phrase.pieces.iter().map(String::len).sum::<usize>();
    let found = PHRASES.iter().filter(has).filter(|phrase| length(phrase) >= SHORTEST);
    found.max_by_key(length).map(|phrase| phrase.topic)
}

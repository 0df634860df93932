//! A text that somebody pasted: quotes and spaces made one kind, cut into messages. Pure, and total
//! on any text.

use std::sync::LazyLock;

use super::catalogue;

/// Longest text that is looked at, in bytes.
const MOST_BYTES: usize = 1 << 20;
/// A message has fewer lines.
const MOST_LINES: usize = 12;
/// The last messages of a log that are looked up in every language, however mild.
const MOST_LOOKED_UP: usize = 200;
/// Lines that belong to the one before in a log without severities.
const WINDOW: usize = 4;

/// A message, with one kind of quotes, spaces and colons.
#[derive(Debug, Clone, Default)]
pub(crate) struct Text {
    said: String,
    lower: String,
    /// How bad its writer says it is: 3 ends the server, 2 a query or unknown, 1 neither.
    pub(crate) severity: u8,
    /// Whether it is looked up in every language: in a long log, what ends a server or a query, and
    /// the last lines.
    pub(crate) is_worth_all: bool,
}

impl Text {
    /// A message of these lines.
    fn of(lines: &[&str], severity: u8) -> Self {
        let said = lines.join("\n");
        Self { lower: said.to_lowercase(), said, severity, is_worth_all: true }
    }

    /// The text, in the letters that it was written in.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    /// The text in lower case; its byte positions are its own.
    pub(crate) fn lower(&self) -> &str {
        &self.lower
    }
}

/// Finds a word that is no part of a longer one.
pub(crate) fn word(lower: &str, word: &str) -> Option<usize> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let found = lower.match_indices(word).find(|(at, _)| {
        let before = lower.get(..*at).and_then(|text| text.chars().next_back());
        let after = lower.get(at + word.len()..).and_then(|text| text.chars().next());
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    });
    found.map(|(at, _)| at)
}

/// Makes quotes, spaces and colons one kind.
pub(crate) fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let c = match c {
            '“' | '”' | '„' | '«' | '»' | '「' | '」' | '『' | '』' | '＂' => '"',
            '‘' | '’' | '`' => '\'',
            '：' => ':',
            '（' => '(',
            '）' => ')',
            '\u{a0}' | '\u{202f}' | '\u{3000}' | '\t' => ' ',
            other => other,
        };
        if c != ' ' || !out.ends_with(' ') {
            out.push(c);
        }
    }
    out
}

/// Cuts a text into its messages. What a server writes of a user's query (STATEMENT, CONTEXT) is no
/// message; DETAIL and HINT belong to the one before.
pub(crate) fn messages(text: &str) -> Vec<Text> {
    let end = (0..=MOST_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    let text = text.get(..end.unwrap_or(0)).unwrap_or_default();
    let lines: Vec<Line> = text.lines().map(Line::of).collect();
    if !lines.iter().any(|line| matches!(line.role, Role::Begins(_))) {
        return without_severity(&lines);
    }
    let mut all: Vec<(u8, Vec<&str>)> = Vec::new();
    let mut is_query = false;
    for line in &lines {
        match line.role {
            Role::Begins(severity) => all.push((severity, vec![&line.text])),
            Role::Query => {}
            Role::Continues if is_query && line.is_indented => continue,
            Role::More | Role::Continues => match all.last_mut() {
                Some((_, lines)) if lines.len() < MOST_LINES => lines.push(&line.text),
                Some(_) => {}
                None => all.push((2, vec![&line.text])),
            },
        }
        is_query = line.role == Role::Query;
    }
    let mut all: Vec<Text> =
        all.iter().map(|(severity, lines)| Text::of(lines, *severity)).collect();
    let long = all.len().saturating_sub(MOST_LOOKED_UP);
    for one in all.iter_mut().take(long).filter(|one| one.severity < 2) {
        one.is_worth_all = false;
    }
    all
}

/// A few lines are one message; of many each begins one, which its neighbours belong to.
fn without_severity(lines: &[Line]) -> Vec<Text> {
    let told = || lines.iter().filter(|line| line.role != Role::Query);
    let texts: Vec<&str> = told().map(|line| line.text.as_str()).collect();
    if texts.len() <= MOST_LINES {
        return vec![Text::of(&texts, 2)];
    }
    let window = |at: usize| texts.get(at..(at + WINDOW).min(texts.len())).unwrap_or_default();
    let long = texts.len().saturating_sub(MOST_LOOKED_UP);
    let text = |at| Text { is_worth_all: at >= long, ..Text::of(window(at), 2) };
    (0..texts.len()).map(text).collect()
}

/// What a line is to a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// It begins one of this severity.
    Begins(u8),
    /// It says more of the one before: DETAIL, HINT.
    More,
    /// It is of a user's query.
    Query,
    /// It says nothing of that kind.
    Continues,
}

struct Line {
    text: String,
    role: Role,
    is_indented: bool,
}

impl Line {
    fn of(line: &str) -> Self {
        let text = plain(line);
        let role = role(&text);
        Self { role, is_indented: line.starts_with(['\t', ' ']), text }
    }
}

/// The words of web servers and others, beside those of PostgreSQL in its languages.
const BRACKETS: [(&str, u8); 12] = [
    ("emerg]", 3),
    ("alert]", 3),
    ("crit]", 3),
    ("[fatal", 3),
    ("fatal:", 3),
    ("panic:", 3),
    (":error]", 2),
    ("[error]", 2),
    (":notice]", 1),
    ("[note]", 1),
    ("[warning]", 1),
    (":warn]", 1),
];

static SEVERITIES: LazyLock<Vec<(String, Role)>> = LazyLock::new(|| {
    let rows = catalogue::rows().filter_map(|(what, word)| {
        let role = match what {
            "severity 3" => Role::Begins(3),
            "severity 2" => Role::Begins(2),
            "severity 1" => Role::Begins(1),
            "more" => Role::More,
            "not" => Role::Query,
            _ => return None,
        };
        Some((format!("{}: ", plain(word).trim_end_matches([':', ' '])), role))
    });
    rows.collect()
});

fn role(line: &str) -> Role {
    // The word stands alone, at the line's beginning or behind its prefix.
    let begins = |word: &str| {
        line.match_indices(word).map(|(at, _)| at).find(|at| {
            let before = line.get(..*at).and_then(|text| text.chars().next_back());
            before.is_none_or(|c| !c.is_alphanumeric())
        })
    };
    let found = SEVERITIES.iter().filter_map(|(word, role)| Some((begins(word)?, *role)));
    if let Some((_, role)) = found.min_by_key(|(at, _)| *at) {
        return role;
    }
    let lower = line.to_lowercase();
    let bracket = BRACKETS.iter().find(|(word, _)| lower.contains(word));
    bracket.map_or(Role::Continues, |(_, severity)| Role::Begins(*severity))
}

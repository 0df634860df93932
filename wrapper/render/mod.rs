//! The output for people and scripts: log sentences, text, JSON. Foreign strings are escaped here.

pub(crate) mod json;
pub(crate) mod metrics;
pub(crate) mod object;
pub(crate) mod output_file;
pub(crate) mod places;
pub(crate) mod screen;
pub(crate) mod shown;
pub(crate) mod table;
pub(crate) mod text;

use std::io::{self, Write};

use serde::Serialize;

/// Prints to stdout; a reader that has gone (`| head -1`) is no error.
pub(crate) fn print(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => other,
    }
}

/// Prints one JSON document.
pub(crate) fn print_json(document: &impl Serialize) -> io::Result<()> {
    print(&json_text(document, false))
}

/// A JSON document as text, on one line or indented; without a character that a terminal would act
/// on, or that would turn the text around: JSON lets most of them stand in strings.
pub(crate) fn json_text(document: &impl Serialize, on_one_line: bool) -> String {
    let text = match on_one_line {
        true => serde_json::to_string(document),
        false => serde_json::to_string_pretty(document),
    };
    // These documents have no maps with keys other than text, and nothing else can fail.
    let mut text = text.unwrap_or_default();
    if !text.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')) {
        text = text.chars().flat_map(escaped_in_json).collect();
    }
    text.push('\n');
    text
}

/// A character as it stands in a JSON string; outside of strings there are none to escape.
fn escaped_in_json(c: char) -> Vec<char> {
    let bidirectional = matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}');
    let isolating = matches!(c, '\u{2066}'..='\u{2069}');
    if (c.is_control() && c != '\n') || bidirectional || isolating {
        format!("\\u{:04x}", u32::from(c)).chars().collect()
    } else {
        vec![c]
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_document_holds_nothing_that_a_terminal_acts_on() {
        let hostile = "a\u{1b}[31m\u{9b}2J\u{7f}\u{202e}\u{2066}\n\"\u{e9}";
        let text = json_text(&serde_json::json!({ "a": hostile }), false);
        assert!(text.contains("\\u009b2J\\u007f\\u202e\\u2066\\n"), "{text}");
        let back: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(back["a"], hostile);
        assert_eq!(json_text(&[1, 2], true), "[1,2]\n");
    }
}

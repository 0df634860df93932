//! Who tells the story: numbered steps and checked claims for people, one document for scripts.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::render::{self, json::SCHEMA};

/// Characters of a quoted line.
const WIDEST: usize = 90;

/// What is printed, and what was claimed.
#[derive(Debug)]
pub(super) struct Teller {
    is_silent: bool,
    is_coloured: bool,
    steps: u32,
    claims: Vec<(String, bool)>,
    began: Instant,
}

impl Teller {
    /// Tells in words, or (`json`) nothing before the end.
    pub(super) fn new(json: bool, no_color: bool) -> Self {
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            is_silent: json,
            is_coloured: !no_color && !refused && std::io::stdout().is_terminal(),
            steps: 0,
            claims: Vec::new(),
            began: Instant::now(),
        }
    }

    /// A line of text.
    pub(super) fn say(&self, line: &str) {
        if !self.is_silent {
            // Whoever read it and has gone is no trouble; the claims are checked all the same.
            let _ = render::print(&format!("{line}\n"));
        }
    }

    /// The next step.
    pub(super) fn step(&mut self, what: &str) {
        self.steps += 1;
        let title = format!("{}  {what}", self.steps);
        self.say("");
        self.say(&self.coloured("1", &title));
    }

    /// Lines that belong to the step.
    pub(super) fn show<S: AsRef<str>>(&self, lines: &[S]) {
        for line in lines {
            self.say(&format!("     {}", line.as_ref()));
        }
    }

    /// What another command said, broken where a line would be too wide.
    pub(super) fn quote<S: AsRef<str>>(&self, lines: &[S]) {
        for line in lines {
            let mut indent = "     ";
            for part in broken(line.as_ref()) {
                self.say(&format!("{indent}{part}"));
                indent = "         ";
            }
        }
    }

    /// A claim of the story, true or not.
    pub(super) fn check(&mut self, claim: &str, holds: bool) {
        let word =
            if holds { self.coloured("32", "ok    ") } else { self.coloured("1;31", "FAILED") };
        self.say(&format!("   {word}  {claim}"));
        self.claims.push((claim.to_owned(), holds));
    }

    /// Whether something was claimed and all of it holds.
    pub(super) fn all_hold(&self) -> bool {
        !self.claims.is_empty() && self.claims.iter().all(|(_, holds)| *holds)
    }

    /// The last line.
    pub(super) fn conclude(&self) {
        let seconds = self.took().as_secs_f64();
        let all = self.claims.len();
        let wrong = self.claims.iter().filter(|(_, holds)| !holds).count();
        self.say("");
        if wrong == 0 {
            self.say(&format!("All {all} claims above were checked, in {seconds:.1} s."));
        } else {
            self.say(&format!("{wrong} of the {all} claims above do NOT hold ({seconds:.1} s)."));
        }
    }

    /// The document.
    pub(super) fn document(&self, server: &str, namespaces: &str, error: Option<&str>) -> Value {
        let checks: Vec<Value> =
            self.claims.iter().map(|(claim, ok)| json!({ "claim": claim, "ok": ok })).collect();
        let millis = u32::try_from(self.took().as_millis()).unwrap_or(u32::MAX);
        json!({
            "schema": SCHEMA,
            "server": server,
            "namespaces": namespaces,
            "checks": checks,
            "error": error,
            "seconds": f64::from(millis) / 1000.0,
        })
    }

    fn took(&self) -> Duration {
        self.began.elapsed()
    }

    fn coloured(&self, code: &str, text: &str) -> String {
        if self.is_coloured { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// A line in parts of at most [`WIDEST`] characters, as far as its words allow.
fn broken(line: &str) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    for word in line.split(' ') {
        match parts.last_mut() {
            Some(part) if part.chars().count() + 1 + word.chars().count() <= WIDEST => {
                part.push(' ');
                part.push_str(word);
            }
            _ => parts.push(word.to_owned()),
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_lines_are_broken_between_words() {
        let long = "word ".repeat(40);
        let parts = broken(long.trim_end());
        assert!(parts.len() > 1 && parts.iter().all(|part| part.len() <= WIDEST));
        assert_eq!(parts.join(" "), long.trim_end());
        assert_eq!(broken("removed  two"), ["removed  two"]);
    }
}

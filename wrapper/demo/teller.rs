//! Who tells the story: numbered steps and checked claims for people, one document for scripts.

use std::time::Instant;

use serde::Serialize;
use serde_json::json;

use crate::cli::Common;
use crate::finding::Level;
use crate::render::screen::Screen;
use crate::render::{self, json::SCHEMA, text};

/// What is printed, and what was claimed.
#[derive(Debug)]
pub(super) struct Teller {
    json: bool,
    screen: Screen,
    steps: u32,
    claims: Vec<Claim>,
    began: Instant,
}

/// A claim of the story, and whether it holds.
#[derive(Debug, Serialize)]
struct Claim {
    claim: String,
    ok: bool,
}

impl Teller {
    /// Tells in words, or with `--json` nothing before the end.
    pub(super) fn new(common: &Common) -> Self {
        let (screen, began) = (Screen::of_stdout(common), Instant::now());
        Self { json: common.json, screen, steps: 0, claims: Vec::new(), began }
    }

    /// Says a line of text.
    pub(super) fn say(&self, line: &str) {
        if !self.json {
            // Whoever read it and has gone is no trouble; the claims are checked all the same.
            let _ = render::print(&format!("{line}\n"));
        }
    }

    /// Begins the next step.
    pub(super) fn step(&mut self, what: &str) {
        self.steps += 1;
        let title = self.screen.wrapped(&format!("{}  {what}", self.steps), 3);
        self.say(&format!("\n{}", self.screen.bold(title)));
    }

    /// Shows what another command said.
    pub(super) fn quote(&self, said: &str) {
        for line in said.lines() {
            self.say(&format!("     {}", self.screen.wrapped(&text::escaped(line), 9)));
        }
    }

    /// Makes a claim of the story, true or not.
    pub(super) fn check(&mut self, claim: &str, holds: bool) {
        let (word, level) = if holds { ("ok    ", Level::Ok) } else { ("FAILED", Level::Bad) };
        let word = self.screen.level(level, word.to_owned());
        self.say(&format!("   {word}  {claim}"));
        self.claims.push(Claim { claim: claim.to_owned(), ok: holds });
    }

    /// Says the last line, or prints the document; returns whether all that was claimed holds.
    pub(super) fn conclude(&self, server: &str, ground: &str, error: Option<&str>) -> bool {
        let seconds = (self.began.elapsed().as_secs_f64() * 1000.0).round() / 1000.0;
        let all = self.claims.len();
        let wrong = self.claims.iter().filter(|claim| !claim.ok).count();
        if error.is_none() && wrong == 0 {
            self.say(&format!("\nAll {all} claims were checked, in {seconds:.1} s."));
        } else if error.is_none() {
            self.say(&format!("\n{wrong} of the {all} claims do NOT hold ({seconds:.1} s)."));
        }
        let document = json!({
            "schema": SCHEMA,
            "server": server,
            "namespaces": ground,
            "checks": self.claims,
            "error": error,
            "seconds": seconds,
        });
        let printed = if self.json { render::print_json(&document) } else { Ok(()) };
        let printed = printed.inspect_err(|error| log::error!("cannot write the result: {error}"));
        printed.is_ok() && error.is_none() && wrong == 0
    }
}

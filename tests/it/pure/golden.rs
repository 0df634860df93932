//! Every code and sentence that the library can give as a reason, as golden files: one line a
//! reason, `code<TAB>sentence`. The texts and JSON documents of the commands are made by the
//! program's own unit tests (`wrapper/tests/`), against the same folder.
//!
//! A code is a promise to scripts and a sentence one to people: a change to either has to be
//! wanted. `UPDATE_GOLDEN=1 cargo test --bins --test it golden` writes the files anew.

mod compare;
mod samples;

use std::collections::BTreeSet;

use shmwarden::engine::Engine;
use shmwarden::judge::Reason;
use shmwarden::judge::status::Status;
use shmwarden::judge::usage;
use shmwarden::ledger::record::{End, How};
use shmwarden::snapshot::subject::Kind;

use super::make;
use compare::{FILES, compare_lines, folder};

#[test]
fn each_reason_has_its_code_and_sentence() {
    let line = |reason: &Reason| (reason.code(), reason.to_string());
    compare_lines("reason.txt", samples::reasons().iter().map(line));
}

#[test]
fn each_code_has_its_class() {
    let of_reason = |reason: &Reason| {
        let rest = if reason.holds_the_rest() { " holds-the-rest" } else { "" };
        (reason.code(), format!("{:?}{rest}", reason.class()))
    };
    let mut lines: Vec<(&str, String)> = samples::reasons().iter().map(of_reason).collect();
    lines.dedup();
    compare_lines("class.txt", lines);
}

#[test]
fn each_word_of_a_document_is_as_it_was() {
    let ends = [End::Exit(1), End::Signal(9), End::NotStarted(2), End::Unknown];
    let hows = [
        How::Claim,
        How::Watch,
        How::LastLook,
        How::ForkCount,
        How::Opened,
        How::Header,
        How::PidFile,
        How::Listed,
        How::Adopted,
        How::Named,
    ];
    let engines = [Engine::GENERIC, Engine::POSTGRES, Engine::OPENGAUSS];
    let said = |what: &'static str, word: String| (what, word);
    let verdicts = Status::ALL.map(|verdict| said("verdict", verdict.word().to_owned()));
    let kinds = Kind::ALL.map(|kind| said("kind", kind.word().to_owned()));
    let lines = verdicts.into_iter().chain(kinds);
    let lines = lines.chain(usage::Kind::ALL.map(|how| said("use", how.word().to_owned())));
    let lines = lines.chain(ends.map(|end| said("end", end.to_string())));
    let lines = lines.chain(hows.map(|how| said("how", how.to_string())));
    let lines = lines.chain(engines.map(|engine| said("engine", engine.to_string())));
    let objects = samples::identities().into_iter().map(|one| said("object", one.to_string()));
    compare_lines("word.txt", lines.chain(objects));
}

#[test]
fn no_golden_file_is_left_over() {
    let entries = std::fs::read_dir(folder()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = names.filter(|name| !name.ends_with(".rs")).collect();
    assert_eq!(found, FILES.map(str::to_owned).into());
}

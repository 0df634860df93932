//! The output of `record`: the server, its ledger, and what was recorded of it.

use std::path::Path;

use serde::Serialize;
use shmwarden::engine::Engine;
use shmwarden::judge::status::{Judged, Subject};
use shmwarden::ledger::record::Role;
use shmwarden::ledger::{Book, Ledger};
use shmwarden::object::Identity;
use shmwarden::snapshot::{Seen, Snapshot};

use super::target::Target;
use crate::render::object::{self, Object};
use crate::render::shown::Shown;
use crate::render::{json, text};

/// The document.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    schema: u32,
    ledger: String,
    instance: &'a str,
    pid: i32,
    engine: Engine,
    objects: Vec<Object<'a>>,
}

impl<'a> Document<'a> {
    pub(crate) fn new(
        ledger: &Path,
        instance: &'a str,
        target: &Target,
        objects: &[&Judged<'_>],
        shown: &'a Shown<'_>,
    ) -> Self {
        Self {
            schema: json::SCHEMA,
            ledger: ledger.to_string_lossy().into_owned(),
            instance,
            pid: target.process.pid,
            engine: target.engine,
            objects: objects.iter().map(|one| object::document(one, shown)).collect(),
        }
    }
}

/// Returns what is here of a run: what it made, and what it uses.
pub(crate) fn of_run<'a, 'b>(book: &Book, run: u64, all: &'a [Judged<'b>]) -> Vec<&'a Judged<'b>> {
    let own = book.open_objects().filter(|object| object.run == run).map(|o| &o.identity);
    let used = book.used.iter().filter(|(of, _)| *of == run).map(|(_, identity)| identity);
    let known: Vec<&Identity> = own.chain(used).collect();
    all.iter().filter(|one| known.iter().any(|known| is(known, one.subject))).collect()
}

fn is(known: &Identity, subject: Subject<'_>) -> bool {
    match (known, subject) {
        (Identity::Shm(segment), Subject::Shm(row)) => segment.id == row.id,
        (Identity::Posix(file), Subject::Posix(now)) => file.name == now.name,
        _ => false,
    }
}

/// The lines for people.
pub(crate) fn lines(
    ledger: &Ledger,
    run: u64,
    target: &Target,
    instance: &str,
    look: &Snapshot,
) -> String {
    let name = text::safe(instance);
    let engine = match target.engine.is_known() {
        true => target.engine.title.to_owned(),
        false => text::safe(&target.program.to_string_lossy()),
    };
    let own: Vec<_> = ledger.book.open_objects().filter(|object| object.run == run).collect();
    let bytes = own.iter().filter_map(|object| object.identity.bytes()).sum();
    let mut out = format!(
        "{name}: process {} ({engine}) is recorded in {}: {} objects, {}\n",
        target.process.pid,
        text::safe(&ledger.path().to_string_lossy()),
        own.len(),
        text::size(bytes)
    );
    for object in own {
        let role = match object.role {
            Role::Main => "main segment, ",
            Role::Control => "control segment, ",
            Role::Dynamic | Role::Other => "",
        };
        let what = text::object(&object.identity);
        out.push_str(&format!("{name}: own  {what}: {role}{}\n", object.how));
    }
    let here = |identity: &Identity| match identity {
        // Where their tables were not read, they may be there.
        Identity::Shm(segment) => look.segment(segment.id) != Seen::Gone,
        Identity::Posix(file) => match look.file(&file.name.0) {
            Seen::Here(now) => now.is(file),
            Seen::Gone => false,
            Seen::Denied => true,
        },
        Identity::Sem(set) => look.set(set.id) != Seen::Gone,
        Identity::Msg(queue) => look.queue(queue.id) != Seen::Gone,
    };
    let used = ledger.book.used.iter().filter(|(of, identity)| *of == run && here(identity));
    for (_, identity) in used {
        out.push_str(&format!("{name}: used {}: another's\n", text::object(identity)));
    }
    out
}

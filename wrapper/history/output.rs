//! A ledger told as a story, and as a document.

use serde_json::{Value, json};
use shmwarden::ledger::Book;
use shmwarden::ledger::book::{Recorded, Robbed, Run, Standing};
use shmwarden::ledger::record::{Loss, Outcome, Role};
use shmwarden::object::Bytes;

use crate::ledgers::Looked;
use crate::render::{json, places, text};

/// The document of one ledger.
pub(crate) fn document(path: &str, instance: &str, book: &Book) -> Value {
    let runs = book.runs.values().map(|run| document_of(run, book));
    let adopted = book.objects.values().filter(|one| one.is_adopted()).map(object);
    json!({
        "schema": json::SCHEMA,
        "ledger": path,
        "instance": instance,
        "copy": book.is_copy(),
        "runs": runs.collect::<Vec<_>>(),
        "adopted": adopted.collect::<Vec<_>>(),
    })
}

/// One document of several ledgers.
pub(crate) fn several(ledgers: Vec<Value>, looked: &[Looked]) -> Value {
    json!({ "schema": json::SCHEMA, "ledgers": ledgers, "looked": places::document(looked) })
}

fn document_of(run: &Run, book: &Book) -> Value {
    let claim = run.claims.last();
    json!({
        "run": run.start.run,
        "started": json::time(run.at),
        "pid": claim.map(|claim| claim.process.pid),
        "launcher": (!run.start.recorded).then_some(run.start.launcher.pid),
        "engine": claim.map(|claim| claim.engine),
        "command": run.start.argv.iter().map(Bytes::lossy).collect::<Vec<_>>(),
        "ended": run.end.as_ref().map(|(_, at)| json::time(*at)),
        "end": run.end.as_ref().map(|(end, _)| end.to_string()),
        "objects": of(run, book).map(object).collect::<Vec<_>>(),
        "robbed": robbed(run, book).map(loss).collect::<Vec<_>>(),
    })
}

/// Returns what someone else took from its server while that lived.
fn robbed<'a>(run: &'a Run, book: &'a Book) -> impl Iterator<Item = &'a Robbed> {
    book.robbed.iter().filter(|lost| lost.run == run.start.run)
}

fn loss(lost: &Robbed) -> Value {
    let more = json!({ "loss": lost.loss.word(), "at": json::time(lost.at) });
    json::object(Some(&lost.identity), more)
}

fn object(object: &Recorded) -> Value {
    let more = json!({
        "role": role(object.role),
        "how": object.how.to_string(),
        "recorded": json::time(object.since),
        "outcome": outcome(&object.standing),
        "reason": detail(&object.standing),
        "changed": json::time(object.changed),
    });
    json::object(Some(&object.identity), more)
}

/// The story of one ledger.
pub(crate) fn story(instance: &str, path: &str, book: &Book) -> String {
    let mut out = format!("{} ({})\n", text::safe(instance), text::safe(path));
    if book.is_copy() {
        out.push_str("  a copy: it was written to another file, and its lock proves no death\n");
    }
    let adopted: Vec<&Recorded> = book.objects.values().filter(|one| one.is_adopted()).collect();
    tell_adopted(&adopted, &mut out);
    if book.runs.is_empty() && adopted.is_empty() {
        out.push_str("  nothing has run yet\n");
    }
    for run in book.runs.values() {
        tell(run, book, &mut out);
    }
    out
}

fn tell(run: &Run, book: &Book, out: &mut String) {
    let command: Vec<String> = run.start.argv.iter().map(|arg| text::safe(&arg.lossy())).collect();
    let server = run.claims.last().map_or_else(
        || "no server".to_owned(),
        |claim| format!("{} server process {}", claim.engine, claim.process.pid),
    );
    let launcher = match run.start.recorded {
        true => "recorded without a launcher".to_owned(),
        false => format!("launcher process {}", run.start.launcher.pid),
    };
    out.push_str(&format!(
        "  run {}  {}  {server}, {launcher}: {}\n",
        run.start.run,
        when(run.at),
        command.join(" ")
    ));
    for object in of(run, book) {
        out.push_str(&format!(
            "    {}  recorded  {}{}: {}\n",
            when(object.since),
            text::object(&object.identity),
            match object.role {
                Role::Other => String::new(),
                other => format!(" [{}]", role(other)),
            },
            object.how
        ));
    }
    for lost in robbed(run, book) {
        let what = match lost.loss {
            Loss::Removed => "removed",
            Loss::Marked => "marked for removal",
        };
        out.push_str(&format!(
            "    {}  robbed    {}: {what} by someone else while the server used it\n",
            when(lost.at),
            text::object(&lost.identity)
        ));
    }
    match &run.end {
        Some((end, at)) => out.push_str(&format!("    {}  server ended: {end}\n", when(*at))),
        None => out.push_str("    no end is recorded: it runs, or nobody saw it end\n"),
    }
    tell_changes(of(run, book), out);
}

/// Objects of the past, and what became of them.
fn tell_adopted(adopted: &[&Recorded], out: &mut String) {
    for object in adopted {
        out.push_str(&format!(
            "  {}  {}: {}\n",
            when(object.since),
            object.how,
            text::object(&object.identity)
        ));
    }
    tell_changes(adopted.iter().copied(), out);
}

fn tell_changes<'a>(objects: impl Iterator<Item = &'a Recorded>, out: &mut String) {
    let mut changed: Vec<&Recorded> =
        objects.filter(|object| object.standing != Standing::Present).collect();
    changed.sort_by_key(|object| (object.changed, object.role, object.number));
    for object in changed {
        let detail = detail(&object.standing).map_or_else(String::new, |why| format!(": {why}"));
        out.push_str(&format!(
            "    {}  {:<8}  {}{}\n",
            when(object.changed),
            outcome(&object.standing),
            object.identity,
            text::safe(&detail)
        ));
    }
}

fn of<'a>(run: &'a Run, book: &'a Book) -> impl Iterator<Item = &'a Recorded> {
    // In the order in which they came in.
    let mut found: Vec<&Recorded> = book.of_run(run.start.run).collect();
    found.sort_by_key(|object| object.number);
    found.into_iter()
}

fn when(time: std::time::SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

fn role(role: Role) -> &'static str {
    match role {
        Role::Dynamic => "dynamic",
        Role::Other => "other",
        Role::Control => "control",
        Role::Main => "main",
    }
}

fn outcome(standing: &Standing) -> &'static str {
    match standing {
        Standing::Present => "recorded",
        Standing::Intended => "intended",
        Standing::Gone => "gone",
        Standing::Tried(Outcome::Removed, _) => "removed",
        Standing::Tried(Outcome::Gone, _) => "gone",
        Standing::Tried(Outcome::Kept, _) => "kept",
        Standing::Tried(Outcome::Raced, _) => "raced",
        Standing::Tried(Outcome::Failed, _) => "failed",
    }
}

fn detail(standing: &Standing) -> Option<&str> {
    match standing {
        Standing::Tried(_, detail) => Some(detail),
        _ => None,
    }
}

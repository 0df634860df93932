//! The text and the JSON document of each command, from literals, against the golden files in
//! `tests/it/pure/golden/`; reasons and codes by themselves are the subject of
//! `tests/it/pure/golden.rs`.
//! `UPDATE_GOLDEN=1 cargo test --bins --test it golden` writes the files anew.

#[allow(dead_code, unreachable_pub)]
#[path = "../../../tests/it/pure/golden/compare.rs"]
mod compare;
mod findings;
#[allow(dead_code, unreachable_pub)]
#[path = "../../../tests/it/pure/make.rs"]
mod make;
mod outcomes;
mod scene;
#[allow(dead_code, unreachable_pub)]
#[path = "../../../tests/it/pure/story.rs"]
mod story;

use std::path::{Path, PathBuf};
use std::time::Duration;

use compare::{compare, compare_lines};
use serde::Serialize;
use serde_json::Value;
use shmwarden::judge::Evidence;
use shmwarden::judge::Reason;
use shmwarden::ledger::record::{Adopted, End, How, Outcome, Record, Role};
use shmwarden::object::{Identity, Segment, ShmFile};
use shmwarden::snapshot::subject::Kind;
use shmwarden::sweep::{Fate, Report, State};
use story::Story;

use crate::adopt::select::Candidate;
use crate::record::target::Target;
use crate::render::json_text;
use crate::render::screen::Screen;
use crate::render::shown::Shown;
use crate::show::columns::{COLUMNS, REASON};
use crate::show::list_output::Looks;
use crate::show::{list_output, who_output};
use crate::sweep::ledger::{Finding, Swept};
use crate::{adopt, doctor, history, record, status, sweep};

/// The same time wherever a document says since when a process lives: that is reckoned from the
/// clock of this machine.
const SINCE: &str = "2000-01-01T00:00:00Z";

/// Compares a document, as it is printed to people.
fn compare_document(name: &str, document: &impl Serialize) {
    let mut document = serde_json::to_value(document).unwrap();
    fix_times(&mut document);
    compare(name, &json_text(&document, false));
}

/// Puts [`SINCE`] in the place of each time since when a process lives, which has to be one.
fn fix_times(value: &mut Value) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(fix_times),
        Value::Object(fields) => {
            for (name, value) in fields {
                match value {
                    Value::String(since) if name == "since" => {
                        humantime::parse_rfc3339(since).unwrap();
                        SINCE.clone_into(since);
                    }
                    value => fix_times(value),
                }
            }
        }
        _ => {}
    }
}

/// The same in a text.
fn with_fixed_times(text: &str) -> String {
    let mut text = text.to_owned();
    let times = text.split_whitespace().filter(|word| word.len() == SINCE.len());
    let times = times.filter(|word| humantime::parse_rfc3339(word).is_ok());
    for time in times.map(str::to_owned).collect::<Vec<_>>() {
        text = text.replace(&time, SINCE);
    }
    text
}

#[test]
fn list_is_as_it_was() {
    let view = scene::view();
    let shown = Shown::of(&view, true);
    let judged = view.judge();
    compare_document("list.json", &list_output::document(&judged, &shown));
    let looks = |columns| Looks {
        columns,
        in_bytes: true,
        headings: true,
        all_places: false,
        complete: true,
        screen: Screen::default(),
    };
    let columns = COLUMNS.iter().filter(|column| column.name != REASON).collect();
    let all = list_output::text(&judged, &shown, &looks(columns));
    let nothing = list_output::text(&[], &shown, &looks(COLUMNS.iter().collect()));
    compare("list.out", &(all + &nothing));
}

#[test]
fn status_is_as_it_was() {
    let view = scene::view();
    let shown = Shown::of(&view, false);
    let servers = scene::servers();
    compare("status.json", &json_text(&status::output::document(&servers, &shown), false));
    let text = |servers: &[_]| status::output::text(servers, &shown, Screen::default());
    let covered: Vec<_> = servers.iter().filter(|one| one.fix.is_none()).cloned().collect();
    compare("status.out", &(text(&servers) + &text(&covered) + &text(&[])));
    compare("status.prom", &status::output::numbers(&servers));
}

#[test]
fn who_is_as_it_was() {
    let view = scene::view();
    let shown = Shown::of(&view, true);
    let judged = view.judge();
    compare_document("who.json", &who_output::document(&judged, &shown));
    let lines = judged.iter().flat_map(|one| {
        let holding = shown.holding(one).unwrap();
        who_output::lines(one, &holding, &shown, Screen::default())
    });
    let text: String = lines.map(|line| line + "\n").collect();
    compare("who.out", &with_fixed_times(&text));
}

#[test]
fn record_is_as_it_was() {
    let view = scene::view();
    let shown = Shown::of(&view, true);
    let judged = view.judge();
    let target = Target::literal(make::SERVER, shmwarden::engine::Engine::POSTGRES);
    let own = record::output::of_run(&view.accounts[1].book, 1, &judged);
    let ledger = Path::new("/var/lib/shmwarden/web.ledger");
    let document = record::output::Document::new(ledger, "web", &target, &own, &shown);
    compare_document("record.json", &document);
}

#[test]
fn each_refusal_of_record_has_its_status_and_sentence() {
    let told = record::refusal::samples().into_iter().map(|refusal| refusal.told());
    compare_lines("record.txt", told.map(|(status, why)| (status.to_string(), why)));
}

#[test]
fn doctor_is_as_it_was() {
    let view = scene::view();
    let shown = Shown::of(&view, true);
    let checked = scene::checked(&view);
    compare_document("doctor.json", &doctor::output::document(&checked, &shown));
    let text = doctor::output::text(&checked, &shown, Screen::default(), true);
    compare("doctor.out", &text);
}

#[test]
fn sweep_is_as_it_was() {
    let swept = swept_ledgers();
    compare_document("sweep.json", &sweep::output::document(&swept, &scene::looked(), false));
    let text = sweep::output::lines(&swept, false, true);
    let dry = sweep::output::lines(&swept, true, false);
    compare("sweep.out", &with_fixed_times(&format!("{text}\n{dry}")));
}

#[test]
fn each_outcome_of_sweep_has_its_word_and_code() {
    let lines = outcomes::settled().into_iter().map(|one| {
        let (outcome, code, reason) = sweep::output::words(&one);
        (format!("{outcome} {code}"), reason)
    });
    compare_lines("outcome.txt", lines);
}

#[test]
fn each_error_has_its_status_and_sentence() {
    let lines = outcomes::errors().into_iter().map(|error| {
        let status = crate::exit::status_of(&error);
        (status.to_string(), error.to_string())
    });
    compare_lines("error.txt", lines);
}

/// One ledger in each state.
fn swept_ledgers() -> Vec<Swept> {
    let evidence = Evidence::Claimed(outcomes::holder());
    let settled = |state| {
        let mut objects = outcomes::settled();
        if state != State::Dead {
            objects.retain(|one| matches!(one.result, Fate::Kept(_)));
            objects.truncate(1);
        }
        Finding::Settled(Report { state, objects })
    };
    let of = |(name, finding): (&str, Finding)| Swept {
        path: PathBuf::from(format!("/var/lib/shmwarden/{name}.ledger")),
        instance: name.to_owned(),
        finding,
        status: 0,
    };
    [
        ("dead", settled(State::Dead)),
        ("live", settled(State::Live(evidence))),
        ("copy", settled(State::Copy)),
        ("void", settled(State::Void)),
        ("settled", Finding::Settled(Report { state: State::Settled, objects: vec![] })),
        ("busy", Finding::Busy("process 4700 has it locked".to_owned())),
        ("locked", Finding::Locked),
        ("missing", Finding::Missing),
        ("damaged", Finding::Damaged("the ledger is damaged at line 3".to_owned())),
        ("refused", Finding::Refused(77, "its mode lets others write".to_owned())),
    ]
    .map(of)
    .into()
}

#[test]
fn adopt_is_as_it_was() {
    let ledger = Path::new("/var/lib/shmwarden/adopted.ledger");
    let all = candidates();
    compare_document("adopt.json", &adopt::output::document(&all, &scene::looked(), ledger, false));
    let text = adopt::output::text(&all, ledger, false, false);
    let dry = adopt::output::text(&all, ledger, true, true);
    let nothing = adopt::output::text(&[], ledger, true, true);
    compare("adopt.out", &format!("{text}\n{dry}\n{nothing}"));
}

fn candidates() -> Vec<Candidate> {
    let segment = make::segment(0);
    let base = Candidate {
        kind: Kind::Shm,
        key: Some(segment.key.0),
        bytes: Some(segment.bytes),
        identity: make::shm(&segment),
        uid: make::UID,
        age: Some(Duration::from_secs(90_000)),
        how: How::Adopted,
        role: Role::Main,
        along: false,
        against: None,
    };
    let numbered = |id| {
        let identity = make::shm(&Segment { id, ..segment.clone() });
        Candidate { identity, ..base.clone() }
    };
    let file = make::posix_of(make::DYNAMIC_HANDLE);
    let of_file = |identity| Candidate { kind: Kind::Posix, key: None, identity, ..base.clone() };
    let set = Identity::Sem(outcomes::set());
    let name = shmwarden::object::Bytes(b"not\xfftext".to_vec());
    let hostile = make::posix(&ShmFile { name, ..file.clone() });
    vec![
        base.clone(),
        Candidate { how: How::Named, ..numbered(1) },
        Candidate { role: Role::Dynamic, along: true, ..of_file(make::posix(&file)) },
        Candidate { kind: Kind::Sem, bytes: None, identity: set, ..base.clone() },
        Candidate { against: Some(Reason::Attached(1)), ..numbered(5) },
        Candidate { against: Some(Reason::Attached(2)), ..numbered(6) },
        Candidate { how: How::Named, against: Some(Reason::NoIdentity), ..of_file(hostile) },
    ]
}

#[test]
fn history_is_as_it_was() {
    let server = of_server();
    let adopted = of_adopted();
    let nothing = Story::default();
    let told = [("main", &server), ("adopted", &adopted), ("nothing", &nothing)];
    let path = |name: &str| format!("/var/lib/shmwarden/{name}.ledger");
    let documents =
        told.map(|(name, story)| history::output::document(&path(name), name, &story.book));
    compare_document("history.json", &history::output::several(documents.into(), &scene::looked()));
    let stories = told.map(|(name, story)| history::output::story(name, &path(name), &story.book));
    compare("history.out", &stories.concat());
}

/// A ledger in which every outcome stands, with a run that has ended and one that has not.
fn of_server() -> Story {
    let intent = |object| Record::Intent { object, reason: "its server is dead".to_owned() };
    let outcome =
        |object, outcome| Record::Outcome { object, outcome, detail: "what came of it".to_owned() };
    let outcomes =
        [Outcome::Removed, Outcome::Gone, Outcome::Kept, Outcome::Raced, Outcome::Failed];
    let roles = [Role::Main, Role::Control, Role::Dynamic, Role::Other, Role::Other];
    let mut story = Story::of(make::claim(1));
    for (object, role) in (1..).zip(roles) {
        let segment = make::segment(i32::try_from(object).unwrap());
        story = story.object(object, role, make::shm(&segment));
    }
    story = story.object(6, Role::Other, make::shm(&make::segment(6)));
    story = story.object(7, Role::Other, make::posix(&make::file("arena\n", 9)));
    story = story.object(8, Role::Other, Identity::Sem(outcomes::set()));
    story = story.then(Record::Gone { object: 7 }).end(1, End::Signal(9));
    for (object, came) in (1..).zip(outcomes) {
        story = story.then(intent(object)).then(outcome(object, came));
    }
    story.then(intent(6)).then(make::run(2)).then(Record::Claim(make::claim(2)))
}

/// A ledger of what was adopted, read from another file than it was written to.
fn of_adopted() -> Story {
    let header = make::header_in(make::here(), Some(make::LEDGER));
    let adopted = |object, how, id| {
        let identity = make::shm(&make::segment(id));
        Record::Adopted(Adopted { object, how, role: Role::Other, identity })
    };
    let story = Story::default().then(header);
    let story = story.then(adopted(1, How::Adopted, 0)).then(adopted(2, How::Named, 1));
    story.read_from(shmwarden::ledger::OwnFile { ino: 100, ..make::LEDGER })
}

#[test]
fn each_finding_of_doctor_has_its_id_and_text() {
    let findings = findings::all();
    let lines = findings.iter().map(|finding| {
        let fix = finding.fix.as_ref().map_or_else(String::new, |fix| format!(" -> {fix}"));
        let id = format!("{} {}", finding.level.word(), finding.id);
        (id, format!("{}{fix}", finding.text))
    });
    compare_lines("finding.txt", lines);
}

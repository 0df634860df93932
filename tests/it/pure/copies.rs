//! A ledger that is not the file that it was written to: what its lock proves, and what not.

use shmwarden::judge::{Evidence, Life, Policy, Reason, life};
use shmwarden::ledger::compact::{rewrite, rewrite_to};
use shmwarden::ledger::record::{Record, Role, RunStart};
use shmwarden::ledger::{Book, OwnFile};
use shmwarden::object::{Key, Place, ProcessRef, Segment};
use shmwarden::snapshot::{Snapshot, Table};

use super::make::{
    Change, LAUNCHER, LEDGER, generic, header_in, here, in_pids, look, process, row, run, shm,
};
use super::story::{Story, reason};

const COPY: OwnFile = OwnFile { ino: LEDGER.ino + 1, ..LEDGER };

/// One without a key, which goes though nobody saw its server end.
fn segment(id: i32) -> Segment {
    Segment { key: Key(0), ..super::make::segment(id) }
}

/// A server whose launcher was the first process of a container, in a ledger that names this file.
fn container(named: Option<OwnFile>) -> Story {
    let Record::Run(start) = run(1) else { panic!("a run") };
    let launcher = ProcessRef { pid: 1, ..start.launcher };
    Story::default()
        .then(header_in(in_pids("id:99"), named))
        .then(Record::Run(RunStart { launcher, ..start }))
        .then(Record::Claim(generic(1)))
        .object(1, Role::Other, shm(&segment(0)))
}

fn unattached() -> Snapshot {
    look().with(|look| look.segments = Table::Whole(vec![row(&segment(0))]))
}

fn is_over(story: &Story) -> bool {
    life::is_over(&story.book, &story.book.runs[&1], &unattached())
}

#[test]
fn a_free_lock_proves_a_containers_death_where_it_is_that_of_the_very_file() {
    assert!(is_over(&container(Some(LEDGER)).read_from(LEDGER)));
    let (seconds, nanos) = LEDGER.born;
    let reborn = OwnFile { born: (seconds, nanos + 1), ..LEDGER };
    let elsewhere = OwnFile { dev: LEDGER.dev + 1, ..LEDGER };
    for other in [COPY, reborn, elsewhere, OwnFile { overlay: true, ..elsewhere }] {
        assert!(!is_over(&container(Some(LEDGER)).read_from(other)), "{other:?}");
    }
}

/// Upper directories, snapshots and clones have the same inode and birth time.
#[test]
fn another_device_is_another_file_but_where_an_overlay_was_mounted_again() {
    let overlay = OwnFile { overlay: true, ..LEDGER };
    let proves = |named, file| is_over(&container(Some(named)).read_from(file));
    let again = OwnFile { dev: LEDGER.dev + 1, ..overlay };
    assert!(proves(overlay, overlay) && proves(overlay, again));
    assert!(!proves(overlay, OwnFile { overlay: false, ..again }), "its upper directory");
    assert!(!proves(OwnFile { overlay: false, ..again }, overlay), "or the other way round");
    let disk = |minor| nix::libc::makedev(7, minor);
    let on_disk = OwnFile { dev: disk(1), ..LEDGER };
    assert!(proves(on_disk, on_disk) && !proves(on_disk, OwnFile { dev: disk(2), ..LEDGER }));
    let other = OwnFile { dev: disk(2), ..overlay };
    assert!(!proves(overlay, other), "no device of an overlay");
}

#[test]
fn a_ledger_that_names_no_file_or_has_no_identity_proves_no_death_by_its_lock() {
    assert!(!is_over(&container(None).read_from(LEDGER)), "of an older version");
    assert!(!is_over(&container(Some(LEDGER))), "no birth time here");
    assert!(!is_over(&container(None)), "no birth time anywhere");
    let story = container(None).read_from(LEDGER);
    assert!(!story.book.is_copy() && container(Some(LEDGER)).book.is_copy());
    let kept = reason(&story.book, &unattached(), 1);
    assert_eq!(kept, Some(Reason::Unseen(Evidence::OtherPids { run: 1 })));
    let very = container(Some(LEDGER)).read_from(LEDGER);
    assert_eq!(reason(&very.then(end()).book, &unattached(), 1), None);
}

fn end() -> Record {
    Record::End { run: 1, end: shmwarden::ledger::record::End::Unknown }
}

#[test]
fn pid_and_start_time_prove_a_death_on_a_copys_word_too() {
    let story = Story::default().then(header_in(here(), Some(LEDGER))).then(run(1));
    let story = story.then(Record::Claim(generic(1))).object(1, Role::Other, shm(&segment(0)));
    let story = story.read_from(COPY);
    assert!(story.book.is_copy() && is_over(&story));
    assert_eq!(reason(&story.then(end()).book, &unattached(), 1), None);
}

/// It lost the name of its ledger, and holds the lock of the file that it has.
#[test]
fn a_launcher_that_lives_beside_a_copy_keeps_what_the_copy_names() {
    let story = |file| {
        let story = Story::default().then(header_in(here(), Some(LEDGER))).then(run(1));
        let story = story.then(Record::Claim(generic(1))).object(1, Role::Other, shm(&segment(0)));
        story.read_from(file)
    };
    let mut look = unattached();
    look.change(|look| look.processes = Table::Whole(vec![process(LAUNCHER.pid, LAUNCHER.start)]));
    let judged = |file, policy: &Policy| life::judge(&story(file).book, &look, policy);
    let Life::Dead(left) = judged(COPY, &Policy::default()) else { panic!("the server is dead") };
    assert!(matches!(left.as_slice(), [Evidence::Launcher(_)]), "{left:?}");
    let own = Policy { exempt: vec![LAUNCHER.pid], ..Policy::default() };
    assert_eq!(judged(COPY, &own), Life::Dead(vec![]), "itself");
    assert_eq!(judged(LEDGER, &Policy::default()), Life::Dead(vec![]));
}

#[test]
fn a_run_on_a_copy_has_its_own_lock_and_not_that_of_the_runs_before() {
    let there = |pids: &str| Place { ..in_pids(pids) };
    let Record::Run(start) = run(2) else { panic!("a run") };
    let launcher = ProcessRef { pid: 1, ..start.launcher };
    let story = container(Some(LEDGER)).then(header_in(there("id:100"), Some(COPY)));
    let story = story.then(Record::Run(RunStart { launcher, ..start })).read_from(COPY);
    let over = |run| life::is_over(&story.book, &story.book.runs[&run], &unattached());
    assert_eq!((over(1), over(2), story.book.is_copy()), (false, true, false));
}

#[test]
fn a_ledger_written_anew_names_the_new_file_where_it_named_the_old_one() {
    let new = OwnFile { ino: 7, ..LEDGER };
    let anew = |named, from| {
        let story = container(named);
        let bytes = rewrite_to(&story.bytes(), (from, Some(new)));
        let mut book = Book::replay(&bytes).0;
        book.is_read_from(Some(new));
        life::is_over(&book, &book.runs[&1], &unattached())
    };
    assert!(anew(Some(LEDGER), Some(LEDGER)));
    assert!(!anew(Some(LEDGER), Some(COPY)), "a copy written anew stays one");
    assert!(!anew(None, Some(LEDGER)), "of an older version");
    assert!(!anew(None, None));
    let bytes = container(Some(LEDGER)).bytes();
    assert_eq!(rewrite(&bytes), bytes, "a rewrite to nowhere changes nothing");
}

/// Versions that did not know the field: they ignore it, and what they write names no file.
#[test]
fn a_header_without_a_file_is_read_and_one_with_a_file_says_so_in_one_field() {
    let text = String::from_utf8(container(Some(LEDGER)).bytes()).unwrap();
    let field = "\"file\":{\"dev\":64,\"ino\":99,\"born\":[1690000000,123456789]}";
    assert!(text.lines().next().unwrap().contains(field), "{text}");
    let text = String::from_utf8(container(None).bytes()).unwrap();
    assert!(!text.contains("\"file\""), "{text}");
}

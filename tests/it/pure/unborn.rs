//! Files of a tmpfs that keeps no birth times, and PostgreSQL's order: what a dead server's own
//! list names goes, nothing else without a birth time does, and while something that is listed is
//! there and stays, its list stays, and what leads to that.

use shmwarden::attribute::listed::Name;
use shmwarden::judge::{self, Action, Life, Policy, Reason};
use shmwarden::ledger::book::Illegal;
use shmwarden::ledger::compact::rewrite;
use shmwarden::ledger::record::{End, Header, Record, Role};
use shmwarden::ledger::{Book, line};
use shmwarden::object::{Birth, FileRef, Key, ShmFile};
use shmwarden::snapshot::tables::ListedFile;
use shmwarden::snapshot::{Snapshot, Table};
use shmwarden::sys::shm::Row;

use super::make::{
    CONTROL_HANDLE, Change, DYNAMIC_HANDLE, LATER, OTHER_UID, bytes, claim, control_list, file,
    files, generic, header, here, listed, look, posix, posix_of, row, run, seconds, seen, segment,
    shm, sysv_of, time,
};
use super::story::{Crashed, IN_ORDER, Story, crashed, reason, settle, would_remove};

/// When the last process of the server had gone.
const DEATH: i64 = 100;

/// A file that bears no birth time and was changed last at this second.
fn unborn(file: ShmFile, changed: i64) -> ShmFile {
    ShmFile { birth: Birth::NotKept { changed: (seconds(changed), 7) }, ..file }
}

/// A PostgreSQL of which only main and control segment were recorded, on a tmpfs without birth
/// times; nobody saw its end.
fn on_an_older_kernel() -> Crashed {
    let mut crashed = crashed();
    crashed.control = unborn(posix_of(CONTROL_HANDLE), 10);
    crashed.dynamic = unborn(posix_of(DYNAMIC_HANDLE), 11);
    crashed.story = Story::of(claim(1)).object(1, Role::Main, shm(&crashed.main)).object(
        2,
        Role::Control,
        posix(&crashed.control),
    );
    // It moves while the server writes.
    let moved = unborn(posix_of(CONTROL_HANDLE), 90);
    crashed.look.change(|look| look.files = files(vec![moved.clone(), crashed.dynamic.clone()]));
    crashed.look.change(|look| {
        look.controls = vec![(posix(&moved), control_list(true, &[DYNAMIC_HANDLE]))]
    });
    crashed.look.change(|look| {
        look.segments = Table::Whole(vec![Row { dtime: seconds(DEATH), ..row(&crashed.main) }])
    });
    crashed
}

impl Crashed {
    /// Changes a file that bears no birth time at this second.
    fn change_file(&mut self, which: usize, at: i64) {
        let change = |file: &mut ListedFile| *file = listed(unborn(file.identity.clone(), at));
        self.look.change(|look| change(&mut look.files.rows_mut()[which]));
    }
}

fn code(crashed: &Crashed, object: u64) -> &'static str {
    crashed.reason(object).map_or("removed", |reason| reason.code())
}

fn codes(crashed: &Crashed) -> [&'static str; 3] {
    IN_ORDER.map(|object| code(crashed, object))
}

#[test]
fn what_a_dead_server_lists_goes_without_a_birth_time_and_the_main_segment_last() {
    let crashed = on_an_older_kernel();
    let gone = would_remove(&crashed.story.book, &crashed.look);
    let control = unborn(posix_of(CONTROL_HANDLE), 90);
    assert_eq!(gone, [posix(&crashed.dynamic), posix(&control), shm(&crashed.main)]);
    let mut seen = on_an_older_kernel();
    seen.story = seen.story.end(1, End::Signal(9));
    assert_eq!(codes(&seen), ["removed"; 3]);
}

#[test]
fn a_file_that_was_changed_after_the_death_stays_with_its_list_and_what_leads_to_that() {
    for (which, stays) in [(1, "changed-since"), (0, "removed")] {
        let mut crashed = on_an_older_kernel();
        crashed.change_file(which, DEATH + 1);
        assert_eq!(code(&crashed, 3), stays);
        let control = if which == 0 { "changed-since" } else { "listed-stays" };
        assert_eq!((code(&crashed, 2), code(&crashed, 1)), (control, "listed-stays"));
    }
    // The kernel's last detach is in whole seconds.
    let mut tie = on_an_older_kernel();
    tie.change_file(1, DEATH);
    assert_eq!(codes(&tie), ["removed"; 3]);
}

#[test]
fn the_last_detach_counts_as_it_was_before_anybody_read_the_segment() {
    let mut crashed = on_an_older_kernel();
    crashed.change_file(1, DEATH + 5);
    let detached = Record::Detached { run: 1, seconds: seconds(DEATH) };
    crashed.story = crashed.story.end(1, End::Unknown).then(detached);
    crashed.look.change(|look| look.segments.rows_mut()[0].dtime = seconds(DEATH + 10));
    assert_eq!(codes(&crashed), ["changed-since", "listed-stays", "listed-stays"]);
    crashed.look.change(|look| look.files.rows_mut()[1] = listed(crashed.dynamic.clone()));
    assert_eq!(codes(&crashed), ["removed"; 3]);
}

#[test]
fn nothing_without_a_birth_time_goes_where_no_death_is_known() {
    let mut crashed = on_an_older_kernel();
    crashed.look.change(|look| look.segments.rows_mut()[0].dtime = 0);
    assert_eq!(codes(&crashed), ["no-birth-time", "no-birth-time", "listed-stays"]);
    // An end that was seen will do, one that lies ahead will not.
    crashed.story = crashed.story.end(1, End::Signal(9));
    for file in 0..crashed.look.files.seen().len() {
        crashed.change_file(file, 0);
    }
    assert_eq!(codes(&crashed), ["removed"; 3]);
    crashed.look.change(|look| look.now = time(2));
    assert_eq!(codes(&crashed), ["no-birth-time", "no-birth-time", "listed-stays"]);
}

#[test]
fn a_clock_that_was_set_back_tells_no_file_from_a_later_one() {
    let mut crashed = on_an_older_kernel();
    let mut start = Story::default().then(header(here()));
    let Record::Run(mut begun) = run(1) else { unreachable!() };
    begun.clock_ahead_ms = Some(5000);
    start = start.then(Record::Run(begun)).then(Record::Claim(claim(1)));
    crashed.story = start.object(1, Role::Main, shm(&crashed.main)).object(
        2,
        Role::Control,
        posix(&crashed.control),
    );
    for (ahead_ms, kept) in [(5000, "removed"), (4500, "removed"), (90_000, "removed")] {
        crashed.look.change(|look| look.clock_ahead_ms = ahead_ms);
        assert_eq!(code(&crashed, 3), kept, "{ahead_ms}");
    }
    crashed.look.change(|look| look.clock_ahead_ms = 3000);
    assert_eq!(codes(&crashed), ["no-birth-time", "no-birth-time", "listed-stays"]);
}

#[test]
fn a_file_without_a_birth_time_that_no_list_names_is_kept_and_holds_nothing_else() {
    let story = Story::of(generic(1))
        .object(1, Role::Other, shm(&segment(0)))
        .object(2, Role::Other, posix(&unborn(file("arena", 9), 10)))
        .object(3, Role::Other, posix(&file("kept", 10)))
        .end(1, End::Signal(9));
    let mut look = look();
    look.change(|look| look.segments = Table::Whole(vec![row(&segment(0))]));
    look.change(|look| look.files = files(vec![unborn(file("arena", 9), 10), file("kept", 10)]));
    let code = |object| reason(&story.book, &look, object).map(|reason| reason.code());
    assert_eq!(code(2), Some("no-birth-time"));
    assert_eq!((code(1), code(3)), (None, None));
}

#[test]
fn another_inode_owner_or_a_birth_time_is_another_file() {
    let known = unborn(file("PostgreSQL.2", 9), 10);
    let moved = unborn(file("PostgreSQL.2", 9), 70);
    assert!(known.is(&moved));
    let inode = ShmFile { file: FileRef { dev: 26, ino: 10 }, ..known.clone() };
    let owner = ShmFile { uid: OTHER_UID, ..known.clone() };
    let born = ShmFile { birth: LATER, ..known.clone() };
    for other in [inode, owner, born] {
        assert!(!known.is(&other) && !other.is(&known), "{other:?}");
    }
}

#[test]
fn a_name_of_the_list_that_another_users_file_bears_keeps_the_list() {
    let mut crashed = on_an_older_kernel();
    crashed.look.change(|look| look.files.rows_mut()[1].identity.uid = OTHER_UID);
    assert_eq!((code(&crashed, 2), code(&crashed, 1)), ("listed-stays", "listed-stays"));
    let mut born = super::story::crashed();
    born.look.change(|look| look.files.rows_mut()[1].identity.uid = OTHER_UID);
    assert_eq!((code(&born, 2), code(&born, 1)), ("listed-stays", "listed-stays"));
}

#[test]
fn a_name_of_the_list_that_is_there_and_no_file_keeps_the_list() {
    for which in [0, 1] {
        let mut crashed = crashed();
        crashed.story = Story::of(claim(1)).object(1, Role::Main, shm(&crashed.main)).object(
            2,
            Role::Control,
            posix(&crashed.control),
        );
        let mut all: Vec<_> = crashed.look.files.seen().cloned().collect();
        let name = all.remove(which).name;
        crashed.look.change(|look| look.files = Table::Whole(all));
        crashed.look.change(|look| look.other_names = Table::Whole(vec![name]));
        assert_eq!(code(&crashed, 1), "listed-stays");
        crashed.look.change(|look| look.other_names = Table::unasked());
        assert_eq!(code(&crashed, 1), "listed-stays", "a directory that was not read");
        let other = Table::Whole(vec![bytes("PostgreSQL.6")]);
        crashed.look.change(|look| look.other_names = other);
        assert_eq!(code(&crashed, 1), "removed");
    }
}

/// The removals with what has to be gone before each.
fn absent(crashed: &Crashed) -> Vec<(u64, Vec<Name>)> {
    let verdicts = settle(&crashed.story.book, &crashed.look, &Policy::default()).1;
    let removals = verdicts.iter().filter_map(|verdict| match verdict {
        Action::Remove(removal) => Some((removal.object(), removal.absent().names.clone())),
        _ => None,
    });
    removals.collect()
}

#[test]
fn a_list_and_what_leads_to_it_go_only_when_all_that_is_named_is_gone() {
    let name = |handle| Name::File(shmwarden::engine::postgres::posix_name(handle));
    let key = |handle| Name::Key(Key(shmwarden::engine::postgres::sysv_key(handle)));
    let control = vec![name(CONTROL_HANDLE), key(CONTROL_HANDLE)];
    let dynamic = vec![name(DYNAMIC_HANDLE)];
    let all = [control.clone(), dynamic.clone()].concat();
    assert_eq!(absent(&crashed()), [(3, vec![]), (2, dynamic), (1, all)]);

    let mut sysv = crashed();
    let (list, listed) = (sysv_of(CONTROL_HANDLE, 1), sysv_of(DYNAMIC_HANDLE, 2));
    sysv.story = Story::of(claim(1))
        .object(1, Role::Main, shm(&sysv.main))
        .object(2, Role::Control, shm(&list))
        .end(1, End::Signal(9));
    sysv.look.change(|look| look.files = Table::Whole(vec![]));
    sysv.look.change(|look| {
        [row(&list), row(&listed)].into_iter().for_each(|row| look.segments.add(row))
    });
    sysv.look
        .change(|look| look.controls = vec![(shm(&list), control_list(true, &[DYNAMIC_HANDLE]))]);
    let dynamic = vec![key(DYNAMIC_HANDLE)];
    let all = [control, dynamic.clone()].concat();
    assert_eq!(absent(&sysv), [(3, vec![]), (2, dynamic), (1, all)]);
}

#[test]
fn an_unrecorded_segment_under_a_listed_key_keeps_the_list() {
    let mut crashed = crashed();
    let (list, listed) = (sysv_of(CONTROL_HANDLE, 1), sysv_of(DYNAMIC_HANDLE, 2));
    crashed.story = Story::of(claim(1))
        .object(1, Role::Main, shm(&crashed.main))
        .object(2, Role::Control, shm(&list))
        .end(1, End::Signal(9));
    crashed.look.change(|look| look.files = Table::Whole(vec![]));
    crashed.look.change(|look| {
        [row(&list), row(&listed)].into_iter().for_each(|row| look.segments.add(row))
    });
    crashed
        .look
        .change(|look| look.controls = vec![(shm(&list), control_list(true, &[DYNAMIC_HANDLE]))]);
    // Judged without having been recorded, as where the ledger could not take it in.
    let dead = Life::Dead(vec![]);
    let book = crashed.story.book.clone();
    let policy = Policy::default();
    let judge = |look: &Snapshot| judge::decide(&book, look, &dead, &[], &policy);
    let kept = |verdicts: &[Action], object| {
        super::story::reason_among(verdicts, object).map(|reason: Reason| reason.code())
    };
    let verdicts = judge(&crashed.look);
    assert_eq!(
        (kept(&verdicts, 1), kept(&verdicts, 2)),
        (Some("listed-stays"), Some("listed-stays"))
    );
    let mut all: Vec<Row> = crashed.look.segments.seen().cloned().collect();
    all.pop();
    crashed.look.change(|look| look.segments = Table::Whole(all));
    let verdicts = judge(&crashed.look);
    assert_eq!((kept(&verdicts, 1), kept(&verdicts, 2)), (None, None));
}

#[test]
fn an_older_ledger_names_no_file_without_a_birth_time_and_keeps_what_leads_to_one() {
    let crashed = on_an_older_kernel();
    let old = |version| {
        let header = Record::Header(Header { version, place: here(), file: None });
        Story::default().then(header).then(run(1)).then(Record::Claim(claim(1)))
    };
    let main = || old(2).object(1, Role::Main, shm(&crashed.main));
    let refused = [
        Record::Object(seen(2, Role::Control, posix(&crashed.control))),
        Record::Used { run: 1, identity: posix(&crashed.control) },
    ];
    for record in refused {
        assert!(matches!(main().tell(None, record), Err(Illegal(_))));
    }
    let ended = main().end(1, End::Unknown);
    let detached = Record::Detached { run: 1, seconds: 1 };
    assert!(matches!(ended.clone().tell(None, detached), Err(Illegal(_))));
    assert_eq!(would_remove(&ended.book, &crashed.look), []);
    // Written anew it can.
    let (book, _, _) = Book::replay(&rewrite(&ended.bytes()));
    assert_eq!(would_remove(&book, &crashed.look).len(), 3);
}

#[test]
fn the_last_detach_is_noted_once_after_the_end_and_stays_in_a_ledger_that_is_written_anew() {
    let detached = |seconds| Record::Detached { run: 1, seconds };
    let story = Story::of(claim(1)).object(1, Role::Main, shm(&segment(0)));
    assert!(matches!(story.clone().tell(None, detached(5)), Err(Illegal(_))));
    let mut story = story.end(1, End::Unknown).then(detached(5));
    assert!(matches!(story.tell(None, detached(6)), Err(Illegal(_))));
    let (book, _, _) = Book::replay(&rewrite(&story.bytes()));
    assert_eq!(book.runs[&1].detached, Some(5));
}

#[test]
fn a_file_has_a_birth_time_or_a_change_time_in_its_line() {
    let told = |file: &ShmFile| {
        let seen = Record::Object(seen(1, Role::Control, posix(file)));
        let entry = shmwarden::ledger::Entry { seq: 1, at: time(0), forks: None, record: seen };
        String::from_utf8(line::encode(&entry)).unwrap()
    };
    let kept = told(&posix_of(8));
    assert!(kept.contains(r#""born":[1700000010,500000000],"uid""#), "{kept}");
    let not_kept = told(&unborn(posix_of(8), 10));
    assert!(not_kept.contains(r#""born":null,"ctime":[1700000010,7],"uid""#), "{not_kept}");
    let neither = not_kept.replace(r#","ctime":[1700000010,7]"#, "");
    let body = neither.rsplit_once(r#","crc""#).unwrap().0;
    let line = format!("{body},\"crc\":\"{:08x}\"}}", crc32fast::hash(body.as_bytes()));
    assert!(matches!(line::decode(line.as_bytes()), Err(line::Bad::Content(_))), "{line}");
}

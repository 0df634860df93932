//! The answers of a look on tables that were read, in part, or not at all.

use super::opened::Opened;
use super::tables::{ListedFile, Set};
use super::{LastUser, Process, Seen, Sight, Snapshot, Table, Tables, place, row_of};
use crate::object::{Birth, Bytes, FileRef, ProcessRef, ShmFile};
use crate::sys::files::FileFacts;
use crate::sys::{IpcPerm, msg, sem, shm};

fn row(id: i32) -> shm::Row {
    shm::Row {
        id,
        perm: IpcPerm { key: 0, mode: 0o600, uid: 0, gid: 0, creator_uid: 0, creator_gid: 0 },
        bytes: 1,
        creator_pid: 1,
        last_pid: 1,
        nattch: 0,
        atime: 0,
        dtime: 0,
        ctime: 0,
    }
}

fn set(id: i32) -> Set {
    let row = sem::Row {
        id,
        perm: IpcPerm { key: 0, mode: 0o600, uid: 0, gid: 0, creator_uid: 0, creator_gid: 0 },
        members: 1,
        otime: 0,
        ctime: 0,
    };
    Set { row, members: None }
}

fn queue(id: i32) -> msg::Row {
    msg::Row {
        id,
        perm: IpcPerm { key: 0, mode: 0o600, uid: 0, gid: 0, creator_uid: 0, creator_gid: 0 },
        messages: 0,
        bytes: 0,
        most_bytes: 16384,
        last_sender: 0,
        last_receiver: 0,
        stime: 0,
        rtime: 0,
        ctime: 0,
    }
}

fn file(name: &str) -> ListedFile {
    let facts = FileFacts {
        dev: 26,
        ino: 1,
        born: None,
        uid: 0,
        gid: 0,
        mode: 0o100_600,
        bytes: 1,
        resident_bytes: 0,
        ctime: (5, 0),
        mount_id: 1,
    };
    let name = Bytes(name.as_bytes().to_vec());
    let identity = ShmFile {
        name: name.clone(),
        mount: "tmpfs:1".to_owned(),
        file: FileRef { dev: 26, ino: 1 },
        birth: Birth::NotKept { changed: (5, 0) },
        uid: 0,
        bytes: 1,
    };
    ListedFile { name, facts, identity }
}

fn process(pid: i32, uids: Option<[u32; 4]>) -> Process {
    let process = ProcessRef { pid, start: 5 };
    Process { process, unread: false, uids, ..Process::unread(pid) }
}

/// A look in which nothing was read.
fn unread() -> Tables {
    Tables::unread(place::here().unwrap())
}

fn with(change: impl FnOnce(&mut Tables)) -> Snapshot {
    let mut tables = unread();
    change(&mut tables);
    Snapshot::of(tables)
}

/// Returns for each kind of object if number 2, or the name b, is here (1), gone (0), or not seen
/// (?).
fn answers(look: &Snapshot) -> String {
    fn letter<T>(seen: Seen<T>) -> char {
        match seen {
            Seen::Here(_) => '1',
            Seen::Gone => '0',
            Seen::Denied => '?',
        }
    }
    let is_absent = look.is_absent(&Bytes(b"b".to_vec()));
    [
        letter(look.segment(2)),
        letter(look.latest_row(2)),
        letter(look.set(2)),
        letter(look.queue(2)),
        letter(look.file(b"b")),
        letter(look.process(2)),
        if is_absent { '0' } else { '?' },
    ]
    .into_iter()
    .collect()
}

/// Returns a look at the rows that `fill` asks for, in tables that were read as `part` says.
fn filled(fill: impl Fn(i32) -> bool, part: Option<&str>) -> Snapshot {
    fn table<T>(rows: Vec<T>, part: Option<&str>) -> Table<T> {
        match part {
            None => Table::Whole(rows),
            Some(what) => Table::Part(rows, what.to_owned()),
        }
    }
    let ids: Vec<i32> = (1..4).filter(|id| fill(*id)).collect();
    let names = || ids.iter().map(|id| ["a", "b", "c"][usize::try_from(*id).unwrap() - 1]);
    with(|look| {
        look.segments = table(ids.iter().map(|id| row(*id)).collect(), part);
        look.sets = table(ids.iter().map(|id| set(*id)).collect(), part);
        look.queues = table(ids.iter().map(|id| queue(*id)).collect(), part);
        look.files = table(names().map(file).collect(), part);
        look.other_names = table(vec![], part);
        look.processes = table(ids.iter().map(|id| process(*id, None)).collect(), part);
    })
}

#[test]
fn an_unread_or_partial_table_never_says_that_something_is_gone() {
    assert_eq!(answers(&Snapshot::of(unread())), "???????");
    assert_eq!(answers(&filled(|_| true, Some("some"))), "111111?");
    assert_eq!(answers(&filled(|id| id != 2, Some("some"))), "???????");
    assert_eq!(answers(&filled(|_| true, None)), "111111?");
    assert_eq!(answers(&filled(|id| id != 2, None)), "0000000");
    assert_eq!(answers(&filled(|_| false, None)), "0000000");
}

/// Each table alone: a whole one beside it proves nothing.
#[test]
fn a_name_is_absent_only_where_the_files_and_all_other_names_were_read() {
    let whole = filled(|_| false, None);
    let name = Bytes(b"b".to_vec());
    let but = |change: fn(&mut Tables)| {
        let mut tables = Tables::clone(&whole);
        change(&mut tables);
        Snapshot::of(tables).is_absent(&name)
    };
    assert!(but(|_| ()));
    assert!(!but(|look| look.files = Table::unasked()));
    assert!(!but(|look| look.other_names = Table::unasked()));
    assert!(!but(|look| look.other_names.add(Bytes(b"b".to_vec()))));
    assert!(but(|look| look.other_names.add(Bytes(b"c".to_vec()))));
}

#[test]
fn a_pid_is_nobodys_only_where_all_processes_were_listed_or_the_kernel_said_so() {
    let last = |look: &Snapshot| match look.last_user(2, 5, None) {
        LastUser::Gone => "gone",
        LastUser::Lives(_) => "lives",
        LastUser::Unseen => "unseen",
    };
    assert_eq!(last(&Snapshot::of(unread())), "unseen");
    assert_eq!(last(&with(|look| look.absent = [2].into())), "gone");
    let some = || Table::Part(vec![process(1, None)], "others".to_owned());
    assert_eq!(last(&with(|look| look.processes = some())), "unseen");
    assert_eq!(last(&filled(|id| id == 1, None)), "gone");
    assert_eq!(last(&filled(|id| id == 2, None)), "lives");
    let hidden = |look: &mut Tables| {
        look.processes = Table::Whole(vec![]);
        look.hidden = vec![2];
    };
    assert_eq!(last(&with(hidden)), "unseen");
}

#[test]
fn who_may_be_of_a_user_is_found_in_all_four_places_and_where_it_is_not_known() {
    let ended = Process { ended: true, ..process(5, Some([7; 4])) };
    let all = vec![
        process(1, Some([0; 4])),
        process(2, Some([0, 0, 7, 0])),
        process(3, None),
        process(4, Some([7; 4])),
        ended,
    ];
    let look = with(|look| look.processes = Table::Whole(all));
    let of = |uid| {
        let mut found: Vec<i32> = look.living_of(uid).map(|one| one.process.pid).collect();
        found.sort_unstable();
        found
    };
    assert_eq!(of(7), [2, 3, 4]);
    assert_eq!(of(0), [1, 2, 3]);
    assert_eq!(of(9), [3]);
}

#[test]
fn a_file_that_nobody_was_asked_about_is_not_among_those_that_were() {
    let (asked, other) = (FileRef { dev: 26, ino: 1 }, FileRef { dev: 26, ino: 2 });
    let opened = Opened { asked: [asked].into(), ..Opened::default() };
    let mut both = Opened::default();
    both.add(opened);
    assert!(both.asked.contains(&asked) && !both.asked.contains(&other));
}

#[test]
fn a_row_is_found_in_whatever_order_the_table_is() {
    // Slots in order with other sequence numbers; no order; one slot twice, as where there are
    // more of them.
    for ids in [vec![3 << 15, 1, (7 << 15) | 2], vec![9, 4, 0, 8], vec![5, (1 << 15) | 5]] {
        let table: Vec<shm::Row> = ids.iter().map(|id| row(*id)).collect();
        for id in &ids {
            assert_eq!(row_of(&table, *id).map(|row| row.id), Some(*id), "{ids:?}");
        }
        assert!(row_of(&table, (2 << 15) | 1).is_none(), "{ids:?}");
    }
    assert!(row_of(&[], 0).is_none());
}

#[test]
fn what_the_kernel_says_of_a_pid_is_noted_once_it_was_asked() {
    let own = i32::try_from(std::process::id()).unwrap();
    let nobody = i32::MAX;
    let look = Snapshot::of(unread());
    assert!(matches!(look.process(nobody), Seen::Denied));
    let asked = look.with_pids(vec![own, nobody, nobody, 0]);
    assert!(matches!(asked.process(nobody), Seen::Gone));
    // It could be read, and so is not hidden: the table lacks it, and says so.
    assert!(matches!(asked.process(own), Seen::Denied));
    let found = asked.with_last_users([own, nobody]);
    assert!(matches!(found.process(own), Seen::Here(one) if one.process.pid == own));
    assert!(found.hidden.is_empty(), "{:?}", found.hidden);
}

#[test]
fn where_some_are_hidden_a_pid_is_nobodys_only_where_the_kernel_was_asked() {
    let part =
        |look: &mut Tables| (look.sight, look.processes) = (Sight::Part, Table::Whole(vec![]));
    let of = |look: &Snapshot| matches!(look.last_user(2, 5, None), LastUser::Gone);
    assert!(!of(&with(|look| part(look))));
    let asked = |look: &mut Tables| {
        part(look);
        look.absent = [2].into();
    };
    assert!(of(&with(asked)));
}

#[test]
fn a_later_look_finds_what_came_and_keeps_what_it_had() {
    let first = filled(|id| id != 2, None);
    assert!(matches!(first.process(2), Seen::Gone));
    let later = first.clone().beside(|look| look.processes.add(process(2, None)));
    assert!(matches!(later.process(2), Seen::Here(_)));
    assert!(matches!(first.process(2), Seen::Gone), "the earlier one stands as it was");
    let same = later.beside(|look| look.hidden.push(9));
    assert_eq!((answers(&same).as_str(), same.hidden.len()), ("0000010", 1));
}

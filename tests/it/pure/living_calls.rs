//! Sets and queues of a server that lives and that nobody watched from its start: which are proven
//! to be its own, which it only uses, which are in doubt.

use std::time::SystemTime;

use shmwarden::attribute::living::{Member, calls};
use shmwarden::ledger::record::{Claim, How, Record, Role};
use shmwarden::object::{Identity, ProcessRef};
use shmwarden::snapshot::{Process, Sight, Snapshot};

use super::make::{Change, OTHER_UID, SERVER, generic, process, seconds, time};
use super::sets_make::{WORKER, both, operated_by, queue, set, with};
use super::story::Story;

/// A process that has nothing to do with the server.
const STRANGER: i32 = 8000;

/// The two of [`both`] without keys, of a server that began in the second in which they were made.
fn private() -> Snapshot {
    let mut look = both();
    look.change(|look| look.sets.rows_mut()[0].row.perm.key = 0);
    look.change(|look| look.queues.rows_mut()[0].perm.key = 0);
    look
}

fn server() -> Member {
    Member { process: SERVER, began: seconds(20), holds: None }
}

/// What is asked, beside the look.
#[derive(Clone)]
struct Asked {
    story: Story,
    claim: Claim,
    since: Option<SystemTime>,
    server: Member,
    descendants: Vec<ProcessRef>,
    marked: Vec<i32>,
}

impl Asked {
    fn new() -> Self {
        let claim = generic(1);
        Asked {
            story: Story::of(claim.clone()),
            claim,
            since: None,
            server: server(),
            descendants: Vec::new(),
            marked: Vec::new(),
        }
    }

    fn of(&self, look: &Snapshot) -> calls::Calls {
        let Asked { story, claim, since, server, descendants, marked } = self;
        calls::calls(&story.book, claim, *since, server, descendants, marked, look)
    }

    /// How many are own, used, in doubt.
    fn counts(&self, look: &Snapshot) -> [usize; 3] {
        let calls::Calls { own, used, doubtful } = self.of(look);
        [own.len(), used.len(), doubtful.len()]
    }
}

#[test]
fn what_has_no_key_and_only_the_server_used_is_its_own() {
    let found = Asked::new().of(&private()).own;
    let how: Vec<_> = found.iter().map(|seen| (seen.how, seen.role, seen.creator)).collect();
    assert_eq!(how, [(How::Claim, Role::Other, None); 2]);
    let numbers: Vec<u64> = found.iter().map(|seen| seen.object).collect();
    assert_eq!(numbers, [1, 2], "numbered one after the other");
    let kinds = found.iter().map(|seen| matches!(seen.identity, Identity::Sem(_)));
    assert_eq!(kinds.collect::<Vec<_>>(), [true, false]);
}

#[test]
fn what_has_a_key_may_be_anybodys_who_knows_it() {
    assert_eq!(Asked::new().counts(&both()), [0, 0, 2]);
}

#[test]
fn what_is_older_than_the_server_is_not_its_own() {
    // A start time is told in whole seconds, and one may be cut off.
    for (later, own) in [(1, 2), (2, 0)] {
        let mut asked = Asked::new();
        asked.server.began += later;
        assert_eq!(asked.counts(&private()), [own, 0, 2 - own], "{later}");
    }
}

#[test]
fn what_another_living_process_used_too_is_used_and_else_it_is_in_doubt() {
    let mut look = private();
    look.change(|look| {
        look.sets.rows_mut()[0].members = Some(operated_by(&[SERVER.pid, STRANGER]))
    });
    look.change(|look| look.queues.rows_mut()[0].last_receiver = STRANGER);
    look.change(|look| look.queues.rows_mut()[0].rtime = seconds(30));
    assert_eq!(Asked::new().counts(&look), [0, 0, 2]);
    let living = with(look.clone(), process(STRANGER, 5));
    assert_eq!(Asked::new().counts(&living), [0, 2, 0]);
    let ended = with(look, Process { ended: true, ..process(STRANGER, 5) });
    assert_eq!(Asked::new().counts(&ended), [0, 0, 2]);
    let mut noted = Asked::new();
    for identity in Asked::new().of(&living).used {
        noted.story.tell(None, Record::Used { run: 1, identity }).unwrap();
    }
    assert_eq!(noted.counts(&living), [0, 0, 0], "said once");
}

#[test]
fn what_the_server_and_its_descendants_did_not_use_is_not_spoken_of() {
    let mut look = private();
    look.change(|look| look.sets.rows_mut()[0].members = Some(operated_by(&[STRANGER])));
    look.change(|look| look.queues.rows_mut()[0].last_sender = STRANGER);
    assert_eq!(Asked::new().counts(&look), [0, 0, 0]);
    look.change(|look| look.sets.rows_mut()[0].members = None);
    assert_eq!(Asked::new().counts(&look), [0, 0, 0], "it may not be asked");
}

#[test]
fn what_a_living_descendant_used_is_the_servers_and_names_that_descendant() {
    let mut look = private();
    look.change(|look| look.sets.rows_mut()[0].members = Some(operated_by(&[WORKER.pid])));
    look.change(|look| look.queues.rows_mut()[0].last_sender = WORKER.pid);
    assert_eq!(Asked::new().counts(&look), [0, 0, 0], "it is not known as one");
    let asked = Asked { descendants: vec![WORKER], ..Asked::new() };
    let found = asked.of(&look).own;
    let how: Vec<_> = found.iter().map(|seen| (seen.how, seen.creator)).collect();
    assert_eq!(how, [(How::Watch, Some(WORKER)); 2]);
    look.change(|look| {
        look.sets.rows_mut()[0].members = Some(operated_by(&[WORKER.pid, SERVER.pid]))
    });
    assert_eq!(asked.of(&look).own[0].how, How::Claim, "the server itself says more");
}

#[test]
fn what_is_another_users_is_not_its_own() {
    let mut look = private();
    look.change(|look| look.sets.rows_mut()[0].row.perm.creator_uid = OTHER_UID);
    look.change(|look| look.queues.rows_mut()[0].perm.creator_uid = OTHER_UID);
    assert_eq!(Asked::new().counts(&look), [0, 0, 2]);
}

#[test]
fn what_somebody_unseen_may_have_used_is_in_doubt() {
    let mut look = private();
    look.change(|look| look.sight = Sight::Namespace);
    look.change(|look| look.sets.rows_mut()[0].members = Some(operated_by(&[0, SERVER.pid])));
    look.change(|look| look.queues.rows_mut()[0].rtime = seconds(30));
    assert_eq!(Asked::new().counts(&look), [0, 0, 2]);
    look.change(|look| look.sight = Sight::Everybody);
    assert_eq!(Asked::new().counts(&look), [1, 0, 1], "a member that nobody used");
}

#[test]
fn what_came_after_an_earlier_record_is_the_servers_key_or_not() {
    let since = |ago: u64| Asked { since: Some(time(20 - ago)), ..Asked::new() };
    assert_eq!(since(0).counts(&both()), [2, 0, 0]);
    let mut later = Asked::new();
    later.since = Some(time(22));
    assert_eq!(later.counts(&both()), [0, 0, 2], "it was there then");
    let mut before = since(0);
    (before.claim.sets_before, before.claim.queues_before) = (vec![set().id], vec![queue().id]);
    assert_eq!(before.counts(&both()), [0, 0, 2], "it was there before the server");
}

#[test]
fn a_set_with_the_servers_own_mark_is_its_own_though_it_has_a_key() {
    let marked = |id| Asked { marked: vec![id], ..Asked::new() };
    assert_eq!(marked(set().id).counts(&both()), [1, 0, 1]);
    assert_eq!(marked(set().id + 1).counts(&both()), [0, 0, 2]);
    assert_eq!(marked(queue().id).counts(&both()), [0, 0, 2], "a queue has no such mark");
    let mut older = marked(set().id);
    older.server.began += 2;
    assert_eq!(older.counts(&both()), [0, 0, 2], "an earlier process of its number made it");
    let mut shared = both();
    shared.change(|look| {
        look.sets.rows_mut()[0].members = Some(operated_by(&[SERVER.pid, STRANGER]))
    });
    assert_eq!(marked(set().id).counts(&shared), [0, 0, 2]);
}

#[test]
fn what_is_recorded_is_not_recorded_again() {
    let look = private();
    let mut asked = Asked::new();
    for seen in asked.of(&look).own {
        asked.story.tell(None, Record::Object(seen)).unwrap();
    }
    assert_eq!(asked.counts(&look), [0, 0, 0]);
}

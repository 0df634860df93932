//! What speaks against an orphan: which of it is a use, and which a name waives.

use std::time::Duration;

use shmwarden::judge::Reason;
use shmwarden::judge::unowned::Against;

fn uses() -> Vec<Against> {
    vec![
        Against::Attached(1),
        Against::Dest,
        Against::Mapped(1),
        Against::PerhapsMapped(1),
        Against::Waited(1),
        Against::Blocked(1),
        Against::PerhapsBlocked(1),
        Against::LastUserLives(1),
    ]
}

fn waived() -> Vec<Against> {
    let text = || "x".to_owned();
    vec![
        Against::Suspect(text()),
        Against::LedgerUnread(text()),
        Against::UserLives { pid: 1, uid: 2 },
        Against::UserUnread(1),
        Against::Hidden,
        Against::PidsElsewhere,
        Against::CreatorUnseen(1),
        Against::ListElsewhere(text()),
        Against::AnyFile,
    ]
}

fn neither() -> Vec<Against> {
    let text = || "x".to_owned();
    vec![
        Against::Recorded(text()),
        Against::UseUnseen,
        Against::LastUserUnseen,
        Against::CreatorLives(1),
        Against::Listed(text()),
        Against::ListedByDead { list: text(), first: text() },
        Against::ListUnread(text()),
        Against::Young(Duration::from_secs(1)),
        Against::NoIdentity,
        Against::ListedStays(text(), Box::new(Against::Attached(1))),
        Against::MainStays(text()),
        Against::MayLead(text(), Box::new(Against::Hidden)),
        Against::UnknownLayout,
        Against::Unreadable,
        Against::NotYours(1),
    ]
}

#[test]
fn what_is_in_use_is_held_and_what_speaks_for_a_mere_wish_is_waived_by_name() {
    for (all, is_use, is_waived) in
        [(uses(), true, false), (waived(), false, true), (neither(), false, false)]
    {
        for against in all {
            let found = (against.is_use(), against.is_waived_by_name());
            assert_eq!(found, (is_use, is_waived), "{against:?}");
            assert_eq!(Reason::NotOrphan(against).is_held(), is_use);
        }
    }
}

#[test]
fn each_has_a_word_of_its_own() {
    let all = [uses(), waived(), neither()].concat();
    let mut words: Vec<&str> = all.iter().map(Against::code).collect();
    words.sort_unstable();
    words.dedup();
    assert_eq!((words.len(), all.len()), (32, 32));
}

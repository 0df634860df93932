//! The status of objects where a place of ledgers could not be looked at, and whose word counts.

use std::path::PathBuf;

use super::make::{Change, Story, UID, file, row, server, with};
use crate::judge::status::{Account, Status, Unlooked, Whose, statuses};
use crate::ledger::record::End;
use crate::object::Identity;
use crate::snapshot::{Snapshot, Table, identity_of};
use crate::sys::IpcPerm;
use crate::sys::shm::Row;

fn unlooked(whose: Whose) -> Unlooked {
    Unlooked { place: "/srv/l (Permission denied)".to_owned(), whose }
}

fn said(look: &Snapshot, accounts: &[Account], whose: Whose) -> (Status, &'static str, String) {
    let judged = statuses(look, accounts, &[unlooked(whose)]);
    assert_eq!(judged.len(), 1);
    (judged[0].verdict, judged[0].why.code(), judged[0].sentence())
}

#[test]
fn what_may_be_in_a_ledger_that_could_not_be_read_is_no_orphan() {
    let look = with(vec![row(1)], vec![]);
    for whose in [Whose::Anybody, Whose::User(0), Whose::User(UID)] {
        let (verdict, code, text) = said(&look, &[], whose);
        assert_eq!((verdict, code), (Status::Unrecorded, "ledger-unread"));
        assert!(text.contains("/srv/l (Permission denied) could not be looked at"), "{text}");
        assert!(!text.contains("in no ledger"), "{text}");
    }
    let attached = with(vec![Row { nattch: 1, ..row(1) }], vec![]);
    let (verdict, code, text) = said(&attached, &[], Whose::Anybody);
    assert_eq!((verdict, code), (Status::Unrecorded, "attached"));
    assert!(text.starts_with("perhaps in a ledger: ") && text.ends_with("(nattch 1)"), "{text}");
}

#[test]
fn a_users_place_casts_doubt_on_that_users_objects_alone() {
    let look = with(vec![row(1)], vec![]);
    let (verdict, code, text) = said(&look, &[], Whose::User(UID + 1));
    assert_eq!((verdict, code), (Status::Orphan, "creator-dead"));
    assert!(text.starts_with("in no ledger; "), "{text}");
    let of_creator =
        Row { perm: IpcPerm { uid: UID + 2, creator_uid: UID + 1, ..row(1).perm }, ..row(1) };
    let (_, code, _) = said(&with(vec![of_creator], vec![]), &[], Whose::User(UID + 1));
    assert_eq!(code, "ledger-unread");
}

#[test]
fn who_may_not_read_the_ledgers_of_others_is_told_so() {
    let look = with(vec![row(1)], vec![]);
    for whose in [Whose::OthersThan(UID + 1), Whose::RootsAlone] {
        let (verdict, code, text) = said(&look, &[], whose);
        assert_eq!((verdict, code), (Status::Orphan, "creator-dead"));
        assert!(text.starts_with("in no ledger that you may read; "), "{text}");
    }
    let (_, _, text) = said(&look, &[], Whose::OthersThan(UID));
    assert!(text.starts_with("in no ledger; "), "{text}");
}

#[test]
fn what_a_ledger_that_was_read_has_is_judged_by_that() {
    let look = with(vec![row(1)], vec![]);
    let account = Story::begin().has(&row(1)).ended(End::Signal(9)).account(&look);
    assert_eq!(said(&look, &[account], Whose::Anybody).0, Status::Stale);
}

#[test]
fn what_a_ledger_says_of_objects_that_its_owner_could_not_remove_counts_for_nothing() {
    let mut look = with(vec![row(1)], vec![]);
    look.change(|look| look.processes.add(server()));
    let verdict = |owner: u32, look: &Snapshot| {
        let mut account = Story::begin().has(&row(1)).account(look);
        account.source = (PathBuf::from("/home/u/a.ledger"), owner);
        statuses(look, &[account], &[])[0].verdict
    };
    assert_eq!(verdict(UID, &look), Status::Live);
    assert_eq!(verdict(0, &look), Status::Live);
    assert_eq!(verdict(UID + 1, &look), Status::Unrecorded, "forged by another user");
    look.change(|look| look.processes = Table::Whole(vec![]));
    assert_eq!(verdict(UID + 1, &look), Status::Orphan);
}

#[test]
fn the_word_of_a_user_on_what_is_used_counts_where_he_may_use_it() {
    let code = |mode: u32| {
        let look = with(vec![Row { perm: IpcPerm { mode, ..row(1).perm }, ..row(1) }], vec![]);
        let mut account = Story::begin().ended(End::Signal(9)).account(&look);
        account.book.used.push((1, Identity::Shm(identity_of(&row(1)))));
        account.source = (PathBuf::from("/home/u/a.ledger"), UID + 1);
        statuses(&look, &[account], &[])[0].why.code()
    };
    assert_eq!((code(0o660), code(0o600)), ("used", "creator-dead"));
}

#[test]
fn a_file_is_its_owners() {
    let look = with(vec![], vec![file("PostgreSQL.1")]);
    assert_eq!(said(&look, &[], Whose::User(UID)).1, "ledger-unread");
    assert_eq!(said(&look, &[], Whose::User(UID + 1)).1, "no-user");
}

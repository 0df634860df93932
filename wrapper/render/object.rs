//! One object as a document. Every field is always there, null where it is unknown; the names are
//! a promise.

use serde::Serialize;
use shmwarden::judge::status::holders::{Held, Holding};
use shmwarden::judge::status::{Judged, Subject};
use shmwarden::object::Bytes;

use super::json::{self, Holder};
use super::shown::{self, Shown};

/// An object.
#[derive(Debug, Serialize)]
pub(crate) struct Object<'a> {
    kind: &'static str,
    id: Option<i32>,
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name_bytes: Option<String>,
    key: Option<String>,
    owner: Option<String>,
    uid: u32,
    gid: u32,
    creator_uid: Option<u32>,
    creator_gid: Option<u32>,
    perms: String,
    bytes: Option<u64>,
    resident_bytes: Option<u64>,
    nattch: Option<u64>,
    nsems: Option<u64>,
    messages: Option<u64>,
    waiters: Option<u64>,
    last_operator: Option<i32>,
    device: Option<u64>,
    inode: Option<u64>,
    status: Vec<&'static str>,
    creator: Option<Creator>,
    changed_at: Option<String>,
    holders: Option<Vec<Holder<'a>>>,
    unexplained: Option<u64>,
    unreadable: Option<usize>,
    instance: Option<&'a str>,
    ledger: Option<String>,
    verdict: &'static str,
    reason_code: &'static str,
    reason: String,
}

#[derive(Debug, Serialize)]
struct Creator {
    pid: i32,
    alive: bool,
    command: Option<String>,
}

/// The document of an object.
pub(crate) fn document<'a>(one: &Judged<'_>, shown: &'a Shown<'_>) -> Object<'a> {
    let subject = one.subject;
    let (uid, gid) = subject.owner();
    let creator = subject.creator();
    let name = name(subject);
    let (waiters, last_operator) = shown.waiters_and_operator(subject);
    let holding = shown.holding(one);
    Object {
        kind: subject.kind().word(),
        id: subject.id(),
        name: name.map(Bytes::lossy),
        name_bytes: name.and_then(json::name_bytes),
        key: subject.key().map(|key| format!("0x{key:08x}")),
        owner: shown.user(uid),
        uid,
        gid,
        creator_uid: creator.map(|(uid, _)| uid),
        creator_gid: creator.map(|(_, gid)| gid),
        perms: format!("{:04o}", subject.permissions()),
        bytes: subject.bytes(),
        resident_bytes: shown.resident(subject),
        nattch: match subject {
            Subject::Shm(row) => Some(row.nattch),
            _ => None,
        },
        nsems: match subject {
            Subject::Sem(set) => Some(set.row.members),
            _ => None,
        },
        messages: match subject {
            Subject::Msg(row) => Some(row.messages),
            _ => None,
        },
        waiters,
        last_operator,
        device: file(subject).map(|(dev, _)| dev),
        inode: file(subject).map(|(_, ino)| ino),
        status: shown.status(one),
        creator: shown.creator(subject).map(|creator| Creator {
            pid: creator.pid,
            alive: creator.command.is_some(),
            command: creator.command,
        }),
        changed_at: shown::changed(subject)
            .map(|time| humantime::format_rfc3339_seconds(time).to_string()),
        unexplained: holding.as_ref().and_then(|holding| holding.unexplained),
        unreadable: holding.as_ref().map(|holding| holding.closed.len()),
        holders: holding.map(|holding| holders(&holding, shown)),
        instance: shown.instance(one.account),
        ledger: shown
            .view
            .source(one.account)
            .map(|source| source.path.to_string_lossy().into_owned()),
        verdict: one.verdict.word(),
        reason_code: one.why.code(),
        reason: one.sentence(),
    }
}

fn holders<'a>(holding: &Holding, shown: &'a Shown<'_>) -> Vec<Holder<'a>> {
    let one = |held: &Held| {
        let user = held.holder.uid.and_then(|uid| shown.user(uid));
        let instance = shown.instance(held.account);
        Holder::of(&held.holder, user, Some(held.how.word()), instance)
    };
    holding.holders.iter().map(one).collect()
}

fn name(subject: Subject<'_>) -> Option<&Bytes> {
    match subject {
        Subject::Posix(file) => Some(&file.name),
        _ => None,
    }
}

fn file(subject: Subject<'_>) -> Option<(u64, u64)> {
    match subject {
        Subject::Posix(file) => Some((file.facts.dev, file.facts.ino)),
        _ => None,
    }
}

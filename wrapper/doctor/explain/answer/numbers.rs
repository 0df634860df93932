//! Answers where a number is at stake: of ids, of bytes, of pages. Pure.

use shmwarden::judge::status::{Judged, Kind, Status};

use super::{Answer, NO_DISK};
use crate::doctor::explain::{Call, Message, Scene, Topic};
use crate::host::kernel::ShmFileSystem;

/// ENOSPC of shmget, semget, msgget.
pub(crate) fn no_ids(kind: Kind, message: &Message, scene: &Scene<'_>) -> Answer {
    let means = match kind {
        Kind::Sem => {
            "The kernel gives out no more semaphore sets: their number (semmni) or that of all \
             semaphores (semmns) is reached. A server that was killed leaves its sets behind, and \
             they count until somebody removes them."
        }
        Kind::Msg => {
            "The kernel gives out no more message queues: their number (msgmni) is reached."
        }
        Kind::Shm | Kind::Posix => {
            "The kernel gives out no more shared memory: the number of segments (shmmni) or the \
             memory of all segments (shmall) is reached. Segments of servers that were killed \
             count until somebody removes them."
        }
    };
    let mut answer = Answer::of(format!("{NO_DISK} {means}"));
    if !limits(kind, message, scene, &mut answer) {
        answer.here.push(
            "so it was another moment, or another IPC namespace (a container, a unit with \
             PrivateIPC=): limits are counted in each by itself"
                .to_owned(),
        );
        answer.run("start the server again; if it fails again, run this inside its container");
    }
    answer
}

/// Says how full the limits of a kind are, and of a full one what makes room; whether one is full.
pub(crate) fn limits(
    kind: Kind,
    message: &Message,
    scene: &Scene<'_>,
    answer: &mut Answer,
) -> bool {
    let page = scene.limits.page_bytes.max(1);
    let pages = message.bytes.unwrap_or(1).div_ceil(page);
    let limits: &[(&str, u64)] = match kind {
        Kind::Sem => &[("semmni", 1), ("semmns", message.semaphores.unwrap_or(1))],
        Kind::Msg => &[("msgmni", 1)],
        Kind::Shm | Kind::Posix => &[("shmmni", 1), ("shmall", pages)],
    };
    let mut full = false;
    for (name, more) in limits {
        let Some((is_full, sentence)) = scene.room(name, *more) else {
            continue;
        };
        answer.here.push(sentence);
        if is_full {
            full = true;
            if let Some((who, fix)) = scene.crowd(name, *more) {
                answer.here.extend(who);
                answer.run(fix);
            }
        }
    }
    full
}

/// What a server can do to want less, as its own words have it.
fn less(message: &Message) -> &'static str {
    match message.of_postgres {
        true => "lower shared_buffers",
        false => "let the program ask for less, in its own settings",
    }
}

/// Says what is wrong with `/dev/shm` itself, or how full it is.
pub(crate) fn state_of_dev_shm(scene: &Scene<'_>, answer: &mut Answer) {
    let Some(fs) = scene.limits.shm_fs else {
        answer.here.push("/dev/shm cannot be opened here: it is not there, or closed".to_owned());
        answer.run("as root: mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /dev/shm");
        return;
    };
    if !fs.is_tmpfs {
        answer
            .here
            .push("/dev/shm is no tmpfs here, but a directory of another file system".to_owned());
        answer.run("as root: mount -t tmpfs -o mode=1777,nosuid,nodev tmpfs /dev/shm");
    }
    if fs.mode & 0o7777 != 0o1777 {
        answer.here.push(format!(
            "the mode of /dev/shm is {:04o}, of user {}: it has to be 1777, for every user",
            fs.mode & 0o7777,
            (scene.names)(fs.owner)
        ));
        answer.run("as root: chmod 1777 /dev/shm");
    }
    if fs.total_bytes > 0 {
        let (used, total) = ((scene.size)(fs.used_bytes), (scene.size)(fs.total_bytes));
        answer.here.push(format!("{used} of {total} in /dev/shm are taken"));
    }
}

/// EINVAL of shmget.
pub(crate) fn too_large(message: &Message, scene: &Scene<'_>) -> Answer {
    let mut answer = Answer::of(
        "The size does not fit: it is over the kernel's limit for one segment (shmmax), or 0, or \
         the key already names a smaller segment.",
    );
    let most = scene.limits.shmmax;
    if let Some((bytes, most)) = message.bytes.zip(most) {
        let (asked, allowed) = ((scene.size)(bytes), (scene.size)(most));
        if bytes > most {
            answer.here.push(format!("{asked} were asked for, and shmmax allows {allowed}"));
            answer.run(format!(
                "as root: sysctl -w kernel.shmmax={bytes}, and in /etc/sysctl.d too; or {}",
                less(message)
            ));
        } else {
            answer.here.push(format!("shmmax allows it now: {asked} of {allowed}"));
        }
    } else if let Some(most) = most {
        answer.here.push(format!("shmmax is {}", (scene.size)(most)));
    }
    if let Some(one) = scene.object(Kind::Shm, message) {
        let smaller =
            one.subject.bytes().zip(message.bytes).is_some_and(|(there, asked)| there < asked);
        if smaller {
            answer
                .here
                .push("the key names a segment that is smaller than was asked for".to_owned());
        }
        answer.here.extend(scene.describe(one));
        answer.run(what_to_do(one));
    }
    if answer.run.is_empty() {
        answer.run(format!("{}, or compare with: sysctl kernel.shmmax", less(message)));
    }
    answer
}

/// EINVAL of semget.
pub(crate) fn too_many_members(message: &Message, scene: &Scene<'_>) -> Answer {
    let mut answer = Answer::of(
        "The set does not fit: it has more semaphores than the kernel allows for one (semmsl), or \
         the key already names a smaller set.",
    );
    if let Some(sem) = scene.limits.sem {
        let asked =
            message.semaphores.map_or_else(String::new, |n| format!(", {n} were asked for"));
        answer.here.push(format!("semmsl is {}{asked}", sem.semmsl));
    }
    if let Some(one) = scene.object(Kind::Sem, message) {
        answer.here.extend(scene.describe(one));
        answer.run(what_to_do(one));
    }
    let sem = scene.limits.sem;
    if sem.zip(message.semaphores).is_none_or(|(sem, asked)| asked > sem.semmsl) {
        answer.run("as root: raise the first number of sysctl kernel.sem");
    }
    answer
}

/// ENOMEM of shmget, or of an mmap of huge pages.
pub(crate) fn no_memory(message: &Message, scene: &Scene<'_>) -> Answer {
    let is_mmap = message.topic == Topic::Failed(Call::Mmap);
    let mut answer = Answer::of(
        "The kernel cannot promise that much memory: there is not enough of it, the overcommit \
         rules forbid it (vm.overcommit_memory=2), the control group has no more, or too few huge \
         pages are free.",
    );
    if let Some(bytes) = message.bytes {
        answer.here.push(format!("{} were asked for", (scene.size)(bytes)));
    }
    answer.here.extend(scene.memory());
    answer.here.extend(scene.huge_pages());
    if let Some(huge) = scene.limits.huge {
        let free = huge.free.saturating_sub(huge.reserved);
        let wanted = message.bytes.map(|bytes| bytes.div_ceil(huge.page_bytes.max(1)));
        let wanted = wanted.filter(|wanted| *wanted > free);
        if let Some(wanted) = wanted.filter(|_| is_mmap || message.huge) {
            let more = huge.total.saturating_add(wanted - free);
            let unless = if message.huge { "" } else { "where it wants huge pages: " };
            let or = if message.of_postgres { "; or huge_pages=try" } else { "" };
            answer.run(format!("{unless}as root: sysctl -w vm.nr_hugepages={more}{or}"));
        }
    }
    // What is mapped without a key does not count there.
    let counted = message.bytes.filter(|_| !is_mmap);
    if let Some((true, sentence)) =
        counted.and_then(|b| scene.room("shmall", b.div_ceil(scene.limits.page_bytes.max(1))))
    {
        answer.here.push(sentence);
    }
    let leaked = |one: &&Judged<'_>| one.verdict == Status::Stale;
    if scene.judged.iter().any(|one| leaked(&one)) {
        answer.run("shmwarden sweep frees what dead servers left");
    }
    answer
        .run(format!("shmwarden list --sort -bytes shows who has how much; or {}", less(message)));
    answer
}

/// "could not resize shared memory segment", ENOSPC on `/dev/shm`.
pub(crate) fn no_room(message: &Message, scene: &Scene<'_>) -> Answer {
    let mut answer = Answer::of(match message.of_postgres {
        true => {
            "This is not a disk, but memory: the tmpfs at /dev/shm, where PostgreSQL keeps the \
                 shared memory of its parallel queries, has no room for it."
        }
        false => {
            "This is not a disk, but memory: the tmpfs at /dev/shm, where shared memory of \
                 POSIX lies, has no room for it."
        }
    });
    let asked = message
        .bytes
        .map_or_else(String::new, |bytes| format!("; {} were asked for", (scene.size)(bytes)));
    let has_room = |fs: ShmFileSystem| {
        let needed = fs.used_bytes.saturating_add(message.bytes.unwrap_or(1));
        fs.total_bytes == 0 || needed <= fs.total_bytes
    };
    if let Some(fs) = scene.limits.shm_fs {
        let (used, total) = ((scene.size)(fs.used_bytes), (scene.size)(fs.total_bytes));
        answer.here.push(format!("{used} of {total} in /dev/shm are taken{asked}"));
    }
    if scene.limits.shm_fs.is_some_and(has_room) {
        answer.here.push(
            "that has room now: it was full at that moment, or the message is of a container with \
             a /dev/shm of its own"
                .to_owned(),
        );
        answer.run("shmwarden list --kind posix --sort -bytes shows who has how much of it now");
    } else if let Some((who, fix)) = scene.crowd("/dev/shm", message.bytes.unwrap_or(0)) {
        answer.here.extend(who);
        answer.run(fix);
    } else {
        answer.run("df -h /dev/shm shows how large it is, and how much of it is taken");
    }
    if scene.limits.shm_fs.is_none_or(|fs| !fs.is_tmpfs || fs.mode & 0o7777 != 0o1777) {
        state_of_dev_shm(scene, &mut answer);
    }
    answer.run(
        "in a container look there: each has a /dev/shm of its own, 64 MiB where nobody asked for \
         more",
    );
    answer
}

/// What can be done with an object that is in the way.
pub(crate) fn what_to_do(one: &Judged<'_>) -> &'static str {
    match one.verdict {
        Status::Stale => "shmwarden sweep, as its owner or root: it is stale",
        Status::Orphan => "shmwarden adopt --dry-run, as its owner or root: it is an orphan",
        Status::Idle => {
            "shmwarden adopt --dry-run ID, as its owner or root, if that user's programs do not \
             want it any more"
        }
        _ => {
            "it is in use or may be: leave it, and give the server that was to start another key, \
             port or data directory"
        }
    }
}

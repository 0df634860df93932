//! Answers where a number is at stake: of ids, of bytes, of pages. Pure.

use shmwarden::judge::status::{Judged, Kind, Status};

use super::{Answer, NO_DISK};
use crate::doctor::explain::{Call, Message, Scene};
use crate::host::kernel::ShmFileSystem;

/// ENOSPC of shmget, semget, msgget.
pub(crate) fn no_ids(kind: Kind, message: &Message, scene: &Scene<'_>) -> Answer {
    let page = scene.limits.page_bytes.max(1);
    let pages = message.bytes.unwrap_or(1).div_ceil(page);
    let members = message.semaphores.unwrap_or(1);
    let (means, limits): (&str, Vec<(&str, u64)>) = match kind {
        Kind::Sem => (
            "The kernel gives out no more semaphore sets: their number (semmni) or that of all \
             semaphores (semmns) is reached. A server that was killed leaves its sets behind, and \
             they count until somebody removes them.",
            vec![("semmni", 1), ("semmns", members)],
        ),
        Kind::Msg => (
            "The kernel gives out no more message queues: their number (msgmni) is reached.",
            vec![("msgmni", 1)],
        ),
        Kind::Shm | Kind::Posix => (
            "The kernel gives out no more shared memory: the number of segments (shmmni) or the \
             memory of all segments (shmall) is reached. Segments of servers that were killed \
             count until somebody removes them.",
            vec![("shmmni", 1), ("shmall", pages)],
        ),
    };
    let mut answer = Answer::of(&format!("{NO_DISK} {means}"));
    let mut full = false;
    for (name, more) in limits {
        let Some((is_full, sentence)) = scene.room(name, more) else {
            continue;
        };
        answer.here.push(sentence);
        if is_full {
            full = true;
            if let Some((who, fix)) = scene.crowd(name, more) {
                answer.here.extend(who);
                answer.run(fix);
            }
        }
    }
    if !full {
        answer.here.push(
            "so it was another moment, or another IPC namespace (a container, a unit with \
             PrivateIPC=): limits are counted in each by itself"
                .to_owned(),
        );
        answer.run("start the server again; if it fails again, run this inside its container");
    }
    answer
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
                "sysctl -w kernel.shmmax={bytes}, and in /etc/sysctl.d too; or lower shared_buffers"
            ));
        } else {
            answer.here.push(format!("shmmax allows it now: {asked} of {allowed}"));
        }
    } else if let Some(most) = most {
        answer.here.push(format!("shmmax is {}", (scene.size)(most)));
    }
    if let Some(one) = scene.object(Kind::Shm, message) {
        answer.here.extend(scene.describe(one));
        answer.run("shmwarden who names who holds it; shmwarden sweep removes it if it is stale");
    }
    if answer.run.is_empty() {
        answer.run("lower shared_buffers, or compare with: sysctl kernel.shmmax");
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
    }
    answer.run("raise the first number of: sysctl kernel.sem");
    answer
}

/// ENOMEM of shmget, or of an mmap of huge pages.
pub(crate) fn no_memory(call: Call, message: &Message, scene: &Scene<'_>) -> Answer {
    let mut answer = Answer::of(
        "The kernel cannot promise that much memory: there is not enough of it, the overcommit \
         rules forbid it (vm.overcommit_memory=2), the control group has no more, or too few huge \
         pages are free.",
    );
    if let Some(bytes) = message.bytes {
        answer.here.push(format!("{} were asked for", (scene.size)(bytes)));
    }
    if let Some((total, available)) = scene.limits.memory {
        let (total_text, available_text) = ((scene.size)(total), (scene.size)(available));
        answer.here.push(format!("{available_text} of {total_text} memory can be had now"));
    }
    if let Some(huge) = scene.limits.huge {
        let free = huge.free.saturating_sub(huge.reserved);
        answer.here.push(format!(
            "{free} of {} huge pages are free, each of {}",
            huge.total,
            (scene.size)(huge.page_bytes)
        ));
        let wanted = message.bytes.map(|bytes| bytes.div_ceil(huge.page_bytes.max(1)));
        let wanted = wanted.filter(|wanted| *wanted > free);
        if let Some(wanted) = wanted.filter(|_| matches!(call, Call::HugeMmap | Call::Mmap)) {
            let more = huge.total.saturating_add(wanted - free);
            let unless = if call == Call::Mmap { "where huge_pages is on: " } else { "" };
            answer.run(format!("{unless}sysctl -w vm.nr_hugepages={more}; or huge_pages=try"));
        }
    }
    // What is mapped without a key does not count there.
    let counted = message.bytes.filter(|_| call != Call::Mmap);
    if let Some((true, sentence)) =
        counted.and_then(|b| scene.room("shmall", b.div_ceil(scene.limits.page_bytes.max(1))))
    {
        answer.here.push(sentence);
    }
    let leaked = |one: &&Judged<'_>| one.verdict == Status::Stale;
    if scene.judged.iter().any(|one| leaked(&one)) {
        answer.run("shmwarden sweep frees what dead servers left");
    }
    answer.run("shmwarden list --sort -bytes shows who has how much; or lower shared_buffers");
    answer
}

/// "could not resize shared memory segment", ENOSPC on `/dev/shm`.
pub(crate) fn resize(message: &Message, scene: &Scene<'_>) -> Answer {
    let mut answer = Answer::of(
        "This is not a disk, but memory: the tmpfs at /dev/shm, where PostgreSQL keeps the shared \
         memory of its parallel queries, has no room for it.",
    );
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
    answer.run(
        "in a container look there: each has a /dev/shm of its own, 64 MiB where nobody asked for \
         more",
    );
    answer
}

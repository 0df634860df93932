//! Answers about what only looks like a limit of the kernel, or has no limit behind it. Pure.

use nix::errno::Errno;
use shmwarden::judge::status::Kind;

use super::numbers::{no_ids, state_of_dev_shm};
use super::{Answer, errno};
use crate::doctor::explain::{Message, Scene, Topic};

/// Directories in which web servers keep files for their mutexes.
const LOCK_DIRECTORIES: [&str; 4] =
    ["/run/lock", "/var/lock/apache2", "/run/apache2", "/run/httpd"];

/// A mutex of a web server: a semaphore, or a file.
pub(crate) fn mutex(message: &Message, scene: &Scene<'_>) -> Answer {
    let as_file = "file: the file system of its lock directory";
    let mut answer = match message.errno {
        Some(Errno::ENOSPC) => {
            let mut answer = no_ids(Kind::Sem, message, scene);
            answer.means = format!(
                "Where the mutex is a semaphore (Mutex sysvsem): {} Where it is a {as_file} is \
                 full.",
                answer.means
            );
            answer
        }
        Some(errno) => Answer::of(format!(
            "A mutex could not be made: {}. As a semaphore (Mutex sysvsem) that hangs on semget; \
             as a {as_file} and its permissions.",
            errno::meaning(errno)
        )),
        None => Answer::of(format!(
            "A mutex could not be made. As a semaphore (Mutex sysvsem) that hangs on semget; as a \
             {as_file} and its permissions."
        )),
    };
    for directory in LOCK_DIRECTORIES {
        answer.here.extend((scene.disk)(directory));
    }
    answer.run("see the Mutex directive; shmwarden list --kind sem shows what is left of it");
    answer
}

/// Memory in a file of a disk, not of `/dev/shm`.
pub(crate) fn on_disk(message: &Message, scene: &Scene<'_>) -> Answer {
    let path = message.path.as_deref().unwrap_or_default();
    let path_text = (scene.safe)(path);
    let mut answer = Answer::of(format!(
        "The memory is a file of its own here, {path_text}, and no limit on shared memory: that \
         directory's file system, or its permissions, are in the way."
    ));
    if message.errno == Some(Errno::ENOENT) {
        answer
            .run("make the directory, for the user of the server: it has to be there at the start");
    }
    if path.starts_with('/') {
        answer.here.extend((scene.disk)(path));
    } else {
        answer
            .means
            .push_str(" It is relative to the data directory (dynamic_shared_memory_type=mmap).");
        answer.run(
            "df -h and df -i of the data directory; dynamic_shared_memory_type=posix avoids it",
        );
    }
    if answer.run.is_empty() {
        answer.run("df -h and df -i of its directory");
    }
    answer
}

/// A topic that no object here is behind: its row of the table, and what bears on it here.
pub(crate) fn topic(message: &Message, scene: &Scene<'_>) -> Answer {
    let is_other = message.topic == Topic::LockTable && !message.of_postgres;
    let word = if is_other { "lock-table-other" } else { message.topic.word() };
    let mut rows = include_str!("../topics.tsv").lines().map(|line| line.split('\t'));
    let Some(mut row) = rows.find_map(|mut row| (row.next() == Some(word)).then_some(row)) else {
        return Answer::default();
    };
    let looks = row.next().unwrap_or_default();
    let mut answer = Answer::of(row.next().unwrap_or_default());
    if looks.contains("shm") {
        state_of_dev_shm(scene, &mut answer);
    }
    if looks.contains("memory") {
        answer.here.extend(scene.memory());
    }
    if looks.contains("huge") {
        answer.here.extend(scene.huge_pages());
    }
    answer.run.extend(row.map(str::to_owned));
    answer
}

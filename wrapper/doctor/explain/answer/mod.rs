//! Puts a message beside what there is on this machine: what it means, whether that still holds,
//! what to run. Pure.

mod lock_file;
mod numbers;
mod objects;

use lock_file::lock_file;
use numbers::{no_ids, no_memory, resize, too_large, too_many_members};
use objects::{not_mine, still_in_use, vanished};
use shmwarden::judge::status::Kind;

use super::{Call, Errno, Message, Scene, Topic};

/// A message in words.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Answer {
    /// The meaning.
    pub(crate) means: String,
    /// The facts of this machine, a sentence each.
    pub(crate) here: Vec<String>,
    /// The commands to run or things to do, the first one first.
    pub(crate) run: Vec<String>,
}

impl Answer {
    fn of(means: &str) -> Self {
        Self { means: means.to_owned(), ..Self::default() }
    }

    fn run(&mut self, what: impl Into<String>) {
        self.run.push(what.into());
    }
}

const NO_DISK: &str = "This is not a disk, but a number that the kernel allows.";

/// Explains a message.
pub(crate) fn answer(message: &Message, scene: &Scene<'_>) -> Answer {
    match (message.topic, message.errno) {
        (Topic::StillInUse, _) => still_in_use(message, scene),
        (
            Topic::LockFile
            | Topic::LockFileEmpty
            | Topic::LockFileDamaged
            | Topic::LockFileLocked
            | Topic::LockFileStays
            | Topic::LockFileLost,
            _,
        ) => lock_file(message, scene),
        (Topic::Resize, _) => resize(message, scene),
        (Topic::Mutex, Some(Errno::NoSpace)) => mutex_without_room(message, scene),
        (Topic::Mutex, _) => mutex(message),
        (Topic::Failed(call), Some(errno)) => failed(call, errno, message, scene),
        (Topic::Failed(call), None) => without_errno(call, message, scene),
        (Topic::Bare, errno) => bare(errno, message, scene),
    }
}

fn failed(call: Call, errno: Errno, message: &Message, scene: &Scene<'_>) -> Answer {
    match (call, errno) {
        (Call::Shmget, Errno::NoSpace) => no_ids(Kind::Shm, message, scene),
        (Call::Semget | Call::Semop, Errno::NoSpace) => no_ids(Kind::Sem, message, scene),
        (Call::Msgget, Errno::NoSpace) => no_ids(Kind::Msg, message, scene),
        (Call::Shmget, Errno::Invalid) => too_large(message, scene),
        (Call::Semget, Errno::Invalid) => too_many_members(message, scene),
        (Call::Shmget | Call::HugeMmap | Call::Mmap, Errno::NoMemory) => {
            no_memory(call, message, scene)
        }
        (Call::ShmOpen, Errno::NoSpace) => resize(message, scene),
        (Call::ShmOpen, Errno::Missing) => vanished(message, scene),
        (Call::Semop | Call::Shmat, Errno::Invalid | Errno::Removed) => vanished(message, scene),
        (_, Errno::Access | Errno::Permission) => not_mine(call, message, scene),
        (_, Errno::NoCall) => {
            let mut answer = Answer::of(
                "The kernel has no such call for this program: System V IPC is not built in, or a \
                 filter (seccomp, a container's profile) forbids it.",
            );
            answer.run("start the container with a profile that allows shmget, semget and msgget");
            answer
        }
        _ => without_errno(call, message, scene),
    }
}

/// A mutex may be a file as well, and then its disk may be full.
fn mutex_without_room(message: &Message, scene: &Scene<'_>) -> Answer {
    let mut answer = no_ids(Kind::Sem, message, scene);
    answer.means = format!(
        "Where the mutex is a semaphore (Mutex sysvsem): {} Where it is a file: the file system of \
         its lock directory is full.",
        answer.means
    );
    answer.run("where it is a file: df -h and df -i of the directory that the Mutex line names");
    answer
}

fn mutex(message: &Message) -> Answer {
    let mut answer = Answer::of(
        "The web server could not make one of its mutexes. As a semaphore (Mutex sysvsem) that \
         hangs on semget; as a file on the permissions of its lock directory.",
    );
    if message.errno.is_some_and(|errno| errno != Errno::NoSpace) {
        answer.here.push("this errno speaks of a file, not of semaphores".to_owned());
    }
    answer.run("see the Mutex directive; shmwarden list --kind sem shows what is left of it");
    answer
}

fn without_errno(call: Call, message: &Message, scene: &Scene<'_>) -> Answer {
    let mut answer = Answer::of(&format!(
        "{} failed, and the message does not say why in words that are known here. ENOSPC would be \
         a limit on numbers, EINVAL a size, ENOMEM memory, EACCES another user's object.",
        call.name()
    ));
    let kind = match call {
        Call::Semget | Call::Semop => Kind::Sem,
        Call::Msgget => Kind::Msg,
        Call::Shmget | Call::Shmat | Call::ShmOpen | Call::HugeMmap | Call::Mmap => Kind::Shm,
    };
    if let Some(one) = scene.object(kind, message) {
        answer.here.extend(scene.describe(one));
    }
    answer.run("shmwarden doctor shows which limit is reached");
    answer
}

/// An errno alone: what each call would mean by it.
fn bare(errno: Option<Errno>, message: &Message, scene: &Scene<'_>) -> Answer {
    match errno {
        Some(Errno::NoSpace) => {
            let mut answer = no_ids(Kind::Shm, message, scene);
            let sets = no_ids(Kind::Sem, message, scene);
            answer.means = format!(
                "From shmget, semget or msgget: {NO_DISK} From a write to /dev/shm: \
                 that tmpfs is full. From anything else: a disk."
            );
            answer.here.extend(sets.here);
            answer.run.extend(sets.run);
            answer.here.dedup();
            answer.run.dedup();
            answer
        }
        Some(Errno::Invalid) => too_large(message, scene),
        Some(Errno::NoMemory) => no_memory(Call::Shmget, message, scene),
        Some(Errno::Access | Errno::Permission) => not_mine(Call::Shmget, message, scene),
        Some(Errno::Removed | Errno::Missing) => vanished(message, scene),
        _ => without_errno(Call::Shmget, message, scene),
    }
}

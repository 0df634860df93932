//! Puts a message beside what there is on this machine: what it means, whether that still holds,
//! what to run. Pure.

mod lock_file;
mod numbers;
mod objects;
mod others;

use lock_file::lock_file;
use nix::errno::Errno;
use numbers::{no_ids, no_memory, no_room, too_large, too_many_members};
use objects::{in_the_way, still_in_use, vanished};
use others::{mutex, on_disk};
use serde::Serialize;
use shmwarden::judge::status::Kind;

use super::call::{self, BY_ID, Call};
use super::{Message, Scene, Topic, errno};

/// A message in words.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub(crate) struct Answer {
    /// The meaning.
    pub(crate) means: String,
    /// The facts of this machine, a sentence each.
    pub(crate) here: Vec<String>,
    /// The commands to run or things to do, the first one first.
    pub(crate) run: Vec<String>,
}

impl Answer {
    fn of(means: impl Into<String>) -> Self {
        Self { means: means.into(), ..Self::default() }
    }

    fn run(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.run.contains(&what) {
            self.run.push(what);
        }
    }
}

const NO_DISK: &str = "This is not a disk, but a number that the kernel allows.";

/// Explains a message.
pub(crate) fn answer(message: &Message, scene: &Scene<'_>) -> Answer {
    match message.topic {
        Topic::StillInUse => still_in_use(message, scene),
        Topic::LockFile
        | Topic::LockFileEmpty
        | Topic::LockFileDamaged
        | Topic::LockFileLocked
        | Topic::LockFileStays
        | Topic::LockFileLost => lock_file(message, scene),
        Topic::Resize
            if message.path.as_ref().is_some_and(|path| !path.starts_with("/dev/shm")) =>
        {
            on_disk(message, scene)
        }
        Topic::Resize => no_room(message, scene),
        Topic::OnDisk => on_disk(message, scene),
        Topic::Mutex => mutex(message, scene),
        Topic::LockTable
        | Topic::AreaLost
        | Topic::Crash
        | Topic::Bus
        | Topic::Oom
        | Topic::Leaked
        | Topic::PidFile => others::topic(message, scene),
        Topic::Bare => bare(message, scene),
        Topic::Failed(call) => match message.errno {
            Some(errno) => failed(call, errno, message, scene),
            None => without_errno(call, message, scene),
        },
    }
}

fn failed(call: Call, errno: Errno, message: &Message, scene: &Scene<'_>) -> Answer {
    let is_file = call.kind() == Kind::Posix;
    match errno {
        Errno::ENOSPC if is_file || call == Call::Mmap => no_room(message, scene),
        Errno::ENOSPC => no_ids(call.kind(), message, scene),
        Errno::EINVAL if call == Call::Shmget => too_large(message, scene),
        Errno::EINVAL if call == Call::Semget => too_many_members(message, scene),
        Errno::ENOMEM if matches!(call, Call::Shmget | Call::Mmap) => no_memory(message, scene),
        Errno::EIDRM => vanished(message, scene),
        Errno::EINVAL if BY_ID.contains(&call) && (message.id.is_some() || message.of_postgres) => {
            vanished(message, scene)
        }
        Errno::ENOENT if is_file && call != Call::SemOpen => vanished(message, scene),
        Errno::EMFILE | Errno::ENFILE => no_files(errno),
        Errno::ENOSYS if !is_file => no_call(),
        _ => in_the_way(call, errno, message, scene),
    }
}

/// What a call and an errno mean together.
fn meaning(call: Call, errno: Errno) -> Answer {
    let Some((means, run)) = call::meaning(call, errno) else {
        let name = message_name(call);
        return Answer::of(format!("{name}: {}: {}.", errno::name(errno), errno::meaning(errno)));
    };
    let mut answer = Answer::of(means);
    answer.run.extend(run.map(str::to_owned));
    answer
}

/// The call's name as a person knows it.
fn message_name(call: Call) -> &'static str {
    Topic::Failed(call).call().unwrap_or_default()
}

fn no_call() -> Answer {
    let mut answer = Answer::of(
        "The kernel has no such call for this program: System V IPC is not built in, or a filter \
         (seccomp, a container's profile) forbids it.",
    );
    answer.run("start the container with a profile that allows shmget, semget and msgget");
    answer
}

fn no_files(errno: Errno) -> Answer {
    let mut answer = Answer::of(match errno {
        Errno::ENFILE => {
            "All processes together have as many files open as the kernel allows (fs.file-max). \
             Shared memory that is a file counts like any other."
        }
        _ => {
            "The process has as many files open as it may (ulimit -n, LimitNOFILE= of its unit). \
             Shared memory that is a file counts like any other; a program that passes its memory \
             between processes by descriptor (PyTorch: file_descriptor) needs one for each."
        }
    });
    answer.run("give it more: LimitNOFILE= in its unit, ulimit -n in its shell");
    answer
}

fn without_errno(call: Call, message: &Message, scene: &Scene<'_>) -> Answer {
    let mut answer = Answer::of(format!(
        "{} failed, and the message does not say why in words that are known here. ENOSPC would be \
         a limit on numbers (of a file: /dev/shm is full), EINVAL a size, ENOMEM memory, EACCES \
         another user's object, EEXIST one that is left.",
        message_name(call)
    ));
    objects::describe(call, message, scene, &mut answer);
    if call.kind() == Kind::Posix {
        numbers::state_of_dev_shm(scene, &mut answer);
    } else {
        numbers::limits(call.kind(), message, scene, &mut answer);
    }
    answer.run("shmwarden doctor shows each limit, how full it is, and who takes it");
    answer
}

/// An errno alone: what each call would mean by it.
fn bare(message: &Message, scene: &Scene<'_>) -> Answer {
    match message.errno {
        Some(Errno::ENOSPC) => {
            let mut answer = Answer::of(format!(
                "From shmget, semget or msgget: {NO_DISK} From a write to /dev/shm: that tmpfs is \
                 full. From anything else: a disk."
            ));
            for kind in [Kind::Shm, Kind::Sem, Kind::Msg] {
                numbers::limits(kind, message, scene, &mut answer);
            }
            numbers::state_of_dev_shm(scene, &mut answer);
            answer.run("of a file on a disk: df -h and df -i of its directory");
            answer
        }
        Some(Errno::EINVAL) => too_large(message, scene),
        Some(Errno::ENOMEM) => no_memory(message, scene),
        Some(Errno::EIDRM) => vanished(message, scene),
        Some(Errno::ENOSYS) => {
            let mut answer = no_call();
            let shm = meaning(Call::SemOpen, Errno::ENOSYS).means;
            answer.means =
                format!("{} Or, from sem_open (Python's multiprocessing): {shm}", answer.means);
            numbers::state_of_dev_shm(scene, &mut answer);
            answer
        }
        Some(errno) => {
            let mut answer =
                Answer::of(format!("{}: {}.", errno::name(errno), errno::meaning(errno)));
            answer.run("give the whole message, with the name of what failed, for more");
            answer.run("shmwarden doctor shows limits, leaks and risky settings");
            answer
        }
        None => Answer::default(),
    }
}

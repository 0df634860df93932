//! The calls that make and use shared memory, semaphores and queues. Pure. What each errno of each
//! means is in `meanings.tsv`, by the man pages of sections 2 and 3, `ipc/*.c` and `mm/shmem.c`.

use nix::errno::Errno;
use shmwarden::judge::status::Kind;

use super::errno;

/// The call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    Shmget,
    Shmat,
    Shmdt,
    Shmctl,
    Semget,
    /// `semop` and `semtimedop`.
    Semop,
    Semctl,
    Msgget,
    Msgsnd,
    Msgrcv,
    Msgctl,
    /// `shm_open`, and what makes its file as long as it is to be.
    ShmOpen,
    ShmUnlink,
    /// `mmap` of a file in `/dev/shm`.
    MapFile,
    /// `mmap` of a server's main memory, of no file.
    Mmap,
    /// `sem_open`, and the other semaphores of POSIX that have a file.
    SemOpen,
}

use Call::{
    MapFile, Mmap, Msgctl, Msgget, Msgrcv, Msgsnd, SemOpen, Semctl, Semget, Semop, ShmOpen,
    ShmUnlink, Shmat, Shmctl, Shmdt, Shmget,
};

impl Call {
    /// Every one.
    pub(crate) const ALL: [Self; 16] = [
        Shmget, Shmat, Shmdt, Shmctl, Semget, Semop, Semctl, Msgget, Msgsnd, Msgrcv, Msgctl,
        ShmOpen, ShmUnlink, MapFile, Mmap, SemOpen,
    ];

    /// Its name; in the catalogue the two of `mmap` are told apart.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Shmget => "shmget",
            Shmat => "shmat",
            Shmdt => "shmdt",
            Shmctl => "shmctl",
            Semget => "semget",
            Semop => "semop",
            Semctl => "semctl",
            Msgget => "msgget",
            Msgsnd => "msgsnd",
            Msgrcv => "msgrcv",
            Msgctl => "msgctl",
            ShmOpen => "shm_open",
            ShmUnlink => "shm_unlink",
            MapFile => "mmap-file",
            Mmap => "mmap",
            SemOpen => "sem_open",
        }
    }

    /// The kind of object that it is about.
    pub(crate) fn kind(self) -> Kind {
        match self {
            Shmget | Shmat | Shmdt | Shmctl | Mmap => Kind::Shm,
            Semget | Semop | Semctl => Kind::Sem,
            Msgget | Msgsnd | Msgrcv | Msgctl => Kind::Msg,
            ShmOpen | ShmUnlink | MapFile | SemOpen => Kind::Posix,
        }
    }
}

/// The calls that take an id.
pub(crate) const BY_ID: [Call; 8] = [Shmat, Shmctl, Semop, Semctl, Msgsnd, Msgrcv, Msgctl, Shmdt];
/// The calls that take a key.
pub(crate) const BY_KEY: [Call; 3] = [Shmget, Semget, Msgget];

/// What an errno of a call means, and what to do about it (nothing: that hangs on what is here),
/// where that is known apart.
pub(crate) fn meaning(call: Call, errno: Errno) -> Option<(&'static str, Option<&'static str>)> {
    let rows = include_str!("meanings.tsv").lines().map(|line| line.split('\t'));
    let found = rows.filter_map(|mut row| {
        let fits = row.next()?.split(' ').any(|name| name == call.name());
        let fits = fits && row.next()? == errno::name(errno);
        fits.then(|| Some((row.next()?, row.next())))?
    });
    found.into_iter().next()
}

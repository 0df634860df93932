//! The refusals of `record`, in the order in which it looks: each with the status to end with, and
//! its sentence.

use std::io;

use nix::errno::Errno;
use shmwarden::Error;

use crate::exit;

/// One row a refusal: its name, what it tells, the status, the sentence.
macro_rules! refusals {
    ($($name:ident { $($field:ident: $type:ty),* } => $status:expr, $sentence:literal;)*) => {
        /// A reason to record nothing. Paths and names in it are safe to show.
        #[derive(Debug)]
        pub(crate) enum Refusal {
            $($name { $($field: $type),* },)*
        }

        impl Refusal {
            /// Returns the status to end with, and the sentence.
            pub(crate) fn told(&self) -> (u8, String) {
                match self {
                    $(Self::$name { $($field),* } => {
                        ($status, format_args!($sentence).to_string())
                    })*
                }
            }
        }
    };
}

refusals! {
    Failed { error: Error } => status_of(error), "{error}";

    // The data directory that was named.
    Unnamed {} => exit::USAGE, "name the server by --pid or --data";
    NoDirectory { directory: String } => exit::NO_SUCH_OBJECT, "there is no directory {directory}";
    CannotActAsOwner { directory: String, errno: Errno } => exit::PERMISSION,
        "cannot act as the owner of {directory}: {errno}";
    ServerEnded { directory: String, pid: i32, kind: &'static str } => exit::NO_SUCH_OBJECT,
        "no server runs in {directory}: its postmaster.pid names process {pid}{kind}, and there \
         is no process {pid} any more; the next start clears that file away by itself";
    NoPidFile { directory: String } => exit::NO_SUCH_OBJECT,
        "no server runs in {directory}: it has no postmaster.pid";
    PidFileClosed { directory: String } => exit::PERMISSION,
        "postmaster.pid in {directory} cannot be read, or names no process; run this as the \
         directory's owner or as root, or use --pid";

    // The process.
    Hidden { pid: i32 } => exit::PERMISSION,
        "process {pid} is hidden here (hidepid, proc(5)); run this as root";
    NoProcess { pid: i32 } => exit::NO_SUCH_OBJECT, "there is no process {pid}";
    Thread { pid: i32 } => exit::NO_SUCH_OBJECT,
        "{pid} is a thread's number; name the process that it is part of";
    KernelThread { pid: i32 } => exit::NO_SUCH_OBJECT, "process {pid} is a kernel thread";
    Zombie { pid: i32 } => exit::NO_SUCH_OBJECT,
        "process {pid} has ended; sweep cleans up after servers";
    JustEnded { pid: i32 } => exit::NO_SUCH_OBJECT, "process {pid} has just ended";
    Foreign { pid: i32, uid: u32 } => exit::PERMISSION,
        "not allowed to look into process {pid}, which is user {uid}'s; run this as that user, \
         with the rights of the server, or as root";

    // Its place: its pids, ids and files in /dev/shm have to mean here what they mean there.
    NamespaceClosed { pid: i32, kind: &'static str } => exit::PERMISSION,
        "not allowed to see which {kind} namespace process {pid} is in";
    OtherNamespace { pid: i32, kind: &'static str } => exit::UNSUPPORTED,
        "process {pid} is in another {kind} namespace (a container?): run this inside, as with \
         nsenter --target {pid} --all";
    OtherShm { pid: i32 } => exit::UNSUPPORTED,
        "process {pid} has another /dev/shm than this one: run this inside, as with nsenter \
         --target {pid} --all";
    ShmClosed { pid: i32, error: io::Error } => exit::PERMISSION,
        "not allowed to see which /dev/shm process {pid} has: {error}";

    // Its part: it has to be the server itself.
    Ourselves { pid: i32 } => exit::NO_SUCH_OBJECT,
        "process {pid} is shmwarden itself, no server; what it has started is under a ledger \
         already";
    Wrapper { pid: i32, program: String, child: i32 } => exit::NO_SUCH_OBJECT,
        "process {pid} ({program}) is not the database server, its child {child} is: use --pid \
         {child}";
    Fork { pid: i32, parent: i32 } => exit::NO_SUCH_OBJECT,
        "process {pid} is not the server, but one that process {parent} has forked off: use --pid \
         {parent}";
    NoServerThere { pid: i32, directory: String } => exit::NO_SUCH_OBJECT,
        "no server runs in {directory}: process {pid}, which its postmaster.pid names, is no \
         database server of its owner's in that directory";
    Backend { pid: i32, directory: String, server: i32 } => exit::NO_SUCH_OBJECT,
        "process {pid} is not the server of {directory}: its postmaster.pid names process \
         {server}; a process that the server started is recorded with it";
    WithoutPidFile { pid: i32, directory: String } => exit::NO_SUCH_OBJECT,
        "process {pid} is not the server of {directory}, which has no postmaster.pid";
    Untold { pid: i32, directory: String } => exit::PERMISSION,
        "cannot tell whether process {pid} is the server of {directory}: its postmaster.pid cannot \
         be read";
    Init { program: String } => exit::NO_SUCH_OBJECT,
        "process 1 ({program}) is this machine's init and has no shared memory: it is no server; \
         name the server's own process (systemctl show --property MainPID UNIT)";

    // The ledger.
    InDataDirectory { ledger: String } => exit::USAGE,
        "the ledger {ledger} would lie in the server's data directory, where it does not belong; \
         name another place with --ledger";
    ForeignLedger { ledger: String, owner: u32, uid: u32 } => exit::PERMISSION,
        "the ledger {ledger} belongs to user {owner}, and the server is user {uid}'s: what is \
         removed for a ledger is removed with its owner's rights; name another one";
    LedgerInUse { ledger: String, who: String } => exit::LIVE,
        "the ledger {ledger} is in use: {who}; a server that is watched over needs no record, \
         another one needs another ledger";
    Watched { pid: i32, launcher: i32, ledger: String } => exit::LIVE,
        "launcher process {launcher} watches over process {pid}, with the ledger {ledger}: it \
         needs no record";
    OtherServer { ledger: String, pids: String } => exit::LIVE,
        "the ledger {ledger} is another server's, which lives (process {pids}); name another one \
         with --ledger or --name";
    OtherPlace { pid: i32, ledger: String } => exit::UNSUPPORTED,
        "process {pid} was recorded in {ledger} under another /dev/shm or IPC namespace; it cannot \
         be recorded anew as long as it lives";

    // At last.
    EndedMeanwhile { pid: i32 } => exit::NO_SUCH_OBJECT,
        "process {pid} ended while it was being recorded; nothing was written";
    Unprinted { error: io::Error } => exit::FAILED, "cannot write the result: {error}";
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        Self::Failed { error }
    }
}

fn status_of(error: &Error) -> u8 {
    match error {
        Error::Missing { .. } => exit::NO_SUCH_OBJECT,
        other => exit::status_of(other),
    }
}

/// One of each that has a sentence of its own, for the golden file.
#[cfg(test)]
pub(crate) fn samples() -> Vec<Refusal> {
    use Refusal::*;

    let shown = crate::render::text::safe;
    let (directory, ledger) = (|| shown("/srv/da\nta"), || "/var/lib/shmwarden/web.ledger".into());
    let (pid, uid) = (4711, 100_001);
    vec![
        Unnamed {},
        NoDirectory { directory: directory() },
        CannotActAsOwner { directory: directory(), errno: Errno::EPERM },
        ServerEnded { directory: directory(), pid: i32::MAX, kind: "" },
        ServerEnded {
            directory: directory(),
            pid: i32::MAX,
            kind: ", a standalone backend (postgres --single)",
        },
        NoPidFile { directory: directory() },
        PidFileClosed { directory: directory() },
        Hidden { pid },
        NoProcess { pid },
        Thread { pid },
        KernelThread { pid },
        Zombie { pid },
        JustEnded { pid },
        Foreign { pid, uid },
        NamespaceClosed { pid, kind: "PID" },
        OtherNamespace { pid, kind: "IPC" },
        OtherShm { pid },
        ShmClosed { pid, error: io::Error::from_raw_os_error(13) },
        Ourselves { pid },
        Wrapper { pid, program: "/bin/sh".to_owned(), child: 4712 },
        Fork { pid, parent: 4710 },
        NoServerThere { pid, directory: directory() },
        Backend { pid, directory: directory(), server: 4710 },
        WithoutPidFile { pid, directory: directory() },
        Untold { pid, directory: directory() },
        Init { program: "/sbin/init".to_owned() },
        InDataDirectory { ledger: ledger() },
        ForeignLedger { ledger: ledger(), owner: 0, uid },
        LedgerInUse { ledger: ledger(), who: "process 4712 has locked it".to_owned() },
        Watched { pid, launcher: 4712, ledger: ledger() },
        OtherServer { ledger: ledger(), pids: "4712, 4713".to_owned() },
        OtherPlace { pid, ledger: ledger() },
        EndedMeanwhile { pid },
        Unprinted { error: io::Error::from(io::ErrorKind::BrokenPipe) },
    ]
}

//! Why an object is removed, kept, taken or left alone: one table of all reasons. The reason that
//! users read is the one that was acted on.

use std::fmt;
use std::time::Duration;

use super::evidence::{Evidence, Holder};

/// The class of a reason: the part of it that commands act on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// It goes, or may be taken.
    Goes,
    /// It is no more.
    Gone,
    /// Its server lives, or may.
    Alive,
    /// Somebody uses it, or another object of its instance.
    Used,
    /// Its server may have left it on purpose.
    Left,
    /// Another object bears its number or name here.
    Elsewhere,
    /// Nobody uses it, and somebody may want it: waived where a person names the object.
    Wanted,
    /// Something about it is not known, or does not fit: doubt keeps.
    Doubt,
}

/// Makes of one table the enum, its codes, classes and sentences.
macro_rules! reasons {
    ($( $(#[$doc:meta])* $name:ident $(($($arg:ident: $ty:ty),+))?
        = $code:literal, $class:ident: $($sentence:expr),+; )+) => {
        /// Why an object is removed, kept, taken or left alone.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Reason {
            $( $(#[$doc])* $name $(($($ty),+))?, )+
        }

        impl Reason {
            /// Returns a word for scripts.
            #[must_use]
            pub fn code(&self) -> &'static str {
                match self { $( Self::$name { .. } => $code, )+ }
            }

            /// Returns what it says of the object.
            #[must_use]
            pub fn class(&self) -> Class {
                match self { $( Self::$name { .. } => Class::$class, )+ }
            }
        }

        impl fmt::Display for Reason {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $( Self::$name $(($($arg),+))? => write!(f, $($sentence),+), )+
                }
            }
        }
    };
}

reasons! {
    /// Its server is dead and nobody uses it.
    Dead = "dead", Goes: "its server is dead and nobody uses it";
    /// Adopted, and nobody uses it.
    Adopted = "adopted", Goes: "it was adopted, and nobody uses it";
    /// In no ledger, unattached, and its creator, this process, is dead.
    CreatorDead(pid: i32) = "creator-dead", Goes:
        "nobody has it attached, and its creator, process {pid}, is dead";
    /// In no ledger, and nobody is left who could want it.
    NoUser = "no-user", Goes: "nobody uses it, and no process of its owner or creator lives";
    /// Named by who adopts it.
    Named = "named", Goes: "nobody uses it, and it was named";
    /// It comes along with what it belongs to.
    Belongs = "belongs", Goes: "it belongs to what is adopted, and goes first";
    /// Not there any more.
    Gone = "gone", Gone: "it is not there any more";

    /// The instance lives.
    Live(by: Evidence) = "live", Alive: "{by}";
    /// The instance may live, or somebody may use the object: that cannot be seen.
    Unseen(by: Evidence) = "unseen", Alive: "{by}";
    /// This process has the ledger locked, or is its launcher.
    AtWork(pid: i32) = "at-work", Alive: "process {pid} is at work on its ledger";

    /// Attached: the number of times.
    Attached(n: u64) = "attached", Used: "it is attached {} (nattch {n})", times(*n);
    /// Marked for destruction already: the kernel destroys it on the last detach.
    Dest = "dest", Used: "it is marked for destruction and goes on the last detach";
    /// This process has the file mapped.
    Mapped(by: Holder) = "mapped", Used: "{by} has it mapped";
    /// This process has the file open.
    Opened(by: Holder) = "open", Used: "{by} has it open";
    /// Somebody has the file locked.
    Locked = "locked", Used:
        "somebody has it locked (flock), or /proc/locks cannot be read";
    /// This process may have the file mapped, and may not be looked into.
    PerhapsMapped(by: Holder) = "perhaps-mapped", Used:
        "{by} may have it mapped, and may not be looked into";
    /// Nobody was asked who has the file open or locked.
    Unasked = "perhaps-mapped", Used:
        "it was not looked for who has it open or locked, and somebody may have";
    /// Threads wait for the set or queue: their number.
    Waited(n: u64) = "waited-for", Used: "{} for it", threads_wait(*n);
    /// This process waits for the set or queue.
    Blocked(by: Holder) = "blocked-on", Used: "{by} waits for it";
    /// This process may wait for the queue, and may not be asked: of a recorded one.
    PerhapsWaited(by: Holder) = "perhaps-waited-for", Used:
        "{by} may wait for it, and may not be asked";
    /// This process may wait for the queue, and may not be asked: of one in no ledger.
    PerhapsBlocked(by: Holder) = "perhaps-blocked-on", Used:
        "{by} may wait for it, and may not be looked into";
    /// This process used it last, and lives.
    LastUserLives(by: Holder) = "last-user-lives", Used: "{by} used it last, and lives";
    /// This process, which is none of the server's, was seen to use it, and lives.
    SharedWith(by: Holder) = "shared", Used:
        "{by} is none of the server's, has used it, and lives";
    /// Another object of the instance is in use.
    InstanceHeld(what: String) = "instance-held", Used: "{what} of the same server is still in use";
    /// A process of the dead instance is left.
    OrphanLives(by: Evidence) = "orphan-lives", Used: "the server is dead, but {by}";

    /// Left after a clean exit.
    LeftClean = "left-clean", Left:
        "the server left it after a clean exit (--include-clean removes it)";
    /// Nobody saw how its generic server ended, and the next start can find it by its key or name.
    LeftUnseen = "left-unseen", Left:
        "nobody saw how its server ended, which may have left it for its next start: \
         `shmwarden sweep --include-clean LEDGER` removes it";

    /// The ledger is of another boot.
    OtherBoot = "other-boot", Elsewhere: "the ledger is of another boot";
    /// It is of another IPC namespace.
    OtherIpcNamespace = "other-ipc-namespace", Elsewhere: "it is of another IPC namespace";
    /// The file is on another file system than the `/dev/shm` that is here.
    OtherMount = "other-mount", Elsewhere: "it is on another file system than this /dev/shm";
    /// The number or name now means another object: the first difference.
    Changed(what: &'static str) = "changed", Elsewhere:
        "the number now names another object: its {what} differs";

    /// A server that a ledger knows to be dead may have made or used it: the ledger, and why.
    Suspect(what: String) = "suspect", Wanted:
        "a dead server's, perhaps; adopt it by its number or name: {what}";
    /// A ledger that has it may be here, which could not be looked at.
    LedgerUnread(place: String) = "ledger-unread", Wanted:
        "a ledger may have it: {place} could not be looked at; adopt it by its number or name if \
         you know better";
    /// This process of its owner or creator lives, or of a user whom its mode lets in.
    UserLives(pid: i32, uid: u32) = "user-lives", Wanted:
        "process {pid} of user {uid}, who may use it, lives, and may want it: adopt it by its \
         number or name if you know better";
    /// This process lives, and whose it is could not be read.
    UserUnread(pid: i32) = "user-unread", Wanted:
        "process {pid} lives, and whose it is cannot be read: adopt it by its number or name if \
         you know better";
    /// Processes of other users are hidden from the caller.
    Hidden = "processes-hidden", Wanted:
        "processes of other users are hidden from you (hidepid): adopt it by its number or name \
         if you know better";
    /// Processes of another PID namespace, which cannot be seen, may use what is here.
    PidsElsewhere = "pids-elsewhere", Wanted:
        "not every process that could use it can be seen from this PID namespace: adopt it by its \
         number or name if you know better";
    /// Its creator, or another of the same user, is in another PID namespace.
    CreatorUnseen(uid: u32) = "creator-unseen", Wanted:
        "processes of its user {uid} are in another PID namespace and cannot be seen: adopt it by \
         its number or name if you know better";
    /// The list that its header names is not here.
    ListElsewhere(list: String) = "list-elsewhere", Wanted:
        "its header leads to {list}, which is not here: perhaps in another /dev/shm; adopt it by \
         its number if that is gone";
    /// A file that is not of PostgreSQL's form: nothing tells a leak from what is to stay.
    AnyFile = "any-file", Wanted:
        "a file that nobody maps may have been put there to stay: adopt it by its name";

    /// Processes that the caller cannot see may use it: of one in no ledger.
    UseUnseen = "use-unseen", Doubt:
        "processes that cannot be seen from here (hidepid, or outside this container) may use it: \
         look as root on the host";
    /// Its last user cannot be seen.
    LastUserUnseen = "last-user-unseen", Doubt:
        "who used it last cannot be seen from here (another PID namespace, or hidepid)";
    /// A process of its creator's pid lives.
    CreatorLives(by: Holder) = "creator-lives", Doubt:
        "its creator, {by}, lives (or another process bears that number now)";
    /// This process, which is none of the server's, lives and could use the set or queue.
    OthersMayUse(by: Holder) = "others-may-use", Doubt:
        "it has a key or a name, and {by} could use it, which is none of the server's: kept while \
         such a process lives; if you know that nobody uses it, remove it by hand (ipcrm, rm)";
    /// Others could use the set or queue, and cannot be seen.
    OthersUnseen = "others-unseen", Doubt:
        "it has a key or a name, and who else could use it cannot be seen from here (another PID \
         namespace, or hidepid)";
    /// It, or what a server wrote into it, may not be looked at.
    Unreadable = "unreadable", Doubt:
        "who uses it may not be asked, or what a server wrote into it not be read: look as its \
         owner or root, on Linux 4.17 or later";
    /// Nobody saw the server end, and this process, which the ledger does not know, used it last.
    UserUnrecorded(pid: i32) = "user-unrecorded", Doubt:
        "nobody saw the server end, and process {pid}, which is not in the ledger, used it last";
    /// Somebody whom the ledger does not know used it last.
    UsedSince = "used-since", Doubt:
        "it was used last by somebody whom the ledger does not know, and a process that may use \
         it lives";
    /// A living instance of another ledger uses it.
    UsedElsewhere(ledger: String) = "used-elsewhere", Doubt:
        "a living server uses it, says {}", ledger.escape_debug();
    /// Another ledger, which could not be read, may have it as used.
    MayBeUsedElsewhere(ledger: String) = "used-elsewhere", Doubt:
        "{}, which could not be read, may name it as used by a living server",
        ledger.escape_debug();
    /// An instance was seen to use it, and did not create it.
    Used = "used", Doubt:
        "the instance was seen to use it and did not create it: never removed for that";
    /// It was changed after the end of its server.
    ChangedSince = "changed-since", Doubt:
        "it was changed after its server had ended, and may be a later one of that number or name";
    /// A file whose file system keeps no birth time, and why nothing else tells it from another.
    NoBirthTime(why: &'static str) = "no-birth-time", Doubt:
        "its file system keeps no birth times, so that it cannot be told from a later file of its \
         name: {why}";
    /// Nothing tells it from a later object of the same number or name.
    NoIdentity = "no-identity", Doubt:
        "nothing would tell it from a later one of the same number or name";
    /// The name of this IPC namespace may have been another's.
    UnsureSpace = "unsure-namespace", Doubt:
        "this IPC namespace cannot be told from an earlier one (that takes Linux 6.18)";

    /// The server wrote something that is not understood.
    UnknownLayout(why: String) = "unknown-layout", Doubt:
        "nothing of this server is removed: {why}";
    /// An object that it lists, or that belongs to it, has to stay.
    ListedStays(what: String) = "listed-stays", Doubt: "{what}, which it lists, has to stay";
    /// Another object of the same server has to stay, and why.
    GroupStays(what: String, why: Box<Reason>) = "listed-stays", Doubt:
        "{what} of the same server stays: {why}";
    /// The removal of an object that goes first did not succeed.
    EarlierStays(what: String) = "earlier-stays", Doubt:
        "{what}, which goes first, was not removed";
    /// An object that belongs to it, and is not adopted.
    NotAdopted(what: String) = "not-adopted", Doubt:
        "{what} belongs to the same server and is not adopted: adopt it too, then sweep";
    /// It bears the server's pid, and that may have been given out again since.
    PidReused = "pid-reused", Doubt:
        "nobody saw the server create it, and the server's pid may be another's by now";
    /// It looks like this server's, and no list of the server's has it.
    Unlisted = "unlisted", Doubt:
        "it was made while the server ran, nobody uses it, and the server's list does not name \
         it: it may be another's";
    /// The server's list names it, and it is another user's.
    Foreign = "foreign", Doubt: "the server's list names it, and it is another user's";
    /// Nobody saw the set or queue appear, and the server used it last.
    Unwitnessed = "unwitnessed", Doubt:
        "nobody saw who made it, and the server used it last: it may be another's";
    /// The file appeared while the server ran, as its user's, and nobody recorded it.
    Appeared = "appeared", Doubt:
        "it appeared while the server ran, as a file of its user's, and nobody saw who made it: it \
         may be another's; where it is nobody's, `shmwarden adopt` takes it by its name";
    /// It may be on a dead server's list, which only who has the lock may read.
    PerhapsListed = "perhaps-listed", Doubt:
        "it may be dynamic shared memory of a dead server, whose list only `shmwarden sweep` reads";

    /// A ledger has it, or may: its name, and what `sweep` would say.
    Recorded(what: String) = "recorded", Doubt:
        "a ledger has it, or may have it, so that `sweep` judges it: {what}";
    /// This list of a server that may live names it.
    Listed(list: String) = "listed", Doubt:
        "{list}, the list of a server that may live, names it";
    /// This list of a dead server names it, and with what it is to be taken: the server's main
    /// segment, or the list.
    ListedByDead(list: String, first: String) = "listed-by-dead", Doubt:
        "{list}, the list of a dead server, names it: adopt {first}, and it comes along";
    /// This may be a list of its user's, and could not be read.
    ListUnread(what: String) = "list-unread", Doubt:
        "{what} of the same user may be a server's list, and cannot be read";
    /// It is younger than was asked for.
    Young(least: Duration) = "young", Doubt:
        "it was made or changed less than {} ago (--min-age)", humantime::format_duration(*least);
    /// This main segment names it as its list, and is not taken.
    MainStays(what: String) = "main-stays", Doubt:
        "{what} leads to it: adopt that, and it comes along";
    /// This may be the main segment that names it as its list, and stays, and why.
    MayLead(what: String, why: Box<Reason>) = "may-lead", Doubt:
        "{what} of the same user may lead to it, and is left alone: {why}";
    /// The kernel would not let the caller remove it.
    NotYours(uid: u32) = "not-yours", Doubt:
        "it belongs to user {uid}: run as that user or root";
    /// The kernel would not let the second user remove it, who owns the ledger.
    NotLedgerOwners(uid: u32, remover: u32) = "not-yours", Doubt:
        "it belongs to user {uid}, and the ledger to user {remover}, who may not remove it";
}

fn times(n: u64) -> String {
    if n == 1 { "once".to_owned() } else { format!("{n} times") }
}

fn threads_wait(n: u64) -> String {
    if n == 1 { "a thread waits".to_owned() } else { format!("{n} threads wait") }
}

impl Reason {
    /// Checks whether the object is kept because somebody holds it or another of its instance.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.class() == Class::Used
    }

    /// Checks that somebody is known to use the object, not only that somebody may.
    #[must_use]
    pub fn is_certain_use(&self) -> bool {
        let is_perhaps = matches!(
            self,
            Self::PerhapsMapped(_)
                | Self::Unasked
                | Self::PerhapsWaited(_)
                | Self::PerhapsBlocked(_)
        );
        // What another object of its instance is kept for is that one's own reason.
        self.is_held() && !is_perhaps && !matches!(self, Self::InstanceHeld(_))
    }

    /// Checks whether it speaks against a filter only: who names the object may know better.
    #[must_use]
    pub(crate) fn is_waived_by_name(&self) -> bool {
        self.class() == Class::Wanted
    }

    /// Checks whether the object, by itself, keeps all of its instance. Who used a set last need
    /// not be of the instance: its pid may be another's by now. Nor is anybody outside this PID
    /// namespace, which no process leaves.
    #[must_use]
    pub fn holds_the_rest(&self) -> bool {
        match self {
            Self::LastUserLives(_) | Self::SharedWith(_) | Self::PerhapsWaited(_) => false,
            Self::Unseen(by) => *by != Evidence::OutsideProcesses,
            other => other.is_held(),
        }
    }

    /// Returns the process that used the object last and lives, where that is why.
    #[must_use]
    pub fn last_user(&self) -> Option<i32> {
        match self {
            Self::LastUserLives(holder) => Some(holder.process.pid),
            _ => None,
        }
    }
}

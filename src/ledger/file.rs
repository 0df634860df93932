//! The ledger as a file: who may open it, the lock, appending whole lines, setting it aside.
//!
//! Trusts a ledger no further than its owner. Root opens every path, and does everything else
//! with it, with the owner's credentials, so that the kernel decides (`Ledger::as_owner`).

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::libc::{O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK};

use super::beginning::{self, Beginning};
use super::book::{Book, Tail};
use super::limits;
use super::line;
use super::own_file::OwnFile;
use super::owner::{act_as, identity, is_anothers, judge, look, make_for, refuse_others};
use super::record::{Entry, Header, Record, VERSION};
use crate::error::{Error, Result};
use crate::object::Place;
use crate::sys::user::{self, Acting};

/// Largest ledger that is read, in bytes; compaction keeps it far below.
const LARGEST: u64 = 256 << 20;

/// The purpose for which a ledger is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum For {
    /// Reading only, and never the lock.
    Reading,
    /// Reading and writing what exists.
    Writing,
    /// The same, made (mode 0600) where it is missing.
    Creating,
}

/// A ledger written anew, locked.
#[derive(Debug)]
pub struct Compacted {
    /// The new file.
    pub file: File,
    /// Its length in bytes.
    pub bytes: u64,
}

/// An open ledger: what it says, and what is still to be written.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    path: PathBuf,
    owner: (u32, u32),
    /// The path of the open file by the kernel, when it was opened.
    link: Option<PathBuf>,
    /// The content of the ledger, what is not written yet included.
    pub book: Book,
    /// Length of the lines that are known to be whole, in bytes.
    whole_bytes: u64,
    /// Whether the file is known to end with them: nobody else writes while the lock is held.
    ends_there: bool,
    queue: Vec<u8>,
    dry: bool,
}

impl Ledger {
    /// Opens the file and checks whose it is; reads nothing, locks nothing.
    ///
    /// # Errors
    /// [`Error::Missing`], [`Error::Refused`], [`Error::NotALedger`], [`Error::Io`].
    pub fn open(path: &Path, what_for: For) -> Result<Self> {
        let me = (user::effective(), nix::unistd::getegid().as_raw());
        Self::open_or_make(path, what_for, me)
    }

    /// Opens for writing; where it is missing, it is made and belongs to `owner`, whose server it
    /// is about: with that user's rights, and where those do not suffice, as root in a directory
    /// that only root can change.
    ///
    /// # Errors
    /// As [`Ledger::open`].
    pub fn open_for(path: &Path, owner: (u32, u32)) -> Result<Self> {
        match Self::open_or_make(path, For::Creating, owner) {
            Err(Error::Io { source, .. })
                if source.kind() == io::ErrorKind::PermissionDenied && look(path)?.is_none() =>
            {
                make_for(path, owner)?;
                Self::open_or_make(path, For::Writing, owner)
            }
            other => other,
        }
    }

    fn open_or_make(path: &Path, what_for: For, maker: (u32, u32)) -> Result<Self> {
        match Self::open_once(path, what_for, maker) {
            // Another has just made it: it is judged like any that was there.
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                Self::open_once(path, what_for, maker)
            }
            other => other,
        }
    }

    fn open_once(path: &Path, what_for: For, maker: (u32, u32)) -> Result<Self> {
        let expected = look(path)?;
        if expected.is_none() && what_for != For::Creating {
            return Err(Error::Missing { path: path.to_owned() });
        }
        let me = user::effective();
        let owner = expected.as_ref().map_or(maker, |found| found.owner);
        let acting = act_as(me, owner, path)?;
        let mut options = OpenOptions::new();
        options.read(true).write(what_for != For::Reading);
        let opened = match &expected {
            // The very file that was looked at, where its owner may go that way too: what bears or
            // covers its name by now is not asked.
            Some(found) => look(path).and_then(|again| {
                options.custom_flags(O_CLOEXEC | O_NONBLOCK);
                let again = again.filter(|again| again.identity == found.identity);
                let file = again.map(|again| again.file).ok_or_else(|| replaced(path))?;
                let by_number = format!("/proc/self/fd/{}", file.as_raw_fd());
                options.open(by_number).map_err(Error::io("cannot open the ledger", path))
            }),
            // Exclusively: what appears here after the look is not what was looked at.
            None => {
                options.create_new(what_for == For::Creating);
                options.mode(0o600).custom_flags(O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
                options.open(path).map_err(Error::io("cannot open the ledger", path))
            }
        };
        drop(acting);
        let file = opened?;
        let now = identity(&file).map_err(Error::io("cannot look at the ledger", path))?;
        judge(&file, path, me)?;
        refuse_others(&file, path)?;
        if expected.is_some_and(|before| before.identity != now) {
            return Err(replaced(path));
        }
        let (book, queue) = (Book::default(), Vec::new());
        let (path, link) = (path.to_owned(), link_of(&file));
        let (whole_bytes, ends_there, dry) = (0, false, false);
        Ok(Self { file, path, owner, link, book, whole_bytes, ends_there, queue, dry })
    }

    /// Returns its path.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Owner and group.
    #[must_use]
    pub fn owner(&self) -> (u32, u32) {
        self.owner
    }

    /// Owner and group, where root acts as another user.
    #[must_use]
    pub(crate) fn acted_for(&self) -> Option<(u32, u32)> {
        is_anothers(user::effective(), self.owner).then_some(self.owner)
    }

    /// From now on nothing is written: records change only what the ledger says in memory.
    pub fn only_pretend(&mut self) {
        self.dry = true;
    }

    /// Checks that nothing is written.
    #[must_use]
    pub(crate) fn pretends(&self) -> bool {
        self.dry
    }

    /// While the result lives, this process acts as the owner, where it is root and the owner not.
    ///
    /// # Errors
    /// [`Error::Io`] where the kernel refuses.
    pub fn as_owner(&self) -> Result<Option<Acting>> {
        act_as(user::effective(), self.owner, &self.path)
    }

    /// Takes the lock without waiting; whether it could be had, and the path still names this file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn try_lock(&self) -> Result<bool> {
        match fs2::FileExt::try_lock_exclusive(&self.file) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == fs2::lock_contended_error().raw_os_error() => {
                return Ok(false);
            }
            Err(error) => return Err(Error::io("cannot lock the ledger", &self.path)(error)),
        }
        // A compaction or a setting aside may have come between our open and our lock.
        let mine = identity(&self.file).map_err(Error::io("cannot look at", &self.path))?;
        let acting = self.as_owner()?;
        let still = look(&self.path)?.is_some_and(|found| found.identity == mine);
        drop(acting);
        if !still {
            fs2::FileExt::unlock(&self.file).map_err(Error::io("cannot unlock", &self.path))?;
        }
        Ok(still)
    }

    /// Reads and replays the whole file.
    ///
    /// # Errors
    /// [`Error::Refused`] of another user's that is larger than root reads, [`Error::Io`]; damage
    /// and versions are in the [`Tail`].
    pub fn read(&mut self) -> Result<Tail> {
        let bytes = self.bytes()?;
        let anothers = limits::is_anothers(self.owner.0);
        if anothers {
            limits::check_lines(&self.path, &bytes)?;
        }
        let (book, whole, tail) = Book::replay(&bytes);
        if anothers {
            limits::check_book(&self.path, &book)?;
        }
        self.book = book;
        self.book.is_read_from(OwnFile::of(&self.file));
        (self.whole_bytes, self.ends_there) = (whole as u64, false);
        Ok(tail)
    }

    /// Every byte of the file; of one that does not begin as a ledger only the first.
    pub(super) fn bytes(&self) -> Result<Vec<u8>> {
        let mut largest = LARGEST;
        if limits::is_anothers(self.owner.0) {
            limits::check_bytes(&self.path, self.file_bytes()?)?;
            // It may grow meanwhile.
            largest = limits::LONGEST_OF_OTHERS + 1;
        }
        let mut bytes = Vec::new();
        let read = (&self.file).rewind().and_then(|()| {
            (&self.file).take(line::LONGEST as u64 + 1).read_to_end(&mut bytes)?;
            if beginning::of(&bytes) == Beginning::NoLedger {
                return Ok(bytes);
            }
            (&self.file).take(largest - bytes.len() as u64).read_to_end(&mut bytes)?;
            if bytes.len() as u64 == largest {
                Err(io::ErrorKind::FileTooLarge.into())
            } else {
                Ok(bytes)
            }
        });
        read.map_err(Error::io("cannot read the ledger", &self.path))
    }

    /// Returns the length of the file, in bytes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn file_bytes(&self) -> Result<u64> {
        let found = self.file.metadata();
        found.map(|found| found.len()).map_err(Error::io("cannot look at", &self.path))
    }

    /// Like [`Ledger::read`], with damage and newer versions as errors. Returns true where the last
    /// line was torn, and dropped.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Newer`], [`Error::NotALedger`], [`Error::Io`].
    pub fn read_whole(&mut self) -> Result<bool> {
        let path = self.path.clone();
        match self.read()? {
            Tail::Clean => Ok(false),
            Tail::Torn => Ok(true),
            Tail::Damaged { line, why } => Err(Error::Damaged { path, line, why }),
            Tail::Newer(version) => Err(Error::newer(&path, version)),
            Tail::NotALedger => Err(Error::NotALedger { path }),
        }
    }

    /// Takes a record into the book and queues its line.
    ///
    /// # Errors
    /// [`Error::Illegal`] where it may not follow.
    pub fn note(&mut self, record: Record) -> Result<()> {
        // To the millisecond, as the line says it: what was written and what is read are equal.
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let below = Duration::from_nanos(u64::from(now.subsec_nanos() % 1_000_000));
        let at = SystemTime::UNIX_EPOCH + (now - below);
        let entry = Entry { seq: self.book.seq + 1, at, forks: None, record };
        let line = line::encode(&entry);
        if line.len() > line::LONGEST {
            return Err(Error::Illegal(format!("a line of {} bytes", line.len())));
        }
        self.book
            .apply(&entry)
            .map_err(|illegal| Error::Illegal(format!("{illegal}: {:?}", entry.record)))?;
        if !self.dry {
            self.queue.extend_from_slice(&line);
        }
        Ok(())
    }

    /// Notes where what follows is true and which file it is written to, where the last header
    /// says otherwise.
    ///
    /// # Errors
    /// As [`Ledger::note`].
    pub fn note_place(&mut self, here: Place) -> Result<()> {
        let book = &self.book;
        let known = book.place() == Some(&here) && book.names_own_file();
        if known && book.version >= VERSION {
            return Ok(());
        }
        let file = OwnFile::of(&self.file).filter(|_| book.own_file().is_some());
        self.note(Record::Header(Header { version: VERSION, place: here, file }))
    }

    /// Checks that the name still leads to this file. Asks no disk as long as the kernel says that
    /// the file lies where it did.
    #[must_use]
    pub fn has_its_name(&self) -> bool {
        self.link.is_none() || link_of(&self.file) == self.link || self.bears_name()
    }

    /// Checks that the name leads to this file.
    pub(super) fn bears_name(&self) -> bool {
        let Ok(mine) = identity(&self.file) else { return false };
        let Ok(acting) = self.as_owner() else { return false };
        let found = look(&self.path).ok().flatten();
        drop(acting);
        found.is_some_and(|found| found.identity == mine)
    }

    /// Takes a record in and writes it.
    ///
    /// # Errors
    /// As [`Ledger::note`] and [`Ledger::flush`].
    pub fn append(&mut self, record: Record) -> Result<()> {
        self.note(record)?;
        self.flush()
    }

    /// Checks that lines wait to be written.
    #[must_use]
    pub fn has_queued(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Lines that wait to be written, in bytes.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.queue.len()
    }

    /// Writes what is queued; what could not be written stays queued.
    ///
    /// # Errors
    /// [`Error::Io`]; the file is then as long as before.
    pub fn flush(&mut self) -> Result<()> {
        let count = self.queue.len();
        if count == 0 {
            return Ok(());
        }
        // Cutting costs far more than asking, and is seldom wanted. Neither is done for each of
        // the thousands of lines that follow each other where much is removed.
        let ends_there = self.ends_there || self.file_bytes()? == self.whole_bytes;
        self.ends_there = false;
        self.write(count, !ends_there)?;
        self.wrote(count);
        self.ends_there = true;
        Ok(())
    }

    /// Writes the first `count` queued bytes, and changes nothing in memory: for a forked child.
    ///
    /// # Errors
    /// [`Error::Io`]; the file is then as long as before.
    pub fn write_queued(&self, count: usize) -> Result<()> {
        self.write(count, true)
    }

    fn write(&self, count: usize, cut: bool) -> Result<()> {
        let bytes = self.queue.get(..count).unwrap_or(&self.queue);
        if bytes.is_empty() {
            return Ok(());
        }
        let cut = if cut { self.file.set_len(self.whole_bytes) } else { Ok(()) };
        let written = cut.and_then(|()| self.file.write_all_at(bytes, self.whole_bytes));
        written.map_err(|error| {
            // A short append is truncated away, so that a retry begins at a whole line.
            let _ = self.file.set_len(self.whole_bytes);
            Error::io("cannot write the ledger", &self.path)(error)
        })
    }

    /// Notes that the first `count` queued bytes are in the file.
    pub fn wrote(&mut self, count: usize) {
        let count = count.min(self.queue.len());
        self.queue.drain(..count);
        self.whole_bytes += count as u64;
        self.ends_there = false;
    }

    /// Has what was written reach the disk, the directory's entry included.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn sync(&self) -> Result<()> {
        if self.dry {
            return Ok(());
        }
        self.file.sync_all().map_err(Error::io("cannot sync the ledger", &self.path))?;
        self.sync_directory()
    }

    /// Has the entry of the directory reach the disk.
    pub(super) fn sync_directory(&self) -> Result<()> {
        let parent = self.path.parent().filter(|p| !p.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let acting = self.as_owner()?;
        let synced = File::open(parent).and_then(|dir| dir.sync_all());
        drop(acting);
        match synced {
            // A directory that may be entered and not read is somebody else's to sync.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            other => other.map_err(Error::io("cannot sync the directory", parent)),
        }
    }

    /// Renames the file to `NAME.<what>-<time>` and gives back the new path.
    ///
    /// # Errors
    /// [`Error::NotALedger`] where it does not begin as one; [`Error::Io`].
    pub fn set_aside(&self, what: &str) -> Result<PathBuf> {
        refuse_others(&self.file, &self.path)?;
        let now = humantime::format_rfc3339_micros(SystemTime::now()).to_string();
        let mut name = self.path.as_os_str().to_owned();
        name.push(format!(".{what}-{}", now.replace([':', '-'], "")));
        let target = PathBuf::from(name);
        let acting = self.as_owner()?;
        let renamed = std::fs::rename(&self.path, &target);
        drop(acting);
        renamed.map_err(Error::io("cannot set aside the ledger", &self.path))?;
        Ok(target)
    }

    /// Length of the file's whole lines, in bytes.
    #[must_use]
    pub fn whole_bytes(&self) -> u64 {
        self.whole_bytes
    }

    /// Goes on with a file that was written anew, if that now bears the name; what is only history
    /// is dropped from memory. Whether it does.
    pub fn go_on_with(&mut self, compacted: Compacted) -> bool {
        let named = look(&self.path).ok().flatten().map(|found| found.identity);
        if named.is_none() || identity(&compacted.file).ok() != named {
            return false;
        }
        (self.file, self.whole_bytes) = (compacted.file, compacted.bytes);
        self.ends_there = false;
        self.link = link_of(&self.file);
        self.book.moved_to(OwnFile::of(&self.file));
        self.book.forget_history();
        true
    }

    /// Mode bits of the file, for `compact`.
    pub(super) fn mode(&self) -> io::Result<u32> {
        Ok(self.file.metadata()?.mode() & 0o777)
    }
}

/// Returns the error that the file that was looked at bears the name no more.
fn replaced(path: &Path) -> Error {
    let why = "it was replaced while it was being opened; try again".to_owned();
    Error::Refused { path: path.to_owned(), why }
}

/// Returns the path of an open file by the kernel, which remembers it and asks no disk.
fn link_of(file: &File) -> Option<PathBuf> {
    std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()
}

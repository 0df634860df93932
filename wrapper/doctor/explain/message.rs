//! Takes a message apart: what failed, why, and the numbers in it. Pure, and total on any text.

use super::errno::Errno;
use super::words::contains_word;

/// The call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    /// `shmget`
    Shmget,
    /// `shmat`
    Shmat,
    /// `semget`
    Semget,
    /// `semop` or `semctl`
    Semop,
    /// `msgget`
    Msgget,
    /// `shm_open`, and what is done with the file.
    ShmOpen,
    /// `mmap` of huge pages.
    HugeMmap,
    /// `mmap` of a server's main memory, of huge pages or not: the message does not say.
    Mmap,
}

impl Call {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Shmget => "shmget",
            Self::Shmat => "shmat",
            Self::Semget => "semget",
            Self::Semop => "semop",
            Self::Msgget => "msgget",
            Self::ShmOpen => "shm_open",
            Self::HugeMmap | Self::Mmap => "mmap",
        }
    }
}

/// The topic of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    /// A call failed.
    Failed(Call),
    /// "pre-existing shared memory block is still in use"
    StillInUse,
    /// "lock file already exists"
    LockFile,
    /// "lock file is empty"
    LockFileEmpty,
    /// "bogus data in lock file"
    LockFileDamaged,
    /// "could not lock file" (openGauss)
    LockFileLocked,
    /// "could not remove old lock file"
    LockFileStays,
    /// "data directory lock file is invalid"
    LockFileLost,
    /// "could not resize shared memory segment"
    Resize,
    /// A web server's mutex.
    Mutex,
    /// An errno, and nothing of what failed.
    Bare,
}

impl Topic {
    /// A word for scripts.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Failed(_) => "call-failed",
            Self::StillInUse => "block-in-use",
            Self::LockFile => "lock-file",
            Self::LockFileEmpty => "lock-file-empty",
            Self::LockFileDamaged => "lock-file-damaged",
            Self::LockFileLocked => "lock-file-locked",
            Self::LockFileStays => "lock-file-stays",
            Self::LockFileLost => "lock-file-lost",
            Self::Resize => "resize",
            Self::Mutex => "mutex",
            Self::Bare => "errno",
        }
    }
}

impl Topic {
    /// The call that failed, where the message names one.
    pub(crate) fn call(self) -> Option<&'static str> {
        match self {
            Self::Failed(call) => Some(call.name()),
            _ => None,
        }
    }
}

/// A message taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Its topic.
    pub(crate) topic: Topic,
    /// Why, where it says so.
    pub(crate) errno: Option<Errno>,
    /// The key in it.
    pub(crate) key: Option<i32>,
    /// The id in it.
    pub(crate) id: Option<i32>,
    /// The size in it, in bytes.
    pub(crate) bytes: Option<u64>,
    /// The number of semaphores in it.
    pub(crate) semaphores: Option<u64>,
    /// The file of `/dev/shm` in it, without the slash.
    pub(crate) name: Option<String>,
    /// The pid in it.
    pub(crate) pid: Option<i32>,
    /// The data directory in it.
    pub(crate) directory: Option<String>,
}

/// Longest text that is looked at, in bytes.
const MOST_BYTES: usize = 1 << 20;

/// Takes a message apart, of a log the last one; `None` for what is not about shared memory or
/// semaphores.
pub(crate) fn recognise(text: &str) -> Option<Message> {
    let end = (0..=MOST_BYTES.min(text.len())).rev().find(|at| text.is_char_boundary(*at))?;
    let text = text.get(..end)?;
    let message = last_of_log(text);
    take_apart(message.as_deref().unwrap_or(text))
}

/// Of a log the last message that is known, with the lines behind it; `None` for what is no log.
fn last_of_log(text: &str) -> Option<String> {
    /// A message has fewer lines.
    const MOST_LINES: usize = 12;
    let lines: Vec<&str> = text.lines().collect();
    if lines.len() <= MOST_LINES {
        return None;
    }
    let known = |line: &str| take_apart(line).filter(|message| message.topic != Topic::Bare);
    let last = lines.iter().rposition(|line| known(line).is_some())?;
    // A DETAIL names the call, and the line before it says why.
    let is_detail = |line: &str| known(line).is_some_and(|message| message.errno.is_none());
    let before = last.checked_sub(1).filter(|&before| {
        let line = |at| lines.get(at).copied().unwrap_or_default();
        is_detail(line(last)) && known(line(before)).is_some()
    });
    let message = lines.get(before.unwrap_or(last)..)?;
    Some(message.get(..MOST_LINES).unwrap_or(message).join("\n"))
}

fn take_apart(text: &str) -> Option<Message> {
    // Byte positions stay the same.
    let lower = text.to_ascii_lowercase();
    let errno = Errno::find(&lower);
    let topic = topic(&lower, errno)?;
    let mut message = Message {
        topic,
        errno,
        key: None,
        id: None,
        bytes: None,
        semaphores: None,
        name: None,
        pid: None,
        directory: None,
    };
    match topic {
        Topic::StillInUse => {
            let numbers = numbers_in_parentheses(&lower, "shared memory block");
            message.key = numbers.first().map(|&number| low_bits(number));
            message.id = numbers.get(1).map(|&number| low_bits(number));
            message.directory = quoted_after(text, &lower, "data directory");
        }
        Topic::LockFile => {
            message.pid = number_after(&lower, "(pid ").and_then(|pid| i32::try_from(pid).ok());
            message.directory = quoted_after(text, &lower, "data directory");
        }
        Topic::Resize => {
            message.name = shm_name(text, &lower);
            message.bytes = number_after(&lower, "\" to ");
        }
        Topic::Failed(Call::ShmOpen) => message.name = shm_name(text, &lower),
        Topic::Failed(call) => numbers_of(call, &lower, &mut message),
        Topic::LockFileEmpty
        | Topic::LockFileDamaged
        | Topic::LockFileLocked
        | Topic::LockFileStays
        | Topic::LockFileLost
        | Topic::Mutex
        | Topic::Bare => {}
    }
    Some(message)
}

/// The phrases of PostgreSQL (`sysv_shmem.c`, `sysv_sema.c`, `miscinit.c`, `dsm_impl.c`), of
/// openGauss and pgpool-II, which took them over, and of Apache httpd (`util_mutex.c`).
fn topic(lower: &str, errno: Option<Errno>) -> Option<Topic> {
    let says = |phrase: &str| lower.contains(phrase);
    let calls = |name: &str| contains_word(lower, name).is_some();
    if says("shared memory block") && says("still in use") {
        Some(Topic::StillInUse)
    } else if says("could not resize shared memory segment") {
        Some(Topic::Resize)
    } else if let Some(topic) = lock_file(lower) {
        Some(topic)
    } else if says("map_hugetlb") {
        Some(Topic::Failed(Call::HugeMmap))
    } else if says("could not map anonymous shared memory") {
        Some(Topic::Failed(Call::Mmap))
    } else if calls("shmget")
        || says("could not create shared memory segment")
        || says("could not get shared memory segment")
    {
        Some(Topic::Failed(Call::Shmget))
    } else if calls("semget") || says("could not create semaphores") {
        Some(Topic::Failed(Call::Semget))
    } else if calls("msgget") {
        Some(Topic::Failed(Call::Msgget))
    } else if calls("shmat") {
        Some(Topic::Failed(Call::Shmat))
    } else if calls("semop") || calls("semctl") {
        Some(Topic::Failed(Call::Semop))
    } else if calls("shm_open") || says("shared memory segment \"") || says("/dev/shm") {
        Some(Topic::Failed(Call::ShmOpen))
    } else if is_mutex(lower) {
        Some(Topic::Mutex)
    } else {
        errno.filter(|errno| is_alone(lower, *errno)).map(|_| Topic::Bare)
    }
}

/// Returns the topic of a message about `postmaster.pid`; a socket's lock file is another matter.
fn lock_file(lower: &str) -> Option<Topic> {
    let says = |phrase: &str| lower.contains(phrase);
    let of_directory = !says(".s.pgsql.") && !says("using socket file");
    let runs = ["postmaster", "postgres", "opengauss"];
    let runs = runs.iter().any(|name| says(&format!("is another {name} (pid ")));
    let topic = if says("bogus data in lock file") || says("bogus lock file") {
        Topic::LockFileDamaged
    } else if says("could not remove old lock file") {
        Topic::LockFileStays
    } else if says("could not lock file") && says(".pid") {
        Topic::LockFileLocked
    } else if says("lock file is invalid") || (says("lock file") && says("contains wrong pid")) {
        Topic::LockFileLost
    } else if says("lock file") && says("is empty") {
        Topic::LockFileEmpty
    } else if runs || (says("lock file") && says("already exists")) {
        Topic::LockFile
    } else {
        return None;
    };
    of_directory.then_some(topic)
}

fn is_mutex(lower: &str) -> bool {
    let mutex = ["mutex", "accept lock", "rewritelock", "rewrite lock"];
    let creates = ["create", "init"];
    mutex.iter().any(|word| lower.contains(word)) && creates.iter().any(|w| lower.contains(w))
}

/// An errno is explained by itself where hardly anything else is said: "could not extend file: No
/// space left on device" does speak of a disk.
fn is_alone(lower: &str, errno: Errno) -> bool {
    const MOST_LETTERS: usize = 10;
    let words = errno.words().iter().map(|words| words.to_ascii_lowercase());
    let without = words.chain([errno.name().to_ascii_lowercase()]);
    let rest = without.fold(lower.to_owned(), |rest, words| rest.replace(&words, " "));
    rest.chars().filter(|c| c.is_alphanumeric()).take(MOST_LETTERS + 1).count() <= MOST_LETTERS
}

/// The numbers of "Failed system call was shmget(key=1, size=56, 03600)": by their places, since
/// the names of the arguments are translated.
fn numbers_of(call: Call, lower: &str, message: &mut Message) {
    let numbers = numbers_in_parentheses(lower, call.name());
    let (first, second) = (numbers.first().copied(), numbers.get(1).copied());
    match call {
        Call::Shmget => (message.key, message.bytes) = (first.map(low_bits), second),
        Call::Semget => (message.key, message.semaphores) = (first.map(low_bits), second),
        Call::Msgget => message.key = first.map(low_bits),
        Call::Shmat | Call::ShmOpen => message.id = first.map(low_bits),
        Call::Semop => {
            let numbers =
                if numbers.is_empty() { numbers_in_parentheses(lower, "semctl") } else { numbers };
            message.id = numbers.first().map(|&number| low_bits(number));
        }
        Call::HugeMmap => message.bytes = first,
        Call::Mmap => message.bytes = number_after(lower, "(currently "),
    }
}

/// A key or an id as the kernel has it: servers print it as an unsigned long.
fn low_bits(number: u64) -> i32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// The numbers of the first parentheses behind a phrase, one of each part between commas.
fn numbers_in_parentheses(lower: &str, phrase: &str) -> Vec<u64> {
    let inner = lower.match_indices(phrase).find_map(|(at, _)| {
        let rest = lower.get(at + phrase.len()..)?.trim_start().strip_prefix('(')?;
        rest.split_once(')').map(|(inner, _)| inner)
    });
    let parts = inner.unwrap_or_default().split(',').take(8);
    parts
        .filter_map(|part| number(part.trim_start_matches(|c: char| !c.is_ascii_digit())))
        .collect()
}

fn number(text: &str) -> Option<u64> {
    if let Some(digits) = text.strip_prefix("0x") {
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        return u64::from_str_radix(digits.get(..end)?, 16).ok();
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

fn number_after(lower: &str, phrase: &str) -> Option<u64> {
    let at = lower.find(phrase)? + phrase.len();
    number(lower.get(at..)?.trim_start())
}

/// Returns what stands in quotes right behind a phrase.
fn quoted_after(text: &str, lower: &str, phrase: &str) -> Option<String> {
    lower.match_indices(phrase).find_map(|(at, _)| {
        let rest = text.get(at + phrase.len()..)?.trim_start().strip_prefix('"')?;
        rest.split_once('"').map(|(inner, _)| inner.to_owned())
    })
}

/// The name of a file in `/dev/shm`: quoted, as PostgreSQL has it, or as a path.
fn shm_name(text: &str, lower: &str) -> Option<String> {
    let quoted = quoted_after(text, lower, "shared memory segment");
    let path = || {
        let at = lower.find("/dev/shm/")? + "/dev/shm/".len();
        let rest = text.get(at..)?;
        let end = rest.find(|c: char| c.is_whitespace() || "\"',:;".contains(c));
        rest.get(..end.unwrap_or(rest.len())).map(str::to_owned)
    };
    let name = quoted.or_else(path)?;
    let name = name.trim_start_matches('/').to_owned();
    (!name.is_empty()).then_some(name)
}

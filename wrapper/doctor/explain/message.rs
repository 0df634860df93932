//! Takes a text apart: which of its messages matters, what failed, why, and the object in it. Pure,
//! and total on any text.

use std::sync::LazyLock;

use nix::errno::Errno;
use regex_lite::Regex;

use super::call::{BY_ID, BY_KEY, Call};
use super::text::{self, Text};
use super::{catalogue, errno};

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
    /// A shared memory file of a program in a directory of its own, on a disk.
    OnDisk,
    /// "out of shared memory": a pool inside a server's own memory.
    LockTable,
    /// "could not attach to dynamic shared area"
    AreaLost,
    /// A process of a server died, and the server starts all of them anew.
    Crash,
    /// SIGBUS: mapped memory that could not be had.
    Bus,
    /// The OOM killer.
    Oom,
    /// Python's resource tracker.
    Leaked,
    /// systemd waits for a pid file.
    PidFile,
    /// An errno, and nothing of what failed.
    Bare,
}

impl Topic {
    /// The topics with their words for scripts.
    pub(crate) const WORDS: [(Self, &'static str); 18] = [
        (Self::StillInUse, "block-in-use"),
        (Self::LockFile, "lock-file"),
        (Self::LockFileEmpty, "lock-file-empty"),
        (Self::LockFileDamaged, "lock-file-damaged"),
        (Self::LockFileLocked, "lock-file-locked"),
        (Self::LockFileStays, "lock-file-stays"),
        (Self::LockFileLost, "lock-file-lost"),
        (Self::Resize, "resize"),
        (Self::Mutex, "mutex"),
        (Self::OnDisk, "file-on-disk"),
        (Self::LockTable, "lock-table"),
        (Self::AreaLost, "area-lost"),
        (Self::Crash, "crash"),
        (Self::Bus, "bus-error"),
        (Self::Oom, "oom"),
        (Self::Leaked, "leaked"),
        (Self::PidFile, "pid-file"),
        (Self::Bare, "errno"),
    ];

    /// A word for scripts.
    pub(crate) fn word(self) -> &'static str {
        let row = Self::WORDS.iter().find(|(topic, _)| *topic == self);
        row.map_or("call-failed", |(_, word)| word)
    }

    /// The call that failed, where the message names one.
    pub(crate) fn call(self) -> Option<&'static str> {
        match self {
            Self::Failed(Call::MapFile) => Some("mmap"),
            Self::Failed(call) => Some(call.name()),
            _ => None,
        }
    }

    /// What tells of something that another message of the same log may explain counts less.
    fn weight(self) -> u8 {
        u8::from(!matches!(self, Self::Crash | Self::Bare | Self::PidFile | Self::Leaked))
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
    /// Another file in it, as it stands there.
    pub(crate) path: Option<String>,
    /// The pid in it.
    pub(crate) pid: Option<i32>,
    /// The data directory in it.
    pub(crate) directory: Option<String>,
    /// Whether PostgreSQL or openGauss wrote it.
    pub(crate) of_postgres: bool,
    /// Whether it speaks of huge pages.
    pub(crate) huge: bool,
}

/// Takes the message of a text apart that matters most: the one that stops a server before one that
/// does not, of these the last. `None` for a text that is not about shared memory or semaphores.
pub(crate) fn recognise(text: &str) -> Option<Message> {
    let known =
        text::messages(text).into_iter().filter_map(|one| Some((one.severity, take_apart(&one)?)));
    let worst = known.max_by_key(|(severity, message)| (*severity, message.topic.weight()));
    worst.map(|(_, message)| message)
}

/// The errno of a text, known or not.
pub(crate) fn errno_of(text: &str) -> Option<Errno> {
    text::messages(text).iter().rev().find_map(errno::find).map(|(_, errno)| errno)
}

/// Patterns for what says by itself what it is about, the first that fits first; in lower case.
const PHRASES: &[(Topic, &str)] = &[
    (Topic::Oom, r"oom[-_ ]kill|out of memory: kill|invoked oom"),
    (Topic::Bus, r"signal 7\b|\bsigbus\b|\bbus error\b"),
    (Topic::Leaked, r"leaked (shared_memory|semaphore|semlock) object"),
    (Topic::PidFile, r"can'?t open pid file|pid file [^ ]+ not readable"),
    (Topic::StillInUse, r"shared memory block\b.{0,80}still in use|remove the shared memory block"),
    (Topic::LockFileDamaged, r"bogus data in lock file|bogus lock file"),
    (Topic::LockFileLocked, r"could not lock file .{0,200}\.pid"),
    (Topic::LockFileLost, r"lock file is invalid"),
    (
        Topic::LockFile,
        r"is another (postmaster|postgres|opengauss) \(pid|lock file .{0,200}already exists",
    ),
    (Topic::AreaLost, r"could not attach to dynamic shared area"),
    (Topic::LockTable, r"\bout of shared memory\b|max_locks_per_transaction|ora-04031"),
    (Topic::Resize, r"could not resize shared memory segment"),
    (Topic::OnDisk, r"shared memory segment on file /"),
    (
        Topic::Failed(Call::Shmget),
        r"\bshm_attach\(|\bshmop_open\(|shm_hugetlb|innodb.{0,60}hugetlb",
    ),
    (Topic::Failed(Call::Semget), r"\bsem_get\("),
    (
        Topic::Failed(Call::Semop),
        concat!(
            r"\bsem_(acquire|release)\(|\bsemtimedop\b",
            r"|(grab|acquire|release)[^:'\x22/\n]{0,30}\bmutex\b"
        ),
    ),
    (Topic::Failed(Call::Msgget), r"\bmsg_get_queue\("),
    (Topic::Failed(Call::Msgsnd), r"\bmsg_send\("),
    (Topic::Failed(Call::Mmap), r"map_hugetlb|system pages not available"),
    (Topic::Failed(Call::Shmctl), r"\bipcrm: "),
];

/// Patterns for what failed where no call is named; each needs a word that something failed, or an
/// errno, close by.
const NOUNS: &[(Topic, &str)] = &[
    (Topic::Failed(Call::MapFile), r"mmap [0-9]+ bytes from file"),
    (
        Topic::Failed(Call::ShmOpen),
        concat!(
            r"shared memory object|shared memory segment [\x22/<]|shared memory in /dev/shm",
            r"|(^|[^\w./-])/dev/shm\b|</?torch_|'/?(psm|wnsm)_"
        ),
    ),
    (Topic::Failed(Call::Shmat), r"attach(ing)?( to)?( the| existing)* shared memory|ora-27123"),
    (
        Topic::Failed(Call::Shmget),
        r"ora-2710[236]|ora-27125|sql1084c|sql1220n|scoreboard|slotmem_create",
    ),
    (Topic::Failed(Call::Semget), r"\bsemaphores?\b|systemsemaphore"),
    (
        Topic::Mutex,
        r"(creat|initiali|init )[^:'\x22/\n]{0,40}\b(mutex|accept lock|rewritelock|rewrite lock)\b",
    ),
    (
        Topic::Failed(Call::Mmap),
        r"map (anonymous )?shared memory|\bmmap\b|virtual area|huge ?pages?\b",
    ),
    (Topic::Failed(Call::SemOpen), r"\bsemlock\b"),
    (Topic::Failed(Call::Msgget), r"\bmessage queue\b"),
    (Topic::Failed(Call::Shmget), r"\bshared[ -]?memory\b|shared memory set"),
];

/// Words that say that something failed.
const FAILING: &str = concat!(
    r"cannot|can'?t\b|could ?n[o']t|unable|\bfail|error|exceed|out of |not enough|reached|denied",
    r"|no space|incorrect"
);
/// Bytes between what failed and the word that it did.
const CLOSE: usize = 90;

type Patterns = LazyLock<Vec<(Topic, Regex)>>;

static KNOWN_PHRASES: Patterns = LazyLock::new(|| compiled(PHRASES));
static KNOWN_NOUNS: Patterns = LazyLock::new(|| compiled(NOUNS));

fn compiled(rows: &[(Topic, &str)]) -> Vec<(Topic, Regex)> {
    rows.iter().filter_map(|(topic, row)| Some((*topic, Regex::new(row).ok()?))).collect()
}

/// The pattern, compiled once for each place that names one.
macro_rules! pattern {
    ($text:expr) => {{
        static PATTERN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new($text).ok());
        PATTERN.as_ref()
    }};
}

fn take_apart(text: &Text) -> Option<Message> {
    let (topic, errno) = topic(text)?;
    let mut message = Message {
        topic,
        errno,
        key: None,
        id: None,
        bytes: None,
        semaphores: None,
        name: shm_name(text),
        path: first(
            pattern!(r"(?:^|[\s'\x22=:])(/[\w.+-]+(?:/[\w.+-]+)+|pg_dynshmem/[\w.]+)"),
            text.said(),
        ),
        pid: first(pattern!(r"(?i)\(pid (\d+)\)"), text.said()).and_then(|pid| pid.parse().ok()),
        directory: None,
        of_postgres: is_of_postgres(text),
        huge: pattern!(r"hugetlb|huge ?page|system pages")
            .is_some_and(|huge| huge.is_match(text.lower())),
    };
    numbers(text, &mut message);
    if matches!(topic, Topic::StillInUse | Topic::LockFile) {
        let quoted = pattern!(r"\x22 ?(/[^\x22]*?) ?\x22");
        message.directory = quoted.and_then(|quoted| {
            quoted.captures_iter(text.said()).last()?.get(1).map(|one| one.as_str().to_owned())
        });
    }
    Some(message)
}

/// Without one of these no pattern fits: a log has thousands of lines, and few with one of them.
const STEMS: [&str; 28] = [
    "shm",
    "shared",
    "sem",
    "msg",
    "mutex",
    "queue",
    "mmap",
    "map_huge",
    "map shared",
    "lock file",
    "accept lock",
    "rewrite",
    "another",
    "pid file",
    "oom",
    "out of",
    "bus",
    "signal 7",
    "huge",
    "pages",
    "ora-",
    "sql1",
    "leaked",
    "virtual area",
    "scoreboard",
    "ipcrm",
    "psm_",
    "slotmem",
];
/// Bytes beyond which no message is an errno alone.
const MOST_ALONE: usize = 200;

/// What a message is about, and the errno in it.
fn topic(text: &Text) -> Option<(Topic, Option<Errno>)> {
    let lower = text.lower();
    // A socket's lock file is another matter.
    if lower.contains(".s.pgsql.") || lower.contains("using socket file") {
        return None;
    }
    let is_near = STEMS.iter().any(|stem| lower.contains(stem));
    let phrase = || KNOWN_PHRASES.iter().find(|(_, pattern)| pattern.is_match(lower));
    let said = is_near.then(|| phrase().map(|(topic, _)| *topic).or_else(|| called(lower)));
    let translated = || text.is_worth_all.then(|| catalogue::find(lower)).flatten();
    if let Some(topic) = said.flatten().or_else(translated) {
        return Some((topic, errno::find(text).map(|(_, errno)| errno)));
    }
    if !is_near && lower.len() > MOST_ALONE {
        return None;
    }
    let found = errno::find(text);
    let errno = found.as_ref().map(|(_, errno)| *errno);
    let at = found.map(|(at, _)| at.start);
    if let Some(topic) = is_near.then(|| noun(lower, at)).flatten() {
        return Some((topic, errno));
    }
    errno.filter(|errno| is_alone(lower, *errno)).map(|_| (Topic::Bare, errno))
}

/// The topic of what a message names, where it says close by that it failed, or with which errno.
fn noun(lower: &str, errno_at: Option<usize>) -> Option<Topic> {
    let failing = pattern!(FAILING)?;
    let found = failing.find_iter(lower).map(|one| one.start());
    let places: Vec<usize> = found.chain(errno_at).collect();
    // A path may have any words in it, and what speaks of a disk is about that.
    let paths = pattern!(r"\x22/[^\x22\n]*/[^\x22\n]*\x22")?;
    let in_path = |noun: &regex_lite::Match<'_>| {
        let mut paths = paths.find_iter(lower).filter(|path| !path.as_str().contains("/dev/shm/"));
        paths.any(|path| path.range().contains(&noun.start()))
    };
    let breaks = [". ", "; ", "\n", "disk", "library"];
    let close = |noun: &regex_lite::Match<'_>| {
        places.iter().any(|&place| {
            let between = match place < noun.start() {
                true => lower.get(place..noun.start()),
                false => lower.get(noun.end()..place),
            };
            between.is_none_or(|between| {
                between.len() <= CLOSE && !breaks.iter().any(|one| between.contains(one))
            })
        })
    };
    let mut nouns = KNOWN_NOUNS.iter();
    let fits = |noun: &regex_lite::Match<'_>| close(noun) && !in_path(noun);
    let found = nouns.find(|(_, pattern)| pattern.find_iter(lower).any(|noun| fits(&noun)));
    found.map(|(topic, _)| *topic)
}

/// The call whose name comes first.
fn called(lower: &str) -> Option<Topic> {
    let named = Call::ALL.into_iter().filter(|call| *call != Call::Mmap);
    // In quotes it is somebody's name.
    let quoted = |at: usize| lower.get(..at).is_some_and(|before| before.ends_with(['"', '\'']));
    let found = named.filter_map(|call| Some((text::word(lower, call.name())?, call)));
    let found = found.filter(|(at, _)| !quoted(*at));
    found.min_by_key(|(at, _)| *at).map(|(_, call)| Topic::Failed(call))
}

/// An errno is explained by itself where hardly anything else is said: "could not extend file: No
/// space left on device" does speak of a disk.
fn is_alone(lower: &str, errno: Errno) -> bool {
    const MOST_LETTERS: usize = 14;
    let rest = errno::taken_out(lower, errno);
    rest.chars().filter(|c| c.is_alphabetic()).take(MOST_LETTERS + 1).count() <= MOST_LETTERS
}

fn is_of_postgres(text: &Text) -> bool {
    let words = pattern!(r"postg|opengauss|gaussdb|shared_buffers|failed system call was|FATAL: ");
    words.is_some_and(|words| words.is_match(text.lower()) || words.is_match(text.said()))
        || catalogue::find(text.lower()).is_some()
}

/// The first group of a pattern.
fn first(pattern: Option<&Regex>, text: &str) -> Option<String> {
    let found = pattern?.captures(text)?;
    found.iter().skip(1).flatten().next().map(|one| one.as_str().to_owned())
}

/// The name of a file in `/dev/shm`: as a path, in quotes or brackets, or of a kind that is known.
fn shm_name(text: &Text) -> Option<String> {
    first(
        pattern!(concat!(
            r"(?:^|[^\w./-])/dev/shm/([^\s\x22',:;<>]+)|\x22 ?/?(PostgreSQL\.\d+)|</?([\w.-]+)>",
            r"|'/?((?:psm|wnsm|sem)[_.][\w.-]+)'|shm_open\(\x22?/?([^\s/\x22,)]+)",
            r"|memory (?:segment|object) \x22/?([^\s/\x22]+)\x22"
        )),
        text.said(),
    )
}

/// Key, id, sizes: by their places in a call ("shmget(key=1, size=56, 03600)", whose names of
/// arguments are translated), else by the word in front.
fn numbers(text: &Text, message: &mut Message) {
    let lower = text.lower();
    if let Topic::Failed(call) = message.topic {
        let numbers = in_parentheses(lower, call.name());
        let first = numbers.first().copied().flatten();
        let second = numbers.get(1).copied().flatten();
        if BY_KEY.contains(&call) {
            message.key = first.map(low_bits);
            message.bytes = second.filter(|_| call == Call::Shmget);
            message.semaphores = second.filter(|_| call == Call::Semget);
        } else if BY_ID.contains(&call) {
            message.id = first.map(low_bits);
        } else if call == Call::Mmap {
            message.bytes = first;
        }
    }
    let named =
        |pattern: Option<&Regex>| self::first(pattern, lower).and_then(|text| number(&text));
    message.key = message.key.or_else(|| {
        // Informix prints its keys in hexadecimal without saying so.
        let bare_hex = pattern!(r"shmget: \[.*key (\d{8}):");
        let hex = self::first(bare_hex, lower).and_then(|digits| number(&format!("0x{digits}")));
        hex.or_else(|| named(pattern!(r"\bkey[ =:]{1,3}(0x[0-9a-f]+|\d+)"))).map(low_bits)
    });
    message.key = message.key.filter(|key| *key != 0);
    let id = || named(pattern!(r"\b(?:id|shmid|semid|msqid|msgid)[ =:(]{1,3}(\d+)"));
    message.id = message.id.or_else(|| id().map(low_bits));
    if message.topic == Topic::StillInUse && (message.key.is_none() || message.id.is_none()) {
        let both = in_parentheses(lower, "");
        let number = |at: usize| both.get(at).copied().flatten().map(low_bits);
        (message.key, message.id) = (message.key.or(number(0)), message.id.or(number(1)));
    }
    message.bytes = message.bytes.or_else(|| {
        let sized = pattern!(
            r"\bsize[ =:]{1,3}(?:of )?(\d+)|\bcurrently (\d+) |(?:^|[ =:])(\d+) ?(?:bytes?|b)\b"
        );
        named(sized).or_else(|| named(pattern!(r"\x22 [^\x22\d]{1,20}(\d{3,})")))
    });
}

/// A key or an id as the kernel has it: servers print it as an unsigned long.
fn low_bits(number: u64) -> i32 {
    let [a, b, c, d, ..] = number.to_le_bytes();
    i32::from_le_bytes([a, b, c, d])
}

/// The numbers of the first parentheses right behind a phrase, one of each part between commas.
fn in_parentheses(lower: &str, phrase: &str) -> Vec<Option<u64>> {
    let inner = lower.match_indices(phrase).find_map(|(at, _)| {
        let rest = lower.get(at + phrase.len()..)?.trim_start().strip_prefix('(')?;
        rest.split_once(')')
            .map(|(inner, _)| inner)
            .filter(|inner| inner.contains(|c: char| c.is_ascii_digit()))
    });
    let parts = inner.unwrap_or_default().split(',').take(8);
    parts.map(|part| number(part.trim_start_matches(|c: char| !c.is_ascii_digit()))).collect()
}

/// The number that a text begins with, decimal or as `0x..`.
fn number(text: &str) -> Option<u64> {
    if let Some(digits) = text.strip_prefix("0x") {
        let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
        return u64::from_str_radix(digits.get(..end)?, 16).ok();
    }
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.get(..end)?.parse().ok()
}

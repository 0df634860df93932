//! openGauss: the header of its one segment, its keys, its fenced UDF master. Pure.
//!
//! One process with threads. Of System V it has one segment with all that it shares, and sets of
//! semaphores. Its `postmaster.pid` has PostgreSQL's first seven lines
//! (`miscinit.cpp CreateLockFile`, `AddToDataDirLockFile`) and is read by the same parser.

use super::{Control, Engine, Facts, MainHeader, SetMark, command_line};

impl Engine {
    /// openGauss. The immediate stop ends with status 0, leaves its sets and removes its segment
    /// without a detach before (`postmaster.cpp`: `cancelSemphoreRelease`,
    /// `cancelIpcMemoryDetach`); each of its sets bears a mark (`sysv_sema.cpp`).
    pub const OPENGAUSS: Self = Self::of(&Facts {
        name: "opengauss",
        title: "openGauss",
        help: "openGauss",
        // MogDB's documentation has the last.
        programs: &["gaussdb", "gauss", "mogdb"],
        data: Some(command_line::DATA),
        starts_server: command_line::starts_server,
        main_header,
        known_by_header: true,
        has_interlock: true,
        has_one_segment: true,
        lists_its_memory: false,
        detaches_before_removal: false,
        set_mark: Some(SetMark { members: SET_MEMBERS, value: SET_MAGIC }),
        leaks_on_clean_exit: true,
    });
}

/// Bytes of a segment's header that are looked at (`storage/pg_shmem.h PGShmemHeader`, 64-bit).
pub const HEADER_BYTES: usize = 56;
const _: () = assert!(HEADER_BYTES <= super::HEADER_BYTES);
/// Members of a semaphore set (`sysv_sema.cpp`: `SEMAS_PER_SET` and one that marks the set).
pub const SET_MEMBERS: i32 = 17;
/// Value of the member that marks a set (`sysv_sema.cpp PGSemaMagic`).
pub const SET_MAGIC: i32 = 537;
/// The title of a fenced UDF master (`fencedudf.cpp FencedUDFMasterMain`).
pub const FENCED_TITLE: &str = "gaussdb fenced UDF master process";

/// `PGShmemMagic`: the same number as PostgreSQL's, in front of other fields.
const HEADER_MAGIC: i32 = 679_834_894;
/// Largest pid that Linux gives out (`PID_MAX_LIMIT`).
const LARGEST_PID: u64 = 1 << 22;

/// The header of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The server that created it.
    pub pid: i32,
    /// Bytes that it asked for; the kernel may have given more, in whole huge pages.
    pub bytes: u64,
    /// Device of the data directory.
    pub dev: u64,
    /// Inode of the data directory.
    pub ino: u64,
}

/// Reads the header of a segment; `None` where it is none, or not filled in yet.
///
/// At the place of PostgreSQL's pid is padding here, which nobody writes: 0.
#[must_use]
pub fn header(bytes: &[u8]) -> Option<Header> {
    if (word(bytes, 0)?, word(bytes, 4)?) != (HEADER_MAGIC, 0) {
        return None;
    }
    let pid = long(bytes, 8).filter(|pid| (1..=LARGEST_PID).contains(pid))?;
    // The size is written after all the rest (sysv_shmem.cpp PGSharedMemoryCreate).
    let size = long(bytes, 16).filter(|&size| size != 0)?;
    Some(Header {
        pid: i32::try_from(pid).ok()?,
        bytes: size,
        dev: long(bytes, 40)?,
        ino: long(bytes, 48)?,
    })
}

/// Reads the header as every server's is read.
#[must_use]
pub fn main_header(bytes: &[u8]) -> Option<MainHeader> {
    let Header { pid, dev, ino, .. } = header(bytes)?;
    Some(MainHeader { pid, dev, ino, control: Control::Never })
}

/// The header as a server writes it: for the stand-in and tests.
#[must_use]
pub fn header_bytes(header: &Header) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    let mut put = |at: usize, value: u64| {
        for (to, from) in bytes.iter_mut().skip(at).zip(value.to_ne_bytes()) {
            *to = from;
        }
    };
    put(8, u64::from(header.pid.unsigned_abs()));
    put(16, header.bytes);
    put(24, HEADER_BYTES as u64); // free from here on
    put(40, header.dev);
    put(48, header.ino);
    for (to, from) in bytes.iter_mut().zip(HEADER_MAGIC.to_ne_bytes()) {
        *to = from;
    }
    bytes
}

/// The keys that a server on this port tries, in this order, for its segment and for its sets
/// (`sysv_shmem.cpp PGSharedMemoryCreate`, `sysv_sema.cpp PGReserveSemaphores`); a standalone
/// backend and the bootstrap have port 0. PostgreSQL up to 12 takes the same.
///
/// For people only. No key selects anything: two servers of one user on one port share the range.
pub fn keys(port: u16) -> impl Iterator<Item = i32> {
    let base = i32::from(port) * 1000;
    base + 1..
}

/// The port whose servers try this key among their first thousand: a hint for people, no proof.
#[must_use]
pub fn port_hint(key: i32) -> Option<u16> {
    u16::try_from(key / 1000).ok().filter(|_| key % 1000 != 0 && key > 0)
}

/// Checks that a command line (blanks between its words) is that of a fenced UDF master: forked by
/// the server with its segment attached, and left behind by each end but a fast or smart stop
/// (`fencedudf.cpp StartUDFMaster`, `postmaster.cpp pmdie`, `HandleChildCrash`).
#[must_use]
pub(crate) fn is_fenced_master(command: &str) -> bool {
    command.starts_with(FENCED_TITLE)
}

fn word(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::postgres;

    const HEADER: Header = Header { pid: 4711, bytes: 4 << 30, dev: 43, ino: 1_234_567 };

    /// PostgreSQL's: pid at 4, size at 8, control segment at 24.
    fn of_postgres() -> [u8; HEADER_BYTES] {
        let mut bytes = header_bytes(&HEADER);
        bytes[4..8].copy_from_slice(&4711_i32.to_ne_bytes());
        bytes[8..16].copy_from_slice(&56_u64.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_header_is_read_as_it_is_written() {
        assert_eq!(header(&header_bytes(&HEADER)), Some(HEADER));
    }

    #[test]
    fn the_two_servers_headers_are_never_confused() {
        assert_eq!(header(&of_postgres()), None);
        assert!(postgres::header(&of_postgres()).is_some());
        assert_eq!(postgres::header(&header_bytes(&HEADER)), None);
    }

    #[test]
    fn what_is_no_complete_header_is_none() {
        let whole = header_bytes(&HEADER);
        for cut in 0..HEADER_BYTES {
            assert_eq!(header(&whole[..cut]), None, "{cut}");
        }
        for field in [0..4, 8..16, 16..24] {
            let mut bytes = whole;
            bytes[field].fill(0);
            assert_eq!(header(&bytes), None);
        }
        let mut bytes = whole;
        bytes[12] = 1; // a pid of more than 32 bits
        assert_eq!(header(&bytes), None);
        assert_eq!(header(&[0xff; 100]), None);
    }

    #[test]
    fn keys_follow_the_port() {
        assert_eq!(keys(16000).next(), Some(0x00f4_2401));
        assert_eq!(keys(16000).nth(18), Some(0x00f4_2413));
        assert_eq!(keys(0).next(), Some(1));
        assert_eq!(port_hint(0x00f4_2413), Some(16000));
        assert_eq!(port_hint(1), Some(0));
        assert_eq!((port_hint(0), port_hint(-5), port_hint(16_000_000)), (None, None, None));
        assert_eq!(port_hint(i32::MAX), None);
    }

    #[test]
    fn a_fenced_master_is_known_by_its_title() {
        assert!(is_fenced_master("gaussdb fenced UDF master process"));
        assert!(!is_fenced_master("gaussdb -D /data"));
    }
}

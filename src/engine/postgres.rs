//! PostgreSQL 10 to 18: the header of its main segment, the list of its dynamic shared memory,
//! `postmaster.pid`. Pure; every parser takes any bytes.
//!
//! Only what was measured on these majors is believed. A layout that does not check, or a major
//! that is not known, gives an error, and then nothing of that server is removed.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Control, Engine, Facts, MainHeader, command_line};
use crate::object::Bytes;

impl Engine {
    /// PostgreSQL. `sysv_shmem.c`: each process has the main segment attached; `dsm_impl.c`,
    /// `sysv_shmem.c`: what is removed was unmapped before.
    pub const POSTGRES: Self = Self::of(&Facts {
        name: "postgres",
        title: "PostgreSQL",
        help: "PostgreSQL 10 to 18",
        programs: &["postgres", "postmaster"],
        data: Some(command_line::DATA),
        starts_server: command_line::starts_server,
        main_header,
        known_by_header: false,
        has_interlock: true,
        has_one_segment: false,
        lists_its_memory: true,
        detaches_before_removal: true,
        set_mark: None,
        leaks_on_clean_exit: false,
    });
}

/// Bytes of a segment's header that are looked at (`storage/pg_shmem.h PGShmemHeader`, 64-bit).
pub const HEADER_BYTES: usize = 56;
const _: () = assert!(HEADER_BYTES <= super::HEADER_BYTES);
/// Majors whose layouts are known.
pub const MAJORS: std::ops::RangeInclusive<u32> = 10..=18;

/// `PGShmemMagic`.
const HEADER_MAGIC: i32 = 679_834_894;
/// `PG_DYNSHMEM_CONTROL_MAGIC` (`dsm.c`).
const CONTROL_MAGIC: u32 = 0x9a50_3d32;
/// Length of an item up to 13.
const NARROW_ITEM: usize = 24;
/// Length of an item from 14 on.
const WIDE_ITEM: usize = 40;
/// Offset of the first item in the control segment.
const FIRST_ITEM: usize = 16;
/// Most items of a control segment that is read: that of a server with 83,000 connections
/// (`dsm.c`: 64, and 5 for each backend).
const MOST_ITEMS: usize = 416_000;
/// Largest control segment that is read, in bytes.
pub const LARGEST_CONTROL: usize = FIRST_ITEM + MOST_ITEMS * WIDE_ITEM;
/// The system may round the length of a control segment up to its pages.
const LARGEST_PAGE: u64 = 64 << 10;

/// The header of a main segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// The postmaster that created it.
    pub pid: i32,
    /// Handle of the control segment; 0 where there is none (yet, or no more).
    pub control: u32,
    /// Device of the data directory.
    pub dev: u64,
    /// Inode of the data directory.
    pub ino: u64,
}

/// Reads the header of a main segment; `None` where it is none (or not filled in yet).
#[must_use]
pub fn header(bytes: &[u8]) -> Option<Header> {
    if i32_at(bytes, 0)? != HEADER_MAGIC {
        return None;
    }
    Some(Header {
        // 0 is openGauss's header, which begins with the same number.
        pid: i32_at(bytes, 4).filter(|&pid| pid != 0)?,
        control: u32_at(bytes, 24)?,
        dev: u64_at(bytes, 40)?,
        ino: u64_at(bytes, 48)?,
    })
}

/// Reads the header as every server's is read.
#[must_use]
pub fn main_header(bytes: &[u8]) -> Option<MainHeader> {
    let Header { pid, control, dev, ino } = header(bytes)?;
    let control = if control == 0 { Control::Unnamed } else { Control::Handle(control) };
    Some(MainHeader { pid, dev, ino, control })
}

/// Handles of the dynamic shared memory that a control segment lists, those inside the main
/// segment left out (`dsm.c dsm_cleanup_using_control_segment`).
///
/// # Errors
/// A sentence where the major or the layout is not known.
pub fn listed(bytes: &[u8], major: Option<u32>) -> Result<Vec<u32>, String> {
    listed_from(bytes, major, 1)
}

/// Returns the handles of what a living server's control segment lists as being used or kept: from
/// two references on (`dsm.c`: one is that of what its last user is about to remove).
///
/// # Errors
/// As [`listed`].
pub fn held(bytes: &[u8], major: Option<u32>) -> Result<Vec<u32>, String> {
    listed_from(bytes, major, 2)
}

fn listed_from(bytes: &[u8], major: Option<u32>, least: u32) -> Result<Vec<u32>, String> {
    let Some(major) = major else {
        return Err("the major version of the server is not known".to_owned());
    };
    if !MAJORS.contains(&major) {
        return Err(format!("the layout of PostgreSQL {major} is not known to this shmwarden"));
    }
    let short = || "its control segment is shorter than its own count".to_owned();
    let magic = u32_at(bytes, 0).ok_or_else(short)?;
    let items = u32_at(bytes, 4).ok_or_else(short)?;
    let room = u32_at(bytes, 8).ok_or_else(short)?;
    if (magic, items, room) == (0, 0, 0) {
        // Made, and not filled in: the postmaster died before any backend could add to it.
        return Ok(Vec::new());
    }
    if magic != CONTROL_MAGIC {
        return Err("its control segment does not begin as one does".to_owned());
    }
    if items > room {
        return Err("its control segment counts more items than it has room for".to_owned());
    }
    let item_bytes = if major <= 13 { NARROW_ITEM } else { WIDE_ITEM };
    let mut handles = Vec::new();
    for index in 0..items as usize {
        let at = FIRST_ITEM + index * item_bytes;
        bytes.get(at..at + item_bytes).ok_or_else(short)?;
        let handle = u32_at(bytes, at).ok_or_else(short)?;
        let references = u32_at(bytes, at + 4).ok_or_else(short)?;
        // From 14 on, odd handles are ranges of the main segment (is_main_region_dsm_handle).
        let inside_main = major >= 14 && handle & 1 == 1;
        if references >= least && !inside_main {
            handles.push(handle);
        }
    }
    Ok(handles)
}

/// Checks that bytes begin as a control segment does.
#[must_use]
pub fn is_control(bytes: &[u8]) -> bool {
    u32_at(bytes, 0) == Some(CONTROL_MAGIC)
}

/// Checks that the start of a control segment goes with a length: what claims other numbers of
/// items than fit in there is nothing that a server made, and too much to read.
#[must_use]
pub(crate) fn fits_length(start: &[u8], bytes: u64) -> bool {
    let (Some(items), Some(room)) = (u32_at(start, 4), u32_at(start, 8)) else { return false };
    let fits = |item: usize| {
        let whole = u64::from(room) * item as u64 + FIRST_ITEM as u64;
        (whole..=whole.next_multiple_of(LARGEST_PAGE)).contains(&bytes)
    };
    items <= room && bytes <= LARGEST_CONTROL as u64 && (fits(NARROW_ITEM) || fits(WIDE_ITEM))
}

/// Every number that could be a handle in a control segment: more than it lists, never less, and
/// any number at all where its layout is not known. For what must stay while it is listed.
#[must_use]
pub(crate) fn perhaps_listed(bytes: &[u8]) -> BTreeSet<u32> {
    let slots = slots(bytes).map(|slots| slots.map(|(handle, _)| handle).collect());
    let all: BTreeSet<u32> = slots.unwrap_or_else(|| {
        let words = bytes.get(FIRST_ITEM..).unwrap_or_default().chunks_exact(4);
        words.filter_map(|word| u32_at(word, 0)).collect()
    });
    all.into_iter().filter(|&handle| handle != 0).collect()
}

/// The handles that a control segment lists, those inside the main segment left out, by the layout
/// that its length shows; `None` where that is not known.
#[must_use]
pub(crate) fn listed_by_length(bytes: &[u8]) -> Option<Vec<u32>> {
    let wide = item_bytes_by_length(bytes)? == WIDE_ITEM;
    let items = u32_at(bytes, 4)? as usize;
    let in_use = slots(bytes)?.take(items).filter(|(_, references)| *references != 0);
    let handles = in_use.map(|(handle, _)| handle);
    Some(handles.filter(|handle| !(wide && handle & 1 == 1)).collect())
}

/// Handle and references of each item that a control segment has room for.
fn slots(bytes: &[u8]) -> Option<impl Iterator<Item = (u32, u32)>> {
    let item_bytes = item_bytes_by_length(bytes)?;
    let items = bytes.get(FIRST_ITEM..)?.chunks_exact(item_bytes);
    Some(items.filter_map(|item| Some((u32_at(item, 0)?, u32_at(item, 4)?))))
}

/// A control segment is as long as its header and the items that it has room for
/// (`dsm.c dsm_control_bytes_needed`).
fn item_bytes_by_length(bytes: &[u8]) -> Option<usize> {
    let room = u32_at(bytes, 8)? as usize;
    let fits =
        |item: &usize| room.checked_mul(*item).map(|all| all + FIRST_ITEM) == Some(bytes.len());
    [NARROW_ITEM, WIDE_ITEM].into_iter().find(|item| room > 0 && fits(item))
}

/// The handle that a name below `/dev/shm` bears; `None` where a server would write it otherwise,
/// or a stranger's file `PostgreSQL.07` could pass for a server's `PostgreSQL.7`.
#[must_use]
pub(crate) fn handle_of_name(name: &[u8]) -> Option<u32> {
    let digits = name.strip_prefix(b"PostgreSQL.")?;
    let handle = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (posix_name(handle).0 == name).then_some(handle)
}

/// The handles that a System V key may stand for; none for a private segment.
#[must_use]
pub(crate) fn handles_of_key(key: i32) -> Vec<u32> {
    let of = |key: i32| u32::from_ne_bytes(key.to_ne_bytes());
    if key == 0 { Vec::new() } else { vec![of(key), of(key.wrapping_neg())] }
}

/// The name below `/dev/shm` of a handle (`dsm_impl.c dsm_impl_posix`).
#[must_use]
pub fn posix_name(handle: u32) -> Bytes {
    Bytes(format!("PostgreSQL.{handle}").into_bytes())
}

/// Checks that a name below `/dev/shm` is of PostgreSQL's form.
#[must_use]
pub(crate) fn is_posix_name(name: &[u8]) -> bool {
    handle_of_name(name).is_some()
}

/// The System V key of a handle (`dsm_impl.c dsm_impl_sysv`): negated if below 1.
#[must_use]
pub fn sysv_key(handle: u32) -> i32 {
    let key = i32::from_ne_bytes(handle.to_ne_bytes());
    if key < 1 { key.wrapping_neg() } else { key }
}

/// The content of `postmaster.pid` (`utils/pidfile.h`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PidFile {
    /// Line 1: the postmaster, or a standalone backend.
    pub pid: i32,
    /// Set for a standalone backend (`postgres --single`), which writes its pid negated.
    pub standalone: bool,
    /// Line 7: key and id of the main segment, once it is there.
    pub segment: Option<(i32, i32)>,
}

/// Reads `postmaster.pid`; `None` where its first line is no pid.
#[must_use]
pub fn pid_file(text: &[u8]) -> Option<PidFile> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines();
    let pid: i32 = lines.next()?.trim().parse().ok()?;
    let mut words = lines.nth(5).unwrap_or_default().split_whitespace();
    // The key is printed as an unsigned long (sysv_shmem.c: "%9lu %9lu").
    let key = words.next().and_then(|word| word.parse::<u64>().ok());
    let id = words.next().and_then(|word| word.parse().ok());
    let key = key
        .and_then(|key| u32::try_from(key & 0xffff_ffff).ok())
        .map(|word| i32::from_ne_bytes(word.to_ne_bytes()));
    let pid = (pid, pid.checked_abs().filter(|pid| *pid != 0)?);
    Some(PidFile { pid: pid.1, standalone: pid.0 < 0, segment: key.zip(id) })
}

/// Checks whether `postmaster.pid` says that its server does not take connections yet: line 8,
/// which PostgreSQL has from major 10 on (`pidfile.h`: `PM_STATUS_STARTING`).
#[must_use]
pub fn says_starting(text: &[u8]) -> bool {
    text.split(|&byte| byte == b'\n').nth(7).is_some_and(|line| line.trim_ascii() == b"starting")
}

/// The major version that `PG_VERSION` names.
#[must_use]
pub fn major(text: &[u8]) -> Option<u32> {
    std::str::from_utf8(text).ok()?.trim().parse().ok()
}

fn i32_at(bytes: &[u8], at: usize) -> Option<i32> {
    u32_at(bytes, at).map(|word| i32::from_ne_bytes(word.to_ne_bytes()))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn control(major: u32, items: &[(u32, u32)]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let count = u32::try_from(items.len()).unwrap();
        for word in [CONTROL_MAGIC, count, count + 5, 0] {
            bytes.extend(word.to_ne_bytes());
        }
        for (handle, references) in items {
            bytes.extend(handle.to_ne_bytes());
            bytes.extend(references.to_ne_bytes());
            bytes.extend(vec![0; if major <= 13 { 16 } else { 32 }]);
        }
        bytes
    }

    #[test]
    fn items_in_use_are_listed_in_both_layouts() {
        for major in MAJORS {
            let bytes = control(major, &[(10, 2), (12, 0), (14, 1)]);
            assert_eq!(listed(&bytes, Some(major)).unwrap(), [10, 14], "{major}");
        }
    }

    #[test]
    fn what_its_last_user_is_about_to_remove_is_listed_and_not_held() {
        for major in MAJORS {
            let bytes = control(major, &[(10, 2), (12, 0), (14, 1), (16, 3)]);
            assert_eq!(held(&bytes, Some(major)).unwrap(), [10, 16], "{major}");
        }
    }

    #[test]
    fn a_list_is_as_long_as_the_items_that_it_has_room_for() {
        let start = |items: u32, room: u32| -> Vec<u8> {
            [CONTROL_MAGIC, items, room, 0].iter().flat_map(|word| word.to_ne_bytes()).collect()
        };
        for (items, room, bytes, fits) in [
            (10, 100, 16 + 100 * 24, true),
            (10, 100, 16 + 100 * 40, true),
            (10, 100, 4096, true),
            (101, 100, 16 + 100 * 40, false),
            (1000, 1000, 64 << 20, false),
            (u32::MAX, u32::MAX, 64 << 20, false),
            (10, u32::MAX, 16 + u64::from(u32::MAX) * 40, false),
        ] {
            assert_eq!(fits_length(&start(items, room), bytes), fits, "{items} {room} {bytes}");
        }
        assert!(!fits_length(b"", 0));
    }

    #[test]
    fn odd_handles_lie_in_the_main_segment_from_14_on_only() {
        assert_eq!(listed(&control(13, &[(11, 2)]), Some(13)).unwrap(), [11]);
        assert_eq!(listed(&control(14, &[(11, 2)]), Some(14)).unwrap(), [0_u32; 0]);
    }

    #[test]
    fn an_unknown_major_or_layout_is_an_error() {
        let bytes = control(15, &[(10, 2)]);
        for major in [None, Some(9), Some(19)] {
            assert!(listed(&bytes, major).is_err());
        }
        for cut in 0..bytes.len() {
            assert!(listed(&bytes[..cut], Some(15)).is_err(), "{cut}");
        }
        let mut other = bytes;
        other[0] ^= 1;
        assert!(listed(&other, Some(15)).is_err());
    }

    #[test]
    fn a_control_segment_that_was_not_filled_in_lists_nothing() {
        assert_eq!(listed(&[0; 4096], Some(15)).unwrap(), [0_u32; 0]);
    }

    #[test]
    fn the_length_of_a_list_shows_its_layout() {
        let items = [(10, 2), (11, 1), (12, 0), (0xffff_fff0, 1)];
        for major in MAJORS {
            let mut bytes = control(major, &items);
            let unknown = perhaps_listed(&bytes);
            assert!(items.iter().all(|(handle, _)| unknown.contains(handle)));
            assert!(unknown.contains(&2), "any number, while the layout is not known");
            assert_eq!(listed_by_length(&bytes), None);
            // Its room is for five more.
            bytes.resize(bytes.len() + 5 * if major <= 13 { 24 } else { 40 }, 0);
            assert!(is_control(&bytes));
            assert_eq!(perhaps_listed(&bytes), [10, 11, 12, 0xffff_fff0].into());
            assert_eq!(listed_by_length(&bytes), listed(&bytes, Some(major)).ok());
        }
        assert!(perhaps_listed(&[1; 15]).is_empty() && !is_control(&[0; 64]));
    }

    #[test]
    fn a_key_or_name_leads_back_to_its_handle() {
        for handle in [1, 5, 0x7fff_ffff, 0x8000_0000, 0xffff_ffff] {
            assert!(handles_of_key(sysv_key(handle)).contains(&handle));
            assert_eq!(handle_of_name(&posix_name(handle).0), Some(handle));
        }
        assert_eq!(handles_of_key(0), [0_u32; 0]);
        for other in ["99999999999", "07", "+7", "7 ", ""] {
            let name = format!("PostgreSQL.{other}");
            assert!(!is_posix_name(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn keys_of_handles_are_never_below_one() {
        assert_eq!(sysv_key(5), 5);
        assert_eq!(sysv_key(0xffff_ffff), 1);
        assert_eq!(sysv_key(0x8000_0000), i32::MIN);
    }

    #[test]
    fn postmaster_pid_is_read_with_and_without_its_later_lines() {
        let whole =
            b"4711\n/data\n1700000000\n5432\n/tmp\nlocalhost\n  16007937   32769\nready   \n";
        assert_eq!(
            pid_file(whole),
            Some(PidFile { pid: 4711, standalone: false, segment: Some((16_007_937, 32769)) })
        );
        let without = |standalone| Some(PidFile { pid: 4711, standalone, segment: None });
        assert_eq!(pid_file(b"4711\n/data\n"), without(false));
        assert_eq!(pid_file(b"-4711\n"), without(true));
        assert_eq!(pid_file(b"-2147483648\n"), None);
        assert_eq!(pid_file(b""), None);
        assert_eq!(pid_file(b"x\n"), None);
        let negative = b"1\n\n\n\n\n\n18446744073709551615 7\n";
        assert_eq!(pid_file(negative).unwrap().segment, Some((-1, 7)));
        assert!(says_starting(b"1\n/d\n3\n5432\n/t\n\n  5  7\nstarting\n"));
        assert!(!says_starting(b"1\n/d\n3\n5432\n/t\n\n  5  7\nready   \n"));
        assert!(!says_starting(b"starting\n"));
    }
}

//! `/proc/<pid>/status`: whose a process is (proc_pid_status(5), kernel `fs/proc/array.c`).
//!
//! It must never read an id into fewer than 32 bits, nor take a missing `Uid:` line for root.

use super::{Malformed, decimal, words};

const WHAT: &str = "/proc/<pid>/status";

/// The ids of a process, as the reader's user and PID namespaces name them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Real, effective, saved and file-system user id (`Uid:`).
    pub uids: [u32; 4],
    /// Real, effective, saved and file-system group id (`Gid:`).
    pub gids: [u32; 4],
    /// Further groups (`Groups:`); those that do not parse are left out.
    pub groups: Vec<u32>,
    /// The pid in each PID namespace, the proc mount's first, the innermost last (`NSpid:`,
    /// since Linux 4.1); empty where the kernel does not say.
    pub nspid: Vec<i32>,
    /// Effective capabilities, a bit each (`CapEff:`, capabilities(7)); 0 where it does not say.
    pub capabilities: u64,
}

/// Reads the file; the first line of a name counts. Names cannot forge lines: the kernel escapes
/// newlines in `Name:`.
pub fn parse(bytes: &[u8]) -> Result<Status, Malformed> {
    let (mut uids, mut gids, mut nspid, mut capabilities) = (None, None, None, None);
    let mut groups = None;
    for line in bytes.split(|&byte| byte == b'\n') {
        let (slot, rest): (&mut Option<&[u8]>, _) = if let Some(rest) = line.strip_prefix(b"Uid:") {
            (&mut uids, rest)
        } else if let Some(rest) = line.strip_prefix(b"Gid:") {
            (&mut gids, rest)
        } else if let Some(rest) = line.strip_prefix(b"Groups:") {
            (&mut groups, rest)
        } else if let Some(rest) = line.strip_prefix(b"NSpid:") {
            (&mut nspid, rest)
        } else if let Some(rest) = line.strip_prefix(b"CapEff:") {
            (&mut capabilities, rest)
        } else {
            continue;
        };
        slot.get_or_insert(rest);
    }
    let bad = |problem| Malformed::quoting(WHAT, problem, bytes);
    Ok(Status {
        uids: uids.and_then(four).ok_or_else(|| bad("the Uid line is missing or not four ids"))?,
        gids: gids.and_then(four).ok_or_else(|| bad("the Gid line is missing or not four ids"))?,
        groups: words(groups.unwrap_or_default()).filter_map(decimal).collect(),
        nspid: words(nspid.unwrap_or_default())
            .map(decimal)
            .collect::<Option<_>>()
            .ok_or_else(|| bad("the NSpid line holds something else than pids"))?,
        capabilities: capabilities.and_then(mask).unwrap_or(0),
    })
}

fn mask(line: &[u8]) -> Option<u64> {
    u64::from_str_radix(std::str::from_utf8(line).ok()?.trim(), 16).ok()
}

fn four(line: &[u8]) -> Option<[u32; 4]> {
    let mut ids = words(line).map(decimal);
    let four = [ids.next()??, ids.next()??, ids.next()??, ids.next()??];
    ids.next().is_none().then_some(four)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"Name:\tpostgres\nUmask:\t0077\nState:\tS (sleeping)\nTgid:\t88\n\
        Pid:\t88\nPPid:\t1\nUid:\t100000\t4294967294\t2\t3\nGid:\t4\t5\t6\t7\nFDSize:\t64\n\
        Groups:\t101 102 \nNStgid:\t88\t3\nNSpid:\t88\t3\nNSpgid:\t88\t3\nThreads:\t1\n\
        CapEff:\t0000000000080001\n";

    #[test]
    fn ids_are_thirty_two_bits_wide() {
        let status = parse(FILE).unwrap();
        assert_eq!(status.uids, [100_000, 4_294_967_294, 2, 3]);
        assert_eq!(status.gids, [4, 5, 6, 7]);
        assert_eq!(status.groups, [101, 102]);
        assert_eq!(status.nspid, [88, 3]);
        assert_eq!(status.capabilities, 1 << 19 | 1);
    }

    #[test]
    fn a_kernel_without_nspid_gives_an_empty_list() {
        assert!(parse(b"Uid:\t1\t1\t1\t1\nGid:\t1\t1\t1\t1\n").unwrap().nspid.is_empty());
    }

    #[test]
    fn missing_or_odd_ids_are_malformed_and_never_root() {
        let bad: [&[u8]; 6] = [
            b"",
            b"Gid:\t1\t1\t1\t1\n",
            b"Uid:\t1\t1\t1\t1\n",
            b"Uid:\t1\t1\t1\nGid:\t1\t1\t1\t1\n",
            b"Uid:\t1\t1\t1\t1\t1\nGid:\t1\t1\t1\t1\n",
            b"Uid:\t-1\t1\t1\t1\nGid:\t1\t1\t1\t1\n",
        ];
        for bytes in bad {
            assert!(parse(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn no_bytes_make_it_panic() {
        crate::proc::tests::mutate(FILE, |bytes| drop(parse(bytes)));
    }
}

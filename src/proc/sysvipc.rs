//! `/proc/sysvipc/shm`: every System V segment of the reader's IPC namespace (proc(5), kernel
//! `ipc/shm.c sysvipc_shm_proc_show`).
//!
//! It must never let one odd row hide the others, nor hide that there was one.

use super::{Malformed, decimal, unsigned, words};

const WHAT: &str = "/proc/sysvipc/shm";

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShmRow {
    /// The key it was made under; 0 (`IPC_PRIVATE`) also once it is marked for removal.
    pub key: i32,
    /// shmid; 0 is valid, and ids come back.
    pub id: i32,
    /// Permission bits, with 01000 (marked for removal) and 02000 (locked in memory).
    pub perms: u32,
    /// Size in bytes, as asked for.
    pub bytes: u64,
    /// The creator's pid; 0 where it is not visible in the reader's PID namespace.
    pub cpid: i32,
    /// Pid of the last shmat, shmdt or fork; 0 where none or not visible.
    pub lpid: i32,
    /// Number of mappings, not of processes.
    pub nattch: u64,
    /// The owner's user id.
    pub uid: u32,
    /// The owner's group id.
    pub gid: u32,
    /// The creator's user id.
    pub cuid: u32,
    /// The creator's group id.
    pub cgid: u32,
    /// Last attach, seconds since the epoch, 0 for never.
    pub atime: i64,
    /// Last detach, seconds since the epoch, 0 for never.
    pub dtime: i64,
    /// Creation or last `IPC_SET`, seconds since the epoch.
    pub ctime: i64,
    /// Bytes in memory; 0 on a kernel that does not say (before 2.6.34).
    pub rss: u64,
    /// Bytes swapped out; 0 on a kernel that does not say.
    pub swap: u64,
}

/// The table, as far as it could be read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ShmTable {
    /// The rows that parsed, in the kernel's order.
    pub rows: Vec<ShmRow>,
    /// Lines that did not, counted from 1, the header included. Not empty: unknown segments exist.
    pub bad_lines: Vec<usize>,
}

/// Reads the table. Columns are found by the names in its first line; only a first line without
/// one that is needed makes the whole table malformed.
pub fn parse_shm(bytes: &[u8]) -> Result<ShmTable, Malformed> {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let header = lines.next().unwrap_or_default();
    let columns = Columns::find(header)
        .map_err(|name| Malformed::quoting(WHAT, &format!("no column {name}"), header))?;
    let mut table = ShmTable::default();
    for (line, number) in lines.zip(2..) {
        let fields: Vec<&[u8]> = words(line).collect();
        match columns.row(&fields) {
            Some(row) => table.rows.push(row),
            None if fields.is_empty() => {}
            None => table.bad_lines.push(number),
        }
    }
    Ok(table)
}

const NEEDED: [&str; 14] = [
    "key", "shmid", "perms", "size", "cpid", "lpid", "nattch", "uid", "gid", "cuid", "cgid",
    "atime", "dtime", "ctime",
];

/// The positions of the columns: the needed ones in the order of `NEEDED`.
struct Columns {
    needed: [usize; NEEDED.len()],
    rss: Option<usize>,
    swap: Option<usize>,
}

impl Columns {
    fn find(header: &[u8]) -> Result<Columns, &'static str> {
        let at = |name: &str| words(header).position(|word| word == name.as_bytes());
        let mut needed = [0; NEEDED.len()];
        for (place, name) in needed.iter_mut().zip(NEEDED) {
            *place = at(name).ok_or(name)?;
        }
        Ok(Columns { needed, rss: at("rss"), swap: at("swap") })
    }

    fn row(&self, fields: &[&[u8]]) -> Option<ShmRow> {
        let get = |at: usize| fields.get(at).copied();
        let optional = |at: Option<usize>| at.map_or(Some(0), |at| decimal(get(at)?));
        let [key, id, perms, size, cpid, lpid, nattch, uid, gid, cuid, cgid, atime, dtime, ctime] =
            self.needed;
        Some(ShmRow {
            key: decimal(get(key)?)?,
            id: decimal(get(id)?)?,
            perms: unsigned(get(perms)?, 8)?.try_into().ok()?,
            bytes: decimal(get(size)?)?,
            cpid: decimal(get(cpid)?)?,
            lpid: decimal(get(lpid)?)?,
            nattch: decimal(get(nattch)?)?,
            uid: decimal(get(uid)?)?,
            gid: decimal(get(gid)?)?,
            cuid: decimal(get(cuid)?)?,
            cgid: decimal(get(cgid)?)?,
            atime: decimal(get(atime)?)?,
            dtime: decimal(get(dtime)?)?,
            ctime: decimal(get(ctime)?)?,
            rss: optional(self.rss)?,
            swap: optional(self.swap)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "\
       key      shmid perms                  size  cpid  lpid nattch   uid   gid  cuid  cgid      \
atime      dtime      ctime                   rss                  swap
         0          0  1600                 65536  3259  3260      2 100000     7     8     9 \
1795248862          5 1795248863                 4096                     1
-559038737      32769   600  18446744073709551615     0     0      0     1     1     1     1 \
         0          0 1795248862                     0                     0
";

    #[test]
    fn each_field_comes_from_its_own_column() {
        let table = parse_shm(TABLE.as_bytes()).unwrap();
        assert!(table.bad_lines.is_empty());
        let expected = ShmRow {
            key: 0,
            id: 0,
            perms: 0o1600,
            bytes: 65536,
            cpid: 3259,
            lpid: 3260,
            nattch: 2,
            uid: 100_000,
            gid: 7,
            cuid: 8,
            cgid: 9,
            atime: 1_795_248_862,
            dtime: 5,
            ctime: 1_795_248_863,
            rss: 4096,
            swap: 1,
        };
        assert_eq!(table.rows[0], expected);
        assert_eq!((table.rows[1].key, table.rows[1].bytes), (-559_038_737, u64::MAX));
    }

    #[test]
    fn a_kernel_without_rss_and_swap_gives_zero_for_them() {
        let old = "key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime\n\
            1 2 600 3 4 5 6 7 8 9 10 11 12 13\n";
        let row = parse_shm(old.as_bytes()).unwrap().rows.remove(0);
        assert_eq!((row.ctime, row.rss, row.swap), (13, 0, 0));
    }

    #[test]
    fn one_bad_row_is_reported_and_hides_no_other() {
        let text = TABLE.replacen("         0          0  1600", "1 2\n\n4294967296 0 9", 1);
        let table = parse_shm(text.as_bytes()).unwrap();
        assert_eq!((table.rows.len(), table.bad_lines), (1, vec![2, 4]));
    }

    #[test]
    fn a_table_without_a_needed_column_is_malformed_and_not_empty() {
        assert!(parse_shm(b"").is_err());
        let error = parse_shm(TABLE.replace("nattch", "attach").as_bytes()).unwrap_err();
        assert!(error.detail.starts_with("no column nattch"));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        crate::proc::tests::mutate(TABLE.as_bytes(), |bytes| drop(parse_shm(bytes)));
    }
}

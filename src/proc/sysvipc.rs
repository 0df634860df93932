//! `/proc/sysvipc/shm`: every System V segment of the reader's IPC namespace (proc(5), kernel
//! `ipc/shm.c sysvipc_shm_proc_show`).
//!
//! It must never let a row that it does not understand pass for one that is not there.

use super::{Malformed, decimal, unsigned, words};
use crate::sys::IpcPerm;
use crate::sys::shm::Row;

const WHAT: &str = "/proc/sysvipc/shm";

/// One segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShmRow {
    /// What the call gives, too.
    pub row: Row,
    /// Bytes in memory; 0 on a kernel that does not say (before 2.6.34).
    pub rss: u64,
}

/// Reads the table, in the kernel's order. Columns are found by the names in its first line; a row
/// that is not understood makes the whole table malformed, for it stands for a segment.
pub(crate) fn parse_shm(bytes: &[u8]) -> Result<Vec<ShmRow>, Malformed> {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let header = lines.next().unwrap_or_default();
    let columns = Columns::find(header)
        .map_err(|name| Malformed::quoting(WHAT, &format!("no column {name}"), header))?;
    let fields = lines.map(|line| words(line).collect::<Vec<&[u8]>>());
    let rows = fields.filter(|fields| !fields.is_empty()).map(|fields| columns.row(&fields));
    let rows: Option<Vec<ShmRow>> = rows.collect();
    rows.ok_or_else(|| Malformed::quoting(WHAT, "a line that is no segment", bytes))
}

const NEEDED: [&str; 14] = [
    "key", "shmid", "perms", "size", "cpid", "lpid", "nattch", "uid", "gid", "cuid", "cgid",
    "atime", "dtime", "ctime",
];

/// The positions of the columns: the needed ones in the order of `NEEDED`.
struct Columns {
    needed: [usize; NEEDED.len()],
    rss: Option<usize>,
}

impl Columns {
    fn find(header: &[u8]) -> Result<Columns, &'static str> {
        let at = |name: &str| words(header).position(|word| word == name.as_bytes());
        let mut needed = [0; NEEDED.len()];
        for (place, name) in needed.iter_mut().zip(NEEDED) {
            *place = at(name).ok_or(name)?;
        }
        Ok(Columns { needed, rss: at("rss") })
    }

    fn row(&self, fields: &[&[u8]]) -> Option<ShmRow> {
        let get = |at: usize| fields.get(at).copied();
        let [key, id, perms, size, cpid, lpid, nattch, uid, gid, cuid, cgid, atime, dtime, ctime] =
            self.needed;
        let perm = IpcPerm {
            key: decimal(get(key)?)?,
            mode: unsigned(get(perms)?, 8)?.try_into().ok()?,
            uid: decimal(get(uid)?)?,
            gid: decimal(get(gid)?)?,
            creator_uid: decimal(get(cuid)?)?,
            creator_gid: decimal(get(cgid)?)?,
        };
        let row = Row {
            id: decimal(get(id)?)?,
            perm,
            bytes: decimal(get(size)?)?,
            creator_pid: decimal(get(cpid)?)?,
            last_pid: decimal(get(lpid)?)?,
            nattch: decimal(get(nattch)?)?,
            atime: decimal(get(atime)?)?,
            dtime: decimal(get(dtime)?)?,
            ctime: decimal(get(ctime)?)?,
        };
        let rss = self.rss.map_or(Some(0), |at| decimal(get(at)?))?;
        Some(ShmRow { row, rss })
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
        let perm =
            IpcPerm { key: 0, mode: 0o1600, uid: 100_000, gid: 7, creator_uid: 8, creator_gid: 9 };
        let row = Row {
            id: 0,
            perm,
            bytes: 65536,
            creator_pid: 3259,
            last_pid: 3260,
            nattch: 2,
            atime: 1_795_248_862,
            dtime: 5,
            ctime: 1_795_248_863,
        };
        assert_eq!(table[0], ShmRow { row, rss: 4096 });
        assert_eq!((table[1].row.perm.key, table[1].row.bytes), (-559_038_737, u64::MAX));
    }

    #[test]
    fn a_kernel_without_rss_gives_zero_for_it() {
        let old = "key shmid perms size cpid lpid nattch uid gid cuid cgid atime dtime ctime\n\
            1 2 600 3 4 5 6 7 8 9 10 11 12 13\n";
        let one = parse_shm(old.as_bytes()).unwrap().remove(0);
        assert_eq!((one.row.ctime, one.rss), (13, 0));
    }

    #[test]
    fn one_row_that_is_not_understood_makes_the_table_malformed() {
        for row in ["1 2\n", "4294967296 0 9"] {
            let text = TABLE.replacen("         0          0  1600", row, 1);
            assert!(parse_shm(text.as_bytes()).unwrap_err().detail.contains("no segment"));
        }
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

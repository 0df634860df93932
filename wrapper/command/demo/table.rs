//! The segments, semaphore sets and files of the story as a small aligned table.

use shmwarden::object::{Key, ShmFile};
use shmwarden::sys::sem;
use shmwarden::sys::shm::Row;

use crate::render::text;

const HEAD: [&str; 7] = ["KIND", "ID", "KEY", "OWNER", "SIZE", "NATTCH", "WHOSE"];
/// Columns that hold numbers.
const RIGHT: [bool; 7] = [false, true, false, false, true, true, false];

/// The table.
#[derive(Debug)]
pub(super) struct Table(Vec<[String; 7]>);

impl Table {
    /// Without any line.
    pub(super) fn new() -> Self {
        Self(vec![HEAD.map(str::to_owned)])
    }

    /// A segment.
    pub(super) fn segment(&mut self, row: &Row, whose: &str) {
        self.0.push([
            "shm".to_owned(),
            row.id.to_string(),
            Key(row.key).to_string(),
            text::user(row.uid),
            text::size(row.bytes),
            row.nattch.to_string(),
            whose.to_owned(),
        ]);
    }

    /// A semaphore set, which has no size but members, and is not attached.
    pub(super) fn set(&mut self, row: &sem::Row, whose: &str) {
        self.0.push([
            "sem".to_owned(),
            row.id.to_string(),
            Key(row.key).to_string(),
            text::user(row.uid),
            "-".to_owned(),
            "-".to_owned(),
            format!("{whose}, {} semaphores", row.members),
        ]);
    }

    /// A file in `/dev/shm`, which has neither id nor key, and keeps no count.
    pub(super) fn file(&mut self, file: &ShmFile, whose: &str) {
        self.0.push([
            "posix".to_owned(),
            "-".to_owned(),
            "-".to_owned(),
            text::user(file.uid),
            text::size(file.bytes),
            "-".to_owned(),
            format!("{whose}, /dev/shm/{}", text::safe(&file.name.lossy())),
        ]);
    }

    /// Its lines, each column as wide as its widest.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut widths = [0; 7];
        for row in &self.0 {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().max(*width);
            }
        }
        let line = |row: &[String; 7]| {
            let mut line = String::new();
            for ((cell, width), right) in row.iter().zip(widths).zip(RIGHT) {
                let cell =
                    if right { format!("{cell:>width$}  ") } else { format!("{cell:<width$}  ") };
                line.push_str(&cell);
            }
            line.trim_end().to_owned()
        };
        self.0.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let row = Row {
            id: 7,
            key: 0x00f4_2401,
            mode: 0o600,
            bytes: 1 << 20,
            uid: 0,
            gid: 0,
            creator_uid: 0,
            creator_gid: 0,
            creator_pid: 1,
            last_pid: 1,
            nattch: 12,
            atime: 0,
            dtime: 0,
            ctime: 0,
        };
        let mut table = Table::new();
        table.segment(&row, "bystander");
        assert_eq!(
            table.lines(),
            [
                "KIND  ID  KEY         OWNER     SIZE  NATTCH  WHOSE",
                "shm    7  0x00f42401  root   1.0 MiB      12  bystander",
            ]
        );
    }
}

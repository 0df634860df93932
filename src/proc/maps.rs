//! `/proc/<pid>/maps`: what a process has mapped (proc_pid_maps(5), kernel `fs/proc/task_mmu.c`).
//!
//! It must never believe a path alone: any file may be named `/SYSV00000001` and be deleted.
//! A segment is known by the kernel's internal device, and its shmid is the inode number there.

use super::unsigned;

/// A device as `(major, minor)`.
pub type Device = (u32, u32);

/// The device on which Linux since about 5.0 keeps System V segments of ordinary pages. Older
/// kernels use other minors (00:04 and more), and segments of huge pages lie elsewhere on every
/// kernel: see [`Mapping::sysv_shmid_on`].
pub(crate) const USUAL_SYSV_DEVICE: Device = (0, 1);

/// One line: one stretch of addresses. A segment attached once may show as several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping<'a> {
    /// First address.
    pub start: u64,
    /// The address after the last.
    pub end: u64,
    /// `r`, `w`, `x` or `-`, then `s` (shared) or `p` (private).
    pub perms: [u8; 4],
    /// The offset in the file at which it starts, in bytes.
    pub offset: u64,
    /// Major number of the file's device.
    pub dev_major: u32,
    /// Minor number of the file's device.
    pub dev_minor: u32,
    /// Inode number; for a System V segment its shmid; 0 also where no file is mapped.
    pub inode: u64,
    /// The path as printed: a newline in it reads `\012`, and a deleted file ends in ` (deleted)`.
    pub path: &'a [u8],
}

impl Mapping<'_> {
    /// The shmid, if this maps a System V segment on one of `devices`, as
    /// [`super::read::sysv_devices`] gives them. It counts in the IPC namespace of the one who
    /// attached it, which need not be the reader's. 0 is a valid id.
    #[must_use]
    pub fn sysv_shmid_on(&self, devices: &[Device]) -> Option<i32> {
        sysv_name(self.path)?;
        let is_there = devices.contains(&(self.dev_major, self.dev_minor));
        is_there.then(|| i32::try_from(self.inode).ok())?
    }

    /// The key that a segment was made under, by the name of its mapping: it stays there when the
    /// segment is marked for destruction. Means something only where [`Self::sysv_shmid_on`] does.
    #[must_use]
    pub fn sysv_key(&self) -> Option<i32> {
        sysv_name(self.path)
    }
}

/// The key in the name of a mapping, if it is named as the kernel names segments.
#[must_use]
pub(crate) fn sysv_name(name: &[u8]) -> Option<i32> {
    let digits = name
        .strip_prefix(b"/SYSV")?
        .strip_suffix(b" (deleted)")
        .filter(|digits| digits.len() == 8)?;
    let lower = digits.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let bits = u32::try_from(unsigned(digits, 16)?).ok()?;
    lower.then(|| i32::from_ne_bytes(bits.to_ne_bytes()))
}

/// The mappings of the file. Lines that do not parse are left out.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = Mapping<'_>> {
    bytes.split(|&byte| byte == b'\n').filter_map(line)
}

fn line(line: &[u8]) -> Option<Mapping<'_>> {
    let (range, rest) = cut(line, b' ')?;
    let (perms, rest) = cut(rest, b' ')?;
    let (offset, rest) = cut(rest, b' ')?;
    let (device, rest) = cut(rest, b' ')?;
    let (inode, padded) = cut(rest, b' ').unwrap_or((rest, b""));
    let (start, end) = cut(range, b'-')?;
    let (major, minor) = cut(device, b':')?;
    let path_at = padded.iter().position(|&byte| byte != b' ').unwrap_or(padded.len());
    Some(Mapping {
        start: unsigned(start, 16)?,
        end: unsigned(end, 16)?,
        perms: perms.try_into().ok()?,
        offset: unsigned(offset, 16)?,
        dev_major: unsigned(major, 16)?.try_into().ok()?,
        dev_minor: unsigned(minor, 16)?.try_into().ok()?,
        inode: unsigned(inode, 10)?,
        path: padded.get(path_at..)?,
    })
}

fn cut(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == at)?;
    Some((bytes.get(..at)?, bytes.get(at + 1..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"\
7efdbbe00000-7efdbc000000 rw-s 00000000 00:11 5                          /SYSV00000777 (deleted)
7ffb9272e000-7ffb9273e000 rw-s 00000000 00:01 1                          /SYSVdeadbeef (deleted)
7ffb9273e000-7ffb9274e000 r--s 00001000 00:01 0                          /SYSV00001234 (deleted)
7ffb9293b000-7ffb9293c000 rw-s 00000000 00:1b 11                         /dev/shm/a\\012b c\\d
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 
7ffd00000000-7ffd00021000 rw-p 00000000 00:00 0                          [stack]
";

    fn shmid(device: &str, inode: &str, path: &str) -> Option<i32> {
        let text = format!("1000-2000 rw-s 00000000 {device} {inode}       {path}\n");
        lines(text.as_bytes()).next().unwrap().sysv_shmid_on(&[USUAL_SYSV_DEVICE])
    }

    #[test]
    fn each_line_of_a_real_table_is_read() {
        let all: Vec<_> = lines(FILE).collect();
        assert_eq!(all.len(), 6);
        assert_eq!((all[2].start, all[2].end), (0x7ffb_9273_e000, 0x7ffb_9274_e000));
        assert_eq!((&all[2].perms, all[2].offset), (b"r--s", 0x1000));
        assert_eq!((all[3].dev_major, all[3].dev_minor, all[3].inode), (0, 0x1b, 11));
        assert_eq!(all[3].path, b"/dev/shm/a\\012b c\\d");
        assert_eq!((all[4].path, all[5].path), (&b""[..], &b"[stack]"[..]));
    }

    #[test]
    fn the_inode_of_an_attached_segment_is_its_id_and_may_be_zero() {
        let ids: Vec<_> =
            lines(FILE).filter_map(|mapping| mapping.sysv_shmid_on(&[USUAL_SYSV_DEVICE])).collect();
        assert_eq!(ids, [1, 0]);
        let keys: Vec<_> = lines(FILE).filter_map(|each| each.sysv_key()).collect();
        assert_eq!(keys, [0x777, -559_038_737, 0x1234]);
    }

    #[test]
    fn a_segment_of_huge_pages_lies_on_a_device_of_its_own() {
        let devices = [USUAL_SYSV_DEVICE, (0, 0x11)];
        let ids: Vec<_> = lines(FILE).filter_map(|each| each.sysv_shmid_on(&devices)).collect();
        assert_eq!(ids, [5, 1, 0]);
    }

    #[test]
    fn a_file_that_is_only_named_like_a_segment_is_none() {
        assert_eq!(shmid("00:01", "7", "/SYSV0000abcd (deleted)"), Some(7));
        assert_eq!(shmid("08:01", "7", "/SYSV0000abcd (deleted)"), None);
        assert_eq!(shmid("00:2c", "7", "/SYSV0000abcd (deleted)"), None);
        assert_eq!(shmid("00:01", "7", "/SYSV0000abcd"), None);
        assert_eq!(shmid("00:01", "7", "/SYSVx (deleted)"), None);
        assert_eq!(shmid("00:01", "7", "/SYSV0000ABCD (deleted)"), None);
        assert_eq!(shmid("00:01", "7", "/SYSV0000abcd0 (deleted)"), None);
        assert_eq!(shmid("00:01", "7", "/tmp/SYSV0000abcd (deleted)"), None);
        assert_eq!(shmid("00:01", "7", "/SYSV0000abcd (deleted) (deleted)"), None);
        assert_eq!(shmid("00:01", "4294967296", "/SYSV0000abcd (deleted)"), None);
    }

    #[test]
    fn a_line_that_does_not_parse_hides_no_other() {
        let text = [b"rubbish\n\n1-2 rw-s 0 00:01\n", FILE].concat();
        assert_eq!(lines(&text).count(), 6);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        crate::proc::tests::mutate(FILE, |bytes| {
            let _ = lines(bytes)
                .filter_map(|mapping| mapping.sysv_shmid_on(&[USUAL_SYSV_DEVICE]))
                .count();
        });
    }
}

//! `/proc/self/mountinfo`: what is mounted where (proc_pid_mountinfo(5), kernel
//! `fs/proc_namespace.c show_mountinfo`).
//!
//! It must never split at runs of blanks: a source may be empty, and blanks in names are escaped.

use super::decimal;

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Mount id; reused after an unmount.
    pub id: u64,
    /// Major number of the file system's device.
    pub dev_major: u32,
    /// Minor number of the file system's device.
    pub dev_minor: u32,
    /// The directory of the file system that is the root of this mount.
    pub root: Vec<u8>,
    /// Where it is mounted, seen from the reader's root.
    pub mount_point: Vec<u8>,
    /// The file system's type, with its subtype: `fuse.sshfs`.
    pub fs_type: Vec<u8>,
    /// Options of this mount.
    pub options: Vec<u8>,
    /// Options of the file system itself.
    pub super_options: Vec<u8>,
}

/// The mounts of the file, later ones on top. Lines that do not parse are left out.
#[must_use]
pub fn parse(bytes: &[u8]) -> Vec<Mount> {
    bytes.split(|&byte| byte == b'\n').filter_map(line).collect()
}

/// Whether the proc file system at `/proc` hides processes of other users (proc(5), `hidepid`).
/// A process that is not listed there may live then.
#[must_use]
pub fn hidepid(mounts: &[Mount]) -> bool {
    let proc =
        mounts.iter().rfind(|mount| mount.mount_point == b"/proc" && mount.fs_type == b"proc");
    let hides = |option: &[u8]| match option.strip_prefix(b"hidepid=") {
        Some(value) => {
            matches!(value, b"1" | b"2" | b"4" | b"noaccess" | b"invisible" | b"ptraceable")
        }
        None => false,
    };
    proc.is_some_and(|mount| mount.super_options.split(|&byte| byte == b',').any(hides))
}

fn line(line: &[u8]) -> Option<Mount> {
    let mut fields = line.split(|&byte| byte == b' ');
    let id = decimal(fields.next()?)?;
    let mut device = fields.nth(1)?.split(|&byte| byte == b':');
    let dev_major = decimal(device.next()?)?;
    let dev_minor = decimal(device.next()?)?;
    let root = unescape(fields.next()?);
    let mount_point = unescape(fields.next()?);
    let options = fields.next()?.to_vec();
    // Any number of optional fields, then a lone hyphen.
    fields.find(|&field| field == b"-")?;
    let fs_type = unescape(fields.next()?);
    let super_options = fields.nth(1)?.to_vec();
    Some(Mount { id, dev_major, dev_minor, root, mount_point, fs_type, options, super_options })
}

/// Undoes the kernel's `\040` for blank, tab, newline, backslash and `#`.
fn unescape(mut bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    while let [first, rest @ ..] = bytes {
        match bytes {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] => {
                out.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                bytes = after;
            }
            _ => {
                out.push(*first);
                bytes = rest;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &[u8] = b"\
22 27 0:21 / /proc rw,relatime shared:5 master:2 - proc proc rw
25 24 0:23 / /dev/shm rw,nosuid - tmpfs  rw,size=24684092k
31 27 259:1 /a\\134b /mnt/a\\040b\\012c\\999 ro - fuse.sshfs me@there:/x\\040y rw
";

    fn proc_with(super_options: &str) -> Vec<Mount> {
        parse(format!("22 27 0:21 / /proc rw - proc proc {super_options}\n").as_bytes())
    }

    #[test]
    fn each_field_comes_from_its_own_column() {
        let mounts = parse(FILE);
        let expected = Mount {
            id: 25,
            dev_major: 0,
            dev_minor: 23,
            root: b"/".to_vec(),
            mount_point: b"/dev/shm".to_vec(),
            fs_type: b"tmpfs".to_vec(),
            options: b"rw,nosuid".to_vec(),
            super_options: b"rw,size=24684092k".to_vec(),
        };
        assert_eq!((mounts.len(), &mounts[1]), (3, &expected));
    }

    #[test]
    fn escaped_names_are_given_back_as_they_are() {
        let mount = parse(FILE).remove(2);
        assert_eq!(mount.root, b"/a\\b");
        assert_eq!(mount.mount_point, b"/mnt/a b\nc\\999");
    }

    #[test]
    fn a_proc_that_hides_processes_is_recognised_in_all_spellings() {
        for hides in ["1", "2", "4", "noaccess", "invisible", "ptraceable"] {
            assert!(hidepid(&proc_with(&format!("rw,gid=5,hidepid={hides}"))), "{hides}");
        }
        for shows in ["rw", "rw,hidepid=0", "rw,hidepid=off", "rw,nohidepid=2"] {
            assert!(!hidepid(&proc_with(shows)), "{shows}");
        }
        assert!(!hidepid(&[]));
    }

    #[test]
    fn of_two_mounts_at_proc_the_upper_one_counts() {
        let mounts = [proc_with("rw,hidepid=2"), proc_with("rw")].concat();
        assert!(!hidepid(&mounts));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        crate::proc::tests::mutate(FILE, |bytes| {
            let _ = hidepid(&parse(bytes));
        });
    }
}

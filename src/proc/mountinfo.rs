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
    /// The place where it is mounted, seen from the reader's root.
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

/// From whom a proc file system hides processes (proc(5), `hidepid` and `gid`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hides {
    /// From nobody.
    Nothing,
    /// From whoever may not trace them (ptrace(2)), this group excepted.
    FromOthersThan(u32),
    /// From whoever may not trace them.
    FromAll,
}

/// Returns from whom the proc file system at `/proc` hides processes; `None` where none is there.
/// A process that it does not list may live then.
#[must_use]
pub fn hides(mounts: &[Mount]) -> Option<Hides> {
    let at_proc = mounts.iter().rfind(|mount| mount.mount_point == b"/proc")?;
    if at_proc.fs_type != b"proc" {
        return None;
    }
    let options = || at_proc.super_options.split(|&byte| byte == b',');
    let hidepid = options().find_map(|option| option.strip_prefix(b"hidepid="));
    let group = || options().find_map(|option| option.strip_prefix(b"gid=").map(decimal));
    Some(match hidepid {
        None | Some(b"0" | b"off") => Hides::Nothing,
        // Root's group where none is named (`fs/proc/root.c`).
        Some(b"1" | b"2" | b"noaccess" | b"invisible") => {
            group().unwrap_or(Some(0)).map_or(Hides::FromAll, Hides::FromOthersThan)
        }
        Some(_) => Hides::FromAll,
    })
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
        for hides_some in ["1", "2", "noaccess", "invisible"] {
            let with = |more: &str| hides(&proc_with(&format!("rw,hidepid={hides_some}{more}")));
            assert_eq!(with(",gid=5"), Some(Hides::FromOthersThan(5)), "{hides_some}");
            assert_eq!(with(""), Some(Hides::FromOthersThan(0)), "{hides_some}");
            assert_eq!(with(",gid=x"), Some(Hides::FromAll), "{hides_some}");
        }
        // What a later kernel may think of hides, too.
        for hides_all in ["4", "ptraceable", "7", "x"] {
            let found = hides(&proc_with(&format!("rw,gid=5,hidepid={hides_all}")));
            assert_eq!(found, Some(Hides::FromAll), "{hides_all}");
        }
        for shows in ["rw", "rw,hidepid=0", "rw,hidepid=off", "rw,nohidepid=2"] {
            assert_eq!(hides(&proc_with(shows)), Some(Hides::Nothing), "{shows}");
        }
    }

    #[test]
    fn where_no_proc_is_at_its_place_nothing_is_said() {
        assert_eq!(hides(&[]), None);
        let mut covered = proc_with("rw");
        covered.extend(parse(b"23 22 0:23 / /proc rw - tmpfs tmpfs rw\n"));
        assert_eq!(hides(&covered), None);
    }

    #[test]
    fn of_two_mounts_at_proc_the_upper_one_counts() {
        let mounts = [proc_with("rw,hidepid=2"), proc_with("rw")].concat();
        assert_eq!(hides(&mounts), Some(Hides::Nothing));
    }

    #[test]
    fn no_bytes_make_it_panic() {
        crate::proc::tests::mutate(FILE, |bytes| {
            let _ = hides(&parse(bytes));
        });
    }
}

//! The shared memory that a process maps: by asking for single mappings where the kernel can be
//! asked, which hardly disturbs the process, else by the text of its maps.
//!
//! It must never take a process for one that maps nothing because it could not be asked.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;

use nix::errno::Errno;

use super::Seen;
use crate::object::{FileRef, Key};
use crate::proc::maps::Device;
use crate::proc::{maps, read};
use crate::sys::vma;

/// A shared memory object that a process maps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mapped {
    /// A System V segment by id, in the IPC namespace that the process attached it in.
    Segment(i32),
    /// A file on the file system of `/dev/shm`.
    File(FileRef),
}

/// The identity of a mapping.
#[derive(Debug)]
pub(super) struct Devices {
    /// The kernel's internal mounts of System V segments, huge pages included.
    pub(super) sysv: Vec<Device>,
    /// The file system at `/dev/shm`.
    pub(super) shm: Option<u64>,
    /// Set where that could not be asked for: then nobody can be said to map none of its files.
    pub(super) shm_unread: bool,
    /// Our IPC namespace.
    pub(super) own_ipc: Option<u64>,
}

/// The objects that a process maps, each with the number of mappings, and the keys in the names of
/// segments.
type Maps = (Vec<(Mapped, u64)>, Vec<(i32, Key)>);

/// The same while it is read: a process may map tens of thousands of objects.
#[derive(Default)]
struct Found {
    counts: BTreeMap<Mapped, u64>,
    keys: Vec<(i32, Key)>,
}

impl Found {
    fn whole(self) -> Maps {
        (self.counts.into_iter().collect(), self.keys)
    }
}

/// The shared memory objects that a process maps, from the text of its maps.
pub(super) fn by_text(pid: i32, devices: &Devices) -> Seen<Maps> {
    if devices.shm_unread {
        return Seen::Denied;
    }
    let raw = read::maps(pid).unwrap_or(Seen::Denied);
    raw.map(|raw| {
        let mut found = Found::default();
        for mapping in maps::lines(&raw) {
            let device = (mapping.dev_major, mapping.dev_minor);
            let id = mapping.sysv_shmid_on(&devices.sysv);
            note(id.zip(mapping.sysv_key()), device, mapping.inode, devices, &mut found);
        }
        found.whole()
    })
}

/// The same by single questions; segments only where `segments_only`.
pub(super) fn by_questions(pid: i32, devices: &Devices, segments_only: bool) -> Seen<Maps> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(nix::libc::O_CLOEXEC);
    let answer = options
        .open(format!("/proc/{pid}/maps"))
        .ok()
        .filter(|_| segments_only || !devices.shm_unread)
        .and_then(|maps| ask(&maps, devices, segments_only));
    // Forbidden, too old a kernel, no memory (any more): the text tells them apart.
    answer.map_or_else(|| by_text(pid, devices), Seen::Here)
}

/// `None` where the kernel did not answer.
fn ask(maps: &File, devices: &Devices, segments_only: bool) -> Option<Maps> {
    let mut found = Found::default();
    let mut next = 0;
    loop {
        let vma = match vma::next_file(maps, next, segments_only) {
            Ok(vma) => vma,
            Err(Errno::ENOENT) if next > 0 => return Some(found.whole()),
            // Not even its program: it has no memory, and the text tells why.
            Err(Errno::ENOENT) => {
                return vma::next_file(maps, 0, false).ok().map(|_| found.whole());
            }
            Err(_) => return None,
        };
        next = vma.end;
        let segment = if devices.sysv.contains(&vma.device) {
            let name = match vma::name_at(maps, vma.start) {
                Ok(name) => name,
                // No segment has a long name.
                Err(Errno::ENAMETOOLONG) => Vec::new(),
                Err(_) => return None,
            };
            maps::sysv_name(&name).and_then(|key| Some((i32::try_from(vma.inode).ok()?, key)))
        } else {
            None
        };
        note(segment, vma.device, vma.inode, devices, &mut found);
    }
}

fn note(
    segment: Option<(i32, i32)>,
    (major, minor): Device,
    inode: u64,
    devices: &Devices,
    found: &mut Found,
) {
    let dev = nix::libc::makedev(major, minor);
    let object = match segment {
        Some((id, _)) => Mapped::Segment(id),
        None if inode != 0 && Some(dev) == devices.shm => Mapped::File(FileRef { dev, ino: inode }),
        None => return,
    };
    let count = found.counts.entry(object).or_default();
    *count += 1;
    if *count == 1 {
        found.keys.extend(segment.map(|(id, key)| (id, Key(key))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_and_text_say_the_same_of_every_process_that_can_be_seen() {
        // Each library that is mapped stands for a file of /dev/shm: it is on some device.
        let own = i32::try_from(std::process::id()).unwrap();
        let program = std::fs::metadata(std::env::current_exe().unwrap()).unwrap();
        let devices = Devices {
            sysv: read::sysv_devices(),
            shm: Some(std::os::unix::fs::MetadataExt::dev(&program)),
            shm_unread: false,
            own_ipc: None,
        };
        let text = by_text(own, &devices).here().unwrap();
        assert!(text.0.iter().any(|(_, count)| *count > 1), "{text:?}");
        assert_eq!(by_questions(own, &devices, false).here().unwrap(), text);
        let segments = by_questions(own, &devices, true).here().unwrap();
        assert!(segments.0.iter().all(|(mapped, _)| text.0.iter().any(|(m, _)| m == mapped)));
    }

    #[test]
    fn a_pid_that_nobody_has_is_gone() {
        let devices = Devices { sysv: vec![], shm: None, shm_unread: false, own_ipc: None };
        assert_eq!(by_questions(i32::MAX, &devices, false), Seen::Gone);
        assert_eq!(by_text(i32::MAX, &devices), Seen::Gone);
    }
}

//! Shared memory objects as the tests see them: what there is, what is new, what must still stand.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use super::user::User;

/// The first key of the family that a known incident left behind (openGauss, PostgreSQL 12).
pub const KEY_FAMILY: u32 = 0x00f4_2400;

/// A line of `/proc/sysvipc/shm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    pub key: u32,
    pub id: i32,
    pub mode: u32,
    pub bytes: u64,
    pub creator_pid: i32,
    pub nattch: u64,
    pub uid: u32,
    pub creator_uid: u32,
    pub ctime: i64,
}

/// A file in `/dev/shm`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShmFile {
    pub name: String,
    pub inode: u64,
    pub bytes: u64,
    pub uid: u32,
}

/// Every segment of this IPC namespace, in the kernel's order.
pub fn segments() -> Vec<Segment> {
    parse_segments(&fs::read_to_string("/proc/sysvipc/shm").unwrap())
}

/// Every segment of the IPC namespace that process `pid` lives in.
pub fn segments_of(pid: i32) -> Vec<Segment> {
    let target = format!("--target={pid}");
    let mut command = Command::new("nsenter");
    command.args([&target, "--ipc", "--", "cat", "/proc/sysvipc/shm"]);
    parse_segments(&text_of(command))
}

/// The segment with this id, if there is one.
pub fn segment(id: i32) -> Option<Segment> {
    segments().into_iter().find(|segment| segment.id == id)
}

/// Every file in `/dev/shm`, by name.
pub fn shm_files() -> Vec<ShmFile> {
    let entries = fs::read_dir("/dev/shm").unwrap().map(Result::unwrap);
    let mut files: Vec<ShmFile> = entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?; // it may have gone meanwhile
            Some(ShmFile {
                name: entry.file_name().to_string_lossy().into_owned(),
                inode: metadata.ino(),
                bytes: metadata.len(),
                uid: metadata.uid(),
            })
        })
        .collect();
    files.sort_by(|a, b| a.name.cmp(&b.name));
    files
}

/// What there was at one moment: object and identity, by a name to report it with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot(BTreeMap<String, String>);

impl Snapshot {
    /// What there is now.
    pub fn take() -> Self {
        let segments = segments().into_iter().map(|s| {
            let name = format!("segment {} key {:#010x} of {} bytes", s.id, s.key, s.bytes);
            (name, format!("creator {} of uid {}, ctime {}", s.creator_pid, s.creator_uid, s.ctime))
        });
        let files = shm_files()
            .into_iter()
            .map(|f| (format!("/dev/shm/{} of {} bytes", f.name, f.bytes), f.inode.to_string()));
        Snapshot(segments.chain(files).collect())
    }

    /// What there is now and was not, or was another object: leaks, where it should all be gone.
    pub fn left_over(&self) -> Vec<String> {
        Snapshot::take().without(self)
    }

    /// What there was and is not now: removed by mistake, if it was somebody else's.
    pub fn missing(&self) -> Vec<String> {
        self.without(&Snapshot::take())
    }

    fn without(&self, other: &Snapshot) -> Vec<String> {
        let is_new = |(name, identity): &(&String, &String)| other.0.get(*name) != Some(identity);
        let new = self.0.iter().filter(is_new);
        new.map(|(name, identity)| format!("{name} ({identity})")).collect()
    }
}

/// Creates a segment of `user` whose creator has ended: nattch 0, like a leaked one.
pub fn create_segment(user: User, key: u32, bytes: u64) -> i32 {
    let key = key as i32; // Perl would saturate a larger number
    let create_new = 0o1000 | 0o2000; // IPC_CREAT | IPC_EXCL
    let script = format!(
        r#"my $id = shmget({key}, {bytes}, {create_new} | 0600); defined $id or die "shmget: $!\n";
           shmwrite($id, "bystander", 0, 9) or die "shmwrite: $!\n"; print $id + 0;"#
    );
    let mut perl = user.command("perl");
    perl.args(["-e", &script]);
    text_of(perl).parse().unwrap()
}

/// Removes a segment the way an administrator would, from outside.
pub fn remove_segment(id: i32) {
    let mut ipcrm = Command::new("ipcrm");
    ipcrm.args(["-m", &id.to_string()]);
    text_of(ipcrm);
}

/// Creates a file of `user` in `/dev/shm`, open to nobody else, which nobody has open.
pub fn create_shm_file(user: User, name: &str, bytes: u64) {
    let path = Path::new("/dev/shm").join(name);
    fs::write(&path, vec![0; usize::try_from(bytes).unwrap()]).unwrap();
    fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    user.own(&path);
}

/// Objects of somebody else that look like a dead server's, and must survive whatever happens.
pub struct Bystanders(Snapshot);

impl Bystanders {
    /// Makes, for `user`, `count` segments in [`KEY_FAMILY`] from `first` on and a file each.
    pub fn create(user: User, first: u32, count: u32) -> Self {
        let before = Snapshot::take();
        for number in first..first + count {
            create_segment(user, KEY_FAMILY + number, 4096);
            create_shm_file(user, &format!("PostgreSQL.bystander{number}"), 4096);
        }
        let mut now = Snapshot::take();
        now.0.retain(|name, _| !before.0.contains_key(name));
        assert_eq!(now.0.len(), 2 * count as usize, "all bystanders are there");
        Bystanders(now)
    }

    /// Fails unless every one of them is there, and is still the same object.
    pub fn assert_untouched(&self) {
        assert_eq!(self.0.missing(), Vec::<String>::new(), "bystanders are gone");
    }
}

fn parse_segments(table: &str) -> Vec<Segment> {
    table.lines().skip(1).map(parse_segment).collect()
}

fn parse_segment(line: &str) -> Segment {
    let columns: Vec<&str> = line.split_whitespace().collect();
    Segment {
        key: columns[0].parse::<i32>().unwrap() as u32,
        id: columns[1].parse().unwrap(),
        mode: u32::from_str_radix(columns[2], 8).unwrap(),
        bytes: columns[3].parse().unwrap(),
        creator_pid: columns[4].parse().unwrap(),
        nattch: columns[6].parse().unwrap(),
        uid: columns[7].parse().unwrap(),
        creator_uid: columns[9].parse().unwrap(),
        ctime: columns[13].parse().unwrap(),
    }
}

fn text_of(mut command: Command) -> String {
    let output = command.output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

//! What a user keeps takes no time and no memory of what root does for others: a lock, a long
//! ledger, many files, a dead mount.
//!
//! The bounds in seconds are those that only a hang or a product of two large numbers misses.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use nix::fcntl::{Flock, FlockArg};
use shmwarden::engine::Engine;
use shmwarden::ledger::line;
use shmwarden::ledger::record::{Claim, DataDir, Entry, Header, Record, RunStart, VERSION};
use shmwarden::object::{Bytes, FileRef, ProcessRef};
use shmwarden::snapshot::place;

use crate::scene::instance::{Instance, need_root, state};
use crate::scene::stand_in::StandIn;
use crate::support::objects::{create_segment, segment};
use crate::support::processes::Process;
use crate::support::sandbox;
use crate::support::skip::skip;
use crate::support::user::User;
use crate::support::waiting::wait_until;
use crate::support::warden::{self, Answer};

const KEY: u32 = 0x00f4_2401;

/// How long a command may take that no user can hold up: waits of 2 s a user, on a busy machine.
const UNDELAYED: Duration = Duration::from_secs(20);

/// Where root looks for ledgers that are not named: empty in a sandbox.
const DEFAULT: &str = "/var/lib/shmwarden";

/// Makes the directory of a user's ledgers below the default place, as systemd does.
pub fn directory(user: User) -> PathBuf {
    let directory = Path::new(DEFAULT).join("theirs");
    fs::create_dir_all(&directory).unwrap();
    user.make_directory(&directory);
    directory
}

/// Writes a user's ledger with these records after its header.
pub fn write(user: User, path: &Path, records: impl IntoIterator<Item = Record>) {
    let header = Header { version: VERSION, place: place::here().unwrap(), file: None };
    let records = std::iter::once(Record::Header(header)).chain(records);
    let mut text = Vec::new();
    for (seq, record) in (1..).zip(records) {
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        text.extend(line::encode(&Entry { seq, at, forks: None, record }));
    }
    fs::write(path, text).unwrap();
    fs::set_permissions(path, PermissionsExt::from_mode(0o600)).unwrap();
    user.own(path);
}

/// Runs a command as root, which has to end in time.
pub fn in_time(words: &[&str]) -> Answer {
    let began = Instant::now();
    let answer = warden::answer(User::Root, words);
    assert!(began.elapsed() < UNDELAYED, "{words:?} took {:?}: {answer:?}", began.elapsed());
    answer
}

/// A server of root's that crashed, with its ledger in the default place.
pub fn crashed() -> i32 {
    fs::create_dir_all(DEFAULT).unwrap();
    let instance = Instance::at(User::Root, &Path::new(DEFAULT).join("root.ledger"));
    let server = StandIn::start(&instance, KEY);
    instance.wait_recorded(1);
    let id = server.segment();
    server.kill_all();
    id
}

#[test]
fn locks_that_a_user_keeps_delay_no_sweep_of_several_ledgers() {
    sandbox::run(|| {
        need_root("to sweep another's ledger");
        let theirs = directory(User::Server);
        let mut locks = Vec::new();
        for number in 0..5 {
            let path = theirs.join(format!("{number}.ledger"));
            write(User::Server, &path, []);
            let file = fs::File::open(path).unwrap();
            locks.push(Flock::lock(file, FlockArg::LockExclusive).unwrap());
        }
        let id = crashed();
        let sweep = in_time(&["sweep", "--json", "--include-clean"]).expect_code(0);
        let document = sweep.json();
        let states = document["ledgers"].as_array().unwrap().iter();
        let states: Vec<_> = states.map(|one| one["state"].as_str().unwrap()).collect();
        assert_eq!(states, ["dead", "locked", "locked", "locked", "locked", "locked"]);
        assert!(segment(id).is_none(), "{sweep:?}");
        let several = [theirs.join("0.ledger"), theirs.join("1.ledger")];
        let several = several.each_ref().map(|path| path.to_str().unwrap());
        let named = in_time(&["sweep", several[0], several[1]]).expect_code(75);
        assert!(named.stdout.contains("another process has locked the ledger"), "{named:?}");
    });
}

#[test]
fn the_one_ledger_that_was_named_is_waited_for() {
    sandbox::run(|| {
        let path = sandbox::scratch().join("a.ledger");
        write(User::Root, &path, []);
        let file = fs::File::open(&path).unwrap();
        let lock = Flock::lock(file, FlockArg::LockExclusive).unwrap();
        let free = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(1));
            drop(lock);
        });
        let sweep = warden::answer(User::Root, &["sweep", "--json", path.to_str().unwrap()]);
        assert_eq!(state(&sweep.expect_code(0)), "settled");
        free.join().unwrap();
    });
}

/// A run with so many claimed processes: what says little and was looked for one by one.
fn claims(user: User, count: i32) -> Vec<Record> {
    let (uid, gid) = user.ids();
    let of = |pid: i32| ProcessRef { pid, start: 1 };
    let run = RunStart {
        run: 1,
        launcher: of(2),
        uid,
        gid,
        argv: vec![],
        shmwarden: "0.1.0".to_owned(),
        recorded: false,
        clock_ahead_ms: None,
    };
    let claim = |number: i32| Claim {
        run: 1,
        process: of(10_000_000 + number),
        uids: vec![uid],
        group: 1,
        session: 1,
        control_group: Bytes::default(),
        engine: Engine::GENERIC,
        major: None,
        data: None,
        executable: None,
        before: vec![],
        sets_before: vec![],
        queues_before: vec![],
        pid_max: None,
        forks: None,
        ended: None,
    };
    let claims = (0..count).map(|number| Record::Claim(claim(number)));
    std::iter::once(Record::Run(run)).chain(claims).collect()
}

#[test]
fn a_ledger_that_is_longer_than_root_reads_of_another_user_is_refused_and_the_others_are_swept() {
    sandbox::run(|| {
        need_root("to read another's ledger");
        let path = directory(User::Server).join("long.ledger");
        write(User::Server, &path, claims(User::Server, 60_000));
        let words = path.to_str().unwrap();
        let id = crashed();
        for command in ["list", "history", "sweep --dry-run", "sweep --include-clean"] {
            let words: Vec<&str> = command.split(' ').collect();
            let answer = in_time(&words).expect_code(77);
            let said = format!("{}{}", answer.stdout, answer.stderr);
            assert!(
                said.contains("60000 claimed processes, and root reads no more than"),
                "{said}"
            );
        }
        assert!(segment(id).is_none(), "what is root's own is swept all the same");
        let bytes = fs::read(&path).unwrap();
        // The same as root's own is read whole, and in time: no claim is looked for among all.
        User::Root.own(&path);
        in_time(&["history", words]).expect_code(0);
        in_time(&["sweep", words]).expect_code(0);
        assert!(fs::read(&path).unwrap().starts_with(&bytes));
    });
}

#[test]
fn a_ledger_of_ten_gigabytes_is_not_read() {
    sandbox::run(|| {
        need_root("to read another's ledger");
        let path = directory(User::Server).join("hollow.ledger");
        write(User::Server, &path, []);
        let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(10 << 30).unwrap();
        for command in ["list", "history", "sweep"] {
            let answer = in_time(&[command]).expect_code(77);
            let said = format!("{}{}", answer.stdout, answer.stderr);
            assert!(said.contains("bytes, and root reads no more than"), "{said}");
        }
    });
}

#[test]
fn many_ledgers_of_one_user_are_read_up_to_a_bound() {
    sandbox::run(|| {
        need_root("to read another's ledger");
        let theirs = directory(User::Server);
        for number in 0..300 {
            write(User::Server, &theirs.join(format!("{number}.ledger")), []);
        }
        let id = crashed();
        let sweep = in_time(&["sweep", "--json", "--include-clean"]).expect_code(77);
        let document = sweep.json();
        let ledgers = document["ledgers"].as_array().unwrap();
        let count = |state: &str| ledgers.iter().filter(|one| one["state"] == state).count();
        assert_eq!((count("settled"), count("refused")), (256, 44));
        assert!(segment(id).is_none());
    });
}

/// Mounts a file system that never answers on a directory or file: one of root's. It is there as
/// long as what is given back.
fn dead_mount(path: &Path) -> Process {
    dead_mount_of(0, path)
}

/// The same, as a user's own process serves it.
fn dead_served(path: &Path) -> Process {
    dead_mount_of(User::Server.ids().0, path)
}

fn dead_mount_of(uid: u32, path: &Path) -> Process {
    if fs::metadata("/dev/fuse").is_err() {
        skip("there is no FUSE here");
    }
    let mode = if path.is_dir() { "40000" } else { "100000" };
    let script = "exec 9<>/dev/fuse && \
                  options=fd=9,rootmode=$2,user_id=$3,group_id=0,allow_other && \
                  mount -i -t fuse -o $options dead \"$1\" && exec sleep 1000";
    let mut bash = User::Root.command("bash");
    bash.args(["-c", script, "bash"]).arg(path).arg(mode).arg(uid.to_string());
    let process = Process::spawn(&mut bash);
    let path = path.to_str().unwrap().to_owned();
    let is_mounted = || fs::read_to_string("/proc/mounts").unwrap().contains(&format!(" {path} "));
    wait_until("a mount", Duration::from_secs(10), is_mounted);
    process
}

#[test]
fn a_data_directory_that_does_not_answer_delays_nobody_and_its_server_counts_as_alive() {
    sandbox::run(|| {
        need_root("to read another's ledger");
        let data = sandbox::scratch().join("data");
        fs::create_dir(&data).unwrap();
        User::Server.own(&data);
        let mount = dead_mount(&data);
        let theirs = directory(User::Server);
        for number in 0..12 {
            let mut records = claims(User::Server, 1);
            if let Some(Record::Claim(claim)) = records.last_mut() {
                let file = FileRef { dev: 1, ino: 1 };
                claim.engine = Engine::POSTGRES;
                claim.data = Some(DataDir { path: Bytes::from(data.as_path()), file });
            }
            write(User::Server, &theirs.join(format!("{number}.ledger")), records);
        }
        let id = crashed();
        in_time(&["list"]).expect_code(0);
        in_time(&["who", &id.to_string()]);
        in_time(&["doctor"]);
        let sweep = in_time(&["sweep", "--json", "--include-clean"]).expect_code(0);
        let document = sweep.json();
        let ledgers = document["ledgers"].as_array().unwrap();
        assert_eq!(ledgers.iter().filter(|one| one["state"] == "live").count(), 12, "{sweep:?}");
        assert!(segment(id).is_none(), "{sweep:?}");
        drop(mount);
    });
}

#[test]
fn what_is_mounted_on_a_name_in_dev_shm_is_not_asked() {
    sandbox::run(|| {
        need_root("to mount");
        fs::create_dir("/dev/shm/directory").unwrap();
        fs::write("/dev/shm/PostgreSQL.1234", "").unwrap();
        fs::write("/dev/shm/other", "").unwrap();
        let names = ["/dev/shm/directory", "/dev/shm/PostgreSQL.1234"];
        let mounts = names.map(|name| dead_mount(Path::new(name)));
        let id = crashed();
        let list = in_time(&["list", "--json"]).expect_code(0).json();
        let objects = list["objects"].as_array().unwrap();
        let files = objects.iter().filter(|one| one["kind"] == "posix");
        let files: Vec<_> = files.map(|one| one["name"].as_str().unwrap()).collect();
        assert_eq!(files, ["other"]);
        in_time(&["who", "/other"]);
        in_time(&["doctor"]);
        in_time(&["adopt", "--dry-run", "--min-age", "0s"]);
        in_time(&["sweep", "--include-clean"]).expect_code(0);
        assert!(segment(id).is_none());
        drop(mounts);
    });
}

#[test]
fn a_file_that_begins_as_a_list_and_is_as_long_as_none_is_not_read() {
    sandbox::run(|| {
        let begin = |items: u32, room: u32| {
            let words = [0x9a50_3d32, items, room, 0];
            words.iter().flat_map(|word: &u32| word.to_ne_bytes()).collect::<Vec<u8>>()
        };
        for number in 1..40_u64 {
            let path = Path::new("/dev/shm").join(format!("PostgreSQL.{}", 2 * number));
            let count = if number % 2 == 0 { 1000 } else { u32::MAX };
            fs::write(&path, begin(count, count)).unwrap();
            fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(64 << 20).unwrap();
        }
        let id = create_segment(User::Root, 77, 4096);
        let id = id.to_string();
        let named = in_time(&["adopt", "--dry-run", "--json", &id]).expect_code(77).json();
        // It may be named in a list that was not read: of the same user.
        assert_eq!(named["objects"][0]["reason_code"], "list-unread", "{named}");
    });
}

#[test]
fn a_ledger_on_a_file_system_that_does_not_answer_is_refused_and_the_others_are_swept() {
    sandbox::run(|| {
        need_root("to mount");
        let theirs = directory(User::Server);
        // The ledger itself, the directory that it is in, and what a link leads to.
        let itself = theirs.join("itself.ledger");
        write(User::Server, &itself, []);
        let below = theirs.join("below");
        fs::create_dir(&below).unwrap();
        std::os::unix::fs::symlink(&below, sandbox::scratch().join("link")).unwrap();
        let mounts = [dead_served(&itself), dead_served(&below)];
        let id = crashed();
        let inside = below.join("a.ledger");
        let linked = sandbox::scratch().join("link/a.ledger");
        for path in [&itself, &inside, &linked] {
            let path = path.to_str().unwrap();
            let list = ["list", "--ledger", path];
            for words in [&["sweep", path][..], &["history", path], &list] {
                let answer = in_time(words).expect_code(77);
                let said = format!("{}{}", answer.stdout, answer.stderr);
                assert!(said.contains("serves (FUSE)"), "{words:?}: {said}");
            }
        }
        let sweep = in_time(&["sweep", "--include-clean"]);
        assert!(segment(id).is_none(), "{sweep:?}");
        for command in ["list", "history", "doctor"] {
            in_time(&[command]);
        }
        drop(mounts);
    });
}

#[test]
fn members_of_more_sets_than_a_server_has_are_not_asked_and_such_sets_stay() {
    sandbox::on_host(|| {
        need_root("to look at another's sets");
        let script = "for (1 .. 9) { my $id = semget(0, 32000, 0600); \
                      defined $id or die \"semget: $!\\n\"; print $id + 0, ' '; }";
        let made = User::Server.command("perl").args(["-e", script]).output().unwrap();
        let made = String::from_utf8(made.stdout).unwrap();
        let sets: Vec<String> = made.split_whitespace().map(|id| format!("sem:{id}")).collect();
        let [first, .., last] = sets.as_slice() else { panic!("{made}") };
        assert_eq!(sets.len(), 9);
        let words = ["adopt", "--dry-run", "--json", "--min-age", "0s", first, last];
        let named = in_time(&words).expect_code(77).json();
        let objects = named["objects"].as_array().unwrap().iter();
        let outcomes: Vec<_> = objects.map(|one| one["outcome"].as_str().unwrap()).collect();
        assert_eq!(outcomes, ["would-adopt", "refused"], "{named}");
        in_time(&["list"]).expect_code(0);
        // Whoever asks for its own is not held up by another.
        let own = warden::answer(User::Server, &words).expect_code(0).json();
        assert_eq!(own["objects"][1]["outcome"], "would-adopt", "{own}");
    });
}

#[test]
fn many_files_that_a_dead_server_may_have_made_take_no_time_by_the_square() {
    sandbox::run(|| {
        need_root("to sweep another's ledger");
        let script =
            "for (1 .. 60_000) { open(my $file, '>', '/dev/shm/PostgreSQL.' . 2 * $_) or die; }";
        let made = User::Server.command("perl").args(["-e", script]).status().unwrap();
        assert!(made.success());
        let mut records = claims(User::Server, 1);
        if let Some(Record::Claim(claim)) = records.last_mut() {
            claim.engine = Engine::POSTGRES;
        }
        write(User::Server, &directory(User::Server).join("a.ledger"), records);
        let sweep = in_time(&["sweep", "--dry-run"]).expect_code(0);
        assert!(sweep.stdout.contains("/dev/shm/PostgreSQL.120000"), "{:.500}", sweep.stdout);
        in_time(&["list"]).expect_code(0);
    });
}

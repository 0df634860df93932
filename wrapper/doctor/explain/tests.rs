//! Messages as servers write them, taken apart.

use nix::errno::Errno;
use serde_json::{Value, json};

use super::call::{self, Call};
use super::{Message, Topic, catalogue, errno, recognise, text};

fn known(text: &str) -> Message {
    recognise(text).unwrap_or_else(|| panic!("not recognised: {text}"))
}

const SHMGET: Topic = Topic::Failed(Call::Shmget);
const SEMGET: Topic = Topic::Failed(Call::Semget);

#[test]
fn shmget_of_postgresql_in_each_of_its_variants() {
    let detail = "\nDETAIL:  Failed system call was shmget(key=16000001, size=4412637184, 03600).";
    for (words, errno) in [
        ("No space left on device", Errno::ENOSPC),
        ("Invalid argument", Errno::EINVAL),
        ("Cannot allocate memory", Errno::ENOMEM),
        ("Operation not permitted", Errno::EPERM),
        ("Function not implemented", Errno::ENOSYS),
    ] {
        for prefix in ["", "2026-01-02 03:04:05.678 UTC [77] FATAL:  "] {
            let head = format!("{prefix}could not create shared memory segment: {words}");
            let message = known(&format!("{head}{detail}"));
            assert_eq!((message.topic, message.errno), (SHMGET, Some(errno)), "{head}");
            assert_eq!((message.key, message.bytes), (Some(16_000_001), Some(4_412_637_184)));
            assert_eq!(known(&head).errno, Some(errno));
        }
    }
}

#[test]
fn a_translated_message_is_known_by_its_call_and_by_the_limits_in_its_hint() {
    let german = "FATAL:  konnte Shared-Memory-Segment nicht erzeugen: \
        Auf dem Gerät ist kein Speicherplatz mehr verfügbar\n\
        DETAIL:  Fehlgeschlagener Systemaufruf war shmget(Key=5432001, Größe=56, 03600).\n\
        TIPP:  ... den SHMMNI-Parameter des Kernels erhöhen ...";
    let message = known(german);
    assert_eq!((message.topic, message.errno), (SHMGET, Some(Errno::ENOSPC)));
    assert_eq!((message.key, message.bytes), (Some(5_432_001), Some(56)));
    let hint = |hint: &str| known(&format!("shmget(key=1, size=2, 03600): {hint}")).errno;
    assert_eq!(
        hint("exceeded your kernel's SHMMAX parameter, or less than SHMMIN"),
        Some(Errno::EINVAL)
    );
    assert_eq!(hint("exceeded your kernel's SHMALL parameter"), Some(Errno::ENOMEM));
    assert_eq!(hint("no words"), None);
}

#[test]
fn semget_and_its_numbers() {
    let message = known(
        "FATAL:  could not create semaphores: No space left on device\n\
         DETAIL:  Failed system call was semget(5432018, 17, 03600).\n\
         HINT:  This error does *not* mean that you have run out of disk space.  ... (SEMMNI) ...",
    );
    assert_eq!((message.topic, message.errno), (SEMGET, Some(Errno::ENOSPC)));
    assert_eq!((message.key, message.semaphores), (Some(5_432_018), Some(17)));
}

#[test]
fn a_block_still_in_use_gives_key_id_and_directory() {
    let message = known(
        "FATAL:  pre-existing shared memory block (key 16000001, ID 32769) is still in use\n\
         HINT:  Terminate any old server processes associated with data directory \"/srv/a b\".",
    );
    assert_eq!(message.topic, Topic::StillInUse);
    assert_eq!((message.key, message.id), (Some(16_000_001), Some(32_769)));
    assert_eq!(message.directory.as_deref(), Some("/srv/a b"));
    // Older ones, and openGauss, name the file instead.
    let old = "pre-existing shared memory block (key 18446744072635809793, ID 0) is still in use \
        HINT: ... just delete the file \"postmaster.pid\".";
    // A negative key, printed as an unsigned long.
    assert_eq!(known(old).key, Some(-1_073_741_823));
}

#[test]
fn a_lock_file_gives_the_pid_and_one_of_a_socket_is_something_else() {
    let message = known(
        "FATAL:  lock file \"postmaster.pid\" already exists\n\
         HINT:  Is another postmaster (PID 4711) running in data directory \"/d\"?",
    );
    assert_eq!((message.topic, message.pid), (Topic::LockFile, Some(4711)));
    assert_eq!(recognise("FATAL:  lock file \"/tmp/.s.PGSQL.5432.lock\" already exists"), None);
}

/// As PostgreSQL (`miscinit.c`) and openGauss (`miscinit.cpp`) have them.
#[test]
fn each_message_about_postmaster_pid_is_known() {
    for (text, topic) in [
        (
            "FATAL:  lock file \"postmaster.pid\" is empty\nHINT:  Either another server is \
             starting, or the lock file is the remnant of a previous server startup crash.",
            Topic::LockFileEmpty,
        ),
        ("FATAL:  bogus data in lock file \"postmaster.pid\": \"x\"", Topic::LockFileDamaged),
        (
            "FATAL:  bogus data in lock file \"postmaster.pid\": \"x\", please kill the instance \
             process, than remove the damaged lock file",
            Topic::LockFileDamaged,
        ),
        (
            "FATAL:  bogus lock file \"postmaster.pid\",could not unlink it : Permission denied",
            Topic::LockFileDamaged,
        ),
        (
            "FATAL:  could not lock file \"postmaster.pid.lock\": Resource temporarily unavailable",
            Topic::LockFileLocked,
        ),
        (
            "FATAL:  could not remove old lock file \"postmaster.pid\": Permission denied",
            Topic::LockFileStays,
        ),
        (
            "LOG:  lock file \"postmaster.pid\" contains wrong PID: 5 instead of 7",
            Topic::LockFileLost,
        ),
        (
            "LOG:  performing immediate shutdown because data directory lock file is invalid",
            Topic::LockFileLost,
        ),
        (
            "HINT:  Is another openGauss (PID 4711) running in data directory \"/d\"?",
            Topic::LockFile,
        ),
        (
            "HINT:  Is another postgres (PID 4711) running in data directory \"/d\"?",
            Topic::LockFile,
        ),
    ] {
        let message = known(text);
        assert_eq!(message.topic, topic, "{text}");
        let pid = (topic == Topic::LockFile).then_some(4711);
        assert_eq!(message.pid, pid, "{text}");
    }
    let socket = "lock file \"/tmp/.s.PGSQL.5432.lock\" is empty";
    assert_eq!(recognise(socket), None);
}

#[test]
fn files_of_dev_shm_are_named() {
    let message = known(
        "ERROR:  could not resize shared memory segment \"/PostgreSQL.1450751626\" to 8388608 \
         bytes: No space left on device",
    );
    assert_eq!((message.topic, message.bytes), (Topic::Resize, Some(8_388_608)));
    assert_eq!(message.name.as_deref(), Some("PostgreSQL.1450751626"));
    let gone = "could not open shared memory segment \"/PostgreSQL.7\": No such file or directory";
    let gone = known(gone);
    assert_eq!((gone.topic, gone.errno), (Topic::Failed(Call::ShmOpen), Some(Errno::ENOENT)));
    assert_eq!(gone.name.as_deref(), Some("PostgreSQL.7"));
    let path = known("open(\"/dev/shm/sem.x\"): EACCES");
    assert_eq!((path.name.as_deref(), path.errno), (Some("sem.x"), Some(Errno::EACCES)));
}

#[test]
fn other_servers_and_calls() {
    let apache = "[core:emerg] [pid 7] (28)No space left on device: AH00023: Couldn't create the \
        rewrite-map mutex";
    assert_eq!((known(apache).topic, known(apache).errno), (Topic::Mutex, Some(Errno::ENOSPC)));
    let old = "No space left on device: mod_rewrite: Parent could not create RewriteLock file";
    assert_eq!(known(old).topic, Topic::Mutex);
    let removed = known("LOG:  semctl(1234567890, 0, IPC_RMID, ...) failed: Invalid argument");
    assert_eq!((removed.topic, removed.id), (Topic::Failed(Call::Semctl), Some(1_234_567_890)));
    assert_eq!(known("semop(id=98305) failed: Identifier removed").id, Some(98_305));
    assert_eq!(known("mmap(148897792) with MAP_HUGETLB failed: ENOMEM").bytes, Some(148_897_792));
    assert_eq!(known("msgget: No space left on device").topic, Topic::Failed(Call::Msgget));
    assert_eq!(known("shmget(IPC_PRIVATE, 0x1000) = -1 ENOSPC").errno, Some(Errno::ENOSPC));
}

#[test]
fn an_errno_alone_is_known_and_one_among_other_words_is_not() {
    for text in ["ENOSPC", "No space left on device", "error 28: No space left on device\n"] {
        assert_eq!((known(text).topic, known(text).errno), (Topic::Bare, Some(Errno::ENOSPC)));
    }
    for text in [
        "could not extend file \"base/1/2\": No space left on device",
        "connection refused",
        "",
        " \n",
        "the shmgetter is out of order",
    ] {
        assert_eq!(recognise(text), None, "{text}");
    }
}

#[test]
fn of_a_log_the_last_message_is_taken() {
    let noise = "LOG:  checkpoint complete\n".repeat(30);
    let full = "FATAL:  could not create shared memory segment: No space left on device\n\
        DETAIL:  Failed system call was shmget(key=1, size=56, 03600).\nHINT:  ...\n";
    let used = "FATAL:  pre-existing shared memory block (key 5, ID 6) is still in use\n\
        HINT:  Terminate any old server processes associated with data directory \"/d\".\n";
    let first = known(&format!("{noise}{used}{noise}{full}{noise}"));
    assert_eq!((first.topic, first.errno, first.key), (SHMGET, Some(Errno::ENOSPC), Some(1)));
    let second = known(&format!("{full}{noise}{used}"));
    assert_eq!((second.topic, second.id), (Topic::StillInUse, Some(6)));
    assert_eq!(second.directory.as_deref(), Some("/d"));
    assert_eq!(recognise(&noise), None);
}

#[test]
fn any_text_is_a_message_or_none() {
    let good = "FATAL: pre-existing shared memory block (key 1, ID 2) is still in use \
        \"/PostgreSQL.1\" to 5 bytes shmget(key=1, size=2) semget(1, 2) lock file already exists \
        (PID 3) /dev/shm/\u{e9}";
    let bytes = good.as_bytes();
    for start in (0..bytes.len()).step_by(7) {
        for flip in [0_u8, b'(', b'"', 0xc3] {
            let mut changed = bytes.to_vec();
            changed[start] = flip;
            drop(recognise(&String::from_utf8_lossy(&changed)));
            drop(recognise(&String::from_utf8_lossy(&changed[start..])));
        }
    }
    let huge = format!("{}shmget(", "\u{e9}".repeat(1 << 20));
    assert_eq!(recognise(&huge), None, "what lies behind the first MiB is not looked at");
    let digits = format!("shmget({0}, {0}, {0})", "9".repeat(100_000));
    assert_eq!(known(&digits).key, None);
}

/// What people posted, and wordings of our own, with what each is about; `null` for what is not
/// about shared memory.
#[test]
fn messages_that_people_posted() {
    let rows: Vec<Value> = serde_json::from_str(include_str!("tests/messages.json")).unwrap();
    let mut wrong = Vec::new();
    for row in &rows {
        let said = recognise(row["text"].as_str().unwrap()).map(|message| {
            json!({
                "message": message.topic.word(),
                "call": message.topic.call(),
                "errno": message.errno.map(errno::name),
                "key": message.key.map(|key| format!("0x{key:08x}")),
                "id": message.id,
                "bytes": message.bytes,
                "name": message.name,
            })
        });
        let said = said.unwrap_or(Value::Null);
        if said != row["is"] {
            wrong.push(format!("{}\n  is   {said}\n  want {}", row["text"], row["is"]));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

/// Each phrase of the catalogue, with an errno in a language.
#[test]
fn messages_of_postgresql_in_every_language() {
    let words: Vec<(&str, &str)> =
        include_str!("strerror.tsv").lines().filter_map(|line| line.split_once('\t')).collect();
    let mut wrong = Vec::new();
    let mut count = 0;
    for (at, (what, phrase)) in catalogue::rows().enumerate() {
        let is_role = ["severity 1", "severity 2", "severity 3", "more", "not"].contains(&what);
        if is_role {
            continue;
        }
        count += 1;
        // Some errno, another for each phrase; the phrase ends with it where it has one.
        let (name, strerror) = words[(at * 37) % words.len()];
        let has_errno = phrase.trim_end().ends_with('%') && !what.starts_with("crash");
        let (body, end) = match phrase.trim_end().strip_suffix('%') {
            Some(body) if has_errno => (body, strerror),
            _ => (phrase, ""),
        };
        let said = format!("2026-01-01 00:00:00 UTC [7] FATAL:  {}{end}", body.replace('%', "77"));
        let message = recognise(&said);
        let is = message.as_ref().map(|one| match one.topic {
            Topic::Failed(call) => format!("call {}", call.name()),
            other => other.word().to_owned(),
        });
        let errno = message.and_then(|one| one.errno).map(errno::name);
        let right = is.as_deref() == Some(what);
        if !right || (has_errno && errno.as_deref() != Some(name)) {
            wrong.push(format!("{said}\n  is {is:?} {errno:?}, wanted {what} {name}"));
        }
    }
    assert!(count > 250, "{count}");
    assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
}

/// The errnos that the kernel and the C library give for each call.
const GIVEN: [(Call, &str); 16] = [
    (Call::Shmget, "EACCES EEXIST EINVAL ENFILE ENOENT ENOMEM ENOSPC EPERM ENOSYS"),
    (Call::Shmat, "EACCES EIDRM EINVAL ENOMEM EMFILE ENFILE ENOSYS"),
    (Call::Shmdt, "EINVAL"),
    (Call::Shmctl, "EACCES EIDRM EINVAL ENOMEM EOVERFLOW EPERM"),
    (Call::Semget, "EACCES EEXIST EINVAL ENOENT ENOMEM ENOSPC ENOSYS"),
    (Call::Semop, "E2BIG EACCES EAGAIN EFBIG EIDRM EINTR EINVAL ENOMEM ERANGE"),
    (Call::Semctl, "EACCES EIDRM EINVAL ENOMEM EPERM ERANGE"),
    (Call::Msgget, "EACCES EEXIST ENOENT ENOMEM ENOSPC ENOSYS"),
    (Call::Msgsnd, "EACCES EAGAIN EIDRM EINTR EINVAL ENOMEM"),
    (Call::Msgrcv, "E2BIG EACCES EIDRM EINTR EINVAL ENOMSG"),
    (Call::Msgctl, "EACCES EIDRM EINVAL ENOMEM EPERM"),
    (
        Call::ShmOpen,
        "EACCES EEXIST EFBIG EINTR EINVAL EMFILE ENAMETOOLONG ENFILE ENOENT ENOMEM ENOSPC ENOSYS \
         EPERM EROFS EDQUOT",
    ),
    (Call::ShmUnlink, "EACCES ENAMETOOLONG ENOENT EPERM EROFS"),
    (Call::MapFile, "EACCES EAGAIN EINVAL EMFILE ENFILE ENODEV ENOMEM ENOSPC EPERM"),
    (Call::Mmap, "EAGAIN EINVAL ENFILE ENOMEM ENOSPC EPERM"),
    (Call::SemOpen, "EACCES EEXIST EINVAL EMFILE ENAMETOOLONG ENFILE ENOENT ENOMEM ENOSPC ENOSYS"),
];

/// Every errno of every call has a meaning, of the call or of its own, and is read in each form.
#[test]
fn each_errno_of_each_call_is_read_and_has_its_meaning() {
    assert_eq!(GIVEN.map(|(call, _)| call), Call::ALL);
    for (call, names) in GIVEN {
        let name = Topic::Failed(call).call().unwrap();
        for wanted in names.split(' ') {
            let number = (1..134).find(|one| errno::name(Errno::from_raw(*one)) == wanted).unwrap();
            for said in [
                format!("{name} failed: {wanted}"),
                format!("{name} failed with errno {number}"),
                format!("{name} failed (errno = {number})"),
                format!("{name} failed (os error {number})"),
            ] {
                let found = known(&said).errno.map(errno::name);
                assert_eq!(found.as_deref(), Some(wanted), "{said}");
            }
            let errno = Errno::from_raw(number);
            let own = call::meaning(call, errno).map_or(errno::meaning(errno), |(means, _)| means);
            assert!(!own.contains("no call on shared memory"), "{name} {wanted}: {own}");
        }
    }
}

#[test]
fn the_message_that_stops_the_server_comes_before_one_that_does_not() {
    let stops = "2026-01-01 [7] FATAL:  could not create shared memory segment: No space left on \
        device\n2026-01-01 [7] DETAIL:  Failed system call was shmget(key=1, size=56, 03600).\n";
    let later = "2026-01-01 [7] LOG:  semctl(5, 0, IPC_RMID, ...) failed: Invalid argument\n\
        2026-01-01 [7] LOG:  database system is shut down\n";
    assert_eq!(known(&format!("{stops}{later}")).topic, SHMGET);
    let crash = "LOG:  server process (PID 7) was terminated by signal 9: Killed\n\
        LOG:  terminating any other active server processes\n";
    assert_eq!(known(&format!("{crash}{stops}{crash}")).topic, SHMGET);
    assert_eq!(known(crash).topic, Topic::Crash);
    // What a user asked is no message.
    let query = "ERROR:  syntax error\nSTATEMENT:  select 'shmget: No space left on device'\n";
    assert_eq!(recognise(query), None);
    assert_eq!(text::messages(query).len(), 1);
}

//! Messages as servers write them, taken apart.

use super::{Call, Errno, Message, Topic, recognise};

fn known(text: &str) -> Message {
    recognise(text).unwrap_or_else(|| panic!("not recognised: {text}"))
}

const SHMGET: Topic = Topic::Failed(Call::Shmget);
const SEMGET: Topic = Topic::Failed(Call::Semget);

#[test]
fn shmget_of_postgresql_in_each_of_its_variants() {
    let detail = "\nDETAIL:  Failed system call was shmget(key=16000001, size=4412637184, 03600).";
    for (words, errno) in [
        ("No space left on device", Errno::NoSpace),
        ("Invalid argument", Errno::Invalid),
        ("Cannot allocate memory", Errno::NoMemory),
        ("Operation not permitted", Errno::Permission),
        ("Function not implemented", Errno::NoCall),
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
    assert_eq!((message.topic, message.errno), (SHMGET, Some(Errno::NoSpace)));
    assert_eq!((message.key, message.bytes), (Some(5_432_001), Some(56)));
    let hint = |hint: &str| known(&format!("shmget(key=1, size=2, 03600): {hint}")).errno;
    assert_eq!(
        hint("exceeded your kernel's SHMMAX parameter, or less than SHMMIN"),
        Some(Errno::Invalid)
    );
    assert_eq!(hint("exceeded your kernel's SHMALL parameter"), Some(Errno::NoMemory));
    assert_eq!(hint("no words"), None);
}

#[test]
fn semget_and_its_numbers() {
    let message = known(
        "FATAL:  could not create semaphores: No space left on device\n\
         DETAIL:  Failed system call was semget(5432018, 17, 03600).\n\
         HINT:  This error does *not* mean that you have run out of disk space.  ... (SEMMNI) ...",
    );
    assert_eq!((message.topic, message.errno), (SEMGET, Some(Errno::NoSpace)));
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
    assert_eq!((gone.topic, gone.errno), (Topic::Failed(Call::ShmOpen), Some(Errno::Missing)));
    assert_eq!(gone.name.as_deref(), Some("PostgreSQL.7"));
    let path = known("open(\"/dev/shm/sem.x\"): EACCES");
    assert_eq!((path.name.as_deref(), path.errno), (Some("sem.x"), Some(Errno::Access)));
}

#[test]
fn other_servers_and_calls() {
    let apache = "[core:emerg] [pid 7] (28)No space left on device: AH00023: Couldn't create the \
        rewrite-map mutex";
    assert_eq!((known(apache).topic, known(apache).errno), (Topic::Mutex, Some(Errno::NoSpace)));
    let old = "No space left on device: mod_rewrite: Parent could not create RewriteLock file";
    assert_eq!(known(old).topic, Topic::Mutex);
    let removed = known("LOG:  semctl(1234567890, 0, IPC_RMID, ...) failed: Invalid argument");
    assert_eq!((removed.topic, removed.id), (Topic::Failed(Call::Semop), Some(1_234_567_890)));
    assert_eq!(known("semop(id=98305) failed: Identifier removed").id, Some(98_305));
    assert_eq!(known("mmap(148897792) with MAP_HUGETLB failed: ENOMEM").bytes, Some(148_897_792));
    assert_eq!(known("msgget: No space left on device").topic, Topic::Failed(Call::Msgget));
    assert_eq!(known("shmget(IPC_PRIVATE, 0x1000) = -1 ENOSPC").errno, Some(Errno::NoSpace));
}

#[test]
fn an_errno_alone_is_known_and_one_among_other_words_is_not() {
    for text in ["ENOSPC", "No space left on device", "error 28: No space left on device\n"] {
        assert_eq!((known(text).topic, known(text).errno), (Topic::Bare, Some(Errno::NoSpace)));
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
    assert_eq!((first.topic, first.errno, first.key), (SHMGET, Some(Errno::NoSpace), Some(1)));
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
    for start in 0..bytes.len() {
        for flip in [0_u8, b'(', b')', b'"', b',', 0xff, 0xc3] {
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

//! Answers about `postmaster.pid`, in which a server says that it works in a data directory. Pure.
//!
//! Nothing here may lead to its deletion while a server, or a process of one, works there: the file
//! is what keeps two servers from one data directory.

use shmwarden::proc::Seen;
use shmwarden::snapshot::Process;

use super::Answer;
use crate::doctor::explain::{Message, Scene, Topic};

/// Most servers that are named.
const NAMED: usize = 5;

/// Explains a message about the file.
pub(crate) fn lock_file(message: &Message, scene: &Scene<'_>) -> Answer {
    match message.topic {
        Topic::LockFileEmpty => unfinished(
            "postmaster.pid is empty: another server makes it at this moment, or one was stopped \
             short between making it and writing it (kill -9, a full disk, a crashed machine).",
            "start the server again after some seconds: one that was just starting is then named \
             by its pid",
            scene,
        ),
        Topic::LockFileDamaged => unfinished(
            "The first line of postmaster.pid is no pid: it was damaged, or something else has \
             written it. A server may still work in the data directory; openGauss asks for that \
             one to be ended first.",
            "look into the file and into the data directory's owner's processes: ps -fu OWNER",
            scene,
        ),
        Topic::LockFileLocked => locked(scene),
        Topic::LockFileStays => stays(),
        Topic::LockFileLost => lost(scene),
        _ => exists(message, scene),
    }
}

/// The file says nothing, so who works there has to be looked for.
fn unfinished(means: &str, first: &str, scene: &Scene<'_>) -> Answer {
    let mut answer = Answer::of(means);
    answer.here = servers(scene);
    answer.run(first);
    answer.run(
        "only where no server and no process of one works in that directory (shmwarden list shows \
         who has memory attached): delete postmaster.pid, and nothing else, and start it",
    );
    answer
}

/// openGauss locks `postmaster.pid.lock` as long as it lives (`miscinit.cpp CreatePidLockFile`).
fn locked(scene: &Scene<'_>) -> Answer {
    let mut answer = Answer::of(
        "Another openGauss holds the lock beside postmaster.pid: it runs in this data directory, \
         or is just starting or ending there. The lock ends with its process.",
    );
    answer.here = servers(scene);
    answer.run("fuser -v DIR/postmaster.pid.lock names the process; do not delete the file");
    answer.run("gs_ctl status -D DIR; stop that server first if that is meant");
    answer
}

fn stays() -> Answer {
    let mut answer = Answer::of(
        "The server that postmaster.pid names is dead, and its memory is in nobody's use: the \
         server has looked. It only may not delete the file.",
    );
    answer.run("let the data directory belong to the server's user, on a disk that is writable");
    answer.run("then start it again; or delete that one file by hand, as the message says");
    answer
}

fn lost(scene: &Scene<'_>) -> Answer {
    let mut answer = Answer::of(
        "Somebody deleted or replaced postmaster.pid while the server ran: a script that cleans \
         up, a restored backup, or a second start. The server ends itself then, so that no two \
         work in one data directory.",
    );
    answer.here = servers(scene);
    answer.run("find out who did it, before the next start");
    answer.run("start the server again when all its processes have ended: shmwarden list");
    answer
}

/// "lock file already exists".
fn exists(message: &Message, scene: &Scene<'_>) -> Answer {
    let mut answer = Answer::of(
        "postmaster.pid names a process that lives, so the server takes the data directory for one \
         in use. Either it is: then there is nothing to do. Or the number was given to another \
         process after a crash.",
    );
    let Some(pid) = message.pid else {
        answer.run("the first line of postmaster.pid is the process: ps -fp PID");
        return answer;
    };
    match scene.look.process(pid) {
        Seen::Denied => {
            answer.here.push(format!("process {pid} is there, and cannot be seen from here"));
            answer.run(format!("as root: ps -fp {pid}"));
        }
        Seen::Gone => {
            answer.here.push(format!("there is no process {pid} here now"));
            answer.run("start the server again: a stale postmaster.pid is no obstacle to it");
        }
        Seen::Here(process) if process.ended => {
            answer.here.push(format!(
                "process {pid} is dead, but process {} has not taken notice of that (a zombie)",
                process.parent
            ));
            answer.run(format!(
                "ps -fp {} shows its parent, which has to wait for it; when it has, start the \
                 server again",
                process.parent
            ));
        }
        Seen::Here(process) => {
            let command = (scene.safe)(&process.comm.lossy());
            if is_server(process) {
                answer.here.push(format!("process {pid} is a server: {command}"));
                answer.run("it runs already: pg_ctl status -D DIR; stop it first if that is meant");
            } else {
                answer.here.push(format!("process {pid} is no server: {command}"));
                answer.run(
                    "make sure that no server works on that directory (shmwarden list), then \
                     delete postmaster.pid and start it",
                );
            }
        }
    }
    answer
}

/// The servers that live here, their workers left out.
fn servers(scene: &Scene<'_>) -> Vec<String> {
    let living = || scene.look.processes.seen().filter(|one| !one.ended && is_server(one));
    let is_worker = |one: &Process| living().any(|other| other.process.pid == one.parent);
    let all: Vec<&Process> = living().filter(|one| !is_worker(one)).collect();
    if all.is_empty() {
        return vec!["no process of a database server can be seen here now".to_owned()];
    }
    let mut lines: Vec<String> = Vec::new();
    for one in all.iter().take(NAMED) {
        let command = (scene.safe)(&one.comm.lossy());
        lines.push(format!("process {} is a database server's: {command}", one.process.pid));
    }
    if all.len() > NAMED {
        lines.push(format!("and {} more", all.len() - NAMED));
    }
    lines
}

fn is_server(process: &Process) -> bool {
    let known = |path| shmwarden::engine::recognise(path).is_known();
    match &process.executable {
        Seen::Here(path) => known(path),
        // What may not be looked into still has a name.
        _ => known(std::path::Path::new(&process.comm.lossy())),
    }
}

//! Answers where an object or a process is in the way, or gone. Pure.

use nix::errno::Errno;
use shmwarden::judge::status::{Judged, Kind, Status};

use super::numbers::{state_of_dev_shm, what_to_do};
use super::{Answer, meaning};
use crate::doctor::explain::here::hex;
use crate::doctor::explain::{Call, Message, Scene, Topic};

/// The object that a message is about.
fn object<'s>(call: Call, message: &Message, scene: &'s Scene<'_>) -> Option<&'s Judged<'s>> {
    match call.kind() {
        Kind::Posix => message.name.as_deref().and_then(|name| scene.file(name)),
        kind => scene.object(kind, message),
    }
}

/// Describes the object of a message, if it is here, and says what can be done with it.
pub(crate) fn describe(call: Call, message: &Message, scene: &Scene<'_>, answer: &mut Answer) {
    match object(call, message, scene) {
        Some(one) => {
            answer.here.extend(scene.describe(one));
            answer.run(what_to_do(one));
        }
        None => {
            answer.here.extend(scene.another(call.kind(), message));
            if let Some(key) = message.key {
                answer.here.push(format!("nothing has the key {} here now", hex(key)));
            } else if let Some(name) = message.name.as_deref() {
                answer.here.push(format!("there is no /dev/shm/{} here now", (scene.safe)(name)));
            }
        }
    }
}

/// Something that is there, or a rule, keeps a call from what it wants.
pub(crate) fn in_the_way(call: Call, errno: Errno, message: &Message, scene: &Scene<'_>) -> Answer {
    let mut answer = meaning(call, errno);
    describe(call, message, scene, &mut answer);
    if call.kind() == Kind::Posix {
        state_of_dev_shm(scene, &mut answer);
    }
    let sem = scene.limits.sem.filter(|_| errno == Errno::E2BIG && call == Call::Semop);
    answer.here.extend(sem.map(|sem| format!("semopm is {}", sem.semopm)));
    if answer.run.is_empty() {
        answer.run("shmwarden list shows every object with its owner and permissions");
    }
    answer
}

/// Explains that something is there no more, while a server used it.
pub(crate) fn vanished(message: &Message, scene: &Scene<'_>) -> Answer {
    let mut answer = Answer::of(
        "Somebody removed shared memory, semaphores or a queue from under a running program. \
         Usually that is systemd: logind's RemoveIPC= when its user logged out, or RemoveIPC= of \
         another unit of the same user. Else ipcrm, or a script that cleans up.",
    );
    let call = match message.topic {
        Topic::Failed(call) => call,
        _ => Call::Shmat,
    };
    if let Some(one) = object(call, message, scene) {
        answer.here.extend(scene.describe(one));
        answer.here.push(
            "nothing was removed here, if that is the one: the message may be of another machine, \
             container or boot"
                .to_owned(),
        );
        answer.run("compare its owner and its age with the server's: shmwarden list -v");
        return answer;
    }
    let what = match (&message.name, message.id) {
        (Some(name), _) => Some(format!("/dev/shm/{}", (scene.safe)(name))),
        (None, id) => id.map(|id| format!("the object with the id {id}")),
    };
    answer.here.extend(what.map(|what| format!("{what} is not here now")));
    answer.here.extend(scene.another(call.kind(), message));
    answer.run("shmwarden doctor says whether RemoveIPC= is a danger here, and how to end it");
    answer.run(
        "a server that lost it cannot get it back: restart that server, if it is of this machine \
         and this boot",
    );
    answer
}

/// "pre-existing shared memory block is still in use".
pub(crate) fn still_in_use(message: &Message, scene: &Scene<'_>) -> Answer {
    let mut answer = Answer::of(
        "A process has that server's memory attached: the server itself, or one that outlived it. \
         PostgreSQL does not start beside it, and must not: two servers on one data directory \
         destroy the data. Do not remove the block or postmaster.pid.",
    );
    match scene.object(Kind::Shm, message) {
        Some(one) => {
            answer.here.extend(scene.describe(one));
            let holders = (scene.holding)(one).holders;
            let pids: Vec<i32> = holders.iter().map(|held| held.holder.process.pid).collect();
            let id = one.subject.id().unwrap_or(0);
            let fits = |directory: &String| pids.iter().all(|pid| scene.works_in(*pid, directory));
            let in_it = message.directory.as_ref().is_some_and(fits);
            let is_that_servers = message.key.is_some() && in_it;
            if pids.is_empty() && matches!(one.verdict, Status::Stale | Status::Orphan) {
                answer.here.push("nobody holds it any more".to_owned());
                answer.run("start the server again: it removes the block itself");
            } else if scene.server_may_live(one) {
                answer.here.push(
                    "its server lives: either it is the one that is to be started, or the message \
                     is of another machine or container"
                        .to_owned(),
                );
                answer.run("leave it alone; pg_ctl status -D DIR says whether it runs already");
            } else if pids.is_empty() || !is_that_servers {
                answer.run(format!(
                    "sudo shmwarden who {id} names who holds it; end only what works in that data \
                     directory, after its server has died"
                ));
            } else {
                let pids: Vec<String> = pids.iter().map(ToString::to_string).collect();
                answer.run(format!(
                    "let its query end, or end it: kill {}; kill -9 only if it stays for minutes",
                    pids.join(" ")
                ));
                answer.run("then start the server again");
            }
        }
        None if scene.another(Kind::Shm, message).is_some() => {
            answer.here.extend(scene.another(Kind::Shm, message));
            answer.run("run this where the message was written");
        }
        None if message.id.is_none() && message.key.is_none() => {
            answer.run("give the line before it too: it names the block by key and ID");
            answer.run("shmwarden list shows every segment, who holds it, and the verdict on it");
        }
        None => {
            let id = message.id.map_or_else(String::new, |id| format!(" {id}"));
            answer
                .here
                .push(format!("there is no segment{id} here now: whoever held it has ended"));
            answer.run("start the server again");
        }
    }
    answer
}

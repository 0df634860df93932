//! Answers where an object or a process is in the way, or gone. Pure.

use shmwarden::judge::status::{Kind, Status};

use super::Answer;
use crate::doctor::explain::here::hex;
use crate::doctor::explain::{Call, Message, Scene, Topic};

/// EACCES, EPERM.
pub(crate) fn not_mine(call: Call, message: &Message, scene: &Scene<'_>) -> Answer {
    let mut answer = Answer::of(
        "The key or name is taken by an object of another user, and its permissions keep this one \
         out. Servers take the next key then, so a leaked segment of a former user goes unnoticed. \
         (shmget with huge pages says so too, to a group that vm.hugetlb_shm_group does not name.)",
    );
    let one = match call {
        Call::Semget | Call::Semop => scene.object(Kind::Sem, message),
        Call::Msgget => scene.object(Kind::Msg, message),
        Call::ShmOpen => message.name.as_deref().and_then(|name| scene.file(name)),
        Call::Shmget | Call::Shmat | Call::HugeMmap | Call::Mmap => {
            scene.object(Kind::Shm, message)
        }
    };
    match one {
        Some(one) => {
            answer.here.extend(scene.describe(one));
            answer.run(match one.verdict {
                Status::Stale => "shmwarden sweep, as its owner or root: it is stale",
                Status::Orphan => {
                    "shmwarden adopt --dry-run, as its owner or root: it is an orphan"
                }
                _ => "give one of the two servers another port or data directory: it is in use",
            });
        }
        None => {
            if let Some(key) = message.key {
                answer.here.push(format!("nothing has the key {} here now", hex(key)));
            }
            answer.run("shmwarden list shows every object with its owner and permissions");
        }
    }
    answer
}

/// Explains that something is there no more, while a server used it.
pub(crate) fn vanished(message: &Message, scene: &Scene<'_>) -> Answer {
    let mut answer = Answer::of(
        "Somebody removed shared memory or semaphores from under a running server. Usually that is \
         systemd: logind's RemoveIPC= when the server's user logged out, or RemoveIPC= of another \
         unit of the same user. Else ipcrm, or a script that cleans up.",
    );
    let found = match (&message.name, message.topic) {
        (Some(name), _) => scene.file(name),
        (None, Topic::Failed(Call::Semop)) => scene.object(Kind::Sem, message),
        (None, _) => scene.object(Kind::Shm, message),
    };
    match found {
        Some(one) => {
            answer.here.extend(scene.describe(one));
            answer.here.push(
                "nothing was removed here, if that is the one: the message may be of another \
                 machine, container or boot"
                    .to_owned(),
            );
            answer.run("compare its owner and its age with the server's: shmwarden list -v");
            return answer;
        }
        None => {
            let what = match (&message.name, message.id) {
                (Some(name), _) => format!("/dev/shm/{}", (scene.safe)(name)),
                (None, Some(id)) => format!("the object with the id {id}"),
                (None, None) => "the object".to_owned(),
            };
            answer.here.push(format!("{what} is not here now"));
            let kind = match message.topic {
                Topic::Failed(Call::Semop) => Kind::Sem,
                _ => Kind::Shm,
            };
            answer.here.extend(scene.another(kind, message));
        }
    }
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

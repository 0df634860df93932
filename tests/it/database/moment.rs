//! The moments at which everything is killed: named system calls of launcher and server, and fixed
//! delays after the spawn. Each can be repeated by itself.

use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::matrix::Kind;
use super::query::{self, Poised};
use super::stage::Stage;
use super::strace::{Hold, Point};
use crate::support::cluster::Backend;
use crate::support::processes::{self, Process};
use crate::support::user::User;

/// A moment.
pub struct Moment {
    pub name: String,
    reach: Reach,
    /// How many objects there may be that the server has made and not listed yet.
    pub unlisted: std::ops::RangeInclusive<usize>,
}

/// How to come to it, from a server that does not run.
enum Reach {
    /// This long after the spawn.
    Delay(Duration),
    /// Launcher or server is held on the way.
    Starting(Hold),
    /// A query is in flight.
    InFlight,
    /// A backend is held, that has just begun a parallel query.
    Querying(Hold),
    /// A backend is held, whose parallel query was cancelled.
    Cancelling(Hold),
    /// The postmaster is held, because a backend of its was killed.
    BeginningAnew(Hold),
    /// The launcher is held, because the postmaster was killed.
    CleaningUp(Hold),
}

/// What a moment needs to be kept for, until everything was killed.
#[derive(Default)]
pub struct Reached {
    _query: Option<Backend>,
    _strace: Option<Process>,
}

const DELAYS_MS: [u64; 10] = [0, 2, 5, 10, 20, 35, 60, 100, 160, 250];

impl Moment {
    /// Every one for a kind of server.
    pub fn all(kind: Kind) -> Vec<Self> {
        let delays = DELAYS_MS.into_iter().map(|ms| Moment {
            name: format!("{ms} ms after the spawn"),
            reach: Reach::Delay(Duration::from_millis(ms)),
            unlisted: 0..=1,
        });
        let mut all: Vec<Moment> = delays.collect();
        all.extend(starting(kind));
        all.extend(in_service(kind));
        all.extend(cleaning_up());
        all
    }

    /// The same, where the launcher may have seen what was made, which then goes, or not.
    fn or_one(self) -> Self {
        Moment { unlisted: 0..=1, ..self }
    }

    /// Starts the server and comes to the moment.
    pub fn reach(&self, stage: &mut Stage) -> Reached {
        let file = stage.directory().join(format!("{}.strace", self.name.replace(' ', "-")));
        match &self.reach {
            Reach::Delay(delay) => {
                let prefix = stage.prefix();
                stage.cluster.spawn_under(&prefix);
                sleep(*delay);
                Reached::default()
            }
            Reach::Starting(hold) => {
                let words = [stage.prefix(), stage.cluster.command_line()].concat();
                let strace = hold.command(User::Server.command("strace"), &file, &words);
                stage.cluster.spawn(strace);
                hold.wait(&file);
                Reached::default()
            }
            Reach::InFlight => {
                stage.start();
                Reached { _query: Some(query::in_flight(&stage.cluster)), _strace: None }
            }
            Reach::Querying(hold) => {
                stage.start();
                let poised = Poised::new(&stage.cluster);
                let strace = hold.attach(poised.pid(), &file);
                // A look in between would record what its maker has not listed yet.
                processes::kill(stage.cluster.server().pid(), Signal::SIGSTOP);
                let query = poised.let_go();
                held(hold, strace, query, &file)
            }
            Reach::Cancelling(hold) => {
                stage.start();
                let query = query::in_flight(&stage.cluster);
                let strace = hold.attach(query.pid(), &file);
                processes::kill(query.pid(), Signal::SIGINT);
                held(hold, strace, query, &file)
            }
            Reach::BeginningAnew(hold) => {
                stage.start();
                let query = query::in_flight(&stage.cluster);
                let strace = hold.attach(stage.cluster.postmaster_pid(), &file);
                processes::kill(query.pid(), Signal::SIGKILL);
                held(hold, strace, query, &file)
            }
            Reach::CleaningUp(hold) => {
                stage.start();
                let query = query::in_flight(&stage.cluster);
                let strace = hold.attach(stage.cluster.server().pid(), &file);
                processes::kill(stage.cluster.postmaster_pid(), Signal::SIGKILL);
                held(hold, strace, query, &file)
            }
        }
    }
}

fn held(hold: &Hold, strace: Process, query: Backend, file: &Path) -> Reached {
    hold.wait(file);
    Reached { _query: Some(query), _strace: Some(strace) }
}

fn moment(name: &str, reach: Reach, unlisted: usize) -> Moment {
    let name = name.to_owned();
    let unlisted = unlisted..=unlisted;
    Moment { name, reach, unlisted }
}

/// From the spawn to the first process that the postmaster starts.
fn starting(kind: Kind) -> Vec<Moment> {
    use Point::{After, Before};
    let at = |name, hold, unlisted| moment(name, Reach::Starting(hold), unlisted);
    let executed = Hold {
        says: "bin/postgres\", [",
        // The launcher's own execution is held too.
        held: Duration::from_millis(400),
        ..Hold::first("execve", After)
    };
    // Nothing but its pid says whose a segment is that has no header yet, or is in no list.
    let control = match kind.dynamic {
        "sysv" => at(
            "the control segment is made",
            Hold { when: Some(2), ..Hold::first("shmget", After) },
            0,
        )
        .or_one(),
        _ => at("the control segment is made", Hold::first("fallocate", After), 1),
    };
    vec![
        at("the child is forked", Hold::first("clone", After), 0),
        at("the claim is not synced", Hold::first("fsync", Before), 0),
        at("the claim is synced", Hold::first("fsync", After), 0),
        at("the server is executed", executed, 0),
        at("the main segment is asked for", Hold::first("shmget", Before), 0),
        at("the main segment is made", Hold::first("shmget", After), 0).or_one(),
        at("the main segment is attached", Hold::first("shmat", After), 0).or_one(),
        control,
    ]
}

/// While the server answers.
fn in_service(kind: Kind) -> Vec<Moment> {
    use Point::{After, Before};
    let sysv = kind.dynamic == "sysv";
    let made = Hold::dynamic_memory_made(kind);
    let destroy = |point| Hold {
        when: None,
        says: if sysv { "IPC_RMID" } else { "/dev/shm/" },
        ..Hold::first(if sysv { "shmctl" } else { "?unlink,?unlinkat" }, point)
    };
    let anew = |point| Reach::BeginningAnew(Hold::first("shmget", point));
    vec![
        moment("a query is in flight", Reach::InFlight, 0),
        moment("dynamic memory is made and not listed", Reach::Querying(made), 1),
        moment("dynamic memory is to go", Reach::Cancelling(destroy(Before)), 0),
        moment("dynamic memory is gone and still listed", Reach::Cancelling(destroy(After)), 0),
        moment("the old main segment is gone", anew(Before), 0),
        moment("the new main segment is made", anew(After), 0).or_one(),
    ]
}

/// While the launcher removes what a killed server left.
fn cleaning_up() -> Vec<Moment> {
    let at = |name, point, says| {
        let hold = Hold {
            when: None,
            says,
            held: Duration::from_millis(250),
            ..Hold::first("pwrite64", point)
        };
        moment(name, Reach::CleaningUp(hold), 0)
    };
    vec![
        at("a removal is intended", Point::After, r#"\"intent\""#),
        at("a removal is done and not noted", Point::Before, r#"\"outcome\""#),
    ]
}

//! Watching a server that lives: what appears, what goes, what its own lists name. Reads kernel
//! tables only; nothing here waits for a disk or disturbs the server.

mod header;
mod last;
pub(crate) mod sets;
mod users;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use shmwarden::Result;
use shmwarden::attribute;
use shmwarden::engine::EngineName;
use shmwarden::ledger::Ledger;
use shmwarden::ledger::book::Run;
use shmwarden::ledger::record::{Claim, How, ObjectSeen, Record, Role};
use shmwarden::object::{Identity, ProcessRef};
use shmwarden::observe::{self, identity_of, processes, shm_files};
use shmwarden::sys::shm::Row;

use super::ancestry::Family;
use super::claim::{self, Server};
use super::generic_files::GenericFiles;

/// How often the fork count is looked at when nothing else happens.
const ALIVE_EVERY: Duration = Duration::from_secs(60);

/// The watch over one run.
#[derive(Debug)]
pub(crate) struct Watch {
    run: u64,
    /// Whether the kind of server is found out from what runs.
    auto: bool,
    /// Id, key and creator's pid of every segment at the last look.
    known: BTreeSet<(i32, i32, i32)>,
    family: Family,
    used: BTreeSet<i32>,
    /// When the last look began, in clock ticks since boot.
    looked_at: u64,
    forks: Option<u64>,
    alive_at: Instant,
    header_tries: u32,
    files: GenericFiles,
    mount: Option<String>,
    calls: sets::Calls,
    asked: users::Asked,
}

impl Watch {
    /// Begins with what is there before the server runs.
    pub(crate) fn start(run: u64, auto: bool, rows: &[Row], family: Family) -> Self {
        Self {
            run,
            auto,
            known: rows.iter().map(number).collect(),
            family,
            used: BTreeSet::new(),
            looked_at: observe::boot_ticks(),
            forks: observe::forks(),
            alive_at: Instant::now(),
            header_tries: 0,
            files: GenericFiles::start(),
            mount: observe::place::shm_mount(),
            calls: sets::Calls::start(),
            asked: users::Asked::default(),
        }
    }

    /// One look; `dense` while the server may still be starting.
    ///
    /// # Errors
    /// What the kernel says; a record that may not follow is a mistake of this program.
    pub(crate) fn look(&mut self, ledger: &mut Ledger, dense: bool) -> Result<()> {
        let now = observe::boot_ticks();
        let rows = observe::segments()?;
        let fresh: Vec<&Row> =
            rows.iter().filter(|row| !self.known.contains(&number(row))).collect();
        let appeared = !fresh.is_empty();
        if let Some(run) = ledger.book.runs.get(&self.run) {
            self.family.refresh(run);
        }
        Self::follow(self.run, ledger, &rows)?;
        if appeared || dense {
            self.refresh_claims(ledger)?;
        }
        for row in fresh {
            self.appeared(ledger, row, &rows)?;
        }
        if appeared {
            self.header_tries = 0;
        }
        self.read_header(ledger, &rows)?;
        self.note_used(ledger, &rows)?;
        self.look_at_calls(ledger, &rows, false)?;
        if self.is(ledger, EngineName::Generic) && !self.is(ledger, EngineName::Postgres) {
            if let (Some(run), Some(mount)) = (ledger.book.runs.get(&self.run), &self.mount) {
                let run = run.clone();
                for seen in self.files.look(&ledger.book, &run, mount, &self.family)? {
                    ledger.note(Record::Object(seen), None)?;
                }
            }
        }
        self.note_alive(ledger)?;
        self.known = rows.iter().map(number).collect();
        self.looked_at = now;
        Ok(())
    }

    /// The run that is watched.
    pub(crate) fn run<'a>(&self, ledger: &'a Ledger) -> Option<&'a Run> {
        ledger.book.runs.get(&self.run)
    }

    /// Who descends from the server.
    pub(crate) fn family(&self) -> &Family {
        &self.family
    }

    /// Recorded objects of a run that went, or whose change time an `IPC_SET` moved.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) fn follow(run: u64, ledger: &mut Ledger, rows: &[Row]) -> Result<()> {
        let mut records = Vec::new();
        for object in ledger.book.open_objects().filter(|object| object.run == run) {
            let gone = match &object.identity {
                Identity::Shm(segment) => match observe::row_of(rows, segment.id) {
                    None => true,
                    Some(row) => {
                        let now = identity_of(row);
                        let moved = now.ctime != segment.ctime
                            && now
                                == shmwarden::object::Segment {
                                    ctime: now.ctime,
                                    ..segment.clone()
                                };
                        if moved {
                            let mut seen = attribute::seen_again(object);
                            seen.identity = Identity::Shm(now);
                            records.push(Record::Object(seen));
                        }
                        false
                    }
                },
                Identity::Posix(file) => {
                    !shm_files::one(&file.name.0, &file.mount)?.is_some_and(|now| now.is(file))
                }
                Identity::Sem(_) | Identity::Msg(_) => false,
            };
            if gone {
                records.push(Record::Gone { object: object.number });
            }
        }
        records.into_iter().try_for_each(|record| ledger.note(record, None))
    }

    /// A segment that was not there at the last look.
    fn appeared(&mut self, ledger: &mut Ledger, row: &Row, rows: &[Row]) -> Result<()> {
        let Some(run) = ledger.book.runs.get(&self.run).cloned() else {
            return Ok(());
        };
        let identity = Identity::Shm(identity_of(row));
        if attribute::is_recorded(&ledger.book, &identity) {
            return Ok(());
        }
        let forks = observe::forks();
        // Asked after the table was read: the pid was the claimed process's own then.
        let own = |c: &Claim| attribute::bears_claim(c, row) && is_there(c.process);
        if run.claims.iter().any(own) {
            let role = Role::Other;
            return self.note(ledger, How::Claim, role, identity, None, forks);
        }
        let may_be_ours =
            run.claims.iter().any(|claim| attribute::uid_fits(claim, row.creator_uid));
        if !may_be_ours || row.creator_pid == 0 {
            return Ok(());
        }
        let Some(creator) = self.known_descendant(row.creator_pid, &run, forks) else {
            return Ok(());
        };
        self.claim_server_of(ledger, creator, &run, rows)?;
        self.note(ledger, How::Watch, Role::Other, identity, Some(creator), forks)
    }

    /// The process that a creator's pid means, if it is a descendant and its number cannot have
    /// been another process's when the segment appeared.
    fn known_descendant(&mut self, pid: i32, run: &Run, forks: Option<u64>) -> Option<ProcessRef> {
        let creator = processes::by_pid(pid)?;
        let since_last_look = creator.start > self.looked_at;
        let pid_max = observe::pid_max();
        let unused = attribute::pid_cannot_be_reused(self.forks, forks, [pid_max, pid_max]);
        self.forks = forks.or(self.forks);
        let proven = !since_last_look || unused;
        (proven && self.family.descends(pid, run)).then_some(creator)
    }

    /// Where a script or `pg_ctl` has started the real server as its child, claims that too.
    fn claim_server_of(
        &mut self,
        ledger: &mut Ledger,
        creator: ProcessRef,
        run: &Run,
        rows: &[Row],
    ) -> Result<()> {
        if !self.auto {
            return Ok(());
        }
        let Some(top) = self.family.server_above(creator.pid, run) else {
            return Ok(());
        };
        // Where the server is claimed, what has lost it as its parent is a backend, no server.
        let known = |c: &Claim| c.process.pid == top || c.engine != EngineName::Generic;
        // Dead and unreaped, its backends are the launcher's children already; beside a server, it
        // may be reaped as well.
        let beside = self.family.is_beside();
        let lives = |c: &Claim| c.ended.is_none() && (beside || is_there(c.process));
        if run.claims.iter().any(|claim| known(claim) && lives(claim)) {
            return Ok(());
        }
        let server = Server { engine: EngineName::Generic, auto: true, data: None, program: None };
        // What bore its pid at an earlier look may be older than the process itself.
        let older: Vec<Row> =
            rows.iter().filter(|row| self.known.contains(&number(row))).cloned().collect();
        let first = claim::of(self.run, top, &server, &older).map(|mut claim| {
            if let Some(command) = run.claims.first() {
                claim.sets_before.clone_from(&command.sets_before);
                claim.queues_before.clone_from(&command.queues_before);
            }
            claim
        });
        match first.and_then(|first| claim::again(&first, true)) {
            Some(claim) => ledger.note(Record::Claim(claim), observe::forks()),
            None => Ok(()),
        }
    }

    /// Looks again at what runs, under which user ids (entrypoint scripts, gosu, setpriv).
    fn refresh_claims(&mut self, ledger: &mut Ledger) -> Result<()> {
        let claims: Vec<Claim> =
            ledger.book.runs.get(&self.run).map_or_else(Vec::new, |run| run.claims.clone());
        for claim in claims {
            if claim.ended.is_some() {
                continue;
            }
            if let Some(claim) = claim::again(&claim, self.auto) {
                ledger.note(Record::Claim(claim), observe::forks())?;
            }
        }
        Ok(())
    }

    /// Segments of others that the server attaches: noted for `list`, never removed for it.
    fn note_used(&mut self, ledger: &mut Ledger, rows: &[Row]) -> Result<()> {
        let Some(run) = ledger.book.runs.get(&self.run) else {
            return Ok(());
        };
        let alive = run.claims.iter().filter(|claim| claim.ended.is_none());
        let claimed: Vec<i32> = alive.map(|claim| claim.process.pid).collect();
        let mut records = Vec::new();
        for row in rows.iter().filter(|row| row.nattch > 0 && claimed.contains(&row.last_pid)) {
            let identity = Identity::Shm(identity_of(row));
            if !self.used.contains(&row.id) && !attribute::is_recorded(&ledger.book, &identity) {
                self.used.insert(row.id);
                records.push(Record::Used { run: self.run, identity });
            }
        }
        records.into_iter().try_for_each(|record| ledger.note(record, None))
    }

    /// Keeps the proof fresh that the pids of claimed processes have not come round.
    fn note_alive(&mut self, ledger: &mut Ledger) -> Result<()> {
        if self.alive_at.elapsed() < ALIVE_EVERY {
            return Ok(());
        }
        self.alive_at = Instant::now();
        let forks = observe::forks();
        self.forks = forks.or(self.forks);
        let many = observe::pid_max().unwrap_or(u64::MAX) / 8;
        let Some(run) = ledger.book.runs.get(&self.run) else { return Ok(()) };
        let is_due = |claim: &&Claim| {
            let passed = forks.zip(claim.forks).map(|(now, then)| now.saturating_sub(then));
            claim.ended.is_none() && passed.is_some_and(|passed| passed > many)
        };
        let due: Vec<ProcessRef> = run.claims.iter().filter(is_due).map(|c| c.process).collect();
        let run = self.run;
        due.into_iter()
            .filter(|&process| is_there(process))
            .try_for_each(|process| ledger.note(Record::Alive { run, process }, forks))
    }

    /// Whether a process of this kind is claimed.
    fn is(&self, ledger: &Ledger, engine: EngineName) -> bool {
        let run = ledger.book.runs.get(&self.run);
        run.is_some_and(|run| run.claims.iter().any(|claim| claim.engine == engine))
    }

    fn note(
        &self,
        ledger: &mut Ledger,
        how: How,
        role: Role,
        identity: Identity,
        creator: Option<ProcessRef>,
        forks: Option<u64>,
    ) -> Result<()> {
        let object = ledger.book.next_object();
        let seen = ObjectSeen { object, run: self.run, how, role, identity, creator };
        ledger.note(Record::Object(seen), forks)
    }
}

/// What a segment is told by between two looks; not its change time, which an `IPC_SET` moves.
fn number(row: &Row) -> (i32, i32, i32) {
    (row.id, row.key, row.creator_pid)
}

/// Whether a process is there, alive or unreaped: its pid is its own.
fn is_there(process: ProcessRef) -> bool {
    processes::by_pid(process.pid) == Some(process)
}

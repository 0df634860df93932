//! Recording a server that lives, for `run` and `record`: what appears, what goes, what its own
//! lists name. Reads kernel tables only; nothing here waits for a disk or disturbs the server.

pub(crate) mod ancestry;
pub(crate) mod claim;
mod fresh;
mod generic_files;
mod header;
mod last;
pub(crate) mod renamed;
mod robbed;
mod segments;
pub(crate) mod sets;
mod users;

use std::collections::BTreeSet;

use ancestry::Family;
use claim::Server;
use fresh::{Appeared, Maker, Undecided};
use generic_files::GenericFiles;
use shmwarden::Result;
use shmwarden::attribute;
use shmwarden::engine::Engine;
use shmwarden::ledger::Ledger;
use shmwarden::ledger::book::{Recorded, Run};
use shmwarden::ledger::record::{Claim, How, ObjectSeen, Record, Role};
use shmwarden::object::{Identity, ProcessRef};
use shmwarden::snapshot::{self, identity_of, processes, shm_files};
use shmwarden::sys::shm::Row;

/// Id, key and creator's pid: what a segment is told by between two looks. Not its change time,
/// which an `IPC_SET` moves.
type Number = (i32, i32, i32);

/// The watch over one run.
#[derive(Debug)]
pub(crate) struct Watch {
    run: u64,
    /// Set where the kind of server is found out from the program that runs.
    auto: bool,
    /// Every segment of the last look.
    known: BTreeSet<Number>,
    undecided: Undecided,
    family: Family,
    used: BTreeSet<i32>,
    moved: segments::Moved,
    /// The start of the last look, in clock ticks since boot.
    looked_at: u64,
    header_tries: u32,
    looked_for_header: renamed::Looked,
    files: GenericFiles,
    mount: Option<String>,
    calls: sets::Calls,
    asked: users::Asked,
    robbery: robbed::Robbery,
    /// Set where a claim could not be looked at again.
    claims_are_due: bool,
}

impl Watch {
    /// Begins with what is there before the server runs.
    pub(crate) fn start(run: u64, auto: bool, rows: &[Row], family: Family) -> Self {
        let mount = snapshot::place::shm_mount();
        Self {
            run,
            auto,
            known: rows.iter().map(number).collect(),
            undecided: Undecided::default(),
            family,
            used: BTreeSet::new(),
            moved: segments::Moved::start(rows),
            looked_at: snapshot::boot_ticks(),
            header_tries: 0,
            looked_for_header: renamed::Looked::default(),
            files: GenericFiles::start(mount.as_deref()),
            mount,
            calls: sets::Calls::start(),
            asked: users::Asked::default(),
            robbery: robbed::Robbery::start(),
            claims_are_due: false,
        }
    }

    /// One look; `dense` while the server may still be starting.
    ///
    /// # Errors
    /// What the kernel says; a record that may not follow is a mistake of this program.
    pub(crate) fn look(&mut self, ledger: &mut Ledger, dense: bool) -> Result<()> {
        // Before what is gone is noted as gone.
        self.look_for_robbery(ledger);
        let now = snapshot::boot_ticks();
        let rows = snapshot::segments()?;
        let appeared = rows.iter().any(|row| !self.known.contains(&number(row)));
        if let Some(run) = ledger.book.runs.get(&self.run) {
            self.family.refresh(run);
        }
        Self::follow(self.run, ledger, &rows)?;
        if appeared || dense || self.claims_are_due {
            self.refresh_claims(ledger)?;
        }
        self.take_fresh(ledger, &rows)?;
        if appeared {
            self.header_tries = 0;
        }
        self.recognise(ledger, &rows)?;
        self.read_header(ledger, &rows)?;
        self.learn_listed(ledger, &rows, appeared);
        self.note_used(ledger, &rows)?;
        self.look_at_calls(ledger, &rows, false)?;
        if self.has(ledger, |engine| !engine.is_known())
            && !self.has(ledger, |engine| engine.lists_its_memory)
        {
            if let (Some(run), Some(mount)) = (ledger.book.runs.get(&self.run), &self.mount) {
                let run = run.clone();
                for seen in self.files.look(&ledger.book, &run, mount, &self.family)? {
                    ledger.note(Record::Object(seen))?;
                }
            }
        }
        self.known = rows.iter().map(number).collect();
        self.looked_at = now;
        Ok(())
    }

    /// The run that is watched.
    pub(crate) fn run<'a>(&self, ledger: &'a Ledger) -> Option<&'a Run> {
        ledger.book.runs.get(&self.run)
    }

    /// Returns the descendants of the launcher and of the server.
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
                Identity::Shm(segment) => match snapshot::row_of(rows, segment.id) {
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
        records.into_iter().try_for_each(|record| ledger.note(record))
    }

    /// Judges what was not there at the last look, and what no earlier look could tell of.
    fn take_fresh(&mut self, ledger: &mut Ledger, rows: &[Row]) -> Result<()> {
        let appeared = Appeared { before: self.looked_at, seen: snapshot::boot_ticks() };
        let known = &self.known;
        let is_new = |row: &Row| !known.contains(&number(row));
        for (row, appeared) in self.undecided.with(rows, is_new, appeared) {
            if self.is_decided(ledger, row, rows, appeared)? {
                self.undecided.decided(row);
            }
        }
        Ok(())
    }

    /// Records a segment that appeared where it is the server's; whether no later look will say
    /// more of it.
    fn is_decided(
        &mut self,
        ledger: &mut Ledger,
        row: &Row,
        rows: &[Row],
        appeared: Appeared,
    ) -> Result<bool> {
        let Some(run) = ledger.book.runs.get(&self.run).cloned() else {
            return Ok(true);
        };
        let identity = Identity::Shm(identity_of(row));
        if attribute::is_recorded(&ledger.book, &identity) {
            return Ok(true);
        }
        // Asked after the table was read: the pid was the claimed process's own then.
        let own = |c: &Claim| attribute::bears_claim(c, row) && is_there(c.process);
        if run.claims.iter().any(own) {
            self.note(ledger, How::Claim, Role::Other, identity, None)?;
            return Ok(true);
        }
        if row.creator_pid == 0 {
            return Ok(true);
        }
        // The server may yet become that user.
        if !run.claims.iter().any(|claim| attribute::uid_fits(claim, row.perm.creator_uid)) {
            return Ok(false);
        }
        match self.maker(row, &run, appeared) {
            Maker::Ours(creator) => {
                self.claim_server_of(ledger, creator, &run, rows)?;
                self.note(ledger, How::Watch, Role::Other, identity, Some(creator))?;
                Ok(true)
            }
            Maker::Unproven => Ok(false),
            Maker::Never => Ok(true),
        }
    }

    /// Claims the real server too, where a script or `pg_ctl` has started it as its child.
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
        let known = |c: &Claim| c.process.pid == top || c.engine.is_known();
        // Dead and unreaped, its backends are the launcher's children already; beside a server, it
        // may be reaped as well.
        let beside = self.family.is_beside();
        let lives = |c: &Claim| c.ended.is_none() && (beside || is_there(c.process));
        if run.claims.iter().any(|claim| known(claim) && lives(claim)) {
            return Ok(());
        }
        // What bore its pid at an earlier look may be older than the process itself.
        let older: Vec<Row> =
            rows.iter().filter(|row| self.known.contains(&number(row))).cloned().collect();
        match self.claim_below(run, top, &older) {
            Ok(Some(claim)) => ledger.note(Record::Claim(claim)),
            Ok(None) => Ok(()),
            Err(why) => {
                log::warn!("the server process {top} is not claimed: {why}; its objects are");
                Ok(())
            }
        }
    }

    /// Makes the claim of a server that COMMAND has started; `older` bore its pid before it.
    fn claim_below(
        &self,
        run: &Run,
        pid: i32,
        older: &[Row],
    ) -> std::result::Result<Option<Claim>, String> {
        let server = Server { engine: Engine::GENERIC, auto: true, data: None, program: None };
        let mut first = claim::of(self.run, pid, &server, older)?;
        if let Some(command) = run.claims.first() {
            first.sets_before.clone_from(&command.sets_before);
            first.queues_before.clone_from(&command.queues_before);
        }
        claim::again(&first, true)
    }

    /// Looks again at what runs, under which user ids (entrypoint scripts, gosu, setpriv).
    fn refresh_claims(&mut self, ledger: &mut Ledger) -> Result<()> {
        let claims: Vec<Claim> =
            ledger.book.runs.get(&self.run).map_or_else(Vec::new, |run| run.claims.clone());
        let mut again = false;
        for claim in claims {
            if claim.ended.is_some() {
                continue;
            }
            match claim::again(&claim, self.auto) {
                Ok(Some(claim)) => ledger.note(Record::Claim(claim))?,
                Ok(None) => {}
                // Once more at the next look, however quiet it is by then.
                Err(_) => again = true,
            }
        }
        self.claims_are_due = again;
        Ok(())
    }

    /// Notes segments of others that the server attaches, on and off too: never removed for it.
    fn note_used(&mut self, ledger: &mut Ledger, rows: &[Row]) -> Result<()> {
        let Some(run) = ledger.book.runs.get(&self.run) else {
            return Ok(());
        };
        let run = run.clone();
        let moved = self.moved.since(rows);
        let alive = run.claims.iter().filter(|claim| claim.ended.is_none());
        let claimed: Vec<i32> = alive.map(|claim| claim.process.pid).collect();
        // An engine tests another's segment for life by attaching it, which is no use of it.
        let engine = run.claims.iter().any(|claim| claim.engine.has_interlock);
        let attached = rows.iter().filter(|row| row.nattch > 0 && claimed.contains(&row.last_pid));
        let moved = moved.into_iter().filter(|_| !engine);
        for row in attached.chain(moved) {
            let identity = Identity::Shm(identity_of(row));
            let own = |object: &&Recorded| object.run == self.run && object.identity == identity;
            if let Some(object) = ledger.book.open_objects().find(own) {
                self.asked.attached(object.number, row.last_pid);
            } else if attribute::is_recorded(&ledger.book, &identity) {
                continue;
            } else if !self.used.contains(&row.id)
                && (claimed.contains(&row.last_pid) || self.family.descends(row.last_pid, &run))
            {
                self.used.insert(row.id);
                ledger.note(Record::Used { run: self.run, identity })?;
            }
        }
        Ok(())
    }

    /// Checks that a process of such a kind is claimed.
    fn has(&self, ledger: &Ledger, is_such: impl Fn(Engine) -> bool) -> bool {
        let run = ledger.book.runs.get(&self.run);
        run.is_some_and(|run| run.claims.iter().any(|claim| is_such(claim.engine)))
    }

    fn note(
        &self,
        ledger: &mut Ledger,
        how: How,
        role: Role,
        identity: Identity,
        creator: Option<ProcessRef>,
    ) -> Result<()> {
        let object = ledger.book.next_object();
        let (run, header) = (self.run, None);
        let seen = ObjectSeen { object, run, how, role, identity, creator, header };
        ledger.note(Record::Object(seen))
    }
}

fn number(row: &Row) -> Number {
    (row.id, row.perm.key, row.creator_pid)
}

/// Checks that a process exists, alive or unreaped: its pid is not reused.
fn is_there(process: ProcessRef) -> bool {
    processes::by_pid(process.pid) == Some(process)
}

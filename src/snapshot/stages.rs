//! The stages of a look: each takes one and gives back a later one that has read more, so that what
//! was judged by an earlier one stands as it was.
//!
//! First tables and life; then maps and descriptors of those it concerns alone; what is written in
//! an object after the death, under the lock. Nobody else writes into a look.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{DataDirectory, Process, Scope, Seen, Snapshot, Tables, callers, data_dir, opened};
use super::{processes, waits};
use crate::engine;
use crate::error::Result;
use crate::object::{Bytes, Identity, ProcessRef, ShmFile};

impl Snapshot {
    /// Adds the processes that have come since: what one of them made or holds is not left over.
    ///
    /// # Errors
    /// [`crate::Error::Unsupported`] where there is no `/proc`.
    pub fn with_newcomers(self, scope: Scope) -> Result<Self> {
        let mut look = self.into_tables();
        processes::add_new(&mut look, scope)?;
        Ok(Self::of(look))
    }

    /// Reads what those processes map of which that was not looked at.
    #[must_use]
    pub fn with_maps(self, scope: Scope) -> Self {
        let mut look = self.into_tables();
        processes::add_maps(&mut look.processes, scope, &mut look.keys);
        Self::of(look)
    }

    /// Asks whose each process is, where a brief look left that out.
    #[must_use]
    pub fn with_owners(self) -> Self {
        let mut look = self.into_tables();
        processes::add_owners(&mut look.processes);
        Self::of(look)
    }

    /// Reads the command lines and users of these processes, where that was left out.
    #[must_use]
    pub fn with_commands(self, pids: &BTreeSet<i32>) -> Self {
        let mut look = self.into_tables();
        look.add_commands(pids);
        Self::of(look)
    }

    /// Asks the kernel for processes that `/proc` may not show (`hidepid`).
    #[must_use]
    pub(crate) fn with_claimed(self, claimed: &[ProcessRef]) -> Self {
        let hidden = |known: &&ProcessRef| {
            self.process(known.pid).here().is_none() && processes::lives(**known)
        };
        let found: Vec<i32> = claimed.iter().filter(hidden).map(|known| known.pid).collect();
        self.beside(|look| look.hidden.extend(found))
    }

    /// Reads which directory each process of these programs works in, where that was not read:
    /// their names tell nobody that they are servers.
    #[must_use]
    pub fn with_directories_of(self, programs: &[&Path]) -> Self {
        let is_due = |process: &Process| {
            let runs = |path: &PathBuf| programs.contains(&path.as_path());
            let its = matches!(&process.executable, Seen::Here(path) if runs(path));
            its && !process.ended && process.cwd == Seen::Gone
        };
        if !self.processes.seen().any(is_due) {
            return self;
        }
        let mut look = self.into_tables();
        let rows = look.processes.rows_mut().iter_mut();
        rows.filter(|row| is_due(row)).for_each(Process::add_directory);
        Self::of(look)
    }

    /// Reads what those processes execute, and where they work, that are called like a known server
    /// or like this program, where a brief look left that out.
    #[must_use]
    pub fn with_servers(self) -> Self {
        let programs = engine::ENGINES.iter().flat_map(|engine| engine.programs);
        // The kernel keeps 15 bytes of a name.
        let names: Vec<&[u8]> = programs
            .map(|name| name.as_bytes().get(..15).unwrap_or(name.as_bytes()))
            .chain([&b"shmwarden"[..]])
            .collect();
        let is_due = |process: &Process| {
            let is_brief = process.executable == Seen::Gone && process.control_group.is_none();
            is_brief && !process.ended && names.contains(&process.comm.0.as_slice())
        };
        if !self.processes.seen().any(is_due) {
            return self;
        }
        let mut look = self.into_tables();
        let rows = look.processes.rows_mut().iter_mut();
        rows.filter(|row| is_due(row)).for_each(Process::add_program);
        Self::of(look)
    }

    /// Looks for who has these files open, and which of them are locked; what was found of others
    /// before stays.
    #[must_use]
    pub fn with_opened(self, files: &[ShmFile]) -> Self {
        if files.is_empty() {
            return self;
        }
        let found = opened::look(&self.processes, files);
        self.beside(|look| {
            found.trouble.clone().into_iter().for_each(|why| look.tell(why));
            look.opened.add(found);
        })
    }

    /// Reads what one process maps.
    #[must_use]
    pub(crate) fn with_maps_of(self, wanted: ProcessRef) -> Self {
        let Some(read) = processes::one(wanted.pid).filter(|read| read.process == wanted) else {
            return self;
        };
        let mut look = self.into_tables();
        let rows = look.processes.rows_mut().iter_mut();
        rows.filter(|row| row.process == wanted).for_each(|row| *row = read.clone());
        Self::of(look)
    }

    /// Looks for who is blocked on a set or queue, unless that was done.
    #[must_use]
    pub fn with_waits(self) -> Self {
        self.beside(|look| {
            if look.waits.is_none() {
                look.waits = Some(waits::waits(&look.processes));
            }
        })
    }

    /// Reads the rights of each process, unless that was done.
    #[must_use]
    pub fn with_callers(self) -> Self {
        self.beside(|look| {
            if !look.callers.is_whole() {
                look.callers = callers::look(&look.processes);
            }
        })
    }

    /// Reads the data directories that a ledger of this owner names, as that owner, in place of
    /// those that were read for another ledger.
    #[must_use]
    pub(crate) fn with_directories(self, owner: (u32, u32), paths: &[Bytes]) -> Self {
        self.beside(|look| look.data_dirs = data_dir::look_as(owner, paths))
    }

    /// Adds a data directory that was read before.
    #[must_use]
    pub fn with_directory(self, directory: Option<DataDirectory>) -> Self {
        self.beside(|look| look.data_dirs.extend(directory))
    }

    /// Forgets the lists that were read for another ledger.
    #[must_use]
    pub fn without_lists(self) -> Self {
        self.beside(|look| look.controls.clear())
    }

    /// Checks whether a list was read.
    #[must_use]
    pub fn has_list(&self, list: &Identity) -> bool {
        self.controls.iter().any(|(known, _)| known.has_number_of(list))
    }
}

impl Tables {
    pub(super) fn add_commands(&mut self, pids: &BTreeSet<i32>) {
        let wanted = |process: &&mut super::Process| pids.contains(&process.process.pid);
        self.processes.rows_mut().iter_mut().filter(wanted).for_each(processes::add_command);
    }
}

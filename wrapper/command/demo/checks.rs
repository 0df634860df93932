//! What the acts look at: the tables as they are, and whether they are as they should be.

use serde_json::Value;
use shmwarden::judge;
use shmwarden::snapshot::{self, place, shm_files};
use shmwarden::sys::sem;
use shmwarden::sys::shm::Row;

use super::belongings::Belongings;
use super::processes;
use super::story::Story;
use super::table::Table;
use super::trouble::{Outcome, failed};

impl Story<'_> {
    /// Takes note of what the server has by now, after which its session may end with it.
    pub(super) fn look_again(&mut self, server: i32) -> Outcome<()> {
        let now = Belongings::of(server, &self.scene.account)?;
        if let Some(own) = self.belongings.last_mut() {
            *own = now;
        }
        Ok(())
    }

    /// Waits until no process of the dead server is left: each came to the demo as an orphan.
    pub(super) fn wait_for_orphans(&mut self) -> Outcome<()> {
        let what = "the server's processes to end";
        let processes = &mut self.scene.processes;
        processes.wait_until(what, |_| Ok(processes::children().is_empty().then_some(())))
    }

    /// What must hold after every clean-up.
    pub(super) fn check_clean(&mut self, who: &str) {
        let own = self.belongings.last();
        let alone = self.is_alone;
        let is_bystander = |row: &Row| self.bystanders.has(row.id);
        let is_bystanders_set = |row: &sem::Row| self.bystanders.has_set(row.id);
        let segments = own.is_some_and(|own| own.segments_left().is_empty())
            && (!alone || snapshot::segments().is_ok_and(|rows| rows.iter().all(is_bystander)));
        let sets = own.is_some_and(|own| own.sets_left().is_empty())
            && (!alone || sem::table().is_ok_and(|sets| sets.iter().all(is_bystanders_set)));
        let files = own.is_some_and(|own| own.files_left().is_empty())
            && (!alone || is_empty(shm_files::DIRECTORY));
        let (stand, all) = (self.bystanders.all_stand(), self.bystanders.count());
        let mut check = |what: &str, holds| self.teller.check(&format!("{who} {what}"), holds);
        check("has left no segment of the server", segments);
        if sets_stay() {
            let kept = own.is_some_and(|own| own.sets_left().len() == own.sets.len());
            check("has kept its sets: Linux before 6.18 may mistake IPC namespaces", kept);
        } else {
            check("has left no semaphore set of the server", sets);
        }
        check("has left no file of the server in /dev/shm", files);
        check(&format!("has left all {all} bystanders as they were"), stand);
    }

    /// Whether the ledger's last run names each object of the server as removed.
    pub(super) fn history_agrees(&mut self) -> Outcome<bool> {
        let (_, told) = self.scene.warden(&["history", "--json"])?;
        let told: Value = serde_json::from_str(&told).map_err(failed("cannot read history"))?;
        let runs = told.get("runs").and_then(Value::as_array);
        let objects = runs
            .and_then(|runs| runs.last()?.get("objects")?.as_array().cloned())
            .unwrap_or_default();
        let removed = |kind: &str, field: &str, wanted: &Value| {
            objects.iter().any(|object| {
                object.get("kind") == Some(&Value::from(kind))
                    && object.get(field) == Some(wanted)
                    && object.get("outcome") == Some(&Value::from("removed"))
            })
        };
        Ok(self.belongings.last().is_some_and(|own| {
            let segments = own.segments.iter().map(|segment| Value::from(segment.id));
            let sets = own.sets.iter().map(|set| Value::from(set.id));
            let files = own.files.iter().map(|file| Value::from(file.name.lossy()));
            segments.into_iter().all(|id| removed("shm", "id", &id))
                && (sets_stay() || sets.into_iter().all(|id| removed("sem", "id", &id)))
                && files.into_iter().all(|name| removed("posix", "name", &name))
        }))
    }

    pub(super) fn show_table(&mut self) -> Outcome<()> {
        let mut table = Table::new();
        let rows = snapshot::segments().map_err(failed("cannot read the table of segments"))?;
        for row in &rows {
            let of_server = |own: &Belongings| own.has(row);
            if self.bystanders.has(row.id) {
                table.segment(row, "bystander");
            } else if self.belongings.iter().any(of_server) {
                table.segment(row, "server");
            } else if self.is_alone {
                table.segment(row, "unknown");
            }
        }
        let sets = sem::table().map_err(failed("cannot read the table of semaphore sets"))?;
        for row in &sets {
            if self.bystanders.has_set(row.id) {
                table.set(row, "bystander");
            } else if self.belongings.iter().any(|own| own.has_set(row)) {
                table.set(row, "server");
            } else if self.is_alone {
                table.set(row, "unknown");
            }
        }
        for file in self.belongings.iter().flat_map(Belongings::files_left) {
            table.file(file, "server");
        }
        self.teller.show(&table.lines());
        Ok(())
    }
}

/// Checks whether sets stay whatever happens: without `NS_GET_ID` (Linux 6.18) the demo's own IPC
/// namespace cannot be told from an earlier one.
fn sets_stay() -> bool {
    place::here().is_ok_and(|here| !judge::is_named_for_good(&here.ipc_namespace))
}

fn is_empty(directory: &str) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

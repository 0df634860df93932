//! What the acts look at: the tables as they are, and whether they are as they should be.

use serde_json::Value;
use shmwarden::observe::{self, shm_files};
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
        let segments = own.is_some_and(|own| own.segments_left().is_empty())
            && (!alone || observe::segments().is_ok_and(|rows| rows.iter().all(is_bystander)));
        let files = own.is_some_and(|own| own.files_left().is_empty())
            && (!alone || is_empty(shm_files::DIRECTORY));
        let (stand, all) = (self.bystanders.all_stand(), self.bystanders.count());
        let mut check = |what: &str, holds| self.teller.check(&format!("{who} {what}"), holds);
        check("has left no segment of the server", segments);
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
        let removed = |field: &str, wanted: &Value| {
            objects.iter().any(|object| {
                object.get(field) == Some(wanted)
                    && object.get("outcome") == Some(&Value::from("removed"))
            })
        };
        Ok(self.belongings.last().is_some_and(|own| {
            let segments = own.segments.iter().map(|segment| Value::from(segment.id));
            let files = own.files.iter().map(|file| Value::from(file.name.lossy()));
            segments.into_iter().all(|id| removed("id", &id))
                && files.into_iter().all(|name| removed("name", &name))
        }))
    }

    pub(super) fn show_table(&mut self) -> Outcome<()> {
        let mut table = Table::new();
        let rows = observe::segments().map_err(failed("cannot read the table of segments"))?;
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
        for file in self.belongings.iter().flat_map(Belongings::files_left) {
            table.file(file, "server");
        }
        self.teller.show(&table.lines());
        Ok(())
    }
}

fn is_empty(directory: &str) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

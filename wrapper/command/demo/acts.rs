//! The acts of the story: what is done in each step, what is shown, what is claimed.

use nix::libc::SIGKILL;
use serde_json::Value;
use shmwarden::sys::process::Ended;
use shmwarden::sys::signals;

use super::belongings::Belongings;
use super::bystanders::FIRST_KEY;
use super::postgres::{self, ROWS};
use super::query::Session;
use super::scene::Launched;
use super::server::Server;
use super::story::Story;
use super::trouble::{Outcome, failed};
use crate::render::text;

/// A server while it lives.
struct Alive {
    launched: Launched,
    session: Option<Session>,
}

impl Story<'_> {
    pub(super) fn play(&mut self) -> Outcome<()> {
        self.put_bystanders()?;
        let (alive, rows) = self.first_start()?;
        self.crash(alive)?;
        let alive = self.second_start(rows.as_deref())?;
        self.crash_with_launcher(alive)?;
        self.sweep()
    }

    fn put_bystanders(&mut self) -> Outcome<()> {
        self.teller.step("Bystanders: objects of the server's user that are not the server's");
        self.bystanders.put(FIRST_KEY)?;
        self.bystanders.put(FIRST_KEY + 2)?;
        self.bystanders.put_set(FIRST_KEY)?;
        self.show_table()
    }

    fn first_start(&mut self) -> Outcome<(Alive, Option<String>)> {
        self.server.prepare(&mut self.scene)?;
        let mut alive = self.start("starts")?;
        let rows = self.server.write(&mut alive.session)?;
        if let Some(rows) = &rows {
            let all = rows.starts_with(&format!("{ROWS} "));
            self.teller.check(&format!("it holds {ROWS} new rows"), all);
        }
        let next = self.belongings.last().and_then(|own| own.segments.first());
        let next = next.map_or(FIRST_KEY, |segment| segment.key.0.wrapping_add(1));
        self.bystanders.put(FIRST_KEY + 4)?;
        self.bystanders.put(next)?;
        self.teller.show(&[
            "two more bystanders appear after the start, one of them at the key after the server's",
        ]);
        self.show_table()?;
        Ok((alive, rows))
    }

    /// Starts the server under `run`, up to its first answer.
    fn start(&mut self, verb: &str) -> Outcome<Alive> {
        let command = self.server.command_shown();
        self.teller
            .step(&format!("The server {verb}: shmwarden run --ledger demo.ledger -- {command}"));
        let words = self.server.command(&self.scene);
        let launched = self.scene.launch(&words)?;
        let session = self.server.wait_until_ready(&mut self.scene, &launched)?;
        let own = Belongings::of(launched.server, &self.scene.account)?;
        self.scene.wait_until_recorded(&own.sets)?;
        self.teller.show(&[format!(
            "launcher process {}, server process {}",
            launched.launcher, launched.server
        )]);
        let rows = own.segments_left();
        let attached = !rows.is_empty() && rows.iter().all(|row| row.nattch > 0);
        let bytes: u64 = rows.iter().map(|row| row.bytes).sum();
        let (size, segments) = (text::size(bytes), count(rows.len(), "System V segment"));
        let sets = and_sets(&own);
        self.belongings.push(own);
        let claim = format!("it {verb} with {size} in {segments}, attached{sets}");
        self.teller.check(&claim, attached);
        if matches!(self.server, Server::StandIn { .. }) {
            self.check_stand_in(&launched)?;
        }
        Ok(Alive { launched, session })
    }

    fn crash(&mut self, alive: Alive) -> Outcome<()> {
        let Launched { server, .. } = alive.launched;
        self.teller
            .step(&format!("kill -9 {server}: the server dies, and its own clean-up never runs"));
        self.look_again(server)?;
        kill(server)?;
        let by_signal = self.scene.launcher_was_killed(&alive.launched)?;
        let told = self.scene.removals_told(&alive.launched);
        self.teller.quote(&told);
        self.show_table()?;
        self.teller.check("run has ended by SIGKILL too, as its server did", by_signal);
        self.check_clean("run");
        let recorded = self.history_agrees()?;
        self.teller.check("history tells the removal of each object", recorded);
        Ok(())
    }

    fn second_start(&mut self, rows: Option<&str>) -> Outcome<Alive> {
        let mut alive = self.start("starts again")?;
        if let (Some(rows), Some(session)) = (rows, alive.session.as_mut()) {
            let same = postgres::read_rows(session)? == rows;
            self.teller.check(&format!("all {ROWS} rows are there, unchanged"), same);
        }
        Ok(alive)
    }

    fn crash_with_launcher(&mut self, alive: Alive) -> Outcome<()> {
        let Launched { launcher, server, .. } = alive.launched;
        self.teller.step(&format!(
            "kill -9 {launcher} {server}: launcher and server die together, so nobody cleans up"
        ));
        self.look_again(server)?;
        kill(launcher)?;
        kill(server)?;
        self.scene.launcher_was_killed(&alive.launched)?;
        self.wait_for_orphans()?;
        self.show_table()?;
        let Some(own) = self.belongings.last() else { return Ok(()) };
        let left = text::size(own.bytes()) + &and_sets(own);
        let claim = format!("{left} are leaked, with nobody attached");
        self.teller.check(&claim, own.is_whole());
        Ok(())
    }

    fn sweep(&mut self) -> Outcome<()> {
        self.teller.step("shmwarden sweep demo.ledger");
        let (ended, told) = self.scene.warden(&["sweep"])?;
        let told: Vec<String> = told.lines().map(text::safe).collect();
        self.teller.quote(&told);
        self.show_table()?;
        self.teller.check("sweep has ended with status 0", ended == Ended::Exited(0));
        self.check_clean("sweep");
        let (_, again) = self.scene.warden(&["sweep", "--json"])?;
        let nothing = serde_json::from_str::<Value>(&again)
            .is_ok_and(|document| document.get("removed") == Some(&Value::from(0)));
        self.teller.check("a second sweep finds nothing more to remove", nothing);
        Ok(())
    }
}

/// SIGKILL to a process that the demo started and nobody has reaped.
fn kill(pid: i32) -> Outcome<()> {
    signals::send(pid, SIGKILL).map_err(failed(&format!("cannot kill process {pid}")))
}

/// For after what there is of memory; most servers have no sets.
fn and_sets(own: &Belongings) -> String {
    match own.sets.len() {
        0 => String::new(),
        number => format!(" and {}", count(number, "semaphore set")),
    }
}

fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

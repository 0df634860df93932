//! The story from its first line to its last: what is done in each step, what is shown, what is
//! claimed; and the clearing away after it, however it ended.

use std::path::Path;

use nix::errno::Errno;
use nix::libc::SIGKILL;
use nix::unistd::geteuid;
use serde_json::Value;
use shmwarden::object::Identity;
use shmwarden::snapshot::{self, identity_of, shm_files};
use shmwarden::sys::own_segment::OwnSegment;
use shmwarden::sys::process::Ended;
use shmwarden::sys::signals;

use super::belongings::Belongings;
use super::ground::Ground;
use super::server::Server;
use super::stage::{Launched, Outcome, Stage, failed};
use super::teller::Teller;
use crate::cli::Common;
use crate::exit;
use crate::interrupts::Interrupts;
use crate::render::text;

/// The first key of a server on port 16000 (port * 1000 + 1), as openGauss and PostgreSQL up to 12
/// take it.
const FIRST_KEY: i32 = 16_000_001;
/// Keys that are tried one after the other where somebody has the first.
const KEYS: i32 = 100;
const FOREIGN_BYTES: usize = 1 << 20;
/// Names of ledgers and data directories.
const SERVER: &str = "server";
const NEIGHBOUR: &str = "neighbour";

/// A story while it is told.
struct Story<'a> {
    stage: Stage<'a>,
    teller: &'a mut Teller,
    /// Segments of the server's user that no server made and nobody has attached: to a tool that
    /// goes by user, key or attachments they look like leaks.
    foreign: Vec<OwnSegment>,
    /// Another server of that user, and what it has.
    neighbour: Option<(Launched, Belongings)>,
    /// What the server has, since its last start.
    own: Belongings,
    /// What it had before that.
    earlier: Belongings,
}

/// Tells it, clears away, and returns the exit status.
pub(super) fn tell(
    scratch: &Path,
    ground: &Ground,
    interrupts: &Interrupts,
    stand_in: bool,
    common: &Common,
) -> u8 {
    let mut teller = Teller::new(common);
    let mut name = String::new();
    let told = Stage::set(scratch, interrupts).and_then(|mut stage| {
        let server = Server::choose(&mut stage, stand_in);
        name = server.name();
        let (what, user) = (server.introduction(), text::user(geteuid().as_raw()));
        teller.say(&format!("shmwarden demo: {what} as user {user},\n{}.", ground.described()));
        let (own, earlier) = <(Belongings, Belongings)>::default();
        let (teller, foreign, neighbour) = (&mut teller, Vec::new(), None);
        let mut story = Story { stage, teller, foreign, neighbour, own, earlier };
        let played = story.play(&server);
        story.clear_away(ground, played.is_ok()).and(played)
    });
    if interrupts.signal().is_some() {
        // The outer process says so.
        return exit::FAILED;
    }
    let error = told.err();
    if let Some(why) = &error {
        log::error!("the demo cannot go on: {why}");
    }
    if teller.conclude(&name, ground.word(), error.as_deref()) { 0 } else { exit::FAILED }
}

impl Story<'_> {
    fn play(&mut self, server: &Server) -> Outcome<()> {
        self.put_bystanders()?;
        let data = self.stage.path(SERVER);
        server.prepare(&mut self.stage, &data)?;
        let first = self.start(server, "starts")?;
        let key = match self.own.0.first() {
            Some(Identity::Shm(segment)) if segment.key.0 != 0 => segment.key.0,
            _ => FIRST_KEY,
        };
        self.put_foreign(key.wrapping_add(1))?;
        self.teller.say("     and one more bystander appears, at the next key");
        self.show_memory();
        self.crash(&first)?;
        let second = self.start(server, "starts again, on the data that the crash left")?;
        self.crash_with_launcher(&second)?;
        self.sweep()
    }

    fn put_bystanders(&mut self) -> Outcome<()> {
        self.teller.step("Bystanders, of the server's user: unattached memory, and a neighbour");
        self.put_foreign(FIRST_KEY)?;
        let (neighbour, data) = (Server::StandIn { asked: true }, self.stage.path(NEIGHBOUR));
        neighbour.prepare(&mut self.stage, &data)?;
        let launched = self.stage.launch(NEIGHBOUR, &neighbour.command(&self.stage, &data))?;
        let own = Belongings::of(launched.server)?;
        self.neighbour = Some((launched, own));
        self.show_memory();
        Ok(())
    }

    /// Puts down a segment at this key, or at the first free one after it.
    fn put_foreign(&mut self, key: i32) -> Outcome<()> {
        let made = (key..key.saturating_add(KEYS))
            .map(|key| OwnSegment::create(key, FOREIGN_BYTES))
            .find(|made| !matches!(made, Err(Errno::EEXIST)));
        let made = made.unwrap_or(Err(Errno::EEXIST));
        self.foreign.push(made.map_err(failed("cannot create a shared memory segment"))?);
        Ok(())
    }

    /// Starts the server under `run`, up to its first answer.
    fn start(&mut self, server: &Server, verb: &str) -> Outcome<Launched> {
        let shown = server.command_shown();
        self.teller
            .step(&format!("The server {verb}: shmwarden run --ledger server.ledger -- {shown}"));
        let words = server.command(&self.stage, &self.stage.path(SERVER));
        let launched = self.stage.launch(SERVER, &words)?;
        let Launched { launcher, server, .. } = launched;
        self.teller.say(&format!("     launcher process {launcher}, server process {server}"));
        self.earlier.0.append(&mut self.own.0);
        self.own = Belongings::of(server)?;
        let (own, ledger) = (&self.own, self.stage.path("server.ledger"));
        self.stage
            .wait("the ledger to name it", true, |_| own.is_recorded(&ledger).then_some(()))?;
        self.teller.check(&format!("it has {}", self.own.described()), self.own.is_whole(true));
        Ok(launched)
    }

    fn crash(&mut self, server: &Launched) -> Outcome<()> {
        let (launcher, pid) = (server.launcher, server.server);
        self.teller.step(&format!("kill -9 {pid}: the server dies; its own clean-up never runs"));
        self.own = Belongings::of(pid)?;
        kill(pid)?;
        let ended = self.stage.wait("the end of run", true, |stage| stage.has_ended(launcher))?;
        let by_signal = matches!(ended, Ended::Signaled(SIGKILL, _));
        self.check_clean("run", &server.told());
        self.teller.check("run has ended by SIGKILL too, as its server did", by_signal);
        Ok(())
    }

    fn crash_with_launcher(&mut self, server: &Launched) -> Outcome<()> {
        let Launched { launcher, server: pid, .. } = *server;
        self.teller.step(&format!(
            "kill -9 {launcher} {pid}: launcher and server die together, so nobody cleans up"
        ));
        self.own = Belongings::of(pid)?;
        kill(launcher)?;
        kill(pid)?;
        let own = &self.own;
        self.stage.wait("the server's processes to end", true, |stage| {
            stage.has_ended(launcher).and(stage.has_ended(pid))?;
            own.is_whole(false).then_some(())
        })?;
        self.show_memory();
        self.teller.check(&format!("{} are leaked, attached by nobody", own.described()), true);
        Ok(())
    }

    fn sweep(&mut self) -> Outcome<()> {
        self.teller.step("shmwarden sweep server.ledger");
        let (ended, told) = self.stage.sweep(SERVER, &[])?;
        self.check_clean("sweep", &told);
        self.teller.check("sweep has ended with status 0", ended == Ended::Exited(0));
        let (_, again) = self.stage.sweep(SERVER, &["--json"])?;
        let again: Option<Value> = serde_json::from_str(&again).ok();
        let nothing = again.is_some_and(|document| document.get("removed") == Some(&0.into()));
        self.teller.check("a second sweep finds nothing more to remove", nothing);
        Ok(())
    }

    /// Shows what was said and what there is, and checks what must hold after every clean-up.
    fn check_clean(&mut self, who: &str, told: &str) {
        self.teller.quote(told);
        self.show_memory();
        let removed: Vec<&str> = told.lines().filter(|line| line.contains("removed")).collect();
        let named = |one: &Identity| removed.iter().any(|line| line.contains(&one.to_string()));
        let (gone, named) = (self.own.left().is_empty(), self.own.0.iter().all(named));
        let neighbour_stands = self.neighbour.as_ref().is_some_and(|(launched, own)| {
            self.stage.has_ended(launched.launcher).is_none() && own.is_whole(true)
        });
        let stand = neighbour_stands && self.foreign.iter().all(OwnSegment::stands);
        let all = self.foreign.len() + 1;
        let mut check = |what: &str, holds| self.teller.check(&format!("{who} {what}"), holds);
        check("has left nothing of the server", gone);
        check("has said so of each object", named);
        check(&format!("has left all {all} bystanders as they were"), stand);
    }

    /// Shows what there is of bystanders and server.
    fn show_memory(&self) {
        let foreign = self.foreign.iter().filter_map(OwnSegment::now);
        let foreign = foreign.map(|row| Identity::Shm(identity_of(&row)));
        let mut lines = Belongings(foreign.collect()).lines("foreign");
        lines.extend(self.neighbour.iter().flat_map(|(_, own)| own.lines(NEIGHBOUR)));
        lines.extend([&self.earlier, &self.own].iter().flat_map(|own| own.lines(SERVER)));
        lines.iter().for_each(|line| self.teller.say(&format!("     {}", line.trim_end())));
    }

    /// Ends what runs and takes back what is left: each server's own clean-up first, then by its
    /// ledger. Claims that nothing is left, unless the story failed or was interrupted.
    fn clear_away(&mut self, ground: &Ground, played: bool) -> Outcome<()> {
        self.stage.end_all();
        self.foreign.clear();
        for name in [SERVER, NEIGHBOUR] {
            self.stage.sweep(name, &["--include-clean", "--wait=2s"])?;
        }
        let mut left = [self.earlier.left(), self.own.left()].concat();
        left.extend(self.neighbour.iter().flat_map(|(_, own)| own.left()));
        // In namespaces of its own whatever is there is the demo's.
        let rows = snapshot::segments().map_err(failed("cannot look at shared memory"))?;
        let files = std::fs::read_dir(shm_files::DIRECTORY).map_err(failed("cannot look there"))?;
        let unknown = ground.refused.is_none() && rows.len() + files.count() > 0;
        if !left.is_empty() {
            log::error!("the demo has left {}", left.join(", "));
        }
        if played {
            self.teller.check("the demo has left nothing", left.is_empty() && !unknown);
        }
        Ok(())
    }
}

/// Sends SIGKILL to a process that nobody has reaped.
fn kill(pid: i32) -> Outcome<()> {
    signals::send(pid, SIGKILL).map_err(failed(&format!("cannot kill process {pid}")))
}

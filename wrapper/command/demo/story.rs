//! The story from its first line to its last: sets the scene, has it played, clears it away.

use std::path::PathBuf;

use super::belongings::Belongings;
use super::bystanders::Bystanders;
use super::ground::Ground;
use super::scene::Scene;
use super::server::Server;
use super::teller::Teller;
use super::trouble::{Interrupts, Outcome, Trouble};
use crate::exit::{self, Ending};
use crate::render;

/// The name of this part of the demo.
pub(super) const PART: &str = "story";

/// Where and how it is told.
#[derive(Debug)]
pub(super) struct Setting {
    pub(super) scratch: PathBuf,
    pub(super) ground: Ground,
    pub(super) stand_in: bool,
    pub(super) json: bool,
    pub(super) no_color: bool,
}

/// Tells it, and leaves nothing of it.
pub(super) fn tell(setting: &Setting, interrupts: Interrupts) -> Ending {
    let mut teller = Teller::new(setting.json, setting.no_color);
    let mut name = None;
    let told = play(setting, interrupts, &mut teller, &mut name);
    let (ending, error) = match told {
        Ok(()) if teller.all_hold() => (Ending::Status(0), None),
        Ok(()) => (Ending::Status(exit::FAILED), None),
        // The outer process says so.
        Err(Trouble::Interrupted(signal)) => return Ending::Signal(signal),
        Err(Trouble::Failed(why)) => {
            log::error!("the demo cannot go on: {why}");
            (Ending::Status(exit::FAILED), Some(why))
        }
    };
    if error.is_none() {
        teller.conclude();
    }
    if setting.json {
        let name = name.unwrap_or_default();
        let document = teller.document(&name, setting.ground.word(), error.as_deref());
        if let Err(error) = render::print_json(&document) {
            log::error!("cannot write the result: {error}");
            return Ending::Status(exit::FAILED);
        }
    }
    ending
}

/// Sets the scene, plays, clears it away however the play ended.
fn play(
    setting: &Setting,
    interrupts: Interrupts,
    teller: &mut Teller,
    name: &mut Option<String>,
) -> Outcome<()> {
    let mut scene = Scene::set(&setting.scratch, interrupts)?;
    let server = Server::choose(&mut scene, setting.stand_in)?;
    *name = Some(server.name());
    introduce(teller, &server, &scene, &setting.ground);
    let mut story = Story {
        bystanders: Bystanders::of(scene.account.clone()),
        scene,
        server,
        teller,
        is_alone: setting.ground.is_own(),
        belongings: Vec::new(),
    };
    let played = story.play();
    if !setting.ground.is_own() {
        story.clear_away(played.is_ok());
    }
    played
}

fn introduce(teller: &Teller, server: &Server, scene: &Scene, ground: &Ground) {
    let (server, user) = (server.introduction(), scene.account.name());
    let ground = match ground {
        Ground::Own => "in IPC, mount and PID namespaces of its own".to_owned(),
        Ground::OwnUser => "in user, IPC, mount and PID namespaces of its own".to_owned(),
        Ground::Machine(why) => format!(
            "in this machine's own tables, because {why};\n\
             keys are taken exclusively, and what is left at the end is removed by id"
        ),
    };
    teller.say(&format!("shmwarden demo: {server} as user {user},\n{ground}."));
}

/// A story while it is told.
pub(super) struct Story<'a> {
    pub(super) scene: Scene,
    pub(super) server: Server,
    pub(super) teller: &'a mut Teller,
    /// Whether nobody else's objects can be in the tables.
    pub(super) is_alone: bool,
    pub(super) bystanders: Bystanders,
    /// Of each server, in the order of their starts.
    pub(super) belongings: Vec<Belongings>,
}

impl Story<'_> {
    /// On the machine's own ground: ends what runs, removes what is left, by identity.
    fn clear_away(&mut self, was_played: bool) {
        self.scene.processes.outlast_interrupts();
        self.scene.processes.end_all();
        if !was_played {
            // What a server had begun in the middle of the story: its ledger knows.
            let _ = self.scene.warden(&["sweep", "--include-clean", "--wait=2s"]);
        }
        let clear = || self.belongings.iter().for_each(Belongings::clear);
        if let Err(Trouble::Failed(why)) = self.scene.account.act(clear) {
            log::error!("{why}");
        }
    }
}

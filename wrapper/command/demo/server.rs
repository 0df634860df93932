//! The server of the story: PostgreSQL if there is one, else the stand-in for an openGauss.

use std::ffi::OsString;

use super::postgres::{self, Postgres};
use super::query::Session;
use super::scene::{Launched, Scene};
use super::stand_in;
use super::trouble::Outcome;

/// The server of the story.
#[derive(Debug, Clone)]
pub(super) enum Server {
    Postgres(Postgres),
    /// Whether that is for want of a PostgreSQL.
    StandIn {
        for_want: bool,
    },
}

impl Server {
    /// The one for this machine.
    pub(super) fn choose(scene: &mut Scene, only_stand_in: bool) -> Outcome<Self> {
        if only_stand_in {
            return Ok(Self::StandIn { for_want: false });
        }
        let found = Postgres::find(scene)?;
        Ok(found.map_or(Self::StandIn { for_want: true }, Self::Postgres))
    }

    /// What the story calls it.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Postgres(postgres) => postgres.name(),
            Self::StandIn { .. } => "the built-in stand-in for an openGauss".to_owned(),
        }
    }

    /// How the story begins.
    pub(super) fn introduction(&self) -> String {
        match self {
            Self::StandIn { for_want: true } => format!(
                "no PostgreSQL {} to {} was found, so\n{}",
                postgres::MAJORS.start(),
                postgres::MAJORS.end(),
                self.name()
            ),
            _ => self.name(),
        }
    }

    /// The command as the story shows it.
    pub(super) fn command_shown(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres -D data ...",
            Self::StandIn { .. } => "gaussdb -D data ...",
        }
    }

    /// Does what is needed once before the first start.
    pub(super) fn prepare(&self, scene: &mut Scene) -> Outcome<()> {
        match self {
            Self::Postgres(postgres) => postgres.prepare(scene),
            Self::StandIn { .. } => stand_in::prepare(scene),
        }
    }

    /// The command to run.
    pub(super) fn command(&self, scene: &Scene) -> Vec<OsString> {
        match self {
            Self::Postgres(postgres) => postgres.command(scene),
            Self::StandIn { .. } => stand_in::command(scene),
        }
    }

    /// Waits until it works; a session with it if it is a database.
    pub(super) fn wait_until_ready(
        &self,
        scene: &mut Scene,
        launched: &Launched,
    ) -> Outcome<Option<Session>> {
        let home = scene.home.clone();
        match self {
            Self::Postgres(_) => {
                let session = scene.wait_until_ready(launched, || Postgres::session(&home))?;
                Ok(Some(session))
            }
            Self::StandIn { .. } => {
                let is_ready = || stand_in::is_ready(launched).then_some(());
                scene.wait_until_ready(launched, is_ready)?;
                Ok(None)
            }
        }
    }

    /// Writes rows, if it is a database; what they read as.
    pub(super) fn write(&self, session: &mut Option<Session>) -> Outcome<Option<String>> {
        let Some(session) = session else {
            return Ok(None);
        };
        postgres::write_rows(session)?;
        postgres::read_rows(session).map(Some)
    }
}

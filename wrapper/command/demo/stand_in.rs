//! The stand-in for an openGauss (`crate::stand_in`) as the server of the story: how it is started,
//! and what is true of it while it lives.
//!
//! What others have under its keys it leaves alone, whatever they look like: the story may have to
//! be told in the machine's own tables.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use shmwarden::engine::opengauss::{HEADER_BYTES, Header, SET_MAGIC, SET_MEMBERS, header};
use shmwarden::engine::postgres::pid_file;
use shmwarden::object::EngineName;
use shmwarden::sys::server::{Attached, last_operator, value};

use super::belongings::Belongings;
use super::bystanders::PORT;
use super::scene::{Launched, Scene};
use super::story::Story;
use super::trouble::{Outcome, failed};
use crate::exit::Ending;
use crate::stand_in::{self, Collisions, Options};

/// The name of this part of the demo.
pub(super) const PART: &str = "stand-in";
/// Where its data directory is, from the server's directory.
const DATA: &str = "data";
/// Its segment, buffer pool included: never touched, so it takes no memory.
const BYTES: usize = 64 << 20;
/// As for 48 sessions.
const SETS: usize = 3;
/// How many use them.
const THREADS: usize = 4;

/// Is the server, until a signal ends it.
pub(super) fn run(data: &OsStr) -> Ending {
    let options = Options {
        data: data.into(),
        port: PORT,
        bytes: BYTES,
        huge_pages: false,
        sets: SETS,
        threads: THREADS,
        fenced: false,
        starts: false,
    };
    let left_alone = Collisions { segment: |_| false, set: |_| false };
    Ending::Status(stand_in::run(&options, &left_alone))
}

/// Makes its data directory, and a copy of this program under the name of the real server, by which
/// `run` knows it.
pub(super) fn prepare(scene: &Scene) -> Outcome<()> {
    scene.account.make_directory(&scene.home.join(DATA))?;
    scene.copy_program("gaussdb").map(drop)
}

/// The command line of the server.
pub(super) fn command(scene: &Scene) -> Vec<OsString> {
    let mut words = vec![scene.program("gaussdb").into_os_string()];
    words.extend(["demo", "--part", PART, "--", "-D"].map(OsString::from));
    words.push(scene.home.join(DATA).into());
    words
}

/// Whether it serves.
pub(super) fn is_ready(launched: &Launched) -> bool {
    launched.said().lines().any(|line| line == stand_in::READY)
}

impl Story<'_> {
    /// What makes it an openGauss, as far as shared memory goes.
    pub(super) fn check_stand_in(&mut self, launched: &Launched) -> Outcome<()> {
        let Some(own) = self.belongings.last() else { return Ok(()) };
        let (pid, data) = (launched.server, self.scene.home.join(DATA));
        let engine = self.scene.engine_of(launched);
        // As the server's user: root may lack the right to ask (`CAP_IPC_OWNER`).
        let told = self.scene.account.act(|| {
            (
                names_server(own, pid, &data),
                sets_are_marked(own, pid),
                is_in_lock_file(own, pid, &data),
            )
        })?;
        let (header, sets, lock_file) = told;
        let mut check = |what: &str, holds| self.teller.check(what, holds);
        let segment_says = "the segment's header names this process and its data directory";
        check(segment_says, header.map_err(failed("cannot read the segment"))?);
        check("each set has 537 in member 16, put there by this process", sets);
        check("postmaster.pid names the process and the segment", lock_file);
        check("run takes it for an openGauss", engine == Some(EngineName::Opengauss));
        Ok(())
    }
}

fn names_server(own: &Belongings, pid: i32, data: &Path) -> std::io::Result<bool> {
    let [segment] = own.segments.as_slice() else { return Ok(false) };
    let bytes = Attached::attach(segment.id)?.read(HEADER_BYTES);
    let directory = std::fs::metadata(data)?;
    let wanted = Header { pid, bytes: BYTES as u64, dev: directory.dev(), ino: directory.ino() };
    Ok(header(&bytes) == Some(wanted))
}

fn sets_are_marked(own: &Belongings, pid: i32) -> bool {
    let mark = SET_MEMBERS - 1;
    own.sets.len() == SETS
        && own.sets.iter().all(|set| {
            set.nsems == u64::from(SET_MEMBERS.unsigned_abs())
                && value(set.id, mark) == Ok(SET_MAGIC)
                && last_operator(set.id, mark) == Ok(pid)
        })
}

fn is_in_lock_file(own: &Belongings, pid: i32, data: &Path) -> bool {
    let text = std::fs::read(data.join("postmaster.pid")).unwrap_or_default();
    let named = own.segments.first().map(|segment| (segment.key.0, segment.id));
    pid_file(&text).is_some_and(|file| file.pid == pid && named.is_some() && file.segment == named)
}

//! The kind of a server that lives: by its program's name, else by what it wrote. That is the
//! header of its one segment or, where its memory may not be read, `postmaster.pid` and the mark of
//! a set.

use std::path::Path;

use shmwarden::engine::{self, ENGINES, Engine};
use shmwarden::object::{FileRef, ProcessRef};
use shmwarden::proc::read;
use shmwarden::snapshot::{self, Seen};
use shmwarden::sys::sem;
use shmwarden::sys::shm::Row;

use super::{calls, target};
use crate::recording::renamed;

/// Returns the kind of a process that runs this program.
pub(super) fn of(process: ProcessRef, program: &Path) -> Engine {
    let by_name = engine::recognise(program);
    if by_name.is_known() {
        return by_name;
    }
    let rows = snapshot::segments().unwrap_or_default();
    let mut own = rows.iter().filter(|row| row.creator_pid == process.pid);
    let (Some(row), None) = (own.next(), own.next()) else { return Engine::GENERIC };
    let by_header = renamed::written_by(process, row);
    by_header.or_else(|| by_lock_file(process, row)).unwrap_or(Engine::GENERIC)
}

/// Its lock file has all seven lines, and names this process and its segment; it has threads, as a
/// PostgreSQL has not, and made the mark of a set.
fn by_lock_file(process: ProcessRef, row: &Row) -> Option<Engine> {
    let pid = process.pid;
    let cwd = read::cwd(pid).ok()?.here()?;
    let works_in = FileRef { dev: cwd.dev, ino: cwd.ino };
    let directory = target::directory(&cwd.path).ok()?;
    let Seen::Here(file) = &directory.pid_file else { return None };
    let names_it = file.pid == pid && file.segment == Some((row.perm.key, row.id));
    let stat = read::stat(pid).ok()?.here()?;
    let is_it = stat.threads > 1 && stat.start_ticks == process.start;
    if !names_it || !is_it || directory.file != Some(works_in) {
        return None;
    }
    let sets = sem::table().ok()?;
    let marks_its_own = |engine: &Engine| {
        let mark = engine.set_mark.filter(|_| engine.known_by_header);
        mark.is_some_and(|mark| sets.iter().any(|set| calls::bears(set, mark, pid)))
    };
    ENGINES.iter().copied().find(marks_its_own)
}

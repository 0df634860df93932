//! A stand-in for an openGauss: its shared memory, its semaphores, its `postmaster.pid`, its ends,
//! as read in openGauss-server (`src/common/backend/port/`, `src/gausskernel/process/postmaster/`).
//!
//! One process with threads. The demo runs it, and the tests' program `gaussdb` is the same code
//! (`tests/gaussdb/`). The real server also removes what it finds under its keys, whoever has that
//! attached: that part (`Collisions`) is no part of shmwarden, and so not in this folder.

mod ends;
mod fenced;
mod lock_file;
mod options;
mod segment;
pub(crate) mod sets;
mod threads;

use std::io::Write;

pub(crate) use options::Options;

/// What the server prints when it serves.
pub(crate) const READY: &str = "ready";
/// Status of a server that cannot start (`ereport(FATAL)` of the postmaster).
const FATAL: u8 = 1;

/// What is done with an object of somebody else's that has a key which the server wants: each says
/// whether the key is worth another try.
pub(crate) struct Collisions {
    /// With a segment.
    pub(crate) segment: fn(i32) -> bool,
    /// With a set.
    pub(crate) set: fn(i32) -> bool,
}

/// Is the server, until a signal ends it; its status.
pub(crate) fn run(options: &Options, collisions: &Collisions) -> u8 {
    // Before there is a thread: all of them have these blocked (pmdie and reaper run in the first).
    let signals = ends::block();
    match serve(options, collisions) {
        Ok(server) => ends::wait(&signals, server),
        Err(why) => {
            complain("FATAL", &why);
            FATAL
        }
    }
}

/// What a server has made, in the order of its making.
struct Server {
    lock_file: lock_file::LockFile,
    segment: segment::Main,
    sets: sets::Sets,
    fenced: Option<i32>,
    starts: bool,
}

/// `PostmasterMain`: lock file, then segment and sets (`reset_shared`), then threads.
fn serve(options: &Options, collisions: &Collisions) -> Result<Server, String> {
    let data = &options.data;
    std::env::set_current_dir(data).map_err(|e| format!("{}: {e}", data.display()))?;
    let lock_file = lock_file::LockFile::create(options)?;
    lock_file.add_line(6, "localhost")?;
    let segment = segment::Main::create(options, collisions.segment)?;
    lock_file.add_line(7, &format!("{:>9} {:>9}", segment.key, segment.id()))?;
    let sets = sets::Sets::create(options, collisions.set)?;
    // The real one forks it among its threads, which comes to the same.
    let fenced = if options.fenced { Some(fenced::start()?) } else { None };
    threads::start(&sets, options.threads)?;
    Ok(Server { lock_file, segment, sets, fenced, starts: options.starts })
}

/// A line of the server's log, where that can be written.
fn complain(level: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "{level}:  {why}");
}

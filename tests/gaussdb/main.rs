//! `gaussdb`: a stand-in for an openGauss, for the tests alone: its shared memory, its semaphores,
//! its `postmaster.pid`, its ends, as read in openGauss-server (`src/common/backend/port/`,
//! `src/gausskernel/process/postmaster/`). One process with threads.
//!
//! As the real server it removes what it finds under its keys (`reclaim`), whoever has that
//! attached. Never to be run outside of a namespace of its own.

mod calls;
mod command_line;
mod ends;
mod fenced;
mod lock_file;
mod options;
mod reclaim;
mod segment;
mod sets;
mod threads;

use std::io::Write;
use std::process::ExitCode;

use options::Options;

/// What the server prints when it serves.
const READY: &str = "ready";
/// Status of a server that cannot start (`ereport(FATAL)` of the postmaster).
const FATAL: u8 = 1;

fn main() -> ExitCode {
    // Before there is a thread: all of them have these blocked (pmdie and reaper run in the first).
    let signals = ends::block();
    let options = command_line::parse(std::env::args_os().skip(1));
    match options.and_then(|options| serve(&options)) {
        Ok(server) => ExitCode::from(ends::wait(&signals, server)),
        Err(why) => {
            complain("FATAL", &why);
            ExitCode::from(FATAL)
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
fn serve(options: &Options) -> Result<Server, String> {
    let data = &options.data;
    std::env::set_current_dir(data).map_err(|e| format!("{}: {e}", data.display()))?;
    let lock_file = lock_file::LockFile::create(options)?;
    lock_file.add_line(6, "localhost")?;
    let segment = segment::Main::create(options)?;
    lock_file.add_line(7, &format!("{:>9} {:>9}", segment.key, segment.id))?;
    let sets = sets::Sets::create(options)?;
    // The real one forks it among its threads, which comes to the same.
    let fenced = if options.fenced { Some(fenced::start()?) } else { None };
    threads::start(&sets, options.threads)?;
    Ok(Server { lock_file, segment, sets, fenced, starts: options.starts })
}

/// A line of the server's log, where that can be written.
fn complain(level: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "{level}:  {why}");
}

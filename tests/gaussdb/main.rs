//! `gaussdb`, a stand-in: an openGauss as far as its shared memory, its semaphores, its
//! `postmaster.pid` and its ends go, read in openGauss-server (`src/common/backend/port/`,
//! `src/gausskernel/process/postmaster/`).
//!
//! One process with threads. It removes what it finds under its keys as openGauss does, by key and
//! without a look at nattch: never to be run outside of a namespace of its own.

mod ends;
mod fenced;
mod lock_file;
mod options;
mod segment;
mod sets;
mod threads;

use std::process::ExitCode;

use options::Options;

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args_os().skip(1)) {
        Ok(options) => options,
        Err(why) => return fatal(&why),
    };
    // Before there is a thread: all of them have these blocked (pmdie and reaper run in the first).
    let signals = ends::block();
    match serve(&options) {
        Ok(server) => ends::wait(&signals, server),
        Err(why) => fatal(&why),
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

fn fatal(why: &str) -> ExitCode {
    eprintln!("FATAL:  {why}");
    ExitCode::FAILURE
}

//! The fenced UDF master (`fencedudf.cpp StartUDFMaster`, `FencedUDFMasterMain`): a fork that keeps
//! the segment attached and ends on TERM, INT or QUIT only.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;

use nix::sys::signal::{SigSet, Signal};
use shmwarden::engine::opengauss::FENCED_TITLE;
use shmwarden::sys::process;

use super::complain;
use super::options::message;

/// Forks it.
pub(crate) fn start() -> Result<i32, String> {
    process::fork_for(|| {
        if let Err(why) = set_title() {
            complain("WARNING", &why);
        }
        let ends: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGQUIT].into_iter().collect();
        // SIGQUITUDFMaster sets a flag, upon which the loop calls exit(0): no clean-up of a server.
        let _ = ends.wait();
        0
    })
    .map_err(message)
}

/// `set_ps_display`: over the command line, where the kernel shows it.
fn set_title() -> Result<(), String> {
    let stat = std::fs::read_to_string("/proc/self/stat").map_err(message)?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    // proc(5): arg_start and arg_end are fields 48 and 49, of which the first two are cut off.
    let at = |field: usize| fields.get(field - 3).and_then(|word| word.parse::<u64>().ok());
    let (start, end) = at(48).zip(at(49)).ok_or("no place of the command line")?;
    let mut title = FENCED_TITLE.as_bytes().to_vec();
    title.resize(usize::try_from(end - start).map_err(message)?, 0);
    let memory = OpenOptions::new().write(true).open("/proc/self/mem").map_err(message)?;
    memory.write_all_at(&title, start).map_err(message)
}

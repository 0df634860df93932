//! The signals by which a person or a service manager ends a command that waits: TERM, INT, HUP.
//!
//! For `list --watch`, `sweep --wait` and `demo`: the first such signal is noted and ends the wait,
//! the command finishes what it has begun, and then ends by that signal. The launcher never uses
//! this: it reads its signals from a descriptor and has no handlers (decision 5).

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use nix::libc::{SIGHUP, SIGINT, SIGTERM};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use shmwarden::sys::signals;
use signal_hook::{flag, low_level};

/// What a second signal does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Second {
    /// Ends the command at once, wherever it is.
    Ends,
    /// Nothing: what the command clears away has to be finished.
    Waits,
}

/// The signal that asked the command to end, if one did.
#[derive(Debug)]
pub(crate) struct Interrupts {
    came: Arc<AtomicUsize>,
    /// Readable from the first signal on; none where signals do what they did before.
    wake: Option<UnixStream>,
}

impl Interrupts {
    /// Notes these signals from now on. Where that fails they end the command as before.
    pub(crate) fn catch(second: Second) -> Self {
        let came = Arc::new(AtomicUsize::new(0));
        let wake = register(&came, second);
        if let Err(error) = &wake {
            log::debug!("signals end this command at once: {error}");
        }
        Self { came, wake: wake.ok() }
    }

    /// Returns the last of these signals that came.
    pub(crate) fn signal(&self) -> Option<i32> {
        i32::try_from(self.came.load(Ordering::SeqCst)).ok().filter(|&signal| signal != 0)
    }

    /// Waits for a signal or for one of `also` to be readable, but not longer than that; returns
    /// at once where a signal came before.
    pub(crate) fn pause(&self, longest: Duration, also: &[BorrowedFd<'_>]) {
        if self.signal().is_some() {
            return;
        }
        let wake = self.wake.as_ref().map(AsFd::as_fd);
        let fds = wake.iter().chain(also).map(|fd| PollFd::new(*fd, PollFlags::POLLIN));
        let timeout = PollTimeout::try_from(longest).unwrap_or(PollTimeout::MAX);
        // A signal that comes between the look above and this call has made `wake` readable.
        let _ = poll(&mut fds.collect::<Vec<_>>(), timeout);
    }
}

fn register(came: &Arc<AtomicUsize>, second: Second) -> io::Result<UnixStream> {
    let (wake, writer) = UnixStream::pair()?;
    let is_second = Arc::new(AtomicBool::new(false));
    for (signal, number) in [(SIGTERM, 15), (SIGINT, 2), (SIGHUP, 1)] {
        // `nohup` and a shell's background jobs ignore some of them: let it stay so.
        if signals::is_ignored(signal) {
            continue;
        }
        if second == Second::Ends {
            flag::register_conditional_default(signal, Arc::clone(&is_second))?;
            flag::register(signal, Arc::clone(&is_second))?;
        }
        flag::register_usize(signal, Arc::clone(came), number)?;
        low_level::pipe::register(signal, writer.try_clone()?)?;
    }
    Ok(wake)
}

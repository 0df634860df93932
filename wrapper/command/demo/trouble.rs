//! Why the demo cannot go on: somebody wants it to end, or something failed.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use nix::libc::{SIGHUP, SIGINT, SIGTERM};

/// Why the demo cannot go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Trouble {
    /// This signal came.
    Interrupted(i32),
    /// A sentence.
    Failed(String),
}

/// What may go wrong.
pub(super) type Outcome<T> = Result<T, Trouble>;

/// For `map_err`: a sentence, and what the system said.
pub(super) fn failed<E: fmt::Display>(doing: &str) -> impl FnOnce(E) -> Trouble {
    move |error| sentence(doing, &error)
}

fn sentence(doing: &str, error: &dyn fmt::Display) -> Trouble {
    Trouble::Failed(format!("{doing}: {error}"))
}

/// The signal that asked the demo to end, if one did.
#[derive(Debug, Clone)]
pub(super) struct Interrupts(Arc<AtomicUsize>);

impl Interrupts {
    /// Where the kernel ends everything by itself: as PID 1 of a namespace of its own.
    pub(super) fn none() -> Self {
        Self(Arc::new(AtomicUsize::new(0)))
    }

    /// From now on notes TERM, INT and HUP instead of ending.
    pub(super) fn catch() -> Outcome<Self> {
        let caught = Self::none();
        for (signal, number) in [(SIGTERM, 15), (SIGINT, 2), (SIGHUP, 1)] {
            // `nohup` and a shell's background jobs ignore some of them: let it stay so.
            if shmwarden::sys::signals::is_ignored(signal) {
                continue;
            }
            signal_hook::flag::register_usize(signal, Arc::clone(&caught.0), number)
                .map_err(failed("cannot catch signals"))?;
        }
        Ok(caught)
    }

    /// An error once a signal came.
    pub(super) fn check(&self) -> Outcome<()> {
        match i32::try_from(self.0.load(Ordering::SeqCst)) {
            Ok(0) | Err(_) => Ok(()),
            Ok(signal) => Err(Trouble::Interrupted(signal)),
        }
    }
}

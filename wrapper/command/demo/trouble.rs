//! Why the demo cannot go on: somebody wants it to end, or something failed.

use std::fmt;
use std::rc::Rc;

use crate::interrupts::{self, Second};

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
pub(super) struct Interrupts(Option<Rc<interrupts::Interrupts>>);

impl Interrupts {
    /// Where the kernel ends everything by itself: as PID 1 of a namespace of its own.
    pub(super) fn none() -> Self {
        Self(None)
    }

    /// From now on notes TERM, INT and HUP instead of ending.
    pub(super) fn catch() -> Self {
        Self(Some(Rc::new(interrupts::Interrupts::catch(Second::Waits))))
    }

    /// An error once a signal came.
    pub(super) fn check(&self) -> Outcome<()> {
        match self.0.as_ref().and_then(|interrupts| interrupts.signal()) {
            Some(signal) => Err(Trouble::Interrupted(signal)),
            None => Ok(()),
        }
    }
}

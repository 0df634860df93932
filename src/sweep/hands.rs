//! By whom the last look and the removal are made: by this process, or, where root acts as another
//! user, by a deputy, which has that user's rights for good.
//!
//! The user may end the deputy or stop it: that costs a retry. Who does so again and again keeps
//! what is theirs, and not root.

use std::collections::BTreeMap;

use super::remove::{self, Done, Told};
use crate::judge::Removal;
use crate::ledger::Ledger;
use crate::sys::deputy::{Deputy, Reply};

/// Deputies that one removal is given to.
const TRIES: usize = 2;
/// Deputies of one ledger that may be ended, and that may be late, until no more are sent out.
const MOST_ENDED: usize = 64;
const MOST_LATE: usize = 2;

/// Whoever makes the removals of one ledger.
pub(super) struct Hands<'a> {
    /// User and group of a deputy; `None` where this process makes them itself.
    owner: Option<(u32, u32)>,
    /// The removals by their object: a deputy is told the number.
    removals: BTreeMap<u64, &'a Removal>,
    deputy: Option<Deputy>,
    ended: usize,
    late: usize,
}

impl<'a> Hands<'a> {
    pub(super) fn of(ledger: &Ledger, removals: impl Iterator<Item = &'a Removal>) -> Self {
        let owner = ledger.acted_for();
        let removals = match owner {
            Some(_) => removals.map(|removal| (removal.object(), removal)).collect(),
            None => BTreeMap::new(),
        };
        Self { owner, removals, deputy: None, ended: 0, late: 0 }
    }

    /// Ends the deputy until it is wanted: a look at processes would find it, as one of the user's.
    pub(super) fn rest(&mut self) {
        self.deputy = None;
    }

    /// Looks at an object a last time and removes it.
    pub(super) fn remove(&mut self, removal: &Removal) -> Done {
        let Some(owner) = self.owner else { return remove::take(removal).done() };
        for tries in 0..TRIES {
            if self.ended >= MOST_ENDED || self.late >= MOST_LATE {
                break;
            }
            let deputy = match self.deputy.take() {
                Some(deputy) => Ok(deputy),
                None => Deputy::send(owner, |object| told(&self.removals, object)),
            };
            let mut deputy = match deputy {
                Ok(deputy) => deputy,
                Err(errno) => return Done::Failed(format!("cannot start a process: {errno}")),
            };
            match deputy.ask(removal.object()) {
                Reply::Said(said) => match serde_json::from_slice(&said) {
                    Ok(told) => {
                        self.deputy = Some(deputy);
                        return if tries == 0 { Told::done(told) } else { after_loss(told) };
                    }
                    Err(_) => self.ended += 1,
                },
                Reply::Refused(errno) => {
                    let (uid, _) = owner;
                    return Done::Failed(format!("cannot act as user {uid}: {errno}"));
                }
                Reply::Ended => self.ended += 1,
                Reply::Late => self.late += 1,
            }
        }
        // How far they came is not known: this process may look, and only look.
        match remove::last_look(removal) {
            Some(told) => after_loss(told),
            None => Done::Failed(
                "the process that was to remove it with its owner's rights was ended or stopped: \
                 left alone; sweep again"
                    .to_owned(),
            ),
        }
    }
}

/// Does a deputy's part.
fn told(removals: &BTreeMap<u64, &Removal>, object: u64) -> Vec<u8> {
    let told = removals.get(&object).map_or(Told::Unreadable, |removal| remove::take(removal));
    serde_json::to_vec(&told).unwrap_or_default()
}

/// Returns what is found after a deputy was lost at work on it.
fn after_loss(told: Told) -> Done {
    match told {
        Told::Gone(_) => Done::Gone("gone after a removal whose outcome was not told".to_owned()),
        told => told.done(),
    }
}

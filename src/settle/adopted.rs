//! The whole way once over a ledger of adopted objects: each is judged by itself, on a look that
//! is as strict as that of `adopt`.

use super::alone::Alone;
use super::beside::Beside;
use super::carry_out::carry_out;
use super::{Report, State, elsewhere};
use crate::decide::{self, Policy, Verdict};
use crate::error::Result;
use crate::ledger::Ledger;
use crate::observe::lists;

/// Rounds in which a list leads to further segments.
const ROUNDS: usize = 4;

pub(super) fn settle(ledger: &mut Ledger, policy: &Policy) -> Result<Report> {
    let mut look = lists::look()?;
    let mut verdicts: Vec<Verdict> = Vec::new();
    for _ in 0..ROUNDS {
        let unread;
        (verdicts, unread) = decide::adopted::decide(&ledger.book, &look, &policy.exempt);
        if unread.is_empty() {
            break;
        }
        let acting = ledger.as_owner()?;
        lists::read_unattached(&mut look, &unread);
        drop(acting);
        verdicts.clear();
    }
    Beside::of(policy).spare(&mut verdicts, ledger, &mut look);
    add_holders(&mut verdicts, &look);
    let objects = carry_out(verdicts, ledger, &mut Alone::new(policy))?;
    let state = match objects.as_slice() {
        [] => State::Settled,
        all if all.iter().all(elsewhere) => State::Void,
        _ => State::Dead,
    };
    Ok(Report { state, objects })
}

fn add_holders(verdicts: &mut [Verdict], look: &crate::observe::Observation) {
    for verdict in verdicts {
        if let Verdict::Keep(kept) = verdict {
            kept.holders = decide::holders(&kept.identity, look, true);
        }
    }
}

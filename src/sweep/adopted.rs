//! The whole way once over a ledger of adopted objects: each is judged by itself, on a look that
//! is as strict as that of `adopt`.

use super::beside::Beside;
use super::carry_out::carry_out;
use super::without_process::WithoutProcess;
use super::{Report, State, elsewhere};
use crate::error::Result;
use crate::judge::{self, Action, Policy};
use crate::ledger::Ledger;
use crate::snapshot::server_lists;

/// Rounds in which a list leads to further segments.
const ROUNDS: usize = 4;

pub(super) fn settle(ledger: &mut Ledger, policy: &Policy) -> Result<Report> {
    let mut look = server_lists::look()?;
    let mut verdicts: Vec<Action> = Vec::new();
    for _ in 0..ROUNDS {
        let unread;
        (verdicts, unread) = judge::adopted::decide(&ledger.book, &look, policy);
        if unread.is_empty() {
            break;
        }
        let acting = ledger.as_owner()?;
        look = look.with_unattached(&unread);
        drop(acting);
        verdicts.clear();
    }
    look = Beside::of(policy).spare(&mut verdicts, ledger, look);
    add_holders(&mut verdicts, &look);
    let objects = carry_out(&verdicts, ledger, &mut WithoutProcess::new(policy))?;
    let state = match objects.as_slice() {
        [] => State::Settled,
        all if all.iter().all(elsewhere) => State::Void,
        _ => State::Dead,
    };
    Ok(Report { state, objects })
}

fn add_holders(verdicts: &mut [Action], look: &crate::snapshot::Snapshot) {
    for verdict in verdicts {
        if let Action::Keep(kept) = verdict {
            kept.holders = judge::holders(&kept.identity, look, true);
        }
    }
}

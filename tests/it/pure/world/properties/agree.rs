//! The commands agree: `list` calls stale what `sweep` removes and orphan what `adopt` takes by a
//! filter, `doctor` counts what `list` says, `who` shows a holder where `sweep` keeps for one.

use std::collections::BTreeMap;

use shmwarden::judge::status::holders::{Holders, Holding};
use shmwarden::judge::status::leaks;
use shmwarden::judge::status::{self, Judged, Status};
use shmwarden::judge::{Action, Evidence, Reason};

use super::super::run::{self, Adopting, Number, number, number_of};
use super::super::{Kind, Ledger, World, build};
use super::{Broken, uses};

/// What `list` and `sweep`, or `adopt`, say differently of an object by the same look.
pub fn listed_otherwise(world: &World) -> Vec<Broken> {
    // As each command is without options.
    let mut world = world.clone();
    (world.include_clean, world.starting) = (false, false);
    world.descendants.clear();
    let mut broken = Vec::new();
    for (at, ledger) in world.ledgers.iter().enumerate() {
        if !ledger.is_closed && ledger.locked_by.is_none() {
            broken.extend(swept_otherwise(&world, at));
        }
    }
    broken.extend(adopted_otherwise(&world));
    broken
}

fn swept_otherwise(world: &World, at: usize) -> Vec<Broken> {
    let swept = run::sweep(world, at);
    let accounts = run::accounts(world, &swept.look);
    let judged = status::statuses(&swept.look, &accounts, &run::unlooked(world));
    let judged: BTreeMap<Number, &Judged<'_>> =
        judged.iter().map(|one| (number(one.subject), one)).collect();
    let mut broken = Vec::new();
    for action in &swept.actions {
        let (identity, what) = match action {
            Action::Remove(removal) => (removal.identity(), "removes".to_owned()),
            Action::Keep(kept) => (&kept.identity, format!("keeps {}", kept.reason.code())),
            Action::Forget(_) => continue,
        };
        let Some(one) = judged.get(&number_of(identity)) else { continue };
        let removes = what == "removes";
        let fits = (one.verdict == Status::Stale) == removes;
        let of_this = one.account.and_then(|at| accounts.get(at));
        let of_this = of_this.filter(|account| account.source.0 == build::path(at));
        let wanted = says_more_careful_ledger(&swept.actions, one, of_this.is_some(), removes)
            || may_live_without_lock(&one.why)
            || may_not_remove(&world.ledgers[at], &number_of(identity), world)
            || asks_nobodys_rights(action)
            || reads_nothing(action);
        if fits || wanted {
            continue;
        }
        let (word, code) = (one.verdict.word(), one.why.code());
        let detail = format!("{at} {:?}", number_of(identity));
        broken.push((format!("list {word} {code}, sweep {what}"), detail));
    }
    broken
}

fn adopted_otherwise(world: &World) -> Vec<Broken> {
    let look = Adopting::read(world);
    let accounts = run::accounts(world, &look);
    let adopted: BTreeMap<Number, &str> =
        Adopting::by(world, &look).by_filter().into_iter().collect();
    let mut broken = Vec::new();
    for one in &status::statuses(&look, &accounts, &run::unlooked(world)) {
        let number = number(one.subject);
        let taken = adopted.get(&number).copied().unwrap_or("nothing");
        // Of rights a list says nothing; what has another's number is judged as if no ledger had
        // that.
        let fine = taken == "not-yours";
        let changed = one.verdict == Status::Changed;
        if (one.verdict == Status::Orphan) != (taken == "no-user") && !fine && !changed {
            let (word, code) = (one.verdict.word(), one.why.code());
            broken.push((format!("list {word} {code}, adopt {taken}"), format!("{number:?}")));
        }
    }
    broken
}

/// Where an object is in several lines of ledgers the list tells what the most careful says.
fn says_more_careful_ledger(
    actions: &[Action],
    one: &Judged<'_>,
    is_of_this: bool,
    removes: bool,
) -> bool {
    let is_kept = |action: &Action| match action {
        Action::Keep(kept) => number_of(&kept.identity) == number(one.subject),
        Action::Remove(_) | Action::Forget(_) => false,
    };
    let is_it = |action: &&Action| match action {
        Action::Remove(removal) => number_of(removal.identity()) == number(one.subject),
        Action::Keep(kept) => number_of(&kept.identity) == number(one.subject),
        Action::Forget(_) => false,
    };
    match removes {
        true => one.account.is_some() && (!is_of_this || actions.iter().any(is_kept)),
        false => !is_of_this || actions.iter().filter(is_it).count() > 1,
    }
}

/// That a container is dead, or that its launcher is not at work on this ledger, the lock shows,
/// which a list has not.
fn may_live_without_lock(why: &Reason) -> bool {
    matches!(why, Reason::Unseen(Evidence::OtherPids { .. }) | Reason::AtWork(_))
}

/// What a ledger's owner may not remove is not its own to a list; the kernel refuses `sweep` there.
fn may_not_remove(ledger: &Ledger, number: &Number, world: &World) -> bool {
    let thing = uses::thing(world, number);
    thing.is_some_and(|thing| {
        let uids = match thing.kind {
            Kind::Posix => [thing.uid; 2],
            Kind::Shm | Kind::Sem | Kind::Msg => [thing.uid, thing.creator_uid],
        };
        ledger.owner != 0 && !uids.contains(&ledger.owner)
    })
}

/// Whether the caller may remove an object no list asks.
fn asks_nobodys_rights(action: &Action) -> bool {
    matches!(action, Action::Keep(kept) if kept.reason.code() == "not-yours")
}

/// What a header or list holds a list does not try to read: whether it can be, `sweep` finds.
fn reads_nothing(action: &Action) -> bool {
    let Action::Keep(kept) = action else { return false };
    matches!(&kept.reason, Reason::UnknownLayout(why) if why.ends_with("could not be read"))
}

/// What `doctor` counts otherwise than `list` says.
pub fn counted_otherwise(world: &World) -> Vec<Broken> {
    let look = run::listing(world);
    let accounts = run::accounts(world, &look);
    let judged = status::statuses(&look, &accounts, &run::unlooked(world));
    let mut said: BTreeMap<(u32, &str), (u64, u64)> = BTreeMap::new();
    let leaked = |one: &&Judged<'_>| matches!(one.verdict, Status::Stale | Status::Orphan);
    for one in judged.iter().filter(leaked) {
        let of = said.entry((one.subject.owner().0, one.verdict.word())).or_default();
        *of = (of.0 + 1, of.1 + one.subject.bytes().unwrap_or(0));
    }
    let mut counted: BTreeMap<(u32, &str), (u64, u64)> = BTreeMap::new();
    for leak in leaks::table(&judged) {
        let of = counted.entry((leak.uid, leak.verdict.word())).or_default();
        *of = (of.0 + leak.objects, of.1 + leak.bytes);
    }
    if said == counted { Vec::new() } else { vec![("doctor".to_owned(), format!("{said:?}"))] }
}

/// What `who` shows to be held and `sweep` removes, and what `sweep` keeps for a process that `who`
/// does not show, by the same look.
pub fn held_otherwise(world: &World) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (at, ledger) in world.ledgers.iter().enumerate() {
        if ledger.is_closed || ledger.locked_by.is_some() {
            continue;
        }
        let swept = run::sweep(world, at);
        let accounts = run::accounts(world, &swept.look);
        let judged = status::statuses(&swept.look, &accounts, &run::unlooked(world));
        let holders = Holders::of(&swept.look, &accounts);
        let of = |one: &Judged<'_>| (number(one.subject), holders.of_object(one));
        let held: BTreeMap<Number, Holding> = judged.iter().map(of).collect();
        for action in &swept.actions {
            let (identity, kept) = match action {
                Action::Remove(removal) => (removal.identity(), None),
                Action::Keep(kept) => (&kept.identity, Some(&kept.reason)),
                Action::Forget(_) => continue,
            };
            let Some(holding) = held.get(&number_of(identity)) else { continue };
            let shows = !holding.holders.is_empty() || holding.unexplained.is_some_and(|n| n > 0);
            let kind = match kept {
                None if shows && !may_not_remove(ledger, &number_of(identity), world) => {
                    "who shows, sweep removes".to_owned()
                }
                // A set counts those, too, that could not be asked.
                Some(reason) if is_for_a_holder(reason) && !shows => {
                    format!("sweep keeps {}, who shows nobody", reason.code())
                }
                _ => continue,
            };
            broken.push((kind, format!("{at} {:?}", number_of(identity))));
        }
    }
    broken
}

/// Checks whether an object is kept for a process that is known to use it.
fn is_for_a_holder(reason: &Reason) -> bool {
    matches!(reason.code(), "attached" | "mapped" | "open" | "last-user-lives" | "blocked-on")
}

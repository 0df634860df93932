//! The commands agree: `list` calls stale what `sweep` removes and orphan what `adopt` takes by a
//! filter, `doctor` counts what `list` says, `who` shows a holder where `sweep` keeps for one.

use std::collections::{BTreeMap, BTreeSet};

use shmwarden::judge::status::holders::Holders;
use shmwarden::judge::status::leaks;
use shmwarden::judge::status::{self, Judged, Status};
use shmwarden::judge::{Action, Reason};

use super::super::World;
use super::super::run::{self, Adopting, Number, number, number_of};
use super::Broken;

/// What `list` and `sweep`, or `adopt`, say differently of an object.
pub fn listed_otherwise(world: &World) -> Vec<Broken> {
    // As each command is without options.
    let mut world = world.clone();
    (world.include_clean, world.starting) = (false, false);
    world.descendants.clear();
    let world = &world;
    let look = run::listing(world);
    let accounts = run::accounts(world, &look);
    let judged = status::statuses(&look, &accounts, &run::unlooked(world));
    let swept = swept(world);
    let adopted: BTreeMap<Number, &str> = Adopting::of(world).by_filter().into_iter().collect();
    let mut broken = Vec::new();
    for one in &judged {
        let number = number(one.subject);
        let code = one.why.code();
        let detail = format!("{number:?}");
        let removed = swept.get(&number).map_or("nothing", |what| what.as_str());
        if (one.verdict == Status::Stale) != (removed == "remove") {
            let word = one.verdict.word();
            broken.push((format!("list {word} {code}, sweep {removed}"), detail.clone()));
        }
        let taken = adopted.get(&number).copied().unwrap_or("nothing");
        let fine = matches!(taken, "young" | "not-yours");
        if (one.verdict == Status::Orphan) != (taken == "no-user") && !fine {
            let word = one.verdict.word();
            broken.push((format!("list {word} {code}, adopt {taken}"), detail));
        }
    }
    broken
}

/// What becomes of each object that a ledger has which may be swept: removed by one of them, or
/// why it is kept.
fn swept(world: &World) -> BTreeMap<Number, String> {
    let mut swept = BTreeMap::new();
    for (at, ledger) in world.ledgers.iter().enumerate() {
        if ledger.is_closed || ledger.locked_by.is_some() {
            continue;
        }
        for action in run::sweep(world, at).actions {
            let (identity, what) = match &action {
                Action::Remove(removal) => (removal.identity(), "remove".to_owned()),
                Action::Keep(kept) => (&kept.identity, format!("keeps {}", kept.reason.code())),
                Action::Forget(object) => (&object.identity, "forgets".to_owned()),
            };
            let before = swept.get(&number_of(identity));
            if before.is_none_or(|before| before != "remove") {
                swept.insert(number_of(identity), what);
            }
        }
    }
    swept
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
/// does not show.
pub fn held_otherwise(world: &World) -> Vec<Broken> {
    let look = run::listing(world);
    let accounts = run::accounts(world, &look);
    let judged = status::statuses(&look, &accounts, &run::unlooked(world));
    let holders = Holders::of(&look, &accounts);
    let mut held: BTreeMap<Number, (BTreeSet<i32>, u64)> = BTreeMap::new();
    for one in &judged {
        let holding = holders.of_object(one);
        let pids = holding.holders.iter().map(|held| held.holder.process.pid);
        held.insert(number(one.subject), (pids.collect(), holding.unexplained.unwrap_or(0)));
    }
    let mut broken = Vec::new();
    for at in 0..world.ledgers.len() {
        for action in run::sweep(world, at).actions {
            match &action {
                Action::Remove(removal) => {
                    let number = number_of(removal.identity());
                    let Some((pids, unexplained)) = held.get(&number) else { continue };
                    if !pids.is_empty() || *unexplained > 0 {
                        broken.push(("who shows, sweep removes".to_owned(), format!("{number:?}")));
                    }
                }
                Action::Keep(kept) => {
                    let number = number_of(&kept.identity);
                    let Some((pids, unexplained)) = held.get(&number) else { continue };
                    let code = kept.reason.code();
                    // A set counts those, too, that could not be asked.
                    let counted = code == "waited-for";
                    let shows = counted || !pids.is_empty() || *unexplained > 0;
                    if is_for_a_holder(&kept.reason) && !shows {
                        let kind = format!("sweep keeps {code}, who shows nobody");
                        broken.push((kind, format!("{number:?}")));
                    }
                }
                Action::Forget(_) => {}
            }
        }
    }
    broken
}

/// Checks whether an object is kept for a process that is known to use it.
fn is_for_a_holder(reason: &Reason) -> bool {
    matches!(
        reason.code(),
        "attached" | "mapped" | "open" | "waited-for" | "last-user-lives" | "blocked-on"
    )
}

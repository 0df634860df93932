//! Snapshots that know less: each way in which something may not have been looked at. From one
//! nothing more is removed, forgotten or taken than from the whole.

use std::collections::BTreeMap;

use shmwarden::judge::Action;

use super::super::dice::Dice;
use super::super::run::{self, Adopting, Number, number_of};
use super::super::{Content, Engine, Kind, Look, Says, Sight, Thing, World};
use super::{Broken, promises, uses};

/// A way to know less: its name, and what it does to the world; false where there is nothing to
/// know less of.
type Way = (&'static str, fn(&mut World, &mut Dice) -> bool);

const WAYS: [Way; 27] = [
    ("sets not read", |world, _| std::mem::take(&mut world.sets_were_read)),
    ("queues not read", |world, _| std::mem::take(&mut world.queues_were_read)),
    ("sight lowered", |world, _| {
        let lower = match world.sight {
            Sight::Everybody => Sight::Namespace,
            Sight::Namespace => Sight::Part,
            Sight::Part => return false,
        };
        world.sight = lower;
        true
    }),
    ("process unread", |world, dice| {
        let of = any_process(world, dice);
        of.is_some_and(|at| !std::mem::replace(&mut world.processes[at].is_unread, true))
    }),
    ("process hidden", |world, dice| {
        let Some(at) = any_process(world, dice) else { return false };
        let gone = world.processes.remove(at);
        world.hidden.push(gone.process.0);
        world.sight = Sight::Part;
        for all in world.opened.iter_mut() {
            all.by.retain(|(_, pid)| *pid != gone.process.0);
        }
        true
    }),
    ("process out of sight", |world, dice| {
        let Some(at) = any_process(world, dice) else { return false };
        let gone = world.processes.remove(at);
        world.sight = Sight::Part;
        world.hidden.push(gone.process.0);
        world.blocked.retain(|(pid, ..)| *pid != gone.process.0);
        true
    }),
    ("maps denied", |world, dice| {
        any_process(world, dice).is_some_and(|at| {
            world.processes[at].maps = Some(Look::Denied);
            true
        })
    }),
    ("maps not read", |world, _| {
        world.processes.iter_mut().for_each(|one| one.maps = None);
        true
    }),
    ("segments not read", |world, _| std::mem::take(&mut world.segments_were_read)),
    ("files not read", |world, _| std::mem::take(&mut world.files_were_read)),
    ("processes not read", |world, _| {
        let pids = world.processes.drain(..).map(|one| one.process.0);
        world.hidden.extend(pids);
        world.sight = Sight::Part;
        std::mem::take(&mut world.processes_were_read)
    }),
    ("program denied", |world, dice| {
        any_process(world, dice).is_some_and(|at| {
            let one = &mut world.processes[at];
            (one.program, one.works_in) = (Look::Denied, Look::Denied);
            true
        })
    }),
    ("directory denied", |world, dice| {
        any_process(world, dice).is_some_and(|at| {
            world.processes[at].works_in = Look::Denied;
            true
        })
    }),
    ("user not known", |world, dice| {
        any_process(world, dice).is_some_and(|at| {
            let one = &mut world.processes[at];
            (one.uids, one.groups) = (None, None);
            true
        })
    }),
    ("namespace not known", |world, dice| {
        any_process(world, dice).is_some_and(|at| world.processes[at].same_ipc.take().is_some())
    }),
    ("control group denied", |world, dice| {
        any_process(world, dice).is_some_and(|at| {
            world.processes[at].control_group = Look::Denied;
            true
        })
    }),
    ("callers not read", |world, _| std::mem::take(&mut world.callers_were_read)),
    ("descriptors not read", |world, _| world.opened.take().is_some()),
    ("descriptors closed", |world, dice| {
        let of = any_process(world, dice);
        let pid = of.map(|at| world.processes[at].process.0);
        let (Some(pid), Some(opened)) = (pid, &mut world.opened) else { return false };
        opened.by.retain(|(_, by)| *by != pid);
        opened.closed.push(pid);
        true
    }),
    ("waits not read", |world, _| {
        (world.blocked, world.unasked) = (Vec::new(), Vec::new());
        std::mem::take(&mut world.waits_were_read)
    }),
    ("waits not answered", |world, dice| {
        let Some(at) = any_process(world, dice) else { return false };
        let pid = world.processes[at].process.0;
        world.blocked.retain(|(by, ..)| *by != pid);
        world.unasked.push(pid);
        true
    }),
    ("names not read", |world, _| world.other_names.take().is_some()),
    ("set closed", |world, dice| {
        any_thing(world, dice, |thing| thing.kind == Kind::Sem)
            .is_some_and(|at| !std::mem::replace(&mut world.things[at].is_closed, true))
    }),
    ("content not read", |world, dice| {
        let with = |thing: &Thing| matches!(thing.kind, Kind::Shm | Kind::Posix);
        any_thing(world, dice, with).is_some_and(|at| {
            world.things[at].content = Content::Unreadable;
            true
        })
    }),
    ("postmaster.pid denied", |world, dice| {
        any(&world.directories, dice, |_| true).is_some_and(|at| {
            world.directories[at].pid_file = Look::Denied;
            true
        })
    }),
    ("ledger not read", |world, dice| {
        any(&world.ledgers, dice, |ledger| !ledger.is_closed).is_some_and(|at| {
            world.ledgers[at].is_closed = true;
            true
        })
    }),
    ("ledger's file not known", |world, dice| {
        any(&world.ledgers, dice, |ledger| ledger.file.is_some()).is_some_and(|at| {
            world.ledgers[at].file = None;
            true
        })
    }),
];

fn any<T>(all: &[T], dice: &mut Dice, fits: impl Fn(&T) -> bool) -> Option<usize> {
    let fit: Vec<usize> = (0..all.len()).filter(|at| fits(&all[*at])).collect();
    (!fit.is_empty()).then(|| dice.pick(&fit))
}

fn any_process(world: &World, dice: &mut Dice) -> Option<usize> {
    any(&world.processes, dice, |one| one.process.0 != world.pid && !one.has_ended)
}

fn any_thing(world: &World, dice: &mut Dice, fits: impl Fn(&Thing) -> bool) -> Option<usize> {
    any(&world.things, dice, fits)
}

/// What becomes of each object, by what may do it: `sweep` over a ledger, or `adopt`.
type Fates = BTreeMap<(String, Number), String>;

fn fates(world: &World) -> Fates {
    let mut fates = Fates::new();
    for at in 0..world.ledgers.len() {
        let swept = run::sweep(world, at);
        let command = if swept.state == "adopted" { "sweep-adopted" } else { "sweep" };
        for action in swept.actions {
            let (identity, what) = match &action {
                Action::Remove(removal) => (removal.identity(), "remove"),
                Action::Keep(kept) => (&kept.identity, kept.reason.code()),
                Action::Forget(object) => (&object.identity, "forget"),
            };
            fates.insert((format!("{command} {at}"), number_of(identity)), what.to_owned());
        }
    }
    let adopting = Adopting::of(world);
    for (number, code) in adopting.by_filter() {
        fates.insert(("adopt".to_owned(), number), code.to_owned());
    }
    for (number, codes) in adopting.by_name() {
        let code = codes.first().copied().unwrap_or("nothing");
        fates.insert(("name".to_owned(), number), code.to_owned());
    }
    fates
}

/// Checks for what must come from a whole look alone.
fn is_done(fate: &str) -> bool {
    matches!(fate, "remove" | "forget" | "no-user" | "belongs" | "named")
}

/// Finds what a less complete look adds, in `tries` of the ways.
pub fn adds(seed: u64, world: &World, tries: usize) -> Vec<Broken> {
    let mut dice = Dice::of(seed ^ 0xffff);
    let whole = fates(world);
    let mut broken = Vec::new();
    for _ in 0..tries {
        let (way, change) = dice.pick(&WAYS);
        let mut less = world.clone();
        if !change(&mut less, &mut dice) {
            continue;
        }
        for (of, now) in fates(&less).iter().filter(|(_, now)| is_done(now)) {
            let before = whole.get(of).map_or("nothing", String::as_str);
            let command = of.0.split(' ').next().unwrap();
            // What goes with others has their reason.
            if before == *now || matches!(before, "instance-held" | "listed-stays") {
                continue;
            }
            let by_filter = fates(&less).remove(&("adopt".to_owned(), of.1.clone()));
            let wanted = tells_main_segment(world, of, before)
                || lists_anothers(world, of, before)
                || advises(before)
                || knows_better(way, command, by_filter.as_deref())
                || tells_nothing(world, way, before);
            if !wanted {
                let before = if now == "forget" { "whatever" } else { before };
                broken.push((format!("{way}: {command} {before} {now}"), format!("{of:?}")));
            }
        }
    }
    broken
}

/// The unattached main segment of an engine tells that nobody uses what is its server's, whoever
/// can be seen: then nobody is asked, and a process that is seen there all the same keeps it.
fn tells_main_segment(world: &World, (command, _): &(String, Number), before: &str) -> bool {
    let at = command.strip_prefix("sweep ").and_then(|at| at.parse::<usize>().ok());
    let Some(ledger) = at.and_then(|at| world.ledgers.get(at)) else { return false };
    let claims = ledger.lines.iter().filter_map(|line| match &line.says {
        Says::Claim { claim, .. } if claim.engine != Engine::Generic => Some(claim.process.0),
        _ => None,
    });
    let claims: Vec<i32> = claims.collect();
    let is_its = |one: &&Thing| one.kind == Kind::Shm && claims.contains(&one.creator_pid);
    let recorded = ledger.lines.iter().filter_map(|line| match &line.says {
        Says::Object { thing, .. } => Some(thing),
        _ => None,
    });
    let unattached = |one: &Thing| {
        let mut now = world.things.iter().filter(|now| (now.kind, now.id) == (one.kind, one.id));
        now.all(|now| now.nattch == 0)
    };
    let mut its = recorded.chain(&world.things).filter(is_its);
    matches!(before, "mapped" | "orphan-lives") && its.any(unattached)
}

/// A server's list names what its own user made. Of another user's object that it names as well a
/// list that was not read says nothing.
fn lists_anothers(world: &World, (_, number): &(String, Number), before: &str) -> bool {
    let Some(thing) = uses::thing(world, number) else { return false };
    let lists = world.things.iter().filter(|list| {
        let creator = (thing.kind != Kind::Posix).then_some(thing.creator_uid);
        let of_another = thing.uid != list.uid && creator != Some(list.uid);
        of_another && promises::names(world, &promises::number_of_thing(list)).contains(number)
    });
    matches!(before, "listed" | "recorded") && lists.count() > 0
}

/// What a dead server's list names nobody uses: that it comes along with the main segment is
/// advice, which is not given where the list was not read.
fn advises(before: &str) -> bool {
    before == "listed-by-dead"
}

/// A ledger that was not read keeps an object from every filter; who names it knows better.
fn knows_better(way: &str, command: &str, by_filter: Option<&str>) -> bool {
    way == "ledger not read" && command == "name" && by_filter != Some("no-user")
}

/// A ledger that was not read counts only for what lets its owner in: root is let in by no mode.
fn tells_nothing(world: &World, way: &str, before: &str) -> bool {
    let elsewhere = matches!(before, "used-elsewhere" | "earlier-stays");
    way == "ledger not read" && elsewhere && world.ledgers.iter().any(|one| one.owner == 0)
}

//! The promises of a removal that are no use: it is the very object that a ledger names, of this
//! place; memory goes in PostgreSQL's order, complete or not at all; of an instance that is held
//! nothing goes; nothing goes on the word of another PID namespace or a copy.

use std::collections::BTreeSet;

use shmwarden::judge::Action;
use shmwarden::ledger::record::Role;

use super::super::run::{self, Number, number_of};
use super::super::{Content, Engine, Kind, Ledger, Says, Thing, Where, World};
use super::{Broken, uses};

/// What a ledger's lines say, so that a removal can be held against it.
#[derive(Default)]
struct Told<'a> {
    /// Every object with the number of its run, 0 for an adopted one.
    objects: Vec<(u64, u64, &'a Thing, &'a Where)>,
    /// What is recorded as nothing in particular.
    others: BTreeSet<Number>,
    /// Objects whose removal was begun.
    begun: BTreeSet<u64>,
    /// Runs of other PID namespaces, of no known engine, of which nothing proves the end.
    unproven: BTreeSet<u64>,
}

impl<'a> Told<'a> {
    fn of(world: &World, ledger: &'a Ledger) -> Self {
        let mut told = Self::default();
        let (mut place, mut named, mut run_at) = (None, None, Vec::new());
        for line in &ledger.lines {
            match &line.says {
                Says::Header { place: here, file, .. } => (place, named) = (Some(here), *file),
                Says::Run { run, launcher, .. } => {
                    let place = place.unwrap();
                    run_at.push((*run, place));
                    let elsewhere = place.pids != world.here.pids;
                    let died = launcher.0 == 1 && named.is_some() && named == ledger.file;
                    told.unproven.extend((elsewhere && !died).then_some(*run));
                }
                Says::Claim { run, claim } if claim.engine != Engine::Generic => {
                    told.unproven.remove(run);
                }
                Says::End { run, .. } => drop(told.unproven.remove(run)),
                Says::Object { object, run, thing, role: known, .. } => {
                    let other = *known == super::super::Role::Other;
                    told.others.extend(other.then(|| number_of_thing(thing)));
                    let at = run_at.iter().find(|(number, _)| number == run).unwrap().1;
                    told.objects.retain(|(number, ..)| number != object);
                    told.objects.push((*object, *run, thing, at));
                }
                Says::Intent { object } => drop(told.begun.insert(*object)),
                Says::Adopted { object, thing, .. } => {
                    told.objects.push((*object, 0, thing, place.unwrap()));
                }
                _ => {}
            }
        }
        told
    }
}

/// Finds removals that break a promise.
pub fn broken(world: &World) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (at, ledger) in world.ledgers.iter().enumerate() {
        let told = Told::of(world, ledger);
        let actions = run::sweep(world, at).actions;
        let adopted = told.objects.iter().any(|(_, run, ..)| *run == 0);
        let mut found = of_each(world, &told, &actions);
        if !adopted {
            found.extend(of_order(&actions));
            found.extend(of_held(&actions));
        }
        found.extend(of_lists(world, &told, &going(&actions)));
        broken.extend(found.into_iter().map(|(kind, detail)| (kind, format!("{at} {detail}"))));
    }
    broken
}

fn going(actions: &[Action]) -> BTreeSet<Number> {
    let removals = actions.iter().filter_map(|action| match action {
        Action::Remove(removal) => Some(number_of(removal.identity())),
        _ => None,
    });
    removals.collect()
}

/// Each is the object that the ledger names, and of a run that is known to be dead.
fn of_each(world: &World, told: &Told<'_>, actions: &[Action]) -> Vec<Broken> {
    let mut broken = Vec::new();
    for action in actions {
        let Action::Remove(removal) = action else { continue };
        let number = number_of(removal.identity());
        let known = told.objects.iter().find(|(object, ..)| *object == removal.object());
        let wrong = match (known, uses::thing(world, &number)) {
            (_, None) => Some("is not here"),
            (Some((_, run, ..)), _) if told.unproven.contains(run) => {
                Some("its run may live elsewhere")
            }
            (Some((_, _, known, place)), Some(now)) => differs(world, known, now, place),
            (None, Some(_)) => None,
        };
        broken.extend(wrong.map(|why| (why.to_owned(), format!("{number:?}"))));
    }
    broken
}

fn of_order(actions: &[Action]) -> Vec<Broken> {
    let mut last = 0;
    let mut broken = Vec::new();
    for action in actions {
        let Action::Remove(removal) = action else { continue };
        let number = number_of(removal.identity());
        let rank = rank(&number, removal.role());
        if rank < last {
            broken.push(("out of order".to_owned(), format!("{number:?}")));
        }
        last = last.max(rank);
    }
    broken
}

/// While one object is attached, mapped or open nothing of its instance goes.
fn of_held(actions: &[Action]) -> Vec<Broken> {
    let held = actions.iter().any(|action| match action {
        Action::Keep(kept) => {
            let in_use = ["attached", "mapped", "dest", "open"].contains(&kept.reason.code());
            in_use && kept.object.is_some()
        }
        _ => false,
    });
    let goes = going(actions);
    let first = goes.first().filter(|_| held);
    let kind = "one is held, and others go";
    first.map(|number| (kind.to_owned(), format!("{number:?}"))).into_iter().collect()
}

/// What a list names goes with it, or the list stays.
fn of_lists(world: &World, told: &Told<'_>, going: &BTreeSet<Number>) -> Vec<Broken> {
    let mut broken = Vec::new();
    for number in going {
        // As nothing in particular no file is recorded whose server lists it.
        if number.0 == Kind::Posix && told.others.contains(number) {
            continue;
        }
        let named = names(world, number);
        let Some(stays) = named.iter().find(|named| !going.contains(named)) else { continue };
        let of = |(.., one, _): &&(u64, u64, &Thing, &Where)| number_of_thing(one) == *number;
        let of = || told.objects.iter().filter(of);
        let kind = if of().any(|(.., one, _)| names_another(one)) {
            "what the header of another pid leads to stays"
        } else if of().any(|(object, ..)| told.begun.contains(object)) {
            "what a segment whose removal was begun before leads to stays"
        } else {
            "a list goes before what it names"
        };
        broken.push((kind.to_owned(), format!("{number:?} names {stays:?}")));
    }
    broken
}

fn rank(number: &Number, role: Role) -> u8 {
    match (number.0, role) {
        (Kind::Sem | Kind::Msg, _) => 4,
        (_, Role::Dynamic) => 0,
        (_, Role::Other) => 1,
        (_, Role::Control) => 2,
        (_, Role::Main) => 3,
    }
}

/// In what an object that goes differs from the one that the ledger names.
fn differs(world: &World, known: &Thing, now: &Thing, place: &Where) -> Option<&'static str> {
    let here = &world.here;
    if place.boot != here.boot {
        return Some("of another boot");
    }
    let same_pids = place.pids == here.pids;
    let creator = (known.creator_uid, known.creator_gid) == (now.creator_uid, now.creator_gid);
    let same = match now.kind {
        Kind::Posix => {
            here.mount == Some(known.mount.as_str())
                && (known.ino, known.born, known.uid) == (now.ino, now.born, now.uid)
        }
        _ if place.ipc != here.ipc => return Some("of another IPC namespace"),
        Kind::Shm => {
            creator
                && (known.key, known.bytes, known.ctime) == (now.key, now.bytes, now.ctime)
                && (!same_pids || known.creator_pid == now.creator_pid)
        }
        Kind::Sem => creator && (known.key, known.bytes) == (now.key, now.bytes),
        Kind::Msg => creator && known.key == now.key,
    };
    (!same).then_some("another object")
}

/// What a list names, or a main segment, of what is there: by the bytes themselves.
pub fn names(world: &World, number: &Number) -> Vec<Number> {
    let Some(Thing { content: Content::Bytes(bytes), kind, .. }) = uses::thing(world, number)
    else {
        return Vec::new();
    };
    let word = |at: usize| {
        let word = bytes.get(at..at + 4)?;
        Some(u32::from_ne_bytes(word.try_into().unwrap()))
    };
    let there = |handle: u32, of: Option<Kind>| {
        let name = format!("PostgreSQL.{handle}");
        let bears = move |thing: &&Thing| match thing.kind {
            Kind::Posix => of != Some(Kind::Shm) && thing.name == name,
            // One that is marked has no key any more.
            Kind::Shm => {
                let key = u32::try_from(thing.key) == Ok(handle) && !thing.is_dest;
                of != Some(Kind::Posix) && key
            }
            Kind::Sem | Kind::Msg => false,
        };
        world.things.iter().filter(bears).map(number_of_thing).collect::<Vec<Number>>()
    };
    if word(0) == Some(679_834_894) && word(4) != Some(0) {
        let control = word(24).filter(|handle| *handle != 0);
        return control.map_or_else(Vec::new, |handle| there(handle, None));
    }
    if word(0) != Some(0x9a50_3d32) {
        return Vec::new();
    }
    let (Some(items), Some(room)) = (word(4), word(8)) else { return Vec::new() };
    let fits = |item: &usize| 16 + *item * usize::try_from(room).unwrap() == bytes.len();
    let Some(item) = [24, 40].into_iter().find(fits) else { return Vec::new() };
    let handles = (0..usize::try_from(items).unwrap()).filter_map(|nth| {
        let at = 16 + nth * item;
        word(at + 4).filter(|references| *references != 0).and_then(|_| word(at))
    });
    handles.flat_map(|handle| there(handle, Some(*kind))).collect()
}

/// Checks for a PostgreSQL's main segment whose header has another pid than its creator's.
fn names_another(thing: &Thing) -> bool {
    let Content::Bytes(bytes) = &thing.content else { return false };
    let pid = bytes.get(4..8).map(|pid| i32::from_ne_bytes(pid.try_into().unwrap()));
    thing.kind == Kind::Shm && pid != Some(thing.creator_pid)
}

pub fn number_of_thing(thing: &Thing) -> Number {
    (thing.kind, thing.id, thing.name.clone())
}

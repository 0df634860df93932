//! Who uses an object, told from the plain world without the library: none of it may be removed,
//! or be taken by `adopt`.

use std::collections::BTreeSet;

use super::super::generate::BOOT;
use super::super::run::{Adopting, Number};
use super::super::{
    Content, Engine, How, Kind, Ledger, Look, Mapped, Named, Process, Says, Sight, Thing,
};
use super::super::{Where, World};
use super::{Broken, promises, removals};

/// What keeps an object that is not an engine's own, whoever else may be left.
fn use_of(world: &World, thing: &Thing) -> Option<&'static str> {
    certain(world, thing).or_else(|| uncertain(world, thing))
}

/// What the kernel itself says, and processes that can be seen.
fn certain(world: &World, thing: &Thing) -> Option<&'static str> {
    let file = (thing.dev, thing.ino);
    let waits = world.blocked.iter().any(|(_, kind, id)| (*kind, *id) == (thing.kind, thing.id));
    match thing.kind {
        Kind::Shm if thing.nattch > 0 => Some("attached"),
        Kind::Shm if thing.is_dest => Some("dest"),
        Kind::Shm => None,
        Kind::Posix => living(world).any(|one| maps(one, file)).then_some("mapped"),
        Kind::Sem if thing.waiters > 0 => Some("waited for"),
        Kind::Sem | Kind::Msg if waits => Some("blocked on"),
        Kind::Sem | Kind::Msg => last_user(world, thing),
    }
}

fn uncertain(world: &World, thing: &Thing) -> Option<&'static str> {
    let everybody = world.sight == Sight::Everybody;
    match thing.kind {
        Kind::Shm => last_user(world, thing),
        Kind::Sem if thing.is_closed => Some("closed set"),
        Kind::Sem => (!everybody && thing.users.contains(&0) && thing.times[0] != 0)
            .then_some("operator unseen"),
        Kind::Msg if !everybody => Some("queue unseen"),
        Kind::Msg => {
            let unasked = living(world).filter(|one| world.unasked.contains(&one.process.0));
            let mut unasked = unasked.filter(|one| may_use(one, thing));
            unasked.next().map(|_| "unasked")
        }
        Kind::Posix => use_of_file(world, thing, everybody),
    }
}

fn use_of_file(world: &World, thing: &Thing, everybody: bool) -> Option<&'static str> {
    let file = (thing.dev, thing.ino);
    let opened = world.opened.as_ref()?;
    let lives = |pid: i32| pid != world.pid && living(world).any(|one| one.process.0 == pid);
    if opened.by.iter().any(|(of, pid)| *of == file && lives(*pid)) {
        return Some("open");
    }
    if opened.locked.contains(&file) {
        return Some("locked");
    }
    let closed = |one: &Process| {
        let maps = one.is_unread || !matches!(one.maps, Some(Look::Here(_) | Look::Gone));
        maps || opened.closed.contains(&one.process.0)
    };
    if living(world).any(|one| closed(one) && may_use(one, thing)) {
        return Some("closed process");
    }
    (!everybody).then_some("file unseen")
}

/// A last user that lives and began before that use, or that is hidden.
fn last_user(world: &World, thing: &Thing) -> Option<&'static str> {
    let used = match thing.kind {
        Kind::Sem => thing.times[0].max(thing.ctime),
        _ => thing.times[0].max(thing.times[1]),
    };
    let users: Vec<i32> =
        thing.users.iter().copied().filter(|pid| *pid > 0 && *pid != world.pid).collect();
    if users.iter().any(|pid| world.hidden.contains(pid)) {
        return Some("last user hidden");
    }
    let began = |one: &Process| BOOT + i64::try_from(one.process.1 / 100).unwrap();
    let lives =
        |one: &Process| users.contains(&one.process.0) && (one.is_unread || began(one) <= used);
    living(world).any(lives).then_some("last user lives")
}

/// Checks whether owner, creator or mode let a process use an object, roughly: more than do.
pub fn may_use(one: &Process, thing: &Thing) -> bool {
    let uids = if one.is_unread { None } else { one.uids };
    // In another IPC namespace no id means an object of this one.
    if one.same_ipc == Some(false) && !one.is_unread && thing.kind != Kind::Posix {
        return false;
    }
    let its = uids.is_none_or(|uids| match thing.kind {
        Kind::Posix => uids.contains(&thing.uid),
        _ => uids.contains(&thing.uid) || uids.contains(&thing.creator_uid),
    });
    its || thing.mode & 0o066 != 0
}

pub fn maps(one: &Process, (dev, ino): (u64, u64)) -> bool {
    match &one.maps {
        Some(Look::Here(maps)) if !one.is_unread => {
            maps.iter().any(|(mapped, _)| *mapped == Mapped::File(dev, ino))
        }
        _ => false,
    }
}

fn living(world: &World) -> impl Iterator<Item = &Process> {
    world.processes.iter().filter(|one| !one.has_ended)
}

/// A process that a ledger names lives, or may.
fn lives(world: &World, (pid, start): Named) -> bool {
    let is = |one: &Process| one.process.0 == pid && (one.is_unread || one.process.1 == start);
    living(world).any(is) || world.hidden.contains(&pid)
}

/// What of a server's ledger lives, as its own lines name it.
fn instance_lives(world: &World, ledger: &Ledger) -> Option<&'static str> {
    let mut place: Option<&Where> = None;
    let mut here = BTreeSet::new();
    let (mut claimed, mut descendants, mut generic) = (Vec::new(), Vec::new(), BTreeSet::new());
    for line in &ledger.lines {
        match &line.says {
            Says::Header { place: named, .. } => place = Some(named),
            Says::Run { run, .. } => {
                let same = place.map(|place| (place.boot, place.pids));
                if same == Some((world.here.boot, world.here.pids)) {
                    here.insert(*run);
                }
            }
            Says::Claim { run, claim } if here.contains(run) => {
                claimed.push(claim.process);
                generic.extend((claim.engine == Engine::Generic).then_some(*run));
            }
            Says::Reaped { process, .. } => claimed.retain(|one| one != process),
            Says::Descendant { run, process } => descendants.push((*run, *process)),
            _ => {}
        }
    }
    if claimed.into_iter().any(|one| lives(world, one)) {
        return Some("claimed process lives");
    }
    let seen = |one: Named| {
        living(world).any(|process| {
            process.process == one || process.is_unread && process.process.0 == one.0
        })
    };
    let mut left = descendants.iter().filter(|(run, _)| generic.contains(run));
    left.any(|(_, one)| seen(*one)).then_some("descendant lives")
}

fn has_engine(ledger: &Ledger) -> bool {
    ledger.lines.iter().any(|line| match &line.says {
        Says::Claim { claim, .. } => claim.engine != Engine::Generic,
        _ => false,
    })
}

/// Finds what is in use and would be removed, or is taken.
pub fn used_and_taken(world: &World) -> Vec<Broken> {
    let mut broken = Vec::new();
    for at in 0..world.ledgers.len() {
        let ledger = &world.ledgers[at];
        let alive = instance_lives(world, ledger);
        for number in removals(world, at) {
            let Some(thing) = thing(world, &number) else { continue };
            let own = match has_engine(ledger) {
                true => certain(world, thing),
                false => use_of(world, thing),
            };
            let strangers = strangers(world, ledger, &number);
            if let Some(why) = own.or(alive).or(strangers) {
                broken.push((format!("swept: {why}"), format!("{at} {number:?}")));
            }
        }
    }
    let adopting = Adopting::of(world);
    for (number, code) in adopting.by_filter() {
        if matches!(code, "no-user" | "belongs") {
            broken.extend(taken(world, &number, How::Adopted));
        }
    }
    for (number, codes) in adopting.by_name() {
        if codes.first() == Some(&"named") {
            broken.extend(taken(world, &number, How::Named));
        }
    }
    broken
}

fn taken(world: &World, number: &Number, how: How) -> Option<Broken> {
    let thing = thing(world, number)?;
    let pids = |pid: i32| world.hidden.contains(&pid) || living(world).any(|p| p.process.0 == pid);
    let creator = thing.kind == Kind::Shm && thing.creator_pid > 0 && pids(thing.creator_pid);
    let creator = creator.then_some("creator lives");
    let users = || {
        let of = match thing.kind {
            Kind::Posix => [thing.uid; 2],
            _ => [thing.uid, thing.creator_uid],
        };
        let its = |one: &Process| {
            let may_be = |uids: [u32; 4]| uids.iter().any(|uid| of.contains(uid));
            one.process.0 != world.pid && (one.is_unread || one.uids.is_none_or(may_be))
        };
        living(world).any(its).then_some("its user lives")
    };
    let sight = || (world.sight != Sight::Everybody).then_some("users unseen");
    let users = || users().filter(|_| !is_proven_dead(world, thing));
    let by_filter = || (how == How::Adopted).then(|| users().or_else(sight)).flatten();
    let why = use_of(world, thing).or(creator).or_else(by_filter)?;
    let word = if how == How::Adopted { "adopted" } else { "named" };
    Some((format!("{word}: {why}"), format!("{number:?}")))
}

/// What its server's main segment leads to, and that itself, is nobody's whose header names its own
/// creator, which is dead: a filter takes it though a process of its users lives (`idle`).
fn is_proven_dead(world: &World, thing: &Thing) -> bool {
    let number = promises::number_of_thing(thing);
    let leads = |main: &Thing| {
        let lists = promises::names(world, &promises::number_of_thing(main));
        lists.contains(&number)
            || lists.iter().any(|list| promises::names(world, list).contains(&number))
    };
    let is_dead = |main: &&Thing| {
        let Content::Bytes(bytes) = &main.content else { return false };
        let at = |at: usize| Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let names = at(0) == Some(679_834_894) && [at(4), at(8)].contains(&Some(main.creator_pid));
        main.kind == Kind::Shm && main.nattch == 0 && main.mode & 0o077 == 0 && names
    };
    let mut mains = world.things.iter().filter(is_dead);
    mains.any(|main| promises::number_of_thing(main) == number || leads(main))
}

/// Checks for a stranger of a set or queue that lives.
fn strangers(world: &World, ledger: &Ledger, number: &Number) -> Option<&'static str> {
    let mut here = false;
    let mut objects = BTreeSet::new();
    for line in &ledger.lines {
        match &line.says {
            Says::Header { place, .. } => {
                here = (place.boot, place.pids) == (world.here.boot, world.here.pids);
            }
            Says::Object { object, thing, .. } if here => {
                let of = (thing.kind, thing.id, thing.name.clone());
                objects.extend((of == *number).then_some(*object));
            }
            Says::Stranger { object, process }
                if objects.contains(object)
                    && matches!(number.0, Kind::Sem | Kind::Msg)
                    && living(world).any(|one| one.process == *process && !one.is_unread) =>
            {
                return Some("stranger lives");
            }
            _ => {}
        }
    }
    None
}

pub fn thing<'a>(world: &'a World, number: &Number) -> Option<&'a Thing> {
    world
        .things
        .iter()
        .find(|thing| (thing.kind, thing.id, &thing.name) == (number.0, number.1, &number.2))
}

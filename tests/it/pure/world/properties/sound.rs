//! The world as a kernel would have it, where the dice threw what no kernel shows.

use super::super::{Kind, Ledger, Look, Named, Says, World};
use super::uses;

/// Makes it so: what has ended holds nothing; where nobody was asked, nobody is known to wait; who
/// is blocked on a set is counted there; whoever uses a file or a queue has the right to (a
/// descriptor may come from elsewhere: of processes that cannot be looked into and could not open a
/// file nothing is asked); a launcher has the lock.
pub fn sound(mut world: World) -> World {
    for one in world.processes.iter_mut().filter(|one| one.has_ended) {
        one.maps = Some(Look::Here(Vec::new()));
    }
    if !world.waits_were_read {
        (world.blocked, world.unasked) = (Vec::new(), Vec::new());
    }
    let before = world.clone();
    for thing in &mut world.things {
        let (number, file) = ((thing.kind, thing.id), (thing.dev, thing.ino));
        let blocked = before.blocked.iter().filter(|(_, kind, id)| (*kind, *id) == number);
        let blocked: Vec<i32> = blocked.map(|(pid, ..)| *pid).collect();
        let opened = before.opened.iter().flat_map(|opened| &opened.by);
        let opened: Vec<i32> = opened.filter(|(of, _)| *of == file).map(|(_, pid)| *pid).collect();
        if thing.kind == Kind::Sem {
            thing.waiters = thing.waiters.max(blocked.len() as u64);
        }
        let uses = |pid: i32, maps: bool| match thing.kind {
            Kind::Shm => false,
            Kind::Posix => opened.contains(&pid) || maps,
            Kind::Sem | Kind::Msg => blocked.contains(&pid),
        };
        let strange = before
            .processes
            .iter()
            .any(|one| uses(one.process.0, uses::maps(one, file)) && !uses::may_use(one, thing));
        if strange {
            thing.mode |= 0o006;
        }
    }
    for ledger in &mut world.ledgers {
        ledger.locked_by = ledger.locked_by.or_else(|| launcher(&before, ledger));
    }
    world
}

/// The launcher of the last run, where it lives and the ledger is the file that it wrote to.
fn launcher(world: &World, ledger: &Ledger) -> Option<i32> {
    let (mut named, mut here) = (None, false);
    let mut last: Option<Named> = None;
    for line in &ledger.lines {
        match &line.says {
            Says::Header { place, file, .. } => {
                named = *file;
                here = (place.boot, place.pids) == (world.here.boot, world.here.pids);
            }
            Says::Run { launcher, .. } => last = here.then_some(*launcher),
            _ => {}
        }
    }
    let lives = |of: Named| world.processes.iter().any(|one| one.process == of && !one.has_ended);
    let launcher = last.filter(|of| lives(*of) && (named.is_none() || named == ledger.file))?;
    Some(launcher.0)
}

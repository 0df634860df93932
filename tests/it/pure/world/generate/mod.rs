//! Throws a world. Most of what is told here is as it should be; each world has a level of trouble
//! that says how often a thing is not.
//!
//! Worlds must not change from one version to the next without need: comparing two versions of the
//! judges takes the same worlds.

mod content;
mod ledgers;
mod objects;
mod processes;
mod view;

use super::dice::Dice;
use super::{DataDirectory, Directory, Ledger, Named, Process, Thing, Where, World};

/// When the machine was booted, seconds since the epoch.
pub const BOOT: i64 = 1_700_000_000;
/// Now, in seconds since boot.
const NOW: i64 = 50_000;
pub const HERE: Where =
    Where { boot: "first", ipc: "id:11", pids: "id:12", mount: Some("tmpfs:aa") };
pub const OWN_PID: i32 = 77;
/// Users of whom no process lives, but for trouble.
const GONE_USERS: [u32; 3] = [3001, 3002, 3003];
const OTHER_USERS: [u32; 2] = [2001, 2002];

/// A world that comes to be.
struct Maker {
    dice: Dice,
    /// By how much trouble is more frequent than it is named, in percent.
    trouble: u64,
    here: Where,
    ledgers: Vec<Ledger>,
    things: Vec<Thing>,
    processes: Vec<Process>,
    directories: Vec<DataDirectory>,
    /// Whether its `/dev/shm` keeps birth times.
    keeps_births: bool,
    /// Processes that are gone, or may be another's by now: who used what there is.
    past: Vec<Named>,
    next_id: i32,
    next_ino: u64,
    next_pid: i32,
}

/// The world of this number.
pub fn world(seed: u64) -> World {
    let mut dice = Dice::of(seed);
    let trouble = dice.weighed(&[(45, 12), (30, 100), (25, 250)]);
    let mut here = HERE;
    if dice.percent(4) {
        here.ipc = "4026531839/first:5";
    }
    if dice.percent(3) {
        here.mount = dice.pick(&[None, Some("device:26")]);
    }
    let keeps_births = !dice.percent(15);
    let mut maker = Maker {
        dice,
        trouble,
        here,
        ledgers: Vec::new(),
        things: Vec::new(),
        processes: Vec::new(),
        directories: Vec::new(),
        keeps_births,
        past: Vec::new(),
        next_id: 0,
        next_ino: 100,
        next_pid: 1000,
    };
    let ledgers = maker.dice.weighed(&[(50, 1), (35, 2), (15, 3)]);
    for at in 0..ledgers {
        match maker.dice.percent(15) {
            true => maker.adopted_ledger(at),
            false => maker.server_ledger(at),
        }
    }
    if maker.odd(5) {
        // Somebody keeps a copy of a ledger beside it.
        let mut copy = maker.ledgers[0].clone();
        (copy.file, copy.locked_by) = (Some(900), None);
        maker.ledgers.push(copy);
    }
    maker.leftovers();
    maker.strangers();
    maker.attach();
    maker.used();
    maker.view()
}

impl Maker {
    /// True in so many of a hundred cases of a world with the usual trouble.
    fn odd(&mut self, chance: u64) -> bool {
        let chance = chance * self.trouble;
        self.dice.below(10_000) < chance
    }

    fn pid(&mut self) -> i32 {
        self.next_pid += 1 + i32::try_from(self.dice.below(9)).unwrap();
        self.next_pid
    }

    /// A process that began so many seconds after boot.
    fn named(&mut self, began: i64) -> Named {
        let ticks = u64::try_from(began).unwrap() * 100 + self.dice.below(100);
        (self.pid(), ticks)
    }

    /// An id whose slot no other object has.
    fn id(&mut self) -> i32 {
        self.next_id += 1;
        let turns = self.dice.weighed(&[(3, 0), (1, 1), (1, 9)]);
        self.next_id + turns * 32_768
    }

    fn ino(&mut self) -> u64 {
        self.next_ino += 1;
        self.next_ino
    }

    /// A time in seconds since the epoch, between two that are told since boot.
    fn between(&mut self, from: i64, to: i64) -> i64 {
        let span = u64::try_from((to - from).max(1)).unwrap();
        BOOT + from + i64::try_from(self.dice.below(span)).unwrap()
    }
}

/// The data directory of the ledger of this number.
fn data_of(ledger: usize) -> Directory {
    [("/srv/a", 64, 77), ("/srv/b", 64, 78), ("/srv/c", 64, 79)][ledger]
}

//! Single objects, and what becomes of one between its record and now.

use super::super::{Content, Kind, Named, Thing};
use super::{BOOT, Maker, NOW, OTHER_USERS};

/// Of an object that is made: whose, by whom, when, and when it was used last.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    pub uid: u32,
    pub creator: Named,
    /// Seconds after boot.
    pub made: i64,
    pub used: i64,
}

impl Maker {
    /// An object as its server made and used it.
    pub fn thing(&mut self, kind: Kind, key: i32, from: Origin) -> Thing {
        let (id, ino) = (self.id(), self.ino());
        let mode = self.dice.weighed(&[(80, 0o600), (8, 0o660), (4, 0o666), (3, 0o640)]);
        let (made, used) = (BOOT + from.made, BOOT + from.used);
        let users = match kind {
            Kind::Shm => vec![from.creator.0],
            Kind::Sem => vec![from.creator.0],
            Kind::Msg => vec![from.creator.0, 0],
            Kind::Posix => vec![],
        };
        let times = match kind {
            Kind::Shm => [made + 1, used],
            Kind::Sem | Kind::Msg => [used, 0],
            Kind::Posix => [0, 0],
        };
        let bytes = match kind {
            Kind::Sem => 1 + self.dice.below(4),
            _ => 4096 * (1 + self.dice.below(4)),
        };
        let born = self.keeps_births.then_some((made, 500_000_001));
        Thing {
            kind,
            id: if kind == Kind::Posix { -1 } else { id },
            name: if kind == Kind::Posix { format!("file-{ino}") } else { String::new() },
            key,
            mode,
            bytes,
            uid: from.uid,
            gid: from.uid,
            creator_uid: from.uid,
            creator_gid: from.uid,
            creator_pid: from.creator.0,
            nattch: 0,
            is_dest: false,
            users,
            times,
            ctime: made,
            waiters: 0,
            is_closed: false,
            set_unseen: false,
            mark: None,
            mount: self.here.mount.unwrap_or("none").to_owned(),
            dev: 26,
            ino,
            born: if kind == Kind::Posix { born } else { None },
            content: Content::Nothing,
        }
    }

    /// A key, or none.
    pub fn key(&mut self, private: u64) -> i32 {
        let key = 0x00f4_2400 + i32::try_from(self.dice.below(60_000)).unwrap();
        if self.dice.percent(private) { 0 } else { key }
    }

    /// What of a recorded object is there now.
    pub fn now(&mut self, mut thing: Thing, family: &[Named], ended: i64) -> Option<Thing> {
        if self.odd(7) {
            return None;
        }
        self.user(&mut thing, family, ended);
        self.trouble_with(&mut thing);
        if self.odd(6) {
            self.change(&mut thing);
        }
        Some(thing)
    }

    /// Who used it last, and when.
    pub fn user(&mut self, thing: &mut Thing, family: &[Named], ended: i64) {
        if thing.kind == Kind::Posix {
            // Written to while its server lived; where no birth is kept that shows.
            if self.dice.percent(50) {
                let from = thing.ctime - BOOT;
                thing.ctime = self.between(from, ended.max(from + 1));
            }
            if self.odd(4) {
                thing.ctime = self.between(ended, NOW);
            }
            return;
        }
        if self.dice.percent(50) && !family.is_empty() {
            let at = usize::try_from(self.dice.below(thing.users.len() as u64)).unwrap();
            thing.users[at] = self.dice.pick(family).0;
        }
        if thing.kind == Kind::Sem && thing.bytes > 1 && self.dice.percent(20) {
            thing.users.push(0);
        }
        if self.odd(5) {
            let other = self.somebody();
            thing.users[0] = other;
        }
        if self.odd(3) {
            thing.users[0] = 0;
        }
        if self.odd(5) {
            thing.times[0] = self.between(ended, NOW);
        }
        if self.dice.percent(8) {
            let never = if thing.kind == Kind::Shm { 0 } else { thing.users[0] };
            (thing.times, thing.users[0]) = ([0, 0], never);
        }
        if thing.kind == Kind::Msg && self.dice.percent(40) {
            thing.users[1] = if self.dice.percent(80) { thing.users[0] } else { 0 };
            thing.times[1] = thing.times[0];
        }
    }

    /// A pid of whoever was there, or was not.
    pub fn somebody(&mut self) -> i32 {
        let known: Vec<i32> = self.past.iter().map(|process| process.0).collect();
        let living: Vec<i32> = self.processes.iter().map(|process| process.process.0).collect();
        let all = [known, living, vec![700, 701, 702]].concat();
        self.dice.pick(&all)
    }

    pub fn trouble_with(&mut self, thing: &mut Thing) {
        match thing.kind {
            Kind::Shm => {
                if self.odd(6) {
                    thing.nattch = 1 + self.dice.below(2);
                    thing.is_dest = self.dice.percent(20);
                }
                if self.odd(1) {
                    thing.is_dest = true;
                }
            }
            Kind::Sem => {
                if self.odd(3) {
                    thing.waiters = 1;
                }
                if self.odd(2) {
                    thing.is_closed = true;
                }
                if self.odd(2) {
                    thing.set_unseen = true;
                }
                if self.odd(5) {
                    thing.ctime += 7;
                }
            }
            Kind::Msg => {
                if self.odd(4) {
                    thing.ctime += 7;
                }
            }
            Kind::Posix => {}
        }
        if self.odd(5) {
            thing.mode = self.dice.pick(&[0o660, 0o666, 0o606]);
        }
        if self.odd(3) && thing.kind != Kind::Posix {
            thing.uid = self.dice.pick(&OTHER_USERS);
        }
        if self.odd(2) {
            thing.content = Content::Unreadable;
        }
    }

    /// Makes it another object of the same number or name, or one that seems so.
    fn change(&mut self, thing: &mut Thing) {
        match self.dice.below(7) {
            0 => thing.key = thing.key.wrapping_add(1),
            1 if thing.kind != Kind::Posix => thing.bytes += 1,
            2 => thing.creator_uid = OTHER_USERS[0],
            3 => thing.creator_gid = OTHER_USERS[1],
            4 => thing.creator_pid += 1,
            5 if thing.kind == Kind::Posix => thing.ino += 50_000,
            _ => {
                thing.ctime += 1;
                thing.born = thing.born.map(|(seconds, _)| (seconds, 700_000_000));
            }
        }
        if thing.kind == Kind::Posix && self.dice.percent(30) {
            thing.uid = OTHER_USERS[0];
        }
    }
}

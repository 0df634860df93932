//! Who lives, what is left of dead servers that no ledger has, and who uses what.

use super::super::{Content, Engine, Kind, Look, Mapped, Named, Process, Role, Says, Thing};
use super::ledgers::Server;
use super::objects::Origin;
use super::{BOOT, GONE_USERS, Maker, NOW, OTHER_USERS, content, data_of};

impl Maker {
    /// Adds a process that is nothing in particular.
    pub fn process(&mut self, process: Named, uid: u32) -> &mut Process {
        let (pid, _) = process;
        self.processes.push(Process {
            process,
            is_unread: false,
            parent: 1,
            group: pid,
            session: pid,
            has_ended: false,
            uids: Some([uid; 4]),
            groups: Some(vec![uid]),
            comm: "sleep",
            program: Look::Here("/usr/bin/sleep"),
            works_in: Look::Here(("/", 64, 2)),
            maps: Some(Look::Here(Vec::new())),
            same_ipc: Some(true),
            control_group: Look::Here("/user.slice"),
        });
        self.processes.last_mut().unwrap()
    }

    /// The processes of a living server, and who is left of a dead one.
    pub fn alive(&mut self, server: &Server, launcher: Named) {
        let (program, comm) = match server.engine {
            Engine::Generic => ("/usr/bin/served", "served"),
            Engine::Postgres => ("/usr/lib/postgresql/15/bin/postgres", "postgres"),
            Engine::Opengauss => ("/opt/gauss/bin/gaussdb", "gaussdb"),
        };
        let is_postmaster = server.engine != Engine::Generic;
        let directory = if is_postmaster { data_of(server.at) } else { ("/", 64, 2) };
        let lives = server.lives();
        if lives {
            if server.has_launcher() && !self.odd(8) && launcher.0 != 1 {
                let one = self.process(launcher, 0);
                (one.comm, one.program) = ("shmwarden", Look::Here("/usr/bin/shmwarden"));
            }
            for (at, process) in server.family.iter().enumerate() {
                let one = self.process(*process, server.uid);
                (one.comm, one.program) = (comm, Look::Here(program));
                one.works_in = Look::Here(directory);
                one.parent = if at == 0 { launcher.0 } else { server.server.0 };
                (one.group, one.session) = (server.server.0, launcher.0);
                one.control_group = Look::Here("/system.slice/a.service");
            }
            return;
        }
        // A worker that outlived its server, as a child or as one that was started by it.
        if self.odd(6) {
            let worker = match server.family.last() {
                Some(last) if server.family.len() > 1 && self.dice.percent(60) => *last,
                _ => self.named(server.ended - 1),
            };
            let (closed, its) = (self.odd(20), self.dice.percent(70));
            let one = self.process(worker, server.uid);
            if its {
                (one.comm, one.program) = (comm, Look::Here(program));
                one.works_in = Look::Here(directory);
                one.group = server.server.0;
            }
            if closed {
                (one.program, one.works_in) = (Look::Denied, Look::Denied);
                one.maps = Some(Look::Denied);
            }
        }
        // Another process that has the server's pid by now.
        if self.odd(4) {
            let later = (server.server.0, server.server.1 + 900_000);
            let uid = self.dice.pick(&[server.uid, OTHER_USERS[0]]);
            self.process(later, uid);
        }
        // Its launcher lives, and cleans up.
        if self.odd(2) && launcher.0 != 1 {
            self.process(launcher, 0);
        }
    }

    /// What is left of a server that no ledger knows: one object.
    pub fn left(&mut self, uid: u32) -> Thing {
        let creator = self.named(900);
        let made = if self.odd(6) { NOW - 600 } else { 1000 + self.below_i64(30_000) };
        let creator = if self.odd(3) { (0, 0) } else { creator };
        let origin = Origin { uid, creator, made, used: made + 300 };
        let kind = self.dice.weighed(&[
            (45, Kind::Shm),
            (20, Kind::Sem),
            (12, Kind::Msg),
            (23, Kind::Posix),
        ]);
        let key = self.key(40);
        let mut thing = self.thing(kind, key, origin);
        if kind == Kind::Posix && self.dice.percent(60) {
            thing.name = content::name_of(2 * (1_000_000 + u32::try_from(thing.ino).unwrap()));
        }
        self.past.push(creator);
        if self.odd(12) {
            self.user(&mut thing, &[creator], made + 300);
        }
        if self.odd(30) {
            self.trouble_with(&mut thing);
        }
        if self.odd(3) {
            let alive = self.somebody();
            thing.creator_pid = alive;
        }
        thing
    }

    /// A PostgreSQL's main segment, its list, and what that names, all without a ledger.
    pub fn left_by_postgres(&mut self, uid: u32) -> Vec<(Role, Thing)> {
        let creator = self.named(900);
        self.past.push(creator);
        let made = 1000 + self.below_i64(30_000);
        let origin = Origin { uid, creator, made, used: made + 300 };
        let control = self.handle();
        let kind = self.dice.weighed(&[(65, Kind::Posix), (35, Kind::Shm)]);
        let mut main = self.thing(Kind::Shm, 0x00f5_0001, origin);
        let names = if self.odd(4) { 0 } else { control };
        let bytes = content::main_of_postgres(creator.0, names, (64, 90));
        main.content = if self.odd(4) { Content::Unreadable } else { Content::Bytes(bytes) };
        let mut all = Vec::new();
        if !self.odd(8) {
            all.push((Role::Main, main));
        }
        let mut handles = Vec::new();
        let mut pieces = Vec::new();
        for _ in 0..self.dice.below(3) {
            let handle = self.handle();
            handles.push(handle);
            let mut piece = self.dynamic(kind, handle, origin);
            if self.odd(3) {
                piece.uid = OTHER_USERS[0];
            }
            if self.odd(6) {
                piece.ctime = BOOT + made + 400;
            }
            if !self.odd(8) {
                pieces.push((Role::Dynamic, piece));
            }
        }
        let mut list = self.dynamic(kind, control, origin);
        list.content = self.list(Some(15), &handles);
        if !self.odd(8) {
            all.push((Role::Control, list));
        }
        all.extend(pieces);
        for (_, thing) in &mut all {
            if self.odd(4) {
                let content = thing.content.clone();
                self.trouble_with(thing);
                thing.content = content;
            }
        }
        all
    }

    fn handle(&mut self) -> u32 {
        2 * (1_000_000 + u32::try_from(self.dice.below(900_000_000)).unwrap())
    }

    fn below_i64(&mut self, end: u64) -> i64 {
        i64::try_from(self.dice.below(end)).unwrap()
    }

    /// Objects that no ledger has.
    pub fn leftovers(&mut self) {
        for _ in 0..self.dice.weighed(&[(30, 0), (35, 1), (25, 2), (10, 3)]) {
            let uid = self.dice.weighed(&[
                (30, GONE_USERS[0]),
                (30, GONE_USERS[1]),
                (10, GONE_USERS[2]),
                (15, OTHER_USERS[0]),
                (15, 1001),
            ]);
            if self.dice.percent(28) {
                let group = self.left_by_postgres(uid);
                self.things.extend(group.into_iter().map(|(_, thing)| thing));
            } else {
                let thing = self.left(uid);
                self.things.push(thing);
            }
        }
    }

    /// Those who are always there, and some who have nothing to do with any server.
    pub fn strangers(&mut self) {
        let init = self.process((1, 0), 0);
        (init.comm, init.program) = ("systemd", Look::Here("/usr/lib/systemd/systemd"));
        (init.parent, init.group) = (0, 1);
        let own = self.process((super::OWN_PID, 4_999_000), 0);
        (own.comm, own.program) = ("shmwarden", Look::Here("/usr/bin/shmwarden"));
        for _ in 0..self.dice.below(3) {
            let uid =
                if self.odd(8) { self.dice.pick(&[1001, 1002, 3001]) } else { OTHER_USERS[1] };
            let began = self.below_i64(40_000);
            let process = self.named(began);
            let elsewhere = self.odd(8);
            let one = self.process(process, uid);
            if elsewhere {
                one.same_ipc = Some(false);
            }
        }
        if self.odd(4) {
            let began = self.below_i64(40_000);
            let process = self.named(began);
            let one = self.process(process, 1001);
            (one.comm, one.program) = ("postgres", Look::Here("/usr/bin/postgres"));
        }
        // A pid of long ago that is somebody's again.
        if self.odd(5) && !self.past.is_empty() {
            let (pid, start) = self.dice.pick(&self.past.clone());
            let taken = self.processes.iter().any(|one| one.process.0 == pid);
            if pid > 1 && !taken {
                let began = if self.dice.percent(30) { start } else { 4_500_000 };
                self.process((pid, began), OTHER_USERS[1]);
            }
        }
        let mut seen = std::collections::BTreeSet::new();
        self.processes.retain(|one| seen.insert(one.process.0));
        self.processes.sort_by_key(|one| one.process.0);
        for at in 0..self.processes.len() {
            self.trouble_with_process(at);
        }
    }

    fn trouble_with_process(&mut self, at: usize) {
        let throws = [
            self.odd(1),
            self.odd(1),
            self.odd(2),
            self.odd(2),
            self.odd(1),
            self.odd(2),
            self.odd(1),
            self.odd(1),
        ];
        let one = &mut self.processes[at];
        if one.process.0 == super::OWN_PID {
            return;
        }
        let [unread, no_user, denied, ended, no_maps, no_ipc, no_groups, closed_group] = throws;
        one.is_unread = unread;
        if no_user {
            (one.uids, one.groups) = (None, None);
        }
        if denied {
            (one.maps, one.program) = (Some(Look::Denied), Look::Denied);
            (one.works_in, one.same_ipc) = (Look::Denied, None);
        }
        one.has_ended = ended && !unread;
        if no_maps {
            one.maps = None;
        }
        if no_ipc {
            one.same_ipc = None;
        }
        if no_groups {
            one.groups = None;
        }
        if closed_group {
            one.control_group = Look::Denied;
        }
    }

    /// Gives what is attached to processes, and maps some files.
    pub fn attach(&mut self) {
        for at in 0..self.things.len() {
            let thing = self.things[at].clone();
            let maps_file = thing.kind == Kind::Posix && self.odd(4);
            let count = if maps_file { 1 } else { thing.nattch };
            let mapped = match thing.kind {
                Kind::Shm => Mapped::Segment(thing.id),
                _ => Mapped::File(thing.dev, thing.ino),
            };
            let its = |one: &Process| {
                one.process.0 == thing.creator_pid
                    || one.uids.is_some_and(|u| u.contains(&thing.uid))
            };
            let users: Vec<usize> =
                (0..self.processes.len()).filter(|at| its(&self.processes[*at])).collect();
            for nth in 0..count {
                if self.odd(12) {
                    continue;
                }
                let by = match usize::try_from(nth).ok().and_then(|nth| users.get(nth)) {
                    Some(by) => *by,
                    None => usize::try_from(self.dice.below(self.processes.len() as u64)).unwrap(),
                };
                if let Some(Look::Here(maps)) = &mut self.processes[by].maps {
                    match maps.iter_mut().find(|(known, _)| *known == mapped) {
                        Some((_, count)) => *count += 1,
                        None => maps.push((mapped, 1)),
                    }
                }
            }
        }
    }

    /// Notes in some ledger that its server used what it did not make.
    pub fn used(&mut self) {
        for at in 0..self.ledgers.len() {
            let mut runs = Vec::new();
            let mut known = 0;
            for line in &self.ledgers[at].lines {
                match line.says {
                    Says::Header { version, .. } => known = version,
                    Says::Run { run, .. } => runs.push(run),
                    _ => {}
                }
            }
            let lives = self.ledgers[at].locked_by.is_some();
            let chance = if lives { 40 } else { 15 };
            if runs.is_empty() || self.things.is_empty() || !self.dice.percent(chance) {
                continue;
            }
            let thing = self.dice.pick(&self.things.clone());
            let may = match thing.kind {
                Kind::Shm => true,
                Kind::Sem | Kind::Msg => known >= 2,
                Kind::Posix => thing.born.is_some() || known >= 3,
            };
            if may {
                let run = self.dice.pick(&runs);
                let says = Says::Used { run, thing };
                self.ledgers[at].lines.push(super::super::Line { at: BOOT + NOW - 400, says });
            }
        }
    }
}

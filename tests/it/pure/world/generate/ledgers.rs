//! Ledgers of servers and of adopted objects, each legal line by line, and what is left of each
//! object that they name.

use super::super::{
    Claim, Content, DataDirectory, End, Engine, How, Kind, Ledger, Line, Look, Named, Outcome,
    Role, Says, Thing, Where,
};
use super::content;
use super::objects::Origin;
use super::{BOOT, GONE_USERS, Maker, NOW, OTHER_USERS, data_of};

/// How a run came to its end, or did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Lives,
    Crashed,
    /// Its launcher was killed too.
    Unseen,
    /// The same, noted by a later sweep.
    Noted,
    /// Its end was seen, and its launcher did not live to note that of the run.
    Reaped,
    Clean,
    Failed,
    NotStarted,
    Recorded,
    RecordedAlive,
}

/// A ledger that is written.
struct Writing {
    lines: Vec<Line>,
    version: u64,
    place: Where,
    objects: u64,
    open: Vec<u64>,
}

/// A server of one run.
pub struct Server {
    pub run: u64,
    pub engine: Engine,
    pub uid: u32,
    pub major: Option<u32>,
    pub at: usize,
    pub server: Named,
    /// The server and its descendants.
    pub family: Vec<Named>,
    pub began: i64,
    pub ended: i64,
    pub fate: Fate,
}

impl Server {
    pub fn lives(&self) -> bool {
        matches!(self.fate, Fate::Lives | Fate::RecordedAlive)
    }

    pub fn has_launcher(&self) -> bool {
        self.fate == Fate::Lives
    }
}

impl Writing {
    fn say(&mut self, at: i64, says: Says) {
        self.lines.push(Line { at, says });
    }

    /// Checks whether a ledger of this version may name an object.
    fn can_name(&self, thing: &Thing) -> bool {
        match thing.kind {
            Kind::Shm => true,
            Kind::Sem | Kind::Msg => self.version >= 2,
            Kind::Posix => thing.born.is_some() || self.version >= 3,
        }
    }

    fn number(&mut self) -> u64 {
        self.objects += 1;
        self.open.push(self.objects);
        self.objects
    }
}

impl Maker {
    fn writing(&mut self, at: usize) -> (Writing, Option<u64>) {
        let mut place = self.here.clone();
        for (chance, change) in [(1, 0), (4, 1), (5, 2), (3, 3)] {
            if self.odd(chance) {
                match change {
                    0 => place.boot = "earlier",
                    1 => place.ipc = "id:21",
                    2 => place.pids = "id:22",
                    _ => place.mount = Some("tmpfs:bb"),
                }
            }
        }
        let version = if self.odd(8) { self.dice.pick(&[1, 2, 2]) } else { 3 };
        let file = 500 + u64::try_from(at).unwrap();
        let named = if self.odd(5) { None } else { Some(file) };
        let mut this = if self.odd(4) { Some(file + 90) } else { Some(file) };
        if self.odd(2) {
            this = None;
        }
        let (lines, open) = (Vec::new(), Vec::new());
        let header = Says::Header { version, place: place.clone(), file: named };
        let mut writing = Writing { lines, version, place, objects: 0, open };
        writing.say(BOOT + 100, header);
        (writing, this)
    }

    fn close(&mut self, writing: Writing, owner: u32, file: Option<u64>, locked_by: Option<i32>) {
        let is_closed = self.odd(3);
        let lines = writing.lines;
        self.ledgers.push(Ledger { owner, lines, file, is_closed, locked_by });
    }

    /// The ledger of a server that ran once or twice.
    pub fn server_ledger(&mut self, at: usize) {
        let (mut writing, file) = self.writing(at);
        let engine = self.dice.weighed(&[
            (45, Engine::Generic),
            (35, Engine::Postgres),
            (20, Engine::Opengauss),
        ]);
        let own = 1001 + u32::try_from(at).unwrap();
        let uid = self.dice.weighed(&[(55, own), (40, 1001), (5, 0)]);
        let runs = self.dice.weighed(&[(75, 1), (25, 2)]);
        let mut began = 1000 + i64::try_from(self.dice.below(3000)).unwrap();
        let mut lives = false;
        for run in 1..=runs {
            let fate = match run == runs {
                true => self.dice.weighed(&[
                    (16, Fate::Lives),
                    (42, Fate::Crashed),
                    (14, Fate::Unseen),
                    (5, Fate::Noted),
                    (5, Fate::Reaped),
                    (8, Fate::Clean),
                    (4, Fate::Failed),
                    (1, Fate::NotStarted),
                    (3, Fate::Recorded),
                    (2, Fate::RecordedAlive),
                ]),
                false => {
                    self.dice.weighed(&[(60, Fate::Crashed), (25, Fate::Noted), (15, Fate::Clean)])
                }
            };
            let length = 2000 + i64::try_from(self.dice.below(8000)).unwrap();
            lives = matches!(fate, Fate::Lives | Fate::RecordedAlive);
            let ended = if lives { NOW } else { began + length };
            self.run(&mut writing, (at, run, engine, uid), (began, ended), fate);
            began += length + 100;
        }
        let closed = writing.lines.iter().filter(|l| matches!(l.says, Says::End { .. })).count();
        if u64::try_from(closed).unwrap() == runs {
            self.standings(&mut writing);
        }
        let launcher = writing.lines.iter().rev().find_map(|line| match line.says {
            Says::Run { launcher, .. } => Some(launcher.0),
            _ => None,
        });
        let locked_by = if lives || self.odd(3) { launcher } else { None };
        let owner = if self.dice.percent(70) { uid } else { 0 };
        self.close(writing, owner, file, locked_by);
    }

    fn run(
        &mut self,
        writing: &mut Writing,
        (at, run, engine, uid): (usize, u64, Engine, u32),
        (began, ended): (i64, i64),
        fate: Fate,
    ) {
        let mut launcher = self.named(began);
        if writing.place.pids != self.here.pids && self.dice.percent(60) {
            launcher.0 = 1;
        }
        let server = self.named(began + 1);
        let mut family = vec![server];
        for _ in 0..self.dice.below(4) {
            let born = self.between(began + 2, ended) - BOOT;
            family.push(self.named(born));
        }
        let wrong = self.odd(6);
        let major = match engine {
            Engine::Postgres if wrong => self.dice.pick(&[None, Some(13), Some(9), Some(19)]),
            Engine::Postgres => Some(15),
            _ => None,
        };
        let server = Server { run, engine, uid, major, at, server, family, began, ended, fate };
        let recorded = matches!(fate, Fate::Recorded | Fate::RecordedAlive);
        let ahead = if self.dice.percent(85) { Some(BOOT * 1000) } else { None };
        let (by, start) = (if self.dice.percent(50) { 0 } else { uid }, BOOT + began);
        let clock_ahead_ms = ahead;
        writing.say(start, Says::Run { run, launcher, uid: by, recorded, clock_ahead_ms });
        self.claims(writing, &server, launcher);
        if writing.version >= 2 && (engine == Engine::Generic || self.dice.percent(40)) {
            for process in server.family.iter().skip(1).copied() {
                writing.say(start + 2, Says::Descendant { run, process });
            }
        }
        self.past.extend(&server.family);
        self.past.push(launcher);
        self.alive(&server, launcher);
        match engine {
            Engine::Generic => self.generic(writing, &server),
            Engine::Postgres => self.postgres(writing, &server),
            Engine::Opengauss => self.opengauss(writing, &server),
        }
        self.unrecorded_of(&server);
        self.end(writing, &server);
    }

    fn claims(&mut self, writing: &mut Writing, server: &Server, launcher: Named) {
        let (program, engine) = match server.engine {
            Engine::Generic => ("/usr/bin/served", Engine::Generic),
            Engine::Postgres => ("/usr/lib/postgresql/15/bin/postgres", Engine::Postgres),
            Engine::Opengauss => ("/opt/gauss/bin/gaussdb", Engine::Opengauss),
        };
        let as_root = self.odd(6);
        let mut uids = vec![server.uid];
        if as_root {
            uids.insert(0, 0);
        }
        let session = if self.dice.percent(50) { launcher.0 } else { server.server.0 };
        let group = ["/system.slice/a.service", "/system.slice/b.service", "/user.slice"];
        let control_group = group[server.at];
        let nowhere = engine == Engine::Generic || self.odd(4);
        let claim = Claim {
            process: server.server,
            uids: uids.clone(),
            group: server.server.0,
            session,
            control_group,
            engine,
            major: server.major,
            data: if nowhere { None } else { Some(data_of(server.at)) },
            program: if self.odd(4) { None } else { Some(program) },
            before: if self.odd(5) { vec![1, 2, 3] } else { vec![] },
        };
        let (run, at) = (server.run, BOOT + server.began + 1);
        if self.dice.percent(12) {
            let (engine, major, data) = (Engine::Generic, None, None);
            let process = self.named(server.began + 1);
            let script = Some("/usr/local/bin/start");
            let first = Claim { process, engine, major, data, program: script, ..claim.clone() };
            writing.say(at, Says::Claim { run, claim: first });
            self.past.push(process);
        }
        writing.say(at, Says::Claim { run, claim });
    }

    /// Records an object and what its server saw of it, and leaves of it what there is now.
    fn record(
        &mut self,
        writing: &mut Writing,
        server: &Server,
        thing: Thing,
        (role, how, creator): (Role, How, Option<Named>),
    ) -> Option<Thing> {
        let at = thing.ctime.max(BOOT + server.began + 2);
        let mut thing = thing;
        if thing.kind == Kind::Posix && writing.place.mount != self.here.mount {
            thing.mount = writing.place.mount.unwrap_or("none").to_owned();
        }
        if writing.can_name(&thing) {
            let run = server.run;
            if self.odd(3) {
                // A number that was another object's before.
                let before =
                    Thing { ctime: thing.ctime - 50, ino: thing.ino + 900, ..thing.clone() };
                let object = writing.number();
                writing.say(
                    at,
                    Says::Object {
                        object,
                        run,
                        how,
                        role: Role::Other,
                        thing: before,
                        creator: None,
                    },
                );
            }
            let how = if self.odd(2) { How::ForkCount } else { how };
            let object = writing.number();
            let known = thing.clone();
            writing.say(at, Says::Object { object, run, how, role, thing: known, creator });
            if thing.kind != Kind::Posix && writing.version >= 3 && self.odd(6) {
                let process = self.named(server.began + 5);
                if self.dice.percent(30) {
                    self.process(process, OTHER_USERS[1]);
                } else {
                    self.past.push(process);
                }
                writing.say(at, Says::Stranger { object, process });
                if self.dice.percent(50) {
                    thing.users[0] = process.0;
                }
            }
        }
        let elsewhere = writing.place.boot != self.here.boot
            || match thing.kind {
                Kind::Posix => writing.place.mount != self.here.mount,
                _ => writing.place.ipc != self.here.ipc,
            };
        if elsewhere {
            // Another object has the number here.
            if !self.dice.percent(30) || thing.kind == Kind::Posix {
                return None;
            }
        }
        let family: Vec<Named> = server.family.clone();
        let now = if server.lives() { Some(thing) } else { self.now(thing, &family, server.ended) };
        now.map(|mut thing| {
            if writing.place.pids != self.here.pids && self.dice.percent(70) {
                thing.creator_pid = 0;
                thing.users.iter_mut().for_each(|pid| *pid = 0);
            }
            thing
        })
    }

    fn origin(&mut self, server: &Server, by: usize) -> Origin {
        let creator = server.family[by];
        let from = (creator.1 / 100).try_into().unwrap_or(server.began) - server.began;
        let made = self.between(server.began + from + 1, server.ended) - BOOT;
        Origin { uid: server.uid, creator, made, used: server.ended }
    }

    fn generic(&mut self, writing: &mut Writing, server: &Server) {
        for _ in 0..=self.dice.below(3) {
            let kind = self.dice.weighed(&[
                (45, Kind::Shm),
                (20, Kind::Sem),
                (12, Kind::Msg),
                (23, Kind::Posix),
            ]);
            let by = match server.family.len() {
                1 => 0,
                n if self.dice.percent(30) => {
                    1 + usize::try_from(self.dice.below(n as u64 - 1)).unwrap()
                }
                _ => 0,
            };
            let origin = self.origin(server, by);
            let key = self.key(55);
            let thing = self.thing(kind, key, origin);
            let creator = (by > 0).then_some(origin.creator);
            let how = match by {
                0 if kind == Kind::Posix => How::Watch,
                0 => self.dice.pick(&[How::Claim, How::Claim, How::LastLook]),
                _ => How::Watch,
            };
            if self.odd(5) {
                self.things.push(thing);
                continue;
            }
            let now = self.record(writing, server, thing, (Role::Other, how, creator));
            self.keep(server, now, 50);
        }
        if self.odd(3) {
            // What seemed to be any server was a PostgreSQL.
            let origin = self.origin(server, 0);
            let mut thing = self.thing(Kind::Shm, 0x00f4_0001, origin);
            let (_, dev, ino) = data_of(server.at);
            let bytes = content::main_of_postgres(server.server.0, 0, (dev, ino));
            (thing.mode, thing.bytes) = (0o600, bytes.len() as u64);
            thing.content = Content::Bytes(bytes);
            let now = self.record(writing, server, thing, (Role::Other, How::Claim, None));
            self.keep(server, now, 50);
        }
    }

    /// Takes up what is there now; of a living server, with those who use it.
    fn keep(&mut self, server: &Server, now: Option<Thing>, attached: u64) {
        let Some(mut thing) = now else { return };
        if server.lives() && thing.kind == Kind::Shm && self.dice.percent(attached) {
            thing.nattch = server.family.len() as u64;
        }
        self.things.push(thing);
    }

    fn postgres(&mut self, writing: &mut Writing, server: &Server) {
        let control = 2 * (1_000_000 + u32::try_from(self.dice.below(900_000_000)).unwrap());
        let kind = self.dice.weighed(&[(65, Kind::Posix), (35, Kind::Shm)]);
        let origin = self.origin(server, 0);
        let mut main = self.thing(
            Kind::Shm,
            0x00f4_0000 + i32::from_ne_bytes(control.to_ne_bytes()) % 999,
            origin,
        );
        let (_, dev, ino) = data_of(server.at);
        let (wrong, none) = (self.odd(4), self.odd(4));
        let pid = if wrong { 4 } else { server.server.0 };
        let names = if none { 0 } else { control };
        main.content = Content::Bytes(content::main_of_postgres(pid, names, (dev, ino)));
        if self.odd(2) {
            main.content = Content::Nothing;
        }
        self.directory(server, Some((main.key, main.id)));
        if !self.odd(4) {
            let role = if self.dice.percent(75) { Role::Main } else { Role::Other };
            let how = self.dice.pick(&[How::Claim, How::Claim, How::LastLook, How::Header]);
            let now = self.record(writing, server, main, (role, how, None));
            self.keep(server, now, 100);
        } else {
            self.things.push(main);
        }
        let mut handles = Vec::new();
        for _ in 0..self.dice.below(4) {
            let handle = 2 * (1_000_000 + u32::try_from(self.dice.below(900_000_000)).unwrap());
            handles.push(handle);
            let by = usize::try_from(self.dice.below(server.family.len() as u64)).unwrap();
            let origin = self.origin(server, by);
            let mut thing = self.dynamic(kind, handle, origin);
            if self.odd(3) {
                thing.uid = OTHER_USERS[0];
                thing.creator_uid = OTHER_USERS[0];
            }
            let (recorded, gone, listed) =
                (self.dice.percent(60), self.dice.percent(15), !self.odd(4));
            if !listed {
                handles.pop();
            }
            if recorded {
                let creator = (by > 0).then_some(origin.creator);
                let how = if by > 0 && kind == Kind::Shm { How::Watch } else { How::Listed };
                let role = if how == How::Listed { Role::Dynamic } else { Role::Other };
                let now = self.record(writing, server, thing, (role, how, creator));
                self.keep(server, now, 30);
            } else if !gone {
                let now = self.now(thing, &server.family, server.ended);
                self.keep(server, now, 30);
            }
        }
        let origin = Origin { made: server.began + 2, ..origin };
        let mut list = self.dynamic(kind, control, origin);
        list.content = self.list(server.major, &handles);
        if self.dice.percent(88) {
            let role = if self.dice.percent(90) { Role::Control } else { Role::Other };
            let now = self.record(writing, server, list, (role, How::Listed, None));
            self.keep(server, now, 100);
        } else {
            self.keep(server, Some(list), 100);
        }
        if self.dice.percent(12) {
            self.child_of_postgres(writing, server);
        }
    }

    /// What a program below a PostgreSQL made.
    fn child_of_postgres(&mut self, writing: &mut Writing, server: &Server) {
        let kind = self.dice.pick(&[Kind::Shm, Kind::Sem, Kind::Posix]);
        let origin = self.origin(server, server.family.len() - 1);
        let key = self.key(50);
        let thing = self.thing(kind, key, origin);
        let how = (Role::Other, How::Watch, Some(origin.creator));
        let now = self.record(writing, server, thing, how);
        self.keep(server, now, 30);
    }

    /// A piece of PostgreSQL's dynamic shared memory.
    pub fn dynamic(&mut self, kind: Kind, handle: u32, origin: Origin) -> Thing {
        let mut thing = self.thing(kind, content::key_of(handle), origin);
        if kind == Kind::Posix {
            (thing.name, thing.key) = (content::name_of(handle), 0);
        }
        thing
    }

    /// A list of dynamic shared memory, or what cannot be read as one.
    pub fn list(&mut self, major: Option<u32>, handles: &[u32]) -> Content {
        let mut bytes = content::list(major.unwrap_or(15), handles);
        if self.odd(3) {
            match self.dice.below(4) {
                0 => bytes.truncate(bytes.len() / 2),
                1 => bytes[0] ^= 1,
                2 => return Content::Nothing,
                _ => return Content::Unreadable,
            }
        }
        Content::Bytes(bytes)
    }

    fn opengauss(&mut self, writing: &mut Writing, server: &Server) {
        let origin = self.origin(server, 0);
        let key = 16_000_001 + i32::try_from(self.dice.below(1000)).unwrap();
        let mut main = self.thing(Kind::Shm, key, origin);
        let (_, dev, ino) = data_of(server.at);
        main.content = Content::Bytes(content::main_of_gauss(server.server.0, (dev, ino)));
        self.directory(server, Some((main.key, main.id)));
        let role = if self.dice.percent(70) { Role::Main } else { Role::Other };
        let now = self.record(writing, server, main, (role, How::Claim, None));
        self.keep(server, now, 100);
        for index in 0..=self.dice.below(2) {
            let mut set = self.thing(Kind::Sem, key + 1 + i32::try_from(index).unwrap(), origin);
            set.bytes = 17;
            set.mark = if self.odd(6) { None } else { Some(server.server.0) };
            set.users.push(0);
            let now = self.record(writing, server, set, (Role::Other, How::Claim, None));
            self.keep(server, now, 0);
        }
    }

    /// What a server made that nobody recorded, or that seems so.
    fn unrecorded_of(&mut self, server: &Server) {
        if self.odd(6) {
            let origin = self.origin(server, 0);
            let key = self.key(60);
            let thing = self.thing(Kind::Shm, key, origin);
            self.things.push(thing);
        }
        if self.odd(6) {
            let origin = self.origin(server, 0);
            let (kind, key) = (self.dice.pick(&[Kind::Sem, Kind::Msg]), self.key(60));
            let thing = self.thing(kind, key, origin);
            self.things.push(thing);
        }
        if server.engine == Engine::Postgres && self.odd(9) {
            let origin = self.origin(server, 0);
            let handle = 2 * (1_000_000 + u32::try_from(self.dice.below(900_000_000)).unwrap());
            let kind = self.dice.pick(&[Kind::Posix, Kind::Posix, Kind::Shm]);
            let thing = self.dynamic(kind, handle, origin);
            self.things.push(thing);
        }
    }

    fn directory(&mut self, server: &Server, main: Option<(i32, i32)>) {
        let lives = server.lives();
        let pid_file = match server.fate {
            Fate::Clean => Look::Gone,
            _ if self.odd(3) => Look::Denied,
            _ if lives || self.dice.percent(60) => Look::Here((server.server.0, main)),
            _ => Look::Gone,
        };
        let uid = if self.odd(3) { None } else { Some(server.uid) };
        let directory = data_of(server.at);
        self.directories.retain(|known| known.directory != directory);
        let major = if self.dice.percent(80) { Some(15) } else { None };
        self.directories.push(DataDirectory { directory, uid, major, pid_file });
    }

    fn end(&mut self, writing: &mut Writing, server: &Server) {
        let (run, process, at) = (server.run, server.server, BOOT + server.ended);
        let (seen, noted) = match server.fate {
            Fate::Lives | Fate::Unseen | Fate::Recorded | Fate::RecordedAlive => (None, None),
            Fate::Crashed => (Some(End::Signal(9)), Some(End::Signal(9))),
            Fate::Noted => (None, Some(End::Unknown)),
            Fate::Reaped => (Some(End::Signal(9)), None),
            Fate::Clean => (Some(End::Exit(0)), Some(End::Exit(0))),
            Fate::Failed => (Some(End::Exit(1)), Some(End::Exit(1))),
            Fate::NotStarted => (Some(End::NotStarted), Some(End::NotStarted)),
        };
        if let Some(end) = seen {
            writing.say(at, Says::Reaped { run, process, end });
        }
        let Some(end) = noted else { return };
        writing.say(at, Says::End { run, end });
        if writing.version >= 3 && server.engine == Engine::Postgres && self.dice.percent(20) {
            writing.say(at + 1, Says::Detached { run, seconds: at });
        }
    }

    /// What became of removals that were begun, and what was found gone.
    fn standings(&mut self, writing: &mut Writing) {
        let at = BOOT + NOW - 500;
        for object in writing.open.clone() {
            if !self.odd(7) {
                continue;
            }
            if self.dice.percent(20) {
                writing.say(at, Says::Gone { object });
                continue;
            }
            writing.say(at, Says::Intent { object });
            if self.dice.percent(60) {
                let outcome = self.dice.pick(&[
                    Outcome::Removed,
                    Outcome::Gone,
                    Outcome::Kept,
                    Outcome::Raced,
                    Outcome::Failed,
                ]);
                writing.say(at, Says::Outcome { object, outcome });
            }
        }
    }

    /// A ledger of adopted objects.
    pub fn adopted_ledger(&mut self, at: usize) {
        let (mut writing, file) = self.writing(at);
        writing.version = writing.version.max(2);
        if let Some(Line { says: Says::Header { version, .. }, .. }) = writing.lines.first_mut() {
            *version = writing.version;
        }
        for _ in 0..=self.dice.below(2) {
            let uid = self.dice.pick(&GONE_USERS);
            let how = self.dice.weighed(&[(65, How::Adopted), (35, How::Named)]);
            let group = match self.dice.percent(35) {
                true => self.left_by_postgres(uid),
                false => vec![(Role::Other, self.left(uid))],
            };
            for (role, thing) in group {
                if writing.can_name(&thing) && !self.odd(4) {
                    let (object, thing) = (writing.number(), thing.clone());
                    writing.say(BOOT + NOW - 900, Says::Adopted { object, how, role, thing });
                }
                let elsewhere = writing.place.ipc != self.here.ipc && self.dice.percent(70);
                if elsewhere || self.odd(7) {
                    continue;
                }
                let mut thing = thing;
                if self.odd(6) {
                    thing.ctime += 1;
                }
                self.things.push(thing);
            }
        }
        self.standings(&mut writing);
        let locked_by = self.odd(2).then_some(700);
        self.close(writing, 0, file, locked_by);
    }
}

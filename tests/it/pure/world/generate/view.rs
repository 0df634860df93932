//! What of the world can be seen.

use super::super::{Kind, Look, Opened, Sight, World};
use super::{BOOT, Maker, NOW, OWN_PID};

impl Maker {
    /// The world as one onlooker sees it.
    pub fn view(mut self) -> World {
        self.things.sort_by_key(|thing| (thing.kind, thing.id & 0x7fff));
        let uid = if self.odd(8) { self.dice.pick(&[1001, 1002, 3001]) } else { 0 };
        if uid != 0 {
            self.closed_to(uid);
        }
        let sight = match self.odd(7) {
            true => self.dice.pick(&[Sight::Namespace, Sight::Part]),
            false => Sight::Everybody,
        };
        let hidden = self.hidden();
        let blocked = self.blocked();
        let unasked = self.some_processes(2);
        let opened = self.opened();
        let names = if self.odd(4) { vec![self.a_name()] } else { Vec::new() };
        let read = [!self.odd(2), !self.odd(2), !self.odd(2), !self.odd(2), !self.odd(2)];
        let [sets, queues, _, waits, callers] = read;
        let set_back = if self.odd(6) { self.dice.pick(&[-5000, 5000, 600]) } else { 0 };
        let jitter = i64::try_from(self.dice.below(200)).unwrap();
        let descendants =
            if self.odd(2) { self.processes.last().map(|one| one.process) } else { None };
        World {
            uid,
            pid: OWN_PID,
            now: BOOT + NOW,
            clock_ahead_ms: BOOT * 1000 + set_back + jitter,
            sight,
            hidden,
            other_names: if self.odd(3) { None } else { Some(names) },
            segments_were_read: true,
            files_were_read: true,
            processes_were_read: true,
            sets_were_read: sets,
            queues_were_read: queues,
            waits_were_read: waits,
            callers_were_read: callers,
            blocked,
            unasked,
            opened,
            include_clean: self.dice.percent(8),
            starting: self.dice.percent(5),
            descendants: descendants.into_iter().collect(),
            here: self.here,
            ledgers: self.ledgers,
            things: self.things,
            processes: self.processes,
            directories: self.directories,
        }
    }

    /// Whoever is not root may look into its own processes only.
    fn closed_to(&mut self, uid: u32) {
        for one in &mut self.processes {
            if one.process.0 == OWN_PID {
                one.uids = Some([uid; 4]);
            } else if one.uids != Some([uid; 4]) {
                (one.maps, one.program) = (Some(Look::Denied), Look::Denied);
                (one.works_in, one.same_ipc) = (Look::Denied, None);
            }
        }
    }

    /// Pids that `/proc` does not show and the kernel says are there.
    fn hidden(&mut self) -> Vec<i32> {
        let mut hidden = Vec::new();
        if self.odd(5) && !self.past.is_empty() {
            hidden.push(self.dice.pick(&self.past.clone()).0);
        }
        if self.odd(3) && !self.things.is_empty() {
            let thing = self.dice.pick(&self.things.clone());
            hidden.extend(thing.users.first().copied());
            hidden.push(thing.creator_pid);
        }
        hidden.retain(|pid| *pid > 1 && !self.processes.iter().any(|one| one.process.0 == *pid));
        hidden.sort_unstable();
        hidden.dedup();
        hidden
    }

    fn blocked(&mut self) -> Vec<(i32, Kind, i32)> {
        let calls = self.things.iter().filter(|one| matches!(one.kind, Kind::Sem | Kind::Msg));
        let calls: Vec<(Kind, i32)> = calls.map(|one| (one.kind, one.id)).collect();
        let mut blocked = Vec::new();
        for (kind, id) in calls {
            if self.odd(4) {
                let pids: Vec<i32> = self.living();
                blocked.push((self.dice.pick(&pids), kind, id));
            }
        }
        blocked
    }

    fn living(&self) -> Vec<i32> {
        let living = self.processes.iter().filter(|one| !one.has_ended);
        living.map(|one| one.process.0).collect()
    }

    fn some_processes(&mut self, chance: u64) -> Vec<i32> {
        let mut some = self.living();
        some.retain(|pid| *pid != OWN_PID && self.odd(chance));
        some
    }

    fn opened(&mut self) -> Option<Opened> {
        if self.odd(3) {
            return None;
        }
        let mut opened = Opened { closed: self.some_processes(2), ..Opened::default() };
        let files = self.things.iter().filter(|thing| thing.kind == Kind::Posix);
        let files: Vec<(u64, u64)> = files.map(|file| (file.dev, file.ino)).collect();
        for file in files {
            if self.odd(4) {
                let pids = self.living();
                opened.by.push((file, self.dice.pick(&pids)));
            }
            if self.odd(2) {
                opened.locked.push(file);
            }
        }
        Some(opened)
    }

    /// A name in `/dev/shm` that is a directory, perhaps one that a list names.
    fn a_name(&mut self) -> String {
        let files = self.things.iter().filter(|thing| thing.kind == Kind::Posix);
        let names: Vec<String> = files.map(|file| file.name.clone()).collect();
        let gone = "some-directory".to_owned();
        let name = if names.is_empty() { gone.clone() } else { self.dice.pick(&names) };
        self.things.retain(|thing| thing.kind != Kind::Posix || thing.name != name);
        if self.dice.percent(90) { name } else { gone }
    }
}

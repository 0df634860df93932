//! What a living server's own header tells: that this is its main segment, its data directory,
//! and, of a PostgreSQL, its control segment. A copy is kept, so that nobody has to attach the
//! segment for it when the server is dead.

use std::collections::BTreeMap;

use shmwarden::Result;
use shmwarden::attribute;
use shmwarden::engine::{self, Engine, MainHeader, postgres};
use shmwarden::ledger::Ledger;
use shmwarden::ledger::copied::CopiedHeader;
use shmwarden::ledger::record::{How, ObjectSeen, Record, Role};
use shmwarden::object::Identity;
use shmwarden::snapshot::{contents, identity_of, shm_files};
use shmwarden::sys::shm::Row;

use super::Watch;
use super::claim;

/// Looks at one main segment's header before it is left to the death of the server.
const HEADER_TRIES: u32 = 200;

impl Watch {
    /// Reads the server's header, through its memory, until it is there, is copied and, of a
    /// PostgreSQL, names the control segment.
    pub(super) fn read_header(&mut self, ledger: &mut Ledger, rows: &[Row]) -> Result<()> {
        let has_control = self.has(ledger, |engine| engine.lists_its_memory);
        if !self.has(ledger, |engine| engine.has_interlock) || self.header_tries > HEADER_TRIES {
            return Ok(());
        }
        let Some(run) = ledger.book.runs.get(&self.run) else {
            return Ok(());
        };
        let ours: Vec<ObjectSeen> = ledger
            .book
            .open_objects()
            .filter(|o| o.run == self.run && matches!(o.role, Role::Other | Role::Main))
            .map(attribute::seen_again)
            .collect();
        let listed =
            !has_control || ledger.book.open_objects().any(|object| object.role == Role::Control);
        let mut mains = ours.iter().filter(|object| object.role == Role::Main).peekable();
        let main_known = mains.peek().is_some();
        let all_copied = mains.all(|main| main.header.is_some());
        if main_known && all_copied && listed {
            return Ok(());
        }
        let engines: BTreeMap<i32, Engine> =
            run.claims.iter().map(|claim| (claim.process.pid, claim.engine)).collect();
        self.header_tries += 1;
        for seen in ours {
            let Identity::Shm(segment) = &seen.identity else {
                continue;
            };
            let (pid, id, maker) = (segment.creator_pid, segment.id, segment.creator_uid);
            let Some(&engine) = engines.get(&pid) else {
                continue;
            };
            let Some(bytes) = contents::of_living(pid, id, engine::HEADER_BYTES) else {
                continue;
            };
            let header = engine.main_header(&bytes).filter(|header| header.pid == pid);
            let Some(header) = header else {
                continue;
            };
            self.note_directory(ledger, pid, &header)?;
            // What was copied once is all there: nothing in it changes while the server lives.
            let copy = seen.header.or_else(|| CopiedHeader::of(engine, pid, &bytes));
            if seen.role != Role::Main || copy != seen.header {
                let role = Role::Main;
                ledger.note(Record::Object(ObjectSeen { role, header: copy, ..seen }))?;
            }
            if let Some(control) = header.control.handle() {
                self.note_control(ledger, control, maker, rows)?;
            }
        }
        Ok(())
    }

    /// Claims the data directory that the header names, where the command line named another.
    fn note_directory(&self, ledger: &mut Ledger, pid: i32, header: &MainHeader) -> Result<()> {
        let claims = self.run(ledger).map_or(&[][..], |run| &run.claims);
        let old = claims.iter().find(|claim| claim.process.pid == pid && claim.ended.is_none());
        match old.and_then(|old| claim::with_directory(old, header)) {
            Some(claim) => ledger.note(Record::Claim(claim)),
            None => Ok(()),
        }
    }

    /// Records the control segment that a header names.
    fn note_control(
        &mut self,
        ledger: &mut Ledger,
        handle: u32,
        maker: u32,
        rows: &[Row],
    ) -> Result<()> {
        // What the header names and another user made is not the server's own.
        let fits = |uid: u32| uid == maker;
        let name = postgres::posix_name(handle);
        let file = match &self.mount {
            Some(mount) => shm_files::one(&name.0, mount)?.filter(|file| fits(file.uid)),
            None => None,
        };
        if let Some(file) = file {
            let identity = Identity::Posix(file);
            if !attribute::is_recorded(&ledger.book, &identity) {
                return self.note(ledger, How::Listed, Role::Control, identity, None);
            }
        }
        let key = postgres::sysv_key(handle);
        for row in rows.iter().filter(|row| row.perm.key == key && fits(row.perm.creator_uid)) {
            let identity = Identity::Shm(identity_of(row));
            let known = ledger.book.open_objects().find(|object| object.identity == identity);
            match known.map(attribute::seen_again) {
                Some(seen) if seen.role == Role::Other => {
                    let seen = ObjectSeen { role: Role::Control, ..seen };
                    ledger.note(Record::Object(seen))?;
                }
                Some(_) => {}
                None => self.note(ledger, How::Listed, Role::Control, identity, None)?,
            }
        }
        Ok(())
    }
}

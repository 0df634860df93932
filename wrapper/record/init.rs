//! PID 1, which starts everything else: whatever its descendants make would pass for its own.

use std::path::Path;

use shmwarden::proc::{maps, read};
use shmwarden::snapshot::{self, Seen, place};

use super::{refusal::Refusal, target::Target};
use crate::render::text::safe;

/// Refuses the machine's init, and warns of a container's, where it has no shared memory at all.
///
/// # Errors
/// A refusal.
pub(super) fn look(target: &Target) -> Result<(), Refusal> {
    if target.process.pid != 1 || target.engine.is_known() || has_shared_memory() {
        return Ok(());
    }
    let inode = read::namespace_inode(1, "pid").ok().and_then(Seen::here);
    doubt(&target.program, inode.is_some_and(place::is_initial))
}

fn doubt(program: &Path, is_machines: bool) -> Result<(), Refusal> {
    let program = safe(&program.to_string_lossy());
    if is_machines {
        return Err(Refusal::Init { program });
    }
    log::warn!(
        "process 1 ({program}) has no shared memory: if it is only this container's init, and has \
         started the server, record the server's own process instead"
    );
    Ok(())
}

/// Checks that PID 1 has created a segment that is there, or has any shared memory mapped.
fn has_shared_memory() -> bool {
    let created = snapshot::segments().unwrap_or_default().iter().any(|row| row.creator_pid == 1);
    let Ok(Seen::Here(raw)) = read::maps(1) else { return created };
    let devices = read::sysv_devices();
    created
        || maps::lines(&raw).any(|mapping| {
            mapping.sysv_shmid_on(&devices).is_some() || mapping.path.starts_with(b"/dev/shm/")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machines_init_is_refused_and_a_containers_may_be_the_server() {
        assert!(matches!(doubt(Path::new("/sbin/init"), true), Err(Refusal::Init { .. })));
        assert!(doubt(Path::new("/sbin/init"), false).is_ok());
    }
}

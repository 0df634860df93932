//! The ledgers that living processes of this program hold open, wherever they lie.

use std::os::unix::ffi::OsStrExt;

use shmwarden::judge::status::{Unlooked, Whose};
use shmwarden::proc::Seen;
use shmwarden::snapshot::owners;

use super::find::{Place, Source, Told};

/// Most processes that are looked into.
const MOST: usize = 1024;

/// The ledgers of these processes.
pub(super) fn places(pids: &[i32]) -> Told {
    let mut told = Told::default();
    for &pid in pids.iter().take(MOST) {
        // What is recorded in another container is about nothing that is here.
        let concerns = || owners::concerns_this_place(pid);
        match owners::held_open(pid) {
            Seen::Here(files) => {
                for file in files {
                    let known = |place: &Place| place.spot.file == Some((file.dev, file.ino));
                    if told.places.iter().any(known) || !concerns() {
                        continue;
                    }
                    let is_deleted = file.path.as_os_str().as_bytes().ends_with(b" (deleted)");
                    let mut place = Place::new(Source::Process(pid), file.path).of_user(file.owner);
                    place.spot.file = Some((file.dev, file.ino));
                    // The name that it had may be another file's by now, whatever it is called.
                    if is_deleted {
                        place.spot.rights = None;
                    }
                    told.places.push(place);
                }
            }
            Seen::Gone => {}
            Seen::Denied if concerns() => {
                let place = format!("what process {pid} of shmwarden has open");
                told.unlooked.push(Unlooked { place, whose: Whose::Anybody });
            }
            Seen::Denied => {}
        }
    }
    if pids.len() > MOST {
        let place = format!("what {} more processes of shmwarden have open", pids.len() - MOST);
        told.unlooked.push(Unlooked { place, whose: Whose::Anybody });
    }
    told
}

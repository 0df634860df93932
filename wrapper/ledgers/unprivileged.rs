//! The places of a user who is not root: his default place, and what is his below root's.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use shmwarden::judge::status::{Unlooked, Whose};
use shmwarden::proc::{Seen, read};
use shmwarden::snapshot::owners;

use super::find::{Place, Source, Told};
use super::{ENDING, ROOTS, default_directory};

/// Most entries of root's place that are looked at.
const MOST: usize = 4096;

/// The places of this user.
pub(super) fn places(uid: u32) -> Told {
    let mut told = Told::default();
    told.places.push(Place::new(Source::Default, default_directory()));
    // Of the ledgers of others nothing is known here.
    let place = "the ledgers of other users (run this as root)".to_owned();
    told.unlooked.push(Unlooked { place, whose: Whose::OthersThan(uid) });
    of_services(Path::new(ROOTS), uid, true, &mut told);
    told
}

/// The processes of this program that are this user's, and of no other rights.
pub(super) fn launchers(uid: u32) -> Vec<i32> {
    let is_his = |pid: &i32| {
        let status = read::status(*pid).ok().and_then(Seen::here);
        status.is_some_and(|status| status.uids == [uid; 4])
    };
    owners::look(None).ours.into_iter().filter(is_his).collect()
}

/// The directories of this user's services (`StateDirectory=shmwarden/%N`), and his ledgers there.
/// Root's may have what is this user's too, and are closed to him.
fn of_services(directory: &Path, uid: u32, deeper: bool, told: &mut Told) {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return,
        Err(error) => {
            // A directory of another user's has nothing of this one's.
            if directory.symlink_metadata().is_ok_and(|found| found.uid() == 0) {
                let place = format!("{} ({error})", directory.to_string_lossy());
                told.unlooked.push(Unlooked { place, whose: Whose::RootsAlone });
            }
            return;
        }
    };
    for entry in entries.flatten().take(MOST) {
        let path: PathBuf = entry.path();
        let Ok(found) = path.symlink_metadata() else { continue };
        if found.is_dir() && found.uid() == uid {
            told.places.push(Place::new(Source::Default, path));
        } else if found.is_dir() && deeper {
            of_services(&path, uid, false, told);
        } else if path.extension().is_some_and(|ending| ending == ENDING) {
            if found.uid() == uid {
                told.places.push(Place::new(Source::Default, path));
            } else if found.uid() == 0 {
                let place = path.to_string_lossy().into_owned();
                told.unlooked.push(Unlooked { place, whose: Whose::RootsAlone });
            }
        }
    }
}

//! The default places of users: below the home that the user database names.

use std::path::PathBuf;

use nix::unistd::{Uid, User};
use shmwarden::judge::status::{Unlooked, Whose};

use super::find::{Place, Source, Told};

/// The place of a user's ledgers below the home directory.
const BELOW_HOME: &str = ".local/state/shmwarden";

/// The default places of these users, root's left out.
pub(super) fn places(uids: impl Iterator<Item = u32>) -> Told {
    let mut told = Told::default();
    for uid in uids.filter(|uid| *uid != 0) {
        match account(uid) {
            Ok(account) => {
                let (home, gid) = account.unwrap_or_else(|| (PathBuf::from("/"), uid));
                let place = Place::new(Source::User(uid), home.join(BELOW_HOME));
                told.places.push(place.of_user((uid, gid)));
            }
            Err(error) => {
                let place = format!("the default place of user {uid} ({error})");
                told.unlooked.push(Unlooked { place, whose: Whose::User(uid) });
            }
        }
    }
    told
}

/// Home and group of a user; `None` where there is no such account.
fn account(uid: u32) -> nix::Result<Option<(PathBuf, u32)>> {
    let look = || User::from_uid(Uid::from_raw(uid));
    // Asked again where that fails for a moment.
    let account = look().or_else(|_| look())?;
    Ok(account.map(|account| (account.dir, account.gid.as_raw())))
}

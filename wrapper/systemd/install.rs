//! `--install` and `--remove`: what is to become of each file, asked first and carried out then.
//! A file that somebody else wrote, or has changed since, is left as it is.

use std::path::{Path, PathBuf};

use super::drop_in::{self, DropIn};
use super::files::Change;
use super::mark::{Writer, marked, writer};
use crate::exit;
use crate::units::ask::NoAnswer;
use crate::units::cluster::{Cluster, starts_us};
use crate::units::pg_ctl::{self, Edit};
use crate::units::settings;

/// Everybody may read it.
const READABLE: u32 = 0o644;
/// Everybody may execute it.
const EXECUTABLE: u32 = 0o755;

/// What is to be done, in this order, and what is left as it is.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The files that change.
    pub(super) files: Vec<Change>,
    /// What is not taken back, since somebody has changed it or wrote it; each as a sentence.
    pub(super) kept: Vec<String>,
    /// What is not taken back, since another unit needs it.
    pub(super) shared: Vec<String>,
}

fn refused(text: String) -> NoAnswer {
    NoAnswer { status: exit::USAGE, text }
}

/// Returns what has to be changed so that the unit has all that it needs.
pub(super) fn wanted(drop_in: &DropIn) -> Result<Changes, NoAnswer> {
    let mut changes = Changes::default();
    if let Some((cluster, (script, text))) = drop_in.cluster.as_ref().zip(drop_in.script()) {
        let binary = cluster.binary();
        if !Path::new(&binary).exists() {
            return Err(refused(format!("there is no server {binary} for {}", drop_in.unit)));
        }
        if !cluster.is_done || is_ours_in(&cluster.configuration, &script)? {
            let own = settings::read(Path::new(&script), false)?;
            let is_own = own.is_none_or(|(text, _)| writer(&text) == Writer::Ours);
            // One that somebody has put there, or has changed, serves as well.
            if is_own || !starts_us(&script) {
                changes.files.extend(written(PathBuf::from(script), marked(&text), EXECUTABLE)?);
            }
            changes.files.extend(option_named(cluster)?);
        }
    }
    let path = PathBuf::from(drop_in.path());
    match drop_in.adds_nothing() {
        true => gone(path, &mut changes)?,
        false => changes.files.extend(written(path, drop_in.text(), READABLE)?),
    }
    Ok(changes)
}

/// Checks that a `pg_ctl.conf` names the script of `--install`, and not one of the host's own.
fn is_ours_in(configuration: &str, script: &str) -> Result<bool, NoAnswer> {
    let text = settings::read(Path::new(configuration), true)?;
    Ok(text.is_some_and(|(text, _)| pg_ctl::program_of(&text) == Some(script)))
}

/// A file of root's with this text.
fn written(path: PathBuf, text: String, mode: u32) -> Result<Option<Change>, NoAnswer> {
    let found = settings::read(&path, false)?;
    let before = found.as_ref().map(|(text, _)| text.clone());
    match &before {
        Some(before) if *before == text && found.is_some_and(|(_, found)| found == mode) => {
            return Ok(None);
        }
        // A shell has emptied it for what this program prints.
        Some(before) if !before.is_empty() && writer(before) != Writer::Ours => {
            let (path, who) = (path.display(), who(before));
            return Err(refused(format!(
                "{path} is there and {who}: nothing was changed. Move it away to have it written \
                 anew"
            )));
        }
        _ => {}
    }
    Ok(Some(Change { path, before, after: Some(text), mode, is_users: false }))
}

fn who(text: &str) -> &'static str {
    match writer(text) {
        Writer::Ours => "was written by shmwarden",
        Writer::Changed => "was changed since shmwarden wrote it",
        Writer::Other => "was not written by shmwarden systemd",
    }
}

/// The line of `pg_ctl.conf` that names the script.
fn option_named(cluster: &Cluster) -> Result<Option<Change>, NoAnswer> {
    let path = PathBuf::from(&cluster.configuration);
    let Some((before, mode)) = settings::read(&path, true)? else {
        return Err(refused(format!("there is no {}", path.display())));
    };
    let script = cluster.script();
    let shown = path.display();
    match pg_ctl::named(&before, &script) {
        Edit::Nothing => Ok(None),
        Edit::Text(text) => {
            let (before, after) = (Some(before), Some(text));
            Ok(Some(Change { path, before, after, mode, is_users: true }))
        }
        Edit::Other(other) => Err(refused(format!(
            "{shown} names another program for the server already (-p {other}): nothing was \
             changed. Take that out, or have that program start 'shmwarden run --in-place'"
        ))),
        Edit::Odd(line) => Err(refused(format!(
            "{shown} has a line that is not understood: {line}; nothing was changed. Write it as \
             pg_ctl_options = '...'"
        ))),
    }
}

/// Returns what has to be changed to take back what `--install` put in place for a unit, which
/// need not be there any more.
pub(super) fn taken_back(unit: &str) -> Result<Changes, NoAnswer> {
    let mut changes = Changes::default();
    if let Some(cluster) = Cluster::of_unit(unit) {
        changes.files.extend(option_taken_back(&cluster)?);
        let script = PathBuf::from(cluster.script());
        match cluster.other_user().filter(|_| script.exists()) {
            Some(other) => changes.shared.push(format!(
                "{} stays: {} names it too",
                script.display(),
                other.display()
            )),
            None => gone(script, &mut changes)?,
        }
    }
    gone(PathBuf::from(drop_in::path_for(unit)), &mut changes)?;
    Ok(changes)
}

fn gone(path: PathBuf, changes: &mut Changes) -> Result<(), NoAnswer> {
    let Some((before, mode)) = settings::read(&path, false)? else {
        return Ok(());
    };
    if writer(&before) == Writer::Ours {
        let before = Some(before);
        changes.files.push(Change { path, before, after: None, mode, is_users: false });
    } else {
        changes.kept.push(format!("{} stays: it {}", path.display(), who(&before)));
    }
    Ok(())
}

fn option_taken_back(cluster: &Cluster) -> Result<Option<Change>, NoAnswer> {
    let path = PathBuf::from(&cluster.configuration);
    let Some((before, mode)) = settings::read(&path, true)? else {
        return Ok(None);
    };
    Ok(match pg_ctl::unnamed(&before, &cluster.script()) {
        Edit::Text(text) => {
            let (before, after) = (Some(before), Some(text));
            Some(Change { path, before, after, mode, is_users: true })
        }
        _ => None,
    })
}

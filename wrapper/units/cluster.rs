//! One of Debian's clusters, as postgresql-common lays it out: its `pg_ctl.conf`, the script that
//! stands for the server's program, and the ledgers of its user.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{pg_ctl, settings};

/// Where clusters are set up.
const CLUSTERS: &str = "/etc/postgresql";
/// The directory of the scripts that stand for a server's program. No package has it: a start needs
/// nothing that goes with one.
const SCRIPTS: &str = "/etc/shmwarden/in-place";
/// What a script of ours does, whoever wrote it.
const STARTS_US: &str = "shmwarden run --in-place";

/// One of Debian's clusters.
#[derive(Debug)]
pub(crate) struct Cluster {
    /// The major.
    pub(crate) version: String,
    /// Its `pg_ctl.conf`.
    pub(crate) configuration: String,
    /// The directory of its user's ledgers.
    pub(crate) ledgers: String,
    /// Set where its `pg_ctl.conf` names a script that starts us.
    pub(crate) is_done: bool,
}

impl Cluster {
    /// The cluster of `postgresql@15-main.service`.
    pub(crate) fn of_unit(unit: &str) -> Option<Self> {
        let (template, instance) = unit.strip_suffix(".service")?.split_once('@')?;
        let (version, name) = instance.split_once('-')?;
        let is_version = version.starts_with(|c: char| c.is_ascii_digit())
            && version.chars().all(|c| c.is_ascii_digit() || c == '.');
        if template != "postgresql" || !is_version || name.starts_with('.') {
            return None;
        }
        let directory = Path::new(CLUSTERS).join(version).join(name);
        // The directory belongs to the user that the server runs as.
        let owner = directory.metadata().ok()?.uid();
        let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(owner)).ok().flatten();
        let home = user.map_or_else(|| PathBuf::from("/var/lib/postgresql"), |user| user.dir);
        let configuration = directory.join("pg_ctl.conf");
        Some(Self {
            version: version.to_owned(),
            is_done: is_done(&configuration),
            configuration: configuration.display().to_string(),
            ledgers: home.join(".local/state/shmwarden").display().to_string(),
        })
    }

    /// The server's program.
    pub(crate) fn binary(&self) -> String {
        format!("/usr/lib/postgresql/{}/bin/postgres", self.version)
    }

    /// The script that stands for it.
    pub(crate) fn script(&self) -> String {
        format!("{SCRIPTS}/{}/postgres", self.version)
    }

    /// Returns the `pg_ctl.conf` of another cluster that names the same script, or could not be
    /// read.
    pub(crate) fn other_user(&self) -> Option<PathBuf> {
        let directory = Path::new(CLUSTERS).join(&self.version);
        let entries = std::fs::read_dir(directory).ok()?;
        let files = entries.flatten().map(|entry| entry.path().join("pg_ctl.conf"));
        let mut others = files.filter(|path| *path != Path::new(&self.configuration));
        let script = self.script();
        others.find(|path| match settings::read(path, true) {
            Ok(Some((text, _))) => text.contains(&script),
            Ok(None) => false,
            Err(_) => path.exists(),
        })
    }
}

/// Checks that a `pg_ctl.conf` names a script that starts us.
fn is_done(configuration: &Path) -> bool {
    let text = settings::read(configuration, true).ok().flatten();
    text.is_some_and(|(text, _)| pg_ctl::program_of(&text).is_some_and(starts_us))
}

/// Checks that a script starts us.
pub(crate) fn starts_us(path: &str) -> bool {
    let script = settings::read(Path::new(path), false).ok().flatten();
    script.is_some_and(|(text, mode)| mode & 0o111 != 0 && text.contains(STARTS_US))
}

/// The units of the clusters of this host.
pub(crate) fn units() -> Vec<String> {
    let below = |path: PathBuf| -> Vec<String> {
        let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
    };
    let mut found = Vec::new();
    for version in below(PathBuf::from(CLUSTERS)) {
        let directory = Path::new(CLUSTERS).join(&version);
        for name in below(directory.clone()) {
            if directory.join(&name).join("postgresql.conf").exists() {
                found.push(format!("postgresql@{version}-{name}.service"));
            }
        }
    }
    found.sort();
    found
}

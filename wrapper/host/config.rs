//! Configuration files that others wrote: those of systemd, with their drop-ins, in the order in
//! which they count, and small files of `/etc`. Bounded, and never a wait for a pipe.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::libc::{O_CLOEXEC, O_NONBLOCK};
use shmwarden::proc::Seen;

/// Where systemd looks for its files, the first that has one counts (systemd-system.conf(5)).
const DIRECTORIES: [&str; 4] =
    ["/etc/systemd", "/run/systemd", "/usr/local/lib/systemd", "/usr/lib/systemd"];

/// Most of a file that is read, in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// Most drop-ins that are read.
const MOST_FILES: usize = 1000;

/// A configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ConfigFile {
    /// Its path.
    pub(crate) path: PathBuf,
    /// What it says; [`Seen::Denied`] also where it is no file, or larger than 1 MiB.
    pub(crate) text: Seen<Vec<u8>>,
}

/// The file of this name of systemd's (`logind.conf`) and its drop-ins; what stands later counts.
pub(crate) fn of_systemd(name: &str) -> Vec<ConfigFile> {
    in_directories(&DIRECTORIES.map(Path::new), name)
}

fn in_directories(directories: &[&Path], name: &str) -> Vec<ConfigFile> {
    let main = directories.iter().map(|directory| directory.join(name));
    let main = main.into_iter().map(file).find(|found| found.text != Seen::Gone);
    // By name, wherever they lie; of two with one name the first directory's counts.
    let mut drop_ins: BTreeMap<std::ffi::OsString, PathBuf> = BTreeMap::new();
    for directory in directories {
        let entries = std::fs::read_dir(directory.join(format!("{name}.d")));
        for entry in entries.into_iter().flatten().flatten().take(MOST_FILES) {
            let path = entry.path();
            if path.extension().is_some_and(|ending| ending == "conf") {
                drop_ins.entry(entry.file_name()).or_insert(path);
            }
        }
    }
    main.into_iter().chain(drop_ins.into_values().map(file)).collect()
}

/// One file; a link is followed (one to /dev/null is the way to switch a file off).
pub(crate) fn file(path: PathBuf) -> ConfigFile {
    let text = match read(&path) {
        Ok(bytes) => Seen::Here(bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Seen::Gone,
        Err(_) => Seen::Denied,
    };
    ConfigFile { path, text }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK | O_CLOEXEC).open(path)?;
    let kind = file.metadata()?.file_type();
    if !kind.is_file() {
        use std::os::unix::fs::FileTypeExt;
        // An empty file, as far as anybody who reads it is concerned.
        let null = kind.is_char_device() && std::fs::canonicalize(path)? == Path::new("/dev/null");
        return if null { Ok(Vec::new()) } else { Err(io::ErrorKind::InvalidInput.into()) };
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

/// Whether systemd runs this machine (sd_booted(3)).
pub(crate) fn systemd_runs() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// The accounts that linger: their user manager stays when they log out (loginctl(1)).
pub(crate) fn lingering() -> Vec<String> {
    let entries = std::fs::read_dir("/var/lib/systemd/linger");
    let names = entries.into_iter().flatten().flatten().take(MOST_FILES);
    names.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(files: &[ConfigFile]) -> Vec<String> {
        let text = |file: &ConfigFile| match &file.text {
            Seen::Here(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            other => format!("{other:?}"),
        };
        files.iter().map(text).collect()
    }

    #[test]
    fn the_first_directory_that_has_a_file_counts_and_drop_ins_are_sorted_by_name() {
        let scratch = tempfile::tempdir().unwrap();
        let (etc, usr) = (scratch.path().join("etc"), scratch.path().join("usr"));
        for (path, text) in [
            (etc.join("l.conf.d/50-b.conf"), "etc b"),
            (usr.join("l.conf.d/50-b.conf"), "usr b, hidden"),
            (usr.join("l.conf.d/10-a.conf"), "usr a"),
            (usr.join("l.conf.d/90-c.conf.bak"), "no drop-in"),
            (usr.join("l.conf"), "usr main"),
        ] {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let files = || in_directories(&[&etc, &usr], "l.conf");
        assert_eq!(texts(&files()), ["usr main", "usr a", "etc b"]);
        std::fs::write(etc.join("l.conf"), "etc main").unwrap();
        std::os::unix::fs::symlink("/dev/null", etc.join("l.conf.d/10-a.conf")).unwrap();
        assert_eq!(texts(&files()), ["etc main", "", "etc b"]);
    }

    #[test]
    fn a_pipe_a_directory_and_a_huge_file_are_not_read() {
        let scratch = tempfile::tempdir().unwrap();
        let path = |name: &str| scratch.path().join(name);
        nix::unistd::mkfifo(&path("pipe"), nix::sys::stat::Mode::from_bits_truncate(0o600))
            .unwrap();
        std::fs::write(path("huge"), vec![b'#'; (MOST_BYTES + 1) as usize]).unwrap();
        for name in ["pipe", "huge", "."] {
            assert_eq!(file(path(name)).text, Seen::Denied, "{name}");
        }
        assert_eq!(file(path("none")).text, Seen::Gone);
    }
}

//! Any server: what can be said without knowing it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::{Engine, Facts, postgres};

impl Engine {
    /// Any program. Its main segment, if it has one, is taken for a PostgreSQL's, which may run
    /// under another name.
    pub const GENERIC: Self = Self::of(&Facts {
        name: "generic",
        title: "any server",
        help: "Any server",
        programs: &[],
        data: None,
        starts_server: |_| true,
        main_header: postgres::main_header,
        known_by_header: false,
        has_interlock: false,
        has_one_segment: false,
        lists_its_memory: false,
        detaches_before_removal: false,
        set_mark: None,
        leaks_on_clean_exit: false,
    });
}

/// The name of an instance from its data directory, escaped as `systemd-escape --path` does, or
/// from the base name of its command.
#[must_use]
pub fn instance_name(data: Option<&Path>, command: &Path) -> String {
    match data {
        Some(data) => escape_path(data.as_os_str().as_bytes()),
        None => {
            let base = command.file_name().unwrap_or(OsStr::new("server"));
            escape(base.as_bytes())
        }
    }
}

/// `systemd-escape --path` (`unit-name.c unit_name_path_escape`): `/` becomes `-`.
fn escape_path(path: &[u8]) -> String {
    let parts: Vec<String> = path
        .split(|&byte| byte == b'/')
        .filter(|part| !part.is_empty() && *part != b".")
        .map(escape)
        .collect();
    if parts.is_empty() { "-".to_owned() } else { parts.join("-") }
}

/// Letters, digits, `:`, `_` and inner `.` stay, the rest becomes `\xNN`.
fn escape(part: &[u8]) -> String {
    let mut out = String::new();
    for (index, &byte) in part.iter().enumerate() {
        if byte.is_ascii_alphanumeric()
            || matches!(byte, b':' | b'_')
            || (byte == b'.' && index > 0)
        {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("\\x{byte:02x}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_data_directory_is_escaped_as_systemd_does() {
        let name = |path: &str| instance_name(Some(Path::new(path)), Path::new("x"));
        // Compared with the output of systemd-escape --path.
        assert_eq!(name("/var/lib/postgresql/15/main"), "var-lib-postgresql-15-main");
        assert_eq!(name("/srv/my-data/"), "srv-my\\x2ddata");
        assert_eq!(name("/"), "-");
        assert_eq!(name("/.hidden"), "\\x2ehidden");
    }

    #[test]
    fn without_a_data_directory_the_command_gives_the_name() {
        assert_eq!(instance_name(None, Path::new("/usr/sbin/apache2")), "apache2");
        assert_eq!(instance_name(None, Path::new("/")), "server");
    }
}

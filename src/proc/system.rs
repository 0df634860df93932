//! Single names about the whole machine, and small lists: boot id, pids, control group.
//!
//! It must never make up a value: what does not read as documented is `None`.

use super::{decimal, words};

/// The boot's random uuid, 36 characters in lower case, from `/proc/sys/kernel/random/boot_id`
/// (random(4)).
#[must_use]
pub fn boot_id(bytes: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(bytes).ok()?.trim_ascii_end();
    let fits = |(at, byte)| match at {
        8 | 13 | 18 | 23 => byte == b'-',
        _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
    };
    (text.len() == 36 && text.bytes().enumerate().all(fits)).then(|| text.to_owned())
}

/// The pids in `/proc/<pid>/task/<tid>/children` (proc_tid_children(5)).
pub(super) fn pid_list(bytes: &[u8]) -> Option<Vec<i32>> {
    words(bytes).map(decimal).collect()
}

/// The version 2 path in `/proc/<pid>/cgroup` (cgroups(7)), else the whole first line.
pub(super) fn cgroup_path(bytes: &[u8]) -> &[u8] {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let unified = lines.clone().find_map(|line| line.strip_prefix(b"0::"));
    unified.or_else(|| lines.next()).unwrap_or_default()
}

/// The value of `name` in `/proc/<pid>/environ` (proc_pid_environ(5)): strings ended by NUL, as
/// the process was started, unless it wrote over them.
pub(super) fn environ_value<'a>(environ: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut entries = environ.split(|&byte| byte == 0);
    entries.find_map(|entry| entry.strip_prefix(name)?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UUID: &str = "01234567-89ab-cdef-0123-456789abcdef";

    #[test]
    fn the_pid_limit_is_a_number_on_a_line() {}

    #[test]
    fn a_boot_id_is_a_whole_uuid_or_nothing() {
        assert_eq!(boot_id(format!("{UUID}\n").as_bytes()), Some(UUID.to_owned()));
        for bad in [&UUID[1..], &UUID.to_uppercase(), &UUID.replace('-', "_"), "", "\u{e9}"] {
            assert_eq!(boot_id(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn the_unified_control_group_goes_before_the_old_ones() {
        assert_eq!(cgroup_path(b"2:cpu:/a\n0::/system.slice/x\n"), b"/system.slice/x");
        assert_eq!(cgroup_path(b"2:cpu:/a\n1:name=systemd:/b\n"), b"2:cpu:/a");
        assert_eq!(cgroup_path(b""), b"");
    }

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let environ = b"PGDATA_OLD=/a\0PGDATA=/b\xff=c\0EMPTY=\0PGDATA=/z\0junk";
        assert_eq!(environ_value(environ, b"PGDATA"), Some(&b"/b\xff=c"[..]));
        assert_eq!(environ_value(environ, b"EMPTY"), Some(&b""[..]));
        assert_eq!(environ_value(environ, b"junk"), None);
    }

    #[test]
    fn no_bytes_make_it_panic() {
        let good = format!("{UUID}\nprocesses 7\n0::/x\nA=b\0 12 13 ");
        crate::proc::tests::mutate(good.as_bytes(), |bytes| {
            drop((boot_id(bytes), pid_list(bytes)));
            let _ = (cgroup_path(bytes), environ_value(bytes, b"A"));
        });
    }
}

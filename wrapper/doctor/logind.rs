//! logind's `RemoveIPC=`: at the last logout of a user who is no system user it removes all of that
//! user's IPC, a running server's too (logind.conf(5)). Pure.

use shmwarden::proc::Seen;

use crate::finding::{Finding, Names};
use crate::host::config::ConfigFile;

/// `SYS_UID_MAX` where `/etc/login.defs` does not say: what systemd and shadow are built with.
pub(crate) const USUAL_SYS_UID_MAX: u32 = 999;

/// The setting of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Set where IPC is removed.
    pub(crate) removes: bool,
    /// The file that says so; `None` where none does.
    pub(crate) from: Option<String>,
    /// Files that could not be read, any of which may say otherwise.
    pub(crate) unread: Vec<String>,
}

/// Why a user's IPC matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Interest {
    /// The user has System V objects with keys.
    Objects(u64),
    /// The user has a ledger.
    Ledger,
    /// This process of the user is a known server.
    Server(i32),
}

/// A user whose IPC matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Keeper {
    /// The user.
    pub(crate) uid: u32,
    /// Why: the strongest reason.
    pub(crate) why: Interest,
    /// Set where the user's manager stays after a logout, and the IPC with it (`enable-linger`).
    pub(crate) lingers: bool,
}

/// Reads `RemoveIPC=` out of the files, in the order in which they count.
///
/// The default that the main file shows in a comment counts where none sets it: systemd has `yes`,
/// some distributions are built with `no`, and both ship a file that says so.
pub(crate) fn setting(files: &[ConfigFile]) -> Setting {
    let mut setting = Setting { removes: true, from: None, unread: Vec::new() };
    if let Some(ConfigFile { text: Seen::Here(text), .. }) = files.first() {
        let commented: Vec<u8> = uncommented(text);
        setting.removes = last_value(&commented).unwrap_or(true);
    }
    for file in files {
        let path = || file.path.to_string_lossy().into_owned();
        match &file.text {
            Seen::Here(text) => {
                if let Some(value) = last_value(text) {
                    setting.removes = value;
                    setting.from = Some(path());
                }
            }
            Seen::Denied => setting.unread.push(path()),
            Seen::Gone => {}
        }
    }
    setting
}

/// The file with its comments taken for settings.
fn uncommented(text: &[u8]) -> Vec<u8> {
    let lines = text.split(|&byte| byte == b'\n');
    let bare = lines.map(|line| line.strip_prefix(b"#").unwrap_or(line));
    bare.collect::<Vec<_>>().join(&b'\n')
}

/// The last valid `RemoveIPC=` of `[Login]` (systemd.syntax(7)).
fn last_value(text: &[u8]) -> Option<bool> {
    let (mut in_login, mut value) = (false, None);
    for line in lines(text) {
        let line = line.trim_ascii();
        match line {
            [b'#' | b';', ..] | [] => {}
            [b'[', name @ .., b']'] => in_login = name == b"Login",
            _ => {
                let mut parts = line.splitn(2, |&byte| byte == b'=');
                let name = parts.next().unwrap_or_default().trim_ascii_end();
                let said = parts.next().and_then(|said| boolean(said.trim_ascii()));
                if in_login && name == b"RemoveIPC" {
                    value = said.or(value);
                }
            }
        }
    }
    value
}

/// The lines, those that end with a backslash joined to the next.
fn lines(text: &[u8]) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = Vec::new();
    let mut goes_on = false;
    for line in text.split(|&byte| byte == b'\n') {
        let (part, more) = match line.strip_suffix(b"\\") {
            Some(part) => (part, true),
            None => (line, false),
        };
        match all.last_mut() {
            Some(last) if goes_on => {
                last.push(b' ');
                last.extend_from_slice(part);
            }
            _ => all.push(part.to_vec()),
        }
        goes_on = more;
    }
    all
}

/// A boolean, as systemd reads one.
fn boolean(text: &[u8]) -> Option<bool> {
    let is_one_of = |words: &[&str]| words.iter().any(|w| text.eq_ignore_ascii_case(w.as_bytes()));
    if is_one_of(&["1", "yes", "y", "true", "t", "on"]) {
        Some(true)
    } else if is_one_of(&["0", "no", "n", "false", "f", "off"]) {
        Some(false)
    } else {
        None
    }
}

/// `SYS_UID_MAX` of `/etc/login.defs` (login.defs(5)).
pub(crate) fn sys_uid_max(login_defs: &ConfigFile) -> u32 {
    let Seen::Here(text) = &login_defs.text else {
        return USUAL_SYS_UID_MAX;
    };
    let value = |line: &[u8]| {
        let rest = line.trim_ascii_start().strip_prefix(b"SYS_UID_MAX")?;
        let rest = rest.first().filter(|byte| byte.is_ascii_whitespace()).and(Some(rest))?;
        std::str::from_utf8(rest.trim_ascii()).ok()?.parse().ok()
    };
    text.split(|&byte| byte == b'\n').filter_map(value).next_back().unwrap_or(USUAL_SYS_UID_MAX)
}

/// Findings on logind; `setting` is `None` where systemd does not run the machine.
pub(crate) fn judge(
    setting: Option<&Setting>,
    sys_uid_max: u32,
    keepers: &[Keeper],
    names: Names<'_>,
) -> Vec<Finding> {
    let Some(setting) = setting else {
        return vec![Finding::ok(
            "logind-remove-ipc",
            "systemd does not run this machine: no logind",
        )];
    };
    let mut findings = Vec::new();
    for path in &setting.unread {
        findings.push(Finding::warn(
            "logind-unread",
            format!("{path} cannot be read, so whether logind removes IPC at logout is not sure"),
            "run shmwarden doctor as root",
        ));
    }
    if !setting.removes {
        let by = setting.from.as_deref().unwrap_or("this distribution's default");
        findings.push(Finding::ok("logind-remove-ipc", format!("RemoveIPC=no by {by}")));
        return findings;
    }
    let by = match &setting.from {
        Some(path) => format!("by {path}"),
        None => "by default".to_owned(),
    };
    let at_risk = keepers.iter().filter(|one| one.uid > sys_uid_max && one.uid != NOBODY);
    for keeper in at_risk.filter(|one| !one.lingers) {
        let name = names(keeper.uid);
        let uid = keeper.uid;
        let who = format!("{name} (uid {uid}) is no system user (those end at {sys_uid_max})");
        let fix = format!(
            "RemoveIPC=no under [Login] in /etc/systemd/logind.conf.d/ipc.conf, then systemctl \
             restart systemd-logind; or a system user for the server; or loginctl enable-linger \
             {name}"
        );
        let text = match keeper.why {
            Interest::Server(pid) => format!(
                "logind has RemoveIPC=yes {by}, and {who}, but runs a server (process {pid}): when \
                 {name} logs out for the last time, logind removes semaphores and shared memory \
                 from under it"
            ),
            Interest::Ledger => format!(
                "logind has RemoveIPC=yes {by}, and {who}, but has a ledger here: at the last \
                 logout logind removes what its servers use"
            ),
            Interest::Objects(count) => format!(
                "logind has RemoveIPC=yes {by}, and {who}, but has {count} System V objects with \
                 keys: if they are a server's, the last logout removes them"
            ),
        };
        let id = "logind-remove-ipc";
        findings.push(match keeper.why {
            Interest::Objects(_) => Finding::warn(id, text, fix),
            Interest::Server(_) | Interest::Ledger => Finding::bad(id, text, fix),
        });
    }
    if findings.is_empty() {
        findings.push(Finding::ok(
            "logind-remove-ipc",
            format!("logind has RemoveIPC=yes {by}, and no server here runs as a user it is about"),
        ));
    }
    findings
}

/// `nobody`, a system user whatever its number.
const NOBODY: u32 = 65_534;

#[cfg(test)]
mod tests;

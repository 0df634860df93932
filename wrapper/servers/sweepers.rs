//! What sweeps ledgers on this host without a person: hooks of units, services that a timer starts,
//! lines of the system's crontabs. Asks `systemctl show`, once.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::unistd::User;
use shmwarden::engine::generic;

use super::cover::quoted;
use crate::exit;
use crate::host::config;
use crate::units::ask::systemctl;
use crate::units::{Start, UnitProperties};

/// The properties of services that are asked for.
const OF_SERVICES: &str = "--property=Id,Type,User,StateDirectory,DynamicUser,Environment,Restart,\
                           ExecStart,ExecStartPre,ExecStopPost";
/// Those of timers.
const OF_TIMERS: &str = "--property=Id,Unit,ActiveState,SubState";
/// The values of `Restart=` with which systemd starts a service again after SIGKILL.
const RESTARTS: [&str; 4] = ["always", "on-failure", "on-abnormal", "on-abort"];

/// Most files below `/etc/cron.d` that are read.
const MOST_CRONTABS: usize = 64;

/// What sweeps on this host.
#[derive(Debug, Clone, Default)]
pub(super) struct Sweepers {
    services: Vec<UnitProperties>,
    timers: Vec<UnitProperties>,
    /// The lines of crontabs, each with its file.
    cron: Vec<(PathBuf, String)>,
    /// Set where systemd runs and did not answer.
    is_unasked: bool,
    has_systemd: bool,
}

/// Asks systemd; without it there are none.
pub(super) fn ask() -> Sweepers {
    let cron = crontabs();
    if !config::systemd_runs() {
        return Sweepers { cron, ..Sweepers::default() };
    }
    // Without --all it shows none that does not run, as the service of a timer mostly does not.
    let answers = [(OF_SERVICES, "*.service"), (OF_TIMERS, "*.timer")]
        .map(|(properties, units)| systemctl(&["show", "--all", "--no-pager", properties, units]));
    let mut sweepers = Sweepers { has_systemd: true, cron, ..Sweepers::default() };
    for (at, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(text) => {
                let units = text.split("\n\n").map(UnitProperties::parse).collect();
                *(if at == 0 { &mut sweepers.services } else { &mut sweepers.timers }) = units;
            }
            // There is no systemd after all.
            Err(error) if error.status == exit::UNSUPPORTED => {
                return Sweepers { cron: sweepers.cron, ..Sweepers::default() };
            }
            Err(_) => sweepers.is_unasked = true,
        }
    }
    sweepers
}

impl Sweepers {
    /// Returns what sweeps a ledger after the death of a server of this unit, as words.
    pub(super) fn of(
        &self,
        unit: Option<&str>,
        ledger: &Path,
        data: Option<&Path>,
    ) -> Option<String> {
        let own = unit.and_then(|unit| self.service(unit));
        if let Some(own) = own {
            if sweeps(own, "ExecStopPost", ledger, data) {
                return Some(format!("ExecStopPost= of {}", own.get("Id")));
            }
            let restarts = RESTARTS.contains(&own.get("Restart"));
            if restarts && sweeps(own, "ExecStartPre", ledger, data) {
                return Some(format!("ExecStartPre= of {}", own.get("Id")));
            }
        }
        // One that has elapsed is active, and starts nothing any more.
        let starts = |timer: &&UnitProperties| {
            timer.get("ActiveState") == "active" && timer.get("SubState") != "elapsed"
        };
        let active = self.timers.iter().filter(starts);
        let mut sweeping = active.filter(|timer| {
            let started = self.service(timer.get("Unit"));
            started.is_some_and(|started| sweeps(started, "ExecStart", ledger, data))
        });
        let by_cron = || {
            let mut lines = self.cron.iter();
            let found = lines.find(|(_, line)| line_sweeps(line, ledger, data));
            found.map(|(file, _)| format!("a line of {}", file.display()))
        };
        sweeping.next().map(|timer| timer.get("Id").to_owned()).or_else(by_cron)
    }

    /// Checks that a unit starts what starts servers itself (Patroni, supervisord, cron): no
    /// drop-in of ours fits that.
    pub(super) fn is_managers(&self, unit: &str) -> bool {
        self.service(unit).is_some_and(|unit| unit.manager().is_some())
    }

    fn service(&self, id: &str) -> Option<&UnitProperties> {
        self.services.iter().find(|unit| unit.get("Id") == id && !id.is_empty())
    }

    /// Checks that a unit has hooks that sweep.
    pub(super) fn has_hooks(&self, unit: &str) -> bool {
        let Some(unit) = self.service(unit) else { return false };
        let mut hooks =
            ["ExecStopPost", "ExecStartPre"].iter().flat_map(|name| unit.programs(name));
        hooks.any(|program| program.ours("sweep").is_some())
    }

    /// Checks that what sweeps after a server could not be seen: systemd did not answer, or the
    /// unit is one of a user's own systemd.
    pub(super) fn is_unknown(&self, users_unit: Option<&str>) -> bool {
        self.is_unasked || users_unit.is_some()
    }

    /// Returns the command by which a ledger is swept from now on.
    pub(super) fn by_timer(&self, ledger: &Path) -> String {
        by_timer(&ledger.to_string_lossy(), self.has_systemd)
    }
}

/// A timer of systemd, else a line for cron, in which a `%` begins a new line (crontab(5)). Another
/// user may have named the ledger, and root is to run this: what no line can hold is not proposed.
fn by_timer(ledger: &str, has_systemd: bool) -> String {
    if ledger.contains(char::is_control) {
        return "give the ledger a name without control characters, then ask again".to_owned();
    }
    if has_systemd {
        return format!("systemd-run --on-calendar=minutely shmwarden sweep {}", quoted(ledger));
    }
    let swept = quoted(ledger).replace('%', "\\%");
    let line = format!("* * * * * root shmwarden sweep -q {swept}");
    format!("printf '%s\\n' {} >>/etc/crontab", quoted(&line))
}

/// The lines of the system's crontabs that name this program.
fn crontabs() -> Vec<(PathBuf, String)> {
    let entries = std::fs::read_dir("/etc/cron.d").into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.take(MOST_CRONTABS).map(|entry| entry.path()).collect();
    // cron takes no other names (cron(8), run-parts(8)).
    let is_taken = |name: &OsStr| {
        name.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(byte))
    };
    files.retain(|path| path.file_name().is_some_and(is_taken));
    files.push(PathBuf::from("/etc/crontab"));
    let lines = files.into_iter().flat_map(|path| {
        let text = config::file(path.clone()).text.here().unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let ours = text.lines().filter(|line| line.contains("shmwarden"));
        ours.map(|line| (path.clone(), line.to_owned())).collect::<Vec<_>>()
    });
    lines.collect()
}

/// Checks that a line of a crontab, which has a time, a user and a command (crontab(5)), sweeps a
/// ledger.
fn line_sweeps(line: &str, ledger: &Path, data: Option<&Path>) -> bool {
    let times = if line.trim_start().starts_with('@') { 1 } else { 5 };
    if line.trim_start().starts_with("@reboot") {
        return false;
    }
    let mut words = line.split_whitespace();
    let Some(user) = words.nth(times).filter(|_| !line.trim_start().starts_with('#')) else {
        return false;
    };
    let unit = UnitProperties::parse(&format!("User={user}"));
    let command = words.collect::<Vec<_>>().join(" ");
    // What stands behind another command may never run.
    let first = command.split([';', '|', '&', '>', '<']).next().and_then(Start::of);
    let ours = first.filter(|start| start.is("sweep"));
    ours.is_some_and(|start| reaches(start.options, &unit, ledger, data))
}

/// Checks that a command of a unit sweeps a ledger.
fn sweeps(unit: &UnitProperties, name: &str, ledger: &Path, data: Option<&Path>) -> bool {
    let programs = unit.programs(name);
    let mut commands = programs.iter().filter_map(|program| program.ours("sweep"));
    commands.any(|start| reaches(start.options, unit, ledger, data))
}

/// Checks that a `sweep` with these options reaches a ledger.
fn reaches(options: &str, unit: &UnitProperties, ledger: &Path, data: Option<&Path>) -> bool {
    let mut words = options.split_whitespace().skip_while(|word| *word != "sweep").skip(1);
    let (mut named, mut directories, mut name) = (Vec::new(), Vec::new(), None);
    while let Some(word) = words.next() {
        let (option, value) = match word.split_once('=').filter(|_| word.starts_with("--")) {
            Some((option, value)) => (option, Some(value)),
            None => (word, None),
        };
        let mut value = || value.or_else(|| words.next()).unwrap_or_default();
        match option {
            "--dry-run" | "--help" | "-h" => return false,
            "--dir" => directories.push(PathBuf::from(value())),
            "--name" => name = Some(value().to_owned()),
            "--data" => {
                let path = PathBuf::from(value());
                if data != Some(path.as_path()) {
                    return false;
                }
                name = Some(generic::instance_name(Some(&path), Path::new("")));
            }
            "--wait" => drop(value()),
            _ if option.starts_with('-') => {}
            _ => named.push(PathBuf::from(word)),
        }
    }
    if !named.is_empty() {
        return named.iter().any(|path| path == ledger);
    }
    if directories.is_empty() {
        if let Some(variable) = of_environment(unit) {
            return variable == ledger;
        }
        directories.extend(default_place(unit));
    }
    let is_called = name.is_none_or(|name| ledger.file_stem().is_some_and(|stem| *stem == *name));
    let above = || ledger.ancestors().skip(1).take(2);
    is_called && directories.iter().any(|directory| above().any(|above| above == directory))
}

/// The ledger that the unit's environment names.
fn of_environment(unit: &UnitProperties) -> Option<PathBuf> {
    let mut words = unit.words("Environment").map(|word| word.trim_matches('"'));
    words.find_map(|word| word.strip_prefix("SHMWARDEN_LEDGER=")).map(PathBuf::from)
}

/// The directory in which a command of a unit looks for ledgers where it is told none.
fn default_place(unit: &UnitProperties) -> Option<PathBuf> {
    let entries = unit.words("StateDirectory");
    let mut entries = entries.map(|entry| entry.split(':').next().unwrap_or(entry));
    if let Some(entry) = entries.find(|entry| entry.split('/').any(|part| part == "shmwarden")) {
        let base = if unit.is_on("DynamicUser") { "/var/lib/private" } else { "/var/lib" };
        return Some(Path::new(base).join(entry));
    }
    match unit.get("User") {
        "" | "root" | "0" => Some(PathBuf::from("/var/lib/shmwarden")),
        name => {
            let user = User::from_name(name).ok().flatten()?;
            Some(user.dir.join(".local/state/shmwarden"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(text: &str) -> UnitProperties {
        let line = |line: &str| match line.split_once('=') {
            Some((name, words)) if name.starts_with("Exec") => {
                let path = words.split(' ').next().unwrap();
                format!("{name}={{ path={path} ; argv[]={words} ; ignore_errors=yes ; x }}\n")
            }
            _ => format!("{line}\n"),
        };
        UnitProperties::parse(&text.lines().map(line).collect::<String>())
    }

    fn of(service: &str, ledger: &str) -> Option<String> {
        let services = vec![unit(&format!("Id=pg.service\n{service}"))];
        let sweepers = Sweepers { services, ..Sweepers::default() };
        sweepers.of(Some("pg.service"), Path::new(ledger), Some(Path::new("/srv/pg")))
    }

    const OWN: &str = "/var/lib/shmwarden/pg/srv-pg.ledger";

    #[test]
    fn a_hook_after_the_stop_covers_what_its_own_place_has() {
        let hook = "StateDirectory=shmwarden/pg\nExecStopPost=/usr/bin/shmwarden sweep";
        assert_eq!(of(hook, OWN).unwrap(), "ExecStopPost= of pg.service");
        assert_eq!(of(hook, "/var/lib/shmwarden/other/srv-pg.ledger"), None);
        assert_eq!(
            of("ExecStopPost=/usr/bin/shmwarden sweep", OWN).as_deref(),
            Some("ExecStopPost= of pg.service"),
            "root's place and what is one below"
        );
        assert_eq!(of("ExecStopPost=/usr/bin/shmwarden list", OWN), None);
        assert_eq!(of("ExecStopPost=/usr/bin/shmwarden sweep --dry-run", OWN), None);
    }

    #[test]
    fn a_hook_before_the_start_covers_where_the_service_is_started_again() {
        let hook = "ExecStartPre=/usr/bin/shmwarden sweep\nRestart=";
        for (restart, covers) in [("no", false), ("on-success", false), ("on-failure", true)] {
            assert_eq!(of(&format!("{hook}{restart}"), OWN).is_some(), covers, "{restart}");
        }
    }

    #[test]
    fn what_a_hook_names_is_what_it_sweeps() {
        for (options, covers) in [
            (OWN, true),
            ("/srv/other.ledger", false),
            ("--dir /var/lib/shmwarden", true),
            ("--dir=/srv", false),
            ("--wait 5s --strict", true),
            ("--name srv-pg", true),
            ("--name other", false),
            ("--data /srv/pg", true),
            ("--data /srv/other", false),
        ] {
            let hook = format!("ExecStopPost=/usr/bin/shmwarden sweep {options}");
            assert_eq!(of(&hook, OWN).is_some(), covers, "{options}");
        }
        let variable =
            "Environment=SHMWARDEN_LEDGER=/srv/a.ledger\nExecStopPost=/bin/shmwarden sweep";
        assert_eq!(of(variable, OWN), None);
        assert!(of(variable, "/srv/a.ledger").is_some());
    }

    #[test]
    fn a_unit_that_starts_what_starts_servers_is_told_apart() {
        for (start, is_managers) in [
            ("ExecStart=/usr/bin/patroni /etc/patroni.yml", true),
            ("Type=forking\nExecStart=/usr/bin/pg_ctlcluster 15-main start", false),
            ("Type=notify\nExecStart=/usr/bin/postgres -D /srv/pg", false),
        ] {
            let services = vec![unit(&format!("Id=pg.service\n{start}"))];
            let sweepers = Sweepers { services, ..Sweepers::default() };
            assert_eq!(sweepers.is_managers("pg.service"), is_managers, "{start}");
        }
    }

    #[test]
    fn a_timer_covers_as_long_as_it_runs() {
        for (state, covers) in [("active", true), ("inactive", false)] {
            let service = "Id=s.service\nExecStart=/usr/bin/shmwarden -q sweep";
            let timer = format!("Id=s.timer\nUnit=s.service\nActiveState={state}");
            let sweepers = Sweepers {
                services: vec![unit(service)],
                timers: vec![unit(&timer)],
                ..Sweepers::default()
            };
            let found = sweepers.of(None, Path::new(OWN), None);
            assert_eq!(found, covers.then(|| "s.timer".to_owned()));
        }
    }

    #[test]
    fn a_name_that_somebody_chose_is_no_command() {
        assert_eq!(
            by_timer("/l/a.ledger", false),
            "printf '%s\\n' '* * * * * root shmwarden sweep -q /l/a.ledger' >>/etc/crontab"
        );
        // The shell makes one word of it, and cron's shell one of what it wrote.
        let said = by_timer("/l/a'; touch x; '100%.ledger", false);
        let printed = said.strip_suffix(" >>/etc/crontab").unwrap();
        let shell = |text: &str| {
            let answer = std::process::Command::new("sh").args(["-c", text]).output().unwrap();
            String::from_utf8(answer.stdout).unwrap()
        };
        let line = shell(printed);
        let command = line.trim_end().strip_prefix("* * * * * root shmwarden sweep -q ").unwrap();
        let word = shell(&format!("printf '<%s>' {}", command.replace("\\%", "%")));
        assert_eq!(word, "</l/a'; touch x; '100%.ledger>");
        assert!(!by_timer("/l/a\n* * * * * root x.ledger", false).contains("root x"));
    }

    #[test]
    fn a_line_of_a_crontab_covers_what_its_command_sweeps() {
        for (line, covers) in [
            ("* * * * * root /usr/bin/shmwarden sweep", true),
            ("@hourly root shmwarden -q sweep >/dev/null 2>&1", true),
            (&format!("*/5 * * * * root shmwarden sweep -q {OWN}"), true),
            ("# * * * * * root shmwarden sweep", false),
            ("@reboot root shmwarden sweep", false),
            ("* * * * * root false && shmwarden sweep", false),
            ("* * * * * root shmwarden sweep --help", false),
            ("* * * * * root shmwarden list", false),
            ("* * * * * root shmwarden sweep --dir /srv", false),
            ("* * * * * root echo shmwarden sweep", false),
            ("shmwarden sweep", false),
        ] {
            let cron = vec![(PathBuf::from("/etc/crontab"), line.to_owned())];
            let sweepers = Sweepers { cron, ..Sweepers::default() };
            let found = sweepers.of(None, Path::new(OWN), None);
            assert_eq!(found, covers.then(|| "a line of /etc/crontab".to_owned()), "{line}");
        }
    }
}

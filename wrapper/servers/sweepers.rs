//! What sweeps ledgers on this host without a person: hooks of units, services that a timer starts,
//! lines of the system's crontabs. Asks `systemctl show`, once.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use nix::unistd::User;
use shmwarden::engine::generic;
use shmwarden::snapshot::{Process, Seen};

use super::facts::{Facts, inode};
use crate::exit;
use crate::host::config;
use crate::render::text::word;
use crate::units::ask::systemctl;
use crate::units::{Start, UnitProperties};
use crate::view::View;

/// The properties of services that are asked for.
const OF_SERVICES: &str = "--property=Id,Type,ActiveState,User,StateDirectory,DynamicUser,\
                           PrivateIPC,Environment,Restart,ExecStart,ExecStartEx,ExecStartPre,\
                           ExecStartPreEx,ExecStartPost,ExecStopPost,ExecStopPostEx";
/// Those of timers.
const OF_TIMERS: &str = "--property=Id,Unit,ActiveState,SubState";
/// The values of `Restart=` with which systemd starts a service again after SIGKILL.
const RESTARTS: [&str; 4] = ["always", "on-failure", "on-abnormal", "on-abort"];

/// What runs the lines of the system's crontabs, as units and as processes.
const CRON_UNITS: [&str; 3] = ["cron.service", "crond.service", "cronie.service"];
const CRON: [&[u8]; 2] = [b"cron", b"crond"];
/// How the units of systemd-cron begin, which are made of crontabs.
const CRON_TIMERS: &str = "cron-";
/// Options of `sweep` and `run` with a value that says nothing of the ledger.
const VALUED: [&str; 7] = [
    "--wait",
    "--linger",
    "--orphans",
    "--engine",
    "--if-ledger-fails",
    "--notify",
    "--notify-access",
];
/// Most files below `/etc/cron.d` that are read.
const MOST_CRONTABS: usize = 64;

/// What sweeps on this host.
#[derive(Debug, Clone, Default)]
pub(super) struct Sweepers {
    services: Vec<UnitProperties>,
    timers: Vec<UnitProperties>,
    /// The lines of crontabs, each with its file.
    cron: Vec<(PathBuf, String)>,
    /// Set where what runs those was seen to run.
    cron_runs: bool,
    /// Set where systemd runs and did not answer.
    is_unasked: bool,
    has_systemd: bool,
}

/// What is to be swept after a server's death.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) ledger: &'a Path,
    /// The ledger's owner.
    pub(super) owner: u32,
    pub(super) unit: Option<&'a str>,
    pub(super) data: Option<&'a Path>,
}

/// Asks systemd, where it runs; `view` shows whether cron does.
pub(super) fn ask(view: &View) -> Sweepers {
    let mut sweepers = Sweepers { cron: crontabs(), ..Sweepers::default() };
    sweepers.cron_runs = !sweepers.cron.is_empty() && runs_cron(view);
    if !config::systemd_runs() {
        return sweepers;
    }
    // Without --all it shows none that does not run, as the service of a timer mostly does not.
    let answers = [(OF_SERVICES, "*.service"), (OF_TIMERS, "*.timer")]
        .map(|(properties, units)| systemctl(&["show", "--all", "--no-pager", properties, units]));
    let mut of_systemd = Sweepers { has_systemd: true, ..sweepers.clone() };
    for (at, answer) in answers.into_iter().enumerate() {
        match answer {
            Ok(text) => {
                let units = text.split("\n\n").map(UnitProperties::parse).collect();
                *(if at == 0 { &mut of_systemd.services } else { &mut of_systemd.timers }) = units;
            }
            // There is no systemd after all.
            Err(error) if error.status == exit::UNSUPPORTED => return sweepers,
            Err(_) => of_systemd.is_unasked = true,
        }
    }
    of_systemd.cron_runs |= of_systemd.has_cron_unit();
    of_systemd
}

/// Checks for a cron of root's, in this mount namespace: another reads other crontabs.
fn runs_cron(view: &View) -> bool {
    let is_cron = |process: &&Process| {
        let is_roots = process.uids.is_some_and(|uids| uids[1] == 0);
        let is_busybox = matches!(&process.executable, Seen::Here(path)
            if path.file_name().is_some_and(|name| name == "busybox"));
        CRON.contains(&process.comm.0.as_slice()) && is_roots && !is_busybox
    };
    let own = inode(view.look.pid, "mnt");
    let mut found = view.look.processes.seen().filter(is_cron);
    own.is_some() && found.any(|process| inode(process.process.pid, "mnt") == own)
}

impl Sweepers {
    fn has_cron_unit(&self) -> bool {
        let is_active = |unit: &UnitProperties| unit.get("ActiveState") == "active";
        self.services.iter().any(|one| CRON_UNITS.contains(&one.get("Id")) && is_active(one))
            || self
                .timers
                .iter()
                .any(|one| one.get("Id").starts_with(CRON_TIMERS) && is_active(one))
    }

    /// Returns what sweeps a ledger after the death of a server, as words; or else what seems to
    /// and does not, as a sentence.
    pub(super) fn of(&self, wanted: Wanted<'_>) -> Result<String, Option<String>> {
        let mut near = None;
        for (what, answer) in self.candidates(wanted) {
            match answer {
                Ok(()) => return Ok(what),
                Err(why) => drop(near.get_or_insert_with(|| format!("{what} {why}"))),
            }
        }
        Err(near)
    }

    /// Returns each command that reaches a ledger, with the reason where it sweeps nothing of it.
    fn candidates(&self, wanted: Wanted<'_>) -> Vec<(String, Result<(), String>)> {
        let mut found = Vec::new();
        if let Some(own) = wanted.unit.and_then(|unit| self.service(unit)) {
            let restarts = RESTARTS.contains(&own.get("Restart"));
            let hooks = [
                ("ExecStopPost", "sweep", true),
                ("ExecStartPre", "sweep", restarts),
                ("ExecStart", "run", restarts),
            ];
            for (name, command, _) in hooks.into_iter().filter(|(.., counts)| *counts) {
                let answer = acts(own, name, command, wanted);
                found
                    .extend(answer.map(|answer| (format!("{name}= of {}", own.get("Id")), answer)));
            }
        }
        // One that has elapsed is active, and starts nothing any more.
        let starts = |timer: &&UnitProperties| {
            timer.get("ActiveState") == "active" && timer.get("SubState") != "elapsed"
        };
        for timer in self.timers.iter().filter(starts) {
            let started = self.service(timer.get("Unit")).filter(|one| !one.is_on("PrivateIPC"));
            let answer = started.and_then(|started| acts(started, "ExecStart", "sweep", wanted));
            found.extend(answer.map(|answer| (timer.get("Id").to_owned(), answer)));
        }
        for (file, line) in &self.cron {
            let runs = || match self.cron_runs {
                true => Ok(()),
                false => Err("is there, but no cron is seen to run".to_owned()),
            };
            let answer = line_sweeps(line, wanted).map(|answer| answer.and_then(|()| runs()));
            found.extend(answer.map(|answer| (format!("a line of {}", file.display()), answer)));
        }
        found
    }

    /// Checks that a unit has all that `shmwarden systemd --install` puts in place: what covers its
    /// server is there from the next start.
    pub(super) fn is_set_up(&self, facts: &Facts) -> bool {
        let unit = facts.unit.as_deref().and_then(|unit| self.service(unit));
        unit.is_some_and(|unit| {
            let hooks = unit.programs("ExecStopPost");
            let sweeps = hooks.iter().any(|program| program.ours("sweep").is_some());
            sweeps && (unit.way().is_some() || facts.names_script)
        })
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
        by_timer(ledger, self.has_systemd)
    }
}

/// A timer of systemd, else a line for cron, in which a `%` begins a new line (crontab(5)). Another
/// user may have named the ledger, and root is to run this: what no line can hold is not proposed.
fn by_timer(ledger: &Path, has_systemd: bool) -> String {
    let swept = word(ledger.as_os_str());
    if has_systemd {
        return format!("systemd-run --on-calendar=minutely shmwarden sweep {swept}");
    }
    // cron's shell need not know that.
    if swept.starts_with('$') {
        return "give the ledger a name without control characters, then ask again".to_owned();
    }
    let line = format!("* * * * * root shmwarden sweep -q {}", swept.replace('%', "\\%"));
    format!("printf '%s\\n' {} >>/etc/crontab", word(OsStr::new(&line)))
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
fn line_sweeps(line: &str, wanted: Wanted<'_>) -> Option<Result<(), String>> {
    let line = line.trim_start();
    let times = if line.starts_with('@') { 1 } else { 5 };
    if line.starts_with("@reboot") || line.starts_with('#') {
        return None;
    }
    let mut words = line.split_whitespace();
    let user = words.nth(times)?;
    let unit = UnitProperties::parse(&format!("User={user}"));
    let command = words.collect::<Vec<_>>().join(" ");
    // What stands behind another command may never run.
    let first = command.split([';', '|', '&', '>', '<']).next().and_then(Start::of);
    let start = first.filter(|start| start.is("sweep"))?;
    reaches(start.options, "sweep", &unit, user, wanted).then(|| may(&unit, user, wanted.owner))
}

/// Checks that a command of a unit reaches a ledger, and may do what it is to do; `None` where none
/// reaches it.
fn acts(
    unit: &UnitProperties,
    name: &str,
    command: &str,
    wanted: Wanted<'_>,
) -> Option<Result<(), String>> {
    let programs = unit.programs(name);
    let answers = programs.iter().enumerate().filter_map(|(at, program)| {
        let start = program.ours(command)?;
        let user = if unit.is_privileged(name, at) { "root" } else { unit.get("User") };
        reaches(start.options, command, unit, user, wanted).then(|| may(unit, user, wanted.owner))
    });
    answers.reduce(|one, other| one.or(other))
}

/// Checks that a user may remove what a ledger of this owner records.
fn may(unit: &UnitProperties, user: &str, owner: u32) -> Result<(), String> {
    let is_dynamic = user.is_empty() && unit.is_on("DynamicUser");
    let user = if is_dynamic { unit.get("Id").trim_end_matches(".service") } else { user };
    let uid = match user {
        "" | "root" => Some(0),
        name => name.parse().ok().or_else(|| Some(account(name)?.uid.as_raw())),
    };
    match uid.is_some_and(|uid| [0, owner].contains(&uid)) {
        true => Ok(()),
        false => Err(format!("runs as {user}, who may not sweep it")),
    }
}

fn account(name: &str) -> Option<User> {
    User::from_name(name).ok().flatten()
}

/// Checks that a `sweep` or `run` with these options reaches a ledger.
fn reaches(
    options: &str,
    command: &str,
    unit: &UnitProperties,
    user: &str,
    wanted: Wanted<'_>,
) -> bool {
    let (ledger, data) = (wanted.ledger, wanted.data);
    let mut words = options.split_whitespace().skip_while(|word| *word != command).skip(1);
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
            "--ledger" => named.push(PathBuf::from(value())),
            "--name" => name = Some(value().to_owned()),
            "--data" => {
                let path = PathBuf::from(value());
                if data != Some(path.as_path()) {
                    return false;
                }
                name = Some(generic::instance_name(Some(&path), Path::new("")));
            }
            _ if VALUED.contains(&option) => drop(value()),
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
        directories.extend(default_place(unit, user));
    }
    let is_called = name.is_none_or(|name| ledger.file_stem().is_some_and(|stem| *stem == *name));
    // One level of directories below is swept, but not written to.
    let depth = if command == "run" { 1 } else { 2 };
    let above = || ledger.ancestors().skip(1).take(depth);
    is_called && directories.iter().any(|directory| above().any(|above| above == directory))
}

/// The ledger that the unit's environment names.
fn of_environment(unit: &UnitProperties) -> Option<PathBuf> {
    let mut words = unit.words("Environment").map(|word| word.trim_matches('"'));
    words.find_map(|word| word.strip_prefix("SHMWARDEN_LEDGER=")).map(PathBuf::from)
}

/// The directory in which a command of a unit looks for ledgers where it is told none.
fn default_place(unit: &UnitProperties, user: &str) -> Option<PathBuf> {
    let entries = unit.words("StateDirectory");
    let mut entries = entries.map(|entry| entry.split(':').next().unwrap_or(entry));
    if let Some(entry) = entries.find(|entry| entry.split('/').any(|part| part == "shmwarden")) {
        let base = if unit.is_on("DynamicUser") { "/var/lib/private" } else { "/var/lib" };
        return Some(Path::new(base).join(entry));
    }
    match user {
        "" | "root" | "0" => Some(PathBuf::from("/var/lib/shmwarden")),
        name => Some(account(name)?.dir.join(".local/state/shmwarden")),
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

    fn wanted(ledger: &str, owner: u32) -> Wanted<'_> {
        let data = Some(Path::new("/srv/pg"));
        Wanted { ledger: Path::new(ledger), owner, unit: Some("pg.service"), data }
    }

    fn asked(service: &str, ledger: &str, owner: u32) -> Result<String, Option<String>> {
        let services = vec![unit(&format!("Id=pg.service\n{service}"))];
        let sweepers = Sweepers { services, ..Sweepers::default() };
        sweepers.of(wanted(ledger, owner))
    }

    fn of(service: &str, ledger: &str) -> Option<String> {
        asked(service, ledger, 0).ok()
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
    fn a_start_under_a_launcher_covers_where_the_service_is_started_again() {
        let start = |options: &str| {
            let words = format!("/usr/bin/shmwarden run {options}-- /bin/pg -D /srv/other.ledger");
            format!("StateDirectory=shmwarden/pg\nExecStart={words}\nRestart=always")
        };
        assert_eq!(of(&start(""), OWN).unwrap(), "ExecStart= of pg.service");
        assert_eq!(of(&start("").replace("always", "no"), OWN), None);
        assert_eq!(of(&start(""), "/srv/other.ledger"), None, "it was moved");
        assert_eq!(of(&start(""), "/var/lib/shmwarden/pg/a/b.ledger"), None, "one below");
        assert!(of(&start("--ledger /srv/a.ledger "), "/srv/a.ledger").is_some());
        assert_eq!(of(&start("--ledger /srv/a.ledger "), OWN), None);
        assert_eq!(of(&start("--linger 5s --name b "), OWN), None);
    }

    #[test]
    fn who_may_not_sweep_a_ledger_does_not_count() {
        let hook = format!("ExecStopPost=/usr/bin/shmwarden sweep {OWN}\nUser=");
        assert!(asked(&format!("{hook}105"), OWN, 105).is_ok());
        assert!(asked(&format!("{hook}root"), OWN, 105).is_ok());
        let said = asked(&format!("{hook}106"), OWN, 105).unwrap_err().unwrap();
        assert_eq!(said, "ExecStopPost= of pg.service runs as 106, who may not sweep it");
        assert!(asked(&format!("{hook}105"), OWN, 0).is_err());
        assert!(asked(&format!("{hook}nobody-has-this-name"), OWN, 105).is_err());
        let marked = "ExecStopPostEx={ path=/a ; argv[]=/a ; flags=privileged ; start_time=[n/a] }";
        let mut marked_unit = unit(&format!("Id=pg.service\n{hook}105"));
        assert_eq!(acts(&marked_unit, "ExecStopPost", "sweep", wanted(OWN, 0)).unwrap().ok(), None);
        let line = format!(
            "ExecStopPost={{ path=/x/shmwarden ; argv[]=/x/shmwarden sweep {OWN} ; flags= }}"
        );
        marked_unit = UnitProperties::parse(&format!("User=105\n{line}\n{marked}"));
        assert_eq!(acts(&marked_unit, "ExecStopPost", "sweep", wanted(OWN, 0)), Some(Ok(())));
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
            let found = sweepers.of(wanted(OWN, 0)).ok();
            assert_eq!(found, covers.then(|| "s.timer".to_owned()));
        }
    }

    #[test]
    fn cron_runs_as_a_service_or_as_the_timers_of_systemd_cron() {
        let has = |services: &str, timers: &str| {
            let units = |text: &str| vec![UnitProperties::parse(text)];
            let (services, timers) = (units(services), units(timers));
            Sweepers { services, timers, ..Sweepers::default() }.has_cron_unit()
        };
        assert!(has("Id=cron.service\nActiveState=active", ""));
        assert!(has("Id=crond.service\nActiveState=active", ""));
        assert!(has("", "Id=cron-crontab-root-0.timer\nActiveState=active"));
        assert!(!has("Id=cron.service\nActiveState=inactive", "Id=a.timer\nActiveState=active"));
    }

    #[test]
    fn a_name_that_somebody_chose_is_no_command() {
        assert_eq!(
            by_timer(Path::new("/l/a.ledger"), false),
            "printf '%s\\n' '* * * * * root shmwarden sweep -q /l/a.ledger' >>/etc/crontab"
        );
        // The shell makes one word of it, and cron's shell one of what it wrote.
        let said = by_timer(Path::new("/l/a'; touch x; '100%.ledger"), false);
        let printed = said.strip_suffix(" >>/etc/crontab").unwrap();
        let shell = |text: &str| {
            let answer = std::process::Command::new("sh").args(["-c", text]).output().unwrap();
            String::from_utf8(answer.stdout).unwrap()
        };
        let line = shell(printed);
        let command = line.trim_end().strip_prefix("* * * * * root shmwarden sweep -q ").unwrap();
        let word = shell(&format!("printf '<%s>' {}", command.replace("\\%", "%")));
        assert_eq!(word, "</l/a'; touch x; '100%.ledger>");
        let odd = Path::new("/l/a\n* * * * * root x.ledger");
        assert!(!by_timer(odd, false).contains("root x"));
        assert!(by_timer(odd, true).ends_with(" sweep $'/l/a\\012* * * * * root x.ledger'"));
    }

    #[test]
    fn a_line_of_a_crontab_covers_what_its_command_sweeps() {
        for (line, covers) in [
            ("* * * * * root /usr/bin/shmwarden sweep", true),
            ("@hourly root shmwarden -q sweep >/dev/null 2>&1", true),
            (&format!("*/5 * * * * root shmwarden sweep -q {OWN}"), true),
            ("# * * * * * root shmwarden sweep", false),
            ("* * * * * 105 shmwarden sweep --dir /var/lib/shmwarden", false),
            ("@reboot root shmwarden sweep", false),
            ("* * * * * root false && shmwarden sweep", false),
            ("* * * * * root shmwarden sweep --help", false),
            ("* * * * * root shmwarden list", false),
            ("* * * * * root shmwarden sweep --dir /srv", false),
            ("* * * * * root echo shmwarden sweep", false),
            ("shmwarden sweep", false),
        ] {
            let cron = vec![(PathBuf::from("/etc/crontab"), line.to_owned())];
            let mut sweepers = Sweepers { cron, cron_runs: true, ..Sweepers::default() };
            let found = sweepers.of(wanted(OWN, 0)).ok();
            assert_eq!(found, covers.then(|| "a line of /etc/crontab".to_owned()), "{line}");
            sweepers.cron_runs = false;
            let said = sweepers.of(wanted(OWN, 0)).unwrap_err();
            assert_eq!(said.is_some_and(|said| said.ends_with("no cron is seen to run")), covers);
        }
    }
}

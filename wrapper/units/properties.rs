//! The output of `systemctl show UNIT`: `NAME=VALUE`, a line each, some names several times.

use std::collections::BTreeMap;

use super::start::{Start, is_own};

/// The integration of shmwarden in a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// In front of the server, as the unit's main process.
    Prefix,
    /// Beside a server that another tool starts (`run --in-place`).
    InPlace,
    /// In the hooks alone: `sweep` and `record`.
    Record,
}

impl Way {
    /// The word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Prefix => "prefix",
            Self::InPlace => "in-place",
            Self::Record => "record",
        }
    }
}

/// The properties of one unit, as text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UnitProperties(BTreeMap<String, Vec<String>>);

/// One command of a unit, as systemd understood it: quotes are gone, so that words with blanks in
/// them cannot be told apart. For looking at, not for writing into a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Program {
    /// The file that is executed.
    pub(crate) path: String,
    /// All words, the first included, with a blank between them.
    pub(crate) words: String,
}

impl Program {
    /// Returns how it starts this program, where it does with that sub-command.
    pub(crate) fn ours(&self, command: &str) -> Option<Start<'_>> {
        let arguments = self.words.strip_prefix(&self.path).filter(|_| is_own(&self.path));
        let start = match arguments {
            Some(arguments) => Some(Start::behind(&self.path, arguments)),
            None => Start::of(&self.words),
        };
        start.filter(|start| start.is(command))
    }
}

impl UnitProperties {
    /// Takes the output apart; a line without `=` is left out.
    pub(crate) fn parse(text: &str) -> Self {
        let mut properties: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            properties.entry(name.to_owned()).or_default().push(value.to_owned());
        }
        Self(properties)
    }

    /// The values of one property.
    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The value of a property; empty where it has none, or this systemd does not know it.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.all(name).last().map_or("", String::as_str)
    }

    /// Checks that a switch is on.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.get(name) == "yes"
    }

    /// The words of all values of a property.
    pub(crate) fn words<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.all(name).iter().flat_map(|value| value.split_whitespace())
    }

    /// The commands of `ExecStart` and its like.
    pub(crate) fn programs(&self, name: &str) -> Vec<Program> {
        self.all(name).iter().filter_map(|value| program(value)).collect()
    }

    /// Checks that the command at this place of `ExecStart` and its like runs as root whatever
    /// `User=` says (its marks are `+` or `!`); since systemd 243 that is shown.
    pub(crate) fn is_privileged(&self, name: &str, at: usize) -> bool {
        let value = self.all(&format!("{name}Ex")).get(at);
        let flags = value.and_then(|value| value.rsplit_once(" ; flags="));
        let flags = flags.and_then(|(_, rest)| rest.split(';').next()).unwrap_or_default();
        flags.split_whitespace().any(|flag| flag == "privileged" || flag == "no-setuid")
    }

    /// Returns the name of what the unit starts where that is known to start servers itself: its
    /// main process is no server then.
    pub(crate) fn manager(&self) -> Option<&'static str> {
        // Behind these the main process is the server, where systemd is told of a daemon.
        let forks = |name: &&str| {
            self.get("Type") == "forking" && ["pg_ctl", "pg_ctlcluster", "gs_ctl"].contains(name)
        };
        let found = self.programs("ExecStart");
        found.iter().find_map(|program| manager(&program.words)).filter(|name| !forks(name))
    }

    /// Returns the integration of this unit, if it has one. In-place mode is seen only where the
    /// unit itself says so, not where a tool starts it.
    pub(crate) fn way(&self) -> Option<Way> {
        let starts = self.programs("ExecStart");
        let mut starts = starts.iter().filter_map(|program| program.ours("run")).peekable();
        if starts.peek().is_some() {
            let in_place = starts.any(|start| start.has("--in-place"));
            return Some(if in_place { Way::InPlace } else { Way::Prefix });
        }
        let hooks = self.programs("ExecStartPost");
        hooks.iter().any(|program| program.ours("record").is_some()).then_some(Way::Record)
    }
}

/// Programs that start servers as processes of their own, and end them themselves.
const MANAGERS: [&str; 21] = [
    "patroni",
    "supervisord",
    "pg_ctlcluster",
    "pg_ctl",
    "gs_ctl",
    "pg_autoctl",
    "stolon-keeper",
    "repmgrd",
    "cm_agent",
    "om_monitor",
    "monit",
    "circusd",
    "runsvdir",
    "s6-svscan",
    "docker",
    "podman",
    "conmon",
    "containerd",
    "crond",
    "cron",
    "pacemakerd",
];

/// Returns which of them a command line runs: as its program, or as what an interpreter runs.
pub(crate) fn manager(words: &str) -> Option<&'static str> {
    let name = |word: &str| {
        let file = word.trim_matches(['"', '\'']).rsplit('/').next().unwrap_or_default().to_owned();
        file.trim_end_matches(".py").to_owned()
    };
    // What stands behind shmwarden's own options is the program.
    let ours = Start::of(words).filter(|start| !start.server.is_empty());
    let words = ours.map_or(words, |start| start.server);
    let mut words = words.split_whitespace().map(name).filter(|word| !word.starts_with('-'));
    let first = words.next()?;
    let known = |name: &str| MANAGERS.iter().find(|known| **known == name).copied();
    let interprets = ["python", "sh", "bash", "dash", "env", "perl", "ruby"]
        .iter()
        .any(|one| first.starts_with(one));
    known(&first).or_else(|| words.take(2).find_map(|word| known(&word)).filter(|_| interprets))
}

/// `{ path=/bin/a ; argv[]=/bin/a b ; ignore_errors=no ; ... }`.
fn program(value: &str) -> Option<Program> {
    let rest = value.strip_prefix("{ path=")?;
    let (path, rest) = rest.split_once(" ; argv[]=")?;
    // A word may say the same: the last one is systemd's own.
    let end = rest.rfind(" ; ignore_errors=").or_else(|| rest.rfind(" ; flags="))?;
    Some(Program { path: path.to_owned(), words: rest.get(..end)?.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHOWN: &str = "\
Type=notify
PrivateTmp=yes
ExecStart={ path=/opt/pg/postgres ; argv[]=/opt/pg/postgres -D /a ; b ; ignore_errors=no ; \
start_time=[n/a] ; stop_time=[n/a] ; pid=0 ; code=(null) ; status=0/0 }
RuntimeDirectory=postgresql shmwarden
no property
=
";

    fn start(words: &str) -> UnitProperties {
        let path = words.split(' ').next().unwrap_or_default();
        UnitProperties::parse(&format!(
            "ExecStart={{ path={path} ; argv[]={words} ; ignore_errors=no ; start_time=[n/a] }}\n"
        ))
    }

    #[test]
    fn values_switches_and_words_are_found() {
        let properties = UnitProperties::parse(SHOWN);
        assert_eq!(properties.get("Type"), "notify");
        assert_eq!(properties.get("Unheard"), "");
        assert!(properties.is_on("PrivateTmp") && !properties.is_on("Type"));
        let words: Vec<_> = properties.words("RuntimeDirectory").collect();
        assert_eq!(words, ["postgresql", "shmwarden"]);
    }

    #[test]
    fn a_command_keeps_all_of_its_words() {
        let programs = UnitProperties::parse(SHOWN).programs("ExecStart");
        let wanted = Program {
            path: "/opt/pg/postgres".to_owned(),
            words: "/opt/pg/postgres -D /a ; b".to_owned(),
        };
        assert_eq!(programs, [wanted]);
    }

    #[test]
    fn a_command_with_a_mark_runs_as_root() {
        let line = |flags: &str| {
            UnitProperties::parse(&format!(
                "ExecStopPostEx={{ path=/a ; argv[]=/a ; flags= ; flags={flags} ; pid=0 }}"
            ))
        };
        assert!(line("ignore-failure privileged").is_privileged("ExecStopPost", 0));
        assert!(line("no-setuid").is_privileged("ExecStopPost", 0));
        assert!(!line("ignore-failure").is_privileged("ExecStopPost", 0));
        assert!(!line("privileged").is_privileged("ExecStopPost", 1));
        assert!(!line("privileged").is_privileged("ExecStartPre", 0));
    }

    #[test]
    fn how_shmwarden_stands_in_a_unit_is_seen() {
        assert_eq!(start("/usr/bin/postgres run").way(), None);
        assert_eq!(start("/usr/bin/shmwarden sweep").way(), None);
        assert_eq!(start("/usr/bin/shmwarden -q run -- /a").way(), Some(Way::Prefix));
        assert_eq!(start("/usr/bin/shmwarden run -- /a --in-place").way(), Some(Way::Prefix));
        assert_eq!(start("/usr/bin/shmwarden run --in-place -- /a").way(), Some(Way::InPlace));
        let guarded = "/bin/sh -c /usr/bin/shmwarden --version && exec /usr/bin/shmwarden run -- \
            \"$$0\" \"$$@\"; exec \"$$0\" \"$$@\" /a --in-place";
        assert_eq!(start(guarded).way(), Some(Way::Prefix));
        assert_eq!(start(&guarded.replace("run", "run --in-place")).way(), Some(Way::InPlace));
        let hook = "ExecStartPost={ path=/usr/bin/shmwarden ; argv[]=/usr/bin/shmwarden record \
            --pid $MAINPID ; ignore_errors=yes ; start_time=[n/a] }";
        assert_eq!(UnitProperties::parse(hook).way(), Some(Way::Record));
    }

    #[test]
    fn odd_output_is_no_harm() {
        for text in ["", "=", "ExecStart=", "ExecStart={ path=", "ExecStart={ path=a ; argv[]=b"] {
            assert!(UnitProperties::parse(text).programs("ExecStart").is_empty(), "{text}");
        }
    }
}

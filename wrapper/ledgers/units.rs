//! The places that the units of this machine name for ledgers: `StateDirectory=`,
//! `SHMWARDEN_LEDGER`, and the options of their commands. Asks `systemctl show`; without systemd
//! there are none.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use shmwarden::judge::status::{Unlooked, Whose};
use shmwarden::proc::Seen;

use super::find::{Place, Source, Told};
use super::{ENDING, ROOTS};
use crate::exit;
use crate::host::config;
use crate::units::UnitProperties;
use crate::units::ask::systemctl_within;

/// Longest wait for systemd.
const LONGEST: Duration = Duration::from_secs(3);
/// Most places that units may name.
const MOST_PLACES: usize = 256;
/// Most files of variables that are read.
const MOST_FILES: usize = 64;
/// The directories in which systemd makes the state directories of services, and those of dynamic
/// users.
const STATE: [&str; 2] = ["/var/lib", "/var/lib/private"];
/// The properties that are asked for.
const PROPERTIES: &str = "--property=Id,StateDirectory,DynamicUser,Environment,EnvironmentFiles,\
                          WorkingDirectory,ExecStart,ExecStartPre,ExecStartPost,ExecReload,\
                          ExecStop,ExecStopPost";
/// The properties that are commands.
const COMMANDS: [&str; 6] =
    ["ExecStart", "ExecStartPre", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost"];
/// The variables that name ledgers.
const LEDGER: &str = "SHMWARDEN_LEDGER";
const STATE_HOME: &str = "XDG_STATE_HOME";

/// The places that the units of this machine name.
pub(super) fn places() -> Told {
    if !config::systemd_runs() {
        return Told::default();
    }
    // Without --all it shows none that does not run, whose ledger may have what it left.
    match systemctl_within(&["show", "--all", "--no-pager", PROPERTIES, "*.service"], LONGEST) {
        Ok(text) => told(&text, &|path| read(path)),
        // There is no systemd after all.
        Err(error) if error.status == exit::UNSUPPORTED => Told::default(),
        Err(error) => {
            let place = format!("the ledgers that units name ({})", error.text);
            let unlooked = vec![Unlooked { place, whose: Whose::Anybody }];
            Told { unlooked, ..Told::default() }
        }
    }
}

/// A file of variables; `None` where it could not be read.
fn read(path: &Path) -> Option<String> {
    match config::file(path.to_owned()).text {
        Seen::Here(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Seen::Gone => Some(String::new()),
        Seen::Denied => None,
    }
}

/// The places in what `systemctl show` says of many units.
fn told(text: &str, read: &dyn Fn(&Path) -> Option<String>) -> Told {
    let mut told = Told::default();
    let mut files = 0;
    let mut known: BTreeSet<PathBuf> = BTreeSet::new();
    for unit in text.split("\n\n").map(UnitProperties::parse) {
        let name = unit.get("Id").to_owned();
        let (paths, unread) = of_unit(&unit, &mut files, read);
        for path in paths.into_iter().filter(|path| !is_below_roots(path)) {
            if known.len() < MOST_PLACES && known.insert(path.clone()) {
                told.places.push(Place::new(Source::Unit(name.clone()), path));
            }
        }
        if let Some(what) = unread {
            let place = format!("the ledger that {name} names ({what})");
            told.unlooked.push(Unlooked { place, whose: Whose::Anybody });
        }
    }
    if known.len() == MOST_PLACES {
        let place = format!("what units name beyond {MOST_PLACES} places");
        told.unlooked.push(Unlooked { place, whose: Whose::Anybody });
    }
    told
}

/// Checks that a path is read as part of root's default place.
fn is_below_roots(path: &Path) -> bool {
    let roots = Path::new(ROOTS);
    path == roots || path.parent() == Some(roots) && path.extension().is_none()
}

/// The places that one unit names, and what of it could not be understood.
fn of_unit(
    unit: &UnitProperties,
    files: &mut usize,
    read: &dyn Fn(&Path) -> Option<String>,
) -> (BTreeSet<PathBuf>, Option<String>) {
    let mut paths = BTreeSet::new();
    let mut unread = None;
    for entry in unit.words("StateDirectory") {
        let entry = entry.split(':').next().unwrap_or(entry);
        if entry.split('/').any(|part| part == "shmwarden") {
            let dynamic = usize::from(unit.is_on("DynamicUser"));
            paths
                .extend(STATE.iter().skip(dynamic).take(1).map(|base| Path::new(base).join(entry)));
        }
    }
    let programs = COMMANDS.iter().flat_map(|name| unit.programs(name));
    let commands: Vec<Vec<String>> =
        programs.filter_map(|program| of_ours(&program.words)).collect();
    let mut variables = variables(unit.all("Environment").iter().map(String::as_str));
    if !commands.is_empty() {
        for line in unit.all("EnvironmentFiles") {
            let path = line.split(" (ignore_errors=").next().unwrap_or(line);
            *files += 1;
            match (*files <= MOST_FILES).then(|| read(Path::new(path))).flatten() {
                Some(text) => variables.extend(of_file(&text)),
                None => unread = Some(format!("{path} could not be read")),
            }
        }
    }
    let base = unit.get("WorkingDirectory").trim_start_matches('!');
    let base = Path::new(if base.starts_with('/') { base } else { "/" });
    paths.extend(variables.get(LEDGER).filter(|path| !path.is_empty()).map(|path| base.join(path)));
    let state_home = variables.get(STATE_HOME).filter(|path| path.starts_with('/'));
    paths.extend(state_home.map(|path| Path::new(path).join("shmwarden")));
    for word in commands.iter().flat_map(|words| named(words)) {
        match expanded(word, &variables) {
            Some(path) => drop(paths.insert(base.join(path))),
            None => unread = Some(format!("{word}: its value is not known")),
        }
    }
    (paths, unread)
}

/// The words of a command of ours behind its name, up to COMMAND.
fn of_ours(words: &str) -> Option<Vec<String>> {
    let is_ours = |word: &&str| word.rsplit('/').next() == Some("shmwarden");
    let mut words = words.split_whitespace().skip_while(|word| !is_ours(word));
    words.next()?;
    Some(words.take_while(|word| *word != "--").map(str::to_owned).collect())
}

/// The paths that a command of ours names: the values of options, and the ledgers of `sweep`.
fn named(words: &[String]) -> Vec<&str> {
    let mut found = Vec::new();
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        match word.split_once('=') {
            Some(("--ledger" | "--dir", value)) => found.push(value),
            Some(_) => {}
            None if matches!(word, "--ledger" | "--dir") => found.extend(words.next()),
            None if word.ends_with(&format!(".{ENDING}")) => found.push(word),
            None => {}
        }
    }
    found
}

/// A word with the variables that systemd puts in it.
fn expanded(word: &str, variables: &BTreeMap<String, String>) -> Option<String> {
    let mut out = String::new();
    let mut rest = word;
    while let Some(at) = rest.find('$') {
        let (before, behind) = rest.split_at(at);
        out.push_str(before);
        let (name, after) = match behind.strip_prefix("${") {
            Some(inner) => inner.split_once('}')?,
            None => (behind.strip_prefix('$')?, ""),
        };
        out.push_str(variables.get(name)?);
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// `Environment=` as systemctl prints it: words, in quotes where they have blanks.
fn variables<'a>(values: impl Iterator<Item = &'a str>) -> BTreeMap<String, String> {
    let words = values.flat_map(unquoted);
    words
        .filter_map(|word| {
            word.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
        })
        .collect()
}

/// A file of variables (`EnvironmentFile=`), a line each.
fn of_file(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with(['#', ';']));
    let pair = |line: &str| {
        let (name, value) = line.split_once('=')?;
        let value = unquoted(value).into_iter().next().unwrap_or_default();
        Some((name.trim().to_owned(), value))
    };
    lines.filter_map(pair).collect()
}

/// The words of a line, quotes and backslashes taken off.
fn unquoted(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut is_word, mut quote) = (String::new(), false, None);
    let mut chars = line.chars();
    while let Some(char) = chars.next() {
        match (char, quote) {
            ('\\', Some('\'')) => word.push(char),
            ('\\', _) => word.extend(chars.next()),
            (_, Some(mark)) if char == mark => quote = None,
            (_, Some(_)) => word.push(char),
            ('"' | '\'', None) => {
                quote = Some(char);
                is_word = true;
            }
            (_, None) if char.is_whitespace() => {
                if is_word || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                is_word = false;
            }
            (_, None) => word.push(char),
        }
    }
    if is_word || !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(text: &str) -> (Vec<String>, usize) {
        let files = |path: &Path| {
            (path == Path::new("/etc/default/pg"))
                .then(|| "# none\nSHMWARDEN_LEDGER=\"/srv/e f.ledger\"\nDIR=/srv/g\n".to_owned())
        };
        let told = told(text, &files);
        let paths = told.places.iter().map(|place| place.spot.path.display().to_string());
        (paths.collect(), told.unlooked.len())
    }

    fn exec(name: &str, words: &str) -> String {
        let path = words.split(' ').next().unwrap();
        format!("{name}={{ path={path} ; argv[]={words} ; ignore_errors=no ; status=0/0 }}\n")
    }

    #[test]
    fn state_directories_options_and_variables_are_places() {
        let start = exec(
            "ExecStart",
            "/usr/bin/shmwarden run --ledger /srv/a.ledger -- /bin/pg --ledger /no",
        );
        let sweep = exec("ExecStopPost", "/usr/bin/shmwarden sweep --dir=${DIR} /srv/h.ledger");
        let one = format!(
            "Id=a.service\nStateDirectory=other x/shmwarden:y\nEnvironment=A=1 \
             \"SHMWARDEN_LEDGER=/srv/c d.ledger\"\n{start}"
        );
        let two =
            format!("Id=b.service\nEnvironmentFiles=/etc/default/pg (ignore_errors=yes)\n{sweep}");
        let guarded = exec(
            "ExecStart",
            "/bin/sh -c case $(/usr/bin/shmwarden --version 2>/dev/null) in shmwarden*) exec \
             /usr/bin/shmwarden run --ledger /srv/i.ledger -- \"$0\" \"$@\";; esac; exec \"$0\" \
             \"$@\" /bin/pg --ledger /no",
        );
        let guarded = format!("Id=d.service\n{guarded}");
        let dynamic = "Id=c.service\nDynamicUser=yes\nStateDirectory=shmwarden/c\n";
        let all = ["/srv/a.ledger", "/srv/c d.ledger", "/var/lib/x/shmwarden", "/srv/e f.ledger"];
        let all = all.into_iter().chain([
            "/srv/g",
            "/srv/h.ledger",
            "/var/lib/private/shmwarden/c",
            "/srv/i.ledger",
        ]);
        let (found, unlooked) = paths(&format!("{one}\n{two}\n{dynamic}\n{guarded}"));
        assert_eq!(found, all.collect::<Vec<_>>());
        assert_eq!(unlooked, 0);
    }

    #[test]
    fn what_lies_in_roots_default_place_is_not_named_again_and_others_say_nothing() {
        let text = "Id=a.service\nStateDirectory=shmwarden/a\n\nId=b.service\nEnvironment=B=1\n";
        assert_eq!(paths(text), (vec![], 0));
        let other = exec("ExecStart", "/usr/bin/other --ledger /srv/a.ledger");
        assert_eq!(paths(&format!("Id=c.service\n{other}")), (vec![], 0));
    }

    #[test]
    fn what_cannot_be_told_is_said() {
        let unknown = exec("ExecStart", "/usr/bin/shmwarden run --ledger ${NOWHERE}/a -- /bin/pg");
        assert_eq!(paths(&format!("Id=a.service\n{unknown}")), (vec![], 1));
        let file = "EnvironmentFiles=/etc/closed (ignore_errors=no)\n";
        let sweep = exec("ExecStartPre", "/usr/bin/shmwarden sweep");
        assert_eq!(paths(&format!("Id=a.service\n{file}{sweep}")), (vec![], 1));
    }
}

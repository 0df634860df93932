//! `shmwarden who`: the processes that hold an object, `dest` segments included.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use shmwarden::judge::status::holders::Holding;
use shmwarden::judge::status::{Judged, Kind, Subject};
use shmwarden::snapshot::Snapshot;
use shmwarden::sys::shm::MODE_DEST;

use super::who_output;
use crate::cli::Common;
use crate::exit::{self, Ending};
use crate::render;
use crate::render::screen::Screen;
use crate::render::shown::Shown;
use crate::show::args::WhoArgs;
use crate::view::{View, Wanted};

/// The meanings that an argument may have.
#[derive(Debug, PartialEq, Eq)]
enum Target {
    /// A decimal number: an id, and a key only where no object has that id.
    Number { id: Option<i32>, key: Option<i32> },
    /// A hexadecimal number.
    Key(i32),
    /// A file in `/dev/shm`.
    Name(Vec<u8>),
}

/// `shmwarden who`.
pub(crate) fn run(args: &WhoArgs, common: &Common) -> Ending {
    let objects: Vec<&OsStr> = args.objects.iter().flat_map(|text| apart(text)).collect();
    let targets: Vec<Target> = objects.iter().map(|text| target(text)).collect();
    let names = targets.iter().any(|target| matches!(target, Target::Name(_)));
    let numbers = targets.iter().any(|target| !matches!(target, Target::Name(_)));
    let wanted = Wanted {
        sets: numbers,
        queues: numbers,
        files: names,
        maps: true,
        owners: false,
        details: common.json,
        ..Wanted::default()
    };
    let view = match View::take(&args.ledgers, wanted) {
        Ok(view) => view,
        Err(error) => {
            log::error!("{error}");
            return Ending::Status(exit::status_of(&error));
        }
    };
    let view = complete(view, &targets);
    let shown = Shown::of(&view, true);
    let all = view.judge();
    let mut worst = view.status;
    let (mut found, mut lines) = (Vec::new(), Vec::new());
    for (target, text) in targets.iter().zip(objects) {
        let matching: Vec<&Judged<'_>> =
            all.iter().filter(|one| is_meant(target, one.subject, &view)).collect();
        if matching.is_empty() {
            log::error!("{}", missing(target, text));
            worst = exit::worse(worst, exit::NO_SUCH_OBJECT);
        }
        for one in matching {
            let holding = shown.holding(one).unwrap_or_default();
            if !is_held(one.subject, &holding) {
                worst = exit::worse(worst, exit::ACT);
            }
            let screen = Screen::of_stdout(common);
            lines.extend(who_output::lines(one, &holding, &shown, screen));
            found.push(one.clone());
        }
    }
    if common.verbose || found.iter().any(|one| one.account.is_none()) {
        lines.push(render::places::line(&view.looked, common.verbose));
    }
    let screen = Screen::of_stdout(common);
    let printed = if common.json {
        let document = who_output::document(&found, &shown);
        render::print(&render::json_text(&document, false))
    } else {
        let lines = lines.iter().map(|line| who_output::cut(line, screen) + "\n");
        render::print(&lines.collect::<String>())
    };
    Ending::Status(exit::after_printing(printed, worst))
}

/// Looks for what only some objects need.
fn complete(mut view: View, targets: &[Target]) -> View {
    let mut kinds = BTreeSet::new();
    let mut wants_owners = false;
    for subject in Subject::all(&view.look) {
        if targets.iter().any(|target| is_meant(target, subject, &view)) {
            kinds.insert(subject.kind());
            // What is attached is in use, whosever it is.
            wants_owners |= !matches!(subject, Subject::Shm(row) if row.nattch > 0);
        }
    }
    let names = targets.iter().filter_map(|target| match target {
        Target::Name(name) => Some(name.clone()),
        _ => None,
    });
    let names: Vec<Vec<u8>> = names.collect();
    if wants_owners {
        view = view.later(Snapshot::with_owners);
    }
    if kinds.iter().any(|kind| *kind != Kind::Shm) {
        view = view.with_uses(&kinds, &names);
    }
    view
}

/// Checks that an object is held, or may be: what could not be looked at counts as held.
fn is_held(subject: Subject<'_>, holding: &Holding) -> bool {
    !holding.holders.is_empty() || who_output::is_uncertain(subject, holding)
}

/// Returns the numbers of a list as in `41,42`; anything else, such as a name with a comma, is one
/// argument.
fn apart(text: &OsStr) -> Vec<&OsStr> {
    let parts: Vec<&OsStr> =
        text.as_bytes().split(|byte| *byte == b',').map(OsStr::from_bytes).collect();
    match parts.iter().any(|part| matches!(target(part), Target::Name(_))) {
        true => vec![text],
        false => parts,
    }
}

fn target(text: &OsStr) -> Target {
    let bytes = text.as_bytes();
    if let Some(key) = hexadecimal(bytes) {
        return Target::Key(key);
    }
    let number = std::str::from_utf8(bytes).ok().filter(|text| !text.starts_with('+'));
    match number.and_then(|text| text.parse::<i64>().ok()) {
        Some(number) => {
            let unsigned = u32::try_from(number).map(signed);
            Target::Number {
                id: i32::try_from(number).ok().filter(|id| *id >= 0),
                key: unsigned.ok().or_else(|| i32::try_from(number).ok()),
            }
        }
        None => {
            let name = bytes.strip_prefix(b"/dev/shm/").unwrap_or(bytes);
            Target::Name(name.strip_prefix(b"/").unwrap_or(name).to_vec())
        }
    }
}

/// The key that has these bits.
fn signed(bits: u32) -> i32 {
    i32::from_ne_bytes(bits.to_ne_bytes())
}

fn hexadecimal(bytes: &[u8]) -> Option<i32> {
    let digits = bytes.strip_prefix(b"0x").or_else(|| bytes.strip_prefix(b"0X"))?;
    let digits = std::str::from_utf8(digits).ok().filter(|text| !text.starts_with('+'))?;
    u32::from_str_radix(digits, 16).ok().map(signed)
}

/// Checks that an argument names this object.
fn is_meant(target: &Target, subject: Subject<'_>, view: &View) -> bool {
    match (target, subject) {
        (Target::Name(name), Subject::Posix(file)) => file.name.0 == *name,
        (Target::Name(_), _) | (_, Subject::Posix(_)) => false,
        (Target::Key(key), _) => bears(subject, *key, view),
        (Target::Number { id, key }, _) => {
            let is_id = |subject: Subject<'_>| id.is_some() && subject.id() == *id;
            let no_id = || !Subject::all(&view.look).any(is_id);
            is_id(subject) || key.is_some_and(|key| bears(subject, key, view) && no_id())
        }
    }
}

/// Checks that an object has a key, or had it before it was marked for destruction: its mappings
/// still name that key.
fn bears(subject: Subject<'_>, key: i32, view: &View) -> bool {
    let had = match subject {
        Subject::Shm(row) if row.perm.mode & MODE_DEST != 0 => view.look.keys.get(&row.id),
        _ => None,
    };
    subject.key() == Some(key) || had.is_some_and(|had| had.0 == key)
}

fn missing(target: &Target, text: &OsStr) -> String {
    let text = render::text::safe(&text.to_string_lossy());
    match target {
        Target::Number { .. } => {
            format!("no segment, semaphore set or message queue here has the id or key {text}")
        }
        Target::Key(_) => {
            format!("no segment, semaphore set or message queue here has the key {text}")
        }
        Target::Name(name) if name.is_empty() => format!(
            "\"{text}\" names no object: give an id, a key (0x...), or the name of a file in \
             /dev/shm"
        ),
        Target::Name(name) => format!(
            "there is no file {} in /dev/shm",
            render::text::safe(&String::from_utf8_lossy(name))
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_decimal_number_may_be_an_id_or_a_key() {
        let number = |id, key| Target::Number { id, key };
        let of = |text: &str| target(OsStr::new(text));
        assert_eq!(of("0"), number(Some(0), Some(0)));
        assert_eq!(of("15999999"), number(Some(15_999_999), Some(15_999_999)));
        assert_eq!(of("4294967295"), number(None, Some(-1)));
        assert_eq!(of("-559038737"), number(None, Some(-559_038_737)));
        assert_eq!(of("4294967296"), number(None, None));
    }

    #[test]
    fn numbers_between_commas_are_objects_each_and_a_name_keeps_its_commas() {
        let of = |text: &'static str| apart(OsStr::new(text));
        assert_eq!(of("41,42,0x2a"), ["41", "42", "0x2a"]);
        for text in ["41", "a,b", "41,b", "41,", ","] {
            assert_eq!(of(text), [text]);
        }
    }

    #[test]
    fn hexadecimal_is_a_key_and_all_else_a_name() {
        let of = |text: &str| target(OsStr::new(text));
        let name = |text: &str| Target::Name(text.as_bytes().to_vec());
        assert_eq!(of("0x00f42401"), Target::Key(0x00f4_2401));
        assert_eq!(of("0xDEADBEEF"), Target::Key(-559_038_737));
        assert_eq!(of("/dev/shm/a"), name("a"));
        assert_eq!(of("/12"), name("12"));
        assert_eq!(of("0x1ffffffff"), name("0x1ffffffff"));
        assert_eq!(of("+1"), name("+1"));
        assert_eq!(of(""), name(""));
    }
}

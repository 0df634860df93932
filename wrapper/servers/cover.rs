//! Is a server covered, why or why not, and what is left to do. Pure.

use std::ffi::OsStr;
use std::path::Path;

use super::Covered;
use super::claims::{Claimed, Claims};
use super::facts::{Facts, Ipc};
use super::sweepers::{Sweepers, Wanted};
use crate::render::text::{self, word};

/// The judgement on a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) covered: Covered,
    /// A sentence.
    pub(super) why: String,
    /// A command.
    pub(super) fix: Option<String>,
}

/// Judges a server; `sweepers` asks what sweeps on this host, where that matters.
pub(super) fn judge(
    facts: &Facts,
    claims: &Claims,
    sweepers: impl FnOnce() -> Sweepers,
) -> Verdict {
    let verdict = |covered, why: String| Verdict { covered, why, fix: None };
    if let Some(claim) = claims.claim.as_ref().filter(|claim| claim.launcher_lives) {
        let (covered, who) = match facts.launcher == Some(claim.launcher) {
            true => (Covered::Run, "launcher"),
            false => (Covered::InPlace, "guardian"),
        };
        let alone = if_killed_too(facts, claim, &sweepers());
        return verdict(covered, format!("its {who}, process {}, lives{alone}", claim.launcher));
    }
    // The ledger of a launcher in another mount namespace may not be seen here.
    if let Some(launcher) = facts.launcher.filter(|_| facts.has_other_pids) {
        let why = format!("its launcher, process {launcher}, lives, in another PID namespace");
        return verdict(Covered::Run, why);
    }
    match facts.ipc {
        Ipc::Own => {
            let why = "its IPC namespace is its own, and ends with it".to_owned();
            return verdict(Covered::Private, why);
        }
        Ipc::OwnButFiles => {
            let why = "its IPC namespace is its own, but /dev/shm is not: files that it leaves \
                       there stay";
            let fix = match &facts.unit {
                Some(unit) => systemd(unit),
                None => "shmwarden run -- COMMAND, in its namespaces".to_owned(),
            };
            return left_to_do(why.to_owned(), fix);
        }
        Ipc::Shared => {
            let why = "others share its IPC namespace, which is not this one: what it leaves stays \
                       as long as they live";
            let fix = "shmwarden run -- COMMAND, as the entry point of its container";
            return left_to_do(why.to_owned(), fix.to_owned());
        }
        Ipc::Unseen => return verdict(Covered::Unknown, "its IPC namespace is another".to_owned()),
        Ipc::Ours => {}
    }
    if facts.has_other_pids {
        let why = "it runs in another PID namespace: ask in there".to_owned();
        return verdict(Covered::Unknown, why);
    }
    if let Some(what) = &facts.unread {
        return verdict(Covered::Unknown, format!("{what} could not be looked at"));
    }
    let verdict = of_ledgers(facts, claims, &sweepers());
    excused(facts, claims, verdict)
}

/// What speaks for a server that is not covered.
fn excused(facts: &Facts, claims: &Claims, verdict: Verdict) -> Verdict {
    let instead = |covered, why: String| Verdict { covered, why, fix: None };
    if verdict.covered != Covered::None {
        return verdict;
    }
    if facts.is_ignored {
        return instead(Covered::Ignored, "SHMWARDEN_WATCH=0 is in its environment".to_owned());
    }
    // What a ledger claims, or claimed, waits for nobody any more.
    if claims.claim.is_some() || claims.deleted.is_some() {
        return verdict;
    }
    if let Some(place) = &claims.unlooked {
        return instead(Covered::Unknown, format!("{place} could not be looked at"));
    }
    if facts.is_young || facts.is_starting {
        return instead(Covered::Starting, "it is starting, and nothing covers it yet".to_owned());
    }
    verdict
}

/// Returns what else speaks for a server whose launcher or guardian lives: nothing is to be done,
/// but whoever reads that may want to know.
fn if_killed_too(facts: &Facts, claim: &Claimed, sweepers: &Sweepers) -> String {
    let Err(near) = sweepers.of(wanted(facts, claim)) else {
        return String::new();
    };
    if sweepers.is_unknown(facts.users_unit.as_deref()) {
        return String::new();
    }
    let shown = claim.ledger.display();
    let near = near.map_or_else(String::new, |near| format!(" ({near})"));
    format!(
        "; if it is killed together with the server, what is left waits for the next run or sweep \
         of {shown}, which nothing starts by itself{near}"
    )
}

fn wanted<'a>(facts: &'a Facts, claim: &'a Claimed) -> Wanted<'a> {
    let (unit, data) = (facts.unit.as_deref(), facts.data.as_deref());
    Wanted { ledger: &claim.ledger, owner: claim.owner, unit, data }
}

fn left_to_do(why: String, fix: String) -> Verdict {
    Verdict { covered: Covered::None, why, fix: Some(fix) }
}

/// Judges a server that no launcher covers by what a ledger says, and by who sweeps that.
fn of_ledgers(facts: &Facts, claims: &Claims, sweepers: &Sweepers) -> Verdict {
    let Some(claim) = &claims.claim else {
        return unclaimed(facts, claims, sweepers);
    };
    let shown = claim.ledger.display();
    let pid = claim.launcher;
    let first = match claim.is_recorded {
        true => format!("it is recorded in {shown}"),
        false => format!("its launcher or guardian, process {pid}, has died"),
    };
    let near = match sweepers.of(wanted(facts, claim)) {
        Ok(hook) => {
            let why = format!("{first}, and {hook} sweeps that afterwards");
            return Verdict { covered: Covered::Record, why, fix: None };
        }
        Err(near) => near.map_or_else(String::new, |near| format!(" ({near})")),
    };
    if sweepers.is_unknown(facts.users_unit.as_deref()) {
        let why = format!("{first}; whether anything sweeps {shown} could not be seen");
        return Verdict { covered: Covered::Unknown, why, fix: None };
    }
    let fix = in_its_unit(facts, sweepers).unwrap_or_else(|| sweepers.by_timer(&claim.ledger));
    left_to_do(format!("{first}, and nothing sweeps {shown} afterwards{near}"), fix)
}

/// Judges a server that no ledger claims.
fn unclaimed(facts: &Facts, claims: &Claims, sweepers: &Sweepers) -> Verdict {
    if let Some((launcher, ledger)) = &claims.deleted {
        let why = format!(
            "the ledger of its launcher or guardian, process {launcher}, was deleted ({}): no \
             later run or sweep finds what is in it",
            ledger.display()
        );
        let unit = fitting(facts, sweepers);
        return left_to_do(why, unit.map_or_else(|| record(facts, None), restart));
    }
    if let Some(launcher) = facts.launcher {
        let why = format!(
            "its launcher, process {launcher}, lives, but no ledger of it claims this server: the \
             launcher has said why"
        );
        return left_to_do(why, record(facts, None));
    }
    if let Some(earlier) = &claims.earlier {
        let why = format!(
            "{} names process {}, an earlier start of this server",
            earlier.ledger.display(),
            earlier.pid
        );
        return left_to_do(why, record(facts, Some(&earlier.ledger)));
    }
    let why = match facts.unit.as_deref() {
        Some(unit) if sweepers.is_set_up(facts) => format!(
            "no ledger claims it, though {unit} has all that it needs: it was started before that, \
             or its guardian has died and its ledger was not found"
        ),
        Some(unit) if sweepers.has_hooks(unit) => {
            format!("{unit} sweeps, but no ledger claims this server")
        }
        _ => "no ledger claims it".to_owned(),
    };
    let why = format!("{why} ({})", facts.taken_for());
    left_to_do(why, in_its_unit(facts, sweepers).unwrap_or_else(|| record(facts, None)))
}

/// The command by which the server's unit covers it.
fn in_its_unit(facts: &Facts, sweepers: &Sweepers) -> Option<String> {
    let unit = fitting(facts, sweepers)?;
    Some(if sweepers.is_set_up(facts) { restart(unit) } else { systemd(unit) })
}

/// The server's unit, where a drop-in of ours may fit it.
fn fitting<'a>(facts: &'a Facts, sweepers: &Sweepers) -> Option<&'a str> {
    facts.unit.as_deref().filter(|unit| !sweepers.is_managers(unit))
}

fn systemd(unit: &str) -> String {
    format!("shmwarden systemd {} --install", word(OsStr::new(unit)))
}

fn restart(unit: &str) -> String {
    format!("systemctl restart {}", word(OsStr::new(unit)))
}

fn record(facts: &Facts, ledger: Option<&Path>) -> String {
    let what = match &facts.data {
        Some(data) => format!("--data {}", word(data.as_os_str())),
        None => format!("--pid {}", facts.process.pid),
    };
    let ledger = ledger.map(|ledger| format!(" --ledger {}", word(ledger.as_os_str())));
    // Root may not look at a user's own file system either.
    let user = facts.is_closed.then(|| format!("runuser -u {} -- ", text::user(facts.uid)));
    format!("{}shmwarden record {what}{}", user.unwrap_or_default(), ledger.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;
    use std::time::SystemTime;

    use shmwarden::engine::Engine;
    use shmwarden::object::{FileRef, ProcessRef};

    use super::super::facts::KnownBy;
    use super::*;

    fn facts() -> Facts {
        Facts {
            process: ProcessRef { pid: 7, start: 1 },
            engine: Engine::POSTGRES,
            uid: 105,
            data: Some(PathBuf::from("/srv/my data")),
            file: Some(FileRef { dev: 1, ino: 2 }),
            unit: None,
            users_unit: None,
            is_closed: false,
            ipc: Ipc::Ours,
            has_other_pids: false,
            launcher: None,
            closed: None,
            is_starting: false,
            is_young: false,
            is_ignored: false,
            unread: None,
            known_by: KnownBy::PidFile,
            program: None,
            names_script: false,
        }
    }

    fn claimed(launcher_lives: bool, is_recorded: bool) -> Claims {
        let claim = Claimed {
            ledger: PathBuf::from("/srv/a.ledger"),
            owner: 105,
            instance: "a".to_owned(),
            pid: 7,
            since: SystemTime::UNIX_EPOCH,
            is_recorded,
            launcher: 6,
            launcher_lives,
        };
        Claims { claim: Some(claim), ..Claims::default() }
    }

    fn word(facts: &Facts, claims: &Claims) -> &'static str {
        judge(facts, claims, Sweepers::default).covered.word()
    }

    #[test]
    fn a_launcher_above_and_a_guardian_beside_cover_as_long_as_they_live() {
        let below = Facts { launcher: Some(6), ..facts() };
        assert_eq!(word(&below, &claimed(true, false)), "run");
        assert_eq!(word(&facts(), &claimed(true, false)), "in-place");
        assert_eq!(word(&facts(), &claimed(false, false)), "none");
        assert_eq!(word(&facts(), &claimed(false, true)), "none");
        assert_eq!(word(&below, &Claims::default()), "none", "its ledger failed");
    }

    #[test]
    fn a_launcher_whose_ledger_was_deleted_covers_nothing() {
        let deleted = Some((6, PathBuf::from("/srv/a.ledger")));
        let unlooked = Some("/srv/a.ledger, which process 6 has open".to_owned());
        let claims = Claims { deleted, unlooked, ..Claims::default() };
        let below = Facts { launcher: Some(6), is_young: true, ..facts() };
        let verdict = judge(&below, &claims, Sweepers::default);
        assert_eq!(verdict.covered, Covered::None);
        assert!(verdict.why.contains("process 6, was deleted (/srv/a.ledger)"), "{verdict:?}");
        assert_eq!(verdict.fix.as_deref(), Some("shmwarden record --data '/srv/my data'"));
        let in_unit = Facts { unit: Some("a.service".to_owned()), ..below };
        let verdict = judge(&in_unit, &claims, Sweepers::default);
        assert_eq!(verdict.fix.as_deref(), Some("systemctl restart a.service"));
    }

    #[test]
    fn a_launcher_that_alone_would_clean_up_is_said_to_be_alone() {
        let why = judge(&facts(), &claimed(true, false), Sweepers::default).why;
        let wanted = "its guardian, process 6, lives; if it is killed together with the server, \
            what is left waits for the next run or sweep of /srv/a.ledger, which nothing starts by \
            itself";
        assert_eq!(why, wanted);
    }

    #[test]
    fn what_excuses_a_server_that_nothing_covers() {
        let none = Claims::default();
        for (excused, wanted) in [
            (facts(), "none"),
            (Facts { is_young: true, ..facts() }, "starting"),
            (Facts { is_starting: true, ..facts() }, "starting"),
            (Facts { is_ignored: true, is_young: true, ..facts() }, "ignored"),
            (Facts { ipc: Ipc::Own, is_ignored: true, ..facts() }, "private"),
            (Facts { ipc: Ipc::Shared, ..facts() }, "none"),
            (Facts { ipc: Ipc::Unseen, ..facts() }, "unknown"),
            (Facts { has_other_pids: true, ..facts() }, "unknown"),
            (Facts { unread: Some("its data directory".to_owned()), ..facts() }, "unknown"),
        ] {
            assert_eq!(word(&excused, &none), wanted, "{excused:?}");
        }
        let unlooked = Claims { unlooked: Some("/srv".to_owned()), ..none };
        assert_eq!(word(&facts(), &unlooked), "unknown");
        // Once a ledger claims it, nothing is to be waited for any more.
        let young = Facts { is_young: true, is_starting: true, ..facts() };
        assert_eq!(word(&young, &claimed(false, true)), "none");
        let inside = Facts { has_other_pids: true, launcher: Some(6), ..facts() };
        assert_eq!(word(&inside, &Claims::default()), "run", "the container's own");
    }

    #[test]
    fn whether_something_sweeps_in_a_users_own_systemd_is_not_known() {
        let of_user = Facts { users_unit: Some("a.service".to_owned()), ..facts() };
        assert_eq!(word(&of_user, &claimed(false, true)), "unknown");
        assert_eq!(word(&of_user, &Claims::default()), "none");
    }

    #[test]
    fn a_path_in_a_command_is_one_word_to_a_shell() {
        let fix = judge(&facts(), &Claims::default(), Sweepers::default).fix;
        assert_eq!(fix.as_deref(), Some("shmwarden record --data '/srv/my data'"));
        let odd = Facts { data: Some(PathBuf::from("/srv/a\nb\u{1b}[2J")), ..facts() };
        let fix = judge(&odd, &Claims::default(), Sweepers::default).fix;
        assert_eq!(fix.as_deref(), Some("shmwarden record --data $'/srv/a\\012b\\033[2J'"));
    }
}

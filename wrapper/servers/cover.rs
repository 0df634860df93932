//! Is a server covered, why or why not, and what is left to do. Pure.

use std::path::Path;

use super::Covered;
use super::claims::{Claimed, Claims};
use super::facts::{Facts, Ipc};
use super::sweepers::Sweepers;

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
        let launcher = claim.launcher;
        return match facts.launcher == Some(launcher) {
            true => verdict(Covered::Run, format!("its launcher, process {launcher}, lives")),
            false => verdict(Covered::InPlace, format!("its guardian, process {launcher}, lives")),
        };
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
    // What a ledger claims waits for nobody any more.
    if claims.claim.is_some() {
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

fn left_to_do(why: String, fix: String) -> Verdict {
    Verdict { covered: Covered::None, why, fix: Some(fix) }
}

/// Judges a server that no launcher covers by what a ledger says, and by who sweeps that.
fn of_ledgers(facts: &Facts, claims: &Claims, sweepers: &Sweepers) -> Verdict {
    let hooks = |ledger: &Path| sweepers.of(facts.unit.as_deref(), ledger, facts.data.as_deref());
    let Some(claim) = &claims.claim else {
        return unclaimed(facts, claims.earlier.as_ref(), sweepers);
    };
    let shown = claim.ledger.display();
    let pid = claim.launcher;
    let first = match claim.is_recorded {
        true => format!("it is recorded in {shown}"),
        false => format!("its launcher or guardian, process {pid}, has died"),
    };
    match hooks(&claim.ledger) {
        Some(hook) => Verdict {
            covered: Covered::Record,
            why: format!("{first}, and {hook} sweeps that afterwards"),
            fix: None,
        },
        None if sweepers.is_unknown(facts.users_unit.as_deref()) => Verdict {
            covered: Covered::Unknown,
            why: format!("{first}; whether anything sweeps {shown} could not be seen"),
            fix: None,
        },
        None => left_to_do(
            format!("{first}, and nothing sweeps {shown} afterwards"),
            match &facts.unit {
                Some(unit) => systemd(unit),
                None => sweepers.by_timer(&claim.ledger),
            },
        ),
    }
}

/// Judges a server that no ledger claims.
fn unclaimed(facts: &Facts, earlier: Option<&Claimed>, sweepers: &Sweepers) -> Verdict {
    if let Some(launcher) = facts.launcher {
        let why = format!(
            "its launcher, process {launcher}, lives, but no ledger of it claims this server: the \
             launcher has said why"
        );
        return left_to_do(why, record(facts, None));
    }
    if let Some(earlier) = earlier {
        let why = format!(
            "{} names process {}, an earlier start of this server",
            earlier.ledger.display(),
            earlier.pid
        );
        return left_to_do(why, record(facts, Some(&earlier.ledger)));
    }
    match (&facts.unit, sweepers.place(facts.unit.as_deref())) {
        (Some(unit), Some(_)) => {
            let why = format!("{unit} sweeps, but no ledger claims this server");
            left_to_do(why, systemd(unit))
        }
        (Some(unit), None) => left_to_do("no ledger claims it".to_owned(), systemd(unit)),
        (None, _) => left_to_do("no ledger claims it".to_owned(), record(facts, None)),
    }
}

fn systemd(unit: &str) -> String {
    format!("shmwarden systemd {} --install", quoted(unit))
}

fn record(facts: &Facts, ledger: Option<&Path>) -> String {
    let what = match &facts.data {
        Some(data) => format!("--data {}", quoted(&data.to_string_lossy())),
        None => format!("--pid {}", facts.process.pid),
    };
    let ledger = ledger.map(|ledger| format!(" --ledger {}", quoted(&ledger.to_string_lossy())));
    format!("shmwarden record {what}{}", ledger.unwrap_or_default())
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-@:+,=%".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

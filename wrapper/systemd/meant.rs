//! Units that are no server's: which unit was meant, or what is to be done instead.

use super::names;
use crate::exit;
use crate::units::ask::{NoAnswer, systemctl};
use crate::units::{ExecLine, UnitProperties, cluster};

/// What the units of servers are called.
const NAMES: [&str; 5] = [
    "postgres*.service",
    "pgsql*.service",
    "patroni*.service",
    "*gauss*.service",
    "mogdb*.service",
];

/// What is to be done with a tool that starts servers itself.
const ADVICE: [(&str, &str); 9] = [
    (
        "patroni",
        "name the in-place script in patroni.yml (docs/patroni.md), and leave the unit's KillMode= \
         as it is: a paused Patroni's server is to outlive a stop of Patroni",
    ),
    (
        "pacemakerd",
        "the resource's agent starts the server by pg_ctl: give ocf:heartbeat:pgsql \
         ctl_opt=\"-p SCRIPT\", and ocf:heartbeat:pgsqlms (PAF) a bindir= whose pg_ctl adds that; \
         a link to pg_ctl does not do (docs/debian.md has both, and the script)",
    ),
    (
        "supervisord",
        "put 'shmwarden run --' in front of the server in its command=, which supervisord starts \
         and waits for itself, with autorestart and stopsignal as they are",
    ),
    ("docker", CONTAINER),
    ("podman", CONTAINER),
    ("conmon", CONTAINER),
    ("containerd", CONTAINER),
    ("pg_ctl", "give it the in-place script: pg_ctl -p SCRIPT (docs/debian.md)"),
    ("gs_ctl", "give it the in-place script: gs_ctl -p SCRIPT (docs/opengauss.md)"),
];

const CONTAINER: &str = "the server lives in a container: put 'shmwarden run --' in front of it \
    there, as the container's first process (docs/launcher.md)";

/// Refuses a unit that starts a tool which starts the server.
pub(super) fn manager(unit: &str, manager: &str) -> NoAnswer {
    let known = ADVICE.iter().find(|(name, _)| *name == manager);
    let other =
        || format!("give 'shmwarden run --in-place' to {manager} instead (docs/choosing.md)");
    let advice = known.map_or_else(other, |(_, advice)| (*advice).to_owned());
    let text = format!(
        "{unit} starts {manager}, which starts the server itself, so no drop-in of the unit fits: \
         {advice}"
    );
    NoAnswer { status: exit::USAGE, text }
}

/// Refuses a unit that starts nothing itself, as Debian's `postgresql.service`, which stands for
/// the clusters' units.
pub(super) fn umbrella(
    unit: &str,
    properties: &UnitProperties,
    starts: &[ExecLine],
) -> Option<NoAnswer> {
    let is_nothing = |line: &ExecLine| line.runs("true");
    if properties.get("Type") != "oneshot" || !starts.iter().all(is_nothing) {
        return None;
    }
    let mut units = cluster::units();
    let parts = properties.words("ConsistsOf").filter(|name| name.ends_with(".service"));
    units.extend(parts.map(str::to_owned));
    units.sort();
    units.dedup();
    let meant = match units.as_slice() {
        [] => "there is no unit that belongs to it".to_owned(),
        units => format!("the server's unit is meant: {}", units.join(", ")),
    };
    let text = format!("{unit} starts no server, but /bin/true; {meant}");
    Some(NoAnswer { status: exit::USAGE, text })
}

/// Refuses a unit that systemd does not have, or does not load.
pub(super) fn not_loaded(unit: &str, state: &str) -> NoAnswer {
    let text = match state {
        "not-found" => {
            let units = others(unit);
            let named = match units.as_slice() {
                [] => String::new(),
                units => format!("; units of database servers here: {}", units.join(", ")),
            };
            format!("there is no unit {unit} here{named}")
        }
        state => format!("systemd does not load {unit}: it is {state}"),
    };
    NoAnswer { status: exit::NO_SUCH_OBJECT, text }
}

/// The units of this host that are called as those of servers are.
fn others(unit: &str) -> Vec<String> {
    let mut units = cluster::units();
    let has_clusters = !units.is_empty();
    let words = ["list-unit-files", "--no-pager", "--no-legend", "--full", "--"];
    let listed = systemctl(&[&words[..], &NAMES].concat()).unwrap_or_default();
    let found = listed.lines().filter_map(|line| line.split_whitespace().next());
    // Debian's umbrella is none.
    let is_one = |name: &&str| {
        *name != unit
            && !names::is_template(name)
            && !(has_clusters && *name == "postgresql.service")
    };
    units.extend(found.filter(is_one).map(str::to_owned));
    units.sort();
    units.dedup();
    units
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_manager_gets_advice_of_its_own() {
        for (name, _) in ADVICE {
            let refusal = manager("a.service", name);
            assert_eq!(refusal.status, exit::USAGE);
            assert!(refusal.text.starts_with(&format!("a.service starts {name}, which starts")));
        }
        assert!(manager("a", "patroni").text.contains("leave the unit's KillMode= as it is"));
        assert!(manager("a", "podman").text.contains("in front of it there"));
        assert!(manager("a", "monit").text.contains("give 'shmwarden run --in-place' to monit"));
    }

    #[test]
    fn a_unit_that_starts_nothing_is_told_from_one_that_does() {
        let oneshot = UnitProperties::parse("Type=oneshot\nConsistsOf=z@1.service x.target\n");
        let starts = |path: &str| vec![ExecLine::of(path).unwrap()];
        let refusal = umbrella("a.service", &oneshot, &starts("/bin/true")).unwrap();
        assert_eq!(refusal.status, exit::USAGE);
        assert!(refusal.text.contains("z@1.service"), "{}", refusal.text);
        assert!(!refusal.text.contains("x.target"), "{}", refusal.text);
        assert!(umbrella("a.service", &oneshot, &starts("/bin/pg start")).is_none());
        let other = UnitProperties::parse("Type=exec\n");
        assert!(umbrella("a.service", &other, &starts("/bin/true")).is_none());
    }
}

//! The units of the servers that run, and those beside them: asks `systemctl show`. Without
//! systemd, or where it does not answer, there are no findings, and that is said.

use std::collections::BTreeSet;

use super::beside::{self, Server};
use crate::finding::{Finding, Level};
use crate::units::ask::systemctl;
use crate::units::{self, UnitProperties, Way};

/// The findings that bear on a server in whose unit shmwarden does not stand yet.
const OF_ANY_SERVER: [&str; 6] =
    ["remove-ipc", "private-ipc", "dynamic-user", "kill-mode", "kill-signal", "hook-removes"];

/// The finding that there are none, for want of an answer: no check that is fine.
pub(super) const UNASKED: &str = "units-unseen";

/// The finding that there are some of which only their user's own systemd could tell.
pub(super) const OF_USERS: &str = "user-units";

/// Findings on units.
pub(super) fn findings(servers: &[Server]) -> Vec<Finding> {
    if servers.is_empty() {
        return Vec::new();
    }
    let mut findings = Vec::new();
    let names: BTreeSet<&str> = servers.iter().filter_map(|one| one.unit.as_deref()).collect();
    for name in names {
        match systemctl(&["show", "--no-pager", "--", name]) {
            Ok(text) => findings.extend(of_unit(name, &UnitProperties::parse(&text))),
            Err(error) => return vec![unanswered(&error.text)],
        }
    }
    let wanted = "--property=Id,User,RemoveIPC,DynamicUser";
    match systemctl(&["show", "--no-pager", wanted, "*.service"]) {
        Ok(text) => {
            let units: Vec<UnitProperties> =
                text.split("\n\n").map(UnitProperties::parse).collect();
            findings.extend(beside::judge(&units, servers));
        }
        Err(error) => findings.push(unanswered(&error.text)),
    }
    findings.extend(servers.iter().filter_map(of_users));
    if findings.is_empty() {
        findings.push(Finding::ok("units", "the units of the servers that run fit"));
    }
    findings
}

fn of_unit(name: &str, unit: &UnitProperties) -> Vec<Finding> {
    let way = unit.way();
    let matters = |finding: &Finding| way.is_some() || OF_ANY_SERVER.contains(&finding.id);
    let found = units::judge(unit, way.unwrap_or(Way::Record)).into_iter().filter(matters);
    let named = |finding: Finding| Finding { text: format!("{name}: {}", finding.text), ..finding };
    found.filter(|finding| finding.level != Level::Ok).map(named).collect()
}

fn of_users(server: &Server) -> Option<Finding> {
    let unit = server.users_unit.as_deref()?;
    let text = format!(
        "the server {} runs in {unit} of its user's own systemd (systemctl --user), whose units \
         are not looked at",
        server.pid
    );
    Some(Finding::ok(OF_USERS, text))
}

fn unanswered(why: &str) -> Finding {
    Finding::ok(UNASKED, format!("the units of servers could not be looked at: {why}"))
}

//! The servers of a unit, or of the units of a template, that run now: whether a restart is left.

use std::fs;
use std::path::Path;

use super::names;
use crate::units::ask::{NoAnswer, systemctl};
use crate::units::{UnitProperties, Way};

/// The mount points of the control groups that systemd keeps services in.
const GROUPS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/systemd"];

/// A unit that runs.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) unit: String,
    /// Set where it was started as the unit's files have it now.
    pub(super) is_covered: bool,
    /// Set where a process of ours runs in it.
    pub(super) has_ours: bool,
    /// The command that records it without a restart.
    pub(super) record: Option<String>,
}

/// A unit as systemd has it now.
pub(super) fn properties(unit: &str) -> Result<UnitProperties, NoAnswer> {
    let shown = systemctl(&["show", "--no-pager", "--", &names::asked(unit)])?;
    Ok(UnitProperties::parse(&shown))
}

/// The units that run.
pub(super) fn of(unit: &str) -> Result<Vec<Running>, NoAnswer> {
    let pattern = match names::is_template(unit) {
        true => names::instance(unit, "*"),
        false => unit.to_owned(),
    };
    let shown = systemctl(&["show", "--no-pager", "--", &pattern])?;
    let units = shown.split("\n\n").map(UnitProperties::parse);
    let active = units.filter(|one| one.get("ActiveState") == "active");
    Ok(active.map(|one| running(&one)).collect())
}

fn running(unit: &UnitProperties) -> Running {
    let has_ours = has_process(unit.get("ControlGroup"));
    let is_recorded = unit
        .all("ExecStartPost")
        .iter()
        .any(|line| line.contains("shmwarden record") && line.contains("code=exited ; status=0"));
    let is_recorded = unit.way() == Some(Way::Record) && is_recorded;
    let state = unit.words("StateDirectory").find(|entry| is_state(entry));
    let pid = unit.get("MainPID");
    let record = state
        .filter(|_| pid != "0")
        .map(|entry| format!("STATE_DIRECTORY=/var/lib/{entry} shmwarden record --pid {pid}"));
    Running {
        unit: unit.get("Id").to_owned(),
        is_covered: has_ours || is_recorded,
        has_ours: has_ours || is_recorded,
        record,
    }
}

fn is_state(entry: &str) -> bool {
    entry.split('/').any(|part| part == "shmwarden")
}

/// Checks for a process of this program in a control group.
fn has_process(group: &str) -> bool {
    let groups = GROUPS.iter().map(|mount| format!("{mount}{group}/cgroup.procs"));
    let text = groups.filter_map(|path| fs::read_to_string(path).ok()).next();
    let comm = |pid: &str| fs::read_to_string(Path::new("/proc").join(pid).join("comm"));
    let mut pids = text.iter().flat_map(|text| text.lines());
    pids.any(|pid| comm(pid).is_ok_and(|name| name.trim_end() == "shmwarden"))
}

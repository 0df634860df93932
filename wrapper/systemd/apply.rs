//! Carries out what `--install` and `--remove` are to change, has systemd read its units anew, and
//! says what was done and what is left to do.

use std::fmt::Write;

use serde_json::{Value, json};
use shmwarden::sys::user;

use super::args::SystemdArgs;
use super::drop_in::DropIn;
use super::files::{self, Change};
use super::install::{self, Changes};
use super::running::{self, Running};
use super::{diff, log_findings, meant, names};
use crate::cli::Common;
use crate::exit::{self, Ending};
use crate::finding::{Finding, Level};
use crate::render;
use crate::render::json::SCHEMA;
use crate::render::text::{escaped, verbatim};
use crate::units::ask::{NoAnswer, systemctl};
use crate::units::{Way, judge};

/// What was done, or would be.
#[derive(Debug)]
pub(super) struct Done<'a> {
    pub(super) unit: &'a str,
    /// The integration; `None` of `--remove`.
    pub(super) way: Option<Way>,
    pub(super) is_dry: bool,
    pub(super) changes: Changes,
    pub(super) findings: &'a [Finding],
    /// The servers of the unit that run, and not as it has them now.
    pub(super) left: Vec<Running>,
}

/// `--install`.
pub(super) fn install(
    drop_in: &DropIn,
    findings: &[Finding],
    args: &SystemdArgs,
    common: &Common,
) -> Result<Ending, NoAnswer> {
    log_findings(findings);
    if findings.iter().any(|finding| finding.level == Level::Bad) {
        let text = format!(
            "{} does not fit as it is, and nothing was changed: see the errors above",
            drop_in.unit
        );
        return Err(NoAnswer { status: exit::USAGE, text });
    }
    let changes = install::wanted(drop_in)?;
    let way = Some(drop_in.way);
    let is_dry = args.dry_run;
    carry_out(&changes, is_dry)?;
    let mut left = Vec::new();
    if !is_dry {
        left = running::of(&drop_in.unit)?;
        left.retain(|one| !one.is_covered);
    }
    let done = Done { unit: &drop_in.unit, way, is_dry, changes, findings, left };
    print(&done, common)?;
    if is_dry { Ok(Ending::Status(0)) } else { as_loaded(drop_in) }
}

/// Looks once more at the unit, as systemd has it now: files that were edited before and not read
/// by systemd count from here on.
fn as_loaded(drop_in: &DropIn) -> Result<Ending, NoAnswer> {
    let properties = running::properties(&drop_in.unit)?;
    let bad = judge(&properties, drop_in.way).into_iter().filter(|one| one.level == Level::Bad);
    let bad: Vec<Finding> = bad.collect();
    log_findings(&bad);
    // Of a cluster the unit has the hooks alone.
    if drop_in.cluster.is_none() && properties.way() != Some(drop_in.way) {
        let text = format!(
            "another drop-in of {} sets ExecStart= again behind this one, and this one counts for \
             nothing: see systemctl cat {0}",
            drop_in.unit
        );
        return Err(NoAnswer { status: exit::ACT, text });
    }
    Ok(Ending::Status(if bad.is_empty() { 0 } else { exit::ACT }))
}

/// `--remove`.
pub(super) fn remove(unit: &str, args: &SystemdArgs, common: &Common) -> Result<Ending, NoAnswer> {
    let changes = install::taken_back(unit)?;
    let is_dry = args.dry_run;
    if changes.files.is_empty() && changes.kept.is_empty() {
        must_be_there(unit)?;
    }
    carry_out(&changes, is_dry)?;
    let mut left = Vec::new();
    if !is_dry && !changes.files.is_empty() {
        left = running::of(unit).unwrap_or_default();
        left.retain(|one| one.has_ours);
    }
    let done = Done { unit, way: None, is_dry, changes, findings: &[], left };
    print(&done, common)?;
    let status = if done.changes.kept.is_empty() { 0 } else { exit::ACT };
    Ok(Ending::Status(status))
}

/// Refuses a unit that systemd does not have: a mistyped one has nothing to take back either.
fn must_be_there(unit: &str) -> Result<(), NoAnswer> {
    let words = ["show", "--no-pager", "--property=LoadState", "--", &names::asked(unit)];
    match systemctl(&words)?.trim_end() == "LoadState=not-found" {
        true => Err(meant::not_loaded(unit, "not-found")),
        false => Ok(()),
    }
}

fn carry_out(changes: &Changes, is_dry: bool) -> Result<(), NoAnswer> {
    if is_dry {
        return Ok(());
    }
    if user::effective() != 0 {
        let text = "this takes root, since it writes below /etc and has systemd read its units \
                    anew; --dry-run shows to anybody what it would do";
        return Err(NoAnswer { status: exit::PERMISSION, text: text.to_owned() });
    }
    for change in &changes.files {
        files::carry_out(change)?;
        log::debug!("{} {}", word(change), escaped(&change.path.display().to_string()));
    }
    for change in changes.files.iter().filter(|one| one.after.is_none()) {
        // The unit's directory of drop-ins; what lies below /etc for the script.
        let depth = if change.path.starts_with("/etc/systemd") { 1 } else { 3 };
        files::remove_empty(&change.path, depth);
    }
    if changes.files.is_empty() {
        return Ok(());
    }
    match systemctl(&["daemon-reload"]) {
        Err(error) if error.status != exit::UNSUPPORTED => Err(error),
        _ => Ok(()),
    }
}

/// Has systemd read a unit anew whose files have changed without that, so that it is judged as it
/// will be; for root, who has it done anyway.
pub(super) fn reload_if_needed(unit: &str) -> Result<(), NoAnswer> {
    if user::effective() != 0 {
        return Ok(());
    }
    let words = ["show", "--no-pager", "--property=NeedDaemonReload", "--", &names::asked(unit)];
    if systemctl(&words)?.contains("=yes") {
        systemctl(&["daemon-reload"])?;
    }
    Ok(())
}

fn word(change: &Change) -> &'static str {
    match (&change.before, &change.after) {
        (_, None) => "removed",
        (None, _) => "wrote",
        (Some(_), _) => "changed",
    }
}

fn print(done: &Done<'_>, common: &Common) -> Result<(), NoAnswer> {
    for text in done.changes.kept.iter().chain(&done.changes.shared) {
        log::warn!("{}", escaped(text));
    }
    let printed = match common.json {
        true => render::print_json(&document(done)),
        false => render::print(&text(done)),
    };
    printed.map_err(|error| NoAnswer {
        status: exit::FAILED,
        text: format!("cannot write the result: {error}"),
    })
}

fn diff_of(change: &Change) -> String {
    let path = change.path.display().to_string();
    diff::unified(&path, change.before.as_deref(), change.after.as_deref())
}

/// The result for people; of `--dry-run` a diff alone.
pub(super) fn text(done: &Done<'_>) -> String {
    let files = &done.changes.files;
    if done.is_dry {
        let diff: String = files.iter().map(diff_of).collect();
        return diff.lines().map(|line| format!("{}\n", verbatim(line))).collect();
    }
    let mut out = String::new();
    for change in files {
        let _ =
            writeln!(out, "{:<8} {}", word(change), escaped(&change.path.display().to_string()));
    }
    let unit = escaped(done.unit);
    if files.is_empty() {
        let _ = match done.way {
            Some(_) => writeln!(out, "nothing to change: {unit} has all that it needs"),
            None => writeln!(out, "nothing to take back from {unit}"),
        };
    } else {
        out.push_str("systemd has read its units anew; nothing was restarted\n");
    }
    if done.way == Some(Way::Record) {
        out.push_str(
            "a server that is killed between its start and its record leaks until its next start\n",
        );
    }
    for one in &done.left {
        let unless = if done.way == Some(Way::Record) { ", unless recorded since" } else { "" };
        let _ = writeln!(out, "left to do{unless}: systemctl restart {}", escaped(&one.unit));
        if let Some(command) = one.record.as_ref().filter(|_| done.way == Some(Way::Record)) {
            let _ = writeln!(out, "  or, without a restart: {}", escaped(command));
        }
    }
    if done.left.is_empty() && names::is_template(done.unit) && done.way.is_some() {
        out.push_str("no server of it runs uncovered; each is covered from its next start\n");
    }
    out
}

/// The result as one document.
pub(super) fn document(done: &Done<'_>) -> Value {
    let change = |change: &Change| {
        json!({
            "path": change.path.to_string_lossy(),
            "change": word(change),
            "mode": format!("{:04o}", change.mode),
            "diff": diff_of(change),
        })
    };
    let left = |one: &Running| {
        json!({
            "unit": one.unit,
            "restart": format!("systemctl restart {}", one.unit),
            "record": one.record.as_ref().filter(|_| done.way == Some(Way::Record)),
        })
    };
    json!({
        "schema": SCHEMA,
        "unit": done.unit,
        "action": if done.way.is_some() { "install" } else { "remove" },
        "way": done.way.map(Way::word),
        "dry_run": done.is_dry,
        "changes": done.changes.files.iter().map(change).collect::<Vec<_>>(),
        "kept": done.changes.kept.iter().chain(&done.changes.shared).collect::<Vec<_>>(),
        "left": done.left.iter().map(left).collect::<Vec<_>>(),
        "findings": done.findings,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(path: &str, before: Option<&str>, after: Option<&str>) -> Change {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let (before, after) = (text(before), text(after));
        Change { path: path.into(), before, after, mode: 0o644, is_users: false }
    }

    fn done(files: Vec<Change>, way: Option<Way>) -> Done<'static> {
        let changes = Changes { files, ..Changes::default() };
        let unit = "pg@.service";
        Done { unit, way, is_dry: false, changes, findings: &[], left: Vec::new() }
    }

    fn three() -> Vec<Change> {
        let other = change("/etc/b\u{1b}", Some("x\n"), Some("x\ny\n"));
        vec![change("/etc/a", None, Some("x\n")), other, change("/etc/c", Some("x\n"), None)]
    }

    #[test]
    fn what_was_done_and_what_is_left_is_said() {
        let mut done = done(three(), Some(Way::Record));
        let unit = "pg@a.service".to_owned();
        let record = Some("shmwarden record --pid 7".to_owned());
        done.left.push(Running { unit, is_covered: false, has_ours: false, record });
        let wanted = "wrote    /etc/a\nchanged  /etc/b\\u{1b}\nremoved  /etc/c\n\
            systemd has read its units anew; nothing was restarted\n\
            a server that is killed between its start and its record leaks until its next start\n\
            left to do, unless recorded since: systemctl restart pg@a.service\n  \
            or, without a restart: shmwarden record --pid 7\n";
        assert_eq!(text(&done), wanted);
        done.way = Some(Way::Prefix);
        assert!(text(&done).ends_with("\nleft to do: systemctl restart pg@a.service\n"));
        let document = document(&done);
        assert_eq!(document["changes"][2]["change"], "removed");
        assert_eq!(document["left"][0]["restart"], "systemctl restart pg@a.service");
        assert_eq!(document["left"][0]["record"], Value::Null);
    }

    #[test]
    fn a_dry_run_is_a_diff_alone() {
        let mut done = done(three(), None);
        done.is_dry = true;
        let diff = text(&done);
        assert!(diff.starts_with("--- /dev/null\n+++ /etc/a\n@@ -0,0 +1,1 @@\n+x\n"), "{diff}");
        assert!(diff.ends_with("--- /etc/c\n+++ /dev/null\n@@ -1,1 +0,0 @@\n-x\n"), "{diff}");
        done.changes.files.clear();
        assert_eq!(text(&done), "");
        done.is_dry = false;
        assert_eq!(text(&done), "nothing to take back from pg@.service\n");
    }
}

//! `shmwarden systemd UNIT`: the drop-in for a unit of this host, and what does not fit in it.
//! Prints it, or puts it in place and takes it back. Restarts nothing.

mod apply;
pub(crate) mod args;
mod diff;
pub(crate) mod drop_in;
mod files;
mod guard;
mod install;
mod mark;
mod meant;
mod names;
mod plan;
mod running;

use std::path::Path;

use crate::cli::Common;
use crate::exit::{self, Ending};
use crate::finding::{Finding, Level};
use crate::render;
use crate::units::ask::{self, NoAnswer};
use crate::units::{UnitProperties, UnitText, judge};
use args::SystemdArgs;

/// Findings that say that nothing is cleaned up.
const PROTECT_NOTHING: [&str; 5] =
    ["proc-subset", "proc-hidden", "record-unnamed", "ledger-place", "program-closed"];

/// `shmwarden systemd`.
pub(crate) fn run(args: &SystemdArgs, common: &Common) -> Ending {
    match answer(args, common) {
        Ok(ending) => ending,
        Err(NoAnswer { status, text }) => {
            log::error!("{}", render::text::escaped(&text));
            Ending::Status(status)
        }
    }
}

fn answer(args: &SystemdArgs, common: &Common) -> Result<Ending, NoAnswer> {
    if args.dry_run && !args.install && !args.remove {
        let text = "--dry-run goes with --install or --remove; without them nothing is changed";
        return Err(NoAnswer { status: exit::USAGE, text: text.to_owned() });
    }
    let unit = names::service_name(&args.unit)?;
    if args.remove {
        return apply::remove(&unit, args, common);
    }
    if args.install && !args.dry_run {
        apply::reload_if_needed(&unit)?;
    }
    let (drop_in, findings) = fitted(unit, args)?;
    match args.install {
        true => apply::install(&drop_in, &findings, args, common),
        false => Ok(show(&drop_in, &findings, common)),
    }
}

fn fitted(unit: String, args: &SystemdArgs) -> Result<(drop_in::DropIn, Vec<Finding>), NoAnswer> {
    let shown = ask::systemctl(&["show", "--no-pager", "--", &names::asked(&unit)])?;
    let properties = UnitProperties::parse(&shown);
    plan::must_be_loaded(&unit, &properties)?;
    let text = ask::systemctl(&["cat", "--no-pager", "--", &unit])?;
    let text = UnitText::parse(&text, drop_in::FILE_NAME);
    let drop_in = plan::make(&unit, args.way, &properties, &text)?;
    let mut findings = judge(&properties, drop_in.way);
    findings.extend(plan::unknown(&drop_in, args.way, &properties));
    findings.extend(plan::findings(&drop_in));
    findings.extend(plan::place(Path::new(&drop_in.program)));
    Ok((drop_in, findings))
}

/// Says on stderr what does not fit.
fn log_findings(findings: &[Finding]) {
    for finding in findings {
        let fix = finding.fix.as_deref().map(|fix| format!("; what to do: {fix}"));
        let line = format!("{}{}", finding.text, fix.unwrap_or_default());
        let line = render::text::escaped(&line);
        match finding.level {
            Level::Ok => log::debug!("{line}"),
            Level::Warn => log::warn!("{line}"),
            Level::Bad => log::error!("{line}"),
        }
    }
}

fn show(drop_in: &drop_in::DropIn, findings: &[Finding], common: &Common) -> Ending {
    let steps = drop_in.steps();
    let printed = if common.json {
        render::print_json(&drop_in.document(findings))
    } else {
        log_findings(findings);
        render::print(&drop_in.text())
    };
    if let Err(error) = printed {
        log::error!("cannot write the result: {error}");
        return Ending::Status(exit::FAILED);
    }
    if let Some((script, cluster)) = drop_in.script().zip(drop_in.cluster.as_ref()) {
        if !steps.is_empty() {
            log::warn!(
                "the drop-in alone protects nothing: left to do is the script {} and, in {}, \
                 pg_ctl_options = '-p {0}'; shmwarden systemd --install {} does all of it",
                script.0,
                render::text::escaped(&cluster.configuration),
                render::text::escaped(&drop_in.unit)
            );
        }
    }
    let protects = findings.iter().all(|finding| !PROTECT_NOTHING.contains(&finding.id));
    Ending::Status(if protects && steps.is_empty() { 0 } else { exit::ACT })
}

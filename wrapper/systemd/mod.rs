//! `shmwarden systemd UNIT`: the drop-in for a unit of this host, and what does not fit in it.
//! Reads only; the drop-in goes to stdout, what does not fit to stderr.

pub(crate) mod args;
pub(crate) mod drop_in;
mod guard;
mod plan;

use crate::cli::Common;
use crate::exit::{self, Ending};
use crate::finding::{Finding, Level};
use crate::render;
use crate::units::ask::{self, NoAnswer};
use crate::units::{UnitProperties, UnitText, judge};
use args::SystemdArgs;

/// `shmwarden systemd`.
pub(crate) fn run(args: &SystemdArgs, common: &Common) -> Ending {
    match fitted(args) {
        Ok((drop_in, findings)) => show(&drop_in, &findings, common),
        Err(NoAnswer { status, text }) => {
            log::error!("{}", render::text::escaped(&text));
            Ending::Status(status)
        }
    }
}

fn fitted(args: &SystemdArgs) -> Result<(drop_in::DropIn, Vec<Finding>), NoAnswer> {
    let unit = plan::service_name(&args.unit)?;
    let shown = ask::systemctl(&["show", "--no-pager", "--", &unit])?;
    let properties = UnitProperties::parse(&shown);
    plan::must_be_loaded(&unit, &properties)?;
    let text = ask::systemctl(&["cat", "--no-pager", "--", &unit])?;
    let text = UnitText::parse(&text, drop_in::FILE_NAME);
    let drop_in = plan::make(&unit, args.way, &properties, &text)?;
    let mut findings = judge(&properties, drop_in.way);
    findings.extend(plan::findings(&drop_in));
    Ok((drop_in, findings))
}

fn show(drop_in: &drop_in::DropIn, findings: &[Finding], common: &Common) -> Ending {
    let printed = if common.json {
        render::print_json(&drop_in.document(findings))
    } else {
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
        render::print(&drop_in.text())
    };
    match printed {
        Ok(()) => Ending::Status(0),
        Err(error) => {
            log::error!("cannot write the result: {error}");
            Ending::Status(exit::FAILED)
        }
    }
}

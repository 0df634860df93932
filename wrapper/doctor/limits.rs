//! Findings on limits: what stands between a server and its next `shmget`. Pure.

use shmwarden::judge::status::Judged;
use shmwarden::proc::limits::SemLimits;

use super::crowd;
use super::leaks::Asker;
use crate::finding::{Finding, Level, Names};
use crate::host::limit::{Limit, share};

/// Findings on limits that are full or nearly so: who takes them, and what frees them.
pub(crate) fn judge(
    table: &[Limit],
    judged: &[Judged<'_>],
    page_bytes: u64,
    sem: Option<SemLimits>,
    asker: Asker,
    names: Names<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    for limit in table {
        let (Some(used), Some(most)) = (limit.used, limit.limit) else {
            continue;
        };
        let level = limit.level();
        if level == Level::Ok {
            continue;
        }
        let percent = share(used, most);
        let (who, fix) = crowd::who_and_fix(limit, judged, page_bytes, sem, names, asker, 0);
        let text = format!(
            "{}: {used} of {most} {} are taken ({percent} %); {}{}",
            limit.name,
            limit.unit,
            consequence(limit.name),
            who.map_or_else(String::new, |who| format!("; {who}")),
        );
        findings.push(Finding { level, id: id(limit.name), text, fix: Some(fix) });
    }
    if findings.is_empty() {
        findings.push(Finding::ok("limits", "no limit is near"));
    }
    findings
}

fn id(limit: &str) -> &'static str {
    match limit {
        "shmmni" => "limit-shmmni",
        "shmall" => "limit-shmall",
        "semmni" => "limit-semmni",
        "semmns" => "limit-semmns",
        "msgmni" => "limit-msgmni",
        _ => "limit-dev-shm",
    }
}

fn consequence(limit: &str) -> &'static str {
    match limit {
        "shmmni" => {
            "when they are, shmget fails with \"No space left on device\", disks or no disks"
        }
        "shmall" => {
            "a server that asks for more gets \"No space left on device\" or \"Cannot allocate \
             memory\", disks or no disks"
        }
        "semmni" | "semmns" => {
            "when they are, semget fails with \"No space left on device\", disks or no disks"
        }
        "msgmni" => "when they are, msgget fails with \"No space left on device\"",
        _ => {
            "when it is full, PostgreSQL's parallel queries fail with \"could not resize shared \
             memory segment\", and whoever writes to a mapping there dies of SIGBUS"
        }
    }
}

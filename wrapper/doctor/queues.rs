//! Message queues that are full, with somebody who waits to send. Pure.

use shmwarden::proc::syscall::WaitsFor;
use shmwarden::snapshot::Snapshot;
use shmwarden::sys::msg::Row;

use crate::finding::{Finding, Names};

/// Checks for a queue that may be full: whether somebody waits is worth a look then.
pub(crate) fn any_full(look: &Snapshot) -> bool {
    look.queues.seen().any(is_full)
}

/// Findings on those where somebody waits.
pub(crate) fn judge(look: &Snapshot, names: Names<'_>) -> Vec<Finding> {
    let full = look.queues.seen().filter(|row| is_full(row));
    let found: Vec<Finding> = full.filter_map(|row| finding(row, look, names)).collect();
    match found.is_empty() {
        true => vec![Finding::ok("queue-full", "no process waits for room in a message queue")],
        false => found,
    }
}

fn finding(row: &Row, look: &Snapshot, names: Names<'_>) -> Option<Finding> {
    let blocked = look.waits.as_ref()?.blocked.iter();
    let mut waiting = blocked.filter(|found| found.what == WaitsFor::Queue(row.id));
    let first = waiting.next()?.pid;
    let others = match waiting.count() {
        0 => String::new(),
        others => format!(" and {others} more"),
    };
    let text = format!(
        "queue {} of {} is full ({} messages, {} of {} bytes), and process {first}{others} waits: \
         nobody takes messages out, or too slowly",
        row.id,
        names(row.perm.uid),
        row.messages,
        row.bytes,
        row.most_bytes
    );
    let fix = format!(
        "shmwarden who {} names who sent and received last; start the receiver again",
        row.id
    );
    Some(Finding::warn("queue-full", text, fix))
}

/// Checks that one more message, as large as those that are there, has no room.
fn is_full(row: &Row) -> bool {
    let one = row.bytes.checked_div(row.messages).unwrap_or(0);
    row.messages > 0 && row.bytes.saturating_add(one.max(1)) > row.most_bytes
}

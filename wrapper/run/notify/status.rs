//! What the launcher says of itself in `STATUS=`, for people who read `systemctl status`. Pure.

use shmwarden::judge::Holder;
use shmwarden::sys::process::Ended;

/// Holders that are named; more are counted.
const MOST_NAMED: usize = 3;
/// Characters of a command line that are shown.
const LONGEST_COMMAND: usize = 40;

/// While the launcher waits.
pub(crate) fn waiting(ended: Option<Ended>, holders: &[String]) -> String {
    let what = match holders {
        [] => "looking at what it left".to_owned(),
        _ => format!("waiting for {} to let go of its shared memory", named(holders)),
    };
    format!("{}; {what}", how(ended))
}

/// Returns the status at the end of the wait; `holders` is `None` where the server's objects could
/// not be looked at.
pub(crate) fn over(ended: Option<Ended>, holders: Option<&[String]>) -> String {
    let what = match holders {
        None => "what it left could not be looked at, and is kept".to_owned(),
        Some([]) => "nobody holds what it left any more".to_owned(),
        Some(some) => format!("its shared memory is kept, for it is held by {}", named(some)),
    };
    format!("{}; {what}", how(ended))
}

/// A holder in one line without anything that a terminal, or systemd's parser, would act on.
pub(crate) fn name(holder: &Holder) -> String {
    let plain = |c: char| if c.is_control() || c == '\\' { '?' } else { c };
    let mut command: String = holder.command.chars().take(LONGEST_COMMAND).map(plain).collect();
    if holder.command.chars().nth(LONGEST_COMMAND).is_some() {
        command.push_str("...");
    }
    format!("{} ({command})", holder.process.pid)
}

fn how(ended: Option<Ended>) -> String {
    match ended {
        Some(Ended::Exited(status)) => format!("The server has ended with status {status}"),
        Some(Ended::Signaled(signal, _)) => format!("The server was ended by signal {signal}"),
        None => "The server has ended".to_owned(),
    }
}

fn named(holders: &[String]) -> String {
    let few = holders.iter().take(MOST_NAMED).cloned().collect::<Vec<_>>().join(", ");
    match (holders.len(), holders.len().saturating_sub(MOST_NAMED)) {
        (1, _) => format!("process {few}"),
        (_, 0) => format!("processes {few}"),
        (_, more) => format!("processes {few} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shmwarden::object::ProcessRef;

    fn holder(pid: i32, command: &str) -> Holder {
        Holder {
            process: ProcessRef { pid, start: 1 },
            uid: Some(0),
            command: command.to_owned(),
            state: 'S',
            attachments: 1,
            orphan: true,
        }
    }

    #[test]
    fn a_status_says_how_the_server_ended_and_who_is_waited_for() {
        let killed = Some(Ended::Signaled(9, false));
        let one = [name(&holder(7, "postgres: writer"))];
        assert_eq!(
            waiting(killed, &one),
            "The server was ended by signal 9; waiting for process 7 (postgres: writer) to let go \
             of its shared memory"
        );
        let five: Vec<String> = (1..=5).map(|pid| name(&holder(pid, "x"))).collect();
        assert_eq!(
            over(Some(Ended::Exited(3)), Some(&five)),
            "The server has ended with status 3; its shared memory is kept, for it is held by \
             processes 1 (x), 2 (x), 3 (x) and 2 more"
        );
    }

    #[test]
    fn a_hostile_command_line_stays_one_short_plain_line() {
        let name = name(&holder(7, &format!("a\nMAINPID=1\u{1b}[2J\\{}", "x".repeat(1000))));
        assert!(name.chars().count() < 60, "{name}");
        assert!(!name.contains(|c: char| c.is_control() || c == '\\'), "{name}");
    }
}

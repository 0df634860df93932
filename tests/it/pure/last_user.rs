//! The process that a row's pid means: ties of whole seconds, clocks that were set, doubt.

use shmwarden::snapshot::{Clock, LastUser, Snapshot, Table};

use super::make::{Change, look, process};

/// The wall clock is this far ahead of the boot clock.
const AHEAD_S: i64 = 1_700_000_000;
/// Boot clock of the last use, in seconds.
const USED_S: i64 = 500;
const PID: i32 = 4242;

/// A process of that pid that started so long after the boot, as a look at it shows it.
fn seen(start_ms: u64) -> Snapshot {
    let ticks = start_ms * shmwarden::snapshot::ticks_a_second() / 1000;
    let processes = vec![process(PID, ticks)];
    look().with(|look| {
        look.processes = Table::Whole(processes);
        look.clock_ahead_ms = AHEAD_S * 1000;
    })
}

fn recorded() -> Option<Clock> {
    Some(Clock { since_s: AHEAD_S + 100, ahead_ms: AHEAD_S * 1000 })
}

fn word(user: LastUser<'_>) -> &'static str {
    match user {
        LastUser::Gone => "gone",
        LastUser::Lives(process) => {
            assert_eq!(process.process.pid, PID);
            "lives"
        }
        LastUser::Unseen => "unseen",
    }
}

fn user(look: &Snapshot, clock: Option<Clock>) -> &'static str {
    word(look.last_user(PID, AHEAD_S + USED_S, clock))
}

#[test]
fn a_process_that_started_in_the_second_of_the_last_use_is_the_user() {
    let at = |ms: u64| user(&seen(USED_S.unsigned_abs() * 1000 + ms), recorded());
    assert_eq!(at(0), "lives");
    assert_eq!(at(990), "lives");
    // The kernel reads whole seconds from a clock that lags by a tick.
    assert_eq!(at(1010), "lives");
    assert_eq!(at(2000), "gone", "a later process of that pid is another");
    assert_eq!(user(&seen(10), recorded()), "lives");
}

#[test]
fn a_clock_that_was_set_proves_no_death() {
    let later = seen((USED_S.unsigned_abs() + 3600) * 1000);
    assert_eq!(user(&later, recorded()), "gone");
    for step_s in [-7200_i64, -2, -1, 1, 2, 7200] {
        let now = later.clone().with(|look| look.clock_ahead_ms = (AHEAD_S + step_s) * 1000);
        assert_eq!(user(&now, recorded()), "lives", "set by {step_s} s");
    }
    assert_eq!(user(&later, None), "lives", "a ledger that does not tell");
    let younger = Clock { since_s: AHEAD_S + USED_S + 1, ahead_ms: AHEAD_S * 1000 };
    assert_eq!(user(&later, Some(younger)), "lives", "recorded after the last use");
    // Both clocks are read one after the other.
    let same = later.with(|look| look.clock_ahead_ms = AHEAD_S * 1000 + 20);
    assert_eq!(user(&same, recorded()), "gone");
}

#[test]
fn who_is_not_there_is_gone_and_who_cannot_be_read_is_not() {
    let nobody = seen(0).with(|look| look.processes = Table::Whole(vec![]));
    assert_eq!(user(&nobody, recorded()), "gone");
    assert_eq!(user(&nobody, None), "gone");
    let hidden = nobody.clone().with(|look| look.hidden = vec![PID]);
    assert_eq!(user(&hidden, recorded()), "unseen");
    let mut zombie = seen(0);
    zombie.change(|look| look.processes.rows_mut()[0].ended = true);
    assert_eq!(user(&zombie, recorded()), "gone");
    let other = nobody.with(|look| look.processes = Table::Whole(vec![process(PID + 1, 1)]));
    assert_eq!(user(&other, recorded()), "gone");
}

#[test]
fn a_pid_of_0_is_somebody_elsewhere_where_there_was_a_use() {
    let look = seen(0);
    assert_eq!(word(look.last_user(0, 0, recorded())), "gone", "nobody ever used it");
    assert_eq!(word(look.last_user(0, AHEAD_S + USED_S, recorded())), "unseen");
}

//! The database goes on: what was written before the crash is there after the clean-up.

use super::matrix::{ALL_SYSV, Kind, USUAL};
use super::query;
use super::stage::{Stage, assert_killed};
use crate::support::sandbox;

const WRITE: &str = "
    create table kept as
        select g as id, md5(g::text) as text from generate_series(1, 20000) g;
    update kept set text = 'changed' where id % 7 = 0;
    delete from kept where id % 11 = 0";
const COMPARE: &str = "
    select count(*), sum(id), md5(string_agg(id || text, ',' order by id)) from kept";

#[test]
fn all_rows_are_there_after_crash_clean_up_and_start() {
    sandbox::run(|| all_rows_are_there_after_crash_and_clean_up(USUAL));
}

#[test]
fn all_rows_are_there_after_crash_clean_up_and_start_all_in_system_v() {
    sandbox::run(|| all_rows_are_there_after_crash_and_clean_up(ALL_SYSV));
}

#[test]
fn all_rows_are_there_after_everything_was_killed_and_swept() {
    sandbox::run(|| {
        let mut stage = Stage::new(USUAL);
        stage.start();
        let written = write(&stage);
        stage.kill_together();
        assert!(stage.sweep().is_empty(), "{}", stage.told());
        stage.start();
        assert_eq!(stage.cluster.sql(COMPARE), written);
    });
}

/// The next `run` settles what the last one left, without a `sweep` in between.
#[test]
fn all_rows_are_there_when_the_next_run_cleans_up() {
    sandbox::run(|| {
        let mut stage = Stage::new(USUAL);
        stage.start();
        let written = write(&stage);
        let old = stage.left();
        stage.kill_together();
        stage.add_strangers(2);
        stage.start();
        let now = stage.left();
        let of_both = |name: &&String| old.contains_key(*name) && old.get(*name) == now.get(*name);
        assert_eq!(now.keys().filter(of_both).count(), 0, "{old:?}\n{now:?}");
        assert_eq!(stage.cluster.sql(COMPARE), written);
        assert_eq!(stage.cluster.stop().code(), Some(0));
        stage.assert_clean();
    });
}

fn all_rows_are_there_after_crash_and_clean_up(kind: Kind) {
    let mut stage = Stage::new(kind);
    stage.start();
    let written = write(&stage);
    let _query = query::in_flight(&stage.cluster);
    assert_killed(stage.kill_server());
    stage.assert_clean();
    stage.start();
    assert_eq!(stage.cluster.sql(COMPARE), written);
    assert_eq!(stage.cluster.stop().code(), Some(0));
    stage.assert_clean();
}

fn write(stage: &Stage) -> String {
    stage.cluster.sql(WRITE);
    let written = stage.cluster.sql(COMPARE);
    assert!(written.starts_with("18182|"), "{written}");
    written
}

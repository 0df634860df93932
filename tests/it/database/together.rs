//! SIGKILL to launcher, postmaster and backends in one system call, from the spawn to the end of
//! the clean-up: `sweep` removes everything but what the server had made and listed nowhere.

use std::time::Duration;

use super::matrix::{Kind, for_every_kind};
use super::moment::Moment;
use super::stage::{Stage, needs_root, remove_by_hand};

for_every_kind!(whenever_all_is_killed_sweep_clears_it, Duration::from_secs(240));

fn whenever_all_is_killed_sweep_clears_it(kind: Kind) {
    needs_root();
    let mut stage = Stage::new(kind);
    for moment in Moment::all(kind) {
        println!("{kind:?}: {}", moment.name);
        let reached = moment.reach(&mut stage);
        stage.kill_together();
        drop(reached);
        stage.add_strangers(1);
        let left = stage.sweep();
        let expected = moment.unlisted.contains(&left.len());
        assert!(expected, "{}: {left:?}\n{}", moment.name, stage.told());
        remove_by_hand(&left);
    }
    stage.start();
    assert_eq!(stage.cluster.stop().code(), Some(0));
    stage.assert_clean();
}

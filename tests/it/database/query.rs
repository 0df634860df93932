//! Parallel hash joins: one that ends, with a known answer; one that stays, and holds still.

use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::cluster::{Backend, Cluster};
use crate::support::processes;
use crate::support::waiting::wait_until;

/// The table, if it is not there yet.
const TABLE: &str = "
    create table if not exists pairs as
        select g as id, repeat('x', 100) as filling from generate_series(1, 20000) g;
    analyze pairs";
/// One statement for the client, so that it is all there in `pg_stat_activity` too.
const JOIN: &str = "
    set max_parallel_workers_per_gather = 2;
    set parallel_setup_cost = 0;
    set parallel_tuple_cost = 0;
    set min_parallel_table_scan_size = 0;
    set enable_mergejoin = off;
    set enable_nestloop = off;
    select count(*), sum(length(a.filling || b.filling)) from pairs a join pairs b using (id)";
const ANSWER: &str = "20000|4000000";

/// Makes the table that [`JOIN`] reads.
pub fn prepare(cluster: &Cluster) {
    cluster.sql(TABLE);
}

/// Fails unless the answer is right.
pub fn ask(cluster: &Cluster) {
    assert_eq!(cluster.sql(JOIN), ANSWER);
}

/// A parallel query that stays in flight, with all of its dynamic shared memory made: leader and
/// workers are beyond the barrier that ends the building of the hash table.
pub fn in_flight(cluster: &Cluster) -> Backend {
    let query = cluster.parallel_query_in_background();
    let asleep = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'";
    wait_until("the hash table is made", Duration::from_secs(20), || cluster.sql(asleep) == "3");
    query
}

/// A session that begins a parallel query when it is let go.
pub struct Poised {
    lock: Backend,
    query: Backend,
}

impl Poised {
    /// Connected, with all that a session attaches at its start, and not begun.
    pub fn new(cluster: &Cluster) -> Self {
        cluster.sql(TABLE);
        let lock = cluster.query_in_background("select pg_advisory_lock(1), pg_sleep(1000)");
        let query = cluster.query_in_background(&format!("select pg_advisory_lock(1); {JOIN}"));
        Poised { lock, query }
    }

    /// The backend's pid.
    pub fn pid(&self) -> i32 {
        self.query.pid()
    }

    /// Begins.
    pub fn let_go(self) -> Backend {
        processes::kill(self.lock.pid(), Signal::SIGINT);
        self.query
    }
}

//! Talking to a server: by `psql`, in the foreground, or beside the test.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{ChildStdout, Command, Stdio};

use super::{Cluster, PATIENCE, installed};
use crate::support::objects::{segments, shm_files};
use crate::support::processes::Process;
use crate::support::waiting::wait_until;

/// A session that runs one statement; ends with its client at the latest when it is dropped.
pub struct Backend {
    client: Process,
    pid: i32,
    /// Kept open: a client that cannot write its result dies.
    _output: BufReader<ChildStdout>,
}

impl Backend {
    /// The backend's pid. Not the client's.
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// The client, which ends when the statement does or the server goes away.
    pub fn client(&mut self) -> &mut Process {
        &mut self.client
    }
}

/// Makes the planner choose a parallel hash join over two tables that are big enough to make it
/// create segments beyond the query's first, and nothing else.
const PARALLEL: &str = "
    set max_parallel_workers_per_gather = 2;
    set parallel_setup_cost = 0;
    set parallel_tuple_cost = 0;
    set min_parallel_table_scan_size = 0;
    set enable_mergejoin = off;
    set enable_nestloop = off;
    set work_mem = '64MB';";

const BIG_TABLE: &str = "
    create table if not exists big as
        select g as id, repeat('x', 100) as filling from generate_series(1, 100000) g;
    analyze big";

/// Built at once, probed at leisure: every joined row waits 10 ms, in the workers too. It waits on
/// a latch, so the query takes no CPU time, and ends by itself when the postmaster dies.
const SLOW_JOIN: &str = "
    select sum(length(a.filling || b.filling)), count(pg_sleep(0.01 + 0 * a.id))
    from big a join big b using (id)";

impl Cluster {
    /// Runs a statement and gives its rows, columns separated by `|`; fails if it fails.
    pub fn sql(&self, statement: &str) -> String {
        self.try_sql(statement).unwrap_or_else(|e| panic!("{statement}: {e}"))
    }

    /// Runs a statement and gives its rows, or what the server or client says against it.
    pub fn try_sql(&self, statement: &str) -> Result<String, String> {
        let output = self.psql().args(["-c", statement]).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim_end().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// Starts a statement in a session of its own and waits until it runs.
    pub fn query_in_background(&self, statement: &str) -> Backend {
        self.query_after("set application_name = 'background'", statement)
    }

    fn query_after(&self, settings: &str, statement: &str) -> Backend {
        let mut psql = self.psql();
        psql.args(["-c", "select pg_backend_pid()", "-c", settings, "-c", statement]);
        let mut client = Process::spawn(psql.stdout(Stdio::piped()).stderr(Stdio::null()));
        let mut output = BufReader::new(client.child().stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let pid = line.trim().parse().expect("the backend's pid");
        let running = format!(
            "select count(*) from pg_stat_activity where pid = {pid} and state = 'active'
             and left(query, 100) = left($statement${statement}$statement$, 100)"
        );
        wait_until("the background query runs", PATIENCE, || self.sql(&running) == "1");
        Backend { client, pid, _output: output }
    }

    /// Starts a parallel hash join that stays in flight for minutes, and waits until its dynamic
    /// shared memory is there: the query's own segment and at least one of the hash table's.
    pub fn parallel_query_in_background(&self) -> Backend {
        self.sql(BIG_TABLE);
        let before = self.dynamic_objects();
        let query = self.query_after(PARALLEL, SLOW_JOIN);
        let enough = before + 2;
        wait_until("two new DSM segments", PATIENCE, || self.dynamic_objects() >= enough);
        query
    }

    /// Starts a statement that computes for `seconds` and never looks whether the postmaster lives:
    /// the orphan of a crash.
    pub fn cpu_bound_query_in_background(&self, seconds: u32) -> Backend {
        let statement = format!(
            "do $$ declare ends timestamptz := clock_timestamp() + interval '{seconds} s';
             begin while clock_timestamp() < ends loop end loop; end $$"
        );
        self.query_in_background(&statement)
    }

    /// How many shared memory objects there are in the sandbox, of whatever form.
    fn dynamic_objects(&self) -> usize {
        let files = fs::read_dir(self.data().join("pg_dynshmem")).unwrap().count();
        segments().len() + shm_files().len() + files
    }

    fn psql(&self) -> Command {
        let mut psql = Command::new(installed::client("psql"));
        psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"]);
        psql.args(["-U", "postgres", "-d", "postgres", "-p", &self.port]).arg("-h");
        psql.arg(&self.directory).stdin(Stdio::null());
        psql
    }
}

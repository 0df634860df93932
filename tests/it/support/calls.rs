//! Semaphore sets and message queues as the kernel lists them.

use std::fs;

/// A line of `/proc/sysvipc/sem` or `/proc/sysvipc/msg`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub key: u32,
    pub id: i32,
    /// Semaphores in the set, or messages in the queue.
    pub count: u64,
    pub ctime: i64,
}

/// Every set of this IPC namespace.
pub fn sets() -> Vec<Line> {
    lines("/proc/sysvipc/sem", 3, 9)
}

/// Every queue of this IPC namespace.
pub fn queues() -> Vec<Line> {
    lines("/proc/sysvipc/msg", 4, 13)
}

/// Whether there is a set of this id.
pub fn is_set(id: i32) -> bool {
    sets().iter().any(|line| line.id == id)
}

/// Whether there is a queue of this id.
pub fn is_queue(id: i32) -> bool {
    queues().iter().any(|line| line.id == id)
}

fn lines(file: &str, count: usize, ctime: usize) -> Vec<Line> {
    let text = fs::read_to_string(file).unwrap();
    let line = |line: &str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        Line {
            key: columns[0].parse::<i32>().unwrap() as u32,
            id: columns[1].parse().unwrap(),
            count: columns[count].parse().unwrap(),
            ctime: columns[ctime].parse().unwrap(),
        }
    };
    text.lines().skip(1).map(line).collect()
}

//! The calls that this kernel lacks, and what that costs. Pure.

use crate::finding::Finding;
use crate::host::features::Features;

/// A finding for each call that is missing, one for all that are there.
pub(crate) fn judge(features: &Features) -> Vec<Finding> {
    let missing = |tried: Option<bool>| tried == Some(false);
    let mut findings = Vec::new();
    if missing(features.stat_any) {
        findings.push(Finding::warn(
            "kernel-stat-any",
            "this kernel has no SHM_STAT_ANY (Linux 4.17), or a filter forbids it: semaphore sets \
             and queues cannot be listed, so none is recorded or removed",
            "use a kernel from 4.18 on, and let shmctl, semctl and msgctl through",
        ));
    }
    if missing(features.birth_time) {
        findings.push(Finding::warn(
            "kernel-birth-time",
            "the file system at /dev/shm keeps no birth times, so a file there cannot be told \
             from a later one of its name: of a dead PostgreSQL what its own list names is \
             removed, unless it was changed after the death; every other file is kept",
            "use a kernel whose tmpfs keeps them (Linux 6.0), or look for files of other servers \
             yourself (`shmwarden list --kind posix`)",
        ));
    }
    if missing(features.pidfd) {
        findings.push(Finding::warn(
            "kernel-pidfd",
            "this kernel has no pidfd_open (Linux 5.3), or a filter forbids it: survivors are \
             never ended, whatever --orphans says",
            "use a kernel from 5.3 on, or end them by hand",
        ));
    }
    if missing(features.namespace_id) {
        findings.push(if features.initial_ipc == Some(false) {
            Finding::warn(
                "kernel-namespace-id",
                "this kernel has no numbers for namespaces that never come back (NS_GET_ID, Linux \
                 6.18), and this is not the machine's own IPC namespace: semaphore sets and queues \
                 are kept, for a later container could have them",
                "share the machine's IPC namespace, or use a kernel from 6.18 on",
            )
        } else {
            Finding::ok(
                "kernel-namespace-id",
                "no NS_GET_ID (Linux 6.18), which this IPC namespace, the machine's own, does not \
                 need",
            )
        });
    }
    for (tried, id, text) in [
        (
            features.pidfd_info,
            "kernel-pidfd-info",
            "no PIDFD_GET_INFO (Linux 6.13): how a server that runs in place ended stays unknown, \
             so its end counts as one that nobody saw",
        ),
        (
            features.procmap_query,
            "kernel-procmap-query",
            "no PROCMAP_QUERY (Linux 6.11): `who` reads whole maps, which is slower",
        ),
    ] {
        if missing(tried) {
            findings.push(Finding::ok(id, text));
        }
    }
    if findings.is_empty() {
        findings.push(Finding::ok("kernel", "this kernel has all that shmwarden uses"));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::finding::Level;

    fn worst(features: Features) -> (Level, Vec<&'static str>) {
        let found = judge(&features);
        (found.iter().map(|f| f.level).max().unwrap(), found.iter().map(|f| f.id).collect())
    }

    #[test]
    fn what_was_not_tried_is_not_missing() {
        assert_eq!(worst(Features::default()), (Level::Ok, vec!["kernel"]));
    }

    #[test]
    fn a_namespace_without_a_number_matters_where_it_is_not_the_machines_own() {
        let lacking = Features { namespace_id: Some(false), ..Features::default() };
        let id = vec!["kernel-namespace-id"];
        let machine = Features { initial_ipc: Some(true), ..lacking };
        assert_eq!(worst(machine), (Level::Ok, id.clone()));
        let container = Features { initial_ipc: Some(false), ..lacking };
        assert_eq!(worst(container), (Level::Warn, id));
    }

    #[test]
    fn what_only_costs_time_is_no_warning() {
        let slow = Features { procmap_query: Some(false), ..Features::default() };
        assert_eq!(worst(slow).0, Level::Ok);
        let blind = Features { birth_time: Some(false), ..slow };
        assert_eq!(worst(blind).0, Level::Warn);
    }
}

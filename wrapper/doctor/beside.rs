//! Units that are no server's own and still take a server's memory away: at their stop systemd
//! removes all IPC of their user (systemd.exec(5), `RemoveIPC=`). Pure.

use crate::finding::Finding;
use crate::units::UnitProperties;

/// A server that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// Its process.
    pub(crate) pid: i32,
    /// Its user, by number and by name.
    pub(crate) uid: u32,
    /// `None` for a user without an account.
    pub(crate) user: Option<String>,
    /// The unit that it runs in, if it is in one of the system's.
    pub(crate) unit: Option<String>,
    /// The unit that it runs in, if it is in one of a user's own systemd.
    pub(crate) users_unit: Option<String>,
}

/// Findings on units that remove the IPC of a user whose server runs elsewhere.
pub(crate) fn judge(units: &[UnitProperties], servers: &[Server]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for unit in units.iter().filter(|unit| unit.is_on("RemoveIPC") && !unit.is_on("DynamicUser")) {
        let (id, user) = (unit.get("Id"), unit.get("User"));
        let of_user = |server: &&Server| match &server.user {
            Some(name) if name == user => true,
            _ => user == server.uid.to_string(),
        };
        let elsewhere = |server: &&Server| server.unit.as_deref() != Some(id);
        if let Some(server) = servers.iter().filter(of_user).find(elsewhere) {
            findings.push(Finding::bad(
                "remove-ipc-beside",
                format!(
                    "{id} has RemoveIPC=yes and the user {user}, as whom a server runs that is not \
                     part of it (process {}): when {id} stops, systemd removes the semaphores and \
                     the files in /dev/shm of that server, too",
                    server.pid
                ),
                format!("RemoveIPC=no in {id}, or a user of its own for it"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    fn server(unit: Option<&str>) -> Server {
        let (user, unit) = (Some("postgres".to_owned()), unit.map(str::to_owned));
        Server { pid: 7, uid: 105, user, unit, users_unit: None }
    }

    fn unit(text: &str) -> UnitProperties {
        UnitProperties::parse(text)
    }

    #[test]
    fn a_unit_of_the_same_user_that_removes_ipc_hurts_servers_outside_of_it() {
        for user in ["postgres", "105"] {
            let other = unit(&format!("Id=job.service\nUser={user}\nRemoveIPC=yes\n"));
            let found = judge(from_ref(&other), &[server(Some("pg.service"))]);
            assert_eq!(found.len(), 1, "{user}");
            assert_eq!(judge(from_ref(&other), &[server(None)]).len(), 1);
            assert_eq!(judge(&[other], &[server(Some("job.service"))]).len(), 0, "its own");
        }
        for harmless in ["RemoveIPC=no", "RemoveIPC=yes\nDynamicUser=yes", ""] {
            let other = unit(&format!("Id=job.service\nUser=postgres\n{harmless}\n"));
            assert_eq!(judge(&[other], &[server(None)]).len(), 0, "{harmless}");
        }
        let stranger = unit("Id=job.service\nUser=other\nRemoveIPC=yes\n");
        assert_eq!(judge(&[stranger], &[server(None)]).len(), 0);
    }
}

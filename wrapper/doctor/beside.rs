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

/// The system's service that a control group is of: the innermost one. A user's own units are
/// another systemd's.
pub(crate) fn unit_of(control_group: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(control_group).ok()?;
    let of_user = |part: &str| part.starts_with("user@") || part == "user.slice";
    if path.split('/').any(of_user) {
        return None;
    }
    let mut parts = path.split('/').rev();
    parts.find(|part| part.ends_with(".service")).map(str::to_owned)
}

/// The service of a user's own systemd (`systemctl --user`) that a control group is of.
pub(crate) fn users_unit_of(control_group: &[u8]) -> Option<String> {
    let path = std::str::from_utf8(control_group).ok()?;
    let (_, below) = path.split_once("/user@")?;
    let mut parts = below.split('/').skip(1).collect::<Vec<_>>().into_iter().rev();
    parts.find(|part| part.ends_with(".service")).map(str::to_owned)
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

    #[test]
    fn the_innermost_service_of_the_system_is_the_unit() {
        let of = |path: &[u8]| unit_of(path);
        let name = Some("postgresql@15-main.service".to_owned());
        let path = b"/system.slice/system-postgresql.slice/postgresql@15-main.service";
        assert_eq!(of(path), name);
        assert_eq!(of(b"/docker.service/a/b"), Some("docker.service".to_owned()));
        assert_eq!(of(b"/user.slice/user-1.slice/user@1.service/app.slice/a.service"), None);
        assert_eq!((of(b"/"), of(b""), of(b"\xff/a.service")), (None, None, None));
    }

    #[test]
    fn a_users_own_service_is_told_from_the_systems_and_from_a_session() {
        let of = |path: &[u8]| users_unit_of(path);
        let path = b"/user.slice/user-1.slice/user@1.service/app.slice/a.service";
        assert_eq!(of(path), Some("a.service".to_owned()));
        assert_eq!(of(b"/user.slice/user-1.slice/user@1.service/init.scope"), None);
        assert_eq!(of(b"/user.slice/user-1.slice/session-3.scope"), None);
        assert_eq!(of(b"/system.slice/a.service"), None);
    }
}

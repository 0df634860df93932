//! The unit that a process runs in, by its control group. Pure.

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

#[cfg(test)]
mod tests {
    use super::*;

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

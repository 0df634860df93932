//! An older or stricter kernel, played by a filter: the calls that it lacks or forbids fail as they
//! do there.

use std::process::Command;

use nix::libc;

use super::user::User;

/// A call that fails: by number, where only some of it fails also by an argument's value.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    call: libc::c_long,
    argument: Option<(u32, u32)>,
    errno: i32,
}

const fn rule(call: libc::c_long, argument: Option<(u32, u32)>, errno: i32) -> Rule {
    Rule { call, argument, errno }
}

/// `NS_GET_ID`, before Linux 6.18.
pub const NS_GET_ID: &[Rule] = &[rule(libc::SYS_ioctl, Some((1, 0x8008_b70d)), libc::ENOTTY)];
/// `PIDFD_GET_INFO`, before 6.13.
pub const PIDFD_GET_INFO: &[Rule] = &[rule(libc::SYS_ioctl, Some((1, 0xc040_ff0b)), libc::ENOTTY)];
/// `PROCMAP_QUERY`, before 6.11.
pub const PROCMAP_QUERY: &[Rule] = &[rule(libc::SYS_ioctl, Some((1, 0xc068_6611)), libc::ENOTTY)];
/// `close_range`, before 5.9.
pub const CLOSE_RANGE: &[Rule] = &[rule(libc::SYS_close_range, None, libc::ENOSYS)];
/// Descriptors of processes, before 5.1 and 5.3.
pub const PIDFD: &[Rule] = &[
    rule(libc::SYS_pidfd_open, None, libc::ENOSYS),
    rule(libc::SYS_pidfd_send_signal, None, libc::ENOSYS),
];
/// `SHM_STAT_ANY`, `SEM_STAT_ANY`, `MSG_STAT_ANY`, before 4.17.
pub const STAT_ANY: &[Rule] = &[
    rule(libc::SYS_shmctl, Some((1, 15)), libc::EINVAL),
    rule(libc::SYS_semctl, Some((2, 20)), libc::EINVAL),
    rule(libc::SYS_msgctl, Some((1, 13)), libc::EINVAL),
];

/// Namespaces, where nobody may make one.
pub const UNSHARE: &[Rule] = &[rule(libc::SYS_unshare, None, libc::EPERM)];
/// Mounts, which Ubuntu's AppArmor forbids in a user namespace that anybody may make.
pub const MOUNT: &[Rule] = &[rule(libc::SYS_mount, None, libc::EACCES)];

/// Installs the filter that its first arguments describe, and executes the rest.
const SCRIPT: &str = r#"
    my $prctl = shift @ARGV;
    my @program;
    while ((my $rule = shift @ARGV) ne '--') {
        my ($call, $argument, $value, $errno) = split /,/, $rule;
        my $fails = [0x06, 0, 0, 0x50000 | $errno];
        # The number, then the lower half of an argument (of a little-endian machine).
        push @program, [0x20, 0, 0, 0];
        if ($argument eq '') { push @program, [0x15, 0, 1, $call], $fails }
        else {
            push @program, [0x15, 0, 3, $call], [0x20, 0, 0, 16 + 8 * $argument],
                [0x15, 0, 1, $value], $fails;
        }
    }
    push @program, [0x06, 0, 0, 0x7fff0000];
    my $code = join '', map { pack 'S C C L', @$_ } @program;
    my $filter = pack 'S x6 P', scalar @program, $code;
    # PR_SET_NO_NEW_PRIVS; PR_SET_SECCOMP, SECCOMP_MODE_FILTER.
    syscall($prctl, 38, 1, 0, 0, 0) == 0 or die "no_new_privs: $!\n";
    syscall($prctl, 22, 2, $filter) == 0 or die "seccomp: $!\n";
    exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!\n";
"#;

/// Returns the words to put before a command that is to run without these calls.
pub fn without(missing: &[&[Rule]]) -> Vec<String> {
    let mut words = ["perl", "-e", SCRIPT].map(str::to_owned).to_vec();
    words.push(libc::SYS_prctl.to_string());
    words.extend(missing.iter().flat_map(|rules| rules.iter()).map(|rule| {
        let (argument, value) =
            rule.argument.map_or((String::new(), 0), |(number, value)| (number.to_string(), value));
        format!("{},{argument},{value},{}", rule.call, rule.errno)
    }));
    words.push("--".to_owned());
    words
}

/// A command of a user, without these calls.
pub fn command(user: User, missing: &[&[Rule]], words: &[String]) -> Command {
    let all = [without(missing), words.to_vec()].concat();
    let mut command = user.command(&all[0]);
    command.args(&all[1..]);
    command
}

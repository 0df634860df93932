//! A server that notifies: Perl behind the launcher, with `notify(TEXT, DESCRIPTOR...)` to hand.

use std::process::Command;

use super::manager::Manager;
use crate::scene::instance::Instance;

/// `notify` sends one datagram to `$NOTIFY_SOCKET` with descriptors; `rest` until a signal's
/// handler has run; `gone` waits until the other ends of a pipe are closed.
const PRELUDE: &str = r#"
    use strict; use Socket; $| = 1;
    my $address = $ENV{NOTIFY_SOCKET} // '';
    sub notify {
        my ($text, @fds) = @_;
        my $name = $address; $name =~ s/^@/\0/;
        my $to = pack('S a*', AF_UNIX, $name);
        my $iov = pack('P Q', $text, length $text);
        my $control = @fds ? pack('Q i i i*', 16 + 4 * @fds, SOL_SOCKET, 1, @fds) : '';
        $control .= "\0" x (-length($control) % 8);
        my $message = pack('P L x4 P Q ' . (@fds ? 'P' : 'x8') . ' Q i x4',
            $to, length $to, $iov, 1, (@fds ? $control : ()), length $control, 0);
        socket(my $socket, AF_UNIX, SOCK_DGRAM, 0) or die "socket: $!\n";
        1 while syscall($SENDMSG, fileno $socket, $message, 0) < 0 && $!{EINTR};
    }
    sub rest { select(undef, undef, undef, 0.02) }
    sub gone { my $end = shift; sysread($end, my $byte, 1) }
"#;

#[cfg(target_arch = "x86_64")]
const NUMBERS: &str = "my $SENDMSG = 46;";
#[cfg(target_arch = "aarch64")]
const NUMBERS: &str = "my $SENDMSG = 211;";

/// The command line of a process that does this.
pub fn words(body: &str) -> Vec<String> {
    ["perl", "-e", &format!("{NUMBERS}{PRELUDE}{body}")].map(str::to_owned).to_vec()
}

/// `run OPTIONS` with a server that does this, for a manager.
pub fn command(instance: &Instance, manager: &Manager, options: &[&str], body: &str) -> Command {
    let mut command = instance.run(options, &words(body));
    command.env("NOTIFY_SOCKET", &manager.address);
    command
}

//! What COMMAND finds when it begins: the same as without a launcher, because nothing was changed,
//! or everything was put back.

use std::fs;
use std::os::unix::process::CommandExt;
use std::process::Command;

use super::wait_guardian;
use crate::scene::instance::Instance;
use crate::support::sandbox;
use crate::support::user::User;
use crate::support::warden::Answer;

/// Writes into a file what it was given. The names of pipes differ, and are left out.
const TELL: &str = r#"
    my ($file, @more) = @ARGV;
    my %fds;
    opendir(my $list, '/proc/self/fd') or die $!;
    for my $fd (readdir $list) {
        my $target = readlink("/proc/self/fd/$fd") or next;
        $target =~ s/\[\d+\]//; $target =~ s/\/\d+\//\/PID\//;
        $fds{$fd} = $target;
    }
    closedir $list;
    open(my $out, '>', $file) or die $!;
    print $out "fd $_ $fds{$_}\n" for sort keys %fds;
    print $out "argument $_\n" for @more;
    print $out 'parent ', getppid(), ' leads its group ', getpgrp() == $$, "\n";
    print $out "listens as itself\n" if $ENV{LISTEN_PID} == $$;
    print $out 'children ', waitpid(-1, 1), "\n";
    delete $ENV{LISTEN_PID};
    print $out "variable $_=$ENV{$_}\n" for sort keys %ENV;
    for my $name (qw(status limits cgroup oom_score_adj timerslack_ns coredump_filter cwd)) {
        print $out 'cwd ', readlink('/proc/self/cwd'), "\n" if $name eq 'cwd';
        open(my $in, '<', "/proc/self/$name") or next;
        for (<$in>) {
            print $out "$name $_" unless /^(Vm|Rss|SigQ|Hugetlb|NS|Pid|Tgid|.*ctxt|Mems|Cpus)/;
        }
    }
"#;

/// As a caller of every kind leaves things to it.
const CALLERS: [(&str, &str); 12] = [
    ("nothing", ""),
    ("hup-ignored", "$SIG{HUP} = 'IGNORE';"),
    ("pipe-ignored", "$SIG{PIPE} = 'IGNORE';"),
    ("chld-ignored", "$SIG{CHLD} = 'IGNORE';"),
    ("all-blocked", "sigprocmask(SIG_BLOCK, POSIX::SigSet->new(1 .. 31, 34 .. 64));"),
    ("chld-blocked", "sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGCHLD));"),
    (
        "some-pending",
        "sigprocmask(SIG_BLOCK, POSIX::SigSet->new(1 .. 31, 34 .. 64));
         kill $_ => $$ for qw(HUP TERM CHLD USR1 WINCH CONT URG RTMIN RTMAX);",
    ),
    ("no-stdin", "POSIX::close(0);"),
    ("no-stdio", "POSIX::close($_) for 0 .. 2;"),
    ("descriptors", "POSIX::dup2(1, 7); POSIX::dup2(0, 42);"),
    ("umask", "umask 0123; chdir '/proc'; POSIX::nice(5);"),
    ("environment", "%ENV = (A => 'b', EMPTY => '', 'odd name' => \"\\xff\\n\");"),
];

#[test]
fn a_command_is_given_what_it_would_be_given_without_a_launcher() {
    sandbox::run(|| {
        for (name, caller) in CALLERS {
            let instance = Instance::new(User::Server);
            let with = told(&instance, name, caller, &instance.prefix(&["--in-place"]));
            let without = told(&instance, name, caller, &[]);
            assert!(with.lines().count() > 40, "{with}");
            assert!(with.contains("listens as itself\nchildren -1\n"), "{with}");
            let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
            let (with, without) = (lines(&with), lines(&without));
            let differ: Vec<_> = with.iter().zip(&without).filter(|(a, b)| a != b).collect();
            assert!(differ.is_empty() && with.len() == without.len(), "{name}: {differ:#?}");
            wait_guardian(&instance);
        }
    });
}

fn told(instance: &Instance, name: &str, caller: &str, prefix: &[String]) -> String {
    let kind = if prefix.is_empty() { "without" } else { "with" };
    let file = instance.directory().join(format!("{name}-{kind}"));
    let setup =
        format!("use POSIX; {caller}; $ENV{{LISTEN_PID}} = $$; exec {{ $ARGV[0] }} @ARGV; die $!");
    let mut command: Command = User::Server.command("/usr/bin/perl");
    command.args(["-e", &setup]).args(prefix);
    command.args(["/usr/bin/perl", "-e", TELL]).arg(&file).args(["--in-place", "", "\u{e9} \n"]);
    let answer = Answer::of(command.process_group(0)).expect_code(0);
    assert_eq!(answer.stderr, "", "{name}");
    String::from_utf8_lossy(&fs::read(&file).unwrap()).into_owned()
}

package Bench;

# What the parts of the benchmark share: a clock, medians, processes, rows of the table. Core Perl
# without Time::HiRes, which perl-base lacks: system calls go by their numbers.

use strict;
use warnings;
use Exporter 'import';
use POSIX ();
our @EXPORT = qw(now pause median span spawn end_of cost_of row full $SCRATCH $SHMWARDEN
    $SHMAT status_of slurp);

our $SCRATCH = $ENV{BENCH_SCRATCH} or die "to be started by tests/bench/run\n";
our $SHMWARDEN = "$SCRATCH/shmwarden";

my %numbers = (    # clock_gettime, shmat, wait4
    x86_64 => [228, 30, 61],
    aarch64 => [113, 196, 260],
);
my $machine = (POSIX::uname())[4];
my ($CLOCK_GETTIME, $at, $WAIT4) = @{ $numbers{$machine} or die "no numbers for $machine here\n" };
our $SHMAT = $at;
my $CLOCK_MONOTONIC = 1;
my $timespec = "\0" x 16;

$SIG{INT} = $SIG{TERM} = 'DEFAULT';

# Microseconds of the monotonic clock.
sub now {
    syscall($CLOCK_GETTIME, $CLOCK_MONOTONIC, $timespec);
    my ($seconds, $nanos) = unpack 'qq', $timespec;
    return $seconds * 1e6 + $nanos / 1e3;
}

# Sleeps this many seconds, fractions too.
sub pause {
    select(undef, undef, undef, $_[0]);
}

sub median {
    my @sorted = sort { $a <=> $b } @_ or die "a median of nothing\n";
    my $middle = int(@sorted / 2);
    return @sorted % 2 ? $sorted[$middle] : ($sorted[$middle - 1] + $sorted[$middle]) / 2;
}

# The least and the largest.
sub span {
    my @sorted = sort { $a <=> $b } @_;
    return @sorted[0, -1];
}

# Waits for a process; its status, and the microseconds of processor time that it and the children
# that it has waited for took.
sub cost_of {
    my ($pid) = @_;
    my ($status, $usage) = ("\0" x 4, "\0" x 144);
    syscall($WAIT4, $pid, $status, 0, $usage) == $pid or die "wait4 $pid: $!\n";
    my @times = unpack "q4", $usage;
    return (unpack("i", $status), ($times[0] + $times[2]) * 1e6 + $times[1] + $times[3]);
}

# The first number of a full run, the second of a quick one.
sub full {
    return $ENV{BENCH_QUICK} ? $_[1] : $_[0];
}

# Starts a command without a shell; its output goes to a handle where one is given.
sub spawn {
    my ($command, $output) = @_;
    my $pid = fork // die "fork: $!\n";
    return $pid if $pid;
    POSIX::setpgid(0, 0);    # as a service manager does it; else siblings count as its descendants
    POSIX::dup2(fileno($output), 1) if $output;
    open STDOUT, '>', '/dev/null' unless $output;
    { no warnings 'exec'; exec { $command->[0] } @$command; }
    print STDERR "cannot execute $command->[0]: $!\n";
    POSIX::_exit(127);
}

# Waits for a process; its status as `$?` has it.
sub end_of {
    waitpid($_[0], 0) == $_[0] or die "waitpid $_[0]: $!\n";
    return $?;
}

sub slurp {
    open my $file, '<', $_[0] or return;
    local $/;
    return scalar <$file>;
}

# Numbers of `/proc/PID/status` and the like, by name.
sub status_of {
    my ($pid, $name) = @_;
    my $text = slurp("/proc/$pid/$name") // die "process $pid has gone\n";
    return $text =~ /^(\w+):\s+(\d+)/mg;
}

# A row of the table: figure, ours, peer, ratio, aim, and whether it was met where that is known.
sub row {
    my ($figure, $ours, $peer, $ratio, $aim, $met) = @_;
    my $verdict = defined $met ? ($met ? 'met' : 'MISSED') : '';
    local $| = 1;
    print join("\t", $figure, $ours, $peer // '-', $ratio // '-', $aim // '-', $verdict), "\n";
}

1;

# What a sweep costs beside one `list`, where the servers of many ledgers live, and beside
# `ipcrm --all=shm`, where one dead server has left thousands of segments.

use strict;
use warnings;
use Bench;

my $ROUNDS = full(9, 3);
my $LEDGERS = full(20, 5);
my $WORKERS = full(100, 20);
my @STALE = full(1, 0) ? (4000, 32_000) : (1000);
my $DIRECTORY = "$SCRATCH/tmpfs/sweep";
my $IPC_PRIVATE = 0;
my $IPC_CREAT = 01000;

# Makes segments and workers, which all have the first segment attached, and says so.
my $SERVER = <<'PERL';
    my ($SHMAT, $segments, $workers) = @ARGV;
    my @ids = map { shmget(0, 4096, 01600) // die "shmget: $!\n" } 1 .. $segments;
    syscall($SHMAT + 0, $ids[0] + 0, 0, 0) != -1 or die "shmat: $!\n";
    my @pids = ($$);
    for (1 .. $workers) {
        my $pid = fork // die "fork: $!\n";
        if (!$pid) { sleep 1000; exit }
        push @pids, $pid;
    }
    $| = 1;
    print "@pids\n";
    sleep 1 while 1;
PERL

# Starts one under a ledger; its launcher and its processes.
sub start {
    my ($ledger, $segments, $workers) = @_;
    pipe my $from, my $to or die "pipe: $!\n";
    my @run = ($SHMWARDEN, '-q', 'run', '--ledger', $ledger, '--');
    my $launcher = spawn([@run, 'perl', '-e', $SERVER, $SHMAT, $segments, $workers], $to);
    close $to;
    my @pids = split ' ', <$from> // die "the stand-in does not start\n";
    return ($launcher, @pids);
}

# How many objects a ledger has.
sub recorded {
    my ($ledger) = @_;
    return scalar(() = slurp($ledger) =~ /"record":"object"/g);
}

# Kills a process and waits for its end, whoever its parent is.
sub end {
    kill 'KILL', @_;
    for my $pid (@_) {
        pause(0.005) while -e "/proc/$pid" && slurp("/proc/$pid/stat") !~ /\) Z /;
    }
}

# Milliseconds that a command takes.
sub took {
    my $before = now();
    end_of(spawn([@_]));
    return (now() - $before) / 1e3;
}

sub compare {
    my ($figure, $ours, $peer, $name, $aim) = @_;
    my ($mine, $its) = (median(@$ours), median(@$peer));
    my $ratio = $mine / $its;
    row("$figure, beside $name", (map { sprintf '%.1f ms', $_ } $mine, $its),
        sprintf('%.2fx', $ratio), sprintf('at most %gx', $aim), $ratio <= $aim);
}

sub living {
    mkdir $DIRECTORY;
    my @all;
    for my $number (1 .. $LEDGERS) {
        my ($launcher, @pids) = start("$DIRECTORY/$number.ledger", 1, $WORKERS);
        push @all, @pids;
        pause(0.3);    # it has recorded the segment
        kill 'KILL', $launcher;
        end_of($launcher);
    }
    my (@list, @dir, @one);
    for (1 .. $ROUNDS) {
        push @list, took($SHMWARDEN, 'list');
        push @dir, took($SHMWARDEN, '-q', 'sweep', '--dir', $DIRECTORY);
        push @one, took($SHMWARDEN, '-q', 'sweep', "$DIRECTORY/1.ledger");
    }
    compare("sweep of $LEDGERS living ledgers, $WORKERS workers each", \@dir, \@list, 'list', 2);
    compare('sweep of one of them', \@one, \@list, 'list', 1.2);
    end(@all);
    took($SHMWARDEN, '-q', 'sweep', '--dir', $DIRECTORY);
}

sub stale {
    my ($count) = @_;
    my (@ours, @ipcrm);
    for my $round (1 .. full(5, 2)) {
        my $ledger = "$SCRATCH/tmpfs/stale.$count.$round.ledger";
        my ($launcher, @pids) = start($ledger, $count, 0);
        my $deadline = now() + 20e6;
        pause(0.1) while now() < $deadline && recorded($ledger) < $count;
        kill 'KILL', $launcher;
        end_of($launcher);
        end(@pids);
        push @ours, took($SHMWARDEN, '-q', 'sweep', $ledger);
        my $left = () = slurp('/proc/sysvipc/shm') =~ /\n/g;
        die $left - 1, " segments of $count were not swept\n" if $left > 1;
        unlink $ledger;
        for (1 .. $count) {
            defined shmget $IPC_PRIVATE, 4096, $IPC_CREAT | 0600 or die "shmget: $!\n";
        }
        push @ipcrm, took('ipcrm', '--all=shm');
    }
    compare("sweep of $count stale segments", \@ours, \@ipcrm, 'ipcrm --all=shm', 4);
}

living();
stale($_) for @STALE;

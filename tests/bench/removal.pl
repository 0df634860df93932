# How soon after the last detach a dead server's segment is gone. A stand-in server has one segment,
# which it holds alone, or which an orphan of it holds longer; this process polls the segment
# without a pause and notes when nattch became 0 and when the id was gone. An orphan that detaches
# and lives on is not measured: while one lives, nothing of its server is removed.

use strict;
use warnings;
use Bench;
use Server;

my $ROUNDS = full(30, 6);
my $POSTGRES_ROUNDS = full(10, 2);
my $CROWD = 200;
my $IPC_STAT = 2;
my $LONGEST_MICROS = 5e6;

# Its child, where it makes one, inherits the attachment.
my $STAND_IN = <<'PERL';
    my ($SHMAT, $with_orphan) = @ARGV;
    my $id = shmget(0, 1 << 20, 01600) // die "shmget: $!\n";
    syscall($SHMAT + 0, $id + 0, 0, 0) != -1 or die "shmat: $!\n";
    my $orphan = $with_orphan ? fork : 0;
    if ($orphan || !$with_orphan) {
        $| = 1;
        print "$id $$ $orphan\n";
    }
    sleep 1 while 1;
PERL

sub nattch {
    my $buffer = '';
    shmctl($_[0], $IPC_STAT, $buffer) or return;
    return unpack 'x88 Q', $buffer;
}

# Microseconds from the last detach, which the end of a process brings about, to the segment's end.
sub measured {
    my ($id, $pid) = @_;
    kill 'KILL', $pid;
    my $deadline = now() + $LONGEST_MICROS;
    my ($nattch, $detached);
    while (defined($nattch = nattch($id))) {
        my $at = now();
        $detached //= $at if $nattch == 0;
        die "segment $id still stands, with nattch $nattch\n" if $at > $deadline;
    }
    my $gone = now();
    return defined $detached ? $gone - $detached : undef;
}

sub round {
    my ($with_orphan) = @_;
    my $ledger = "$SCRATCH/tmpfs/removal.ledger";
    pipe my $from, my $to or die "pipe: $!\n";
    my @run = ($SHMWARDEN, '-q', 'run', '--linger', '60s', '--ledger', $ledger, '--');
    my @server = ('perl', '-e', $STAND_IN, $SHMAT, $with_orphan);
    my $launcher = spawn([@run, @server], $to);
    close $to;
    my ($id, $server, $orphan) = split ' ', <$from> // die "the stand-in does not start\n";
    # Not in step with the launcher's own clocks.
    pause(0.1 + rand 0.05);
    if ($orphan) {
        kill 'KILL', $server;
        pause(0.001) while kill 0, $server;
        pause(0.2 + rand 0.05);
    }
    my $took = measured($id, $orphan || $server);
    end_of($launcher);
    unlink $ledger;
    return $took;
}

# Times of this many rounds. A round in which this process lost its processor at that moment,
# and never saw the segment unattached, does not count.
sub rounds {
    my ($count, $round) = @_;
    my @times;
    for (1 .. 4 * $count) {
        my $took = $round->();
        push @times, $took if defined $took;
        return @times if @times == $count;
    }
    die "this machine is too busy to see a detach\n";
}

sub report {
    my ($figure, $limit, @times) = @_;
    my ($least, $most) = map { $_ / 1e3 } span(@times);
    my $median = median(@times) / 1e3;
    row("removal: $figure", sprintf('%.2f ms (%.2f..%.2f)', $median, $least, $most), '-', '-',
        $limit && "below $limit ms", $limit && $median < $limit);
}

sub postgres_round {
    my ($server) = @_;
    my $ledger = "$SCRATCH/tmpfs/postgres.ledger";
    $server->start($SHMWARDEN, '-q', 'run', '--ledger', $ledger, '--');
    my $postmaster = $server->line(1);
    my $id = (split ' ', $server->line(7))[1];
    pause(0.3 + rand 0.05);
    my $took = measured($id, $postmaster);
    end_of(delete $server->{launcher});
    unlink $ledger;
    return $took;
}

report('the server dies', 2, rounds($ROUNDS, sub { round(0) }));
report('an orphan ends', 2, rounds($ROUNDS, sub { round(1) }));
my @crowd = map { spawn(['sleep', '1000']) } 1 .. $CROWD;
report("an orphan ends, $CROWD other processes", undef, rounds($ROUNDS, sub { round(1) }));
kill 'KILL', @crowd;
end_of($_) for @crowd;
if ($Server::BINARIES) {
    my $server = Server->new('removal');
    report('PostgreSQL is killed (its main segment, which goes last)', 2,
        rounds($POSTGRES_ROUNDS, sub { postgres_round($server) }));
}

# What it costs to start a command and to see it end: `run -- true` beside `tini -s -- true`, both
# less what plain `true` takes. Interleaved, so that all three meet the same disturbances.

use strict;
use warnings;
use Bench;

my $ROUNDS = full(400, 60);
my $OLD_RUNS = 50;

my @true = ('true');
my @tini = ('tini', '-s', '--', @true);
my $tmpfs = "$SCRATCH/tmpfs/start.ledger";
my $disk = "$SCRATCH/work/start.ledger";

sub ours {
    return ($SHMWARDEN, 'run', '--ledger', $_[0], '--', @true);
}

# Microseconds from before the fork to after the wait, and of processor time.
sub times_of {
    my $before = now();
    my ($status, $cpu) = cost_of(spawn(\@_));
    my $took = now() - $before;
    $status == 0 or die "@_ ended with status $status\n";
    return [$took, $cpu];
}

# Makes the file what it was: a run would find what the round before it has added.
sub put_back {
    my ($path, $content) = @_;
    unlink $path;
    return unless defined $content;
    my $mask = umask 077;
    open my $file, '>', $path or die "$path: $!\n";
    umask $mask;
    print $file $content or die "$path: $!\n";
    close $file or die "$path: $!\n";
}

# Medians of (wall clock, processor time) of plain `true`, of tini and of ours.
sub compare {
    my ($rounds, $ledger, $content) = @_;
    my @kinds = (\@true, \@tini, [ours($ledger)]);
    my @times;
    for my $round (-3 .. $rounds - 1) {    # the first ones warm the caches
        for my $turn (0 .. 2) {
            my $kind = ($round + $turn) % 3;
            put_back($ledger, $content) if $kind == 2;
            my $took = times_of(@{ $kinds[$kind] });
            push @{ $times[$kind] }, $took if $round >= 0;
        }
    }
    put_back($ledger, undef);
    return map { my $kind = $_; [map { my $i = $_; median(map { $_->[$i] } @$kind) } 0, 1] } @times;
}

# Rows of what ours and tini take more than plain `true`.
sub report {
    my ($ledger, $limit, $true, $tini, $ours) = @_;
    for my $clock (['', 0, $limit], [', CPU time', 1]) {
        my ($suffix, $i, $limit) = @$clock;
        my @over = map { $_->[$i] - $true->[$i] } $ours, $tini;
        my $ratio = $over[0] / $over[1];
        row("start: over `true`, $ledger$suffix", (map { sprintf '%.0f us', $_ } @over),
            sprintf('%.2f', $ratio), $limit && "at most $limit", $limit && $ratio <= $limit);
    }
}

my @fresh = compare($ROUNDS, $tmpfs);
row('start: plain `true`', '-', sprintf('%.0f us', $fresh[0][0]));
report('fresh ledger on tmpfs', 2.5, @fresh);

times_of(ours($tmpfs)) for 1 .. $OLD_RUNS;
my $content = slurp($tmpfs);
report("ledger of $OLD_RUNS runs on tmpfs", undef, compare($ROUNDS, $tmpfs, $content));
report('fresh ledger on a disk', undef, compare($ROUNDS / 4, $disk));

# What a launcher costs while its server runs: memory, wake-ups, processor time; ours beside tini,
# both at the same time, in front of a real PostgreSQL and in front of `sleep`.

use strict;
use warnings;
use Bench;
use Server;

my $DENSE_SECONDS = full(15, 9);    # the launcher looks densely while a server starts
my $SECONDS = full(60, 10);

my @tini = ('tini', '-s', '--');
my (%launchers, @servers);

sub ours {
    return ($SHMWARDEN, 'run', '--ledger', "$SCRATCH/tmpfs/$_[0].ledger", '--');
}

# Wake-ups, clock ticks (its own and those of helpers it has reaped), microseconds on a processor.
sub usage {
    my ($pid) = @_;
    my %status = status_of($pid, 'status');
    my $stat = slurp("/proc/$pid/stat");
    my @fields = split ' ', $stat =~ s/.*\) //sr;    # from field 3 on
    my $schedstat = slurp("/proc/$pid/schedstat") // '0';
    return {
        wakeups => $status{voluntary_ctxt_switches} + $status{nonvoluntary_ctxt_switches},
        ticks => $fields[11] + $fields[12] + $fields[13] + $fields[14],
        micros => (split ' ', $schedstat)[0] / 1e3,
    };
}

# smaps_rollup is exact, where the counters of status are estimates on many kernels.
sub memory {
    my ($pid) = @_;
    my %rollup = status_of($pid, 'smaps_rollup');
    my %status = status_of($pid, 'status');
    return { rss => $rollup{Rss}, anon => $rollup{Anonymous}, shmem => $status{RssShmem} };
}

sub kilobytes {
    return "$_[0] kB";
}

sub report_memory {
    my ($what, $ours, $tini) = @_;
    my @aims = (['RssAnon', 'anon', 400], ['RSS', 'rss', 3072]);
    for my $aim (@aims) {
        my ($name, $field, $limit) = @$aim;
        row("waiting on $what: $name", kilobytes($ours->{$field}), kilobytes($tini->{$field}),
            sprintf('%.2f', $ours->{$field} / $tini->{$field}), "below $limit kB",
            $ours->{$field} < $limit);
    }
}

sub a_minute {
    my ($before, $after, $field) = @_;
    return ($after->{$field} - $before->{$field}) * 60 / $SECONDS;
}

sub report_usage {
    my ($what, $ours, $tini) = @_;
    my @wakeups = map { a_minute(@$_, 'wakeups') } $ours, $tini;
    row("waiting on $what: wake-ups a minute", (map { sprintf '%.0f', $_ } @wakeups), '-',
        'at most 60', $wakeups[0] <= 60);
    my @ticks = map { a_minute(@$_, 'ticks') } $ours, $tini;
    row("waiting on $what: CPU ticks a minute", (map { sprintf '%.0f', $_ } @ticks), '-',
        '0', $ticks[0] == 0);
    my @micros = map { a_minute(@$_, 'micros') } $ours, $tini;
    # Ticks are this time, counted in full 10 ms: the finer figure tells how near the next one is.
    row("waiting on $what: CPU time a minute", (map { sprintf '%.1f ms', $_ / 1e3 } @micros),
        sprintf('%.2f', $micros[0] / $micros[1]), 'below 10 ms (a tick)', $micros[0] < 1e4);
}

$launchers{sleep} = [map { spawn([@$_, 'sleep', '1000']) } [ours('sleep')], \@tini];
if ($Server::BINARIES) {
    @servers = map { Server->new($_) } 'warden', 'tini';
    $servers[0]->start(ours('warden'));
    $servers[1]->start(@tini);
    $launchers{PostgreSQL} = [map { $_->{launcher} } @servers];
}
pause($DENSE_SECONDS);
my %before = map { $_ => [map { usage($_) } @{ $launchers{$_} }] } keys %launchers;
pause($SECONDS);
my %after = map { $_ => [map { usage($_) } @{ $launchers{$_} }] } keys %launchers;
for my $what (sort keys %launchers) {
    report_memory($what, map { memory($_) } @{ $launchers{$what} });
    my @spans = map { [$before{$what}[$_], $after{$what}[$_]] } 0, 1;
    report_usage($what, @spans);
}
$_->stop for @servers;
for my $pid (@{ $launchers{sleep} }) {
    kill 'TERM', $pid;
    end_of($pid);
}

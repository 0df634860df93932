# Whether a server behind shmwarden is as fast as without: pgbench on one cluster, in pairs of
# rounds whose order changes (A B, B A, ...). How much the plain rounds differ from each other is
# the noise that the ratio is to be judged by.

use strict;
use warnings;
use Bench;
use Server;

exit 0 unless $Server::BINARIES;

my $PAIRS = full(8, 2);
my $SECONDS = full(6, 2);
my @CLIENTS = ('-n', '-M', 'prepared', '-c', 2, '-j', 2);
my %kinds = ('select-only' => ['-S'], 'tpcb-like' => ['-b', 'tpcb-like']);

my $server = Server->new('throughput');
my @prefix = ($SHMWARDEN, 'run', '--ledger', "$SCRATCH/tmpfs/throughput.ledger", '--');

# Transactions a second of each kind, from one start of the server.
sub round {
    $server->start(@_);
    $server->pgbench(@CLIENTS, '-S', '-T', 1);    # warms the buffers
    my %tps;
    for my $kind (sort keys %kinds) {
        my $text = $server->pgbench(@CLIENTS, @{ $kinds{$kind} }, '-T', $SECONDS);
        ($tps{$kind}) = $text =~ /^tps = ([\d.]+)/m or die "pgbench: $text\n";
    }
    $server->stop;
    return \%tps;
}

$server->start;
$server->pgbench('-i', '-q', '-s', 10);
$server->stop;
my (@with, @without);
for my $pair (1 .. $PAIRS) {
    push @without, round() if $pair % 2;
    push @with, round(@prefix);
    push @without, round() unless $pair % 2;
}
for my $kind (sort keys %kinds) {
    my @ours = map { $_->{$kind} } @with;
    my @plain = map { $_->{$kind} } @without;
    my ($ours, $plain) = (median(@ours), median(@plain));
    my $ratio = $ours / $plain;
    my ($low, $high) = span(map { $ours[$_] / $plain[$_] } 0 .. $#ours);
    my ($least, $most) = map { $_ / $plain } span(@plain);
    row("throughput: pgbench $kind", sprintf('%.0f tps', $ours), sprintf('%.0f tps', $plain),
        sprintf('%.3f (%.3f..%.3f)', $ratio, $low, $high),
        sprintf('1 within noise (%.3f..%.3f)', $least, $most),
        $ratio >= $least);
}

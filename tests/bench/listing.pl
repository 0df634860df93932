# How long a table takes beside the programs that show the same: `list` beside ipcs and lsipc, `who`
# beside lsof and grep. All print into /dev/null, which is what a pipe costs less.

use strict;
use warnings;
use Bench;

my $ROUNDS = full(15, 5);
my @SIZES = (4096, 32_768);
my $PROCESSES = full(1500, 300);
my $MAPPINGS = 100;    # those of a PostgreSQL 18 backend; Debian's 15 has 245
my $MMAP = (POSIX::uname())[4] eq 'aarch64' ? 222 : 9;
my ($PROT_READ, $MAP_PRIVATE) = (1, 2);
my $IPC_PRIVATE = 0;
my $IPC_CREAT = 01000;
my $IPC_RMID = 0;

# Medians in milliseconds of commands that are run in turn, by name.
sub in_turn {
    my ($rounds, %commands) = @_;
    my %times;
    for (1 .. $rounds) {
        for my $name (sort keys %commands) {
            my $before = now();
            end_of(spawn($commands{$name}));
            push @{ $times{$name} }, (now() - $before) / 1e3;
        }
    }
    return map { $_ => median(@{ $times{$_} }) } keys %times;
}

sub report {
    my ($figure, $times, $peer, $aim) = @_;
    my $ratio = $times->{$peer} / $times->{ours};
    row("$figure, beside $peer", (map { sprintf '%.1f ms', $times->{$_} } 'ours', $peer),
        sprintf('%.1fx', $ratio), sprintf('%gx faster', $aim), $ratio >= $aim);
}

sub has {
    my ($program) = @_;
    return grep { -x "$_/$program" } split /:/, $ENV{PATH};
}

# Makes segments up to this many; how many there are then.
sub fill {
    my ($ids, $wanted) = @_;
    while (@$ids < $wanted) {
        my $id = shmget $IPC_PRIVATE, 4096, $IPC_CREAT | 0600;
        defined $id or last;
        push @$ids, $id;
    }
    return scalar @$ids;
}

sub tables {
    my @ids;
    for my $size (@SIZES) {
        if (fill(\@ids, $size) < $size) {
            row("list at $size segments", "not measured: $!");
            next;
        }
        my %commands = (ours => [$SHMWARDEN, 'list', '--kind', 'shm'], 'ipcs -m' => ['ipcs', '-m']);
        $commands{'lsipc -m'} = ['lsipc', '-m'] if has('lsipc');
        my $rounds = $size > 10_000 ? full(7, 3) : $ROUNDS;
        my %times = in_turn($rounds, %commands);
        for my $peer (grep { $_ ne 'ours' } sort keys %commands) {
            report("list at $size segments", \%times, $peer, 5);
        }
    }
    shmctl $_, $IPC_RMID, 0 for @ids;
}

# Maps one page of a file again and again, until there are as many mappings as a server has.
sub map_like_a_server {
    open my $file, '<', $0 or die "$0: $!\n";
    my $present = () = slurp('/proc/self/maps') =~ /\n/g;
    for ($present + 1 .. $MAPPINGS) {
        syscall($MMAP, 0, 4096, $PROT_READ, $MAP_PRIVATE, fileno($file), 0) != -1
            or die "mmap: $!\n";
    }
}

# Processes that all have one segment attached.
sub holders {
    my $id = shmget $IPC_PRIVATE, 4096, $IPC_CREAT | 0600;
    defined $id or die "shmget: $!\n";
    syscall($SHMAT, $id, 0, 0) != -1 or die "shmat: $!\n";
    shmctl $id, $IPC_RMID, 0;    # goes with the last of them, whatever happens
    map_like_a_server();
    my @pids;
    for (1 .. $PROCESSES) {
        my $pid = fork // die "fork: $!\n";
        if (!$pid) {
            sleep 1000;
            exit;
        }
        push @pids, $pid;
    }
    my %commands = (
        ours => [$SHMWARDEN, 'who', $id],
        grep => ['sh', '-c', 'grep SYSV /proc/[0-9]*/maps 2>/dev/null'],
    );
    $commands{'lsof -nP'} = ['lsof', '-nP'] if has('lsof');
    my %times = in_turn(full(9, 3), %commands);
    my $figure = "who with $PROCESSES holders";
    report($figure, \%times, 'grep', 1);
    if ($times{'lsof -nP'}) {
        report($figure, \%times, 'lsof -nP', 5);
    } else {
        row("$figure, beside lsof", 'not measured: no lsof here');
    }
    kill 'KILL', @pids;
    end_of($_) for @pids;
}

tables();
holders();

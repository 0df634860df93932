package Server;

# A real PostgreSQL in a directory of its own, behind a prefix or not. Its settings keep the disk
# and the background workers out of the figures.

use strict;
use warnings;
use Bench;

our $BINARIES = $ENV{BENCH_PG};

# A new cluster; the next ones are copies of the first.
my $template;

sub new {
    my ($class, $name) = @_;
    my $self = bless { directory => "$SCRATCH/work/$name" }, $class;
    mkdir $self->{directory} or die "$self->{directory}: $!\n";
    $self->{data} = "$self->{directory}/data";
    if ($template) {
        must('cp', '-r', $template, $self->{data});
    } else {
        must("$BINARIES/initdb", '-N', '-A', 'trust', '-U', 'bench', '-D', $self->{data});
        $template = "$SCRATCH/work/template";
        must('cp', '-r', $self->{data}, $template);
    }
    open my $conf, '>>', "$self->{data}/postgresql.conf" or die "postgresql.conf: $!\n";
    print $conf <<"SETTINGS";
listen_addresses = ''
unix_socket_directories = '$self->{directory}'
shared_buffers = 256MB
max_wal_size = 4GB
checkpoint_timeout = 1h
fsync = off
autovacuum = off
SETTINGS
    close $conf or die "postgresql.conf: $!\n";
    return $self;
}

# Starts it behind the words of a prefix and waits until it takes connections.
sub start {
    my ($self, @prefix) = @_;
    my $stale = $self->line(1) // '';    # of a server that was killed
    open my $log, '>>', "$self->{directory}/log" or die "$self->{directory}/log: $!\n";
    open my $errors, '>&', \*STDERR or die "stderr: $!\n";
    open STDERR, '>&', $log or die "stderr: $!\n";
    $self->{launcher} = spawn([@prefix, "$BINARIES/postgres", '-D', $self->{data}], $log);
    open STDERR, '>&', $errors or die "stderr: $!\n";
    for (1 .. 300) {
        my $pid = $self->line(1) // '';
        next if $pid eq $stale;
        return $self if (slurp("$self->{data}/postmaster.pid") // '') =~ /^ready/m;
    } continue {
        pause(0.1);
    }
    die "PostgreSQL does not start: " . slurp("$self->{directory}/log");
}

# Line `number` of `postmaster.pid`.
sub line {
    my ($self, $number) = @_;
    return (split /\n/, slurp("$self->{data}/postmaster.pid") // '')[$number - 1];
}

# Fast stop, by way of the launcher where there is one.
sub stop {
    my ($self) = @_;
    kill 'INT', $self->{launcher};
    my $status = end_of(delete $self->{launcher});
    $status == 0 or die "PostgreSQL ended with status $status: " . slurp("$self->{directory}/log");
}

sub pgbench {
    my ($self, @words) = @_;
    my @target = ('-U', 'bench', '-h', $self->{directory});
    my @command = ("$BINARIES/pgbench", @target, @words, 'postgres');
    open my $output, '-|', "@command 2>&1" or die "pgbench: $!\n";
    my $text = do { local $/; <$output> };
    close $output or die "@command: $text\n";
    return $text;
}

sub must {
    my $status = end_of(spawn(\@_));
    $status == 0 or die "@_ ended with status $status\n";
}

1;

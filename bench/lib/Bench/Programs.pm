# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
package Bench::Programs;

# The programs in C that bench/ocsp needs: made once a run, started, and asked.

use strict;
use warnings;
use Exporter qw(import);
use IO::Socket::INET;
use IPC::Open2 qw(open2);

our @EXPORT_OK = qw(clients start_responder);

sub program {
    my ($env, $name, @libraries) = @_;
    my $program = "$env->{dir}/$name";
    return $program if -e $program;
    my @command = ('cc', '-std=gnu11', '-O2', '-o', $program, "$env->{top}/bench/lib/$name.c",
        @libraries);
    system(@command) == 0 or die "failed: @command\n";
    return $program;
}

# ---- clients (lib/clients.c) ----

# Returns its lines, each as a list.
sub clients {
    my ($env, $mode, $port, @arguments) = @_;
    my $program = program($env, 'clients', '-lssl', '-lcrypto', '-lpthread');
    open my $out, '-|', $program, $mode, $port, $env->{pki}, @arguments or die "$program: $!\n";
    my @lines = map { [split] } <$out>;
    close $out or die "clients $mode failed\n";
    return @lines;
}

# ---- the responder (lib/responder.c) ----

sub start_responder {
    my ($env) = @_;
    my ($pki, $ca) = ($env->{pki}, 'carc-i101l');
    my $program = program($env, 'responder', '-lcrypto');
    my ($revoked) = `openssl x509 -in '$pki/revoked.crt' -noout -serial` =~ /=([0-9A-F]+)/
        or die "openssl x509 failed\n";
    my $pid = open2(my $out, my $in, $program, "$pki/$ca.crt", "$pki/$ca.key", $revoked);
    my $port = <$out> // die "the responder did not start\n";
    chomp $port;
    return bless { pid => $pid, in => $in, out => $out, port => $port }, __PACKAGE__;
}

# How it is to answer: after so many milliseconds, for so many seconds.
sub url {
    my ($self, $delay, $life) = @_;
    return sprintf 'http://127.0.0.1:%d/%d/%d/', $self->{port}, $delay, $life // 86_400;
}

# How often it has answered so far.
sub answered {
    my ($self) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->{port})
        or die "the responder has gone: $@\n";
    print {$socket} "GET /count HTTP/1.0\r\n\r\n";
    my ($count) = join('', <$socket>) =~ /^(\d+) \d+$/m or die "the responder does not count\n";
    return $count;
}

sub stop {
    my ($self) = @_;
    close delete $self->{in} if $self->{in};
    waitpid delete $self->{pid}, 0 if $self->{pid};
    return;
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $@);
    $self->stop;
    return;
}

1;

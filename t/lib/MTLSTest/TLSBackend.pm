# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::TLSBackend;

# A backend that speaks TLS under many faces, each at a port of its own: which certificate it shows,
# whose it asks for. It answers a request as MTLSTest::Backend does, with the bytes it received, and
# keeps a diary of every connection, so that a test sees which ones were made, which were used again
# and that a refused one never carried a byte of HTTP.
#
# Fields of a face: cert (fixture) and send ('chain' or 'leaf'); client (a file of CAs: the gateway
# must show a certificate of theirs); address (of the loopback interface, if not 127.0.0.1); version
# ('1.2', '1.3'); staple (a file with an OCSP response); context (code that is given the SSL_CTX);
# after_request (code that is called when bytes have arrived, before they are answered); plain (no
# TLS); serve (code that has the handle instead of the echo).

use strict;
use warnings;
use IO::Select;
use IO::Socket::IP;
use Net::SSLeay;
use POSIX           ();
use MTLSTest::Await qw(await);
use MTLSTest::Backend;
use MTLSTest::Files  qw(files_dir);
use MTLSTest::Layout qw(pki_dir free_port);
use MTLSTest::TLS;

use constant SESSION_ID => 'mtls-test-backend';

my @STARTED;

sub start {
    my ($class, $name, %faces) = @_;
    my $self = bless { diary => files_dir("tls-$name") . '/diary', faces => \%faces, seen => {} },
        $class;
    for my $face (values %faces) {
        for (1 .. 20) {    # somebody else may be quicker
            $face->{port}     = free_port();
            $face->{listener} = IO::Socket::IP->new(
                LocalAddr => $face->{address} // '127.0.0.1',
                LocalPort => $face->{port},
                Listen    => 64,
                ReuseAddr => 1,
                Proto     => 'tcp'
            ) and last;
        }
        $face->{listener} or die "cannot listen: $!\n";
    }
    open $self->{out}, '>>:raw', $self->{diary} or die "cannot write $self->{diary}: $!\n";
    my $pid = fork // die "cannot fork: $!\n";
    if (!$pid) {
        eval { $self->accept_all };
        POSIX::_exit(0);
    }
    CORE::close delete $_->{listener} for values %faces;
    $self->{pid} = $pid;
    push @STARTED, $self;
    return $self;
}

# --- the process that listens, and one for each connection ----------------------------------------
sub accept_all {
    my ($self) = @_;
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
    $SIG{CHLD} = 'IGNORE';
    my %name   = map { $self->{faces}{$_}{listener} => $_ } keys %{ $self->{faces} };
    my $select = IO::Select->new(map { $_->{listener} } values %{ $self->{faces} });
    my $number = 0;
    while (1) {
        for my $listener ($select->can_read) {
            my $client = $listener->accept or next;
            $number++;
            $self->{label} = "$name{$listener} $number";
            $self->note('open ' . ($client->peerport // 0));
            next if fork // 1;
            $self->{face} = $self->{faces}{ $name{$listener} };
            eval { $self->serve($client) };
            $self->note('failed ' . $@ =~ s/\s+/ /gr) if $@;
            CORE::close $client;
            $self->note('closed');
            POSIX::_exit(0);
        }
    }
    return;
}

sub note { my ($self, $text) = @_; syswrite $self->{out}, "$self->{label} $text\n"; return }

# No longer than the test: whoever forgets a connection does not keep a process for ever.
sub serve {
    my ($self, $client) = @_;
    alarm 3600;
    $SIG{PIPE} = 'IGNORE';
    my $face = $self->{face};
    my @told = ("X-Connection: $self->{label}");
    if (!$face->{plain}) {
        $self->{ssl} = $self->handshake($client);
        my $sni  = Net::SSLeay::get_servername($self->{ssl}) // '';
        my $peer = client_name($self->{ssl});
        $self->note("sni $sni");
        $self->note("client $peer");
        push @told, "X-SNI: $sni", "X-Peer: $peer";
    }
    my $handle = MTLSTest::TLSBackend::Handle::around($self, $client);
    return $face->{serve}->($handle, $self, @told) if $face->{serve};
    return MTLSTest::Backend::echo($handle, @told);
}

sub client_name {
    my ($ssl) = @_;
    my $cert = Net::SSLeay::get_peer_certificate($ssl) or return '';
    return Net::SSLeay::X509_NAME_oneline(Net::SSLeay::X509_get_subject_name($cert));
}

sub handshake {
    my ($self, $client) = @_;
    my $ssl = Net::SSLeay::new(context_of($self->{face}));
    Net::SSLeay::set_fd($ssl, fileno $client);
    Net::SSLeay::accept($ssl) == 1 or die 'handshake: ' . MTLSTest::TLS::last_error() . "\n";
    return $ssl;
}

sub context_of {
    my ($face) = @_;
    my $file   = pki_dir() . "/$face->{cert}";
    my $ctx    = Net::SSLeay::CTX_new_with_method(Net::SSLeay::TLS_server_method());
    my $chain  = ($face->{send} // 'chain') eq 'leaf' ? '' : '-chain';
    MTLSTest::TLS::set_up_context(
        $ctx,
        version => '',
        defined $face->{version} ? (version => $face->{version}) : (),
        cert => "$file$chain.crt",
        key  => "$file.key"
    );
    Net::SSLeay::CTX_set_session_id_context($ctx, SESSION_ID, length SESSION_ID);
    if ($face->{client}) {
        Net::SSLeay::CTX_load_verify_locations($ctx, $face->{client}, '');
        Net::SSLeay::CTX_set_verify($ctx,
            Net::SSLeay::VERIFY_PEER() | Net::SSLeay::VERIFY_FAIL_IF_NO_PEER_CERT(), 0);
    }
    if ($face->{staple}) {
        my $response = MTLSTest::TLSBackend::Handle::slurp($face->{staple});
        Net::SSLeay::CTX_set_tlsext_status_cb($ctx,
            sub { Net::SSLeay::set_tlsext_status_ocsp_resp($_[0], $response); return 0 });
    }
    $face->{context}->($ctx) if $face->{context};
    return $ctx;
}

# --- what a test asks -----------------------------------------------------------------------------
sub port { my ($self, $face) = @_; return $self->{faces}{$face}{port} // die "no face $face\n" }

sub url {
    my ($self, $face, $scheme) = @_;
    return ($scheme // 'https') . '://127.0.0.1:' . $self->port($face);
}

# The connections of a face so far, in their order: each a hash of what the diary says.
sub connections {
    my ($self, $face) = @_;
    my (%entry, @order);
    my $diary = MTLSTest::TLSBackend::Handle::slurp($self->{diary});
    for my $line (split /\n/, $diary =~ s/[^\n]*\z//r) {    # without a line that is being written
        my ($name, $number, $event, $value) = split / /, $line, 4;
        next if $name ne $face;
        push @order, $number if !$entry{$number};
        my $e = $entry{$number} //= { number => $number, bytes => 0, requests => 0, closed => 0 };
        if    ($event eq 'bytes')   { $e->{bytes} += $value }
        elsif ($event eq 'request') { $e->{requests}++ }
        else                        { $e->{$event} = $value // 1 }
    }
    return @entry{@order};
}

# Those made since this was asked last.
sub fresh {
    my ($self, $face) = @_;
    my @all  = $self->connections($face);
    my $from = $self->{seen}{$face} // 0;
    $self->{seen}{$face} = @all;
    return @all[$from .. $#all];
}

# How many requests have come to a face so far.
sub requests {
    my ($self, $face) = @_;
    my $n = 0;
    $n += $_->{requests} for $self->connections($face);
    return $n;
}

# All that were made since are closed, and what each has carried: "2 closed, 0 bytes of HTTP".
sub since {
    my ($self, $face) = @_;
    my $from = $self->{seen}{$face} // 0;
    my @new;
    await(
        sub {
            my @all = $self->connections($face);
            @new = @all[$from .. $#all];
            return !grep { !$_->{closed} } @new;
        }
    );
    $self->fresh($face);
    my ($closed, $bytes) = (0, 0);
    $closed += $_->{closed}, $bytes += $_->{bytes} for @new;
    return sprintf '%d of %d closed, %d bytes of HTTP', $closed, scalar @new, $bytes;
}

# Returns when the backend has come to all connections of a face. A gateway that wants no handshake
# may have gone before that; they are accepted in their order, and so one of ours tells.
sub settle {
    my ($self, $face) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $self->port($face))
        or die "cannot connect to $face: $!\n";
    my $ours = $socket->sockport;
    my $from = $self->{seen}{$face} // 0;
    CORE::close $socket;
    await(
        sub {
            my @all = $self->connections($face);
            return grep { $_->{open} == $ours } @all[$from .. $#all];
        }
    ) or die "$face does not accept\n";
    return;
}

# What has come over those made since, all of which are closed: "0 bytes of HTTP".
sub heard_since {
    my ($self, $face) = @_;
    $self->settle($face);
    return $self->since($face) =~ /\A(\d+) of \1 closed, (.*)/ ? $2 : 'some are open';
}

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    kill TERM => $pid;
    waitpid $pid, 0;
    return;
}

END { local $?; $_->stop for @STARTED }

# --- a TLS connection as a file handle, as far as MTLSTest::Backend needs one ---------------------
package MTLSTest::TLSBackend::Handle;

use Symbol ();

sub around {
    my ($owner, $client) = @_;
    my $handle = Symbol::gensym();
    tie *$handle, __PACKAGE__, $owner, $client;
    return $handle;
}

sub TIEHANDLE { my ($class, $owner, $client) = @_; return bless [$owner, $client], $class }

sub READ {
    my ($self, undef, $length, $offset) = @_;
    my ($owner, $client) = @$self;
    my $piece;
    if ($owner->{ssl}) { $piece = Net::SSLeay::read($owner->{ssl}, $length) }
    else               { sysread $client, $piece, $length }
    return 0 if !defined $piece || !length $piece;
    $owner->note('bytes ' . length $piece);
    $owner->note('request')                 if $piece =~ m{\A[A-Z]+ \S+ HTTP/1};
    $owner->{face}{after_request}->($owner) if $owner->{face}{after_request};
    substr($_[1] //= '', $offset // 0) = $piece;
    return length $piece;
}

sub PRINT {
    my ($self, @texts) = @_;
    my $bytes = join $, // '', @texts;
    my ($owner, $client) = @$self;
    while (length $bytes) {
        my $n = $owner->{ssl} ? Net::SSLeay::write($owner->{ssl}, $bytes) : syswrite $client,
            $bytes;
        return if !$n || $n < 0;
        substr $bytes, 0, $n, '';
    }
    return 1;
}

sub slurp {
    my ($file) = @_;
    open my $fh, '<:raw', $file or return '';
    local $/;
    return scalar(<$fh>) // '';
}

1;

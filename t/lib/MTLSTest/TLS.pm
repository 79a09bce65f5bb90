# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::TLS;

# A TLS connection of which a test controls every byte: which certificates are sent, which session
# is offered, what the request looks like.

use strict;
use warnings;
use IO::Socket::INET;
use Net::SSLeay;
use MTLSTest::Response;

Net::SSLeay::initialize();

# Seconds. CLOSED: a server that wants to close has done so by then, and one that waits for the next
# request has not given up.
use constant { TIMEOUT => 60, CLOSED => 20, READ_SIZE => 65_536 };

my %VERSION = ('1.2' => Net::SSLeay::TLS1_2_VERSION(), '1.3' => Net::SSLeay::TLS1_3_VERSION());

# port, cert and key (files), version (1.2 or 1.3), sni, session, tickets (0: TLS 1.2 session ids),
# ciphers, alpn (protocols), log
sub connect {
    my ($class, %o) = @_;
    my $self = bless { log => $o{log}, buffer => '' }, $class;
    my $ctx  = $self->{ctx} = Net::SSLeay::CTX_new_with_method(Net::SSLeay::TLS_client_method());
    set_up_context($ctx, %o);
    $self->{socket} = IO::Socket::INET->new(
        PeerAddr => '127.0.0.1',
        PeerPort => $o{port},
        Proto    => 'tcp',
        Timeout  => TIMEOUT
    ) or die "cannot connect to port $o{port}: $!\n";
    my $ssl = $self->{ssl} = Net::SSLeay::new($ctx);
    Net::SSLeay::set_fd($ssl, fileno $self->{socket});
    Net::SSLeay::set_tlsext_host_name($ssl, $o{sni}) if defined $o{sni};
    Net::SSLeay::set_session($ssl, $o{session})      if $o{session};
    $self->{error} =
        with_alarm(sub { Net::SSLeay::connect($ssl) == 1 ? undef : 'handshake: ' . last_error() });
    return $self;
}

sub set_up_context {
    my ($ctx, %o) = @_;
    if (my $version = $VERSION{ $o{version} // '1.3' }) {
        Net::SSLeay::CTX_set_min_proto_version($ctx, $version);
        Net::SSLeay::CTX_set_max_proto_version($ctx, $version);
    }
    Net::SSLeay::CTX_set_options($ctx, Net::SSLeay::OP_NO_TICKET())
        if defined $o{tickets} && !$o{tickets};
    Net::SSLeay::CTX_set_cipher_list($ctx, $o{ciphers}) if $o{ciphers};
    Net::SSLeay::CTX_set_alpn_protos($ctx, $o{alpn}) if $o{alpn};
    return unless $o{cert};
    use_chain($ctx, $o{cert});
    Net::SSLeay::CTX_use_PrivateKey_file($ctx, $o{key}, Net::SSLeay::FILETYPE_PEM()) == 1
        or die "cannot use $o{key}: " . last_error() . "\n";
    return;
}

# Not SSL_CTX_use_certificate_chain_file(), which takes an oddity in a certificate for a failure.
sub use_chain {
    my ($ctx, $file) = @_;
    Net::SSLeay::CTX_use_certificate_file($ctx, $file, Net::SSLeay::FILETYPE_PEM()) == 1
        or die "cannot use $file: " . last_error() . "\n";
    open my $fh, '<', $file or die "cannot read $file: $!\n";
    my (undef, @intermediates) = do { local $/; <$fh> }
        =~ /(-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----\n)/sg;
    for my $pem (@intermediates) {
        my $bio = Net::SSLeay::BIO_new(Net::SSLeay::BIO_s_mem());
        Net::SSLeay::BIO_write($bio, $pem);
        Net::SSLeay::CTX_add_extra_chain_cert($ctx, Net::SSLeay::PEM_read_bio_X509($bio));
        Net::SSLeay::BIO_free($bio);
    }
    Net::SSLeay::ERR_clear_error();
    return;
}

sub last_error {
    my @errors;
    while (my $code = Net::SSLeay::ERR_get_error()) {
        push @errors, Net::SSLeay::ERR_error_string($code);
    }
    return join('; ', @errors) || 'connection closed';
}

sub with_alarm {
    my ($code, $seconds) = @_;
    local $SIG{ALRM} = sub { die "timed out\n" };
    local $SIG{PIPE} = 'IGNORE';
    alarm($seconds // TIMEOUT);
    my $result = eval { $code->() };
    my $error  = $@;
    alarm 0;
    return $error ? "$error" : $result;
}

sub error { return $_[0]{error} }

sub reused {
    my ($self) = @_;
    return $self->{error} ? 0 : Net::SSLeay::session_reused($self->{ssl}) ? 1 : 0;
}
sub version { my ($self) = @_; return Net::SSLeay::get_version($self->{ssl}) }

# On TLS 1.3 only after a response was read: the ticket comes after the handshake.
sub session { my ($self) = @_; return Net::SSLeay::get1_session($self->{ssl}) }

sub send {
    my ($self, $bytes) = @_;
    my $failure = with_alarm(
        sub {
            while (length $bytes) {
                my $n = Net::SSLeay::write($self->{ssl}, $bytes);
                return last_error() if $n <= 0;
                substr $bytes, 0, $n, '';
            }
            return '';
        }
    );
    return $failure eq '' ? 1 : 0;
}

# One more piece into the buffer; false at the end of the connection, or when nothing comes.
sub fill {
    my ($self, $seconds) = @_;
    my $piece = with_alarm(sub { Net::SSLeay::read($self->{ssl}, READ_SIZE) }, $seconds);
    $self->{silent} = defined $piece && $piece eq "timed out\n";
    return 0 if !defined $piece || $piece eq '' || $self->{silent};
    $self->{buffer} .= $piece;
    return 1;
}

sub until_match {
    my ($self, $pattern) = @_;
    while ($self->{buffer} !~ $pattern) { $self->fill or return }
    return 1;
}

# True when the server has closed: nothing is left and nothing more comes.
sub at_end {
    my ($self) = @_;
    return $self->{buffer} eq '' && !$self->fill(CLOSED) && !$self->{silent};
}

sub read_to_end {
    my ($self) = @_;
    1 while $self->fill;
    return delete($self->{buffer}) . ($self->{buffer} = '');
}

sub take { my ($self, $n) = @_; return substr $self->{buffer}, 0, $n, '' }

sub body_of {
    my ($self, $head, $method) = @_;
    return '' if $method eq 'HEAD' || $head =~ m{\AHTTP/1\.[01] (?:1\d\d|204|304)};
    if (my ($length) = $head =~ /^content-length:\s*(\d+)/mi) {
        while (length $self->{buffer} < $length) { $self->fill or last }
        return $self->take($length);
    }
    return $self->read_to_end unless $head =~ /^transfer-encoding:\s*chunked/mi;
    my $body = '';
    while ($self->until_match(qr/\A[0-9a-fA-F]+[^\r\n]*\r\n/)) {
        $self->{buffer} =~ s/\A([0-9a-fA-F]+)[^\r\n]*\r\n//;
        my $n = hex $1;
        while (length $self->{buffer} < $n + 2) { $self->fill or last }
        $body .= substr $self->take($n + 2), 0, $n;
        last if !$n;
    }
    return $body;
}

sub read_response {
    my ($self, $method, $id) = @_;
    my $head = '';
    if ($self->until_match(qr/\r\n\r\n/)) {
        $self->{buffer} =~ s/\A(.*?\r\n\r\n)//s;
        $head = $1;
    }
    my $body = $head eq '' ? $self->read_to_end : $self->body_of($head, $method);
    return MTLSTest::Response->from_text($head . $body, id => $id, log => $self->{log});
}

my $counter = 0;

# The number of a process is given again while the shared server's log is the same.
sub next_id { return sprintf 'raw-%d-%d-%d', $^T, $$, ++$counter }

# The head of a request, for tests that send the body themselves. Returns its id.
# path; method, host, headers (list of lines), http (1.1 or 1.0), id; at_once: a body that is sent
# with it, where the server may close without having read one
sub send_head {
    my ($self, $path, %o) = @_;
    my $id    = $o{id} // next_id();
    my @lines = (
        ($o{method} // 'GET') . " $path HTTP/" . ($o{http} // '1.1'),
        'Host: ' . ($o{host} // 'gateway.test'),
        "X-Test-Id: $id",
        @{ $o{headers} // [] }
    );
    $self->send(join("\r\n", @lines, '', '') . ($o{at_once} // ''));
    return $id;
}

# A whole request and its response; body besides the options of send_head.
sub request {
    my ($self, $path, %o) = @_;
    my @length = defined $o{body} ? 'Content-Length: ' . length $o{body} : ();
    my $id     = $self->send_head($path, %o, headers => [@{ $o{headers} // [] }, @length]);
    $self->send($o{body}) if defined $o{body};
    return $self->read_response($o{method} // 'GET', $id);
}

sub close {
    my ($self) = @_;
    local $SIG{PIPE} = 'IGNORE';    # the server may have closed long ago
    Net::SSLeay::shutdown($self->{ssl})        if $self->{ssl} && !$self->{error};
    Net::SSLeay::free(delete $self->{ssl})     if $self->{ssl};
    Net::SSLeay::CTX_free(delete $self->{ctx}) if $self->{ctx};
    CORE::close delete $self->{socket}         if $self->{socket};
    return;
}

sub DESTROY { my ($self) = @_; local ($@, $!, $?); $self->close; return }

1;

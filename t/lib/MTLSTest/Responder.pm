# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Responder;

# An OCSP responder in a process of its own, on loopback, that tells the truth, lies or misbehaves,
# for each certificate as the test has said last, and writes down what it was asked.
#
#     my $responder = MTLSTest::Responder->start(name => 'partners', cas => ['carc-i101l']);
#     $responder->set('partner', status => 'revoked');
#     is($responder->requests('partner'), 1, 'asked once');
#
# What set() takes besides the options of MTLSTest::Ocsp::response():
#     openssl => 1        `openssl ocsp` answers, out of a CA's index.txt that says the same
#     error => 'tryLater' (malformed, internal, sigRequire, unauthor): a response of five bytes
#     der => FILE         these bytes
#     sha1_only => 1      "unauthorized" for a CertID of SHA-256
#     no_nonce => 1       the client's nonce is not repeated; other_nonce => 1: another one is sent
#     post_only => 1      400 for a GET
#     http => ...         hang, drip (a byte a second), half, huge (a gigabyte), endless (without a
#                         length), html, garbage, redirect, wrong_type, chunked, gzip, status:NNN,
#                         reset
#     delay => SECONDS    before a byte is answered
#     gate => [FILE, ...] no byte is answered before all of these are there
# '*' stands for every certificate of which nothing was said.

use strict;
use warnings;
use Fcntl qw(F_GETFL F_SETFL O_NONBLOCK);
use IO::Select;
use IO::Socket::INET;
use JSON::PP         ();
use MIME::Base64     qw(decode_base64);
use POSIX            ();
use Socket           qw(SOL_SOCKET SO_LINGER);
use Time::HiRes      qw(time sleep);
use MTLSTest::Files  qw(replace_file files_dir);
use MTLSTest::Layout qw(pki_dir free_port);
use MTLSTest::Ocsp
    qw(parse_request known_issuer response error_response nonce serial_hex issuer_of);

use constant { PIECE => 65_536, GIGABYTE => 1 << 30, ORPHAN => 1, GATE => 0.02 };

my @STARTED;

# name; cas (names of CAs it answers for); port (else a free one, which nobody's client gets while
# this is down); default (for '*')
sub start {
    my ($class, %o) = @_;
    my $self = bless {
        dir   => files_dir("responder-$o{name}"),
        cas   => $o{cas} // ['carc-i101l'],
        port  => $o{port} // free_port(),
        specs => { '*' => $o{default} // { error => 'unauthor' } }
    }, $class;
    $self->write_specs;
    push @STARTED, $self;
    return $self->up;
}

sub port { return $_[0]{port} }
sub dir  { return $_[0]{dir} }
sub host { return "127.0.0.1:$_[0]{port}" }
sub url  { my ($self, $path) = @_; return "http://127.0.0.1:$self->{port}" . ($path // '/') }

# --- what the test does with it -------------------------------------------------------------------
# It listens when this returns, at the port it had before.
sub up {
    my ($self) = @_;
    return $self if $self->{pid};
    my $listener = IO::Socket::INET->new(
        LocalAddr => '127.0.0.1',
        LocalPort => $self->{port},
        Listen    => 1024,
        ReuseAddr => 1,
        Proto     => 'tcp'
    ) or die "cannot listen: $!\n";
    my $parent = $$;
    my $pid    = fork // die "cannot fork: $!\n";
    if (!$pid) {
        eval { $self->serve($listener, $parent); 1 } or $self->note("died $@");
        POSIX::_exit(0);
    }
    $self->{pid} = $pid;
    return $self;
}

# Connections are refused from now on, and open ones are gone.
sub down {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return $self;
    kill KILL => $pid;
    waitpid $pid, 0;
    return $self;
}
sub stop { return $_[0]->down }

sub key_of {
    my ($cert, $ca) = @_;
    return $cert eq '*' ? '*' : ($ca // issuer_of($cert)) . ' ' . serial_hex($cert);
}

# In force for every request that arrives from now on. `ca`: where another than the certificate's.
sub set {
    my ($self, $cert, %spec) = @_;
    $self->{specs}{ key_of($cert, delete $spec{ca}) } = \%spec;
    $self->write_specs;
    return $self;
}

# Several at once: name => { options }.
sub set_all {
    my ($self, %of) = @_;
    $self->{specs}{ key_of($_) } = $of{$_} for keys %of;
    $self->write_specs;
    return $self;
}

sub write_specs {
    my ($self) = @_;
    replace_file("$self->{dir}/specs", JSON::PP->new->latin1->encode($self->{specs}));
    return;
}

# What it was asked: { at, method, target, hash, ca, serial, nonce }, oldest first; of one
# certificate, or of all.
sub asked {
    my ($self, $cert) = @_;
    my $wanted = defined $cert ? serial_hex($cert) : undef;
    my $ca     = defined $cert ? issuer_of($cert)  : undef;
    open my $fh, '<', "$self->{dir}/asked" or return;
    my @all = map { JSON::PP::decode_json($_) } grep { /\A\{.*\}\n\z/ } <$fh>;
    return
        grep { $_->{method} && (!defined $wanted || $_->{serial} eq $wanted && $_->{ca} eq $ca) }
        @all;
}
sub requests { my ($self, $cert) = @_; return scalar(my @asked = $self->asked($cert)) }

# Connections, whether or not anything came over them.
sub connections {
    my ($self) = @_;
    open my $fh, '<', "$self->{dir}/asked" or return 0;
    return scalar grep { /"connection"/ } <$fh>;
}

# --- the process ----------------------------------------------------------------------------------
sub note {
    my ($self, $entry) = @_;
    syswrite $self->{asked_fh},
        JSON::PP::encode_json(ref $entry ? $entry : { error => $entry }) . "\n";
    return;
}

sub serve {
    my ($self, $listener, $parent) = @_;
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);
    $SIG{PIPE} = 'IGNORE';
    POSIX::close($_) for grep { $_ != fileno $listener } 3 .. 255;    # connections of the test
    open $self->{asked_fh}, '>>', "$self->{dir}/asked" or die "cannot log: $!\n";
    $listener->blocking(0);
    my %clients;                                                      # by file descriptor
    while (getppid == $parent) {
        my ($read, $write) = (IO::Select->new($listener), IO::Select->new);
        my ($now, $wait) = (time, ORPHAN);
        for my $c (values %clients) {
            $read->add($c->{socket});
            next unless $c->{writer};
            my $from = $c->{at};
            $from = $now + GATE if $from <= $now && !is_open($c);
            if    ($from <= $now)        { $write->add($c->{socket}) }
            elsif ($from - $now < $wait) { $wait = $from - $now }
        }
        my ($readable, $writable) = IO::Select->select($read, $write, undef, $wait);
        for my $socket (@{ $readable // [] }) {
            if ($socket == $listener) { $self->welcome($listener, \%clients) }
            else                      { $self->hear($clients{ fileno $socket }, \%clients) }
        }
        for my $socket (@{ $writable // [] }) {
            my $c = $clients{ fileno $socket // next } // next;
            $self->say_more($c, \%clients) if $c->{writer};
        }
    }
    return;
}

sub welcome {
    my ($self, $listener, $clients) = @_;
    while (my $socket = $listener->accept) {
        $socket->blocking(0);
        $clients->{ fileno $socket } =
            { socket => $socket, in => '', out => '', at => 0, gate => [] };
        $self->note({ connection => time });
    }
    return;
}

sub is_open {
    my ($c) = @_;
    $c->{gate} = [grep { !-e } @{ $c->{gate} }];
    return !@{ $c->{gate} };
}

sub forget {
    my ($c, $clients) = @_;
    delete $clients->{ fileno $c->{socket} };
    close $c->{socket};
    return;
}

sub hear {
    my ($self, $c, $clients) = @_;
    my $n = sysread $c->{socket}, $c->{in}, PIECE, length $c->{in};
    return                      if !defined $n && $!{EAGAIN};
    return forget($c, $clients) if !$n;
    return $self->take_request($c, $clients);
}

# A request that comes while an answer is being given is taken after it.
sub take_request {
    my ($self, $c, $clients) = @_;
    return if $c->{writer};
    my ($head, $length) = $c->{in} =~ /\A(.*?\r\n\r\n)/s ? ($1, 0) : return;
    ($length) = ($head =~ /^content-length:\s*(\d+)/mi, 0);
    return if length $c->{in} < length($head) + $length;
    my $body = substr $c->{in}, length $head, $length;
    substr($c->{in}, 0, length($head) + $length) = '';
    eval { $self->respond($c, $head, $body); 1 } or do {
        $self->note("cannot answer: $@");
        forget($c, $clients);
    };
    $c->{closes} = 1 if $head =~ m{\A\S+ \S+ HTTP/1\.0\r};    # mod_ssl reads to the end
    return;
}

# A piece of what is to be said; a writer without more ends the answer.
sub say_more {
    my ($self, $c, $clients) = @_;
    if ($c->{out} eq '') {
        my ($more, $pause) = $c->{writer}->();
        if (!defined $more) {
            delete $c->{writer};
            return forget($c, $clients) if $c->{closes};
            return $self->take_request($c, $clients);
        }
        $c->{out} = $more;
        $c->{at}  = time + ($pause // 0);
        return if $pause;
    }
    my $n = syswrite $c->{socket}, $c->{out};
    return                      if !defined $n && $!{EAGAIN};
    return forget($c, $clients) if !defined $n;
    substr($c->{out}, 0, $n) = '';
    return;
}

# --- one request ----------------------------------------------------------------------------------
sub respond {
    my ($self, $c, $head, $body) = @_;
    my ($method, $target) = $head =~ /\A(\S+) (\S+)/ or die "no request line\n";
    my ($host)  = $head =~ /^host:\s*(\S+)/mi;
    my $request = $method eq 'POST' ? eval { parse_request($body) } : request_of_target($target);
    my $ca      = $request && known_issuer($request, @{ $self->{cas} });
    $self->note(
        {
            at     => time,
            method => $method,
            target => $target,
            host   => $host,
            ca     => $ca // '',
            hash   => $request->{hash},
            serial => $request->{serial} // '',
            nonce  => defined $request->{nonce}
            ? unpack 'H*',
            $request->{nonce}
            : undef
        }
    );
    my $specs = JSON::PP->new->latin1->decode(slurp("$self->{dir}/specs"));
    my $spec  = $specs->{ ($ca // '') . ' ' . ($request->{serial} // '') } // $specs->{'*'};
    $c->{at}   = time + ($spec->{delay} // 0);
    $c->{gate} = $spec->{gate} // [];
    my $how = $spec->{post_only} && $method eq 'GET' ? 'status:400' : $spec->{http} // '';
    return speak($c, $how, $self->answer($request, $ca, $spec));
}

# RFC 6960 A.1.1: what follows the responder's own path, of which the client alone knows how long it
# is; Base64 has slashes of its own.
sub request_of_target {
    my ($target) = @_;
    my $path = $target =~ s{\Ahttp://[^/]*}{}r =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger;
    while ($path =~ s{\A[^/]*/}{}) {
        my $request = eval { parse_request(decode_base64($path)) };
        return $request if $request;
    }
    return;
}

sub answer {
    my ($self, $request, $ca, $spec) = @_;
    return slurp($spec->{der})            if $spec->{der};
    return error_response($spec->{error}) if $spec->{error};
    return error_response('malformed')    if !$request;
    return error_response('unauthor')     if !defined $ca;
    return error_response('unauthor')     if $spec->{sha1_only} && $request->{hash} ne 'sha1';
    return $self->by_openssl($request, $ca, $spec) if $spec->{openssl};
    my $nonce =
          $spec->{no_nonce}    ? undef
        : $spec->{other_nonce} ? nonce('another one, of 32 bytes, surely')
        :                        $request->{nonce};
    my %o = (signer => $ca, nonce => $nonce, %$spec);
    return response($request->{id}, %o);
}

sub slurp {
    my ($file) = @_;
    open my $fh, '<:raw', $file or die "cannot read $file: $!\n";
    local $/;
    return scalar <$fh>;
}

# The CA's database as `openssl ca` writes it: state, expiry, revocation, serial, file, subject.
sub by_openssl {
    my ($self, $request, $ca, $spec) = @_;
    my $status = $spec->{status} // 'good';
    my $at     = POSIX::strftime('%y%m%d%H%M%SZ', gmtime time - 60);
    my $line =
        join "\t", $status eq 'revoked'
        ? ('R', '491231235959Z', "$at,keyCompromise")
        : ('V', '491231235959Z', ''), uc $request->{serial}, 'unknown', "/CN=somebody\n";
    replace_file("$self->{dir}/index.txt",   $status eq 'unknown' ? '' : $line);
    replace_file("$self->{dir}/request.der", $request->{der});
    my $signer = $spec->{signer} // $ca;
    system(
        'openssl',                  'ocsp',                      '-index',
        "$self->{dir}/index.txt",   '-CA',                       pki_dir() . "/$ca.crt",
        '-rsigner',                 pki_dir() . "/$signer.crt",  '-rkey',
        pki_dir() . "/$signer.key", '-reqin',                    "$self->{dir}/request.der",
        '-respout',                 "$self->{dir}/response.der", '-nmin',
        int(($spec->{next} // 3600) / 60)
        ) == 0
        or die "openssl ocsp failed\n";
    return slurp("$self->{dir}/response.der");
}

# --- and how it is said ---------------------------------------------------------------------------
sub http_head {
    my ($length, %o) = @_;
    return join "\r\n", 'HTTP/1.1 ' . ($o{status} // '200 OK'),
        'Content-Type: ' . ($o{type} // 'application/ocsp-response'),
        defined $length ? "Content-Length: $length" : (), @{ $o{lines} // [] }, '', '';
}

# Everything at once; pieces one after the other.
sub once {
    my (@pieces) = @_;
    return sub { return shift @pieces };
}

sub drip {
    my ($text) = @_;
    my $at = 0;
    return sub { return $at < length $text ? (substr($text, $at++, 1), 1) : undef };
}

sub zeros {
    my ($head, $amount) = @_;
    my $zeros = "\0" x PIECE;
    return sub {
        if (defined $head) { my $first = $head; undef $head; return $first }
        return if $amount <= 0;
        $amount -= PIECE;
        return $zeros;
    };
}

my %SPEAK = (
    ''      => sub { return once(http_head(length $_[0]) . $_[0]) },
    hang    => undef,
    drip    => sub { return drip(http_head(length $_[0]) . $_[0]) },
    half    => sub { return once(http_head(length $_[0]) . substr $_[0], 0, length($_[0]) / 2) },
    huge    => sub { return zeros(http_head(GIGABYTE),      GIGABYTE) },
    endless => sub { return zeros(http_head(undef) . $_[0], GIGABYTE) },
    html    => sub {
        my $p = '<html><body>Welcome</body></html>';
        return once(http_head(length $p, type => 'text/html') . $p);
    },
    garbage  => sub { return once("\x16\x03\1\0\5hello\0\0" x 20) },
    nonsense => sub {
        my $p = join '', map { chr($_ * 7 & 255) } 1 .. 900;
        return once(http_head(length $p) . $p);
    },
    empty      => sub { return once(http_head(0)) },
    wrong_type => sub { return once(http_head(length $_[0], type => 'text/plain') . $_[0]) },
    redirect   =>
        sub { return once(http_head(0, status => '302 Found', lines => ["Location: $_[1]"])) },
    gzip =>
        sub { return once(http_head(length $_[0], lines => ['Content-Encoding: gzip']) . $_[0]) },
    chunked => sub {
        return once(http_head(undef, lines => ['Transfer-Encoding: chunked'])
                . sprintf("%x\r\n%s\r\n0\r\n\r\n", length $_[0], $_[0]));
    },
);
my %KEEPS_OPEN = map { $_ => 1 } ('', 'chunked');

sub speak {
    my ($c, $how, $der) = @_;
    if ($how =~ /\Astatus:(\d+)/) {
        $c->{writer} = once(http_head(length $der, status => "$1 Whatever") . $der);
    }
    elsif ($how eq 'reset') {
        setsockopt $c->{socket}, SOL_SOCKET, SO_LINGER, pack 'll', 1, 0;
        $c->{writer} = once();
        $c->{closes} = 1;
    }
    else {
        die "no way to say it: $how\n" unless exists $SPEAK{$how};
        my $elsewhere =
            'http://' . $c->{socket}->sockhost . ':' . $c->{socket}->sockport . '/again/';
        $c->{writer} = $SPEAK{$how} && $SPEAK{$how}->($der, $elsewhere);
        $c->{closes} = !$KEEPS_OPEN{$how};
    }
    return;
}

END { local $?; $_->down for @STARTED }

1;

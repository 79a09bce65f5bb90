# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Tokens;

# Identity tokens as a backend sees them: two stock libraries that share nothing with the one that
# signs (Perl's Crypt::JWT over libtomcrypt, Python's PyJWT over cryptography), and what somebody
# who wants to be another makes of a token.

use strict;
use warnings;
use Crypt::JWT qw(decode_jwt);
use Exporter 'import';
use IPC::Open2         qw(open2);
use JSON::PP           ();
use MIME::Base64       qw(encode_base64url decode_base64url);
use MTLSTest::Files    qw(replace_file);
use MTLSTest::Layout   qw(source_dir);
use MTLSTest::Server   ();

our @EXPORT_OK = qw(make_key parts_of with_parts claims_of kid_of key_set verified by_perl by_python
    refused_by_both verified_by_both tokens_in thumbprint_of);

# Seconds that two clocks may differ; and a process may see a second begin before another one does.
use constant LEEWAY => 2;

my $JSON       = JSON::PP->new->canonical;
my @ALGORITHMS = qw(ES256 ES384 ES512 RS256);

# A new private key in a file, as `openssl genpkey` writes it.
sub make_key {
    my ($path, @arguments) = @_;
    @arguments = qw(-algorithm EC -pkeyopt ec_paramgen_curve:P-256) if !@arguments;
    my $pem = `openssl genpkey @arguments 2>/dev/null`;
    die "openssl genpkey @arguments failed\n" if $? != 0;
    replace_file($path, $pem) if defined $path;
    return $pem;
}

# ---- tokens in pieces ----

# The values of the header in what a backend received.
sub tokens_in {
    my ($text, $name) = @_;
    my ($head) = split /\r\n\r\n/, $text;
    return map { /\A([^:]+): ?(.*)\z/ && canonical($1) eq canonical($name // 'X-Client-Identity')
            ? $2 : () } split /\r\n/, $head;
}

sub canonical { return lc($_[0] =~ s/[^A-Za-z0-9]/_/gr) }

# Header and claims as they are in the token, and its signature as bytes.
sub parts_of {
    my ($token) = @_;
    my ($header, $claims, $signature) = split /\./, $token, -1;
    return ($JSON->decode(decode_base64url($header)), $JSON->decode(decode_base64url($claims)),
        decode_base64url($signature));
}

sub claims_of { return (parts_of($_[0]))[1] }
sub kid_of    { return (parts_of($_[0]))[0]{kid} }

# A token out of pieces: a signature may be code that gets what is signed.
sub with_parts {
    my ($header, $claims, $signature) = @_;
    my $text = join '.', map { encode_base64url($JSON->encode($_)) } $header, $claims;
    $signature = $signature->($text) if ref $signature;
    return "$text." . encode_base64url($signature);
}

# RFC 7638, from the bytes OpenSSL tells of a P-256 key.
sub thumbprint_of {
    my ($path) = @_;
    require Digest::SHA;
    open my $pipe, '-|', 'openssl', 'pkey', '-in', $path, '-pubout', '-outform', 'DER'
        or die "cannot run openssl: $!\n";
    binmode $pipe;
    my $der = do { local $/; <$pipe> };
    close $pipe;
    my ($x, $y) = unpack 'a32a32', substr $der, -64;
    return encode_base64url(
        Digest::SHA::sha256(
            sprintf '{"crv":"P-256","kty":"EC","x":"%s","y":"%s"}',
            map { encode_base64url($_) } $x, $y
        )
    );
}

# ---- the two verifiers ----

# A server's key set as it is published.
sub key_set {
    my ($response) = @_;
    return $JSON->decode($response->body);
}

# keys, issuer, audience. The claims, or undef and why not.
sub by_perl {
    my ($token, %o) = @_;
    my $claims = eval {
        decode_jwt(
            token        => $token,
            kid_keys     => $o{keys},
            accepted_alg => \@ALGORITHMS,
            verify_iss   => $o{issuer},
            verify_aud   => $o{audience},
            verify_exp   => 1,
            verify_iat   => 1,
            leeway       => LEEWAY
        );
    };
    return wantarray ? ($claims, $claims ? undef : "$@") : $claims;
}

# The Python that has Debian's packages: another one may come first in PATH.
sub python {
    for my $python ('/usr/bin/python3', 'python3') {
        return $python if system("$python -c 'import jwt' 2>/dev/null") == 0;
    }
    die "no python3 with PyJWT\n";
}

my %running;

# What the example of a backend does with a request, for each line of input.
my $DRIVER = <<'PYTHON';
import email.message, json, sys
sys.path.insert(0, sys.argv[1])
import verify_token
algorithms = ["ES256", "ES384", "ES512", "RS256"]
verifier = verify_token.Verifier(*sys.argv[2:5], algorithms)
for line in sys.stdin:
    headers = email.message.Message()
    headers["X-Client-Identity"] = line.strip()
    try:
        answer = {"claims": verifier.claims(headers)}
    except Exception as error:
        answer = {"refused": f"{type(error).__name__}: {error}"}
    print(json.dumps(answer), flush=True)
PYTHON

# The example, which fetches the keys by itself; url, issuer, audience.
sub by_python {
    my ($token, %o) = @_;
    my $key = join ' ', @o{qw(url issuer audience)};
    if (!$running{$key}) {
        my $pid = open2(my $out, my $in, python(), '-B', '-c', $DRIVER,
            source_dir() . '/../conf-examples/backend', @o{qw(url issuer audience)});
        $running{$key} = [$pid, $out, $in];
    }
    my (undef, $out, $in) = @{ $running{$key} };
    print {$in} "$token\n";
    $in->flush;
    my $answer = $JSON->decode(scalar <$out> // '{"refused":"the verifier has died"}');
    return wantarray ? @$answer{qw(claims refused)} : $answer->{claims};
}

END {
    local $?;
    for my $verifier (values %running) {
        my ($pid, undef, $in) = @$verifier;
        close $in;
        waitpid $pid, 0;
    }
}

# Both say the same, and say yes. keys, url, issuer, audience
sub verified_by_both {
    my ($token, %o) = @_;
    my ($perl,   $why)  = by_perl($token, %o);
    my ($python, $wrong) = by_python($token, %o);
    return 'perl: ' . $why    if !$perl;
    return 'python: ' . $wrong if !$python;
    return $JSON->encode($perl) eq $JSON->encode($python) ? 'verified' : 'they differ';
}

sub refused_by_both {
    my ($token, %o) = @_;
    my ($perl)   = by_perl($token, %o);
    my ($python) = by_python($token, %o);
    return $perl ? 'perl takes it' : $python ? 'python takes it' : 'refused';
}

1;

# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package Examples::Tokens;

# conf-examples/backend/verify_token.py, asked directly: which tokens it takes and which it does not.

use strict;
use warnings;
use Examples qw(examples);
use Loopback qw(received free_port);
use MIME::Base64 qw(encode_base64url decode_base64url);
use Test::More;

use constant TTL => 2;

my $ISSUER = 'https://gateway.test';

sub start_service {
    my ($lab, $port, $jwks) = @_;
    local $ENV{SSL_CERT_FILE} = $lab->pki . '/root.crt';
    return $lab->start_responder($port, $lab->dir, examples() . '/backend/verify_token.py',
        '--jwks' => $jwks, '--issuer' => $ISSUER, '--audience' => 'reports', '--port' => $port);
}

# Another gateway: with the same key, and with one of its own; its backends show what they get.
sub start_gateway {
    my ($lab, $name, $key) = @_;
    my ($port, $echo, $pki) = (free_port(), $lab->start_echo($name), $lab->pki);
    my %token = (
        good    => "aud=reports iss=$ISSUER ttl=3600",
        orders  => "aud=orders iss=$ISSUER ttl=3600",
        foreign => 'aud=reports iss=https://elsewhere.test ttl=3600',
        short   => "aud=reports iss=$ISSUER ttl=" . TTL,
        named   => "aud=reports iss=$ISSUER sub=subject.CN ttl=3600",
    );
    my $sections = join '',
        map { "<Location \"/$_\">\nMTLSExport jwt $token{$_}\nMTLSExport rfc9440\n</Location>\n" }
        sort keys %token;
    my $conf = $lab->write_file("$name.conf", <<"CONF");
MTLSSigningKey $key
ProxyPass "/" "http://127.0.0.1:$echo/"
<VirtualHost *:$port>
    SSLEngine             on
    SSLCertificateFile    $pki/server-chain.crt
    SSLCertificateKeyFile $pki/server.key
    SSLCACertificateFile  $pki/ca-bundle.crt
    SSLVerifyClient       optional_no_ca
    MTLSHandshake         defer
    MTLSTrust             vhost
    $sections
</VirtualHost>
CONF
    $lab->start_httpd($name, listen => [$port], include => $conf);
    return sub {
        my ($kind, $certificate) = @_;
        my $got = $lab->request($name, "https://localhost:$port/$kind",
            certificate => $certificate // 'partner');
        return map { (received($got, $_))[0] // '' } qw(X-Client-Identity Client-Cert);
    };
}

# What the service answers: "200 SUB", or "401 why".
sub answer {
    my ($lab, $port, @headers) = @_;
    my ($said) = $lab->run(qw(curl -q -sS --noproxy * --max-time 30 -w), "\n%{http_code}",
        (map { ('-H', $_) } @headers), "http://127.0.0.1:$port/2026");
    my ($status) = $said =~ /(\d{3})\z/;
    my ($what) = $said =~ /^(?:sub|refused): (.*)$/m;
    return "$status $what";
}

sub mutated {
    my ($token, %change) = @_;
    my ($head, $claims, $signature) = split /\./, $token;
    my $put = sub {
        my ($part, $new) = @_;
        my $text = decode_base64url($part);
        $text =~ s/("\Q$_\E"\s*:\s*)"[^"]*"/$1"$new->{$_}"/ for keys %{$new};
        return encode_base64url($text);
    };
    $head   = $put->($head,   $change{head})   if $change{head};
    $claims = $put->($claims, $change{claims}) if $change{claims};
    return join '.', $head, $claims, $change{signature} // $signature;
}

sub check_service {
    my ($lab, $key, $port) = @_;
    my $tokens  = start_gateway($lab, 'tokens', $key);
    my $strange = start_gateway($lab, 'strange', $lab->make_token_key('strange.key'));
    my ($good, $certificate) = $tokens->('good');
    my ($named) = $tokens->('named');
    my (undef, $other) = $tokens->('good', 'other-partner');
    my $is = sub {
        my ($what, $expected, @headers) = @_;
        like(answer($lab, $port, @headers), $expected, "the service: $what");
    };
    my $with = sub { return "X-Client-Identity: $_[0]" };

    $is->('a token', qr/^200 CN=client/, $with->($good));
    $is->('a token and its certificate', qr/^200 CN=client/, $with->($good),
        "Client-Cert: $certificate");
    $is->('the name chosen by sub=', qr/^200 client\.bigpartner\.example$/, $with->($named));
    $is->('nothing', qr/^401 no X-Client-Identity/);
    $is->('another one\'s certificate', qr/^401 Client-Cert is not the certificate of the token/,
        $with->($good), "Client-Cert: $other");
    $is->('two tokens', qr/^401 2 values/, $with->($good), $with->($named));
    $is->('for another service', qr/^401 InvalidAudience/, $with->(($tokens->('orders'))[0]));
    $is->('of another issuer', qr/^401 InvalidIssuer/, $with->(($tokens->('foreign'))[0]));
    $is->('signed with a key nobody has published', qr/^401 PyJWKClientError/,
        $with->(($strange->('good'))[0]));
    check_mutations($is, $with, $good);
    check_expiry($lab, $port, sub { $with->(($tokens->('short'))[0]) });
    return;
}

sub check_mutations {
    my ($is, $with, $good) = @_;
    my %row = (
        'another name'        => [qr/InvalidSignature/, claims => { sub => 'CN=admin' }],
        'no signature'        => [qr/InvalidSignature|DecodeError/, signature => ''],
        'algorithm none'      => [qr/InvalidAlgorithm/, head => { alg => 'none' },
            signature => ''],
        'the public key taken for a secret' => [qr/InvalidAlgorithm/, head => { alg => 'HS256' }],
        'a key that is not there' => [qr/PyJWKClientError/, head => { kid => 'nowhere' }],
    );
    for my $what (sort keys %row) {
        my ($expected, %change) = @{ $row{$what} };
        my $token = mutated($good, %change);
        isnt($token, $good, "changed: $what");
        $is->($what, qr/^401 (?:$expected)/, $with->($token));
    }
    return;
}

# A token that arrives in time; then the same, until its time is over.
sub check_expiry {
    my ($lab, $port, $new) = @_;
    my ($header, $said);
    $lab->await(60, sub {
        $header = $new->();
        $said = answer($lab, $port, $header);
        return $said =~ /^200 /;
    });
    like($said, qr/^200 /, 'the service: a token that soon ends');
    $lab->await(60, sub {
        $said = answer($lab, $port, $header);
        return $said =~ /^401 /;
    });
    like($said, qr/^401 ExpiredSignature/, 'the service: and has ended');
    return;
}

1;

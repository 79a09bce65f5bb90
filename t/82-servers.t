# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# The same answers in every order of modules and under every MPM; restarts; virtual hosts set up
# otherwise.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;

my @rest = qw(
    authn_core authn_file authz_core authz_host authz_user auth_basic access_compat alias
    dir env headers http2 include log_config mime negotiation rewrite setenvif
    socache_shmcb
);

my $config = <<'CONF';
Listen 127.0.0.1:@Port_Main@
<VirtualHost 127.0.0.1:@Port_Main@>
ServerName gateway.test
@TLS@
SSLCipherSuite ALL:@SECLEVEL=0
MTLSHandshake defer
Protocols h2 http/1.1
<Directory "@Htdocs@">
    Require all granted
</Directory>
AliasMatch "^/" "@Htdocs@/index.html"
RequestHeader set X-Seen "by mod_headers"
MTLSExportHeader X-Client-Name "%{mtls:subject.CN}"
<Location "/partner">
    MTLSRequire subject.O "Big Partner Foo SA"
</Location>
<Location "/authz">
    MTLSRequire subject.O "Big Partner Foo SA"
    MTLSMode authz
    Require mtls
</Location>
<Location "/user">
    MTLSRequire issuer.O Carcano
    AuthType MTLS
    AuthName certificates
    MTLSUser subject.CN
    Require user client.bigpartner.example
</Location>
<Location "/satisfy">
    MTLSRequire subject.O "Big Partner Foo SA"
    Satisfy Any
    Allow from all
</Location>
<Location "/verified">
    MTLSMode off
    Require ssl-verify-client
</Location>
</VirtualHost>
CONF

my @expected = (
    ['/partner',  undef,           '403 deny no_certificate'],
    ['/partner',  'partner',       '200 allow ok'],
    ['/partner',  'other-partner', '403 deny subject_mismatch'],
    ['/partner',  'self-signed',   '403 deny chain_untrusted'],
    ['/partner',  'expired',       '403 deny expired'],
    ['/partner',  'wrong-purpose', '403 deny purpose_mismatch'],
    ['/authz',    undef,           '403 deny no_certificate'],
    ['/authz',    'partner',       '200 allow ok'],
    ['/user',     'partner',       '200 allow ok'],
    ['/user',     undef,           '403 deny no_certificate'],
    ['/satisfy',  undef,           '403 deny no_certificate'],
    ['/satisfy',  'partner',       '200 allow ok'],
    ['/open',     undef,           '200 - -'],
    ['/open',     'partner',       '200 - -'],
    ['/verified', 'partner',       '200 - -'],
    ['/verified', 'expired',       '403 - -'],
);

sub ask_all {
    my ($server, $what) = @_;
    for my $row (@expected) {
        my ($path, $cert, $outcome) = @$row;
        outcome_is($server->get($path, cert => $cert),
            $outcome, "$what: $path " . ($cert // 'no certificate'));
    }
    for my $version ('1.2', '1.3') {
        my $first = $server->tls(version => $version, cert => 'self-signed');
        denied($first->request('/partner'), 'chain_untrusted', "$what: TLS $version, full");
        my $session = $first->session;
        $first->close;
        my $second = $server->tls(version => $version, cert => 'self-signed', session => $session);
        is($second->reused, 1, "$what: TLS $version, resumed");
        denied($second->request('/partner'),
            'chain_untrusted', "$what: TLS $version, resumed session");
    }
    return;
}

# --- module order (G11) ---------------------------------------------------------------------------
my %order = (
    'before everything'                => ['mtls_policy', @rest,         'ssl'],
    'before mod_ssl'                   => [@rest,         'mtls_policy', 'ssl'],
    'after mod_ssl'                    => [@rest,         'ssl',         'mtls_policy'],
    'after mod_ssl, before the others' => ['ssl',         'mtls_policy', reverse @rest],
);
for my $name (sort keys %order) {
    my $server = private(name => 'order', modules => $order{$name}, config => $config);
    ask_all($server, "loaded $name");
    $server->stop;
}

# --- no mod_ssl at all (G10) ----------------------------------------------------------------------
{
    my $server =
        private(name => 'without-ssl', modules => ['mtls_policy', @rest], config => <<'CONF');
Listen 127.0.0.1:@Port_Plain@
<VirtualHost 127.0.0.1:@Port_Plain@>
ServerName gateway.test
<Directory "@Htdocs@">
    Require all granted
</Directory>
AliasMatch "^/" "@Htdocs@/index.html"
<Location "/partner">
    MTLSRequire subject.O "Big Partner Foo SA"
</Location>
</VirtualHost>
CONF
    denied($server->get('/partner', vhost => 'plain', plain => 1),
        'no_tls', 'without mod_ssl: no_tls');
    outcome_is($server->get('/open', vhost => 'plain', plain => 1),
        '200 - -', 'without mod_ssl: outside the policy');
    $server->stop;
}

# --- MPMs -----------------------------------------------------------------------------------------
for my $mpm (grep { $_ ne mpm() } qw(event worker prefork)) {
    my $server = private(name => "mpm-$mpm", mpm => $mpm, config => $config);
    ask_all($server, "MPM $mpm");
    $server->stop;
}

# --- restarts -------------------------------------------------------------------------------------
{
    my $server = private(name => 'restarts', config => $config);
    ask_all($server, 'before restarts');
    $server->graceful for 1 .. 3;
    ask_all($server, 'after three graceful restarts');
    my $kept = $server->tls(cert => 'partner');
    allowed($kept->request('/partner'), 'a connection');
    $server->graceful;
    my $r = $kept->request('/partner');
    like(
        $r->outcome,
        qr/\A(?:200 allow ok|0 unlogged unlogged)\z/,
        'kept open over a restart: allowed or closed'
    );
    is(scalar($server->log->matching(qr/segfault|\bexit signal|Assertion/i)),
        0, 'and no child died');
}

# --- mod_ssl's other ways of asking (S11) ---------------------------------------------------------
for my $verify ('optional', 'require') {
    my $server = private(name => "verify-$verify", config => <<"CONF");
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
SSLVerifyClient $verify
<Directory "\@Htdocs\@">
    Require all granted
</Directory>
AliasMatch "^/" "\@Htdocs\@/index.html"
<Location "/partner">
    MTLSRequire subject.O "Big Partner Foo SA"
</Location>
</VirtualHost>
CONF
    allowed($server->get('/partner', cert => 'partner'), "SSLVerifyClient $verify: allowed");
    denied($server->get('/partner', cert => 'other-partner'),
        'subject_mismatch', "SSLVerifyClient $verify: refused");
    my $none = $server->get('/partner');
    if ($verify eq 'optional') {
        denied($none, 'no_certificate', 'SSLVerifyClient optional: no certificate');
    }
    else { is($none->status, 0, 'SSLVerifyClient require: no certificate, no handshake') }
    is($server->get('/partner', cert => 'self-signed')->status,
        0, "SSLVerifyClient $verify: self-signed is refused in the handshake");
    $server->stop;
}

# A location that asks by itself: renegotiation on TLS 1.2, post-handshake authentication on TLS 1.3
# (S10).
{
    my $server = private(name => 'per-location', config => <<'CONF');
Listen 127.0.0.1:@Port_Main@
<VirtualHost 127.0.0.1:@Port_Main@>
ServerName gateway.test
@TLS@
SSLVerifyClient none
Protocols http/1.1
<Directory "@Htdocs@">
    Require all granted
</Directory>
AliasMatch "^/" "@Htdocs@/index.html"
<Location "/partner">
    SSLVerifyClient optional_no_ca
    MTLSRequire subject.O "Big Partner Foo SA"
</Location>
<Location "/strict">
    MTLSRequire subject.O "Big Partner Foo SA"
</Location>
</VirtualHost>
CONF
    denied($server->get('/strict', cert => 'partner'),
        'no_certificate', 'a location under policy that nobody asks a certificate for');
    for my $tls ('1.2', '1.3') {
        allowed($server->get('/partner', cert => 'partner', tls => $tls),
            "per location, TLS $tls: allowed");
        denied($server->get('/partner', cert => 'other-partner', tls => $tls),
            'subject_mismatch', "per location, TLS $tls: refused");
        denied($server->get('/partner', tls => $tls),
            'no_certificate', "per location, TLS $tls: no certificate");
    }
    my $plain = $server->tls(version => '1.3');
    my ($first, $second) = map { $plain->request('/partner') } 1, 2;
    isnt($_->status, 200, 'a client that cannot authenticate later is refused, twice')
        for $first, $second;
}

# --- virtual hosts that say nothing themselves ----------------------------------------------------
# The policy stands in the main server; each virtual host judges by its own CAs.
{
    my $vhost = sub {
        my ($name, $cas) = @_;
        return <<"CONF";
Listen 127.0.0.1:\@Port_$name\@
<VirtualHost 127.0.0.1:\@Port_$name\@>
ServerName gateway.test
\@TLS\@
SSLCACertificateFile "\@PKI\@/$cas.crt"
</VirtualHost>
CONF
    };
    for my $order (['main', 'strange'], ['strange', 'main']) {
        my %cas    = (main => 'carc-i101l-and-root', strange => 'stranger-root');
        my $server = private(
            name   => 'inherited',
            config => join "\n",
            '<Directory "@Htdocs@">',
            'Require all granted',
            '</Directory>',
            'AliasMatch "^/" "@Htdocs@/index.html"',
            '<Location "/partner">',
            'MTLSRequire subject.O "Big Partner Foo SA"',
            '</Location>',
            map { $vhost->($_, $cas{$_}) } @$order
        );
        my $test = "inherited by @$order";
        allowed($server->get('/partner', cert => 'partner'), "$test: by the CAs of its own");
        denied($server->get('/partner', vhost => 'strange', cert => 'partner'),
            'chain_incomplete', "$test: not by another's");
        denied($server->get('/partner', cert => 'stranger'),
            'chain_incomplete', "$test: nor the other way round");
        $server->stop;
    }
}

done_testing;

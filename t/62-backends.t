# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Certificates of backends, judged: which certificate under which rules is answered by 200, which by
# 502 and why. A backend that is refused never gets a byte of HTTP.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::BackendChecks qw(gateway_directives passes refuses verdict_of verdict_lines);
use MTLSTest::Files         qw(files_dir replace_file pki_text);
use MTLSTest::TLSBackend;

my $dir     = files_dir('backends');
my $clients = pki_dir() . '/ca-bundle.crt';
my %spki    = map { $_ => spki_of($_) } qw(backend-orders backend-second carc-i101l carc-i102l);
my %sha256  = map { $_ => sha256_of($_) } qw(backend-orders backend-second);
my $spiffe  = 'spiffe://lab.carcano.corp/ns/prod/sa/orders';
my @many    = map { "n$_.example" } 1 .. 300;
replace_file("$dir/names",       join "\n", '# names of the service', @many, 'api.orders.internal');
replace_file("$dir/patterns",    "glob:api.*.internal\nregex:orders[.]internal\n");
replace_file("$dir/other-names", join "\n", @many);
replace_file("$dir/gateway.pem", pki_text('partner.crt', 'partner.key'));

# --- the backends, each named by its certificate --------------------------------------------------
my @certificates = qw(orders uri other cn-only wildcard wide-wildcard odd-wildcards ip ip-as-dns
    duplicate-san by-i101l second stranger lookalike expired future revoked client-only no-eku
    self-signed self-signed-other beyond-constraint within-constraint);
my %faces = (
    (map { ($_ => { cert => "backend-$_" }) } @certificates),
    gateway     => { cert => 'server' },
    spiffe      => { cert => 'spiffe' },
    'nul'       => { cert => 'nul-in-dns-san' },
    leaf        => { cert => 'backend-orders', send    => 'leaf' },
    tls12       => { cert => 'backend-orders', version => '1.2' },
    'other12'   => { cert => 'backend-other',  version => '1.2' },
    client      => { cert => 'backend-orders', client  => $clients },
    client12    => { cert => 'backend-orders', client  => $clients, version => '1.2' },
    'client-no' => { cert => 'backend-other',  client  => $clients },
);
if (has_ipv6()) {
    $faces{ip6}    = { cert => 'backend-ip',    address => '::1' };
    $faces{other6} = { cert => 'backend-other', address => '::1' };
}
my $backend = MTLSTest::TLSBackend->start('judged', %faces);

sub has_ipv6 { return IO::Socket::IP->new(LocalAddr => '::1', Listen => 1, Proto => 'tcp') }

my $stores = <<"CONF";
<MTLSTrustStore "backends">
    MTLSAnchor "\@PKI\@/root.crt" "\@PKI\@/carc-i102l.crt"
    MTLSTrustDomain lab.carcano.corp
</MTLSTrustStore>
<MTLSTrustStore "root-only">
    MTLSAnchor "\@PKI\@/root.crt"
</MTLSTrustStore>
<MTLSTrustStore "stranger">
    MTLSAnchor "\@PKI\@/stranger-root.crt"
</MTLSTrustStore>
<MTLSTrustStore "listed">
    MTLSAnchor "\@PKI\@/root.crt" "\@PKI\@/carc-i102l.crt"
    MTLSCRL "\@PKI\@/backend-revoked.crl"
    MTLSCRLCheck leaf
</MTLSTrustStore>
<MTLSTrustStore "unlisted">
    MTLSAnchor "\@PKI\@/root.crt" "\@PKI\@/carc-i102l.crt"
    MTLSCRL "\@PKI\@/carc-i101l.crl"
    MTLSCRLCheck leaf
</MTLSTrustStore>
<MTLSTrustStore "exactly">
    MTLSAllowCertificate "\@PKI\@/backend-self-signed.crt" "\@PKI\@/backend-self-signed-other.crt"
    MTLSAllowCertificate "\@PKI\@/backend-expired.crt"
</MTLSTrustStore>
CONF

# --- what is asked: a face, directives, the reason ------------------------------------------------
my @rows;

sub row { push @rows, [@_]; return }

sub trust { return 'MTLSBackendTrust ' . ($_[0] // 'backends') }
sub named { return (trust(), "MTLSBackendSNI $_[0]", @_[1 .. $#_]) }
sub any   { return join "\n", '<MTLSRequireAny>', rules(@_), '</MTLSRequireAny>' }

sub rules {
    return map { "MTLSBackendRequire $_" } @_;
}

# The name: that of MTLSBackendSNI, ...
for my $case (
    [orders          => 'orders.internal',        'ok'],
    [orders          => 'ORDERS.Internal',        'ok'],
    [orders          => 'api.orders.internal',    'ok'],
    [orders          => 'v2.orders.internal',     'san_mismatch'],
    [orders          => 'rders.internal',         'san_mismatch'],
    [other           => 'orders.internal',        'san_mismatch'],
    [other           => 'billing.internal',       'ok'],
    ['cn-only'       => 'orders.internal',        'san_mismatch'],
    [wildcard        => 'api.orders.internal',    'ok'],
    [wildcard        => 'orders.internal',        'san_mismatch'],
    [wildcard        => 'v1.api.orders.internal', 'san_mismatch'],
    ['wide-wildcard' => 'orders.internal',        'san_mismatch'],
    ['odd-wildcards' => 'api.orders.internal',    'san_mismatch'],
    [spiffe          => 'orders.internal',        'san_mismatch'],
    [gateway         => 'x.vhosts.test',          'ok'],
    [tls12           => 'orders.internal',        'ok'],
    [other12         => 'orders.internal',        'san_mismatch'],
    ['duplicate-san' => 'orders.internal',        'certificate_malformed'],
    [nul             => 'good.example.com',       'certificate_malformed'],
    )
{
    my ($face, $name, $reason) = @$case;
    row($face, [named($name)], $reason);
}

# ... or that of the URL.
row(gateway     => [trust()], 'ok',           host => 'localhost');
row(gateway     => [trust()], 'ok',           host => '127.0.0.1');
row(ip          => [trust()], 'ok',           host => '127.0.0.1');
row(ip          => [trust()], 'san_mismatch', host => 'localhost');
row(orders      => [trust()], 'san_mismatch');
row('ip-as-dns' => [trust()], 'san_mismatch');
row(gateway     => [trust('stranger')], 'chain_incomplete', host => 'localhost', @$_)
    for [section => 'LocalHost'], [section => 'Local[HX]ost', rest => '*'],
    [section => 'LOCAL*', rest => '*'];
if ($faces{ip6}) {
    my @at = (host => '[::1]');
    row(ip6    => [trust()], 'ok', @at);
    row(ip6    => [trust()], 'ok', host => '[0:0::0:1]');
    row(ip6    => [named('billing.internal')], 'san_mismatch', @at);
    row(ip6    => [trust(), rules("san.ip $_->[0]")], $_->[1], @at)
        for ['::1', 'ok'], ['::2', 'san_mismatch'];
    row(other6 => [named('billing.internal'), 'SSLProxyVerifyDepth 5'], 'ok', @at);
    row(other6 => [trust()], 'san_mismatch', @at, @$_)
        for [], [section => '[0:0::0:1]'], [rest => '*'], [section => '[0::1]', rest => '?*'];
}

# A rule that names the backend takes the place of that name: several, more than five, of a file.
my $names = 'san.dns orders.internal api.orders.internal';
row(orders          => [trust(), rules($names)],                                'ok');
row(wildcard        => [trust(), rules($names)],                                'ok');
row(other           => [trust(), rules($names)],                                'san_mismatch');
row('cn-only'       => [trust(), rules($names)],                                'san_mismatch');
row(stranger        => [trust(), rules($names)],                                'chain_incomplete');
row(wildcard        => [trust(), rules('san.dns orders.internal')],             'san_mismatch');
row(wildcard        => [trust(), rules('san.dns v1.api.orders.internal')],      'san_mismatch');
row('wide-wildcard' => [trust(), rules('san.dns orders.internal')],             'san_mismatch');
row('odd-wildcards' => [trust(), rules('san.dns api.orders.internal')],         'san_mismatch');
row(orders          => [trust(), rules('san.dns eqi:ORDERS.internal')],         'ok');
row(orders          => [trust(), rules("san.dns @many orders.internal")],       'ok');
row(other           => [trust(), rules("san.dns @many orders.internal")],       'san_mismatch');
row(orders          => [trust(), rules("san.dns \"file:$dir/names\"")],         'ok');
row(wildcard        => [trust(), rules("san.dns \"file:$dir/names\"")],         'ok');
row(other           => [trust(), rules("san.dns \"file:$dir/names\"")],         'san_mismatch');
row(orders          => [trust(), rules("san.dns \"file:$dir/other-names\"")],   'san_mismatch');
row(orders          => [trust(), rules("san.dns \"patterns:$dir/patterns\"")],  'ok');
row(other           => [trust(), rules("san.dns \"patterns:$dir/patterns\"")],  'san_mismatch');
row(uri             => [trust(), rules('san.uri https://orders.internal/api')], 'ok');
row(orders          => [trust(), rules('san.uri https://orders.internal/api')], 'san_mismatch');
row(ip              => [trust(), rules('san.ip 127.0.0.0/8')],                  'ok');
row(ip              => [trust(), rules('san.ip 10.0.0.0/8')],                   'san_mismatch');
row(orders          => [trust(), rules("spiffe $spiffe")],                      'ok');
row(spiffe          => [trust(), rules('spiffe spiffe://lab.carcano.corp/ns/prod/**')], 'ok');
row(
    spiffe => [trust(), rules('spiffe spiffe://lab.carcano.corp/ns/test/**')],
    'spiffe_mismatch'
);
row(orders => [trust(), rules("sha256 $sha256{'backend-orders'}")], 'ok');
row(second => [trust(), rules("sha256 $sha256{'backend-orders'}")], 'fingerprint_mismatch');
row(orders => [trust(), rules("spki $spki{'backend-orders'}")],     'ok');
row(second => [trust(), rules("spki $spki{'backend-orders'}")],     'pin_mismatch');

# Every line has to hold.
row(orders   => [trust(), rules($names, "spki $spki{'backend-orders'}")], 'ok');
row(second   => [trust(), rules($names, "spki $spki{'backend-orders'}")], 'pin_mismatch');
row(wildcard => [trust(), rules('san.dns a.orders.internal', 'san.dns b.orders.internal')], 'ok');

# Other rules do not name it: the name still counts.
row(orders => [named('orders.internal', rules("issuer.spki $spki{'carc-i102l'}"))], 'ok');
row(orders => [named('orders.internal', rules("issuer.spki $spki{'carc-i101l'}"))], 'pin_mismatch');
row(
    'by-i101l' => [named('orders.internal', rules("issuer.spki $spki{'carc-i102l'}"))],
    'pin_mismatch'
);
row(
    orders => [named('billing.internal', rules("issuer.spki $spki{'carc-i102l'}"))],
    'san_mismatch'
);
row(orders => [trust(), rules("issuer.spki $spki{'carc-i102l'}")], 'san_mismatch');
row(other  => [named('orders.internal',  rules('subject.CN orders.internal'))], 'san_mismatch');
row(other  => [named('billing.internal', rules('subject.CN orders.internal'))], 'ok');
row(orders => [named('orders.internal',  rules('subject.CN orders.internal'))], 'subject_mismatch');
row(orders => [named('orders.internal',  rules('issuer.CN "CARC I102L"'))],     'ok');
row(orders => [named('orders.internal',  rules('issuer.CN "CARC I101L"'))],     'issuer_mismatch');
row(orders => [named('orders.internal',  rules('issuer.cert "@PKI@/carc-i102l.crt"'))], 'ok');
row(orders => [named('orders.internal',  rules('anchor.cert "@PKI@/root.crt"'))],       'ok');
row(orders => [named('orders.internal',  rules('key ec>=256'))],                        'ok');
row(orders => [named('orders.internal',  rules('key rsa>=2048'))],  'key_mismatch');
row(orders => [named('orders.internal',  rules('eku clientAuth'))], 'eku_mismatch');
row(orders => [named('orders.internal',  rules('lifetime <=60d'))], 'ok');
row(orders => [named('orders.internal',  rules('lifetime <=7d'))],  'lifetime_mismatch');

# Groups: alternatives of different kinds, as the list of names in other gateways has them. Only one
# whose alternatives all name the backend takes the place of the name.
my $mixed = any('san.dns orders.internal', 'san.uri https://orders.internal/api');
row(orders => [trust(), $mixed],                                                           'ok');
row(uri    => [trust(), any('san.dns x.internal', 'san.uri https://orders.internal/api')], 'ok');
row(other  => [trust(), $mixed],                                'none_matched');
row(other  => [trust(), any($names, 'issuer.CN "CARC I102L"')], 'san_mismatch');
row(ip     => [trust(), any($names, 'issuer.CN "CARC I102L"')], 'ok');
row(other  => [trust(), any($names, 'not san.dns x.internal')], 'san_mismatch');

# Nor do those that exclude. A wildcard is excluded by a name it stands for.
row(orders => [named('orders.internal', rules("not spki $spki{'backend-second'}"))], 'ok');
row(second => [named('orders.internal', rules("not spki $spki{'backend-second'}"))], 'excluded');
row(orders => [trust(), rules("not spki $spki{'backend-second'}")],               'san_mismatch');
row(orders => [trust(), rules('not san.dns billing.internal')],                   'san_mismatch');
row(orders => [named('orders.internal', rules('not san.dns billing.internal'))],  'ok');
row(other  => [named('billing.internal', rules('not san.dns billing.internal'))], 'excluded');
row(
    wildcard => [named('v1.orders.internal', rules('not san.dns api.orders.internal'))],
    'excluded'
);
row(wildcard => [named('v1.orders.internal', rules('not san.dns orders.internal'))], 'ok');

# The chain, for a server.
row(stranger => [named('orders.internal')], 'chain_incomplete');
row(stranger => [trust('stranger'),          'MTLSBackendSNI orders.internal'], 'ok');
row(stranger => [trust('backends stranger'), 'MTLSBackendSNI orders.internal'], 'ok');
row(
    stranger => [trust('backends stranger'), rules($names, 'trust backends')],
    'trust_mismatch'
);
row(orders        => [trust('stranger'), 'MTLSBackendSNI orders.internal'], 'chain_incomplete');
row(lookalike     => [named('orders.internal')],                            'chain_untrusted');
row(expired       => [named('orders.internal')],                            'expired');
row(future        => [named('orders.internal')],                            'not_yet_valid');
row('client-only' => [named('orders.internal')],                            'purpose_mismatch');
row('no-eku'      => [named('orders.internal')],                            'ok');
row('beyond-constraint' => [named('orders.internal')],                      'chain_invalid');
row('within-constraint' => [named('orders.partner.example')],               'ok');
row(leaf                => [named('orders.internal')],                      'ok');
row(leaf   => [trust('root-only'), 'MTLSBackendSNI orders.internal'],       'chain_incomplete');
row(orders => [trust('root-only'), 'MTLSBackendSNI orders.internal'],       'ok');

# Pins do not replace it.
row(stranger      => [trust(), rules('spki ' . spki_of('backend-stranger'))], 'chain_incomplete');
row(expired       => [trust(), rules('spki ' . spki_of('backend-expired'))],  'expired');
row('self-signed' => [trust(), rules('spki ' . spki_of('backend-self-signed'))], 'chain_untrusted');

# Lists of the revoked.
row(revoked => [named('orders.internal')], 'ok');
row(revoked => [trust('listed'),   'MTLSBackendSNI orders.internal'], 'revoked_crl');
row(orders  => [trust('listed'),   'MTLSBackendSNI orders.internal'], 'ok');
row(orders  => [trust('unlisted'), 'MTLSBackendSNI orders.internal'], 'crl_unavailable');

# Exactly this certificate: whatever its chain and dates, but not its name.
row('self-signed'       => [named('orders.internal')], 'chain_untrusted');
row('self-signed'       => [trust('exactly'), 'MTLSBackendSNI orders.internal'],  'ok');
row('self-signed-other' => [trust('exactly'), 'MTLSBackendSNI orders.internal'],  'san_mismatch');
row('self-signed-other' => [trust('exactly'), 'MTLSBackendSNI billing.internal'], 'ok');
row('self-signed-other' => [trust('exactly'), rules($names)],                     'san_mismatch');
row('self-signed'       => [trust('exactly'), rules($names)],                     'ok');
row('self-signed' => [trust('exactly'), rules($names, 'issuer.CN backend')], 'issuer_mismatch');
row(expired       => [trust('exactly'), 'MTLSBackendSNI orders.internal'],   'ok');
row(orders        => [trust('exactly'), 'MTLSBackendSNI orders.internal'],   'chain_incomplete');

# What mod_ssl loaded for its own checks, where no trust store is named.
row(orders => ['MTLSBackendTrust vhost', 'MTLSBackendSNI orders.internal'], 'ok');
row(
    orders => ['MTLSBackendSNI orders.internal', rules("not spki $sha256{'backend-second'}")],
    'ok'
);
row(orders        => [rules($names)], 'ok');
row(other         => [rules($names)], 'san_mismatch');
row(stranger      => [rules($names)], 'chain_incomplete');
row(expired       => [rules($names)], 'expired');
row('by-i101l'    => [rules($names)], 'ok');
row('client-only' => [rules($names)], 'purpose_mismatch');

# The gateway's own certificate stays mod_ssl's.
my $own  = "SSLProxyMachineCertificateFile \"$dir/gateway.pem\"";
my @peer = (peer => 'client.bigpartner.example');
row(client      => [named('orders.internal', $own)], 'ok', @peer);
row(client12    => [named('orders.internal', $own)], 'ok', @peer);
row('client-no' => [named('orders.internal', $own)], 'san_mismatch');

# --- a gateway with a place for each --------------------------------------------------------------
my ($proxies, $sections) = ('', '');
for my $n (0 .. $#rows) {
    my ($face, $directives, undef, %o) = @{ $rows[$n] };
    my $url = $backend->url($face) . "/r$n/";
    $url =~ s/127\.0\.0\.1/$o{host}/ if $o{host};
    my $section = $url . ($o{rest} // '');
    $section =~ s/\Q$o{host}\E/$o{section}/ if $o{section};
    $sections .= join "\n    ", "<Proxy \"$section\">", @$directives;
    $sections .= "\n</Proxy>\nProxyPass \"/r$n/\" \"$url\"\n";
}
my %kept = (gateway => 'gateway', orders => 'orders', named => 'orders');
my $kept = join "\n",
    map { sprintf 'ProxyPass "/kept/%s/" "%s/kept/%s/"', $_, $backend->url($kept{$_}), $_ }
    sort keys %kept;
my $server = private(name => 'backends', config => <<"CONF");
$stores
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
@{[ gateway_directives() ]}
SSLProxyCACertificateFile "\@PKI\@/ca-bundle.crt"
$sections
ProxyPass "/both/fine/" "@{[ $backend->url('orders') ]}/both/fine/"
ProxyPass "/both/chain/" "@{[ $backend->url('stranger') ]}/both/"
ProxyPass "/both/name/" "@{[ $backend->url('orders') ]}/both/name/"
<Proxy "@{[ $backend->url('orders') ]}/both/fine/">
    MTLSBackendTrust backends
    MTLSBackendSNI api.orders.internal
    SSLProxyVerify require
    SSLProxyVerifyDepth 5
    SSLProxyCheckPeerName on
</Proxy>
<Proxy "@{[ $backend->url('stranger') ]}/both/">
    MTLSBackendTrust stranger
    MTLSBackendSNI orders.internal
    SSLProxyVerify require
    SSLProxyVerifyDepth 5
</Proxy>
<Proxy "@{[ $backend->url('orders') ]}/both/name/">
    MTLSBackendTrust backends
    MTLSBackendRequire $names
    SSLProxyCheckPeerName on
</Proxy>
ProxyPass "/unjudged/" "@{[ $backend->url('other') ]}/"
$kept
<Location "/kept/">
    MTLSBackendTrust backends
    ProxyPreserveHost On
</Location>
<Proxy "@{[ $backend->url('orders') ]}/kept/named/">
    MTLSBackendSNI api.orders.internal
</Proxy>
</VirtualHost>
CONF

# Short, for the names of the tests.
sub about {
    my ($face, $directives, undef, %o) = @_;
    my $text = join('; ', map { s/MTLSBackend//gr } @$directives) =~ s/\n/ | /gr;
    $text =~ s{\b(\w{10})\w{54}\b|"file:.*/|n1\.example.*n300.example}{$1 // '...'}ge;
    return "$face: " . ($o{host} ? "at $o{host}, " : '') . substr $text, 0, 70;
}

for my $n (0 .. $#rows) {
    my ($face, $directives, $reason, %o) = @{ $rows[$n] };
    my $title = about(@{ $rows[$n] });
    my $r     = $server->get("/r$n/x", method => 'POST', body => "body of $n");
    my %where = (backend => $backend, face => $face);
    if ($reason ne 'ok') { refuses($r, $reason, $title, %where); next }
    passes($r, $title, %where);
    like($r->body, qr{^POST /r$n/x .*^body of $n\z}ms, "$title: the request arrived");
    my ($sni) = map { /SNI (\S+)/ } @$directives;
    is($r->header('X-SNI'), $sni, "$title: SNI")                        if defined $sni;
    like($r->header('X-Peer'), qr/$o{peer}/, "$title: our certificate") if $o{peer};
}

# --- the name a client asks for is never that of the backend --------------------------------------
for my $host (qw(gateway.test orders.internal)) {
    my $title = "ProxyPreserveHost, Host: $host";
    my @host  = (headers => ["Host: $host"]);
    my $r     = $server->get('/kept/gateway/x', @host);
    passes($r, $title, backend => $backend, face => 'gateway');
    is($r->header('X-SNI'), $host, "$title: mod_ssl's SNI");
    refuses(
        $server->get('/kept/orders/x', @host),
        'san_mismatch', $title,
        backend => $backend,
        face    => 'orders'
    );
    $r = $server->get('/kept/named/x', @host);
    passes($r, "$title, MTLSBackendSNI", backend => $backend, face => 'orders');
    is($r->header('X-SNI'), 'api.orders.internal', "$title, MTLSBackendSNI: ours");
}

# --- the line in the log, and the answer ----------------------------------------------------------
{
    my ($n) = grep {
               $rows[$_][0] eq 'other'
            && $rows[$_][2] eq 'san_mismatch'
            && "@{ $rows[$_][1] }" =~ /Require san\.dns orders/
    } 0 .. $#rows;
    my $r = $server->get("/r$n/a?b=c", method => 'PUT', body => 'x');
    is(verdict_of($r), '502 san_mismatch', 'a refusal');
    my ($line) = verdict_lines($r);
    my $port   = $backend->port('other');
    my $sha256 = sha256_of('backend-other');
    my $serial = serial_of('backend-other');
    for my $part (
        qr/:warn\]/,
        qr/ mtls_policy: backend verdict=deny reason=san_mismatch /,
        qr/ rule="\Q$names\E"/,
        qr/ at="[^"]*httpd\.conf:\d+"/,
        qr/ sha256=$sha256 /i,
        qr/ subject="CN=orders\.internal,O=Carcano"/,
        qr/ issuer="CN=CARC I102L,O=Carcano"/,
        qr/ serial=$serial /i,
        qr/ backend="127\.0\.0\.1:$port"/,
        qr/ method=PUT /,
        qr{ uri="/r$n/a}
        )
    {
        like($line, $part, "the line says $part");
    }
    is($r->header("X-Backend-Rule"), $names, 'the rule in the environment');
    unlike($r->body, qr/billing|orders\.internal|Carcano|MTLS/, 'nothing of it in the page');

    my ($named) = grep {
               $rows[$_][0] eq 'other'
            && $rows[$_][2] eq 'san_mismatch'
            && "@{ $rows[$_][1] }" =~ /SNI orders/
    } 0 .. $#rows;
    $r = $server->get("/r$named/a");
    like((verdict_lines($r))[0], qr/ name="orders\.internal"/, 'the name that was asked for');
    is($r->header('X-Backend-Rule'),            '(null)', 'no rule where none refused');
    is(verdict_of($server->get('/unjudged/x')), '200 -',  'without a policy nothing is judged');
}

# --- mod_ssl's own checks still hold; its comparison of names is with MTLSBackendSNI --------------
{
    passes($server->get('/both/fine/x'), 'mod_ssl and we', backend => $backend, face => 'orders');
    for my $case (['chain', 'stranger'], ['name', 'orders']) {
        my ($what, $face) = @$case;
        my $r = $server->get("/both/$what/x");
        is($r->status,             500, "mod_ssl refuses by the $what: its own status");
        is($backend->since($face), '1 of 1 closed, 0 bytes of HTTP', '... and no byte is sent');
    }
}

is(scalar($server->log->matching(qr/<Proxy "\S+">: mod_proxy takes the brackets/)),
    $faces{ip6} ? 1 : 0, 'of a section of mod_ssl\'s that mod_proxy does not find the start warns');

# --- a certificate of ours that the backend misses ------------------------------------------------
for my $face (qw(client client12)) {
    my ($with) = grep { $rows[$_][0] eq $face } 0 .. $#rows;
    passes($server->get("/r$with/again"), "$face: with our certificate, again");
}

done_testing;

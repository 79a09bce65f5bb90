# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# MTLSExport in a running server: which formats a section has, how sections merge, the verified
# chain, what an upstream said before, and the limit. The formats themselves are proved byte for byte
# by the unit tests.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use Digest::SHA  qw(sha256_hex);
use MIME::Base64 qw(decode_base64 encode_base64);
use MTLSTest;
use MTLSTest::Backend;
use MTLSTest::ConfigCheck;

my $backend = MTLSTest::Backend->start;
my $port    = $backend->port;
my $partner = 'MTLSRequire subject.O "Big Partner Foo SA"';
my @places  = qw(
    rfc9440 chain xfcc everything none more replaced google aws nginx traefik authz any
    limited limited-chain allowed append append-none append-limited report optional open header
);
my $proxies =
    join '', map {"ProxyPass \"/$_\" \"http://127.0.0.1:$port/$_\"\n"} @places;

my $server = private(name => 'formats', config => <<"CONF");
<Directory "\@Htdocs\@">
    Require all granted
</Directory>
<MTLSTrustStore "devices">
    MTLSAllowCertificate "\@PKI\@/device-self-signed.crt"
</MTLSTrustStore>
<MTLSTrustStore "partners">
    MTLSAnchor "\@PKI\@/root.crt"
    MTLSIntermediate "\@PKI\@/carc-i101l.crt"
</MTLSTrustStore>
<MTLSPolicy "partner">
    $partner
</MTLSPolicy>
<MTLSPolicy "nobody">
    MTLSRequire subject.O "Nobody"
</MTLSPolicy>

Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
SSLVerifyClient optional_no_ca
Protocols h2 http/1.1
$proxies
<LocationMatch "^/(?!open|allowed|authz|any)">
    $partner
</LocationMatch>
<Location "/rfc9440">
    MTLSExport rfc9440
</Location>
<Location "/chain">
    MTLSExport rfc9440 chain
    MTLSTrust partners
</Location>
<Location "/xfcc">
    MTLSExport xfcc set hash,subject
</Location>
<Location "/everything">
    MTLSExport env
    MTLSExport rfc9440 chain
    MTLSExport xfcc set by,hash,cert,chain,subject,uri,dns
    MTLSExport google
    MTLSExport aws-alb
    MTLSExport ingress-nginx
    MTLSExport traefik
    MTLSExportHeader X-Client-Name "%{mtls:subject.CN}"
</Location>
<Location "/none">
    MTLSExport rfc9440
</Location>
<Location "/none">
    MTLSExport none
</Location>
<Location "/more">
    MTLSExport rfc9440
    MTLSExport ingress-nginx
</Location>
<Location "/replaced">
    MTLSExport rfc9440
    MTLSExport ingress-nginx
</Location>
<Location "/replaced">
    MTLSExport xfcc set hash
</Location>
<Location "/google">
    MTLSExport google
</Location>
<Location "/aws">
    MTLSExport aws-alb
</Location>
<Location "/nginx">
    MTLSExport ingress-nginx
</Location>
<Location "/traefik">
    MTLSExport traefik
</Location>
<Location "/authz">
    MTLSExport rfc9440 chain
    <RequireAny>
        Require mtls-policy nobody partner
    </RequireAny>
</Location>
<Location "/any">
    MTLSUsePolicy any nobody partner
    MTLSExport rfc9440 chain
</Location>
<Location "/limited">
    MTLSExport rfc9440
    MTLSHeaderLimit 512
</Location>
<Location "/limited-chain">
    MTLSExport rfc9440 chain
    MTLSHeaderLimit 1024
</Location>
<Location "/allowed">
    MTLSTrust devices
    MTLSExport rfc9440 chain
    MTLSExport xfcc set hash,chain
</Location>
<Location "/append">
    MTLSExport xfcc append hash,subject
    MTLSTrustedProxy 192.0.2.0/24 127.0.0.0/8
</Location>
<Location "/append-none">
    MTLSExport xfcc append hash,subject
    MTLSTrustedProxy 192.0.2.0/24 127.0.0.2
</Location>
<Location "/append-limited">
    MTLSExport xfcc append hash,subject
    MTLSTrustedProxy 127.0.0.1
    MTLSHeaderLimit 256
</Location>
<Location "/report">
    MTLSMode report
    MTLSExport rfc9440
    MTLSExport xfcc append hash
    MTLSTrustedProxy 127.0.0.1
</Location>
<Location "/optional">
    MTLSMode optional
    MTLSExport rfc9440
    MTLSExport xfcc append hash
    MTLSTrustedProxy 127.0.0.1
</Location>
<Location "/header">
    MTLSExport rfc9440
    MTLSExportHeader Client_Cert "%{mtls:subject.CN}"
</Location>
</VirtualHost>
CONF

sub der_of {
    my ($name) = @_;
    return openssl('x509', '-in', pki_dir() . "/$name.crt", '-outform', 'DER');
}
my %der    = map { $_ => der_of($_) } qw(partner carc-i101l root device-self-signed);
my %binary = map { $_ => ':' . encode_base64($der{$_}, '') . ':' } keys %der;
my $hash   = sha256_of('partner');
my $dn     = 'CN=client.bigpartner.example,OU=API,O=Big Partner Foo SA,C=CH';

my @names = qw(
    Client-Cert Client-Cert-Chain X-Forwarded-Client-Cert X-Client-Name
    X-Client-Cert-Present X-Client-Cert-Chain-Verified X-Client-Cert-Error X-Client-Cert-Hash
    X-Client-Cert-Serial-Number X-Client-Cert-SPIFFE X-Client-Cert-URI-SANs
    X-Client-Cert-DNSName-SANs X-Client-Cert-Valid-Not-Before X-Client-Cert-Valid-Not-After
    X-Client-Cert-Issuer-Dn X-Client-Cert-Subject-Dn X-Client-Cert-Leaf X-Client-Cert-Chain
    X-Amzn-Mtls-Clientcert X-Amzn-Mtls-Clientcert-Serial-Number X-Amzn-Mtls-Clientcert-Issuer
    X-Amzn-Mtls-Clientcert-Subject X-Amzn-Mtls-Clientcert-Validity X-Amzn-Mtls-Clientcert-Leaf
    ssl-client-verify ssl-client-subject-dn ssl-client-issuer-dn ssl-client-cert
    X-Forwarded-Tls-Client-Cert X-Forwarded-Tls-Client-Cert-Info
);

sub values_of {
    my ($r, $name) = @_;
    my ($head) = split /\r\n\r\n/, $r->body;
    return map { /\A\Q$name\E: ?(.*)\z/i ? $1 : () } split /\r\n/, $head;
}

# The names of ours that have arrived, in any spelling.
sub arrived {
    my ($r) = @_;
    my ($head) = split /\r\n\r\n/, $r->body;
    my %known = map { lc(s/[^A-Za-z0-9]/_/gr) => $_ } @names;
    return join ' ', sort map { /\A([^:]+):/ && $known{lc($1 =~ s/[^A-Za-z0-9]/_/gr)} || () }
        split /\r\n/, $head;
}

sub at {
    my ($path, $cert, @headers) = @_;
    return $server->tls(cert => $cert)->request($path, headers => \@headers);
}

# --- what arrives, and nothing else ---------------------------------------------------------------
my @forged = map {"$_: forged"} @names, map { tr/-/_/r } @names;
my %sets   = (
    '/rfc9440' => 'Client-Cert',
    '/chain'   => 'Client-Cert Client-Cert-Chain',
    '/xfcc'    => 'X-Forwarded-Client-Cert',
    '/none'    => '',
    '/open'    => '',
    '/more'    => 'Client-Cert ssl-client-cert ssl-client-issuer-dn ssl-client-subject-dn '
        . 'ssl-client-verify',
    '/replaced' => 'X-Forwarded-Client-Cert',
    '/authz'    => 'Client-Cert Client-Cert-Chain',
    '/any'      => 'Client-Cert Client-Cert-Chain',
    '/nginx'    => 'ssl-client-cert ssl-client-issuer-dn ssl-client-subject-dn ssl-client-verify',
    '/traefik'  => 'X-Forwarded-Tls-Client-Cert X-Forwarded-Tls-Client-Cert-Info',
    '/aws'      => join(' ', sort map {"X-Amzn-Mtls-Clientcert-$_"}
            qw(Serial-Number Issuer Subject Validity Leaf)),
);
for my $path (sort keys %sets) {
    my $r = at($path, 'partner', @forged);
    is($r->status,  200,         "$path: allowed");
    is(arrived($r), $sets{$path}, "$path: its headers, each once");
    unlike($r->body, qr/forged/, "$path: nothing of the client's");
}
for my $path ('/report', '/optional', '/open') {
    my $r = at($path, undef, @forged);
    is($r->status,  200, "$path without a certificate: passes");
    is(arrived($r), '',  "$path without a certificate: no header");
}
denied(at('/everything', undef,           @forged), 'no_certificate',   'without a certificate');
denied(at('/everything', 'other-partner', @forged), 'subject_mismatch', 'somebody else');
is(at('/authz', 'other-partner', @forged)->status, 403, 'no required policy grants');
{
    my $r = at('/report', 'other-partner', @forged);
    is($r->status,  200, 'report mode: somebody else passes');
    is(arrived($r), '',  'report mode: without any identity');
}
{
    my $r = at('/everything', 'partner', @forged);
    allowed($r, 'all formats at once');
    my %absent = map { $_ => 1 } qw(
        X-Client-Cert-SPIFFE X-Client-Cert-URI-SANs X-Amzn-Mtls-Clientcert
    );
    for my $name (@names) {
        next if $name eq 'X-Client-Cert-Error';
        is(scalar(values_of($r, $name)), $absent{$name} ? 0 : 1, "$name: " . ($absent{$name} ? 'absent' : 'once'));
    }
    is(join('|', values_of($r, 'Client-Cert')), $binary{partner}, 'Client-Cert is the leaf');
    is(
        join('|', values_of($r, 'Client-Cert-Chain')),
        "$binary{'carc-i101l'}, $binary{root}",
        'the chain is the verified one, the leaf not in it'
    );
    is(join('|', values_of($r, 'X-Amzn-Mtls-Clientcert-Subject')), $dn, 'the subject');
}
{
    my $r = at('/header', 'partner', 'Client-Cert: forged', 'Client_Cert: forged');
    is(join('|', values_of($r, 'Client_Cert')), 'client.bigpartner.example',
        'MTLSExportHeader wins over a format');
    is(arrived($r), 'Client-Cert', 'whatever the spelling: one header');
    unlike($r->body, qr/forged/, 'and nothing of the client');
}

# --- the chain ------------------------------------------------------------------------------------
for my $case (['leaf only', send => 'leaf'], ['with its intermediate', send => 'chain']) {
    my ($name, @options) = @$case;
    my $r = $server->tls(cert => 'partner', @options)->request('/chain');
    is(
        join('|', values_of($r, 'Client-Cert-Chain')),
        "$binary{'carc-i101l'}, $binary{root}",
        "$name: the verified chain"
    );
}
{
    my $r = at('/allowed', 'device-self-signed', @forged);
    allowed($r, 'an allowed certificate');
    is(arrived($r), 'Client-Cert X-Forwarded-Client-Cert', 'has no chain above it');
    is(join('|', values_of($r, 'Client-Cert')), $binary{'device-self-signed'}, 'and is exported');
    unlike((values_of($r, 'X-Forwarded-Client-Cert'))[0], qr/END.*BEGIN/, 'XFCC: itself alone');
}

# --- what an upstream said ------------------------------------------------------------------------
my $ours  = "Hash=$hash;Subject=\"$dn\"";
my $their = 'By=spiffe://edge.example/a;Hash=' . ('ab' x 32) . ';Subject="CN=device\, 7";URI=,Hash='
    . ('cd' x 32);
my $h = 'X-Forwarded-Client-Cert';
is(join('|', values_of(at('/append', 'partner', "$h: $their"), $h)), "$their,$ours", 'appended');
is(join('|', values_of(at('/append', 'partner'), $h)), $ours, 'nothing came: ours alone');
is(join('|', values_of(at('/append', 'partner', "$h: $their", "$h: Hash=" . ('ef' x 32)), $h)),
    $their . ', Hash=' . ('ef' x 32) . ",$ours", 'two fields are one list');
is(join('|', values_of(at('/append-none', 'partner', "$h: $their"), $h)),
    $ours, 'from anybody else: ours alone');
is(join('|', values_of(at('/xfcc', 'partner', "$h: $their"), $h)),
    $ours, 'where the section does not append: ours alone');
is(join('|', values_of(at('/open', 'partner', "$h: $their"), $h)), '', 'and elsewhere nothing');
for my $bad (
    'Hash=ab"c', 'Subject="CN=x', 'nonsense', ',', 'Hash=ab,,Hash=cd', "Subject=\"a\\\"",
    'Hash=ab;Evil=1', '=x', "Subject=\"\xC3\xA9\"", 'Hash', 'Subject="a"b'
    )
{
    my $r = at('/append', 'partner', "$h: $bad");
    is($r->status, 200, "\"$bad\": allowed");
    is(join('|', values_of($r, $h)), $ours, "\"$bad\": what does not parse is dropped");
}
for my $name ('X_Forwarded_Client_Cert', 'X.Forwarded.Client.Cert') {
    my $r = at('/append', 'partner', "$name: $their");
    is(join('|', values_of($r, $h)), $ours, "$name is not X-Forwarded-Client-Cert");
    unlike($r->body, qr/edge\.example/, "$name: and does not arrive");
}
for my $path ('/report', '/optional') {
    is(join('|', values_of(at($path, undef, "$h: $their"), $h)),
        '', "$path: a trusted upstream, but nobody to append");
}
is(join('|', values_of(at('/append', 'partner', "$h: $their", "Connection: $h"), $h)),
    "$their,$ours", 'Connection cannot remove it');

# --- TRACE shows a client what a backend gets -----------------------------------------------------
for my $case (['TRACE'], ['TRACE', 'Max-Forwards: 0'], ['trace'], ['Track']) {
    my ($method, @headers) = @$case;
    my $r = $server->tls(cert => 'partner')
        ->request('/everything', method => $method, headers => [@headers, @forged]);
    is($r->status,  200, "$method @headers");
    is(arrived($r), '',  "$method @headers: no header of ours");
}

# --- the limit ------------------------------------------------------------------------------------
for my $case (
    ['/limited',        431, 'Client-Cert'],
    ['/limited-chain',  431, 'Client-Cert-Chain'],
    ['/append-limited', 431, $h, "$h: $their"],
    ['/append-limited', 200, '']
    )
{
    my ($path, $status, $name, @headers) = @$case;
    my $r = at($path, 'partner', @headers);
    is($r->status, $status, "$path: $status");
    if ($status == 431) {
        unlike($r->body, qr/x-test-id/i, "$path: the backend was not asked");
        ok((grep {/\b\Q$name\E\b/} $r->errors), "$path: the log names the header");
    }
}

# --- resumed sessions, HTTP/2 ---------------------------------------------------------------------
for my $kind (['1.2', version => '1.2', tickets => 0], ['1.3', version => '1.3']) {
    my ($name, @options) = @$kind;
    my $full = $server->tls(cert => 'partner', @options);
    allowed($full->request('/chain'), "TLS $name: full handshake");
    my $session = $full->session;
    $full->close;
    my $resumed = $server->tls(cert => 'partner', @options, session => $session);
    is($resumed->reused, 1, "TLS $name: resumed, which brings the leaf only");
    is(
        join('|', values_of($resumed->request('/chain'), 'Client-Cert-Chain')),
        "$binary{'carc-i101l'}, $binary{root}",
        "TLS $name: the verified chain all the same"
    );
}
SKIP: {
    skip 'prefork has no HTTP/2', 3 if mpm() eq 'prefork';
    my $r = $server->get('/chain', cert => 'partner', http => '2', headers => \@forged);
    allowed($r, 'HTTP/2');
    is(arrived($r), 'Client-Cert Client-Cert-Chain', 'HTTP/2: its headers, each once');
    is(
        join('|', values_of($r, 'Client-Cert-Chain')),
        "$binary{'carc-i101l'}, $binary{root}",
        'HTTP/2: the verified chain'
    );
}

# --- what cannot mean anything --------------------------------------------------------------------
my $checker = MTLSTest::ConfigCheck->new;
my $all = qr/none.*env.*rfc9440.*xfcc.*google.*aws-alb.*ingress-nginx.*traefik.*jwt/;
$checker->refused('location', 'MTLSExport',               'MTLSExport', $all);
$checker->refused('location', 'MTLSExport rfc9441',       'MTLSExport', 'rfc9441', $all);
$checker->refused('location', 'MTLSExport rfc9440 chian', 'MTLSExport', 'chian',   'chain');
$checker->refused('location', 'MTLSExport xfcc hash,dnt', 'MTLSExport', 'dnt', qr/hash.*subject/);
$checker->refused('location', 'MTLSExport xfcc apend',    'MTLSExport', 'apend');
$checker->refused('location', 'MTLSExport env more',      'MTLSExport', 'more');
$checker->refused('location', "MTLSExport none\nMTLSExport env",        'MTLSExport', 'none');
$checker->refused('location', "MTLSExport env\nMTLSExport none",        'MTLSExport', 'none');
$checker->refused('location', "MTLSExport google\nMTLSExport google",   'MTLSExport', 'already');
$checker->refused('location', "MTLSExport xfcc\nMTLSExport xfcc append", 'MTLSExport', 'already');
$checker->refused('vhost',
    "MTLSSigningKey \@PKI\@/partner.key\nMTLSExport rfc9440\nMTLSExport jwt aud=x header=Client_Cert",
    'MTLSExport', 'Client_Cert', 'already');
for my $bad ('10', '10.0.0', 'gateway.example', '192.0.2.0/33', '192.0.2.0/0', '::/0', '0.0.0.0/0.0.0.0', '2001:db8::/129',
    '192.0.2.1/255.255.255.0.0', '*', '10.0.0.0/255.0.255.0', '192.0.2.0/255.255.255.0', '192.0.2.0/')
{
    $checker->refused('location', "MTLSTrustedProxy $bad", 'MTLSTrustedProxy', $bad, '192.0.2.0/24');
}
$checker->accepted('location',
    "MTLSExport xfcc append\nMTLSTrustedProxy 192.0.2.1 192.0.2.0/24 2001:db8::/32 ::1");
$checker->accepted('vhost',
    "MTLSExport rfc9440 chain\nMTLSExport env\nMTLSTrustedProxy 192.0.2.0/24");

done_testing;

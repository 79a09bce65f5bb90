# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Attacks on what backends are told: by what a certificate holds, by what a client sends, by ways
# round the section that exports, and by configurations that cannot mean what they say.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib", "$FindBin::RealBin/pki/lib";
use IO::Select;
use IO::Socket::INET;
use JSON::PP     qw(decode_json);
use MIME::Base64 qw(decode_base64);
use MTLSPKI::Der qw(dns uri email seq);
use MTLSPKI::Issuer;
use MTLSTest;
use MTLSTest::Await qw(await);
use MTLSTest::Backend;
use MTLSTest::ConfigCheck;
use MTLSTest::Files   qw(files_dir replace_file rewrite_file);
use MTLSTest::Streams qw(many);
use Net::SSLeay;
use POSIX ();

my $backend  = MTLSTest::Backend->start;
my $upstream = 'http://127.0.0.1:' . $backend->port;
my $recorded = run_dir() . '/logs/record-94-ajp';
my $ajp      = MTLSTest::Backend->start(record => $recorded);
my $keys     = files_dir('export-attacks');
my $partner  = 'MTLSRequire subject.O "Big Partner Foo SA"';
my $cn       = 'client.bigpartner.example';

sub new_key {
    my ($file, @algorithm) = @_;
    @algorithm = ('EC', '-pkeyopt', 'ec_paramgen_curve:P-256') unless @algorithm;
    replace_file("$keys/$file", openssl('genpkey', '-quiet', '-algorithm', @algorithm));
    chown +(getpwnam(((MTLSTest::Layout::runtime_user())[0])))[2, 3], "$keys/$file" if $> == 0;
    chmod 0600, "$keys/$file";
    return;
}
new_key($_) for qw(one.pem two.pem);

my $leaks = <<'CONF';
SSLOptions +StdEnvVars +ExportCertData
    RequestHeader set X-S    "%{SSL_CLIENT_S_DN}s"
    RequestHeader set X-Cert "%{SSL_CLIENT_CERT}s"
    RequestHeader set X-E    "%{SSL_CLIENT_S_DN}e"
    RequestHeader set X-Expr "expr=%{SSL_CLIENT_S_DN}"
    RequestHeader set X-Func "expr=%{SSL:SSL_CLIENT_SAN_DNS_0}"
    RequestHeader set X-Env  "expr=%{reqenv:SSL_CLIENT_S_DN_CN}"
CONF

my $server = private(name => 'export-attacks', modules => [qw(
    authn_core authz_core authz_host alias dir headers log_config mime setenvif env rewrite
    remoteip socache_shmcb proxy proxy_http proxy_ajp http2 CGI mtls_policy ssl
)], config => <<"CONF");
TraceEnable on
MTLSSigningKey $keys/one.pem fixed
MTLSSigningKey $keys/two.pem
MTLSReloadInterval 1
ProxyTimeout 60
<Directory "\@Htdocs\@">
    Require all granted
</Directory>
<Directory "\@Htdocs\@/cgi-bin">
    Options +ExecCGI
    SetHandler cgi-script
</Directory>
<MTLSTrustStore "root">
    MTLSAnchor "\@PKI\@/root.crt"
    MTLSIntermediate "\@PKI\@/carc-i101l.crt" "\@PKI\@/carc-i102l.crt"
</MTLSTrustStore>
<MTLSPolicy "partner">
    $partner
    MTLSTrust root
</MTLSPolicy>
<MTLSPolicy "other">
    MTLSRequire subject.O "Other Partner SA"
</MTLSPolicy>
RemoteIPHeader X-Real
RemoteIPInternalProxy 127.0.0.1

Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
Protocols h2 http/1.1
SetEnvIf X-Client-Name (.+) SEEN=\$1
SetEnvIf X-Client-Identity (.+) SEEN=\$1
ProxyPass "/cgi-bin" "!"
ProxyPass "/jwks" "!"
ProxyPass "/handler" "!"
ProxyPass "/rewritten" "!"
ProxyPass "/ajp/" "ajp://127.0.0.1:@{[ $ajp->port ]}/ajp/"
ProxyPass "/" "$upstream/"
<Location "/hostile">
    MTLSTrust vhost
    MTLSHeaderLimit 65536
    MTLSExport xfcc set by,hash,cert,chain,subject,uri,dns
    MTLSExport rfc9440 chain
    MTLSExport google
    MTLSExport aws-alb
    MTLSExport ingress-nginx
    MTLSExport traefik
    MTLSExport jwt aud=x sub=sha256
    MTLSExportHeader X-Client-CN  "%{mtls:subject.CN}"
    MTLSExportHeader X-Client-DN  "%{mtls:subject}"
    MTLSExportHeader X-Client-URI "%{mtls:san.uri}"
</Location>
<Location "/trace">
    $partner
    MTLSExport jwt aud=x
    MTLSExport rfc9440
    MTLSExportHeader X-Client-Name "%{mtls:subject.CN}"
</Location>
<Location "/a">
    MTLSTrust vhost
    MTLSExport jwt aud=a ttl=3600
    MTLSExport xfcc set subject
    MTLSExportHeader X-Client-Name "%{mtls:subject.CN}"
</Location>
<Location "/b">
    MTLSUsePolicy any other partner
    MTLSExport jwt aud=b sub=sha256 ttl=3600
</Location>
<Location "/replaced">
    MTLSTrust vhost
    MTLSExport rfc9440
    MTLSExportHeader Client_Cert "%{mtls:subject.CN}"
</Location>
<Location "/anew">
    MTLSTrust vhost
    SSLVerifyClient require
    SSLVerifyDepth 5
    SSLCipherSuite ECDHE-ECDSA-AES128-GCM-SHA256
    MTLSExport jwt aud=a
</Location>
<Location "/named">
    MTLSUser san.dns
    MTLSExportHeader X-Client-Name "%{mtls:subject.CN}"
    Require mtls-policy partner
</Location>
<Location "/append">
    MTLSTrust vhost
    MTLSExport xfcc append hash
    MTLSTrustedProxy 127.0.0.1
</Location>
<Location "/append-remote">
    MTLSTrust vhost
    MTLSExport xfcc append hash
    MTLSTrustedProxy 10.0.0.0/8
</Location>
<LocationMatch "^/(?:report|handler|rewritten|cgi-bin/report)">
    MTLSRequire subject.O "Nobody"
    MTLSMode report
    MTLSExport jwt aud=x
    $leaks
</LocationMatch>
<Location "/handler">
    SetHandler "proxy:$upstream"
</Location>
<Location "/rewritten">
    RewriteEngine on
    RewriteRule ^ "$upstream/rewritten" [P]
</Location>
Alias "/cgi-bin/report" "\@Htdocs\@/cgi-bin/env.cgi"
<Location "/cgi-bin/report">
    SetHandler cgi-script
</Location>
<Location "/cgi-bin/env.cgi">
    $partner
    MTLSMode optional
    MTLSExport env
    SetEnv MTLS_SUBJECT forged
    SetEnv Mtls_Issuer forged
    SetEnv MTLS-SUBJECT_CN forged
    SetEnv mtls.subject_o forged
    SetEnvIf X-Forge . MTLS_SERIAL=forged MTLS-VERDICT=forged
</Location>
<LocationMatch "^/reported-">
    MTLSRequire subject.O "Nobody"
    MTLSMode report
</LocationMatch>
<LocationMatch "^/[a-z]+-expr">
    <RequireAll>
        Require all granted
        Require not expr "%{SSL_CLIENT_S_DN_O} == 'Other Partner SA'"
    </RequireAll>
</LocationMatch>
<LocationMatch "^/[a-z]+-function">
    <RequireAll>
        Require all granted
        Require not expr "%{SSL:SSL_CLIENT_S_DN_O} == 'Other Partner SA'"
    </RequireAll>
</LocationMatch>
<LocationMatch "^/[a-z]+-only">
    Require expr "%{SSL_CLIENT_S_DN_O} == 'Big Partner Foo SA'"
</LocationMatch>
<LocationMatch "^/[a-z]+-condition">
    RewriteEngine on
    RewriteCond %{SSL:SSL_CLIENT_S_DN_O} "=Other Partner SA"
    RewriteRule ^ - [F]
</LocationMatch>
<Location "/seen">
    RequestHeader set X-Seen "%{SEEN}e"
</Location>
<Location "/ajp/off">
    MTLSMode off
</Location>
<Location "/ajp/allowed">
    $partner
</Location>
<Location "/jwks">
    SetHandler mtls-jwks
</Location>
</VirtualHost>

Listen 127.0.0.1:\@Port_Proxied\@
<VirtualHost 127.0.0.1:\@Port_Proxied\@>
ServerName gateway.test
\@TLS\@
RemoteIPProxyProtocol On
ProxyPass "/" "$upstream/"
<Location "/append-remote">
    MTLSTrust vhost
    MTLSExport xfcc append hash
    MTLSTrustedProxy 10.0.0.0/8
</Location>
</VirtualHost>
CONF

sub lines_of {
    my ($r) = @_;
    my ($head) = split /\r\n\r\n/, $r->body;
    return split /\r\n/, $head;
}

# Values of a header in what the backend received, comparing names as CGI does.
sub values_of {
    my ($r, $name) = @_;
    my $same = lc($name =~ s/[^A-Za-z0-9]/_/gr);
    my @values;
    for my $line (lines_of($r)) {
        my ($found, $value) = $line =~ /\A([^:]+): ?(.*)\z/ or next;
        push @values, $value if lc($found =~ s/[^A-Za-z0-9]/_/gr) eq $same;
    }
    return @values;
}
sub value_of { return join '|', values_of(@_) }

sub part_of_token {
    my ($r, $n) = @_;
    my $part = (split /\./, value_of($r, 'X-Client-Identity'))[$n] // return {};
    return decode_json(decode_base64($part =~ tr{-_}{+/}r));
}
sub claims { return part_of_token($_[0], 1) }

sub at {
    my ($path, $cert, @headers) = @_;
    return $server->tls(cert => $cert)->request($path, headers => \@headers);
}

sub percent_decoded { return $_[0] =~ s/%([0-9A-Fa-f]{2})/chr hex $1/ger }

# --- what a certificate holds ---------------------------------------------------------------------

# X-Forwarded-Client-Cert as readers of three kinds see it: a list of lists of [key, value].
# 'quote': a backslash before a quote makes it part of the value; 'any': a backslash does that to
# every byte; 'none': backslashes mean nothing.
sub read_quoted {
    my ($text, $escapes) = @_;
    my $value = '';
    while ($$text !~ /\G"/gc) {
        my $escape = $escapes eq 'any' ? qr/\G\\(.)/ : qr/\G\\(")/;
        if ($escapes ne 'none' && $$text =~ /$escape/gc) { $value .= $1 }
        else { $$text =~ /\G(.)/gc or return; $value .= $1 }
    }
    return $value;
}

sub read_xfcc {
    my ($text, $escapes) = @_;
    my @elements = ([]);
    while ($text =~ /\G(By|Hash|Cert|Chain|Subject|URI|DNS)=/gc) {
        my $key = $1;
        my $value =
              $text =~ /\G"/gc       ? read_quoted(\$text, $escapes)
            : $text =~ /\G([^,;]*)/gc ? $1
            :                           undef;
        return if !defined $value;
        push @{ $elements[-1] }, [$key, $value];
        if    ($text =~ /\G;/gc)  { }
        elsif ($text =~ /\G,/gc)  { push @elements, [] }
        elsif ($text =~ /\G\z/gc) { return \@elements }
        else                      {return}
    }
    return;
}

sub all_of {
    my ($elements, $key) = @_;
    return [map { $_->[0] eq $key ? $_->[1] : () } @{ $elements->[0] }];
}

# RFC 4514: the values of one attribute type, decoded.
sub values_in_dn {
    my ($dn, $type) = @_;
    my @values;
    while ($dn =~ /\G([A-Za-z0-9.]+)=((?:\\[0-9A-Fa-f]{2}|\\.|[^\\,+])*)(?:[,+]|\z)/gcs) {
        my ($found, $value) = ($1, $2);
        $value =~ s/\\([0-9A-Fa-f]{2})|\\(.)/defined $1 ? chr hex $1 : $2/ges;
        push @values, $value if $found eq $type;
    }
    return (pos($dn) // -1) == length $dn ? \@values : ['cannot be read'];
}

my $issuer = MTLSPKI::Issuer->new(pki_dir());
my $made   = 0;

sub hostile {
    my (%description) = @_;
    my $name = 'export-attack-' . ++$made;
    $issuer->make($name, \%description);
    return at('/hostile', $name);
}

sub one_of_each {
    my ($r, $test) = @_;
    my (%times, @strange);
    for (lines_of($r)) {
        my ($name) = /\A([^:\s]+): /;
        if (defined $name)  { $times{ lc($name =~ s/[^A-Za-z0-9]/_/gr) }++ }
        elsif (!/\AGET /) { push @strange, $_ }
        push @strange, $_ if /[^\x20-\x7e]/;
    }
    is(join(' ', grep { $times{$_} > 1 } sort keys %times), '', "$test: each header once");
    is(join('|', @strange), '', "$test: nothing that is no header");
    return;
}

sub same_for_all_readers {
    my ($r, $test) = @_;
    my $text = value_of($r, 'X-Forwarded-Client-Cert');
    my @read = map { read_xfcc($text, $_) } qw(quote any none);
    is(scalar(grep {defined} @read), 3, "$test: every reader can read XFCC") or return;
    is_deeply([map { scalar @$_ } @read], [1, 1, 1], "$test: one element");
    for my $key (qw(By Hash URI DNS)) {
        is_deeply([map { all_of($_, $key) } @read[1, 2]], [(all_of($read[0], $key)) x 2],
            "$test: $key is the same to all");
    }
    is(@{ all_of($read[0], 'Subject') }, 1, "$test: one subject");
    return $read[0];
}

for my $value (
    'a"b', 'a\\', 'a\\\\', 'x\\",CN=admin', 'x";Hash="00', 'x;Hash=00,Hash=11', '#hash', 'a=b',
    'O=x,CN=admin', "cr\r\nX-Client-CN: admin", '%22%2C%0d%0a', "tab\tx", "\x7f", 'x+CN=admin',
    '\\2C', '\\', '"', "caf\xc3\xa9", "\xef\xbc\x8c", 'CN=admin', ' admin', 'admin ', '  '
    )
{
    my $test = 'CN ' . $value =~ s/([^\x21-\x7e])/sprintf '<%02x>', ord $1/ger;
    my $r    = hostile(subject => [O => 'Big Partner Foo SA', CN => $value]);
    allowed($r, $test);
    one_of_each($r, $test);
    my $xfcc = same_for_all_readers($r, $test) or next;
    my %dn = (
        XFCC            => all_of($xfcc, 'Subject')->[0],
        'ingress-nginx' => value_of($r, 'ssl-client-subject-dn'),
        'aws-alb'       => value_of($r, 'X-Amzn-Mtls-Clientcert-Subject'),
    );
    is_deeply(values_in_dn($dn{$_}, 'CN'), [$value], "$test: $_ reads as the certificate")
        for sort keys %dn;
    is(percent_decoded(value_of($r, 'X-Client-CN') =~ s/\A +| +\z//gr),
        $value, "$test: what HTTP leaves of the value decodes to it");
    my $info = percent_decoded(value_of($r, 'X-Forwarded-Tls-Client-Cert-Info') =~ tr/+/ /r);
    my ($subject) = $info =~ /(?:\A|;)Subject="([^"]*)"(?:;|\z)/;
    my %names = map { /\A([A-Z]+)=(.*)\z/s ? ($1 => $2) : () } split /,/, $subject // '';
    ok(!exists $names{CN} || $names{CN} eq $value && $value !~ /\A | \z/,
        "$test: Traefik has it whole or not at all");
}
for my $value ('CN=admin', 'x, CN=admin', 'x";Issuer="CN=root', 'x\\') {
    my $test = "O $value";
    my $r    = hostile(subject => [CN => 'real', O => $value]);
    allowed($r, $test);
    my $xfcc = same_for_all_readers($r, $test) or next;
    is_deeply(values_in_dn(all_of($xfcc, 'Subject')->[0], 'CN'), ['real'], "$test: one CN");
    my $info = percent_decoded(value_of($r, 'X-Forwarded-Tls-Client-Cert-Info') =~ tr/+/ /r);
    my @found = ($info =~ s/;Issuer=.*//sr) =~ /CN=([^,"]*)/g;
    is("@found", 'real', "$test: a careless reader of Traefik's finds the same");
    @found = all_of($xfcc, 'Subject')->[0] =~ /CN=([^,"]*)/g;
    is("@found", 'real', "$test: and one of XFCC");
}
{
    my $r = hostile(subject => [O => 'Big Partner Foo SA ', CN => 'x']);
    is_deeply(values_in_dn(value_of($r, 'X-Client-DN') =~ s/%20/ /gr, 'O'),
        ['Big Partner Foo SA '], 'a DN that ends in a blank can be read');
    my $empty = hostile(subject_der => seq(), san => [dns('a.example')]);
    allowed($empty, 'an empty subject');
    is(join('|', grep {/\A[^:]+:\s*\z/} lines_of($empty)), '', 'makes no empty header');
}

my @plain = ('x:y', 'https://a.example/b?c', 'urn:a', 'admin.example', '10.0.0.1:80', 'fe80::1');
my @quoted = (
    'https://a/;Hash=00', 'https://a/,URI=https://admin', 'https://a/";Subject="CN=admin"',
    'https://a/\\', 'a b', "https://a/\r\nX-Client-CN: e", 'urn:a,b;c=d', 'HTTP://x/"'
);
for my $value (@plain, @quoted) {
    my $test = 'URI ' . $value =~ s/([^\x21-\x7e])/sprintf '<%02x>', ord $1/ger;
    my $r    = hostile(subject => [CN => 'x'], san => [uri($value), dns('a.example')]);
    allowed($r, $test);
    one_of_each($r, $test);
    my $xfcc = same_for_all_readers($r, $test) or next;
    my $kept = $value =~ /[\s"\\]/ ? [] : [$value];
    is_deeply(all_of($xfcc, 'URI'), $kept, "$test: whole or not at all");
    is_deeply(all_of($xfcc, 'DNS'), ['a.example'], "$test: the DNS name is not touched");
    is(decode_base64(value_of($r, 'X-Client-Cert-URI-SANs')), $value, "$test: Google");
    is_deeply(claims($r)->{san}{uri}, [$value], "$test: in the token");
    my $info  = percent_decoded(value_of($r, 'X-Forwarded-Tls-Client-Cert-Info') =~ tr/+/ /r);
    my @names = split /,/, $info =~ /;SAN="([^"]*)"\z/ ? $1 : '';
    is_deeply([grep { $_ ne 'a.example' && $_ ne $value } @names], [], "$test: Traefik");
}
for my $id ('spiffe://lab.carcano.corp/ns/prod/sa/orders', 'SPIFFE://lab.carcano.corp/x') {
    my $r    = hostile(subject => [CN => 'x'], san => [uri($id)]);


    allowed($r, "$id, for which no store vouches");
    is_deeply(all_of(read_xfcc(value_of($r, 'X-Forwarded-Client-Cert'), 'quote'), 'URI'),
        [], "$id: not in XFCC, whose readers take it for an identity");
    is(value_of($r, 'X-Client-Cert-SPIFFE'), '',    "$id: not Google's");
    is(claims($r)->{spiffe_id},              undef, "$id: not in the token");
}
for my $value ('a.example,b.example', 'x;Hash=00', 'a"b', '1.2.3.4', '::1', 'a,admin@b', 'x@y') {
    my $test = "DNS $value";
    my $r    = hostile(subject => [CN => 'x'], san => [dns($value), email('a@b.example')]);
    allowed($r, $test);
    my $xfcc = same_for_all_readers($r, $test) or next;
    is_deeply(all_of($xfcc, 'DNS'), $value =~ /"/ ? [] : [$value], "$test: whole or not at all");
    is(decode_base64(value_of($r, 'X-Client-Cert-DNSName-SANs')), $value, "$test: Google");
    my $info = percent_decoded(value_of($r, 'X-Forwarded-Tls-Client-Cert-Info') =~ tr/+/ /r);
    is($info =~ /;SAN="([^"]*)"\z/ ? $1 : '', 'a@b.example', "$test: Traefik leaves it out");
}

# --- what a client sends --------------------------------------------------------------------------
my $secrets = qr/X-Client-Identity|Client-Cert|X-Client-Name|eyJ|\Q$cn\E/i;
for my $case (['Max-Forwards: 0'], ['Max-Forwards: 1'], []) {
    my $tls  = $server->tls(cert => 'partner');
    my $test = 'TRACE ' . join ' ', @$case;
    my $r    = $tls->request('/trace', method => 'TRACE', headers => $case);
    like($r->status, qr/\A(?:200|405)\z/, "$test: answered");
    unlike($r->body, $secrets, "$test: the client learns nothing of what backends are told");
    like($tls->request('/trace')->body, $secrets, "$test: which they are");
}
SKIP: {
    skip 'prefork has no HTTP/2', 2 if mpm() eq 'prefork';
    my $r = $server->get(
        '/trace',
        cert    => 'partner',
        http    => '2',
        method  => 'TRACE',
        headers => ['Max-Forwards: 0']
    );
    like($r->status, qr/\A(?:200|405)\z/, 'TRACE, HTTP/2: answered');
    unlike($r->body, $secrets, 'TRACE, HTTP/2: nothing');
}
for my $headers (
    ['Proxy-Connection: Client-Cert, X-Client-Name'],
    ['Connection: "Client-Cert"', 'Client-Cert: forged'],
    ["X-Other: a\r\n X-Client-Name: forged"],
    ['Connection: close, X_Client_Name, x.client.identity', 'X_Client_Name: forged'],
    ['TE: trailers', 'Trailer: X-Client-Name']
    )
{
    my $test = join ' | ', map {s/\r\n/<CRLF>/gr} @$headers;
    my $r    = at('/trace', 'partner', @$headers);
    allowed($r, $test);
    is(value_of($r, 'X-Client-Name'), $cn, "$test: ours, once");
    is(scalar(values_of($r, 'Client-Cert')), 1, "$test: the certificate, once");
    is(scalar(values_of($r, 'X-Client-Identity')), 1, "$test: the token, once");
}
is(value_of(at('/replaced', 'partner', 'Client.Cert: forged'), 'Client-Cert'),
    $cn, 'MTLSExportHeader of a name that is the same to CGI: one value');
{
    my $r = at('/seen', undef, 'X-Client-Name: forged', 'X_Client_Name: forged',
        'X-Client-Identity: forged');
    is($r->status, 200, 'outside any policy');
    unlike($r->body, qr/forged/, 'SetEnvIf sees nothing of a forged header either');
}
for my $cert (undef, 'partner') {
    my $test = 'forged variables, ' . ($cert // 'no certificate');
    my $r    = at('/cgi-bin/env.cgi', $cert, 'X-Forge: 1');
    is($r->outcome, $cert ? '200 allow ok' : '200 allow no_certificate', $test);
    unlike($r->body, qr/^MTLS.*forged/mi, "$test: ours, or none");
}

# --- an upstream's word ---------------------------------------------------------------------------
my $header = 'X-Forwarded-Client-Cert';
my $ours   = 'Hash=' . sha256_of('partner');
for my $good ('Hash=aa', "Hash=aa,\r\n Hash=bb", 'Hash="a\\"b"', 'Subject="/C=US";Hash=1') {
    my $r    = at('/append', 'partner', "$header: $good");
    my $list = $good =~ s/\r\n//r;
    allowed($r, "append to $list");
    is(value_of($r, $header), "$list,$ours", "append to $list: ours comes last");
}
for my $bad (
    "Hash=aa\t,Hash=bb", 'Hash=aa;', 'Subject="CN=a\\\\"', 'By=a b', 'Hash=aa, ,Hash=bb',
    'Hash=aa,Hash=bb;Subject="', "Hash=aa\x80", 'Hash=aa;Hash', ';Hash=aa', 'Hash:aa'
    )
{
    my $r = at('/append', 'partner', "$header: $bad");
    allowed($r, 'append to what is no list');
    is(value_of($r, $header), $ours, 'ours alone');
}
{
    my @claimed = ('X-Real: 10.1.2.3', 'X-Forwarded-For: 10.1.2.3', "$header: Hash=aa");
    my $r = at('/append-remote', 'partner', @claimed);
    allowed($r, 'an address that mod_remoteip believes');
    is(value_of($r, $header), $ours, 'makes nobody a trusted proxy');
}

# Goes before the TLS of a connection and says where that comes from.
sub with_proxy_line {
    my ($line, $port) = @_;
    my $listener = IO::Socket::INET->new(LocalAddr => '127.0.0.1', LocalPort => 0, Listen => 1)
        or die "cannot listen: $!\n";
    my $pid = fork // die "cannot fork: $!\n";
    return ($listener->sockport, $pid) if $pid;
    $SIG{$_} = 'DEFAULT' for qw(INT TERM HUP);    # the servers are not this process's to stop
    my $client = $listener->accept;
    my $to     = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port);
    syswrite $to, $line;
    my $select = IO::Select->new($client, $to);
    while (my @ready = $select->can_read(60)) {
        for my $from (@ready) {
            sysread $from, my $bytes, 65_536 or POSIX::_exit(0);
            syswrite $from == $client ? $to : $client, $bytes;
        }
    }
    POSIX::_exit(0);
}
{
    my ($port, $pid) =
        with_proxy_line("PROXY TCP4 10.1.2.3 127.0.0.1 1234 443\r\n", $server->port('proxied'));
    my $tls = MTLSTest::TLS->connect(
        sni  => 'gateway.test',
        port => $port,
        log  => $server->log,
        cert => pki_dir() . '/partner-chain.crt',
        key  => pki_dir() . '/partner.key'
    );
    my $r = $tls->request('/append-remote', headers => ["$header: Hash=aa"]);
    allowed($r, 'an address that the PROXY protocol says');
    is(value_of($r, 'X-Forwarded-For'), '10.1.2.3', 'is believed by httpd');
    is(value_of($r, $header),           $ours,      'and makes nobody a trusted proxy');
    $tls->close;
    kill TERM => $pid;
    waitpid $pid, 0;
}

# --- who was not allowed --------------------------------------------------------------------------
for my $path (qw(/report /handler /rewritten /cgi-bin/report)) {
    my $r = at($path, 'partner');
    is($r->outcome, '200 report subject_mismatch', "$path: reported");
    unlike($r->body, qr{\Q$cn\E|Big Partner|eyJ|SSL_CLIENT_(?!VERIFY)},
        "$path: nothing tells of the certificate");
}
for my $case (['/ajp/open', 'self-signed'], ['/ajp/off', 'self-signed']) {
    my ($path, $cert) = @$case;
    unlike(packet_of($path, $cert), qr/BEGIN CERTIFICATE/, "AJP $path: not of $cert");
}
like(packet_of('/ajp/allowed', 'partner'), qr/BEGIN CERTIFICATE/, 'AJP: of who is allowed');
like(packet_of('/ajp/open', 'partner'), qr/BEGIN CERTIFICATE/,
    'AJP, where no policy stands: of whom the CAs of the virtual host vouch for');

sub packet_of {
    my ($path, $cert) = @_;
    my $packet;
    at($path, $cert);
    await(
        sub {
            $packet = MTLSTest::Server::slurp($recorded);
            return $packet =~ /\Q$path\E\0/;
        }
    ) or die "nothing came to $path\n";
    return $packet;
}
for my $rule (qw(expr function only condition)) {
    for my $path ("/unjudged-$rule", "/reported-$rule") {
        is(at($path, 'other-partner')->status,
            403, "$path: rules of others on the certificate stay closed");
        is(at($path, 'partner')->status, 200, "$path: and open to whom they were");
    }
}
{
    my $r = at('/named', 'many-attributes');
    is($r->status, 403, 'Require mtls-policy: who has two names is not named');
    unlike($r->body, qr/X-Test-Id/i, 'and the backend is not asked');
    is(at('/named', 'partner')->status, 200, 'who has one is');
}

# --- one connection, several identities and sections ----------------------------------------------
for my $case (['partner', 'CN=client.bigpartner.example'], [undef, undef]) {
    my ($cert, $name) = @$case;
    my $test   = 'renegotiation, first ' . ($cert // 'nobody');
    my $tls    = $server->tls(cert => $cert, version => '1.2');
    my $before = $tls->request('/a');
    $cert ? allowed($before, $test) : denied($before, 'no_certificate', $test);
    like(claims($before)->{sub}, qr/\A\Q$name\E,/, "$test: itself") if $cert;
    my $other = pki_dir() . '/other-partner';
    Net::SSLeay::use_certificate_file($tls->{ssl}, "$other.crt", Net::SSLeay::FILETYPE_PEM());
    Net::SSLeay::use_PrivateKey_file($tls->{ssl}, "$other.key", Net::SSLeay::FILETYPE_PEM());
    for my $path ('/anew', '/a') {
        my $r = $tls->request($path);
        allowed($r, "$test, then other-partner at $path");
        like(claims($r)->{sub}, qr/\ACN=client\.other\.example,/, "$test: $path: the new one");
        is(claims($r)->{cnf}{'x5t#S256'}, claims($tls->request('/a'))->{cnf}{'x5t#S256'},
            "$test: $path: and its certificate");
        unlike($r->body, qr/\Q$cn\E/, "$test: $path: nothing of the old one");
    }
}
{
    my $tls = $server->tls(cert => 'partner');
    my %tokens;
    for (1 .. 100) {
        for my $path ('/a', '/b') {
            my $claims = claims($tls->request($path));
            my $said   = join ' ', map { $claims->{$_} // '-' } qw(aud policy trust_store);
            $tokens{"$path: $said"}{ $claims->{jti} }++;
        }
    }
    is_deeply([sort keys %tokens], ['/a: a - vhost', '/b: b partner root'],
        'sections that take turns: each has its own token');
    is_deeply([map { scalar keys %$_ } values %tokens], [1, 1], 'and signs it once');
}
SKIP: {
    skip 'prefork has no HTTP/2', 3 if mpm() eq 'prefork';
    my @paths = map { ('/a', '/b', '/trace', '/replaced', '/append', '/named') } 1 .. 100;
    my ($status, $connections) = many($server, 'partner', 'attack', @paths);
    is($connections, 1, 'streams side by side: one connection');
    is(join(' ', sort map {$_} do { my %s = map { $_ => 1 } values %$status; keys %s }),
        '2 200', 'all are answered');
    my ($refused) = many($server, 'other-partner', 'attacker', @paths);
    my %by_path;
    $by_path{ $paths[$_] }{ $refused->{$_} }++ for 0 .. $#paths;
    is_deeply(
        \%by_path,
        {
            (map { $_ => { '2 200' => 100 } } qw(/a /b /replaced /append)),
            (map { $_ => { '2 403' => 100 } } qw(/trace /named))
        },
        'and each by its own section'
    );
}

# --- keys -----------------------------------------------------------------------------------------
sub key_set { return $server->tls->request('/jwks')->body }
for my $method (qw(POST PUT DELETE OPTIONS PROPFIND)) {
    my $r = $server->tls->request('/jwks/x/../y?z', method => $method, body => '');
    is($r->status, 405, "key set: $method");
}
is($server->tls->request('/jwks/x', method => 'HEAD')->status, 200, 'key set: HEAD');
{
    my $set = key_set();
    my $old = MTLSTest::Server::slurp("$keys/one.pem");
    my $two = MTLSTest::Server::slurp("$keys/two.pem");
    for my $case (
        ['half', substr $old, 0, 90],
        ['empty', ''],
        ['with another', "$old$two"],
        ['of a type that cannot sign', openssl('genpkey', '-quiet', '-algorithm', 'ed25519')]
        )
    {
        my ($name, $content) = @$case;
        my $said = () = $server->log->matching('MTLSSigningKey.*last good version');
        rewrite_file("$keys/one.pem", $content);
        await(
            sub {
                at('/a', 'partner');
                return (() = $server->log->matching('MTLSSigningKey.*last good version')) > $said;
            }
        );
        allowed(at('/a', 'partner'), "a key file that is $name: tokens as before");
        is(key_set(), $set, "a key file that is $name: the key set as before");
    }
    new_key('one.pem', 'RSA', '-pkeyopt', 'rsa_keygen_bits:2048');
    my $published;
    ok(await(sub { ($published = key_set()) ne $set }), 'a new key is published');
    unlike($published, qr/"(?:d|p|q|dp|dq|qi|oth|k)":/, 'no part of a private one');
    ok(await(sub { part_of_token(at('/a', 'partner'), 0)->{alg} eq 'RS256' }), 'the new key signs');
    my @secrets = map { (split /\n/)[2] } $old, $two, MTLSTest::Server::slurp("$keys/one.pem");
    my @found   = grep {
        my $text = MTLSTest::Server::slurp($_);
        grep { index($text, $_) >= 0 } @secrets
    } grep {-f} glob $server->dir . '/* ' . $server->dir . '/*/* ' . $server->dir . '/*/*/*';
    is("@found", '', 'no key is in a log or in what is kept');
    my @logs = grep { MTLSTest::Server::slurp($_) =~ /eyJ[\w-]+\.eyJ/ } glob $server->dir . '/*_log';
    is("@logs", '', 'and no token');
}

# --- memory ---------------------------------------------------------------------------------------
SKIP: {
    skip 'the sanitizers keep what is given back', 2 if $ENV{MTLS_SANITIZED};
    my $alone = private(
        name      => 'export-memory',
        mpm       => 'prefork',
        modules   => [qw(authz_core dir log_config mime socache_shmcb mtls_policy ssl)],
        processes => "StartServers 1\nMinSpareServers 1\nMaxSpareServers 1\n"
            . "MaxRequestWorkers 2\nMaxKeepAliveRequests 0",
        config => <<"CONF");
MTLSSigningKey $keys/two.pem
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
<LocationMatch "^/">
    MTLSTrust vhost
    MTLSHeaderLimit 65536
    MTLSExport env
    MTLSExport xfcc append by,hash,cert,chain,subject,uri,dns
    MTLSExport rfc9440 chain
    MTLSExport google
    MTLSExport aws-alb
    MTLSExport ingress-nginx
    MTLSExport traefik
    MTLSExport jwt aud=x ttl=1
</LocationMatch>
</VirtualHost>
CONF
    my $tls = $alone->tls(cert => 'partner');
    my $pid = $tls->request('/')->pid;
    my $ask = sub {
        my ($n) = @_;
        my $failed = grep { !$tls->request('/x')->status } 1 .. $n;
        my ($kb) = MTLSTest::Server::slurp("/proc/$pid/status") =~ /VmRSS:\s+(\d+)/;
        return $failed ? 0 : $kb;
    };
    my $before = $ask->(500);
    my $after  = $ask->(5000);
    cmp_ok($before, '>', 0, 'many requests of one connection, all answered');
    cmp_ok($after - $before, '<', 512, 'and all formats cost it no memory');
}

# --- RequestHeader in .htaccess, which nobody has read at the start, and by a variable -------------
{
    my $docs = files_dir('htaccess');
    replace_file("$docs/env.cgi", MTLSTest::Server::slurp("$FindBin::RealBin/htdocs/cgi-bin/env.cgi"));
    chmod 0755, "$docs/env.cgi";
    replace_file("$docs/.htaccess", <<'HTACCESS');
RequestHeader set X-Own set
RequestHeader set X-Variable "%{SSL_CLIENT_S_DN}e"
RequestHeader set X-Ssl "%{SSL_CLIENT_S_DN}s"
RequestHeader set X-Expression "expr=%{SSL_CLIENT_S_DN}"
HTACCESS
    for my $allowed ('AllowOverride All', 'AllowOverride FileInfo',
        'AllowOverrideList RequestHeader', 'AllowOverride None')
    {
        my $none = $allowed =~ /None/;
        my $htaccess = private(name => 'htaccess', config => <<"CONF");
Define SUBJECT "%{SSL_CLIENT_S_DN}e"
<Directory "$docs">
    $allowed
    Require all granted
    Options +ExecCGI
    SetHandler cgi-script
</Directory>
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
    ServerName gateway.test
    \@TLS\@
    SSLVerifyClient optional_no_ca
    SSLOptions +StdEnvVars
    DocumentRoot "$docs"
    <Location "/">
        MTLSRequire subject.O "Nobody"
        MTLSMode report
        @{[ $none ? 'RequestHeader set X-Own "set ${SUBJECT}"' : '' ]}
    </Location>
</VirtualHost>
CONF
        my $r = $htaccess->tls(cert => 'partner')->request('/env.cgi');
        is($r->outcome, '200 report subject_mismatch', "$allowed: reported");
        like($r->body, qr/^HTTP_X_OWN=set/m, "$allowed: the header is set");
        unlike($r->body, qr{\Q$cn\E|Big Partner}, "$allowed: nothing tells of the certificate");
        $htaccess->stop;
    }
}

# --- configurations -------------------------------------------------------------------------------
my $checker = MTLSTest::ConfigCheck->new;
for my $network ('0.0.0.0/0.0.0.0', '10.0.0.0/255.0.255.0', '"10.0.0.0/ 8"', '10.0.0.0/-8') {
    $checker->refused('location', "MTLSExport xfcc append\nMTLSTrustedProxy $network",
        'MTLSTrustedProxy');
}
$checker->accepted('location', "MTLSExport xfcc append\nMTLSTrustedProxy 10.0.0.0/8");
$checker->refused('location', "MTLSExport rfc9440\nMTLSExport jwt aud=x header=Client_Cert",
    'MTLSExport', 'Client');
$checker->refused('vhost', "<Location />\nMTLSTrust vhost\nMTLSExport jwt aud=x\n</Location>",
    'MTLSSigningKey');
$checker->refused('vhost', "<If \"true\">\nMTLSExport jwt aud=x\n</If>", 'MTLSSigningKey');
for my $sub (qw(ocsp trust not_after)) {
    $checker->refused('vhost',
        "MTLSSigningKey $keys/two.pem\n<Location />\nMTLSExport jwt aud=x sub=$sub\n</Location>",
        'MTLSExport', $sub);
}
$checker->accepted('vhost',
    "MTLSSigningKey $keys/two.pem\n<Location />\nMTLSExport jwt aud=x sub=sha256\n</Location>");

done_testing;

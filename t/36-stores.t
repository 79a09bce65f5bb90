# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Trust stores: each Location has its own answer to which CAs may vouch for a client. What a store
# is made of, several of them in one MTLSTrust, how sections merge, and what the module says.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Files     qw(files_dir copy_pki);
use MTLSTest::RuleTable qw(run_table);
use MTLSTest::Streams   qw(many);

my %spki = map { $_ => spki_of($_) } qw(root second-root carc-i101l stranger-root);

sub store {
    my ($name, @lines) = @_;
    return join "\n    ", "<MTLSTrustStore \"$name\">", @lines;
}

sub stores {
    my (@stores) = @_;
    return join '', map {"$_\n</MTLSTrustStore>\n"} @stores;
}

sub pki {
    return join ' ', map {"\"\@PKI\@/$_\""} @_;
}
sub anchor { return 'MTLSAnchor ' . pki(@_) }
sub helps  { return 'MTLSIntermediate ' . pki(@_) }
sub trust  { return ["MTLSTrust $_[0]"] }

sub pinned {
    my ($store, @rules) = @_;
    return ["MTLSTrust $store", map {"MTLSRequire $_"} @rules];
}
sub all_paths { my ($dir) = @_; return $dir =~ s{.*/(logs/)}{../../../$1}r }

# --- what a store is made of ----------------------------------------------------------------------
my $dir = files_dir('stores');
copy_pki(
    $dir,
    'flat/a.pem'        => ['root.crt'],
    'flat/b.pem'        => ['carc-i101l.crt'],
    'flat/notes.txt'    => ['stranger-root.crt'],
    'flat/.hidden.pem'  => ['device-root.crt'],
    'tree/one/ca.pem'   => ['root.crt'],
    'tree/two/ca.pem'   => ['stranger-root.crt'],
    'tree/two/more.pem' => ['device-root.crt'],
    'crlf.pem'          => ['root.crt']
);
{
    open my $fh, '+<:raw', "$dir/crlf.pem" or die "cannot open $dir/crlf.pem: $!\n";
    my $text = do { local $/; <$fh> };
    seek $fh, 0, 0;
    print {$fh} "A text before the certificate, as openssl x509 -text writes it\r\n",
        $text =~ s/\n/\r\n/gr;
    close $fh;
}

my @contents = (
    store('roots',     anchor('root.crt')),
    store('partners',  anchor('root.crt'), helps('carc-i101l.crt')),
    store('bundle',    anchor('ca-bundle.crt')),
    store('shuffled',  anchor('intermediates-first.crt')),
    store('estates',   anchor('two-estates.crt')),
    store('repeated',  anchor('same-certificate-twice.crt'),    helps('carc-i101l.crt')),
    store('lines',     anchor('root.crt', 'stranger-root.crt'), anchor('device-root.crt')),
    store('crlf',      "MTLSAnchor \"$dir/crlf.pem\"",          helps('carc-i101l.crt')),
    store('directory', "MTLSAnchor \"$dir/flat\""),
    store('glob',      "MTLSAnchor \"$dir/flat/*.pem\""),
    store('glob-one',  "MTLSAnchor \"$dir/flat/[a].pem\""),
    store('glob-dirs', "MTLSAnchor \"$dir/tree/*/ca.p?m\""),
    store('relative',  'MTLSAnchor "' . all_paths("$dir/flat/a.pem") . '"'),
    store('partial',   anchor('carc-i101l.crt'), 'MTLSPartialChain On'),
    store(
        'partial-helps', anchor('carc-i101l.crt'), helps('carc-i102l.crt'), 'MTLSPartialChain On'
    ),
    store('partial-off', anchor(qw(stranger-root.crt carc-i101l.crt)), 'MTLSPartialChain Off'),
    store('helps-root',  anchor('stranger-root.crt'), helps(qw(root.crt carc-i101l.crt))),
    (map { store("depth-$_", anchor('root.crt'), "MTLSVerifyDepth $_") } 0 .. 2),
    store('partial-depth-0', anchor('carc-i101l.crt'), 'MTLSPartialChain On', 'MTLSVerifyDepth 0'),
    store('renewed-root',    anchor('root-renewed.crt'), helps('carc-i101l.crt')),
    store('expired-root',    anchor('expired-root.crt')),
    store('crossed',         anchor('second-root.crt'),            helps('carc-i101l-cross.crt')),
    store('both-ways',       anchor('second-root.crt'),            helps('both-i101l.crt')),
    store('both-roots',      anchor(qw(root.crt second-root.crt)), helps('both-i101l.crt')),
    store(
        'namesakes', anchor(qw(root.crt lookalike-root.crt)),
        helps(qw(carc-i101l.crt lookalike-i101l.crt))
    ),
);

# user-4 and spiffe are only ever sent without their intermediate here: what a client sends once is
# remembered for its certificate.
my @rows = (
    trust('roots') => {
        'partner'       => 'ok',
        'other-partner' => 'ok',
        'by-root'       => 'ok',
        'by-s201l'      => 'ok',
        'user-4:leaf'   => 'chain_incomplete',
        'stranger'      => 'chain_incomplete',
        'device'        => 'chain_incomplete',
        'lookalike'     => 'chain_untrusted',
        'self-signed'   => 'chain_untrusted',
        'none'          => 'no_certificate'
    },
    trust('partners') =>
        { 'user-4:leaf' => 'ok', 'spiffe:leaf' => 'chain_incomplete', 'other-partner' => 'ok' },
    trust('bundle') => {
        'user-4:leaf' => 'ok',
        'spiffe:leaf' => 'ok',
        'by-root'     => 'ok',
        'stranger'    => 'chain_incomplete',
        'lookalike'   => 'chain_untrusted'
    },
    trust('shuffled') =>
        { 'user-4:leaf' => 'ok', 'spiffe:leaf' => 'ok', 'stranger' => 'chain_incomplete' },
    trust('estates') => {
        'user-4:leaf'   => 'ok',
        'stranger'      => 'ok',
        'device:leaf'   => 'ok',
        'other-partner' => 'ok',
        'spiffe:leaf'   => 'chain_incomplete'
    },
    trust('repeated') => { 'user-4:leaf' => 'ok', 'stranger' => 'chain_incomplete' },
    trust('lines')    => {
        'partner'   => 'ok',
        'stranger'  => 'ok',
        'device'    => 'ok',
        'lookalike' => 'chain_untrusted'
    },
    trust('crlf')      => { 'user-4:leaf' => 'ok', 'stranger' => 'chain_incomplete' },
    trust('directory') =>
        { 'user-4:leaf' => 'ok', 'stranger' => 'ok', 'device' => 'chain_incomplete' },
    trust('glob') =>
        { 'user-4:leaf' => 'ok', 'stranger' => 'chain_incomplete', 'device' => 'chain_incomplete' },
    trust('glob-one')  => { 'partner' => 'ok', 'user-4:leaf' => 'chain_incomplete' },
    trust('glob-dirs') => { 'partner' => 'ok', 'stranger' => 'ok', 'device' => 'chain_incomplete' },
    trust('relative')  => { 'partner' => 'ok', 'stranger' => 'chain_incomplete' },

    # an intermediate as anchor; what only helps to build is never one
    trust('partial') => {
        'partner'            => 'ok',
        'user-4:leaf'        => 'ok',
        'by-s201l'           => 'ok',
        'partner-by-renewed' => 'ok',
        'partner-by-rekeyed' => 'chain_incomplete',
        'other-partner'      => 'chain_incomplete',
        'by-root'            => 'chain_incomplete'
    },
    pinned('partial', "anchor.spki $spki{'carc-i101l'}") =>
        { 'partner' => 'ok', 'by-s201l' => 'ok' },
    pinned('partial', "anchor.spki $spki{root}") => { 'partner' => 'pin_mismatch' },
    trust('partial-helps')                       => {
        'partner'       => 'ok',
        'other-partner' => 'chain_incomplete',
        'spiffe:leaf'   => 'chain_incomplete'
    },
    trust('partial-off') => { 'partner' => 'chain_incomplete', 'stranger' => 'ok' },
    trust('helps-root')  => {
        'partner'     => 'chain_untrusted',
        'user-4:leaf' => 'chain_untrusted',
        'by-root'     => 'chain_untrusted',
        'stranger'    => 'ok'
    },

    trust('depth-0') =>
        { 'by-root' => 'ok', 'partner' => 'chain_invalid', 'by-s201l' => 'chain_invalid' },
    trust('depth-1') => { 'by-root' => 'ok', 'partner' => 'ok', 'by-s201l' => 'chain_invalid' },
    trust('depth-2') => { 'by-root' => 'ok', 'partner' => 'ok', 'by-s201l' => 'ok' },
    trust('partial-depth-0') => { 'user-4:leaf' => 'ok', 'by-s201l' => 'chain_invalid' },

    # the same CA in several certificates, several CAs of one name
    trust('renewed-root') => { 'partner' => 'ok', 'by-root' => 'ok', 'user-4:leaf' => 'ok' },
    trust('expired-root') => { 'by-expired-root' => 'expired', 'by-root' => 'chain_incomplete' },
    pinned('crossed', "anchor.spki $spki{'second-root'}") => {
        'partner'          => 'ok',
        'user-4:leaf'      => 'ok',
        'partner-by-cross' => 'ok',
        'other-partner'    => 'chain_incomplete'
    },
    pinned('both-ways', "anchor.spki $spki{'second-root'}") =>
        { 'partner' => 'ok', 'user-4:leaf' => 'ok', 'partner-by-cross' => 'ok' },
    trust('both-roots') => { 'partner' => 'ok', 'partner-by-cross' => 'ok', 'user-4:leaf' => 'ok' },
    trust('namesakes')  => {
        'partner'            => 'ok',
        'user-4:leaf'        => 'ok',
        'lookalike'          => 'ok',
        'lookalike:leaf'     => 'ok',
        'lookalike-no-keyid' => 'ok',
        'lookalike-keyid'    => 'ok',
        'stranger'           => 'chain_incomplete'
    },
);
for my $version ('1.2', '1.3') {
    run_table(
        name       => 'stores-' . $version =~ tr/.//dr,
        rows       => \@rows,
        server     => stores(@contents),
        directives => 'MTLSHandshake defer',
        version    => $version
    );
}

# --- several stores, sections, policies, exports --------------------------------------------------
my $named = <<'CONF';
<MTLSPolicy "partners-only">
    MTLSTrust partners
</MTLSPolicy>
<MTLSPolicy "strangers-only">
    MTLSTrust strangers
</MTLSPolicy>
<MTLSPolicy "device-api">
    MTLSTrust devices strangers
    MTLSRequire not subject.O "Edge Devices Evil"
    MTLSRequire subject.OU Sensors
</MTLSPolicy>
<MTLSPolicy "default-trust">
    MTLSRequire subject.O "Big Partner Foo SA"
</MTLSPolicy>
CONF

my $several = stores(
    store('partners',   anchor('root.crt'), helps('carc-i101l.crt')),
    store('bundle',     anchor('ca-bundle.crt')),
    store('strangers',  anchor('stranger-root.crt')),
    store('devices',    anchor('device-root.crt'), helps('device-ca.crt')),
    store('shallow',    anchor('root.crt'),        'MTLSVerifyDepth 0'),
    store('lab',        anchor('ca-bundle.crt'),   'MTLSTrustDomain lab.carcano.corp'),
    store('other-labs', anchor('ca-bundle.crt'),   'MTLSTrustDomain other.corp edge.example'),
    store(
        'revoking',              anchor('root.crt'),
        helps('carc-i101l.crt'), 'MTLSCRL ' . pki('carc-i101l.crl'),
        'MTLSCRLCheck leaf'
    ),
    store(
        'outdated',              anchor('root.crt'),
        helps('carc-i101l.crt'), 'MTLSCRL ' . pki('carc-i101l-expired.crl'),
        'MTLSCRLCheck leaf'
    ),
);

# path => directives, what each certificate gets: outcome, store
my @locations = (
    order => ['MTLSTrust partners bundle'],
    {
        'partner'       => 'ok partners',
        'other-partner' => 'ok partners',
        stranger        => 'chain_incomplete'
    },
    'order-turned' => ['MTLSTrust bundle partners'],
    { 'partner' => 'ok bundle', 'spiffe:leaf' => 'ok bundle' },
    'order-second' => ['MTLSTrust partners bundle'],
    { 'spiffe:leaf' => 'ok bundle' },
    either => ['MTLSTrust partners strangers'],
    {
        'partner'  => 'ok partners',
        'stranger' => 'ok strangers',
        'device'   => 'chain_incomplete',
        'expired'  => 'expired'
    },
    'either-turned' => ['MTLSTrust strangers partners'],
    { 'partner' => 'ok partners', 'stranger' => 'ok strangers', 'expired' => 'expired' },
    'with-vhost' => ['MTLSTrust strangers vhost'],
    { 'partner' => 'ok vhost', 'stranger' => 'ok strangers', 'device' => 'chain_incomplete' },
    'only-vhost' => ['MTLSTrust vhost'],
    { 'partner' => 'ok vhost', 'stranger' => 'chain_incomplete' },

    # the reason that got furthest; the first store's where two got as far
    'incomplete-untrusted' => ['MTLSTrust strangers partners'],
    { 'lookalike' => 'chain_untrusted' },
    'untrusted-incomplete' => ['MTLSTrust partners strangers'],
    { 'lookalike' => 'chain_untrusted' },
    'expired-incomplete' => ['MTLSTrust partners strangers devices'],
    { 'expired' => 'expired', 'wrong-purpose' => 'purpose_mismatch' },
    'invalid-revoked' => ['MTLSTrust shallow revoking'],
    { 'revoked' => 'chain_invalid', 'by-root' => 'ok shallow', 'partner' => 'ok revoking' },
    'revoked-invalid' => ['MTLSTrust revoking shallow'],
    { 'revoked' => 'revoked_crl' },
    'revoked-outdated' => ['MTLSTrust revoking outdated'],
    { 'revoked' => 'revoked_crl', 'partner' => 'ok revoking' },
    'outdated-revoked' => ['MTLSTrust outdated revoking'],
    { 'revoked' => 'crl_unavailable', 'partner' => 'ok revoking' },
    'incomplete-outdated' => ['MTLSTrust strangers outdated'],
    { 'partner' => 'crl_unavailable', 'stranger' => 'ok strangers' },

    # the attribute
    'trust-rule' => ['MTLSTrust partners strangers', 'MTLSRequire trust partners'],
    { 'partner' => 'ok partners', 'stranger' => 'trust_mismatch', 'device' => 'chain_incomplete' },
    'trust-either' =>
        ['MTLSTrust partners strangers devices', 'MTLSRequire trust devices partners'],
    { 'partner' => 'ok partners', 'device' => 'ok devices', 'stranger' => 'trust_mismatch' },
    'trust-not' => ['MTLSTrust partners strangers', 'MTLSRequire not trust strangers'],
    { 'partner' => 'ok partners', 'stranger' => 'excluded' },
    'trust-unused' => ['MTLSTrust partners', 'MTLSRequire trust bundle'],
    { 'partner' => 'trust_mismatch' },
    'trust-vhost' => ['MTLSRequire trust vhost'],
    { 'partner' => 'ok vhost' },
    'trust-expr' =>
        ['MTLSTrust partners strangers', 'MTLSRequire expr %{mtls:trust} == "strangers"'],
    { 'partner' => 'expr_false', 'stranger' => 'ok strangers' },
    'trust-any' => [
        'MTLSTrust partners strangers',
        '<MTLSRequireAny>',
        'MTLSRequire trust strangers',
        'MTLSRequire subject.CN user-1',
        '</MTLSRequireAny>'
    ],
    { 'partner' => 'none_matched', 'user-1' => 'ok partners', 'stranger' => 'ok strangers' },

    # subject rules speak of the store of their own policy only
    'same-subject' => ['MTLSTrust strangers', 'MTLSRequire subject.CN client.bigpartner.example'],
    { 'partner' => 'chain_incomplete', 'stranger' => 'ok strangers' },

    # named policies bring their own
    'policy' => ['MTLSUsePolicy partners-only'],
    { 'partner' => 'ok partners', 'stranger' => 'chain_incomplete' },
    'policy-vhost' => ['MTLSUsePolicy default-trust'],
    { 'partner' => 'ok vhost', 'stranger' => 'chain_incomplete', 'device' => 'chain_incomplete' },
    'policy-rules' => ['MTLSUsePolicy device-api'],
    { 'device' => 'ok devices', 'stranger' => 'subject_mismatch', 'partner' => 'chain_incomplete' },
    'policy-both' => ['MTLSUsePolicy partners-only strangers-only'],
    { 'partner' => 'chain_incomplete', 'stranger' => 'chain_incomplete' },
    'policy-overlap' => ['MTLSUsePolicy partners-only default-trust'],
    { 'partner' => 'ok partners', 'other-partner' => 'subject_mismatch' },
    'policy-any' => ['MTLSUsePolicy any partners-only strangers-only'],
    { 'partner' => 'ok partners', 'stranger' => 'ok strangers', 'device' => 'chain_incomplete' },
    'policy-any-turned' => ['MTLSUsePolicy any strangers-only partners-only'],
    { 'partner' => 'ok partners', 'stranger' => 'ok strangers' },
    'policy-and-section' => ['MTLSTrust strangers', 'MTLSUsePolicy partners-only'],
    { 'partner' => 'chain_incomplete', 'stranger' => 'chain_incomplete' },
    'policy-and-same' => ['MTLSTrust bundle', 'MTLSUsePolicy partners-only'],
    { 'partner' => 'ok bundle', 'stranger' => 'chain_incomplete' },
    'policy-and-rule' => ['MTLSUsePolicy strangers-only', 'MTLSRequire subject.C CH'],
    { 'partner' => 'chain_incomplete', 'stranger' => 'chain_incomplete' },

    # trust domains belong to stores
    'spiffe' => ['MTLSTrust lab', 'MTLSRequire spiffe spiffe://lab.carcano.corp/**'],
    { 'spiffe:leaf' => 'ok lab', 'partner' => 'spiffe_mismatch' },
    'spiffe-first' =>
        ['MTLSTrust lab other-labs', 'MTLSRequire spiffe spiffe://lab.carcano.corp/**'],
    { 'spiffe:leaf' => 'ok lab' },
    'spiffe-second' =>
        ['MTLSTrust other-labs lab', 'MTLSRequire spiffe spiffe://lab.carcano.corp/**'],
    { 'spiffe:leaf' => 'spiffe_mismatch' },
    'spiffe-foreign' => [
        'MTLSTrust other-labs lab',
        'MTLSRequire spiffe spiffe://lab.carcano.corp/** spiffe://other.corp/**'
    ],
    { 'spiffe-foreign-domain' => 'ok other-labs', 'spiffe:leaf' => 'spiffe_mismatch' },
    'spiffe-vhost' => [
        'MTLSTrust vhost lab',
        'MTLSRequire spiffe spiffe://vhost.carcano.corp/** ' . 'spiffe://lab.carcano.corp/**'
    ],
    { 'spiffe:leaf' => 'spiffe_mismatch' },
);

# Sections in the order of configuration; a later MTLSTrust replaces, rules add up.
my $sections = <<'CONF';
<Location "/merge">
    MTLSTrust partners
</Location>
<Location "/merge/strangers">
    MTLSTrust strangers
</Location>
<Location "/merge/strangers/both">
    MTLSTrust strangers partners
</Location>
<Location "/merge/vhost">
    MTLSTrust vhost
</Location>
<Location "/merge/rule">
    MTLSRequire subject.O "Big Partner Foo SA"
</Location>
<Location "/merge/rule/strangers">
    MTLSTrust strangers
</Location>
<Location "/merge/off">
    MTLSMode off
</Location>
<Location "/merge/forgotten">
    MTLSInherit Off
</Location>
<Location "/merge/forgotten-rule">
    MTLSInherit Off
    MTLSRequire subject.O "Big Partner Foo SA"
</Location>
<Location "/merge/if">
    <If "%{HTTP:X-Tenant} == 'strangers'">
        MTLSTrust strangers
    </If>
</Location>
<Location "/merge/optional">
    MTLSMode optional
</Location>
<Location "/report">
    MTLSTrust partners
    MTLSReportPolicy strangers-only
</Location>
CONF

# Where the handshake does not defer: there a certificate the virtual host's own CAs do not know is
# nobody's business outside a policy.
my $authz = <<'CONF';
<Location "/authz/mtls">
    MTLSTrust strangers
    MTLSMode authz
    Require mtls
</Location>
<Location "/authz/unasked">
    MTLSTrust strangers
    MTLSMode authz
</Location>
<Location "/authz/policy">
    Require mtls-policy strangers-only
</Location>
<Location "/authz/either">
    Require mtls-policy partners-only strangers-only
</Location>
<Location "/authz/login">
    AuthType Basic
    AuthName "staff"
    AuthUserFile "@Logs@/../../../conf/users"
    <RequireAny>
        Require mtls-policy strangers-only
        Require valid-user
    </RequireAny>
</Location>
CONF

my ($configured, %expected) = ('');
while (my ($name, $lines, $wanted) = splice @locations, 0, 3) {
    $configured .= join("\n    ", "<Location \"/$name\">", @$lines) . "\n</Location>\n";
    $expected{"/$name"} = $wanted;
}

my $server = private(name => 'several-stores', config => <<"CONF");
$several
$named
<Directory "\@Htdocs\@">
    Require all granted
</Directory>
AliasMatch "^/" "\@Htdocs\@/index.html"
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
MTLSHandshake defer
MTLSTrustDomain vhost.carcano.corp
Protocols h2 http/1.1
MTLSExport env
Header always set X-Store "expr=%{reqenv:MTLS_TRUST_STORE}"
Header always set X-Trust "expr=%{mtls:trust}"
Header always set X-Spiffe "expr=%{reqenv:MTLS_SPIFFE_ID}"
$configured
$sections
</VirtualHost>
Listen 127.0.0.1:\@Port_Authz\@
<VirtualHost 127.0.0.1:\@Port_Authz\@>
ServerName gateway.test
\@TLS\@
MTLSExport env
Header always set X-Store "expr=%{reqenv:MTLS_TRUST_STORE}"
Header always set X-Trust "expr=%{mtls:trust}"
$authz
</VirtualHost>
Listen 127.0.0.1:\@Port_Whole\@
<VirtualHost 127.0.0.1:\@Port_Whole\@>
ServerName gateway.test
\@TLS\@
MTLSTrust strangers
<Location "/partners">
    MTLSTrust partners
</Location>
<Location "/open">
    MTLSMode off
</Location>
</VirtualHost>
CONF

sub gets {
    my ($path,   $cert, $expected, %o) = @_;
    my ($reason, $store) = split / /, $expected;
    my ($name,   $send)  = split /:/, $cert;
    my $r =
        $server->get($path, cert => $name eq 'none' ? undef : $name, send => $send // 'chain', %o);
    outcome_is($r, $reason eq '-' ? '200 - -' : outcome_of($reason), "$path: $cert");
    return $r unless defined $store;
    is($r->header('X-Store'), $store, "$path: $cert: MTLS_TRUST_STORE");
    is($r->header('X-Trust'), $store, "$path: $cert: %{mtls:trust}");
    return $r;
}

for my $path (sort keys %expected) {
    for my $cert (sort keys %{ $expected{$path} }) {
        gets($path, $cert, $expected{$path}{$cert});
    }
    gets($path, 'none', 'no_certificate');
}

my %merged = (
    '/merge'                => { partner => 'ok partners',      stranger   => 'chain_incomplete' },
    '/merge/deeper'         => { partner => 'ok partners',      stranger   => 'chain_incomplete' },
    '/merge/strangers'      => { partner => 'chain_incomplete', stranger   => 'ok strangers' },
    '/merge/strangers/both' => { partner => 'ok partners',      stranger   => 'ok strangers' },
    '/merge/vhost'          => { partner => 'ok vhost',         stranger   => 'chain_incomplete' },
    '/merge/rule'           => { partner => 'ok partners', 'other-partner' => 'subject_mismatch' },
    '/merge/rule/strangers' => { partner => 'chain_incomplete', stranger   => 'ok strangers' },
    '/merge/off'            => { partner => '-',                stranger   => '-', none => '-' },
    '/merge/forgotten'      => { partner => '-',                stranger   => 'chain_incomplete' },
    '/merge/forgotten-rule' => { partner => 'ok',               stranger   => 'chain_incomplete' },
    '/merge/if'             => { partner => 'ok partners',      stranger   => 'chain_incomplete' },
);
for my $path (sort keys %merged) {
    gets($path, $_, $merged{$path}{$_}) for sort keys %{ $merged{$path} };
}
{
    my @tenant = (headers => ['X-Tenant: strangers']);
    gets('/merge/if', 'partner',  'chain_incomplete', @tenant);
    gets('/merge/if', 'stranger', 'ok strangers',     @tenant);
    outcome_is($server->get('/merge/optional'), '200 allow no_certificate', 'optional: nobody');
    gets('/merge/optional', 'stranger', 'chain_incomplete');

    my @authz = (vhost => 'authz');
    gets('/authz/unasked', 'partner',  'chain_incomplete', @authz);
    gets('/authz/unasked', 'stranger', 'ok strangers',     @authz);
    gets("/authz/$_",      'stranger', 'ok strangers',     @authz) for qw(mtls policy either login);
    gets('/authz/either',  'partner',  'ok partners',      @authz);
    for my $row (
        ['mtls',   'partner', 403],
        ['mtls',   undef,     403],
        ['policy', 'partner', 403],
        ['policy', undef,     403],
        ['either', 'device',  403],
        ['login',  'partner', 401],
        ['login',  undef,     401]
        )
    {
        my ($path, $cert, $status) = @$row;
        is($server->get("/authz/$path", cert => $cert, @authz)->status,
            $status, "/authz/$path: " . ($cert // 'no certificate'));
    }
    is($server->get('/authz/login', curl => ['-u', 'alice:secret'], @authz)->status,
        200, '/authz/login: a login instead');

    my $r = gets('/report', 'partner', 'ok partners');
    is($r->report, 'strangers-only:chain_incomplete', '/report: judged by its own store');
    is(
        gets('/spiffe', 'spiffe:leaf', 'ok lab')->header('X-Spiffe'),
        'spiffe://lab.carcano.corp/ns/prod/sa/orders',
        'the store vouches for the trust domain'
    );
    is(gets('/order', 'spiffe', 'ok partners')->header('X-Spiffe'),
        '', 'a store without it does not');
}

# MTLSTrust directly in a virtual host
for my $row (
    ['/',         'stranger', '200 allow ok'],
    ['/',         'partner',  '403 deny chain_incomplete'],
    ['/',         undef,      '403 deny no_certificate'],
    ['/partners', 'partner',  '200 allow ok'],
    ['/partners', 'stranger', '403 deny chain_incomplete'],
    ['/open',     'partner',  '200 - -']
    )
{
    my ($path, $cert, $outcome) = @$row;
    outcome_is($server->get($path, vhost => 'whole', cert => $cert),
        $outcome, "whole vhost: $path: " . ($cert // 'no certificate'));
}

# --- one connection, many stores ------------------------------------------------------------------
for my $version ('1.2', '1.3') {
    my %tls = map { $_ => $server->tls(cert => $_, version => $version) } qw(partner stranger);
    for my $round (1 .. 3) {
        for my $path (qw(/merge /merge/strangers /policy-any /merge/off /merge/strangers/both)) {
            for my $cert (sort keys %tls) {
                my ($reason) = split / /, $merged{$path}{$cert} // $expected{$path}{$cert};
                outcome_is(
                    $tls{$cert}->request($path),
                    $reason eq '-' ? '200 - -' : outcome_of($reason),
                    "TLS $version, one connection, round $round: $path: $cert"
                );
            }
        }
    }
}

SKIP: {
    skip 'prefork has no HTTP/2', 1 if mpm() eq 'prefork';
    my @paths  = qw(/merge /merge/strangers /policy-any /merge/off /either /trust-rule);
    my %status = (
        partner  => { '/merge' => 200, '/merge/strangers' => 403, '/trust-rule' => 200 },
        stranger => { '/merge' => 403, '/merge/strangers' => 200, '/trust-rule' => 403 }
    );
    my %reason = (partner => 'chain_incomplete', stranger => 'trust_mismatch');
    for my $cert (sort keys %status) {
        my @asked = map { $paths[$_ % @paths] } 0 .. 179;
        my $mark  = "stores-$$-$cert";
        my ($answers, $connections) = many($server, $cert, $mark, @asked);
        is($connections, 1, "HTTP/2, $cert: one connection");
        my @wrong =
            grep { ($answers->{$_} // 'none') ne '2 ' . ($status{$cert}{ $asked[$_] } // 200) }
            0 .. $#asked;
        is("@wrong", '', "HTTP/2, $cert: each stream by its own Location's store");
        my $refused = $cert eq 'partner' ? 61 : 65;    # /merge/strangers, /trust-rule
        is($server->log->find_request("$mark-$refused.")->{reason},
            $reason{$cert}, "HTTP/2, $cert: with its reason");
    }
}

# --- what the module says at start ----------------------------------------------------------------
sub warnings_of {
    my ($name, $trust, @rules) = @_;

    # Without mod_cgid: its daemon can outlive a server that is stopped as soon as it runs.
    my $started = private(
        name    => 'stores-warn',
        modules =>
            [qw(authn_core authz_core headers log_config mime socache_shmcb mtls_policy ssl)],
        config => stores(
            store('one',     anchor('root.crt')),
            store('two',     anchor('both-roots.crt')),
            store('other',   anchor('stranger-root.crt')),
            store('allowed', 'MTLSAllowCertificate ' . pki('devices.crt')),
            store('partial', anchor('all-intermediates.crt'), 'MTLSPartialChain On'),
            store('unused',  anchor('two-estates.crt'))
            )
            . <<"CONF" . join "\n", "MTLSTrust $trust", @rules, '</Location>', '</VirtualHost>');
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
SSLCACertificateFile "\@PKI\@/root.crt"
<Location "/x">
CONF
    my $text = join "\n", $started->log->matching(qr/\[mtls_policy:warn\]/);
    $started->stop;
    return $text;
}
for my $row (
    ['two',             undef,                                        1],
    ['one other',       'MTLSRequire subject.O "Big Partner Foo SA"', 1],
    ['partial',         'MTLSRequire subject.O "Big Partner Foo SA"', 1],
    ['one',             'MTLSRequire subject.O "Big Partner Foo SA"', 0],
    ['allowed',         'MTLSRequire subject.O "Edge Devices"',       0],
    ['one allowed',     undef,                                        0],
    ['two',             'MTLSRequire trust two',                      0],
    ['one other',       'MTLSRequire issuer.CN "CARC I101L"',         0],
    ['two',             "MTLSRequire anchor.spki $spki{root}",        0],
    ['one other vhost', undef,                                        1]
    )
{
    my ($trust, $rule, $warns) = @$row;
    my $text = warnings_of('x', $trust, defined $rule ? $rule : ());
    my $name = "MTLSTrust $trust, " . ($rule // 'no rule');
    if ($warns) { like($text, qr/httpd\.conf:\d+.*anchors/, "$name: warned about several anchors") }
    else        { is($text, '', "$name: no warning") }
}

# --- MTLSAdvertiseCAs -----------------------------------------------------------------------------
sub asked_for {
    my ($advertised, $version, $sni) = @_;
    my $command =
          "openssl s_client -connect 127.0.0.1:"
        . $advertised->port('main')
        . " -servername $sni -tls1_$version";
    my $text = `$command </dev/null 2>&1`;
    my ($names) = $text =~ /^Acceptable client certificate CA names\n(.*?)^(?:Client|Requested)/ms;
    return join ', ', sort map {/CN = (.*)/} split /\n/, $names // '';
}
{
    my $vhost = sub {
        my ($name, @lines) = @_;
        return join "\n", '<VirtualHost 127.0.0.1:@Port_Main@>', "ServerName $name", '@TLS@',
            'SSLCACertificateFile "@PKI@/root.crt"', @lines, '</VirtualHost>', '';
    };
    my $stores = stores(
        store('partners',  anchor('root.crt'), helps('carc-i101l.crt')),
        store('strangers', anchor('stranger-root.crt')),
        store('devices',   anchor('device-root.crt'), helps('device-ca.crt')),
        store('unused',    anchor('second-root.crt')),
        store('allowed',   'MTLSAllowCertificate ' . pki('devices.crt'))
    );
    my $advertised = private(
        name   => 'advertise',
        config => join '',
        $stores,
        "<MTLSPolicy \"devices\">\nMTLSTrust devices\n</MTLSPolicy>\n",
        "Listen 127.0.0.1:\@Port_Main\@\n",
        $vhost->(
            'gateway.test',
            'MTLSAdvertiseCAs On',
            "<Location \"/a\">\nMTLSTrust strangers",
            '</Location>',
            '<Location "/b">',
            'MTLSUsePolicy devices',
            '</Location>',
            '<Location "/c">',
            'MTLSTrust allowed partners',
            '</Location>'
        ),
        $vhost->('a.test',          "<Location \"/a\">\nMTLSTrust strangers\n</Location>"),
        $vhost->('b.test',          "MTLSAdvertiseCAs On\nMTLSTrust strangers"),
        $vhost->('one.vhosts.test', "MTLSAdvertiseCAs Off\nMTLSTrust strangers"),
        $vhost->(
            'two.vhosts.test',
            "MTLSAdvertiseCAs On\n<Location \"/b\">",
            'MTLSReportPolicy devices',
            "Require mtls-policy devices\n</Location>"
        )
    );
    for my $version (2, 3) {
        my %wanted = (
            'gateway.test' => 'CARC I101L, Carcano Root R1, Edge Device CA, Edge Device Root, '
                . 'Stranger Root',
            'a.test'          => 'Carcano Root R1',
            'b.test'          => 'Carcano Root R1, Stranger Root',
            'one.vhosts.test' => 'Carcano Root R1',
            'two.vhosts.test' => 'Carcano Root R1, Edge Device CA, Edge Device Root'
        );
        is(asked_for($advertised, $version, $_), $wanted{$_}, "TLS 1.$version: CA names of $_")
            for sort keys %wanted;
    }
}

done_testing;

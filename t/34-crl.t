# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# What mod_ssl's own CRL directives loaded into the vhost's store holds for every verdict: revoked
# is 403 and closes, a list that is missing or has run out is 503 with Retry-After, on full and
# resumed sessions.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;

sub vhost {
    my ($name, $crl, $check, $more) = @_;
    my $file = $crl ? "SSLCARevocationFile \"\@PKI\@/$crl\"" : '';
    return <<"CONF";
Listen 127.0.0.1:\@Port_$name\@
<VirtualHost 127.0.0.1:\@Port_$name\@>
ServerName gateway.test
\@TLS\@
$file
SSLCARevocationCheck $check
MTLSHandshake defer
AliasMatch "^/" "\@Htdocs\@/index.html"
<Location "/partner">
    MTLSRequire subject.O "Big Partner Foo SA"
    $more
</Location>
</VirtualHost>
CONF
}

my $server = private(
    name   => 'crl',
    config => join '',
    "<Directory \"\@Htdocs\@\">\nRequire all granted\n</Directory>\n",
    vhost('Chain',   'current.crl', 'chain', ''), vhost('Leaf',     'carc-i101l.crl', 'leaf',  ''),
    vhost('Off',     'current.crl', 'none',  ''), vhost('Outdated', 'outdated.crl',   'chain', ''),
    vhost('Missing', 'carc-i101l.crl', 'chain', ''),
    vhost('Status',  'outdated.crl',   'chain', 'MTLSUnavailableStatus 429')
);

sub full_and_resumed {
    my ($vhost, $cert, $version) = @_;
    my $first   = $server->tls(vhost => $vhost, cert => $cert, version => $version);
    my $full    = $first->request('/partner');
    my $session = $first->session;
    $first->close;
    my $second =
        $server->tls(vhost => $vhost, cert => $cert, version => $version, session => $session);
    my $resumed = $second->request('/partner');
    is($second->reused, 1, "$vhost, $cert, TLS $version: resumed");
    return ($full, $resumed);
}

for my $version ('1.2', '1.3') {
    for my $row (
        ['chain',    'partner', '200 allow ok'],
        ['chain',    'revoked', '403 deny revoked_crl'],
        ['leaf',     'partner', '200 allow ok'],
        ['leaf',     'revoked', '403 deny revoked_crl'],
        ['off',      'revoked', '200 allow ok'],
        ['outdated', 'partner', '503 deny crl_unavailable'],
        ['missing',  'partner', '503 deny crl_unavailable'],
        ['status',   'partner', '429 deny crl_unavailable']
        )
    {
        my ($vhost, $cert, $expected) = @$row;
        my ($full, $resumed) = full_and_resumed($vhost, $cert, $version);
        outcome_is($full, $expected, "SSLCARevocationCheck $vhost, $cert, TLS $version");
        outcome_is($resumed, $expected,
            "SSLCARevocationCheck $vhost, $cert, TLS $version, resumed");
        for my $r ($full, $resumed) {

            # httpd itself closes after every 503
            my $closes = $expected =~ /revoked/ ? 'close' : '';
            is(lc($r->header('Connection') // ''),
                $closes, "$vhost, $cert, TLS $version: " . ($closes ? 'closed' : 'kept open'))
                if $expected !~ /unavailable/;
            like($r->header('Retry-After'), qr/\A\d+\z/, "$vhost, $cert, TLS $version: Retry-After")
                if $expected =~ /unavailable/;
        }
    }
}

done_testing;

# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
package Bench::Rows;

# What is measured. A row has up to three configurations of one vhost:
#
#   base     the same sections without any policy, mod_mtls_policy not loaded
#   mod_ssl  the same demand made with the directives of mod_ssl and mod_headers
#   ours     the same demand made with this module
#
# and `most`, what the contract allows `ours` to cost above `base`, in instructions a request.
# `settles`: after how many seconds a verdict is judged for the last time, where the first is only for
# a moment: that of a status that was waited for.
# `refuses` names a certificate that must get 403 where `partner` gets 200: proof that the
# configuration that is measured decides something.

use strict;
use warnings;
use Bench::Material qw(write_responses);

use constant {
    LOCATIONS => 200,
    RULES     => 500,
    ENTRIES   => 100_000,
};

my $EMPTY = section('');
my $OTHER = 'other-partner';

sub all {
    my ($dir, $pki) = @_;
    my $list = "$dir/partners.txt";
    my $one  = q(MTLSRequire subject.O "Big Partner Foo SA");
    my $expr = require_expr('SSL_CLIENT_S_DN_O', 'Big Partner Foo SA');
    return (
        {
            work => 'module loaded, no policy anywhere',
            base => $EMPTY, ours => $EMPTY,
        },
        {
            work => 'one subject rule', most => 900, refuses => $OTHER,
            base => $EMPTY, mod_ssl => section($expr), ours => section($one),
        },
        {
            work => 'one subject rule, directly in the vhost', most => 900, refuses => $OTHER,
            base => '', ours => $one,
        },
        {
            work => 'subject, issuer pin and SAN rules', most => 900, refuses => $OTHER,
            base => $EMPTY, mod_ssl => section(three_by_mod_ssl()),
            ours => section(three($pki, $one)),
        },
        {
            work => 'subject, pin, SAN rules and OCSP', most => 900, refuses => 'revoked',
            base => $EMPTY, global => responses("$dir/responses"), settles => 2,
            prepare => sub { write_responses($pki, "$dir/responses", qw(partner revoked)) },
            ours => section(three($pki, $one), 'MTLSOCSP require'),
        },
        {
            work => 'the same, OCSP of the whole chain', most => 900, refuses => 'revoked',
            base => $EMPTY, global => responses("$dir/responses"), settles => 2,
            prepare => sub { write_responses($pki, "$dir/responses", qw(partner revoked)) },
            ours => section(three($pki, $one), 'MTLSOCSP require chain'),
        },
        {
            work => "${\RULES} rules", most => 900, refuses => $OTHER, slow_mod_ssl => [10, 30],
            base => $EMPTY, mod_ssl => section(many_by_mod_ssl($expr)), ours => section(many($one)),
        },
        {
            work => 'rules in three nested Locations', refuses => $OTHER,
            path => sub { '/api/137/f.txt' },
            base => nested('', '', ''),
            mod_ssl => nested(map { "AuthMerging And\n$_" } nested_by_mod_ssl($expr)),
            ours => nested(nested_rules($one)),
        },
        {
            work => 'named policy, reported policy, user', refuses => $OTHER,
            base => $EMPTY,
            global => join("\n", '<MTLSPolicy "partner">', $one, '</MTLSPolicy>',
                '<MTLSPolicy "next">', 'MTLSRequire lifetime <=90d', '</MTLSPolicy>'),
            ours => section('MTLSUsePolicy partner', 'MTLSReportPolicy next',
                'MTLSUser subject.CN'),
        },
        {
            work => "file: list of ${\ENTRIES} values", most => 900, refuses => $OTHER,
            prepare => sub { write_list($list) },
            base => $EMPTY, ours => section(qq(MTLSRequire subject.O "file:$list")),
        },
        {
            work => 'one subject rule, trust store', most => 900, refuses => 'stranger',
            base => $EMPTY, global => store($pki, 'partners'),
            ours => section('MTLSTrust partners', $one),
        },
        {
            work => 'subject, pin, SAN; third of 3 stores', most => 900, refuses => $OTHER,
            base => $EMPTY, global => stores($pki),
            ours => section('MTLSTrust strangers others partners', three($pki, $one)),
        },
        {
            work => 'MTLSTrust alone, store with a CRL', most => 900, refuses => 'revoked',
            base => $EMPTY, global => store($pki, 'partners', qq(MTLSCRL "$pki/current.crl")),
            ours => section('MTLSTrust partners'),
        },
        {
            work => 'subject rule, allowed certificate', most => 900, refuses => $OTHER,
            base => $EMPTY,
            global => allowing_store("$pki/partner.crt"),
            ours => section('MTLSTrust devices', $one),
        },
        {
            work => "one of ${\LOCATIONS} Locations", most => 900, refuses => $OTHER,
            path => sub { '/api/137/f.txt' },
            base => locations(sub { '' }), mod_ssl => locations(each_location($expr)),
            ours => locations(each_location($one)),
        },
        {
            work => "all of ${\LOCATIONS} Locations in turn", most => 900, refuses => $OTHER,
            path => sub { '/api/' . $_[0] % LOCATIONS . '/f.txt' },
            base => locations(sub { '' }), mod_ssl => locations(each_location($expr)),
            ours => locations(each_location($one)),
        },
        {
            work => 'subject rule and three headers', most => 3000, refuses => $OTHER, headers => 1,
            base => $EMPTY, mod_ssl => section($expr, headers_by_mod_ssl()),
            ours => section($one, headers()),
        },
        {
            work => 'subject rule and variables for CGI', refuses => $OTHER,
            base => $EMPTY,
            mod_ssl => section($expr, 'SSLOptions +StdEnvVars +ExportCertData'),
            ours => section($one, 'MTLSExport env'),
        },
        formats($one, $pki),
        {
            work => 'expr rule that looks at the request', refuses => $OTHER,
            base => $EMPTY,
            mod_ssl => section(q(Require expr "%{SSL_CLIENT_S_DN_O} == 'Big Partner Foo SA')
                    . q( && %{REQUEST_METHOD} == 'GET'")),
            ours => section(q(MTLSRequire expr %{mtls:subject.O} == 'Big Partner Foo SA')
                    . q( && %{REQUEST_METHOD} == 'GET')),
        },
        {
            work => 'MTLSHandshake defer, no policy', refuses => 'stranger',
            base => $EMPTY, ours => "MTLSHandshake defer\n$EMPTY",
        },
        {
            work => 'one subject rule, MTLSHandshake defer', refuses => $OTHER,
            base => $EMPTY, ours => "MTLSHandshake defer\n" . section($one),
        },
    );
}

# The rows of the second table: what connections cost, see Bench::First. The first is what the
# others are compared with.
sub connections {
    my ($pki) = @_;
    my $expr  = require_expr('SSL_CLIENT_S_DN_O', 'Big Partner Foo SA');
    my $one   = q(MTLSRequire subject.O "Big Partner Foo SA");
    my $three = 'MTLSTrust strangers others partners';
    my $defer = "MTLSHandshake defer\n";
    return (
        { work => 'without this module', vhost => $EMPTY, no_module => 1 },
        {
            work => "mod_ssl's Require expr", refuses => $OTHER, no_module => 1,
            vhost => section($expr),
        },
        {
            work  => 'one subject rule', refuses => $OTHER,
            vhost => section($one),
        },
        {
            work  => 'one subject rule, defer', refuses => $OTHER,
            vhost => $defer . section($one),
        },
        {
            work  => 'trust store', refuses => 'stranger', global => store($pki, 'partners'),
            vhost => section('MTLSTrust partners', $one),
        },
        {
            work  => 'trust store, defer', refuses => 'stranger',
            vhost => $defer . section('MTLSTrust partners', $one),
            global => store($pki, 'partners'),
        },
        {
            work  => 'third of 3 stores', refuses => $OTHER, global => stores($pki),
            vhost => section($three, $one),
        },
        {
            work  => 'third of 3 stores, defer', refuses => $OTHER, global => stores($pki),
            vhost => $defer . section($three, $one),
        },
        {
            work  => 'trust store with a CRL, defer', refuses => 'revoked',
            global => store($pki, 'partners', qq(MTLSCRL "$pki/current.crl")),
            vhost => $defer . section('MTLSTrust partners', $one),
        },
    );
}

# Paths of every document that the rows ask for.
sub documents {
    return ('api/f.txt', 'marker.txt', map { "api/$_/f.txt" } 0 .. LOCATIONS - 1);
}

sub store {
    my ($pki, $name, @more) = @_;
    return join "\n", qq(<MTLSTrustStore "$name">),
        qq(MTLSAnchor "$pki/root.crt"),
        qq(MTLSIntermediate "$pki/carc-i101l.crt" "$pki/carc-i102l.crt"),
        @more, '</MTLSTrustStore>';
}

# Two stores that do not know the partner, and one that does.
sub stores {
    my ($pki) = @_;
    my @decoys = map {
        my ($name, $anchor) = @$_;
        join "\n", qq(<MTLSTrustStore "$name">), qq(MTLSAnchor "$pki/$anchor.crt"),
            '</MTLSTrustStore>'
    } ['strangers', 'stranger-root'], ['others', 'second-root'];
    return join "\n", @decoys, store($pki, 'partners');
}

sub allowing_store {
    my ($certificate) = @_;
    return join "\n", '<MTLSTrustStore "devices">', qq(MTLSAllowCertificate "$certificate"),
        '</MTLSTrustStore>';
}

sub responses {
    my ($folder) = @_;
    return qq(MTLSOCSPResponses "$folder");
}

sub three {
    my ($pki, $one) = @_;
    return ($one, qq(MTLSRequire issuer.cert "$pki/carc-i101l.crt"),
        'MTLSRequire san.dns client.bigpartner.example');
}

sub section {
    return join "\n", '<Location "/api">', @_, '</Location>';
}

sub nested {
    my @paths = qw(/ /api /api/137/);
    return join "\n", map { qq(<Location "$_">\n) . shift() . "\n</Location>" } @paths;
}

sub nested_rules {
    my ($one) = @_;
    return ($one, 'MTLSRequire subject.OU API', 'MTLSRequire subject.C CH');
}

sub nested_by_mod_ssl {
    my ($one) = @_;
    return (
        $one,
        require_expr('SSL_CLIENT_S_DN_OU', 'API'),
        require_expr('SSL_CLIENT_S_DN_C',  'CH'),
    );
}

sub locations {
    my ($text_of) = @_;
    return join "\n", map { qq(<Location "/api/$_/">\n) . $text_of->($_) . "\n</Location>" }
        0 .. LOCATIONS - 1;
}

# Every Location has rules of its own: a verdict for one says nothing about the next.
sub each_location {
    my ($rule) = @_;
    return sub {
        my ($n) = @_;
        return $rule =~ /^MTLS/
            ? qq($rule\nMTLSRequire not subject.CN "blocked-$n.example")
            : "<RequireAll>\n$rule\n"
            . require_expr('SSL_CLIENT_S_DN_CN', "blocked-$n.example", '!=') . "\n</RequireAll>";
    };
}

sub many {
    my ($one) = @_;
    return $one, map { qq(MTLSRequire not subject.CN "blocked-$_.example") } 2 .. RULES;
}

sub many_by_mod_ssl {
    my ($one) = @_;
    return '<RequireAll>', $one,
        (map { require_expr('SSL_CLIENT_S_DN_CN', "blocked-$_.example", '!=') } 2 .. RULES),
        '</RequireAll>';
}

# mod_ssl has no pin: the issuer's name is the nearest it can ask for; a look-alike CA has it too.
sub three_by_mod_ssl {
    return '<RequireAll>',
        require_expr('SSL_CLIENT_S_DN_O',    'Big Partner Foo SA'),
        require_expr('SSL_CLIENT_I_DN',      'CN=CARC I101L,O=Carcano'),
        require_expr('SSL_CLIENT_SAN_DNS_0', 'client.bigpartner.example'),
        '</RequireAll>';
}

sub require_expr {
    my ($variable, $value, $operator) = @_;
    $operator //= '==';
    return qq(Require expr "%{$variable} $operator '$value'");
}

sub headers {
    return (
        'MTLSExportHeader X-Client-CN "%{mtls:subject.CN}"',
        'MTLSExportHeader X-Client-Subject "%{mtls:subject}"',
        'MTLSExportHeader X-Client-Cert "%{mtls:cert}"',
    );
}

# Every form an identity can have for a backend, each beside the one subject rule.
sub formats {
    my ($rule, $pki) = @_;
    my @rows = map {
        { work => "subject rule and MTLSExport $_", refuses => $OTHER, base => $EMPTY,
            ours => section($rule, "MTLSExport $_") }
    } 'rfc9440', 'rfc9440 chain', 'xfcc', 'xfcc set hash,cert,chain', 'google', 'aws-alb',
        'ingress-nginx', 'traefik';
    my $jwt = 'jwt aud=https://backend.example ttl=3600';
    return (
        @rows,
        {
            work => "subject rule and MTLSExport $jwt", refuses => $OTHER, base => $EMPTY,
            ours => "MTLSSigningKey $pki/partner.key\n" . section($rule, "MTLSExport $jwt"),
        }
    );
}

sub headers_by_mod_ssl {
    return (
        'RequestHeader set X-Client-CN "%{SSL_CLIENT_S_DN_CN}s"',
        'RequestHeader set X-Client-Subject "%{SSL_CLIENT_S_DN}s"',
        'RequestHeader set X-Client-Cert "%{SSL_CLIENT_CERT}s"',
    );
}

sub write_list {
    my ($file) = @_;
    open my $out, '>', $file or die "$file: $!\n";
    print {$out} "Partner $_ SA\n" for 2 .. ENTRIES;
    print {$out} "Big Partner Foo SA\n";
    close $out or die "$file: $!\n";
    return;
}

1;

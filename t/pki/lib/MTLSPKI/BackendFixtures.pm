# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSPKI::BackendFixtures;

# Certificates of backends. Unless a row says otherwise one is issued by carc-i102l, is for servers
# and has the names of the service "orders"; its CN is a name that nobody asks for.

use strict;
use warnings;
use Exporter 'import';
use MTLSPKI::Der qw(seq dns uri ip extension);

our @EXPORT_OK = qw(backend_fixtures backend_crls);

use constant { DAY => 86_400 };

my @ORDERS = (dns('orders.internal'), dns('api.orders.internal'));

sub backend {
    my (%more) = @_;
    return {
        issuer  => 'carc-i102l',
        subject => [O => 'Carcano', CN => 'backend'],
        eku     => ['serverAuth'],
        san     => \@ORDERS,
        %more
    };
}

sub names {
    my @named = (subject => [O => 'Carcano', CN => 'orders.internal']);
    return (
        'backend-orders' =>
            backend(san => [@ORDERS, uri('spiffe://lab.carcano.corp/ns/prod/sa/orders')]),
        'backend-uri' => backend(san => [@ORDERS, uri('https://orders.internal/api')]),

        # The common name is right, and does not count.
        'backend-other'         => backend(@named, san => [dns('billing.internal')]),
        'backend-cn-only'       => backend(@named, san => undef),
        'backend-wildcard'      => backend(san => [dns('*.orders.internal')]),
        'backend-wide-wildcard' => backend(san => [dns('*.internal')]),
        'backend-odd-wildcards' => backend(
            san => [map { dns($_) } qw(a*.orders.internal *i.orders.internal api.*.internal * *.*)]
        ),
        'backend-ip'            => backend(san => [ip("\x7f\0\0\1"), ip("\0" x 15 . "\1")]),
        'backend-ip-as-dns'     => backend(san => [dns('127.0.0.1'), dns('*.0.0.1')]),
        'backend-duplicate-san' =>
            backend(extra => [extension('2.5.29.17', seq(dns('billing.internal')))]),
    );
}

sub chains {
    my $permitted = 'orders.partner.example';
    return (
        'backend-by-i101l'          => backend(issuer => 'carc-i101l'),
        'backend-second'            => backend(),
        'backend-stranger'          => backend(issuer => 'stranger-root'),
        'backend-lookalike'         => backend(issuer => 'lookalike-i101l'),
        'backend-expired'           => backend(from   => -30 * DAY, to => -DAY),
        'backend-future'            => backend(from   => DAY),
        'backend-revoked'           => backend(),
        'backend-client-only'       => backend(eku    => ['clientAuth']),
        'backend-no-eku'            => backend(eku    => undef),
        'backend-self-signed'       => backend(issuer => 'self'),
        'backend-self-signed-other' => backend(issuer => 'self', san => [dns('billing.internal')]),
        'backend-beyond-constraint' => backend(issuer => 'name-constraints-ca'),
        'backend-within-constraint' =>
            backend(issuer => 'name-constraints-ca', san => [dns($permitted)]),
    );
}

sub backend_fixtures { return (names(), chains()) }

sub backend_crls {
    return ('backend-revoked' =>
            { issuer => 'carc-i102l', revoked => ['backend-revoked'], to => 30 * DAY });
}

1;

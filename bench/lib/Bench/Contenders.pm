# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors
package Bench::Contenders;

# The servers of bench/ocsp: httpd without anything, with mod_ssl's SSLOCSPEnable, with this module,
# nginx with its ssl_ocsp; each with and without OCSP, and the one responder they all ask.

use strict;
use warnings;
use Exporter qw(import);
use Bench::Nginx;
use Bench::Programs qw(clients start_responder);
use Bench::Server;

our @EXPORT_OK = qw(event responder bare mod_ssl without ours nginx has_nginx must);

my $RULE = qq(<Location "/api">\nMTLSRequire subject.O "Big Partner Foo SA"\n%s\n</Location>);
my $BARE = qq(<Location "/api">\n</Location>);

my ($env, $module, $number, $responder);

sub set_up {
    ($env, $module) = @_;
    return;
}

sub tear_down {
    undef $responder;
    return;
}

sub event {
    my ($children, $threads) = @_;
    my $workers = $children * $threads;
    return join "\n", "StartServers $children", "ServerLimit $children",
        "ThreadsPerChild $threads", "ThreadLimit $threads", "MaxRequestWorkers $workers",
        'MinSpareThreads 1', "MaxSpareThreads $workers", 'MaxConnectionsPerChild 0',
        'ListenBacklog 4096';
}

sub responder { return $responder //= start_responder($env) }

sub httpd {
    my (%more) = @_;
    return Bench::Server->new(%$env, dir => "$env->{dir}/ocsp-" . ++$number, global => '', %more);
}

sub bare { return httpd(vhost => $BARE, @_) }

sub mod_ssl {
    my ($delay, @more) = @_;
    my $url = responder()->url($delay);
    return httpd(
        vhost => join("\n",
            $BARE, 'SSLOCSPEnable leaf', "SSLOCSPDefaultResponder $url",
            'SSLOCSPOverrideResponder On', 'SSLOCSPUseRequestNonce Off'),
        @more
    );
}

# vhost: more lines of it
sub without {
    my (%how) = @_;
    my $more = delete $how{vhost} // '';
    return httpd(vhost => sprintf($RULE, '') . "\n$more", module => $module, %how);
}

# life, wait: seconds; vhost: more lines of it
sub ours {
    my ($delay, %how) = @_;
    my $url  = responder()->url($delay, delete $how{life});
    my $wait = delete $how{wait};
    my @wait = defined $wait ? ("MTLSOCSPWait $wait", "MTLSOCSPTimeout $wait") : ();
    my $more = delete $how{vhost} // '';
    return httpd(
        vhost => join("\n",
            sprintf($RULE, 'MTLSOCSP require'), "MTLSOCSPResponder $url override", @wait, $more),
        module => $module,
        %how
    );
}

sub nginx {
    my ($delay) = @_;
    my $more = '';
    if (defined $delay) {
        my $url = responder()->url($delay);
        $more = "ssl_ocsp leaf; ssl_ocsp_responder $url; ssl_ocsp_cache shared:ocsp:10m;";
    }
    return Bench::Nginx->new(%$env, dir => "$env->{dir}/ocsp-" . ++$number, more => $more);
}

sub has_nginx { return defined Bench::Nginx::find() }

# A certificate that must not get 200, and one that must. Without an answer, as of a handshake that
# fails, clients() counts it among those that did not.
sub must {
    my ($server, $leaf, $allowed) = @_;
    my ($line) = clients($env, 'rate', $server->{port}, 0.05, 1, $leaf);
    my ($good, $bad) = @$line;
    die "$leaf is allowed $good times and refused $bad times:\n" . $server->what_it_said
        if $allowed ? !$good || $bad : $good || !$bad;
    return;
}

1;

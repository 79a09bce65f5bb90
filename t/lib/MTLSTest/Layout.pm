# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Layout;

# Where things are: the source of the tests, the directory a run writes to, httpd, its modules, the
# module under test, and the account its children run as.

use strict;
use warnings;
use Cwd            qw(abs_path getcwd);
use File::Basename qw(dirname);
use Exporter 'import';

our @EXPORT_OK =
    qw(source_dir run_dir pki_dir make_pki httpd module_path mpm load_modules more_modules
    runtime_user common_directives several_children free_port);

my $SOURCE = dirname(dirname(dirname(abs_path(__FILE__))));

sub source_dir { return $SOURCE }

# The t/ of the source, unless it cannot be written (a build elsewhere) or the children could not
# reach it.
sub run_dir { return $ENV{MTLS_RUN_DIR} ? abs_path($ENV{MTLS_RUN_DIR}) : $SOURCE }

sub pki_dir { return run_dir() . '/conf/pki' }

sub make_pki {
    my (@arguments) = @_;
    system($^X, "$SOURCE/pki/make-pki", pki_dir(), @arguments) == 0
        or die "make-pki @arguments failed\n";
    return;
}

my %apxs;

sub apxs {
    my ($what) = @_;
    return $apxs{$what} //= do { chomp(my $answer = `apxs -q $what 2>/dev/null`); $answer };
}

sub httpd {
    my @candidates =
        ($ENV{APACHE_TEST_HTTPD}, apxs('SBINDIR') . '/' . apxs('PROGNAME'), '/usr/sbin/apache2');
    my ($found) = grep { defined && -f && -x _ } @candidates;
    return $found // die "no httpd found, set APACHE_TEST_HTTPD\n";
}

sub module_path {
    my @candidates = (
        $ENV{MTLS_MODULE},
        getcwd() . '/.libs/mod_mtls_policy.so',
        "$SOURCE/../.libs/mod_mtls_policy.so"
    );
    my ($found) = grep { defined && -e } @candidates;
    die "mod_mtls_policy.so is not built; build it or set MTLS_MODULE\n" unless defined $found;
    return abs_path($found);
}

sub mpm { return $ENV{MTLS_MPM} || 'event' }

my @MODULES = qw(
    authn_core authn_file authz_core authz_host authz_user access_compat auth_basic alias autoindex
    CGI dav dav_fs dir env expires headers http2 include log_config mime negotiation proxy
    proxy_http proxy_http2 proxy_wstunnel proxy_ajp proxy_fcgi proxy_scgi proxy_uwsgi remoteip
    reqtimeout rewrite setenvif socache_shmcb socache_dbm mtls_policy ssl status
);

# For suites that need what is not always loaded.
sub more_modules { return (@MODULES, @_) }

# In the order of loading; the module under test stands where a2enmod may put it, before mod_ssl.
sub load_modules {
    my ($mpm, @order) = @_;
    $mpm ||= mpm();
    my $cgi   = $mpm eq 'prefork' ? 'cgi' : 'cgid';
    my $dir   = apxs('LIBEXECDIR');
    my @lines = "LoadModule mpm_${mpm}_module \"$dir/mod_mpm_$mpm.so\"";
    for my $name (map { $_ eq 'CGI' ? $cgi : $_ } @order ? @order : @MODULES) {
        my $path = $name eq 'mtls_policy' ? module_path() : "$dir/mod_$name.so";
        push @lines, "<IfModule !${name}_module>", "LoadModule ${name}_module \"$path\"",
            "</IfModule>";
    }
    return join "\n", @lines, '';
}

# An account without rights when root starts the server; ourselves otherwise.
sub runtime_user {
    return (scalar getpwuid $>, scalar getgrgid((split ' ', $))[0])) if $> != 0;
    for my $user (grep {defined} $ENV{APACHE_TEST_USER}, 'nobody', 'www-data') {
        my (undef, undef, undef, $gid) = getpwnam $user or next;
        return ($user, scalar getgrgid $gid);
    }
    die "no unprivileged user to run httpd as\n";
}

# What every server of the tests has in common, shared or private. The id a test puts into its
# request leads to that request's lines in both logs.
sub common_directives {
    my ($logs) = @_;
    my @variables = map {"%{$_}e"} qw(MTLS_VERDICT MTLS_REASON MTLS_POLICY MTLS_REPORT);
    my ($with_ssl, $without) =
        map { join '\t', '%{X-Test-Id}i', '%>s', @variables, '%P', '%u', $_, '%r', '%{MTLS_RULE}e' }
        '%{SSL_CLIENT_VERIFY}x', '-';
    return <<"CONF";
DefaultRunTimeDir "$logs"
ErrorLog "$logs/error_log"
LogLevel info
ErrorLogFormat "[%{cu}t] [%m:%l] [pid %P] [id %-{X-Test-Id}i] %E: %M"
<IfModule ssl_module>
    LogFormat "$with_ssl" mtls
    SSLSessionCache shmcb:$logs/ssl_scache(4000000)
    SSLSessionCacheTimeout 300
</IfModule>
<IfModule !ssl_module>
    LogFormat "$without" mtls
</IfModule>
GlobalLog "$logs/access_log" mtls
Mutex file:$logs default
HostnameLookups Off
KeepAlive On
KeepAliveTimeout 30
MaxKeepAliveRequests 0
Timeout 20
ServerTokens Prod
<IfModule cgid_module>
    ScriptSock "$logs/cgisock"
</IfModule>
<Directory />
    Options FollowSymLinks
    AllowOverride None
</Directory>
CONF
}

# Directives for several children that stay, whatever the load: three processes of the threaded MPMs.
sub several_children {
    return join "\n",
        mpm() eq 'prefork'
        ? ('StartServers 4', 'MinSpareServers 4', 'MaxSpareServers 12', 'MaxRequestWorkers 24')
        : (
        'StartServers 3',
        'ServerLimit 3',
        'ThreadsPerChild 12',
        'ThreadLimit 12',
        'MinSpareThreads 36',
        'MaxSpareThreads 36',
        'MaxRequestWorkers 36'
        );
}

# Bound for a moment to learn a port nobody has. Ports are not handed out twice by one process, lie
# below those the system gives to clients (from 32768 on, on some systems from 16000 on), and two runs
# at a time have ports of their own.
use constant { FIRST_PORT => 4000, PORTS => 4000 };
my %given;

sub free_port {
    require IO::Socket::INET;
    my $base = $ENV{MTLS_PORT_BASE} || FIRST_PORT;
    for (1 .. 500) {
        my $port = $base + int rand PORTS;
        next if $given{$port}++;
        my $socket = IO::Socket::INET->new(
            LocalAddr => '127.0.0.1',
            LocalPort => $port,
            Listen    => 1,
            Proto     => 'tcp'
        );
        return $port if $socket;
    }
    die "no free port\n";
}

1;

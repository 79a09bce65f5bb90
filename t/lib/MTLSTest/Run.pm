# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Run;

# Apache::Test's runner, with three things set right for a security module: it may be started by
# root (httpd's children then run as an account without rights), servers listen on loopback only,
# and the modules come from apxs and not from a system-wide configuration that need not exist.

use strict;
use warnings;
use parent 'Apache::TestRun';
use Apache::TestConfig ();
use File::Path         qw(make_path remove_tree);
use IO::Socket::INET;
use MTLSTest::Layout
    qw(source_dir run_dir make_pki httpd load_modules runtime_user common_directives free_port);

sub check_runtime_user { return 1 }

sub server_is_running {
    open my $fh, '<', run_dir() . '/logs/httpd.pid' or return 0;
    my $pid = <$fh> // '';
    return $pid =~ /\A(\d+)/ && kill 0, $1;
}

# A running server is left as it is; otherwise everything is made afresh, which costs a second and
# cannot be stale.
sub getopts {
    my ($self, $argv) = @_;
    $self->SUPER::getopts($argv);
    my $options = $self->{conf_opts};
    my $wanted  = grep { exists $self->{opts}{$_} } qw(clean help stop-httpd);
    delete @$options{qw(save thaw)};
    $options->{ $wanted || (server_is_running() && !$self->{opts}{configure}) ? 'thaw' : 'save' } =
        1;
    $self->set_places;
    $self->make_inputs if $options->{save};
    return;
}

sub set_places {
    my ($self)  = @_;
    my $run     = run_dir();
    my $options = $self->{conf_opts};
    @$options{qw(t_dir serverroot documentroot)} = (source_dir(), $run, "$run/htdocs");
    @$options{qw(httpd httpd_conf)}              = (httpd(), "$run/conf/modules.conf");
    @$options{qw(user group)}                    = runtime_user();
    $options->{servername}                       = 'localhost';
    return;
}

# -clean takes away what a run has made, to the last certificate; -configure keeps those.
sub opt_clean {
    my ($self, $level) = @_;
    my $result = $self->SUPER::opt_clean($level);
    my $run    = run_dir();
    return $result if $level;
    unlink map {"$run/conf/$_"} qw(modules.conf common.inc users);
    remove_tree("$run/conf/pki", "$run/logs", "$run/state");
    return $result;
}

# Other people's tests live in directories below t/ and need no server.
sub run_tests {
    my ($self) = @_;
    $self->{tests} = [map {s{.*/}{t/}r} glob source_dir() . '/*.t'] if !@{ $self->{tests} };
    return $self->SUPER::run_tests;
}

sub make_inputs {
    my ($self) = @_;
    my $run = run_dir();
    make_path("$run/conf", "$run/logs", "$run/state");
    if ($> == 0) { chown +(getpwnam +(runtime_user())[0])[2, 3], "$run/logs" }
    make_pki();
    copy_sources($run) if $run ne source_dir();
    write_text("$run/conf/modules.conf", load_modules());
    write_text("$run/conf/common.inc",   common_directives("$run/logs"));
    write_text("$run/conf/users",        'alice:' . `openssl passwd -apr1 secret`);
    unlink "$run/logs/error_log", "$run/logs/access_log";
    my $options = $self->{conf_opts};
    $options->{port} = free_port();
    $options->{pki}  = "$run/conf/pki";

    for my $file (glob "$run/conf/*.in") {
        open my $fh, '<', $file or die "cannot read $file: $!\n";
        while (<$fh>) { $options->{ lc $_ } //= free_port() for /\@(Port_\w+)\@/gi }
    }
    return;
}

# Only sources: in t/conf another run may be making its certificates meanwhile.
sub copy_sources {
    my ($run) = @_;
    my $source = source_dir();
    system('cp', glob("$source/conf/*.in"), "$run/conf/") == 0 or die "cannot copy to $run/conf\n";
    system('cp', '-R', "$source/htdocs", "$run/") == 0 or die "cannot copy to $run/htdocs\n";
    return;
}

sub write_text {
    my ($file, $text) = @_;
    open my $fh, '>', $file or die "cannot write $file: $!\n";
    print {$fh} $text;
    close $fh or die "cannot write $file: $!\n";
    return;
}

package Apache::TestConfig;

no warnings 'redefine';

# The stock one gives every virtual host a port of its own on every interface; ours name theirs
# (Port_NAME).
sub parse_vhost {return}

package Apache::TestServer;

# The stock one asks for a port on every interface, to look and to listen.
sub port_available {
    my ($self, $port) = @_;
    $port ||= $self->{config}{vars}{port};
    return IO::Socket::INET->new(
        LocalAddr => '127.0.0.1',
        LocalPort => $port,
        ReuseAddr => 1,
        Listen    => 1,
        Proto     => 'tcp'
    ) ? 1 : 0;
}

1;

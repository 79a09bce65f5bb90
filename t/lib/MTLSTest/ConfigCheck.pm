# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::ConfigCheck;

# What "httpd -t" says of one text in a configuration that is fine without it.

use strict;
use warnings;
use Test::More;
use MTLSTest::Server;

my %CONTEXT = (
    location => sub {"<Location \"/x\">\n$_[0]\n</Location>"},
    vhost    => sub { $_[0] },
    policy   => sub {"<MTLSPolicy \"tested\">\n$_[0]\n</MTLSPolicy>"},
    server   => sub { $_[0] },
    store    => sub {"<MTLSTrustStore \"tested\">\n$_[0]\n</MTLSTrustStore>"},
);
my %OUTSIDE = map { $_ => 1 } qw(server policy store);

# One virtual host with TLS, and nothing else.
my @MODULES = qw(
    authn_core authz_core authz_host alias dir headers log_config mime setenvif socache_shmcb
    mtls_policy ssl
);

sub one_host {
    my ($outside, $inside) = @_;
    return <<"CONF";
$outside
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
$inside
</VirtualHost>
CONF
}

# configuration: from a text outside the virtual host and one inside it; modules
sub new {
    my ($class, %self) = @_;
    return bless { configuration => \&one_host, modules => \@MODULES, %self }, $class;
}

# Exit status, what was said, the server that was not started.
sub check {
    my ($self, $where, $directives) = @_;
    my $body   = $CONTEXT{$where}->($directives);
    my $server = MTLSTest::Server->prepare(
        name    => 'config',
        modules => $self->{modules},
        config  => $self->{configuration}->($OUTSIDE{$where} ? ($body, '') : ('', $body))
    );
    my ($exit, $output) = $server->run_command('-t');
    return ($exit, $output, $server);
}

sub title {
    my ($where, $directives) = @_;
    my $text = $directives =~ s/\n/ | /gr =~ s{/\S*/(?=[^/\s])}{}gr;
    return "$where: " . (length $text > 120 ? '...' . substr $text, -117 : $text);
}

# Where the text stands in the file that httpd was given: the numbers of its first and last line,
# with the lines of the section around it.
sub lines_of {
    my ($server, $where, $directives) = @_;
    my ($first) = split /\n/, $server->expand($directives);
    my $around  = $where eq 'store' ? 1 : 0;
    open my $fh, '<', $server->dir . '/httpd.conf' or die "no configuration: $!\n";
    while (defined(my $line = <$fh>)) {
        chomp $line;
        return ($. - $around, $. + ($directives =~ tr/\n//) + 1) if $line eq $first;
    }
    die "the text is not in the configuration\n";
}

# Refused, with the place and these words (or patterns). The line may be the one reported or, inside
# a section, another one of the text.
sub refused {
    my ($self, $where, $directives, @words) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 2;
    my ($exit, $output, $server) = $self->check($where, $directives);
    my $name = title($where, $directives);
    isnt($exit, 0, "$name: refused") or return;
    my ($line, $last) = lines_of($server, $where, $directives);
    my ($told) =
          $output =~ /httpd\.conf(?::|"?,? line )(\d+)/ ? $1
        : $output =~ /line (\d+) of \S*httpd\.conf/     ? $1
        :                                                 0;
    ok($told >= $line && $told <= $last, "$name: file and line") or diag($output);

    for my $word (map { ref $_ ? $_ : $server->expand($_) } @words) {
        ref $word
            ? like($output, $word,         "$name: says $word")
            : like($output, qr/\Q$word\E/, "$name: says $word");
    }
    return;
}

sub accepted {
    my ($self, $where, $directives) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 2;
    my ($exit, $output) = $self->check($where, $directives);
    my $ok = is($exit, 0, title($where, $directives) . ': accepted');
    diag($output) if !$ok;
    return $output;
}

1;

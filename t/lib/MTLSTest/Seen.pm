# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Seen;

# What a backend says it has received, whatever the protocol: a head as HTTP has it (the backends
# that echo bytes, AJP), variables as CGI has them (CGI, FastCGI, SCGI, uwsgi), or both.

use strict;
use warnings;

# Names are compared as CGI does.
sub cgi_name { my ($name) = @_; return uc $name =~ s/[^A-Za-z0-9]/_/gr }

sub new {
    my ($class, $text) = @_;
    my $self = bless { text => $text, headers => [], env => {} }, $class;
    my ($head, $rest) =
        $text =~ m{\A[^\n]* HTTP/[0-9.]+\r\n} ? split(/\r\n\r\n/, $text, 2) : ('', $text);
    for my $line (split /\r\n/, $head) {
        my ($name, $value) = $line =~ /\A([^:\s]+): ?(.*)\z/s or next;
        push @{ $self->{headers} }, [$name, $value];
    }
    $self->add_variables($rest // '');
    return $self;
}

sub add_variables {
    my ($self, $text) = @_;
    $text =~ s{(-----BEGIN [A-Z ]+-----\n.+?-----END [A-Z ]+-----\n?)}{$1 =~ s/\n/%0A/gr . "\n"}sge;
    for my $line (split /\n/, $text) {
        my ($name, $value) = $line =~ /\A([\w.]+)=(.*)\z/ or next;
        $self->{env}{$name} = $value;
        push @{ $self->{headers} }, [$1, $value] if $name =~ /\AHTTP_(.+)/;
    }
    return;
}

sub text { return $_[0]{text} }
sub env  { return $_[0]{env} }

# The values of a header, in their order, under any name CGI would take for it.
sub values {
    my ($self, $name) = @_;
    my $wanted = cgi_name($name);
    return map { $_->[1] } grep { cgi_name($_->[0]) eq $wanted } @{ $self->{headers} };
}

# The same in one text, for comparisons: '' when there is none.
sub joined { my ($self, $name) = @_; return join '|', $self->values($name) }

# Headers whose names match, as they were spelt, each with its value.
sub matching {
    my ($self, $pattern) = @_;
    return grep { $_->[0] =~ $pattern } @{ $self->{headers} };
}

1;

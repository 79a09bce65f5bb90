# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Log;

# Follows a server's access and error log and finds the lines of one request by the id the test
# sent.

use strict;
use warnings;
use Time::HiRes qw(time sleep);

use constant PATIENCE => 5;    # seconds; the access log is written after the response

my @FIELDS = qw(id status verdict reason policy report pid user verify request rule);

sub new {
    my ($class, $dir) = @_;
    return bless { dir => $dir, at => {}, access => {}, error => {} }, $class;
}

sub read_new {
    my ($self, $file) = @_;
    open my $fh, '<:raw', "$self->{dir}/$file" or return;
    seek $fh, $self->{at}{$file} // 0, 0;
    my $text = do { local $/; <$fh> }
        // '';

    # An unfinished last line is left for the next time.
    $text =~ s/[^\n]*\z//;
    $self->{at}{$file} += length $text;
    return split /\n/, $text;
}

sub follow_access {
    my ($self) = @_;
    for my $line ($self->read_new('access_log')) {
        my %entry;
        @entry{@FIELDS} = split /\t/, $line, scalar @FIELDS;
        push @{ $self->{access}{ $entry{id} } }, \%entry;
    }
    return;
}

sub follow_error {
    my ($self) = @_;
    for my $line ($self->read_new('error_log')) {
        my ($id) = $line =~ /\[id ([^\]]*)\]/;
        push @{ $self->{error}{ $id // '-' } }, $line;
        push @{ $self->{lines} },               $line;
    }
    return;
}

# All entries of the access log with this id, once at least $count have arrived.
sub entries {
    my ($self, $id, $count) = @_;
    my $deadline = time + PATIENCE;
    while (1) {
        $self->follow_access;
        my $found = $self->{access}{$id} // [];
        return @$found if @$found >= ($count // 1) || time > $deadline;
        sleep 0.005;
    }
}

sub knows { my ($self, $id) = @_; $self->follow_access; return exists $self->{access}{$id} }

sub entry {
    my ($self, $id) = @_;
    return ($self->entries($id))[-1] // {};
}

# The entry whose request line holds a text, for requests that cannot carry an id.
sub find_request {
    my ($self, $text) = @_;
    my $deadline = time + PATIENCE;
    while (time < $deadline) {
        $self->follow_access;
        my ($found) =
            grep { index($_->{request}, $text) >= 0 } map {@$_} values %{ $self->{access} };
        return $found if $found;
        sleep 0.005;
    }
    return { status => 'unlogged', verdict => '', reason => '' };
}

# Lines of the error log with this id. They are written before the response, so nothing is waited
# for.
sub errors {
    my ($self, $id) = @_;
    $self->follow_error;
    return @{ $self->{error}{$id} // [] };
}

sub denials {
    my ($self, $id) = @_;
    return grep { /\[mtls_policy:/ && /reason=/ } $self->errors($id);
}

# Lines matching a pattern that have no request: start-up, background work.
sub matching {
    my ($self, $pattern) = @_;
    $self->follow_error;
    return grep {/$pattern/} @{ $self->{lines} // [] };
}

1;

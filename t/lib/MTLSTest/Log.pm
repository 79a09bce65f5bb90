# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Log;

# Follows a server's access and error log and finds the lines of one request by the id the test
# sent.

use strict;
use warnings;
use MTLSTest::Await qw(await);

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

# All entries of the access log with this id, once at least $count have arrived; they are written
# after the response. For how many seconds they are waited for, where that is not the usual patience.
sub entries {
    my ($self, $id, $count, $seconds) = @_;
    await(
        sub { $self->follow_access; return @{ $self->{access}{$id} // [] } >= ($count // 1) },
        pause   => 0.005,
        seconds => $seconds
    );
    return @{ $self->{access}{$id} // [] };
}

sub knows { my ($self, $id) = @_; $self->follow_access; return exists $self->{access}{$id} }

sub entry {
    my ($self, $id, $seconds) = @_;
    return ($self->entries($id, 1, $seconds))[-1] // {};
}

# The entry whose request line holds a text, for requests that cannot carry an id.
sub find_request {
    my ($self, $text) = @_;
    my $found = await(
        sub {
            $self->follow_access;
            return (grep { index($_->{request}, $text) >= 0 }
                    map {@$_} values %{ $self->{access} })[0];
        },
        pause => 0.005
    );
    return $found // { status => 'unlogged', verdict => '', reason => '' };
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

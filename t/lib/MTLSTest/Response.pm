# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

package MTLSTest::Response;

# What came back for one request, and what the server logged about it.

use strict;
use warnings;

sub new {
    my ($class, %self) = @_;
    return bless { status => 0, body => '', head => '', headers => {}, %self }, $class;
}

# The last head of several (100 Continue before it).
sub from_text {
    my ($class, $text, %self) = @_;
    my ($head, $body) = split /\r?\n\r?\n/, $text, 2;
    my ($status) = ($head // '') =~ m{\AHTTP/[0-9.]+ (\d+)};
    my %headers;
    for my $line (split /\r?\n/, $head // '') {
        my ($name, $value) = $line =~ /\A([^:\s]+):\s*(.*)/ or next;
        push @{ $headers{ lc $name } }, $value;
    }
    return $class->new(
        %self,
        status  => $status // 0,
        head    => $head   // '',
        body    => $body   // '',
        headers => \%headers
    );
}

sub status { return $_[0]{status} }
sub body   { return $_[0]{body} }
sub head   { return $_[0]{head} }
sub id     { return $_[0]{id} }
sub curl   { return $_[0]{curl} }

sub header {
    my ($self, $name) = @_;
    my $values = $self->{headers}{ lc $name } or return;
    return join ', ', @$values;
}

# Where no response came there may be nothing in the log, ever.
sub entry {
    my ($self) = @_;
    return $self->{entry} //= $self->{log}->entry($self->{id}, $self->{status} ? undef : 5);
}

sub verdict { return $_[0]->entry->{verdict} // 'unlogged' }
sub reason  { return $_[0]->entry->{reason}  // 'unlogged' }
sub rule    { return $_[0]->entry->{rule}    // 'unlogged' }
sub policy  { return $_[0]->entry->{policy}  // 'unlogged' }
sub report  { return $_[0]->entry->{report}  // 'unlogged' }
sub user    { return $_[0]->entry->{user}    // 'unlogged' }
sub verify  { return $_[0]->entry->{verify}  // 'unlogged' }
sub pid     { return $_[0]->entry->{pid}     // 0 }
sub errors  { my ($self) = @_; return $self->{log}->errors($self->{id}) }
sub denials { my ($self) = @_; return $self->{log}->denials($self->{id}) }

# Status, verdict and reason in one string: what nearly every assertion is about.
sub outcome { my ($self) = @_; return join ' ', $self->status, $self->verdict, $self->reason }

1;

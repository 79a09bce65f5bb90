# SPDX-License-Identifier: Apache-2.0
# Copyright The mod_mtls_policy authors

# Files that change while the server runs: in force in every child, on open connections too; and
# files that break, whose last good version stays in force.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::RealBin/lib";
use MTLSTest;
use MTLSTest::Await qw(await await_outcome);
use MTLSTest::Files
    qw(files_dir pki_text replace_file rewrite_file append_file mount_version copy_pki);
use MTLSTest::H2;
use MTLSTest::Layout qw(several_children);
use Time::HiRes      qw(time);

my $dir   = files_dir('reload');
my %text  = map { $_ => pki_text("$_.crt") } qw(root carc-i101l carc-i102l stranger-root);
my $roots = $text{root} . $text{'carc-i101l'};

my $children = several_children();

# --- what changes, and how ------------------------------------------------------------------------
sub by_rename {
    my ($path) = @_;
    return sub { replace_file($path, $_[1]) }
}

# What is written slowly may be taken for complete while it is empty; 0.2 s is less than the server
# waits.
my %slowly;

sub in_place {
    my ($path) = @_;
    return sub {
        my $begin = time;
        rewrite_file($path, $_[1]);
        $slowly{$path} = 1 if time - $begin > 0.2;
    };
}

sub by_mount {
    my ($path) = @_;
    my ($folder, $file) = $path =~ m{(.*)/(.*)};
    return sub { mount_version($folder, $_[0], $file => $_[1]) };
}

# A case: the file's content in both versions, what each certificate gets in both.
my @cases;

sub changes {
    my ($name, $how, $versions, $outcomes, @lines) = @_;
    my $path = "$dir/$name/file";
    push @cases,
        {
        name     => $name,
        path     => $path,
        put      => $how->($path),
        versions => $versions,
        outcomes => $outcomes,
        lines    => [map {s/FILE/$path/gr} @lines]
        };
    return;
}

my %ca_swap = (
    partner  => ['ok',               'chain_incomplete'],
    stranger => ['chain_incomplete', 'ok']
);
my @ca_versions = ($roots, $text{'stranger-root'});
my %member_swap = (
    'user-1' => ['ok',               'subject_mismatch'],
    'user-2' => ['ok',               'ok'],
    'user-3' => ['subject_mismatch', 'ok']
);
my @members = ("user-1\nuser-2\n", "# changed\r\nuser-2\r\nuser-3\r\n");
my %listed  = (revoked => ['ok', 'revoked_crl'], partner => ['ok', 'ok']);

for my $how ([rename => \&by_rename], [rewrite => \&in_place], [mount => \&by_mount]) {
    my ($way, $code) = @$how;
    changes("anchor-$way", $code, \@ca_versions, \%ca_swap, 'MTLSAnchor "FILE"');
    changes(
        "crl-$way", $code, [pki_text('carc-i101l-none.crl'), pki_text('carc-i101l.crl')],
        \%listed,
        'MTLSAnchor "@PKI@/ca-bundle.crt"',
        'MTLSCRL "FILE"',
        'MTLSCRLCheck leaf'
    );
    changes("list-$way", $code, \@members, \%member_swap, 'rule subject.CN "file:FILE"');
}
changes(
    'crl-der', \&in_place, [pki_text('carc-i101l-none.crl'), pki_text('carc-i101l-der.crl')],
    \%listed,
    'MTLSAnchor "@PKI@/ca-bundle.crt"',
    'MTLSCRL "FILE"',
    'MTLSCRLCheck leaf'
);
changes(
    'intermediate',
    \&by_rename,
    [$text{'carc-i101l'}, $text{'carc-i102l'}],
    { 'user-4:leaf' => ['ok', 'chain_incomplete'], 'spiffe:leaf' => ['chain_incomplete', 'ok'] },
    'MTLSAnchor "@PKI@/root.crt"',
    'MTLSIntermediate "FILE"'
);
changes(
    'allowed',
    \&by_rename,
    [map { pki_text("$_.crt") } qw(device-self-signed device-second)],
    {
        'device-self-signed' => ['ok',              'chain_untrusted'],
        'device-second'      => ['chain_untrusted', 'ok']
    },
    'MTLSAllowCertificate "FILE"'
);
changes(
    'excluded',
    \&by_rename,
    ["# nobody\n", spki_of('user-1') . "\n"],
    { 'user-1' => ['ok', 'excluded'], 'user-2' => ['ok', 'ok'] },
    'rule subject.O "Big Partner Foo SA"',
    'rule not spki "file:FILE"'
);
changes(
    'readmitted',
    \&by_rename,
    [spki_of('user-1') . "\n", "# nobody\n"],
    { 'user-1' => ['excluded', 'ok'], 'user-2' => ['ok', 'ok'] },
    'rule subject.O "Big Partner Foo SA"',
    'rule not spki "file:FILE"'
);
changes('patterns', \&by_rename, ["user-1\nglob:*-2\n", "regex:user-[23]\n"],
    \%member_swap, 'rule subject.CN "patterns:FILE"');
changes(
    'pin', \&by_rename,
    [$text{'carc-i101l'}, $text{'carc-i102l'}],
    { partner => ['ok', 'pin_mismatch'], 'other-partner' => ['pin_mismatch', 'ok'] },
    'rule issuer.cert "FILE"'
);
changes(
    'anchor-pin', \&by_rename,
    [$text{'stranger-root'}, $text{root}],
    { partner => ['pin_mismatch', 'ok'] },
    'rule anchor.cert "FILE"'
);
changes(
    'group',
    \&by_rename,
    \@members,
    { 'user-1' => ['ok', 'none_matched'], 'user-3' => ['none_matched', 'ok'] },
    '<MTLSRequireAny>',
    'rule serial 01',
    'rule subject.CN "file:FILE"',
    '</MTLSRequireAny>'
);

# A store and a section for each, beside what is under test in other ways below.
my ($stores, $sections) = ('', '');
for my $case (@cases) {
    my $name  = $case->{name};
    my @rules = map  {s/\Arule /MTLSRequire /r} grep {/\A(?:rule|<)/} @{ $case->{lines} };
    my @store = grep { !/\A(?:rule|<)/ } @{ $case->{lines} };
    $stores .= join "\n    ", "<MTLSTrustStore \"$name\">", @store, "\n</MTLSTrustStore>\n"
        if @store;
    $sections .= join "\n    ", "<Location \"/$name\">", (@store ? "MTLSTrust $name" : ()), @rules,
        "\n</Location>\n";
}

# A link in the place of a file.
sub replace_by_link {
    my ($path, $target) = @_;
    symlink $target, "$path.new~" or die "cannot link $path.new~: $!\n";
    rename "$path.new~", $path or die "cannot rename $path.new~: $!\n";
    return;
}

sub cut {
    my ($path, $length) = @_;
    truncate $path, $length or die "cannot cut $path: $!\n";
    return;
}

# Files that will break: the reason nobody may lose. Each is an anchor of its own store. All break
# in one step, so that there is one state to complain of.
my $half   = int(length($roots) * 3 / 4);
my %damage = (
    missing   => sub { unlink $_[0] or die "cannot remove $_[0]: $!\n" },
    empty     => sub { rewrite_file($_[0], '') },
    truncated => sub { cut($_[0], $half) },
    garbage   => sub { replace_file($_[0], "this is no certificate\n") },
    der       => sub {
        replace_file($_[0], openssl('x509', '-in', pki_dir() . '/root.crt', '-outform', 'DER'));
    },
    'other-pem' => sub { replace_file($_[0], pki_text('carc-i101l.crl')) },
    key         => sub { replace_file($_[0], pki_text('server.key')) },
    leaf        => sub { replace_file($_[0], $roots . pki_text('partner.crt')) },
    rootless    => sub { replace_file($_[0], $text{'carc-i101l'}) },
    directory   => sub { replace_by_link($_[0], files_dir('reload-directory')) },
    dangling    => sub { replace_by_link($_[0], "$_[0].gone") },
);
$damage{unreadable} = sub { chmod 0, $_[0] or die "cannot protect $_[0]: $!\n" };
my %list_damage = (
    'list-missing'    => sub { unlink $_[0] },
    'list-empty'      => sub { rewrite_file($_[0], '') },
    'list-comments'   => sub { replace_file($_[0], "# nobody\n") },
    'list-nul'        => sub { replace_file($_[0], "user-2\nuser-\0003\n") },
    'list-bom'        => sub { replace_file($_[0], "\xef\xbb\xbfuser-3\n") },
    'list-long'       => sub { replace_file($_[0], "user-2\n" . 'x' x 10_000 . "\n") },
    'list-unreadable' => sub { chmod 0, $_[0] },
    'not-empty'       => sub { rewrite_file($_[0], '') },
    'not-value'       => sub { replace_file($_[0], "no fingerprint\n") },
    'patterns-bad'    => sub { replace_file($_[0], "user-2\nregex:(\n") },
    'patterns-empty'  => sub { replace_file($_[0], '') },
    'pin-garbage'     => sub { replace_file($_[0], "nothing\n") },
    'pin-missing'     => sub { unlink $_[0] },
);
my %crl_damage = (
    'crl-missing'     => sub { unlink $_[0] },
    'crl-truncated'   => sub { cut($_[0], 200) },
    'crl-der-cut'     => sub { replace_file($_[0], substr pki_text('carc-i101l-der.crl'), 0, 200) },
    'crl-wrong-key'   => sub { replace_file($_[0], pki_text('carc-i101l-wrong-key.crl')) },
    'crl-no-next'     => sub { replace_file($_[0], pki_text('carc-i101l-no-next-update.crl')) },
    'crl-certificate' => sub { replace_file($_[0], pki_text('carc-i101l.crt')) },
);
my %broken = (%damage, %list_damage, %crl_damage);
for my $name (sort keys %broken) {
    my $path = "$dir/broken/$name";
    my ($store, @rules) = ("MTLSAnchor \"$path\"");
    ($store, @rules) = ('', "subject.CN \"file:$path\"")     if $name =~ /\Alist-/;
    ($store, @rules) = ('', "subject.CN \"patterns:$path\"") if $name =~ /\Apatterns-/;
    ($store, @rules) = ('', "issuer.cert \"$path\"")         if $name =~ /\Apin-/;
    ($store, @rules) = ('', 'trust vhost', "not spki \"file:$path\"") if $name =~ /\Anot-/;
    $store = "MTLSAnchor \"\@PKI\@/ca-bundle.crt\"\nMTLSCRL \"$path\"\nMTLSCRLCheck leaf"
        if $name =~ /\Acrl-/;
    $stores .= "<MTLSTrustStore \"broken-$name\">\n$store\n</MTLSTrustStore>\n" if $store;
    $sections .= join "\n    ", "<Location \"/broken-$name\">",
        ($store ? "MTLSTrust broken-$name" : ()), map({"MTLSRequire $_"} @rules), "\n</Location>\n";
}

# Before it breaks, and for as long as it is broken: who comes in and who does not.
sub last_good {
    my ($name) = @_;
    return (revoked  => 'revoked_crl', partner         => 'ok')           if $name =~ /\Acrl-/;
    return ('user-1' => 'excluded',    'user-2'        => 'ok')           if $name =~ /\Anot-/;
    return (partner  => 'ok',          'other-partner' => 'pin_mismatch') if $name =~ /\Apin-/;
    return ('user-1' => 'ok', 'user-3' => 'subject_mismatch') if $name =~ /\A(?:list|patterns)-/;
    return (partner  => 'ok', stranger => 'chain_incomplete');
}

sub good_content {
    my ($name) = @_;
    return
          $name =~ /\Acrl-/               ? pki_text('carc-i101l.crl')
        : $name =~ /\Anot-/               ? spki_of('user-1') . "\n"
        : $name =~ /\Apin-/               ? $text{'carc-i101l'}
        : $name =~ /\A(?:list|patterns)-/ ? "user-1\nuser-2\n"
        :                                   $roots;
}

# --- a server with all of them --------------------------------------------------------------------
$_->{put}->('v1', $_->{versions}[0]) for @cases;
replace_file("$dir/broken/$_", good_content($_)) for keys %broken;
replace_file("$dir/beat", "user-1\n");
copy_pki(
    $dir,
    'folder/root.pem'    => [qw(root.crt carc-i101l.crt)],
    'glob/a-root.pem'    => ['root.crt'],
    'glob/a-ca.pem'      => ['carc-i101l.crt'],
    'advertised/one.pem' => ['root.crt']
);

my $config = <<"CONF";
KeepAliveTimeout 600
SSLSessionCacheTimeout 3600
MTLSReloadInterval 1
$stores
<MTLSTrustStore "folder">
    MTLSAnchor "$dir/folder"
</MTLSTrustStore>
<MTLSTrustStore "glob">
    MTLSAnchor "$dir/glob/a-*.pem"
</MTLSTrustStore>
<MTLSTrustStore "advertised">
    MTLSAnchor "$dir/advertised/one.pem"
</MTLSTrustStore>
<MTLSPolicy "listed">
    MTLSRequire subject.CN "file:$dir/list-rename/file"
</MTLSPolicy>
<Directory "\@Htdocs\@">
    Require all granted
</Directory>
AliasMatch "^/" "\@Htdocs\@/index.html"
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
MTLSHandshake defer
Protocols h2 http/1.1
$sections
<Location "/folder">
    MTLSTrust folder
</Location>
<Location "/glob">
    MTLSTrust glob
</Location>
<Location "/policy">
    MTLSUsePolicy listed
</Location>
<Location "/authz">
    Require mtls-policy listed
</Location>
<Location "/beat">
    MTLSRequire subject.CN "file:$dir/beat"
</Location>
</VirtualHost>
Listen 127.0.0.1:\@Port_Advertise\@
<VirtualHost 127.0.0.1:\@Port_Advertise\@>
ServerName gateway.test
\@TLS\@
SSLCACertificateFile "\@PKI\@/second-root.crt"
MTLSTrust advertised
MTLSAdvertiseCAs On
</VirtualHost>
CONF
my $server = private(name => 'reload', processes => $children, config => $config);

# Connections that are open before anything changes, one a certificate; opened again only when the
# server has closed one: a child that is about to leave may do so without an answer.
my %open;

sub ask_once {
    my ($cert, $path) = @_;
    my ($name, $send) = split /:/, $cert;
    my $tls = $open{$cert} //= $server->tls(cert => $name, send => $send // 'chain');
    my $r   = $tls->request($path);
    delete $open{$cert}
        if $tls->error || !$r->status || lc($r->header('Connection') // '') eq 'close';
    return $r;
}

sub ask {
    my ($cert, $path) = @_;
    my $r;
    for (1 .. 5) {
        $r = ask_once($cert, $path);
        last if $r->status;
    }
    return $r;
}

sub all_cases {
    my ($version, $what) = @_;
    for my $case (@cases) {
        for my $cert (sort keys %{ $case->{outcomes} }) {
            my $expected = outcome_of($case->{outcomes}{$cert}[$version]);
            outcome_is(await_outcome($expected, sub { ask($cert, "/$case->{name}") }),
                $expected, "$what: $case->{name}: $cert");
        }
    }
    return;
}

# What changes turns every verdict that was remembered, on connections and sessions of before.
my @kinds = (
    ['TLS 1.2 id',     version => '1.2', tickets => 0],
    ['TLS 1.2 ticket', version => '1.2', tickets => 1],
    ['TLS 1.3',        version => '1.3']
);

sub sessions {
    my ($path, $cert, $reason) = @_;
    my %session;
    for my $kind (@kinds) {
        my ($name, @options) = @$kind;
        my $tls = $server->tls(@options, cert => $cert);
        outcome_is($tls->request($path), outcome_of($reason), "$name: $path: $cert: before");
        $session{$name} = $tls->session;
        $tls->close;
    }
    return \%session;
}

sub resumed {
    my ($session, $path, $cert, $reason) = @_;
    for my $kind (@kinds) {
        my ($name, @options) = @$kind;
        my $expected = outcome_of($reason);
        my $reused;
        my $r = await_outcome(
            $expected,
            sub {
                my $tls = $server->tls(@options, cert => $cert, session => $session->{$name});
                $reused = $tls->reused;
                return $tls->request($path);
            }
        );
        outcome_is($r, $expected, "$name: $path: $cert: after");
        is($reused, 1, "$name: $path: $cert: on a session from before");
    }
    return;
}

all_cases(0, 'at first');
my $h2 =
    mpm() eq 'prefork'
    ? undef
    : MTLSTest::H2->new($server->tls(cert => 'partner', alpn => ['h2']), $server->log);
outcome_is($h2->request('/anchor-rename'), '200 allow ok', 'HTTP/2: at first') if $h2;
my $partner = sessions('/anchor-rename', 'partner', 'ok');
my $revoked = sessions('/crl-rename',    'revoked', 'ok');
my $gone    = sessions('/list-mount',    'user-1',  'ok');
outcome_is($server->get('/policy', cert => 'user-1'), '200 allow ok', 'a named policy, at first');
is($server->get('/authz', cert => 'user-3')->status, 403, 'Require mtls-policy, at first');

# One connection into each child, kept.
my %kept = %{ $server->one_in_each_child(3, '/anchor-rename', cert => 'partner') };
cmp_ok(scalar keys %kept, '>=', 3, 'several children serve');

sub ca_names {
    my $port = $server->port('advertise');
    my $text = `openssl s_client -connect 127.0.0.1:$port </dev/null 2>&1`;
    return join ', ', sort map {/CN = (Carcano Root.*|Stranger.*)/} split /\n/,
        ($text =~ /^Acceptable client certificate CA names\n(.*?)^(?:Client|Requested)/ms)[0] // '';
}
is(ca_names(), 'Carcano Root R1, Carcano Root R2', 'MTLSAdvertiseCAs, at first');

# --- everything changes at once -------------------------------------------------------------------
$_->{put}->('v2', $_->{versions}[1]) for @cases;
replace_file("$dir/advertised/one.pem", $text{'stranger-root'});
all_cases(1, 'changed');
my $refused = outcome_of('chain_incomplete');
for my $pid (sort keys %kept) {
    outcome_is(await_outcome($refused, sub { $kept{$pid}->request('/anchor-rename') }),
        $refused, "the connection kept into child $pid");
    outcome_is(await_outcome($refused, sub { $kept{$pid}->request('/anchor-mount') }),
        $refused, 'which has all changes in force');
}
outcome_is(await_outcome($refused, sub { $server->get('/anchor-rename', cert => 'partner') }),
    $refused, "any child, time $_")
    for 1 .. 6;
outcome_is($h2->request('/anchor-rename'), $refused, 'HTTP/2, the same connection') if $h2;
resumed($partner, '/anchor-rename', 'partner', 'chain_incomplete');
resumed($revoked, '/crl-rename',    'revoked', 'revoked_crl');
resumed($gone,    '/list-mount',    'user-1',  'subject_mismatch');
{
    my $mismatch = outcome_of('subject_mismatch');
    outcome_is(await_outcome($mismatch, sub { $server->get('/policy', cert => 'user-1') }),
        $mismatch, 'a named policy');
}
ok(await(sub { $server->get('/authz', cert => 'user-3')->status == 200 }), 'Require mtls-policy');
is(
    await(sub { my $names = ca_names(); $names =~ /Stranger/ && $names }),
    'Carcano Root R2, Stranger Root',
    'MTLSAdvertiseCAs'
);

my $reload_told = qr{\[mtls_policy:notice\].* reloaded: \Q$dir\E/anchor-rename/file};
await(sub { $server->log->matching($reload_told) });
is(scalar(my @reloaded = $server->log->matching($reload_told)),
    1, 'the error log tells of a change once, not for every child');
{
    my $excused = join '|', '(?!)', map {quotemeta} keys %slowly;
    my @broken  = grep { !/$excused/ } $server->log->matching(qr/last good version/);
    is(join("\n", @broken), '', 'and nothing was found broken');
}

# and back
$_->{put}->('v3', $_->{versions}[0]) for @cases;
all_cases(0, 'changed back');

# --- directories and globs ------------------------------------------------------------------------
sub becomes {
    my ($path, $cert, $reason, $what) = @_;
    my $expected = outcome_of($reason);
    return outcome_is(await_outcome($expected, sub { ask($cert, $path) }), $expected, $what);
}
becomes('/folder', 'partner',  'ok',               'a directory, at first');
becomes('/folder', 'stranger', 'chain_incomplete', 'a directory, at first');
becomes('/glob',   'stranger', 'chain_incomplete', 'a glob, at first');
replace_file("$dir/folder/broken.pem",   "this is no certificate\n");
replace_file("$dir/folder/stranger.pem", $text{'stranger-root'});
replace_file("$dir/glob/a-stranger.pem", $text{'stranger-root'});
becomes('/folder', 'stranger', 'ok', 'a file appears in a directory, beside a broken one');
becomes('/glob',   'stranger', 'ok', 'a file appears for a glob');
becomes('/folder', 'partner',  'ok', 'what was there stays');
ok(await(sub { $server->log->matching(qr{folder/broken\.pem}) }), 'the broken one is logged');
unlink "$dir/folder/root.pem", "$dir/glob/a-root.pem";
becomes('/folder', 'partner',  'chain_incomplete', 'a file leaves a directory');
becomes('/glob',   'partner',  'chain_incomplete', 'a file leaves a glob');
becomes('/folder', 'stranger', 'ok',               'the other stays');

# --- everything breaks at once --------------------------------------------------------------------
sub all_hold {
    my ($what) = @_;
    for my $name (sort keys %broken) {
        my %expected = last_good($name);
        for my $cert (sort keys %expected) {
            outcome_is(
                ask($cert, "/broken-$name"),
                outcome_of($expected{$cert}),
                "$what: $name: $cert"
            );
        }
    }
    return;
}

# The list that is well changes, and the change is awaited in every child: each has looked at all
# files since.
my $beats = 0;

sub beat {
    my ($in) = @_;
    my ($next, $before) = $beats++ % 2 ? ('user-1', 'user-2') : ('user-2', 'user-1');
    replace_file("$dir/beat", "$next\n");
    for my $pid (sort keys %$in) {
        my $expected = outcome_of($next eq 'user-1' ? 'ok' : 'subject_mismatch');
        await_outcome($expected, sub { $in->{$pid}->request('/beat') });
    }
    return;
}

sub one_for_each_child {
    return $server->one_in_each_child(3, '/beat', cert => 'user-1');
}

# Lines of the error log about a broken file, or about a store that has lost its anchors.
sub complaints {
    my ($name) = @_;
    my $about =
        $name eq 'rootless' ? qr{"broken-rootless".*no trust anchor} : qr{broken/\Q$name\E\b};
    return $server->log->matching(qr/\[mtls_policy:error\].*$about/);
}

# Once there are more of them than so many.
sub complains_of {
    my ($name, $many, $in) = @_;
    return await(
        sub {
            $_->request('/beat') for values %$in;    # a child of prefork looks when it is asked
            return complaints($name) > $many;
        }
    );
}

all_hold('before');
undef %kept;
my $in = one_for_each_child();
$broken{$_}->("$dir/broken/$_") for sort keys %broken;
unlink "$dir/folder/stranger.pem", "$dir/glob/a-ca.pem", "$dir/glob/a-stranger.pem";
ok(complains_of($_, 0, $in), "$_: the error log has it") for sort keys %broken;
beat($in) for 1 .. 2;
all_hold('broken');
becomes('/folder', 'stranger', 'ok', 'a directory that has lost its last good file: it stays');
becomes('/glob',   'stranger', 'ok', 'a glob that finds nothing any more: its last files stay');
for my $name (sort keys %broken) {
    my @lines = complaints($name);
    is(scalar @lines, 1, "$name: told once") or diag(join "\n", @lines);
    like(
        $lines[0],
        qr/the last good version stays in force \(failures: \d+\)/,
        "$name: in words, and counted"
    );
}

# --- restarts in that state -----------------------------------------------------------------------
my %old = map { $_ => 1 } keys %$in;
for my $restart (['a graceful restart', 'USR1'], ['another one', 'USR1'], ['a restart', 'HUP']) {
    my ($what, $signal) = @$restart;
    $server->restart($signal);
    %open = ();
    my $new = await(
        sub {
            my $pid = $server->get('/beat', cert => 'user-1')->pid;
            return $pid && !$old{$pid} && $pid;
        }
    );
    ok($new, "$what: served by a new child");
    $in = one_for_each_child();
    all_hold("after $what");
    becomes('/folder', 'stranger', 'ok', "after $what: the directory");
    becomes('/glob',   'stranger', 'ok', "after $what: the glob");
    @old{ keys %$in } = ();
    $old{$_} = 1 for keys %old;
}

# What fails the first start still does: another server with the same files.
{
    my ($exit, $output) = MTLSTest::Server->check(name => 'reload-check', config => $config);
    isnt($exit, 0, 'httpd -t does not take the broken files');
    like($output, qr{\Q$dir\E/}, 'and names one');
}

# --- mended, with the other version ---------------------------------------------------------------
for my $name (sort keys %broken) {
    my $path = "$dir/broken/$name";
    chmod 0644, $path if -e $path;
    my $content =
          $name =~ /\Acrl-/               ? pki_text('carc-i101l-none.crl')
        : $name =~ /\Anot-/               ? "# nobody\n"
        : $name =~ /\Apin-/               ? $text{'carc-i102l'}
        : $name =~ /\A(?:list|patterns)-/ ? "user-3\n"
        :                                   $text{'stranger-root'};
    replace_file($path, $content);
}
for my $name (sort keys %broken) {
    my %mended =
          $name =~ /\Acrl-/               ? (revoked  => 'ok')
        : $name =~ /\Anot-/               ? ('user-1' => 'ok')
        : $name =~ /\Apin-/               ? (partner  => 'pin_mismatch', 'other-partner' => 'ok')
        : $name =~ /\A(?:list|patterns)-/ ? ('user-1' => 'subject_mismatch', 'user-3'    => 'ok')
        :                                         (partner => 'chain_incomplete', stranger => 'ok');
    becomes("/broken-$name", $_, $mended{$_}, "mended: $name: $_") for sort keys %mended;
}

# Half a file, then the rest of it.
{
    my $path    = "$dir/broken/truncated";
    my $stays   = outcome_of('ok');
    my $in_old  = one_for_each_child();
    my @already = complaints('truncated');
    replace_file($path, substr $roots, 0, $half);
    outcome_is(ask('stranger', '/broken-truncated'), $stays, 'half of a file is written');
    ok(complains_of('truncated', scalar @already, $in_old), 'is told');
    outcome_is(ask('stranger', '/broken-truncated'), $stays, 'and does not count');
    append_file($path, substr $roots, $half);
    becomes('/broken-truncated', 'partner',  'ok',               'the other half makes it whole');
    becomes('/broken-truncated', 'stranger', 'chain_incomplete', 'and in force');
}

is(scalar($server->log->matching(qr/\bexit signal|AddressSanitizer|runtime error|Assertion/)),
    0, 'no child died');

# --- what the children may not read ---------------------------------------------------------------
SKIP: {
    skip 'only root can have files its children cannot read', 5 if $> != 0;
    replace_file("$dir/for-root", "user-1\n");
    replace_file("$dir/for-all",  "user-1\n");
    chmod 0600, "$dir/for-root";
    my $guarded = private(name => 'reload-guarded', config => <<"CONF");
MTLSReloadInterval 1
<Directory "\@Htdocs\@">
    Require all granted
</Directory>
AliasMatch "^/" "\@Htdocs\@/index.html"
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
<Location "/root">
    MTLSRequire subject.CN "file:$dir/for-root"
</Location>
<Location "/all">
    MTLSRequire subject.CN "file:$dir/for-all"
</Location>
</VirtualHost>
CONF
    my @warnings = $guarded->log->matching(qr/\[mtls_policy:warn\].*for-(?:root|all)/);
    is(scalar @warnings, 1, 'a file for root only is warned about at start');
    like($warnings[0], qr{User cannot read \Q$dir\E/for-root\b}, 'with its name');
    allowed($guarded->get('/root', cert => 'user-1'), 'it is in force');
    replace_file("$dir/for-all", "user-2\n");
    my $expected = outcome_of('subject_mismatch');
    outcome_is(await_outcome($expected, sub { $guarded->get('/all', cert => 'user-1') }),
        $expected, 'other files change');
    allowed($guarded->get('/root', cert => 'user-1'), 'and it stays');
    $guarded->stop;
}

# --- MTLSReloadInterval 0: nothing changes until a restart ----------------------------------------
{
    replace_file("$dir/never", "user-1\n");
    my $still = private(name => 'reload-never', config => <<"CONF");
MTLSReloadInterval 0
<Directory "\@Htdocs\@">
    Require all granted
</Directory>
AliasMatch "^/" "\@Htdocs\@/index.html"
Listen 127.0.0.1:\@Port_Main\@
<VirtualHost 127.0.0.1:\@Port_Main\@>
ServerName gateway.test
\@TLS\@
<Location "/x">
    MTLSRequire subject.CN "file:$dir/never"
</Location>
</VirtualHost>
CONF
    allowed($still->get('/x', cert => 'user-1'), 'MTLSReloadInterval 0: at first');
    replace_file("$dir/never", "user-2\n");

    # As long as the other server needs to notice a change of its own.
    becomes('/beat', 'user-1', ask('user-1', '/beat')->reason, 'another server');
    my $in_other = one_for_each_child();
    beat($in_other);
    allowed($still->get('/x', cert => 'user-1'), 'MTLSReloadInterval 0: unchanged');
    $still->graceful;
    my $expected = outcome_of('subject_mismatch');
    outcome_is(await_outcome($expected, sub { $still->get('/x', cert => 'user-1') }),
        $expected, 'MTLSReloadInterval 0: a restart reads it');
}

done_testing;

# Perl's own buffered layer and its raw calls on one disk.
use strict;
use warnings;
use Fcntl qw(:DEFAULT :seek :flock);
use IO::Handle;

my $p = $ARGV[0];
my $b;
sub sum { return unpack("%32C*", $_[0]) }

sysopen(my $f, $p, O_RDWR) or die $!;
sysseek($f, 1000, 0);
print sysread($f, $b, 700), " ", sum($b), "\n";
sysseek($f, 5000, 0);
print syswrite($f, "hello perl"), " ", sysseek($f, 0, 1), "\n";
print flock($f, LOCK_EX | LOCK_NB) ? 1 : 0, "\n";
close $f;

open($f, "+<", $p) or die $!;
binmode $f;
seek($f, 511, SEEK_SET);
read($f, $b, 4000);
print sum($b), " ", tell($f), "\n";
seek($f, 9000, 0);
print $f "printed";
$f->flush;
print tell($f), " ", -s $f, " ", -s $p, " ", (-f $p ? 1 : 0), "\n";
close $f;

open($f, "<", $p);
my $n = 0;
while (<$f>) { $n += length }
print "$n ", (eof($f) ? 1 : 0), "\n";
close $f;

open($f, ">>", $p);
print $f "appended";
close $f;
print -s $p, "\n";

open($f, "<", $p);
open(my $g, "<&", $f);
seek($f, -8, 2);
read($g, $b, 8);
print "$b\n";

open(STDIN, "<", $p) or die;
print read(STDIN, $b, 300), " ", sum($b), "\n";
print `head -c 5 $p | od -c`;

truncate($p, 7000) or die;
print -s $p, "\n";
{
    local @ARGV = ($p);
    local $/;
    print length(scalar <>), "\n";
}

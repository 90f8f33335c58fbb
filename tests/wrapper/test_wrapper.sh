#!/usr/bin/env bash
# Tests addcow-preload.sh with a stand-in for the library that says on stderr when it is
# loaded and with which settings. So a test sees whether the program got the library, not only
# that it ran; the last test does it with the real one. Programs that must be refused are
# compiled here, or are copies with a few header bytes changed.
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
passed=0 failed=0 skipped=0
T=$(mktemp -d "${TMPDIR:-/tmp}/addcow-wrapper.XXXXXX")
trap 'rm -rf "$T"' EXIT
chmod 755 "$T"
cd "$T" || exit 1
unset LD_PRELOAD ADDCOW_CACHE ADDCOW_TRACE ADDCOW_STATS ADDCOW_LOG

pass() { passed=$((passed + 1)); }
fail() {
    failed=$((failed + 1))
    echo "FAIL: $1"
    sed 's/^/    /' out err 2>/dev/null
}

# need PROGRAM WHAT: false, and counted, if the program is missing.
need() {
    command -v "$1" >/dev/null && return 0
    if [ "${CI-}" = true ]; then
        rm -f out err
        fail "$2: $1 is missing"
    else
        skipped=$((skipped + 1))
        echo "skipped: $2: no $1"
    fi
    return 1
}

# runs WHAT EXPECTED-STDOUT COMMAND...: it succeeds, prints that, and the library was loaded.
runs() {
    local what=$1 expected=$2 status
    shift 2
    "$@" >out 2>err </dev/null
    status=$?
    if [ $status -eq 0 ] && [ "$(cat out)" = "$expected" ] && grep -q '^preloaded' err; then
        pass
    else
        fail "$what: exit $status, expected '$expected' and the library loaded: $*"
    fi
}

# refuses WHAT STATUS PATTERN COMMAND...: that status, one line on stderr that matches, nothing run.
refuses() {
    local what=$1 expected=$2 pattern=$3 status
    shift 3
    "$@" >out 2>err </dev/null
    status=$?
    if [ $status -eq "$expected" ] && [ ! -s out ] && [ "$(wc -l <err)" -eq 1 ] &&
        grep -q '^addcow-preload.sh: ' err && grep -Eq -- "$pattern" err; then
        pass
    else
        fail "$what: exit $status, expected $expected and one line with '$pattern': $*"
    fi
}

# ---- what is needed ----------------------------------------------------------

cc=${CC:-gcc}
mkdir -p src/build
cp "$root/addcow-preload.sh" src/
cat >standin.c <<'C'
#include <stdio.h>
#include <stdlib.h>
static const char *of(const char *name)
{
    const char *value = getenv(name);
    return value ? value : "-";
}
__attribute__((constructor)) static void loaded(void)
{
    fprintf(stderr, "preloaded cache=%s trace=%s stats=%s log=%s deep=%s\n", of("ADDCOW_CACHE"),
            of("ADDCOW_TRACE"), of("ADDCOW_STATS"), of("ADDCOW_LOG"), of("ADDCOW_DEEP"));
}
C
cat >show.c <<'C'
#include <stdio.h>
int main(int argc, char **argv)
{
    for (int i = 0; i < argc; i++)
        printf("%s[%s]", i ? " " : "", argv[i]);
    printf("\n");
    return 0;
}
C
$cc -shared -fPIC standin.c -o src/build/libaddcow-preload.so && $cc show.c -o show &&
    $cc -static show.c -o show-static && $cc -static-pie show.c -o show-static-pie || exit 1
W=$T/src/addcow-preload.sh

# ---- it runs programs as they would run ----------------------------------------

runs 'arguments' '[./show] [a b] [] [*] [--help]' "$W" ./show 'a b' '' '*' --help
runs 'arguments after --' '[./show] [--] [x]' "$W" -- ./show -- x
runs 'the name the program was called by' '[show] [x]' env PATH="$T:$PATH" "$W" show x
runs 'an empty element of PATH' '[show]' env PATH="/nowhere::$PATH" "$W" show
runs 'by another shell' '[./show]' bash "$W" ./show
runs 'a program of the system' "$T" "$W" pwd
runs 'a relative path to the script' '[./show]' src/addcow-preload.sh ./show

echo input | "$W" cat >out 2>err
[ "$(cat out)" = input ] && pass || fail 'stdin reaches the program'
"$W" sh -c 'exit 37' 2>err
[ $? -eq 37 ] && pass || fail "the program's exit status"
("$W" sh -c 'kill -TERM $$' 2>err; exit $?) 2>/dev/null
[ $? -eq 143 ] && pass || fail "the program's end by a signal"

mkdir first second && echo x >first/show && cp show second/
runs 'PATH goes on behind a file that is not executable' '[show]' \
    env PATH="$T/first:$T/second:$PATH" "$W" show

# ---- environment -----------------------------------------------------------------

settings() {
    local what=$1 expected=$2
    shift 2
    "$@" ./show >out 2>err
    grep -qxF "preloaded $expected${deep- deep=-}" err && pass || fail "$what: expected $expected"
}
settings 'no options' 'cache=- trace=- stats=- log=-' "$W"
settings 'trace and stats to stderr' 'cache=- trace=1 stats=1 log=-' "$W" --trace --stats
settings 'names are made absolute' "cache=- trace=$T/t stats=$T/d/s log=$T/1" \
    "$W" --trace=t --stats=d/s --log=1
settings 'absolute names stay' 'cache=- trace=/t stats=/s log=/l' "$W" --trace=/t --stats=/s --log=/l
for mode in writeback writethrough unsafe; do
    settings "cache mode $mode" "cache=$mode trace=- stats=- log=-" "$W" --cache=$mode
done
deep=' deep=1' settings 'without libc, too' 'cache=- trace=- stats=- log=-' "$W" --deep
settings 'the environment is kept' 'cache=unsafe trace=- stats=- log=/x' \
    env ADDCOW_CACHE=unsafe ADDCOW_LOG=/x "$W"

$cc -shared -fPIC -x c /dev/null -o other.so
lib=$T/src/build/libaddcow-preload.so
preload_of() {
    local what=$1 before=$2 expected=$3
    LD_PRELOAD=$before "$W" sh -c 'echo "$LD_PRELOAD"' >out 2>err
    [ "$(cat out)" = "$expected" ] && pass || fail "$what: expected LD_PRELOAD=$expected"
}
preload_of 'LD_PRELOAD alone' '' "$lib"
preload_of 'LD_PRELOAD keeps what is there, behind ours' "$T/other.so" "$lib:$T/other.so"
preload_of 'LD_PRELOAD does not grow' "$lib:$T/other.so" "$lib:$T/other.so"

# ---- options -------------------------------------------------------------------

"$W" --help >out 2>err && grep -q '^usage:' out && [ ! -s err ] && pass || fail '--help'
"$W" --version >out 2>err && grep -q '^addcow-preload.sh version [0-9]' out && pass || fail '--version'
[ "$(awk '{ print $NF }' out)" = "$("$root/build/addcow-img" --version | awk '{ print $NF }')" ] && pass ||
    fail "--version differs from addcow-img's"
"$W" >out 2>err
[ $? -eq 125 ] && [ ! -s out ] && grep -q '^usage:' err && pass || fail 'nothing to run'
refuses 'an unknown option' 125 '--bogus' "$W" --bogus ./show
refuses 'an unknown cache mode' 125 'writethrough' "$W" --cache=none ./show
refuses 'an empty file name' 125 '--log' "$W" --log= ./show

# ---- where the library is ---------------------------------------------------------

mkdir -p links/deep inst/bin inst/lib/addcow inst2/bin inst2/lib empty 'a space/build' 'a:b/build'
ln -s ../../src/addcow-preload.sh links/deep/run
ln -s deep/run links/again
ln -s "$T/inst/bin" bin
cp src/addcow-preload.sh inst/bin && cp src/build/*.so inst/lib/addcow
cp src/addcow-preload.sh inst2/bin && cp src/build/*.so inst2/lib
runs 'through a symbolic link' '[./show]' links/deep/run ./show
runs 'through two' '[./show]' links/again ./show
runs 'installed' '[./show]' inst/bin/addcow-preload.sh ./show
runs 'installed, a link to the directory' '[./show]' bin/addcow-preload.sh ./show
runs 'installed in lib' '[./show]' inst2/bin/addcow-preload.sh ./show
runs 'through PATH' '[./show]' env PATH="$T/inst/bin:$PATH" addcow-preload.sh ./show
runs 'by sh and a bare name' '[/bin/echo]' sh -c 'cd src && sh addcow-preload.sh sh -c "echo [/bin/echo]"'
cp src/addcow-preload.sh empty/
refuses 'no library' 125 "run 'make'" empty/addcow-preload.sh ./show
for bad in 'a space' 'a:b'; do
    cp src/addcow-preload.sh "$bad" && cp src/build/*.so "$bad/build"
    refuses "a path that LD_PRELOAD cannot hold: $bad" 125 'LD_PRELOAD' "$bad/addcow-preload.sh" ./show
done
mkdir -p broken/build && cp src/addcow-preload.sh broken && echo text >broken/build/libaddcow-preload.so
refuses 'a library that is none' 125 'is no library' broken/addcow-preload.sh ./show

# ---- what cannot be run -------------------------------------------------------------

cp show noexec && chmod 644 noexec
refuses 'not in PATH' 127 'no-such-program: no such program' "$W" no-such-program
refuses 'no such file' 127 '\./nothing: no such' "$W" ./nothing
refuses 'an empty name' 127 'no such program' "$W" ''
refuses 'not executable' 126 'not executable' "$W" ./noexec
refuses 'not executable, in PATH' 126 'not executable' env PATH="$T:$PATH" "$W" noexec
refuses 'a directory' 126 'is a directory' "$W" ./src

# ---- programs that a preload cannot serve ---------------------------------------------

# change FILE COPY OFFSET BYTES: a copy with bytes (printf's notation) changed.
change() {
    cp "$1" "$2" && printf "$4" | dd of="$2" bs=1 seek="$3" conv=notrunc status=none
}
refuses 'static' 126 'show-static: is statically linked.*dynamically' "$W" ./show-static
refuses 'static, from PATH' 126 'statically' env PATH="$T:$PATH" "$W" show-static
refuses 'static pie' 126 'statically' "$W" ./show-static-pie
change show arm 18 '\267\0'
refuses 'another architecture' 126 'ARM, 64 bits' "$W" ./arm
change show i386-class 4 '\1'
change i386-class i386 18 '\3\0'
refuses 'another architecture and class' 126 'x86, 32 bits' "$W" ./i386
refuses 'another class' 126 'class' "$W" ./i386-class
head -c 30 show >short && chmod 755 short
refuses 'a cut ELF header' 126 'cut short' "$W" ./short
# ---- with the library for 32-bit programs beside it ----------------------------

refuses 'a 32-bit program without that library' 126 "make ARCH=32" "$W" ./i386
if [ -d "$root/build/both" ] && $cc -m32 -shared -fPIC standin.c -o standin32.so 2>/dev/null; then
    mkdir src/build/32
    mv standin32.so src/build/32/libaddcow-preload.so
    cp -a "$root/build/both" src/build/
    both=$T/src/build/both/'$LIB'/libaddcow-preload.so
    # shellcheck disable=SC2016
    runs 'both libraries by one path' "$both" "$W" sh -c 'echo "$LD_PRELOAD"'
    if grep -q 'ld.so' err; then fail 'the dynamic linker has nothing to say'; else pass; fi
    runs 'a program within a program' "[./show]" "$W" sh -c './show; true'
    [ "$(grep -c '^preloaded' err)" -eq 2 ] && pass || fail 'the library is in both'
    "$cc" -m32 show.c -o show32
    "$W" ./show32 x >out 2>err
    # Where the kernel runs no 32-bit programs, that is for the shell to say.
    if [ "$(cat out)" = '[./show32] [x]' ] && grep -q '^preloaded' err || grep -q 'Exec format error' err; then
        pass
    else
        fail 'a 32-bit program'
    fi
    "$cc" -m32 -static show.c -o show32-static
    refuses 'a static 32-bit program' 126 'statically linked' "$W" ./show32-static
    cat >env.c <<'C'
#include <stdio.h>
#include <stdlib.h>
int main(void) { puts(getenv("LD_PRELOAD")); return 0; }
C
    # Of another linker it is not known what it makes of $LIB.
    linker=$(readlink -f /lib64/ld-linux-x86-64.so.2)
    "$cc" env.c -Wl,--dynamic-linker="$linker" -o env-other
    runs 'a linker of its own' "$T/src/build/libaddcow-preload.so" "$W" ./env-other
    rm -rf src/build/32 src/build/both
    runs 'that library taken away again' "$T/src/build/libaddcow-preload.so" "$W" sh -c 'echo "$LD_PRELOAD"'
elif [ "${CI-}" = true ]; then
    rm -f out err
    fail 'no library for 32-bit programs: make ARCH=32'
else
    skipped=$((skipped + 1))
    echo 'skipped: no library for 32-bit programs (make ARCH=32)'
fi

if need musl-gcc 'musl programs'; then
    musl-gcc show.c -o show-musl
    refuses 'musl' 126 "musl's C library.*glibc build" "$W" ./show-musl
    musl-gcc -static show.c -o show-musl-static
    refuses 'musl, static' 126 'statically' "$W" ./show-musl-static
fi

# The kernel reads the interpreter's name and the program headers wherever they are.
if need python3 'headers far into the file'; then
    cat >far.py <<'PY'
import struct, sys
data = bytearray(open(sys.argv[1], 'rb').read())
phoff, = struct.unpack_from('<Q', data, 32)
size, count = struct.unpack_from('<HH', data, 54)
at = next(phoff + i * size for i in range(count)
          if struct.unpack_from('<I', data, phoff + i * size) == (3,))
if sys.argv[3] == 'interpreter':
    old, = struct.unpack_from('<Q', data, at + 8)
    length, = struct.unpack_from('<Q', data, at + 32)
    name = bytes(data[old:old + length])
    data += b'x' * (1 - len(data) % 4)
    struct.pack_into('<Q', data, at + 8, len(data))
    data += name
elif sys.argv[3] == 'name':
    struct.pack_into('<Q', data, at + 8, len(data))
    struct.pack_into('<Q', data, at + 32, len(sys.argv[4]) + 1)
    data += sys.argv[4].encode() + b'\0'
else:
    struct.pack_into('<Q', data, 32, len(data))
    data += data[phoff:phoff + count * size]
open(sys.argv[2], 'wb').write(data)
PY
    python3 far.py show far-name interpreter && chmod 755 far-name
    runs 'an interpreter name at the end of the file' '[./far-name]' "$W" ./far-name
    python3 far.py show odd name /opt/other/ld.so-not-glibc && chmod 755 odd
    refuses 'an interpreter that is missing' 126 '/opt/other/ld.so-not-glibc is missing' "$W" ./odd
    python3 far.py show bionic name /system/bin/linker64 && chmod 755 bionic
    refuses 'a dynamic linker not of glibc' 126 "/system/bin/linker64.*not glibc" "$W" ./bionic
    python3 far.py bionic far-headers headers && chmod 755 far-headers
    refuses 'program headers at the end of the file' 126 'linker64' "$W" ./far-headers
fi
change show sudo 0 ''
refuses 'sudo drops LD_PRELOAD' 126 'in front: sudo addcow-preload.sh' "$W" ./sudo

# ---- privileges -----------------------------------------------------------------------

if [ "$(id -u)" -ne 0 ]; then
    skipped=$((skipped + 1))
    echo 'skipped: setuid programs: not root'
elif need setpriv 'setuid programs'; then
    nobody="setpriv --reuid 65534 --regid 65534 --clear-groups"
    cp show suid && chmod 4755 suid
    cp show sgid && chmod 2755 sgid
    cp show suid-nobody && chown 65534 suid-nobody && chmod 4755 suid-nobody
    cp show hidden && chmod 711 hidden
    chmod -R a+rX src
    runs 'as another user' '[./show]' $nobody "$W" ./show
    refuses 'setuid' 126 'setuid.*copy' $nobody "$W" ./suid
    refuses 'setgid' 126 'setgid.*copy' $nobody "$W" ./sgid
    refuses 'setuid to another user, as root' 126 'setuid' "$W" ./suid-nobody
    runs 'setuid, as its owner' '[./suid]' "$W" ./suid
    runs 'setgid, as its group' '[./sgid]' "$W" ./sgid
    runs 'setuid, as its other owner' '[./suid-nobody]' $nobody "$W" ./suid-nobody
    refuses 'not readable' 126 'cannot be read' $nobody "$W" ./hidden
    if need setcap 'file capabilities' && cp show capable && setcap cap_net_raw+ep capable; then
        refuses 'file capabilities' 126 'capabilities' $nobody "$W" ./capable
        runs 'file capabilities, as root' '[./capable]' "$W" ./capable
    fi
fi

# ---- scripts ----------------------------------------------------------------------------

script() {
    printf '%s\n' "$2" 'echo "script $*"' >"$1"
    chmod 755 "$1"
}
script s1 '#!/bin/sh'
script s2 '#!   	/bin/sh -e  '
script s3 '#!/usr/bin/env sh'
script s4 '#!/usr/bin/env -S A=1 sh -e'
script s5 '# no such line'
script s6 "#!$T/s1"
for s in s1 s2 s3 s4 s5; do
    runs "script $(head -1 $s)" 'script a b' "$W" ./$s a b
done
runs 'a script run by a script' 'script ./s6 a' "$W" ./s6 a
runs 'a script from PATH' 'script x' env PATH="$T:$PATH" "$W" s1 x
script r1 "#!$T/show-static -x"
script r2 "#!/usr/bin/env $T/show-static"
script r3 '#!/usr/bin/env show-static'
script r4 '#!/usr/bin/env -S -i sh'
script r5 "#!$T/r5"
script r6 '#!/nowhere/sh'
script r7 '#!'
script r8 "#!$T/r1"
refuses 'a static interpreter' 126 'show-static \(which \./r1 runs\): is statically' "$W" ./r1
refuses 'a static program by env' 126 'show-static \(which \./r2 runs\): is statically' "$W" ./r2
refuses 'a static program by env and PATH' 126 'statically' env PATH="$T:$PATH" "$W" ./r3
refuses 'env -i' 126 'r4: .*env -i.*drops LD_PRELOAD' "$W" ./r4
refuses 'a script that is its own interpreter' 126 'circle' "$W" ./r5
refuses 'a missing interpreter' 126 '/nowhere/sh, which does not exist' "$W" ./r6
refuses 'an empty #! line' 126 'names no program' "$W" ./r7
refuses 'a static interpreter of an interpreter' 126 'statically' "$W" ./r8

# ---- the real library ---------------------------------------------------------------------

"$root/addcow-preload.sh" cat /proc/self/maps >out 2>err
if [ $? -eq 0 ] && grep -q /libaddcow-preload.so out && [ ! -s err ]; then
    pass
else
    rm -f out
    fail 'the library that was built is loaded, silently'
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ $failed -eq 0 ]

#!/usr/bin/env bash
# Runs one part of the tests over a build with a sanitizer:
#
#   BUILD=DIR tests/sanitize/run.sh asan|tsan NAME COMMAND...
#
# The end-to-end tests run unmodified programs, so the sanitizer's runtime is preloaded into
# them, behind the library under test: a hook's real function is then the runtime's
# interceptor, which looks at the memory that the engine reads and writes. With the runtime in
# front, a program's call would come to the hook by an interceptor, and the thread sanitizer
# ignores what happens below one that a program without it called.
#
# The tests are given a directory (ADDCOW_TEST_ROOT) with an addcow-preload.sh that says so and
# then runs the real one; a test that preloads the library by itself puts ADDCOW_TEST_BEHIND
# behind it. What a sanitizer says goes to files, from whichever process it comes; any
# report there makes the part fail, whatever became of the program.
set -u
kind=$1 name=$2
shift 2
here=$(cd "$(dirname "$0")" && pwd)
source=$(cd "$here/../.." && pwd)
case $BUILD in /*) build=$BUILD ;; *) build=$source/$BUILD ;; esac
library=$build/libaddcow-preload.so
root=$build/root/$name
reports=$build/reports/$name

fail() {
    echo "run.sh: $*" >&2
    exit 1
}

runtime=$(ldd "$library" | awk -v lib="lib$kind" 'index($1, lib) == 1 { print $3 }')
[ -n "$runtime" ] || fail "$library: is not linked with lib$kind; gcc does that"

rm -rf "$root" "$reports"
mkdir -p "$root/bin" "$root/build" "$reports" || exit 1
chmod 1777 "$reports"       # some tests run as another user
[ "$kind" = asan ] || jumps=-DJUMPS
# shellcheck disable=SC2086
${CC:-gcc} -std=gnu11 -Wall -Wextra -Werror -O1 -shared -fPIC -Wl,-z,initfirst -DBEGIN=__${kind}_init \
    ${jumps-} "$here/allow.c" "$runtime" -o "$root/allow.so" || fail "cannot compile allow.c"

# A program that breaks a rule is ended by its status, so that the test that ran it sees it, too.
# SIGBUS is what a file that is cut under a program brings: the test that does it knows.
# reports.py finds names and lines: libbacktrace in the runtime would call the hooks.
options=log_path=$reports/report:log_exe_name=1:symbolize=0:allocator_may_return_null=1:handle_sigbus=0
options+=':stack_trace_format="    #%n %m+%o"'
case $kind in
asan)
    # Leaks are looked for, but are no reason to change a program's status: most are its own.
    options+=:abort_on_error=1:exitcode=0:verify_asan_link_order=0
    settings="ASAN_OPTIONS='$options' UBSAN_OPTIONS='${options/report:/undefined:}:print_stacktrace=1'"
    ;;
tsan)
    # The deadlock detector holds no more than 64 locks at a time; a disk has more.
    options+=:ignore_noninstrumented_modules=1:die_after_fork=0:detect_deadlocks=0:halt_on_error=1
    settings="TSAN_OPTIONS='$options'"
    ;;
*) fail "$kind: is neither asan nor tsan" ;;
esac

# front FILE SETTING... COMMAND: a script that runs the command with what it is called with.
front() {
    printf '#!/bin/sh\nexport %s\nexec %s "$@"\n' "$2" "$3" >"$1"
    chmod 755 "$1"
}
cp "$source/addcow-preload.sh" "$root/bin/"
ln -s "$build" "$root/bin/build"
ln -s "$source/shim" "$root/shim"
ln -s "$library" "$root/build/"
front "$root/addcow-preload.sh" "LD_PRELOAD='$root/allow.so:$runtime' $settings" \
    "'$root/bin/addcow-preload.sh'"
# It cannot be linked statically here, so it is kept from the library in another way.
front "$root/build/addcow-img" "LD_PRELOAD= $settings" "'$build/addcow-img'"

export ADDCOW_TEST_ROOT=$root ADDCOW_TEST_WORK=$build ADDCOW_TEST_SANITIZER=$kind
export ADDCOW_TEST_BEHIND=:$root/allow.so:$runtime
eval "export $settings"
# gcc's thread sanitizer does not know all of the places where the kernel may put things.
setarch -R "$@"
status=$?
"${PYTHON:-/usr/bin/python3}" "$here/reports.py" "$reports" "$build" || status=1
exit $status

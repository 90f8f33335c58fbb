#!/usr/bin/env bash
# addcow-img as people use it: create, info, map, check, and every way to use them wrong.
#
# Disks are written here by poking the bytes of the files as the format says
# (poke.py), so that only the tool is under test. Where qemu-img has the same
# command, its output on a qcow2 overlay with the same writes is the measure. A
# command that must fail is run on a snapshot of its directory: exit status 1,
# nothing on stdout, one line on stderr (two for a wrong command line), and
# nothing made, changed or removed. This file has the means; the cases are in
# cases_*.sh, one file for each command.
set -u
export LC_ALL=C TZ=UTC
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${BUILD:-build}
case $build in /*) ;; *) build=$root/$build ;; esac
img=$build/addcow-img
python=${PYTHON:-/usr/bin/python3}
work=$(mktemp -d) || exit 1
trap 'chmod -R u+rwx "$work" 2>/dev/null; rm -rf "$work"' EXIT
passed=0 failed=0 skipped=0

pass() { passed=$((passed + 1)); }
fail() {
    failed=$((failed + 1))
    echo "FAIL: $1"
    [ $# -lt 2 ] || printf '%s\n' "${@:2}" | sed 's/^/    /'
}
skip() {
    if [ "${CI-}" = true ]; then
        fail "$1"
    else
        skipped=$((skipped + 1))
        echo "skipped: $1"
    fi
}

# equal NAME GOT WANTED
equal() {
    if [ "$2" = "$3" ]; then
        pass
    else
        fail "$1" "$(diff <(printf '%s\n' "$3") <(printf '%s\n' "$2") | sed 's/^</wanted:/; s/^>/got:   /')"
    fi
}

# holds NAME COMMAND…: the command succeeds
holds() {
    local out
    if out=$("${@:2}" 2>&1); then pass; else fail "$1" "$out"; fi
}

# A new empty directory to work in.
cases=0
fresh() {
    cases=$((cases + 1))
    mkdir "$work/$cases" && cd "$work/$cases" || exit 1
}

# All that can be seen of the files here, but for the time of the last access, and
# of the last change of a directory: a file that was made there and removed shows in it.
snapshot() {
    find . -type d -printf '%P %y %m %U\n' | sort
    find . ! -type d -printf '%P %y %s %m %U %n %T@ %l\n' | sort
    find . -type f -exec sha256sum {} + | sort
}

# fails NAME REGEX COMMAND…: exit 1, a message that matches as a whole, no effect
fails() {
    local name=$1 want=$2 before status lines=1
    shift 2
    before=$(snapshot)
    "$@" >"$work/out" 2>"$work/err" </dev/null
    status=$?
    case $want in *"--help' for more information") lines=2 ;; esac
    if [ $status -ne 1 ]; then
        fail "$name" "exit status $status" "$(cat "$work/err")"
    elif [ -s "$work/out" ]; then
        fail "$name" "it printed: $(cat "$work/out")"
    elif [ "$(wc -l <"$work/err")" -ne $lines ] || ! tr '\n' '~' <"$work/err" | grep -qEx "addcow-img: $want~"; then
        fail "$name" "message: $(cat "$work/err")" "wanted:  addcow-img: $want"
    elif [ "$before" != "$(snapshot)" ]; then
        fail "$name" "$(diff <(printf '%s\n' "$before") <(snapshot))"
    else
        pass
    fi
}

# random FILE SIZE: fixed, incompressible, no zero runs
random() {
    $python -c 'import random, sys
random.seed(len(sys.argv[1]))
open(sys.argv[1], "wb").write(bytes(random.choices(range(1, 256), k=int(sys.argv[2]))))' "$1" "$2"
}

# Writes to a disk that nobody has open, as the format says.
cat >"$work/poke.py" <<'END'
import os, sys
meta, at, length, byte = sys.argv[1], *map(int, sys.argv[2:])
head = open(meta, "rb").read(2560)
image = os.path.join(os.path.dirname(os.path.realpath(meta)), os.fsdecode(head[1036:2060].split(b"\0")[0]))
assert at % 512 == 0
with open(image, "r+b") as f:
    f.seek(at)
    f.write(bytes([byte]) * length)
with open(meta, "r+b") as f:
    for sector in range(at // 512, (at + length + 511) // 512):
        f.seek(2560 + sector // 8)
        old = f.read(1) or b"\0"
        f.seek(2560 + sector // 8)
        f.write(bytes([old[0] | 1 << sector % 8]))
END
poke() { $python "$work/poke.py" "$@"; }

json() { $python -c "import json, sys; j = json.load(sys.stdin); $1"; }

for program in $python qemu-img qemu-io; do
    command -v $program >/dev/null || {
        echo "FAIL: $program is missing; nothing can be tested without it"
        [ "${CI-}" = true ] && echo "0 passed, 1 failed, 0 skipped" || echo "0 passed, 0 failed, 1 skipped"
        [ "${CI-}" != true ]
        exit
    }
done
[ -x "$img" ] || { echo "FAIL: $img is missing: run make"; echo "0 passed, 1 failed, 0 skipped"; exit 1; }

for part in program create info map check page; do
    . "$here/cases_$part.sh" || fail "cases_$part.sh could not be run to its end"
done

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]

#!/usr/bin/env bash
# Proves that the layers hold, as docs/architecture.md draws them:
#
#   includes   a file includes, directly or not, only headers of its own folder or of what
#              it stands upon: the shim and the tool see the engine's two public headers, the
#              engine sees neither of them, and inside a folder the pure parts know
#              nothing of the parts that use them;
#   symbols    no object of the engine but sys_libc.o calls a function that the shim hooks,
#              so the engine can never re-enter a hook (those on signals and threads pass
#              everything on).
#
# Each rule is then tried on a small tree that breaks it, and must refuse it.
set -u
cd "$(dirname "$0")/.." || exit 1
shopt -s extglob nullglob
build=${BUILD:-build}
cc=${CC:-gcc}
T=$(mktemp -d "${TMPDIR:-/tmp}/addcow-layers.XXXXXX")
trap 'rm -rf "$T"' EXIT
passed=0 failed=0

pass() { passed=$((passed + 1)); }
fail() {
    failed=$((failed + 1))
    printf 'FAIL: %s\n' "$@"
}

# may SOURCE HEADER: may the one include the other?
may() {
    case "$1 > $2" in
    # Inside the engine: pure parts, then the chain, then the disk and its run-time state.
    "engine/"@(bitmap|format|iov|msg|name|plan)".c > engine/"@(chain|region|disk).h) return 1 ;;
    "engine/chain.c > engine/"@(region|disk).h) return 1 ;;
    # Inside the shim: descriptions, then the table of descriptors, then the hooks.
    "shim/ofd"*".c > shim/"@(fdtable|hook_*).h) return 1 ;;
    "shim/fdtable"*".c > shim/hook_"*) return 1 ;;
    # Between the folders.
    "engine/"*" > engine/"*) return 0 ;;
    "shim/"*" > shim/"* | "tool/"*" > tool/"*) return 0 ;;
    "shim/"*" > engine/"@(addcow|mutex|sys).h | "tool/"*" > engine/"@(addcow|sys).h) return 0 ;;
    *) return 1 ;;
    esac
}

# Prints what the source file $2 below $1 includes, itself aside, as paths below $1.
headers_of() {
    local list
    list=$(cd "$1" && $cc -std=gnu11 -D_GNU_SOURCE -iquote engine -MM "$2") || return
    list=${list#*:}
    # shellcheck disable=SC2086
    (cd "$1" && realpath --relative-to=. ${list//\\/}) | grep -vxF "$2"
    return 0
}

# Prints the violations of one file; succeeds if there are none.
check_includes() {
    local header headers bad=0
    headers=$(headers_of "$1" "$2") || {
        echo "$2: cannot be preprocessed"
        return 1
    }
    for header in $headers; do
        may "$2" "$header" || {
            echo "$2 includes $header"
            bad=1
        }
    done
    return $bad
}

# check_symbols ARCHIVE HOOKED: prints hooked functions that objects in it call.
check_symbols() {
    nm -A -u "$1" | awk -v list="$2" '
        BEGIN { while ((getline name < list) > 0) hooked[name] = 1 }
        $NF in hooked {
            n = split($1, part, ":")
            if (part[n - 1] != "sys_libc.o" && part[n] != "sys_libc.o") {
                print $1 " calls " $NF ", which the shim hooks"
                bad = 1
            }
        }
        END { exit bad }'
}

# ---- the tree ----------------------------------------------------------------

sources=(engine/*.c shim/*.c tool/*.c)
for folder in engine shim tool; do
    [[ " ${sources[*]}" = *" $folder/"* ]] || fail "$folder: no sources"
done
for source in "${sources[@]}"; do
    if why=$(check_includes . "$source" 2>&1); then pass; else fail "$why"; fi
done

$cc -E -P -x c -D'HOOK(family,symbol,body)=family symbol' shim/hooks.def |
    awk '$1 != "signal" { print $2 }' | sort -u >"$T/hooked"
objects=$(ar t "$build/libaddcow.a" | wc -l)
count=$(wc -l <"$T/hooked")
if [ "$count" -gt 50 ] && [ "$objects" -gt 5 ]; then
    pass
else
    fail "too little to compare: $count hooked symbols, $objects objects"
fi
if why=$(check_symbols "$build/libaddcow.a" "$T/hooked"); then pass; else fail "$why"; fi

# ---- that each rule can refuse -------------------------------------------------

mkdir -p "$T/tree/engine" "$T/tree/shim" "$T/tree/tool"
for header in engine/{addcow,sys,disk,format,plan} shim/{ofd,fdtable,hook_open} tool/common; do
    : >"$T/tree/$header.h"
done
echo '#include "disk.h"' >"$T/tree/engine/leak.h"

# tries VERDICT SOURCE INCLUDE: what becomes of a file with that include.
tries() {
    local verdict=refused
    echo "#include \"$3\"" >"$T/tree/$2"
    check_includes "$T/tree" "$2" >"$T/why" 2>&1 && verdict=allowed
    if [ $verdict = "$1" ]; then pass; else fail "$2 with $3: $verdict, not $1: $(cat "$T/why")"; fi
}
tries refused engine/new.c ../shim/ofd.h
tries refused engine/new.c ../tool/common.h
tries refused engine/plan.c disk.h
tries refused engine/plan.c leak.h
tries refused engine/new.c missing.h
tries refused shim/new.c disk.h
tries refused shim/new.c leak.h
tries refused shim/new.c ../tool/common.h
tries refused shim/ofd.c fdtable.h
tries refused shim/fdtable.c hook_open.h
tries refused tool/new.c ../shim/ofd.h
tries refused tool/new.c format.h
tries allowed engine/new.c disk.h
tries allowed engine/plan.c format.h
tries allowed shim/new.c addcow.h
tries allowed shim/hook_open.c fdtable.h
tries allowed tool/new.c sys.h

echo 'int pread(void); int f(void); int f(void) { return pread(); }' >"$T/disk.c"
echo 'int puts(const char *); int g(void); int g(void) { return puts(""); }' >"$T/plan.c"
cp "$T/disk.c" "$T/sys_libc.c"
echo pread >"$T/one"
(cd "$T" && $cc -c -w disk.c plan.c sys_libc.c && ar rc bad.a disk.o plan.o && ar rc good.a plan.o sys_libc.o)
if check_symbols "$T/bad.a" "$T/one" >"$T/why"; then fail 'a call of pread by disk.o was not seen'; else pass; fi
if [ "$(wc -l <"$T/why")" -eq 1 ] && grep -q 'disk.o.* pread' "$T/why"; then pass; else fail "$(cat "$T/why")"; fi
if check_symbols "$T/good.a" "$T/one" >"$T/why"; then pass; else fail "$(cat "$T/why")"; fi

echo "$passed passed, $failed failed, 0 skipped"
[ $failed -eq 0 ]

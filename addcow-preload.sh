#!/bin/sh
# Runs a program with addcow's library preloaded, so that it can use X.add-cow
# files as flat disks.
#
# A program that the dynamic linker would not give the library to does not fail by
# itself: it would open the metadata file of a disk, and read or overwrite that
# instead of the disk. So what this script can see beforehand, it refuses: static
# and setuid programs, other C libraries, other architectures. It looks at a
# program as the kernel does, through `#!` lines, and by the ELF header alone, so
# that it needs nothing but a shell and od, and costs a few milliseconds.
# Words of a header and of a `#!` line are split on purpose:
# shellcheck disable=SC2046,SC2059,SC2086
me=addcow-preload.sh

usage() {
    cat <<'USAGE'
usage: addcow-preload.sh [OPTIONS] [--] PROGRAM [ARGS...]

Runs PROGRAM so that it sees every file named X.add-cow as the flat disk it stands for.

  --trace[=FILE]   print the calls made on disks, to stderr or appended to FILE
  --stats[=FILE]   print a summary at the end, to stderr or appended to FILE
  --deep           serve system calls, too, that PROGRAM makes without libc (some 2 us each)
  --log=FILE       append addcow's messages to FILE instead of stderr
  --cache=MODE     writeback (the default), writethrough or unsafe
  --help           show this
  --version        show the version

The exit status is the program's; 125 if this script was used wrongly, 126 if
PROGRAM cannot be served, 127 if it is not found.
USAGE
}

die() {
    status=$1
    shift
    printf '%s: %s\n' "$me" "$*" >&2
    exit "$status"
}

# ---- the library -----------------------------------------------------------

# Sets $lib to the absolute path of the library that belongs to this script.
find_library() {
    self=$0
    case $self in
    */*) ;;
    *) [ -f "$self" ] || self=$(command -v -- "$self") ;;
    esac
    [ ! -L "$self" ] || self=$(readlink -f -- "$self")
    here=$(CDPATH='' cd -P -- "${self%/*}/" 2>/dev/null && pwd -P) || here=$(pwd -P)
    for lib in "$here/build/libaddcow-preload.so" "$here/../lib/addcow/libaddcow-preload.so" \
        "$here/../lib/libaddcow-preload.so"; do
        [ ! -f "$lib" ] || break
    done
    [ -f "$lib" ] || die 125 "libaddcow-preload.so is neither in $here/build nor in" \
        "$here/../lib/addcow: run 'make' in addcow's source, or 'make install'"
    case $lib in
    *[:\;\$[:space:]]*) die 125 "$lib: LD_PRELOAD cannot hold a path with a space, a colon or" \
        "a dollar sign: move addcow to another directory" ;;
    esac
}

# ---- the program -------------------------------------------------------------

# Sets $found to the file that NAME stands for, by $PATH as the shell and execvp do it.
find_program() {
    found=
    denied=
    case $1 in
    '') die 127 "'': no such program" ;;
    */*)
        [ -e "$1" ] || die 127 "$1: no such program"
        [ ! -d "$1" ] || die 126 "$1: is a directory, not a program"
        [ -x "$1" ] || die 126 "$1: permission denied: it is not executable"
        found=$1
        return
        ;;
    esac
    rest=${PATH-/usr/local/bin:/usr/bin:/bin}:
    while [ -n "$rest" ]; do
        dir=${rest%%:*}
        rest=${rest#*:}
        file=${dir:-.}/$1
        [ -f "$file" ] || continue
        if [ -x "$file" ]; then
            found=$file
            return
        fi
        denied=$file
    done
    [ -z "$denied" ] || die 126 "$denied: permission denied: it is not executable"
    die 127 "$1: no such program in PATH"
}

# Refuses with why FILE cannot be served. $1 = FILE, the rest is the reason.
refuse() {
    file=$1
    shift
    [ "$file" = "$program" ] || file="$file (which $program runs)"
    die 126 "$file: $*"
}

# With the 32-bit library beside the 64-bit one, LD_PRELOAD names both by one path: the dynamic
# linker of each puts a folder of its own for $LIB. Only those of the system do so as was foreseen when it
# was installed; a program with another one gets the path of the library for itself alone.
# Called with the word that LD_PRELOAD is to have in $lib.
name_both() {
    top=${lib%/*}
    # shellcheck disable=SC2016
    if [ -n "$lib_32" ] && [ "$linker_is_standard" = yes ]; then
        lib=$top/both/'$LIB'/${lib##*/}
    elif [ "$wants_32" = yes ]; then
        lib=$lib_32
    fi
}

# Prints bytes as 32-bit words. Not a function: a command alone in $() is one fork less.
words='od -An -v -tu4'

# The library's own header says what a program must be: words 1 (class, byte
# order) and 4 (machine). Sets $lib_kind and $lib_machine.
read_library() {
    set -- $($words -N 20 "$lib")
    [ "${1-}" = 1179403647 ] || die 125 "$lib: is no library: build it again"
    lib_kind=$(($2 & 65535))
    lib_machine=$(($5 >> 16))
    lib_32=${lib%/*}/32/${lib##*/}
    [ $lib_machine -eq 62 ] && [ -f "$lib_32" ] && [ -d "${lib%/*}/both" ] || lib_32=
    linker_is_standard=yes
    wants_32=no
}

machine_name() {
    case $1 in
    3) echo 'x86, 32 bits' ;;
    40) echo 'ARM, 32 bits' ;;
    62) echo x86-64 ;;
    183) echo 'ARM, 64 bits' ;;
    243) echo RISC-V ;;
    *) echo "machine $1" ;;
    esac
}

# A program that gains privileges by being run ignores LD_PRELOAD (AT_SECURE).
judge_privileges() {
    how='run it as its owner, or run a copy of it, which loses them'
    if [ -u "$1" ] && [ ! -O "$1" ]; then
        refuse "$1" "is setuid, so the system ignores LD_PRELOAD: $how"
    fi
    if [ -g "$1" ] && [ ! -G "$1" ]; then
        refuse "$1" "is setgid, so the system ignores LD_PRELOAD: $how"
    fi
    # Where getcap is missing so is setcap, and no package has given any away. To
    # root they mean nothing.
    for getcap in /usr/sbin/getcap /sbin/getcap /usr/bin/getcap; do
        [ -x "$getcap" ] || continue
        [ -z "$("$getcap" "$1" 2>/dev/null)" ] || [ "$(id -u)" = 0 ] ||
            refuse "$1" "has file capabilities, so the system ignores LD_PRELOAD: $how"
        return
    done
}

# Prints the bytes of little-endian words, up to the first NUL. A printf of one
# format costs less than the dd that would read the string.
string_of() {
    format=
    for word; do
        for byte in $((word & 255)) $((word >> 8 & 255)) $((word >> 16 & 255)) $((word >> 24)); do
            [ $byte -ne 0 ] || break 2
            format="$format\\$((byte >> 6))$((byte >> 3 & 7))$((byte & 7))"
        done
    done
    printf "$format"
}

# Prints the string at byte $1 of $file, of at most $2 bytes; the rest is the
# file's first words, where it mostly is.
interpreter_at() {
    at=$1
    size=$2
    shift 2
    if [ $((at % 4)) -eq 0 ] && [ $((at + size)) -le $(($# * 4)) ]; then
        shift $((at / 4))
        string_of "$@"
    else
        string_of $($words -j "$at" -N "$size" -- "$file" 2>/dev/null)
    fi
}

# $1 = FILE, the rest the words of its first KiB.
judge_elf() {
    file=$1
    shift
    if [ $# -lt 16 ]; then
        refuse "$file" 'its ELF header is cut short: it is no program'
    fi
    kind=$(($2 & 65535))
    machine=$(($5 >> 16))
    bits=64
    if [ $machine -eq 3 ] && [ $kind -eq 257 ] && [ $lib_machine -eq 62 ]; then
        [ -n "$lib_32" ] || refuse "$file" "is a program for $(machine_name 3), and addcow's library for those" \
            "is not here: run 'make ARCH=32' in addcow's source, too, and 'make install' again"
        bits=32
        wants_32=yes
    elif [ $machine -ne $lib_machine ]; then
        refuse "$file" "is a program for $(machine_name $machine), and addcow was built for" \
            "$(machine_name $lib_machine): use the system's own build of it"
    fi
    if [ $bits -eq 64 ] && [ $kind -ne $lib_kind ]; then
        refuse "$file" "is of another class (bits or byte order) than addcow's library:" \
            "use the system's own build of it"
    fi
    # Where the program headers are, how long each is, and how many; and that of the interpreter.
    if [ $bits -eq 64 ]; then
        phoff=$9 phsize=$((${14} >> 16)) phnum=$((${15} & 65535)) size=56
    else
        phoff=$8 phsize=$((${11} >> 16)) phnum=$((${12} & 65535)) size=32
    fi
    interpreter=
    if [ $phsize -eq $size ] && [ $phnum -gt 0 ]; then
        header=$*
        if [ $((phoff % 4)) -eq 0 ] && [ $((phoff + size * phnum)) -le $(($# * 4)) ]; then
            shift $((phoff / 4))
        else
            set -- $($words -j "$phoff" -N $((size * phnum)) -- "$file" 2>/dev/null)
        fi
        while [ $phnum -gt 0 ] && [ $# -ge $((size / 4)) ]; do
            if [ "$1" -eq 3 ] && [ $bits -eq 64 ]; then
                interpreter=$(interpreter_at "$3" "$9" $header)
                break
            elif [ "$1" -eq 3 ]; then
                interpreter=$(interpreter_at "$2" "$5" $header)
                break
            fi
            shift $((size / 4))
            phnum=$((phnum - 1))
        done
    fi
    case ${interpreter##*/} in
    '') refuse "$file" 'is statically linked, so no library can be preloaded into it: use a' \
        'dynamically linked build of it' ;;
    ld-musl*) refuse "$file" "uses musl's C library ($interpreter), and addcow is built for" \
        "glibc: use a glibc build of it" ;;
    ld-linux*.so* | ld64.so* | ld.so*) ;;
    *) refuse "$file" "uses the dynamic linker $interpreter, which is not glibc's: use a glibc build" \
        'of it' ;;
    esac
    case $interpreter in
    /lib64/ld-linux-x86-64.so.2 | /lib/ld-linux.so.2) ;;
    *) linker_is_standard=no ;;
    esac
    [ -e "$interpreter" ] || refuse "$file" "its dynamic linker $interpreter is missing"
    judge_privileges "$file"
}

# `env` runs what its arguments name: $1 = the script, $2 = its `#!` line's argument.
judge_env() {
    script=$1
    shift
    set -f
    case $1 in
    -S*) set -- ${1#-S} ;;
    --split-string=*) set -- ${1#*=} ;;
    *) set -- "$1" ;;
    esac
    set +f
    while [ $# -gt 0 ]; do
        case $1 in
        -i | - | --ignore-environment)
            refuse "$script" "its #! line runs 'env $1', which drops LD_PRELOAD: change that line" ;;
        -u | -C) shift ;;
        -* | *=*) ;;
        *)
            find_program "$1"
            judge "$found"
            return
            ;;
        esac
        [ $# -eq 0 ] || shift
    done
}

# Refuses FILE unless the library will be loaded into it, or into what its `#!` line runs.
judge() {
    depth=$((depth + 1))
    [ $depth -le 6 ] || refuse "$1" 'its #! lines go round in a circle, or too deep'
    [ -r "$1" ] || refuse "$1" 'cannot be read, so it cannot be seen whether a library can be' \
        'preloaded into it: run it as its owner'
    case ${1##*/} in
    sudo | doas | pkexec) refuse "$1" "drops LD_PRELOAD: put it in front: ${1##*/} $me PROGRAM ..." ;;
    esac
    header=$($words -N 1024 -- "$1" 2>/dev/null)
    first=${header%%[!0-9 ]*}
    first=${first#"${first%%[0-9]*}"}
    first=${first%% *}
    if [ "${first:-0}" -eq 1179403647 ]; then
        judge_elf "$1" $header
        return
    fi
    if [ $((${first:-0} & 65535)) -ne 8483 ]; then
        # Neither ELF nor `#!`: whoever runs it hands it to sh.
        judge /bin/sh
        return
    fi
    line=
    IFS= read -r line <"$1"
    line=${line#??}
    line=${line#"${line%%[![:blank:]]*}"}
    line=${line%"${line##*[![:blank:]]}"}
    runs=${line%%[[:blank:]]*}
    argument=${line#"$runs"}
    argument=${argument#"${argument%%[![:blank:]]*}"}
    [ -n "$runs" ] || refuse "$1" 'its #! line names no program'
    [ -e "$runs" ] || refuse "$1" "its #! line names $runs, which does not exist"
    judge "$runs"
    [ "${runs##*/}" != env ] || judge_env "$1" "$argument"
}

# ---- main ----------------------------------------------------------------------

# A program may change its directory before it writes there.
absolute() {
    case $1 in
    '') die 125 "$2: needs a file name" ;;
    /*) printf '%s' "$1" ;;
    *) printf '%s/%s' "$(pwd)" "$1" ;;
    esac
}

while [ $# -gt 0 ]; do
    case $1 in
    --trace) ADDCOW_TRACE=1 && export ADDCOW_TRACE ;;
    --trace=*) ADDCOW_TRACE=$(absolute "${1#*=}" --trace) && export ADDCOW_TRACE || exit ;;
    --stats) ADDCOW_STATS=1 && export ADDCOW_STATS ;;
    --stats=*) ADDCOW_STATS=$(absolute "${1#*=}" --stats) && export ADDCOW_STATS || exit ;;
    --deep) ADDCOW_DEEP=1 && export ADDCOW_DEEP ;;
    --log=*) ADDCOW_LOG=$(absolute "${1#*=}" --log) && export ADDCOW_LOG || exit ;;
    --cache=writeback | --cache=writethrough | --cache=unsafe)
        ADDCOW_CACHE=${1#*=} && export ADDCOW_CACHE ;;
    --cache=*) die 125 "$1: the modes are writeback, writethrough and unsafe" ;;
    --help) usage && exit ;;
    --version) echo 'addcow-preload.sh version 0.1' && exit ;;
    --) shift && break ;;
    -*) die 125 "$1: no such option: see $me --help" ;;
    *) break ;;
    esac
    shift
done
if [ $# -eq 0 ]; then
    usage >&2
    exit 125
fi

find_library
read_library
[ -e /proc/self/fd ] || die 126 'there is no /proc/self/fd, which disks need' \
    '(mount /proc: mount -t proc proc /proc)'
depth=0
find_program "$1"
program=$found
judge "$program"
name_both

case ${LD_PRELOAD-} in
"$lib" | "$lib":* | "$lib "*) ;;
*) LD_PRELOAD=$lib${LD_PRELOAD:+:$LD_PRELOAD} ;;
esac
export LD_PRELOAD
exec "$@"

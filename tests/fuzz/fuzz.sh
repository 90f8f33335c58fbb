#!/usr/bin/env bash
# Runs the fuzz targets.
#
#   tests/fuzz/fuzz.sh replay BUILD          on each seed, and on inputs made from the seeds by chance
#   tests/fuzz/fuzz.sh run BUILD SECONDS     under libFuzzer, each so long, two at a time (one at a time: `one`)
#
# FUZZ_INPUTS=N runs N times as many inputs, FUZZ_SEED=N others, FUZZ_TARGETS="open ops" only those.
#
# Seeds are text, corpus/TARGET/*.hex: hex digits, and comments after a #. What libFuzzer finds worth keeping
# stays in BUILD/corpus, what breaks a target in BUILD/broken; `xxd -p FILE` makes a seed of that.
set -u
cd "$(dirname "$0")/../.." || exit 1
here=tests/fuzz
declare -A inputs=([pure]=20000 [open]=600 [run]=600 [ops]=400 [threads]=150)
targets=${FUZZ_TARGETS:-pure open run ops threads}
build=$2
mkdir -p "$build/broken"

# What a target leaves when it breaks goes with this directory.
work_in() {
    TMPDIR=$(mktemp -d "$1/addcow-fuzz.XXXXXX") || exit 1
    export TMPDIR
    trap 'rm -rf "$TMPDIR"' EXIT
}

replay() {
    local passed=0 failed=0 p f out
    for target in $targets; do
        out=$("$build/tests/fuzz_$target" -n $((inputs[$target] * ${FUZZ_INPUTS:-1})) -s "${FUZZ_SEED:-1}" \
            -o "$build/broken" "$here/corpus/$target"/*.hex 2>&1)
        printf '%s\n' "$out"
        read -r p f < <(sed -n '$s/^\([0-9]*\) passed, \([0-9]*\) failed, .*/\1 \2/p' <<<"$out") || f=1 p=0
        passed=$((passed + p)) failed=$((failed + f))
    done
    echo "$passed passed, $failed failed, 0 skipped"
    [ $failed -eq 0 ]
}

# The seeds as bytes, beside what was found before.
unpack() {
    mkdir -p "$build/corpus/$1"
    for seed in "$here/corpus/$1"/*.hex; do
        sed 's/#.*//' "$seed" | xxd -r -p >"$build/corpus/$1/$(basename "$seed" .hex)"
    done
}

# The target goes to other directories, so paths are absolute.
fuzz() {
    local dir log
    dir=$(realpath "$build") log=$build/broken/$1.log
    # A small quarantine, since a target that forks copies its page tables.
    ASAN_OPTIONS=quarantine_size_mb=16 "$dir/tests/fuzz_$1" -max_total_time="$seconds" -max_len=1024 -timeout=120 \
        -artifact_prefix="$dir/broken/$1-" -print_final_stats=1 "$dir/corpus/$1" >"$log" 2>&1
    local status=$?
    printf '%s: %s inputs, %s; %s\n' "$1" "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
        "$(grep -o 'cov: [0-9]*' "$log" | tail -n 1)" \
        "$(case $status in
        0) echo 'nothing broke' ;;
        72) echo 'stopped' ;;
        *) echo "BROKEN, see $log" ;;
        esac)"
    return $status
}

case $1 in
replay)
    work_in "${TMPDIR:-/tmp}"
    replay
    ;;
run)
    for target in $targets; do
        unpack "$target"
        echo "$target"
    done | xargs -P 2 -I TARGET tests/fuzz/fuzz.sh one "$build" "$3" TARGET
    ;;
one)
    # In memory, where there is room: it is faster.
    [ -w /dev/shm ] && memory=/dev/shm
    work_in "${TMPDIR:-${memory:-/tmp}}"
    seconds=$3
    fuzz "$4"
    ;;
esac

#!/usr/bin/env bash
# Runs the parts of the test suite and adds up what they report.
#
#   tests/check.sh [-j JOBS] NAME=COMMAND...        (the Makefile has the list)
#
# A part is a command whose last line of the form "N passed, N failed, N skipped",
# or Criterion's synthesis, is its total. Two parts run at a time, because the
# long ones mostly wait for one processor; each one's output appears whole
# when it ends (without Criterion's lines on what passed;
# build/check/ has the whole logs). A part that fails without saying so, hangs, or gives no total counts as
# one failure: silence is never success.
set -u
cd "$(dirname "$0")/.." || exit 1

jobs=2
if [ "${1-}" = -j ]; then
    jobs=$2
    shift 2
fi
limit=${CHECK_TIMEOUT:-900}
build=${BUILD:-build}
logs=$build/check
mkdir -p "$logs"

# Prints "passed failed skipped" for one part from its log and its exit status.
total_of() {
    awk -v status="$2" '
        /^\[SKIP\]/ { criterion_skipped++ }
        /^\[====\] Synthesis: Tested:/ {
            split($0, f, /[^0-9]+/); p = f[3]; bad = f[2] - f[3]; s = criterion_skipped + 0; seen = 1
        }
        /^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$/ { p = $1; bad = $3; s = $5; seen = 1 }
        END {
            if (!seen || (status != 0 && bad == 0))
                bad++
            print p + 0, bad + 0, s + 0
        }' "$1"
}

run_part() {
    local name=${1%%=*} command=${1#*=} start=$SECONDS status
    local log=$logs/$name.log program=${1#*=}
    program=${program%% *}
    if [ -x "$program" ]; then
        # In a process group of its own, so an interruption must be handed on.
        # shellcheck disable=SC2086
        timeout -k 10 "$limit" $command >"$log" 2>&1 </dev/null &
        # shellcheck disable=SC2064
        trap "kill $!; exit 130" TERM
        wait $!
        status=$?
        trap - TERM
    else
        echo "$program: no such program" >"$log"
        status=127
    fi
    {
        printf '==== %s (%s s)\n' "$name" $((SECONDS - start))
        sed '/^\[\(RUN \|PASS\)\]/d' "$log"
        [ $status -ne 124 ] || echo "$name: stopped after $limit seconds"
        [ $status -eq 0 ] || echo "$name: exit status $status"
        echo
    } >"$log.shown"
    total_of "$log" $status >"$logs/$name.total"
    # One write per part, so that two that end together do not mix.
    flock "$logs/lock" cat "$log.shown"
}

trap 'kill $(jobs -p) 2>/dev/null; wait; exit 130' INT TERM
for part; do
    rm -f "$logs/${part%%=*}".*
done
echo "==== running:$(printf ' %s' "${@%%=*}")"
for part; do
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do
        wait -n
    done
    run_part "$part" &
done
wait

passed=0 failed=0 skipped=0
for part; do
    name=${part%%=*}
    p=0 f=1 s=0
    [ ! -f "$logs/$name.total" ] || read -r p f s <"$logs/$name.total"
    printf '%-12s %5d passed %4d failed %4d skipped\n' "$name" "$p" "$f" "$s"
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]

#!/bin/sh
# The self-tests of the end-to-end tests: each kind of comparison is given a
# difference, and must see it.
cd "$(dirname "$0")" || exit 1
python=${PYTHON:-/usr/bin/python3}
# Beside the tests themselves, which may run at the same time.
export ADDCOW_TEST_WORK="$PWD/../../build/selftest"
mkdir -p "$ADDCOW_TEST_WORK"
status=0
passed=0 failed=0 skipped=0
for part in "harness.py --selftest" "crosscheck.py --selftest"; do
    # shellcheck disable=SC2086
    said=$($python $part 2>&1) || status=1
    printf '%s\n' "$said"
    set -- $(printf '%s\n' "$said" | sed -n '$s/[^0-9]/ /gp')
    passed=$((passed + ${1:-0})) failed=$((failed + ${2:-1})) skipped=$((skipped + ${3:-0}))
done
echo "$passed passed, $failed failed, $skipped skipped"
exit $status

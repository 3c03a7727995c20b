#!/usr/bin/env bash
# Runs the reference packages of npm against this repository's programs: builds
# the programs, installs the packages, runs the tests, and fails when none ran or
# one was skipped. Needs go, node 20 or newer, and npm.
#
#   ./test/interop/js/run.sh                     all, 200 seeds of shs1-test
#   SHS1_SEEDS=10000 ./test/interop/js/run.sh shs1.test.js
set -euo pipefail
cd "$(dirname "$0")"

for tool in go node npm; do
	command -v "$tool" >/dev/null || { echo "run.sh: $tool is missing; please install it" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

(cd ../../.. && go build -o "$work/" ./cmd/switchboard ./cmd/sbctl ./shs/internal/shs1peer)
# The same list of packages is installed once.
if ! cmp -s package-lock.json node_modules/.installed; then
	npm ci
	cp package-lock.json node_modules/.installed
fi

[ $# -gt 0 ] || set -- *.test.js
SWITCHBOARD_PROGRAMS=$work node --test \
	--test-reporter=spec --test-reporter-destination=stdout \
	--test-reporter=tap --test-reporter-destination="$work/tap" "$@"
grep -q '^# pass [1-9]' "$work/tap" || { echo "run.sh: no test ran" >&2; exit 1; }
for what in skipped todo cancelled; do
	grep -q "^# $what 0" "$work/tap" || { echo "run.sh: some tests were $what" >&2; exit 1; }
done

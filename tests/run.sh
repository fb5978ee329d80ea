#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what the tests need, builds, runs every test. A test that is skipped is named with its cause; with CI=true
# (as .ci/run sets it) a skipped test fails the run.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

./examples/install-packages build lab test
export PATH=$PATH:/usr/sbin:/sbin

launcher=()
command -v ccache >/dev/null && launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
cmake --preset check "${launcher[@]}" >/dev/null
cmake --build --preset check

out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
status=0
ctest --preset check -j 2 --output-junit "$out/junit.xml" "$@" || status=$?

# ctest says that a test was skipped, not why: the reason is what the test printed.
skipped=$(python3 - "$out/junit.xml" <<'PY'
import sys, xml.etree.ElementTree as tree
for case in tree.parse(sys.argv[1]).getroot().iter('testcase'):
    note = case.find('skipped')
    if note is not None:
        text = (case.findtext('system-out') or '').strip().splitlines()
        why = next((l for l in text if 'skip' in l.lower()), text[-1] if text else note.get('message', ''))
        print(f"{case.get('name')}: {why.strip()}")
PY
)
if [ -n "$skipped" ]; then
    printf 'Skipped:\n%s\n' "$skipped"
    if [ "${CI:-}" = true ]; then
        echo "In CI nothing may be skipped."
        status=1
    fi
fi
exit "$status"

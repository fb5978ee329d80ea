#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# From a fresh Debian 12 machine to a virtual machine that moved before its host filled up: installs packages, builds
# Umbra, brings up two real libvirt hosts in namespaces, and runs the whole pipeline on a real guest. Cleans up after itself.
set -euo pipefail
cd "$(dirname "$(readlink -f "$0")")/.."

lab=examples/lab/lab
export UMBRA_LAB=${UMBRA_LAB:-quickstart}
build=build/release
work=
started=$SECONDS
children=()

say() { printf '\n\033[1m== %s\033[0m (%d s)\n' "$*" "$((SECONDS - started))"; }
die() { printf 'quickstart: %s\n' "$*" >&2; exit 1; }

clean_up() {
    local status=$?
    trap - EXIT INT TERM
    for pid in "${children[@]}"; do kill "$pid" 2>/dev/null || true; done
    if [ "$status" -ne 0 ] && [ -n "$work" ]; then
        echo "quickstart: failed; last messages:" >&2
        tail -n 5 "$work"/*.log >&2 2>/dev/null || true
    fi
    $lab down >/dev/null 2>&1 || true
    [ -z "$work" ] || rm -rf "$work"
    exit "$status"
}

check_machine() {
    [ "$(id -u)" -eq 0 ] || die "must run as root: it makes network namespaces and runs libvirt. Try: sudo $0"
    . /etc/os-release
    [ "${ID:-}" = debian ] || echo "quickstart: made for Debian 12; this is ${PRETTY_NAME:-unknown}, which may lack packages" >&2
    command -v apt-get >/dev/null || die "needs apt-get"
    unshare --net --mount true 2>/dev/null || die "this machine does not allow network and mount namespaces (a container without privileges?)"
    local free
    free=$(df -Pk . | awk 'NR == 2 {print int($4 / 1024)}')
    [ "$free" -ge 3000 ] || die "needs 3 GB of free disk space here, there are $free MB"
}

build_umbra() {
    cmake --preset release >/dev/null
    cmake --build --preset release
    export UMBRA_BIN=$PWD/$build/cmd/umbra
}

umbra() { $lab exec client "$UMBRA_BIN" "$@"; }

check_machine
trap clean_up EXIT INT TERM
say "Packages"
./examples/install-packages build lab
export PATH=$PATH:/usr/sbin:/sbin
say "Building Umbra (release)"
build_umbra
work=$(mktemp -d)

say "Two hosts, alpha and beta, and a client between them"
$lab down >/dev/null 2>&1 || true
$lab up
eval "$($lab env)"
umbra doctor -o table

say "A guest whose CPU load will rise from 10 % to 100 %"
$lab guest web1 --host alpha --memory 256 --dirty 4 --load ramp --ramp-minutes 4
before=$($lab info web1 --for 30)
echo "$before"
# One TCP session with an echo each 5 ms, and numbered writes that the guest acknowledges once they are on its disk.
$lab probe web1 --until-file "$work/stop" >"$work/probe.json" 2>"$work/probe.log" & children+=($!)
$lab writes web1 --until-file "$work/stop" --rate 50 --log "$work/numbers" >"$work/writes.json" 2>"$work/writes.log" & children+=($!)

say "observe: one sample each second, until the forecast is sure"
foreseen() { umbra predict web1 --within 5m -o jsonl 2>/dev/null | jq -e .forecast.trigger >/dev/null; }
for _ in 1 2 3 4 5 6 7 8 9; do
    umbra observe --interval 1s --for 20s -o table
    ! foreseen || break
done
foreseen || die "the load of web1 rose, but no saturation was foreseen within 3 minutes; is this machine busy with other work?"

say "The pipeline: predict | place | shadow | replicate | sync | decide | switchover"
set +e
umbra predict web1 --within 5m -o jsonl --show \
    | umbra place - -o jsonl --show | umbra shadow - -o jsonl --show | umbra replicate - -o jsonl --show \
    | umbra sync - -o jsonl --show | umbra decide - -o jsonl --show | umbra switchover - -o jsonl --show >"$work/record.jsonl"
statuses=("${PIPESTATUS[@]}")
set -e
for status in "${statuses[@]}"; do [ "$status" -eq 0 ] || die "the pipeline ended with: ${statuses[*]}"; done

say "The proof"
$lab load web1 cpu idle >/dev/null   # what was to be shown about load is shown
touch "$work/stop"
wait "${children[@]}" || true   # what each of them saw is looked at below
children=()
after=$($lab info web1 --for 30)
umbra status -o table
$lab check web1 --host beta --log "$work/numbers" >"$work/check.json" || die "numbered writes are missing: $(cat "$work/check.json")"

json() { jq -r "$1" <<<"$2"; }
record=$(tail -n 1 "$work/record.jsonl")
result=$(json .outcome.result "$record")
[ "$result" = switched ] || die "the outcome is \"$result\", not \"switched\": $(json '.decision.reasons[0]' "$record")"
[ "$($lab exec beta virsh domstate web1)" = running ] || die "web1 does not run on beta"
[ "$($lab exec alpha virsh domstate web1)" = "shut off" ] || die "web1 is not off on alpha"
[ "$(json .boot_id "$before")" = "$(json .boot_id "$after")" ] || die "the guest was started anew"
[ "$(json .broken "$(cat "$work/probe.json")")" = false ] || die "the TCP session broke: $(cat "$work"/probe.*)"
[ "$(json '.broken or .went_back or .error != ""' "$(cat "$work/writes.json")")" = false ] || die "a write failed: $(cat "$work"/writes.*)"

printf '\n  runs on            beta; on alpha it is off, kept as the new shadow\n'
printf '  uptime             %s s before, %s s after, the same boot\n' "$(json .uptime_s "$before")" "$(json .uptime_s "$after")"
printf '  numbered writes    %s acknowledged, all on the disk of beta, no gap\n' "$(wc -l <"$work/numbers")"
printf '  TCP session        still open\n'
printf '  blackout           %s ms as Umbra reports it; longest gap seen from the client %s ms\n' \
    "$(json '.outcome.blackout_ms | round' "$record")" "$(json .gap_ms "$(cat "$work/probe.json")")"
say "Done; cleaning up"

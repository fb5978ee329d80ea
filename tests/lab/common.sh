# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced by the lab's tests: brings a lab of its own up, takes it down at the end whatever happens, and counts promises.
set -euo pipefail
root=$(readlink -f "$(dirname "${BASH_SOURCE[0]}")/../..")
UMBRA_BIN=$(readlink -f "$1")
UMBRA_LAB=test-$(basename "$0" | tr '_' '-')-$$
export UMBRA_BIN UMBRA_LAB
export PATH=$PATH:/usr/sbin:/sbin
work=$(mktemp -d)
images=/var/lib/libvirt/images
failed=0

lab() { "$root/examples/lab/lab" "$@"; }
umbra() { lab exec client "$UMBRA_BIN" "$@"; }
on() { lab exec "$@"; }
# umbra_until CONDITION VERB...: starts umbra in the client's namespace and kills it with SIGKILL, itself and not a shell
# around it, as soon as CONDITION (a command) succeeds. Fails where umbra ended before that.
umbra_until() {
    local condition=$1 runner status=0
    shift
    rm -f "$work/pid"
    # shellcheck disable=SC2016 # for the inner shell
    lab exec client sh -c 'echo $$ >"$0.new" && mv "$0.new" "$0" && exec "$@"' "$work/pid" "$UMBRA_BIN" "$@" >"$work/record" 2>"$work/messages" & runner=$!
    until [ -s "$work/pid" ]; do kill -0 "$runner" || { wait "$runner"; return 1; }; done
    $condition "$(cat "$work/pid")" || { echo "umbra ended before: $condition"; wait "$runner" || true; cat "$work/messages"; return 1; }
    kill -KILL "$(cat "$work/pid")" || { echo "umbra was gone already"; cat "$work/messages"; return 1; }
    wait "$runner" || status=$?
    [ "$status" -eq 137 ] || { echo "umbra ended with $status, not by the signal"; cat "$work/messages"; return 1; }
}

end_of_test() {
    local status=$?
    trap - EXIT
    touch "$work/stop"
    lab down >"$work/down" 2>&1 || { cat "$work/down"; status=1; }
    rm -rf "$work"
    [ "$failed" -eq 0 ] || status=1
    exit "$status"
}
trap end_of_test EXIT
# A command outside a promise that fails ends the test: it is named, so that the log tells more than a missing promise.
trap 'echo "ended   by line $LINENO: $BASH_COMMAND"' ERR

# promise WHAT CMD...: the command must succeed; else its output is shown and the test fails.
promise() {
    local what=$1
    shift
    if "$@" >"$work/promise" 2>&1; then
        echo "ok      $what"
    else
        echo "FAILED  $what"
        sed 's/^/        /' "$work/promise"
        failed=1
    fi
}
not() { ! "$@"; }
# json FILTER: true where the newest record satisfies it.
json() { tail -n 1 "$work/record" | jq -e "$1"; }
# record VERB...: runs umbra, keeps its records, shows what went wrong.
record() { umbra "$@" -o jsonl >"$work/record" 2>"$work/messages" || { local s=$?; cat "$work/messages" "$work/record"; return $s; }; }
# refused STATUS KIND WORDS VERB...: exit status, the record's error kind (or "-"), and words of the message.
refused() {
    local status=$1 kind=$2 words=$3 got=0
    shift 3
    umbra "$@" -o jsonl >"$work/record" 2>"$work/messages" || got=$?
    cat "$work/messages"
    [ "$got" -eq "$status" ] || { echo "exit status $got, not $status"; return 1; }
    [ "$kind" = - ] || [ "$(tail -n 1 "$work/record" | jq -r .error.kind)" = "$kind" ] || { echo "not kind $kind"; cat "$work/record"; return 1; }
    grep -q -- "$words" "$work/messages" || { echo "the message lacks: $words"; return 1; }
    grep -q 'hint: ' "$work/messages" || { echo "there is no hint"; return 1; }
}
# refused_plain WORDS VERB...: the same for a verb that prints no record; any status but 0.
refused_plain() {
    local words=$1
    shift
    ! umbra "$@" >"$work/messages" 2>&1 || { echo "it was not refused"; return 1; }
    cat "$work/messages"
    grep -q -- "$words" "$work/messages" && grep -q 'hint: ' "$work/messages"
}
# Umbra's hook, which libvirt finds when it starts.
install_hook_on() { on "$1" "$UMBRA_BIN" doctor --install-hook && lab host "$1" stop && lab host "$1" start; }
# Everything of Umbra on a host's disk: what is made, and what may be left over.
made_on() { on "$1" sh -c "find $images -path '*umbra*' | sort"; }
nothing_made_on() { # the empty folder that holds shadows may stay
    ! made_on "$1" | grep umbra/
}
state_of() { on "$1" virsh domstate "$2" 2>/dev/null | grep . || echo absent; }
runs_once() { # VM: exactly one of the hosts runs it
    local running=0 host
    for host in alpha beta; do [ "$(state_of "$host" "$1")" != running ] || running=$((running + 1)); done
    [ "$running" -eq 1 ] || { echo "$1 runs on $running hosts"; return 1; }
}
start_watching() { # VM: a TCP session and numbered writes from the client, until stop_watching
    rm -f "$work/stop"
    lab probe "$1" --until-file "$work/stop" >"$work/probe" 2>&1 & watchers=($!)
    lab writes "$1" --until-file "$work/stop" --rate 50 --log "$work/numbers" >"$work/writes" 2>&1 & watchers+=($!)
}
stop_watching() { touch "$work/stop"; wait "${watchers[@]}" || true; }
tcp_survived() { cat "$work/probe"; jq -e '.broken == false and .count > 10' "$work/probe"; }
writes_kept() { # VM HOST: and none was refused, in a session as long as the one beside it
    cat "$work/writes" "$work/probe"
    jq -es '.[0] as $w | .[1].seconds - $w.seconds < 2 and $w.broken == false and $w.went_back == false and $w.error == "" and $w.count > 10' \
        "$work/writes" "$work/probe" || return 1
    lab check "$1" --host "$2" --log "$work/numbers"
}

# What a walk has written so far tells when to strike: after the intent, or the result, of a step.
# written STEP PHASE NTH PID: waits until the journal's NTH walk holds that entry; fails once process PID is gone.
written() {
    python3 - "$database" "$@" <<'PY'
import os, sqlite3, sys, time
path, step, phase, nth, pid = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
base = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)
query = ("select count(*) from journal where step = ? and phase = ? "
         "and walk = (select id from walks order by id limit 1 offset ?)")
while base.execute(query, (step, phase, nth - 1)).fetchone()[0] == 0:
    os.kill(pid, 0)
    time.sleep(0.001)
PY
}

lab up >"$work/up" 2>&1 || { status=$?; cat "$work/up"; exit "$status"; }
eval "$(lab env)"
database=$(lab config | sed -n 's/^dir = "\(.*\)"/\1/p')/umbra.db

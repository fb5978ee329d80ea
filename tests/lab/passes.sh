# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Sourced after common.sh by the tests of replication: passes of web1, and what befalls them.
# shellcheck disable=SC2154,SC2034 # common.sh has $work; its own callers read $took

newest() { umbra shadow points web1 -o jsonl | tail -n 1; }
# A pass, and a look at its point for every number that had been acknowledged before.
good_pass() {
    cp "$work/numbers" "$work/before"
    record replicate web1 "$@" || return 1
    holds_before
}
holds_before() { # the newest point is the record's, and has them
    local point
    point=$(newest)
    [ "$(jq .point <<<"$point")" -eq "$(jq .replica.point "$work/record")" ] || { echo "$point"; cat "$work/record"; return 1; }
    lab check web1 --host beta --file "$(jq -r '.layers[0]' <<<"$point")" --log "$work/before"
}
in_a_job() { # PID: waits until the guest has a backup job
    until on alpha virsh backup-dumpxml web1 >/dev/null 2>&1; do kill -0 "$1" || return 1; done
}
# cut_within RATE REACHED SAID COMMAND...: runs a pass at that rate, and COMMAND with its pid once `REACHED pid` is true; the
# pass must fail, with the words SAID and a hint. $took: the seconds from COMMAND to its end; $ended: its exit status.
cut_within() {
    local rate=$1 reached=$2 said=$3 runner began
    shift 3
    ended=0
    rm -f "$work/pid"
    # shellcheck disable=SC2016 # for the inner shell
    lab exec client sh -c 'echo $$ >"$0.new" && mv "$0.new" "$0" && exec "$@"' "$work/pid" "$UMBRA_BIN" replicate web1 --limit "$rate" -o jsonl >"$work/record" 2>"$work/messages" & runner=$!
    until [ -s "$work/pid" ]; do kill -0 "$runner" || { wait "$runner"; return 1; }; done
    if ! "$reached" "$(cat "$work/pid")" || ! "$@" "$(cat "$work/pid")"; then
        cat "$work/messages"
        return 1
    fi
    began=$SECONDS
    wait "$runner" || ended=$?
    took=$((SECONDS - began))
    cat "$work/messages"
    [ "$ended" -eq 1 ] || { echo "it ended with status $ended"; return 1; }
    grep -q 'hint: ' "$work/messages" && grep -q "$said" "$work/messages"
}
slowly() { cut_within 20KiB/s in_a_job 'stays restorable' "$@"; }

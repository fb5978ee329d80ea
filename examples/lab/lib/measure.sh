# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Measuring a guest from outside: what its clients notice, and whether its disk holds all that was acknowledged.

need_guest() {
    [[ -n ${1-} ]] || usage_error "which guest?"
    guest_field "$1" 2 || die "no guest '$1' in lab '$LAB'"
}

from_client() { in_host client "$VAR/image/guestd" "$@"; }

lab_address() { need_guest "${1-}"; }

lab_info() {
    local address
    address=$(need_guest "${1-}")
    from_client ask "$address" 11 "${@:2}"
}

lab_load() {
    local address
    address=$(need_guest "${1-}")
    shift
    from_client ask "$address" 12 "$@"
}

# These two take the place of this process: a signal must reach the program that reports at its end.
lab_probe() {
    local address
    address=$(need_guest "${1-}")
    enter client "$VAR/image/guestd" probe "$address" "${@:2}"
}

lab_writes() {
    local address
    address=$(need_guest "${1-}")
    enter client "$VAR/image/guestd" writes "$address" "${@:2}"
}

lab_check() {
    local name=${1-} host='' at_least=0 file='' state report logged
    need_guest "$name" >/dev/null
    shift
    while [[ $# -gt 0 ]]; do
        [[ -n ${2-} ]] || usage_error "$1 needs a value"
        case $1 in
            --host) host=$2 ;;
            --at-least) at_least=$2 ;;
            --file) file=$2 ;;
            --log)
                logged=$(sort -n "$2" | tail -n 1)
                at_least=${logged:-0}
                ;;
            *) usage_error "check: unknown option $1" ;;
        esac
        shift 2
    done
    [[ -n $host ]] || usage_error "check NAME --host HOST"
    need_host "$host"
    state=$(virsh_on "$host" domstate "$name" 2>/dev/null || echo absent)
    if [[ -z $file && $state == running ]]; then
        # Its own view of its disk: what lies in QEMU's hands counts, as a client would see it.
        report=$(lab_load "$name" check)
    else
        [[ -n $file || $state != absent ]] || die "guest '$name' is not defined on $host"
        [[ -n $file ]] || file=$(virsh_on "$host" domblklist "$name" | awk '$1 == "vda" {print $2}')
        report=$(check_file "$host" "$file") || [[ -n $report ]] || die "could not read $file on $host"
    fi
    jq -c --argjson least "$at_least" --arg host "$host" --arg state "$state" \
        '.ok = (.ok and .last >= $least) | . + {acknowledged: $least, host: $host, state: $state}' <<<"$report"
    jq -e --argjson least "$at_least" '.ok and .last >= $least' <<<"$report" >/dev/null
}

# The front half of a disk, through all its layers, as a sparse raw file for the checker.
check_file() {
    local host=$1 file=$2 copy info size status=0
    info=$(in_host "$host" qemu-img info -U --output json "$file")
    size=$(jq '."virtual-size"' <<<"$info")
    copy=$(mktemp "$VAR/check.XXXXXX")
    in_host "$host" qemu-img convert -U -O raw --image-opts \
        "driver=raw,size=$((size / 2 / 512 * 512)),file.driver=$(jq -r .format <<<"$info"),file.file.filename=$file" "$copy" &&
        "$VAR/image/guestd" check "$copy" "$size" || status=$?
    rm -f "$copy"
    return "$status"
}

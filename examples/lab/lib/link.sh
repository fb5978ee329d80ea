# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The management links: limited by tc, cut by iptables. The guests' network stays as it is.

lab_link() {
    [[ $# -ge 2 ]] || usage_error "link HOST rate RATE|none, cut [OTHER|all], or heal"
    local host=$1 verb=$2
    need_host "$host"
    case $verb in
        rate)
            [[ -n ${3-} ]] || usage_error "link $host rate RATE, such as 100mbit, or none"
            [[ $3 == none || $3 =~ ^[0-9]+([kmg]?bit|[kmg]?bps)$ ]] || usage_error "a rate is such as 100mbit, or none, not '$3'"
            limit_link "$host" "$3"
            ;;
        cut) cut_link "$host" "${3-}" ;;
        heal)
            filter "$host" -F INPUT
            filter "$host" -F OUTPUT
            limit_link "$host" none
            ;;
        *) usage_error "link: rate, cut or heal, not '$verb'" ;;
    esac
}

filter() {
    local host=$1
    shift
    nsenter --net=/run/netns/"$(netns_of "$host")" iptables -w "$@"
}

# A token bucket at both ends of the cable, since it only shapes what leaves.
limit_link() {
    local host=$1 rate=$2 switch netns
    netns=$(netns_of "$host") switch=$(netns_of client)
    if [[ $rate == none ]]; then
        tc -n "$netns" qdisc del dev mgmt0 root 2>/dev/null || true
        tc -n "$switch" qdisc del dev "mgmt0-$host" root 2>/dev/null || true
        return
    fi
    # The bucket holds more than one 64 KiB segment of the local TCP, or the rate would not be reached.
    tc -n "$netns" qdisc replace dev mgmt0 root tbf rate "$rate" burst 256k latency 50ms
    tc -n "$switch" qdisc replace dev "mgmt0-$host" root tbf rate "$rate" burst 256k latency 50ms
}

cut_link() {
    local host=$1 whom=$2 other
    if [[ $whom == all ]]; then
        filter "$host" -I INPUT -i mgmt0 -j DROP
        filter "$host" -I OUTPUT -o mgmt0 -j DROP
        return
    fi
    [[ -z $whom ]] || need_host "$whom"
    for other in ${whom:-$(hosts)}; do
        [[ $other == "$host" ]] && continue
        filter "$host" -I INPUT -s "$(management_address "$other")" -j DROP
        filter "$host" -I OUTPUT -d "$(management_address "$other")" -j DROP
    done
}

link_state() {
    local host=$1 rate cuts
    rate=$(tc -n "$(netns_of "$host")" qdisc show dev mgmt0 | sed -n 's/.*tbf.* rate \([^ ]*\).*/\1/p')
    cuts=$(filter "$host" -S INPUT | sed -nE 's/^-A INPUT (-s ([0-9.]+)[^ ]*|-i mgmt0) -j DROP/\2/p' |
        sed -e 's/^$/all/' | sort -u | tr '\n' ' ')
    printf 'rate %s%s\n' "${rate:-none}" "${cuts:+, CUT from ${cuts% }}"
}

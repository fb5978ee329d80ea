# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# What the other files share: names and addresses, waiting, locks, prerequisites.

# shellcheck disable=SC2034 # used by the files read after this one
ALL_HOSTS=(alpha beta gamma)

management_address() {
    case $1 in
        alpha) echo 10.0.0.1 ;;
        beta) echo 10.0.0.2 ;;
        gamma) echo 10.0.0.3 ;;
        client) echo 10.0.0.254 ;;
        *) die "no such host: $1" ;;
    esac
}

# The libvirt hosts of this lab, in order.
hosts() {
    [[ -r $RUN/hosts ]] || die "no lab '$LAB' is running (start it: lab --name $LAB up)"
    cat "$RUN/hosts"
}

need_host() {
    local known all
    all=$(hosts) || exit 1
    for known in $all; do [[ $known == "$1" ]] && return; done
    usage_error "lab '$LAB' has no host '$1'; it has: ${all//$'\n'/ }"
}

# in_host HOST CMD...: like "lab exec", without giving this process up.
in_host() { (enter "$@"); }

virsh_on() {
    local host=$1
    shift
    in_host "$host" virsh -q -c qemu:///system "$@"
}

# wait_until SECONDS WHAT CMD...: polls a condition; dies naming WHAT when the time is up.
wait_until() {
    local limit=$1 what=$2
    shift 2
    local deadline=$((SECONDS + limit))
    until "$@"; do
        ((SECONDS < deadline)) || die "after ${limit} s still not so: $what"
        sleep 0.05
    done
}

# Takes the lock of this lab as descriptor 9. Whatever is started to stay must close it (9>&-), or it would hold the lock too.
lock_lab() {
    mkdir -p "$RUN_ROOT"
    while :; do
        exec 9>"$RUN.lock"
        flock -w 120 9 || die "another lab command holds $RUN.lock for two minutes already"
        # Whoever took the lab down has removed the file that we waited for: then it is worth nothing.
        [[ /proc/self/fd/9 -ef $RUN.lock ]] && return
        exec 9>&-
    done
}

# This machine cannot have a lab. Apart from other failures, so that tests can be skipped: 77 is what ctest takes for that.
cannot() {
    printf 'lab: %s\n' "$*" >&2
    exit 77
}

check_prerequisites() {
    [[ $EUID -eq 0 ]] || cannot "the lab makes network namespaces and runs libvirtd: run it as root (sudo)"
    local tool package missing=()
    while read -r tool package; do
        command -v "$tool" >/dev/null || missing+=("$package")
    done <<'LIST'
libvirtd libvirt-daemon-system
virsh libvirt-clients
qemu-system-x86_64 qemu-system-x86
qemu-img qemu-utils
busybox busybox-static
cpio cpio
ip iproute2
iptables iptables
jq jq
g++ g++
nsenter util-linux
mkfs.ext4 e2fsprogs
LIST
    [[ -e /usr/lib/x86_64-linux-gnu/libvirt/connection-driver/libvirt_driver_qemu.so ]] ||
        missing+=(libvirt-daemon-driver-qemu)
    [[ ${#missing[@]} -eq 0 ]] || cannot "packages are missing; type: apt-get install --no-install-recommends ${missing[*]}"
    ldd "$(command -v busybox)" >/dev/null 2>&1 &&
        cannot "busybox must be the static one; type: apt-get install --no-install-recommends busybox-static"
    unshare --net --mount --uts true 2>/dev/null ||
        cannot "this machine does not allow new network, mount and UTS namespaces (a container? run it privileged)"
    unshare --net ip link add br0 type bridge 2>/dev/null || cannot "this kernel has no network bridges; type: modprobe bridge"
    [[ -c /dev/net/tun ]] || cannot "/dev/net/tun is missing; type: modprobe tun"
    mkdir -p "$VAR_ROOT"
    local free_mib
    free_mib=$(df --output=avail -m "$VAR_ROOT" | tail -n 1)
    ((free_mib >= 2048)) || cannot "$VAR_ROOT has $free_mib MiB free; a lab wants 2048"
}

accelerator() {
    case ${UMBRA_LAB_ACCEL:-} in
        kvm | tcg) echo "$UMBRA_LAB_ACCEL" && return ;;
        '') ;;
        *) die "UMBRA_LAB_ACCEL is kvm or tcg, not '$UMBRA_LAB_ACCEL'" ;;
    esac
    # A /dev/kvm without the processor flag is seen on nested machines, where it opens and then fails.
    if grep -qE '^flags.*\b(vmx|svm)\b' /proc/cpuinfo && (exec 3<>/dev/kvm) 2>/dev/null; then echo kvm; else echo tcg; fi
}

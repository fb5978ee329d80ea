# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Hosts: namespaces, networks, libvirtd; up, down, status, config.

# The host's own folder that stands for PATH in its mount namespace, as seen from outside.
folder_of() { echo "$VAR/$1/${2//\//_}"; }

lab_up() {
    local count=2
    while [[ $# -gt 0 ]]; do
        case $1 in
            --hosts) count=${2-} && shift 2 ;;
            *) usage_error "up: unknown option $1" ;;
        esac
    done
    [[ $count =~ ^[23]$ ]] || usage_error "a lab has 2 or 3 hosts"
    check_prerequisites
    lock_lab
    if is_whole; then
        local host
        for host in $(hosts); do libvirtd_answers "$host" || start_libvirtd "$host"; done
        note "lab '$LAB' is running already"
        return
    fi
    remove_lab # what a crash may have left
    ensure_image

    mkdir -p "$RUN" "$VAR/state" "$VAR/image"
    cp -l "$IMAGE"/* "$VAR/image/" 2>/dev/null || cp "$IMAGE"/* "$VAR/image/"
    printf '%s\n' "${ALL_HOSTS[@]:0:count}" >"$RUN/hosts"
    write_hosts_file
    start_switch
    local host
    for host in $(hosts); do
        start_host "$host"
        # The first libvirtd of a machine asks QEMU for its abilities, for some seconds; the others take over its answer.
        [[ -d $CACHE/capabilities ]] || keep_capabilities "$host"
    done
    for host in $(hosts); do finish_host "$host"; done
    write_config
    keep_capabilities alpha
    touch "$RUN/whole"
    cat >&2 <<TEXT
lab: '$LAB' is up: $(hosts | tr '\n' ' ')and client. Accelerator: $(accelerator). Go on with:
    eval "\$($LAB_SCRIPT --name $LAB env)"       # UMBRA_CONFIG=$RUN/umbra.toml
    $LAB_SCRIPT --name $LAB guest web1 --writer
    $LAB_SCRIPT --name $LAB status
TEXT
}

# Complete, and every host's namespaces still held.
is_whole() {
    [[ -e $RUN/whole ]] || return 1
    local host pid
    for host in client $(hosts); do
        pid=$(cat "$RUN/$host/holder" 2>/dev/null) || return 1
        [[ /proc/$pid/ns/net -ef /run/netns/$(netns_of "$host") ]] || return 1
    done
}

write_hosts_file() {
    local host
    {
        echo "127.0.0.1 localhost"
        for host in client $(hosts); do echo "$(management_address "$host") $host"; done
    } >"$RUN/etc-hosts"
}

make_namespace() {
    local host=$1 netns folder=''
    netns=$(netns_of "$host")
    mkdir -p "$RUN/$host"
    ip netns add "$netns"
    ip -n "$netns" link set lo up
    # Frames of guests cross the bridges; they are no business of this machine's packet filter or of IPv6.
    nsenter --net=/run/netns/"$netns" sh -c '
        echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6
        [ ! -e /proc/sys/net/bridge/bridge-nf-call-iptables ] || echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables
    ' 2>/dev/null || true
    [[ $host == client ]] || folder=$VAR/$host
    setsid nsenter --net=/run/netns/"$netns" unshare --mount --propagation slave --uts \
        "$LAB_DIR/lib/hold.sh" "$host" "$RUN/etc-hosts" "$folder" "$RUN/$host/holder" \
        </dev/null >"$RUN/$host/hold.log" 2>&1 9>&- &
    wait_until 10 "the namespaces of $host are ready (see $RUN/$host/hold.log)" test -e "$RUN/$host/holder"
}

add_bridge() { # NAMESPACE NAME
    ip -n "$1" link add "$2" type bridge stp_state 0 forward_delay 0 mcast_snooping 0
    ip -n "$1" link set "$2" up
}

# The client's namespace is also the switch that joins the hosts, so that every link can be limited or cut in one place.
start_switch() {
    make_namespace client
    local netns
    netns=$(netns_of client)
    add_bridge "$netns" mgmt
    add_bridge "$netns" br0
    ip -n "$netns" address add 10.0.0.254/24 dev mgmt
    ip -n "$netns" address add 10.1.0.254/24 dev br0
}

join_host() { # HOST INTERFACE-THERE BRIDGE-HERE
    local netns switch port
    netns=$(netns_of "$1") switch=$(netns_of client) port=$2-$1
    # Both ends are made inside their namespaces: no name in the machine's own one, nothing to collide with.
    ip -n "$switch" link add "$port" type veth peer name "$2" netns "$netns"
    ip -n "$switch" link set "$port" master "$3" up
    ip -n "$netns" link set "$2" up
}

start_host() {
    local host=$1 netns
    make_namespace "$host"
    netns=$(netns_of "$host")
    join_host "$host" mgmt0 mgmt
    ip -n "$netns" address add "$(management_address "$host")/24" dev mgmt0
    add_bridge "$netns" br0
    join_host "$host" guest0 br0
    ip -n "$netns" link set guest0 master br0
    write_libvirt_config "$host"
    seed_capabilities "$host"
    start_libvirtd "$host"
}

write_libvirt_config() {
    local host=$1 etc images
    etc=$(folder_of "$host" /etc/libvirt)
    images=$(folder_of "$host" /var/lib/libvirt)/images
    mkdir -p "$images/boot" "$(folder_of "$host" /var/log/libvirt)/qemu" # libvirt does not make it for a console's file
    cp -l "$VAR"/image/{vmlinuz,initrd.img} "$images/boot/" 2>/dev/null || cp "$VAR"/image/{vmlinuz,initrd.img} "$images/boot/"
    # A lab name and a host name give always the same UUID, and no two hosts the same: libvirt would refuse to migrate.
    cat >"$etc/libvirtd.conf" <<CONF
host_uuid = "$(printf '%s' "$LAB/$host" | md5sum | sed -E 's/^(.{8})(.{4}).(.{3}).(.{3})(.{12}).*/\1-\2-4\3-a\4-\5/')"
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
listen_addr = "$(management_address "$host")"
log_outputs = "2:file:/var/log/libvirt/libvirtd.log"
CONF
    cat >"$etc/qemu.conf" <<'CONF'
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "file"
remember_owner = 0
CONF
}

# Asked on the host itself, over TCP: so a cut link does not matter, and a listening port does.
libvirtd_answers() {
    in_host "$1" virsh -q -c "qemu+tcp://$(management_address "$1")/system" version --daemon >/dev/null 2>&1
}

start_libvirtd() {
    local host=$1 log
    log=$(folder_of "$host" /var/log/libvirt)/start.log
    # A subshell, so that only the process that becomes libvirtd goes on.
    (
        exec </dev/null >>"$log" 2>&1 9>&-
        enter "$host" setsid libvirtd --listen --pid-file /run/libvirt/libvirtd.pid
    ) &
    disown
}

finish_host() {
    local host=$1
    wait_until 60 "libvirtd on $host answers (see $VAR/$host)" libvirtd_answers "$host"
    # A pool over the images' folder: with one, libvirt makes missing disks itself when a migration copies storage.
    virsh_on "$host" pool-define-as images dir --target /var/lib/libvirt/images >/dev/null
    virsh_on "$host" pool-autostart images >/dev/null
    virsh_on "$host" pool-start images >/dev/null
}

# What libvirt has learned about QEMU. It checks for itself whether that still holds (versions, file times, kernel, KVM).
keep_capabilities() {
    local new
    wait_until 60 "libvirtd on $1 answers (see $VAR/$1)" libvirtd_answers "$1"
    new=$(mktemp -d "$CACHE/new.XXXXXX")
    cp -p "$(folder_of "$1" /var/cache/libvirt)"/qemu/capabilities/*.xml "$new/"
    # Another lab may do the same now: whoever comes second has the same files.
    rm -rf "$CACHE/capabilities"
    mv -T "$new" "$CACHE/capabilities" 2>/dev/null || rm -rf "$new"
}

seed_capabilities() {
    local into
    into=$(folder_of "$1" /var/cache/libvirt)/qemu/capabilities
    mkdir -p "$into"
    cp -p "$CACHE"/capabilities/*.xml "$into/" 2>/dev/null || true # none yet: libvirt asks QEMU
}

lab_host() {
    [[ $# -eq 2 ]] || usage_error "host HOST crash|stop|start"
    local host=$1 keep pid
    need_host "$host"
    keep=$(<"$RUN/$host/holder")
    case $2 in
        crash)
            # All at once, stopped first: nobody may see another die and react.
            for pid in $(host_pids "$host"); do [[ $pid == "$keep" ]] || kill -STOP "$pid" 2>/dev/null || true; done
            for pid in $(host_pids "$host"); do [[ $pid == "$keep" ]] || kill -KILL "$pid" 2>/dev/null || true; done
            wait_until 10 "nothing runs on $host" nothing_but "$host" "$keep"
            find "$(folder_of "$host" /run/libvirt)" -mindepth 1 -delete # what a reboot would empty
            ;;
        stop)
            pid=$(cat "$(folder_of "$host" /run/libvirt)/libvirtd.pid" 2>/dev/null) || return 0
            [[ /proc/$pid/ns/net -ef /run/netns/$(netns_of "$host") ]] && kill -KILL "$pid"
            wait_until 10 "libvirtd on $host is gone" test ! -e "/proc/$pid/ns/net"
            ;;
        start)
            libvirtd_answers "$host" || start_libvirtd "$host"
            wait_until 30 "libvirtd on $host answers" libvirtd_answers "$host"
            ;;
        *) usage_error "host HOST crash|stop|start" ;;
    esac
}

host_pids() { ip netns pids "$(netns_of "$1")" 2>/dev/null || true; }
nothing_but() { [[ $(host_pids "$1") == "$2" ]]; }

lab_down() {
    [[ $EUID -eq 0 ]] || die "run it as root (sudo)"
    if [[ ${1-} == --all ]]; then
        local name
        for name in $(all_labs); do "$LAB_SCRIPT" --name "$name" down; done
        return
    fi
    [[ $# -eq 0 ]] || usage_error "down: unknown option $1"
    lock_lab
    remove_lab
    rm -f "$RUN.lock"
    rmdir "$RUN_ROOT" "$VAR_ROOT" 2>/dev/null || true
}

all_labs() {
    {
        find "$RUN_ROOT" "$VAR_ROOT" -mindepth 1 -maxdepth 1 -printf '%f\n' 2>/dev/null | sed 's/\.lock$//'
        find /run/netns -name 'umbra-*' -printf '%f\n' 2>/dev/null | sed -nE 's/^umbra-(.*)-(client|alpha|beta|gamma)$/\1/p'
    } | sort -u
}

# Works on whatever is there, in the order that leaves every step to be done again: processes, namespaces, folders.
remove_lab() {
    local host netns
    wait_until 30 "the processes of lab '$LAB' are gone" kill_processes
    for host in "${ALL_HOSTS[@]}" client; do
        netns=$(netns_of "$host")
        [[ -e /run/netns/$netns ]] || continue
        ip netns delete "$netns" 2>/dev/null || true
        rm -f "/run/netns/$netns"
    done
    rm -rf "$RUN" "$VAR"
}

# Kills all that is in one of this lab's network namespaces, which nothing else ever enters; true when none is left.
kill_processes() {
    local host pid left=0 own
    own=" $(ancestors) "
    for host in "${ALL_HOSTS[@]}" client; do
        [[ -e /run/netns/$(netns_of "$host") ]] || continue
        for pid in $(host_pids "$host"); do
            [[ $own == *" $pid "* ]] && continue # "lab down" typed on one of its hosts
            kill -KILL "$pid" 2>/dev/null || true
            left=1
        done
    done
    ((left == 0))
}

ancestors() {
    local pid=$$
    while ((pid > 1)); do
        printf '%s ' "$pid"
        pid=$(awk '/^PPid:/ {print $2}' "/proc/$pid/status")
    done
}

lab_status() {
    local host name state
    [[ -r $RUN/hosts ]] || die "no lab '$LAB' is running (start it: lab --name $LAB up)"
    is_whole || note "lab '$LAB' is not whole (lab --name $LAB up builds it anew)"
    for host in $(hosts); do
        printf '%-7s %-11s ' "$host" "$(management_address "$host")"
        if libvirtd_answers "$host"; then printf 'libvirtd up    '; else printf 'libvirtd DOWN  '; fi
        printf 'link: %s\n' "$(link_state "$host")"
        libvirtd_answers "$host" || continue
        while read -r name; do
            [[ -n $name ]] || continue
            state=$(virsh_on "$host" domstate "$name")
            printf '    %-14s %-10s %s\n' "$name" "$state" "$(guest_field "$name" 2 || echo '(not made by the lab)')"
        done < <(virsh_on "$host" list --all --name)
    done
}

lab_config() {
    local host other
    printf '# The lab "%s", as made by %s.\n[state]\ndir = "%s/state"\n' "$LAB" "$LAB_SCRIPT" "$VAR"
    # All hosts of a lab are the same two cores: what one uses, the other seems to use too.
    printf '[place]\ncpu_overcommit = 4.0\n'
    for host in $(hosts); do
        other=$(management_address "$host")
        cat <<TOML

[hosts.$host]
uri = "qemu+tcp://$other/system"
images = "/var/lib/libvirt/images"
receive = ["$LAB_SCRIPT", "--name", "$LAB", "exec", "$host", "${UMBRA_BIN:-umbra}", "receive"]
nbd = { listen = "$other" }
networks = { "br0" = "br0" }
TOML
    done
}

write_config() {
    lab_config >"$RUN/umbra.toml.$$"
    mv "$RUN/umbra.toml.$$" "$RUN/umbra.toml"
}

lab_env() {
    hosts >/dev/null
    write_config # UMBRA_BIN may be another one by now
    printf 'export UMBRA_LAB=%q\nexport UMBRA_CONFIG=%q\n' "$LAB" "$RUN/umbra.toml"
}

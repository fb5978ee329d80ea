# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# Guests: disks, domain XML, start and removal. $RUN/guests is the table of names: NAME ADDRESS MAC.

lab_guest() {
    [[ $# -ge 1 && $1 != -* ]] || usage_error "guest NAME [options]"
    local name=$1
    shift
    [[ $name =~ ^[a-z][a-z0-9-]{0,30}$ ]] || usage_error "a guest's name is of a-z, 0-9 and -, not '$name'"
    local host=alpha memory=256 vcpus=1 format=qcow2 fill=0 load=idle ramp=10 dirty=0 dirty_set=0 writer=0 rate=100
    local start=1 delete=0 fs=0 plain_memory=0 disks=()
    while [[ $# -gt 0 ]]; do
        case $1 in
            --raw) format=raw ;;
            --writer) writer=1 ;;
            --no-start) start=0 ;;
            --delete) delete=1 ;;
            --fs) fs=1 ;;
            --plain-memory) plain_memory=1 ;;
            --host | --memory | --vcpus | --disk | --fill | --load | --ramp-minutes | --dirty | --dirty-set | --writer-rate)
                [[ -n ${2-} ]] || usage_error "$1 needs a value"
                case $1 in
                    --host) host=$2 ;;
                    --memory) memory=$2 ;;
                    --vcpus) vcpus=$2 ;;
                    --disk) disks+=("$2") ;;
                    --fill) fill=$2 ;;
                    --load) load=$2 ;;
                    --ramp-minutes) ramp=$2 ;;
                    --dirty) dirty=$2 ;;
                    --dirty-set) dirty_set=$2 ;;
                    --writer-rate) writer=1 rate=$2 ;;
                esac
                shift
                ;;
            *) usage_error "guest: unknown option $1" ;;
        esac
        shift
    done
    if ((delete)); then
        guest_field "$name" 2 >/dev/null || die "no guest '$name' in lab '$LAB'"
        delete_guest "$name"
        return
    fi
    need_host "$host"
    local number size
    for number in "--memory $memory" "--vcpus $vcpus" "--ramp-minutes $ramp" "--dirty $dirty" "--dirty-set $dirty_set" "--writer-rate $rate"; do
        [[ ${number#* } =~ ^[0-9]+(\.[0-9]+)?$ ]] || usage_error "${number%% *} is a number, not '${number#* }'"
    done
    [[ $memory =~ ^[0-9]+$ && $memory -ge 64 ]] || usage_error "--memory is at least 64 (MiB), not '$memory'"
    [[ $vcpus =~ ^[1-9][0-9]*$ ]] || usage_error "--vcpus is at least 1, not '$vcpus'"
    for size in "${disks[@]}" "$fill"; do
        [[ $size =~ ^[0-9]+[KMGT]?$ ]] || usage_error "a size is a number with K, M, G or T, not '$size'"
    done
    [[ $load =~ ^(idle|ramp|full)$ ]] || usage_error "--load is idle, ramp or full"
    [[ ${#disks[@]} -gt 0 ]] || disks=(512M)
    ((fs == 0 || ${#disks[@]} > 1)) || usage_error "--fs wants a second --disk: the first belongs to the writer"
    local other
    for other in $(hosts); do
        ! virsh_on "$other" domid "$name" >/dev/null 2>&1 ||
            die "guest '$name' exists on $other (remove it: lab --name $LAB guest $name --delete)"
    done

    local address mac
    register_guest "$name"
    address=$(guest_field "$name" 2) mac=$(guest_field "$name" 3)
    make_disks "$name" "$host" "$format" "$fill" "$fs" "${disks[@]}"
    local words="ip=$address/24 umbra.name=$name umbra.load=$load umbra.ramp=$ramp umbra.dirty=$dirty umbra.set=$dirty_set"
    words+=" umbra.writer=$((writer ? rate : 0))"
    ((fs == 0)) || words+=" umbra.fs=/dev/$(disk_letter $((${#disks[@]} - 1)))"
    domain_xml "$name" "$host" "$format" "$memory" "$vcpus" "$mac" "$words" "${#disks[@]}" \
        "$plain_memory" >"$RUN/$name.xml"
    virsh_on "$host" define "$RUN/$name.xml" >/dev/null
    if ((start)); then
        if ! virsh_on "$host" start "$name" >/dev/null; then
            delete_guest "$name"
            die "guest '$name' could not be started"
        fi
        in_host client "$VAR/image/guestd" ask "$address" 11 --for 120 >/dev/null ||
            die "guest '$name' did not answer (its console: $(folder_of "$host" /var/log/libvirt)/qemu/$name-console.log)"
    fi
    echo "$address"
}

disk_letter() {
    local letters=abcdefghij
    echo "vd${letters:$1:1}"
}

guest_field() { # NAME COLUMN
    awk -v name="$1" -v column="$2" '$1 == name {print $column; found = 1} END {exit !found}' "$RUN/guests" 2>/dev/null
}

# The same name gives the same address wherever it is free; the table keeps two names apart that fall together.
register_guest() {
    local name=$1 digest slot
    (
        exec 8>"$RUN/guests.lock"
        flock 8
        ! guest_field "$name" 2 >/dev/null || exit 0
        digest=$(printf '%s' "$name" | md5sum)
        slot=$((16#${digest:0:4} % 240))
        while grep -qs " 10\.1\.0\.$((10 + slot)) " "$RUN/guests"; do slot=$(((slot + 1) % 240)); done
        printf '%s 10.1.0.%d 52:54:00:%s:%s:%02x\n' "$name" $((10 + slot)) "${digest:4:2}" "${digest:6:2}" $((10 + slot)) \
            >>"$RUN/guests"
    )
}

make_disks() {
    local name=$1 host=$2 format=$3 fill=$4 fs=$5 index=0 images size file
    shift 5
    images=$(folder_of "$host" /var/lib/libvirt)/images
    for size in "$@"; do
        file=$images/$name-$(disk_letter "$index").$format
        rm -f "$file"
        if ((index == 0)) && [[ $fill != 0 ]]; then
            make_filled "$file" "$format" "$size" "$fill"
        elif ((fs == 1 && index == $# - 1)); then
            truncate -s "$size" "$file.new"
            mkfs.ext4 -q -E nodiscard "$file.new"
            convert_disk "$file.new" "$format" "$file"
        else
            # Version 3 of qcow2: older ones cannot keep dirty bitmaps.
            local options=()
            [[ $format == raw ]] || options=(-o compat=1.1)
            qemu-img create -q -f "$format" "${options[@]}" "$file" "$size"
        fi
        index=$((index + 1))
    done
}

convert_disk() { # RAW FORMAT TO
    if [[ $2 == raw ]]; then
        mv "$1" "$3"
    else
        qemu-img convert -q -f raw -O qcow2 -o compat=1.1 "$1" "$3"
        rm -f "$1"
    fi
}

# Noise from the middle of the disk on: the front half belongs to the numbered records.
make_filled() {
    local file=$1 format=$2 size=$3 fill bytes
    fill=$(numfmt --from=iec "$4")
    truncate -s "$size" "$file.new"
    bytes=$(stat -c %s "$file.new")
    ((fill <= bytes / 2)) || { rm -f "$file.new" && usage_error "--fill: at most half of the first disk"; }
    dd if=/dev/urandom of="$file.new" bs=1M count="$fill" iflag=count_bytes,fullblock conv=notrunc \
        seek=$((bytes / 2)) oflag=seek_bytes status=none
    convert_disk "$file.new" "$format" "$file"
}

# Cache "none" where the file system can do without the page cache, as on a real host.
disk_cache() {
    if dd if=/dev/zero of="$1/direct" bs=4096 count=1 oflag=direct status=none 2>/dev/null; then echo none; else echo writeback; fi
    rm -f "$1/direct"
}

domain_xml() {
    local name=$1 host=$2 format=$3 memory=$4 vcpus=$5 mac=$6 words=$7 disk_count=$8 plain=$9
    local type=qemu cpu cache index letter
    # A named model, so that a guest can go between the hosts whatever the emulator's own default is.
    cpu="<cpu mode='custom' match='exact' check='none'><model fallback='allow'>qemu64</model></cpu>"
    if [[ $(accelerator) == kvm ]]; then
        type=kvm
        cpu="<cpu mode='host-model'/>"
    fi
    cache=$(disk_cache "$(folder_of "$host" /var/lib/libvirt)/images")
    cat <<XML
<domain type='$type' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
  <name>$name</name>
  <memory unit='MiB'>$memory</memory>
  <vcpu>$vcpus</vcpu>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>/var/lib/libvirt/images/boot/vmlinuz</kernel>
    <initrd>/var/lib/libvirt/images/boot/initrd.img</initrd>
    <cmdline>console=ttyS0 quiet mitigations=off $words</cmdline>
  </os>
  <features><acpi/><apic/></features>
  $cpu
  <clock offset='utc'/>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
XML
    for ((index = 0; index < disk_count; index++)); do
        letter=$(disk_letter "$index")
        cat <<XML
    <disk type='file' device='disk'>
      <driver name='qemu' type='$format' cache='$cache' discard='unmap'/>
      <source file='/var/lib/libvirt/images/$name-$letter.$format'/>
      <target dev='$letter' bus='virtio'/>
    </disk>
XML
    done
    cat <<XML
    <controller type='usb' model='none'/>
    <interface type='bridge'>
      <mac address='$mac'/>
      <source bridge='br0'/>
      <model type='virtio'/>
    </interface>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <serial type='file'><source path='/var/log/libvirt/qemu/$name-console.log' append='on'/><target port='0'/></serial>
    <memballoon model='virtio'><stats period='2'/></memballoon>
  </devices>
XML
    ((plain)) || odd_memory "$memory"
    echo "</domain>"
}

# Before version 9.0, an emulating QEMU (TCG) loses dirty pages in every live migration and live memory snapshot of more than a
# few passes: its quick way of collecting the dirty bits forgets to tell the emulated processor's TLB, and later writes go
# unseen (QEMU commit 03bfc2188f). Guests then die with corrupted memory: 6 of 6 on a link of 200 Mbit/s. The quick way
# is only taken for memory of a multiple of 256 KiB, and libvirt knows no other; so 8 KiB are added past it: 0 of 8 died.
odd_memory() {
    [[ $(accelerator) == tcg ]] || return 0
    local version
    version=$(qemu-system-x86_64 --version | sed -nE '1s/.*version ([0-9]+).*/\1/p')
    ((version < 9)) || return 0
    local size=$(($1 * 1024 + 8))k
    cat <<XML
  <qemu:commandline>
    <qemu:arg value='-object'/><qemu:arg value='memory-backend-ram,id=lab.ram,size=$size'/>
    <qemu:arg value='-machine'/><qemu:arg value='memory-backend=lab.ram'/>
    <qemu:arg value='-m'/><qemu:arg value='size=$size'/>
  </qemu:commandline>
XML
}

delete_guest() {
    local name=$1 host images
    for host in $(hosts); do
        if virsh_on "$host" domid "$name" >/dev/null 2>&1; then
            virsh_on "$host" destroy "$name" >/dev/null 2>&1 || true
            virsh_on "$host" undefine "$name" --managed-save --snapshots-metadata --checkpoints-metadata >/dev/null 2>&1 ||
                ! virsh_on "$host" domid "$name" >/dev/null 2>&1 || die "could not undefine '$name' on $host"
        fi
        images=$(folder_of "$host" /var/lib/libvirt)/images
        rm -f "$images/$name"-vd[a-z].* "$(folder_of "$host" /var/log/libvirt)/qemu/$name-console.log" \
            "$(folder_of "$host" /var/log/libvirt)/qemu/$name.log"
        # Or the pool would still list the files, and a later migration would not make them again.
        virsh_on "$host" pool-refresh images >/dev/null 2>&1 || true
    done
    rm -f "$RUN/$name.xml"
    (
        exec 8>"$RUN/guests.lock"
        flock 8
        [[ ! -e $RUN/guests ]] || sed -i "/^$name /d" "$RUN/guests"
    )
}

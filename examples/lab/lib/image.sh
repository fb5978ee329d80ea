# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# The guest: Debian's cloud kernel, busybox, the guest agent and our guestd in an initrd. Built once and kept.

GUEST_MODULES=(virtio_ring virtio virtio_pci_legacy_dev virtio_pci_modern_dev virtio_pci virtio_blk failover net_failover
    virtio_net virtio_console virtio_balloon)

image_digest() {
    (cd "$LAB_DIR" && cat guest/* lib/image.sh /bin/busybox | sha256sum | cut -c 1-16)
}

# Sets IMAGE to the folder with vmlinuz, initrd.img and guestd.
ensure_image() {
    IMAGE=$CACHE/image-$(image_digest)
    [[ -e $IMAGE/initrd.img ]] && return
    mkdir -p "$CACHE"
    # Two labs may come here at once: the second waits, and finds the work done.
    (
        exec 9>&-
        exec 8>"$CACHE/lock"
        flock 8
        [[ -e $IMAGE/initrd.img ]] && exit
        note "building the guest image (once, about half a minute)"
        rm -rf "$CACHE"/building.*
        work=$(mktemp -d "$CACHE/building.XXXXXX")
        chmod 755 "$work"
        # In a shell of its own: where a caller asks for the status, bash lets a function go on after a failure.
        LAB_DIR=$LAB_DIR bash -c '. "$LAB_DIR/lib/image.sh" && build_image "$1"' build "$work" >"$CACHE/build.log" 2>&1 || die "building the guest image failed; see $CACHE/build.log"
        mv "$work/out" "$IMAGE"
        rm -rf "$work"
        # Images of older sources; running labs have their own copy.
        find "$CACHE" -mindepth 1 -maxdepth 1 -name "image-*" ! -path "$IMAGE" -exec rm -rf {} +
    ) || exit
}

fetch_package() {
    apt-get -q -o APT::Sandbox::User=root download "$1" ||
        { apt-get -q update && apt-get -q -o APT::Sandbox::User=root download "$1"; }
}

build_image() {
    set -euo pipefail
    local work=$1 root=$1/root out=$1/out
    mkdir -p "$out" "$root"/{bin,sbin,dev,proc,sys,tmp,run,etc,data,var/run,root,modules}

    g++ -std=c++20 -O2 -static -pthread -s -o "$out/guestd" "$LAB_DIR"/guest/*.cpp
    cp "$out/guestd" "$root/sbin/guestd"

    local kernel
    cd "$work"
    kernel=$(apt-cache depends linux-image-cloud-amd64 | awk '/Depends: linux-image-/ {print $2; exit}')
    fetch_package "$kernel"
    fetch_package qemu-guest-agent
    local deb
    for deb in ./*.deb; do dpkg -x "$deb" "$work/packages"; done
    cp "$work"/packages/boot/vmlinuz-* "$out/vmlinuz"
    local module file
    for module in "${GUEST_MODULES[@]}"; do
        file=$(find "$work/packages/lib/modules" -name "$module.ko*")
        [[ $file == *.ko ]] || { echo "no plain module $module in $kernel: '$file'" && return 1; }
        cp "$file" "$root/modules/"
        echo "$module" >>"$root/modules/order"
    done

    # The agent is not linked statically: its libraries go along, at the same paths.
    cp "$work/packages/usr/sbin/qemu-ga" "$root/sbin/"
    local library
    for library in $(ldd "$root/sbin/qemu-ga" | grep -o '/[^ ]*'); do
        mkdir -p "$root${library%/*}"
        cp -L "$library" "$root$library"
    done

    cp /bin/busybox "$root/bin/busybox"
    local applet
    for applet in $(busybox --list); do [[ $applet == busybox ]] || ln -sf busybox "$root/bin/$applet"; done
    ln -s /proc/self/mounts "$root/etc/mtab"
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\n' >"$root/etc/group"
    install -m 755 "$LAB_DIR/guest/init" "$root/init"
    install -m 755 "$LAB_DIR/guest/shutdown" "$root/sbin/shutdown"
    cp "$LAB_DIR/guest/inittab" "$root/etc/inittab"
    install -m 755 "$LAB_DIR/guest/run" "$root/sbin/run"
    # Not compressed: unpacking costs an emulated processor more than the few MiB cost here.
    (cd "$root" && find . | cpio -o -H newc -R 0:0) >"$out/initrd.img"
}

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs inside a host's fresh namespaces: gives the host its own folders, then stays, so that the namespaces stay.
#   hold.sh NAME HOSTS-FILE FOLDER READY-FILE       FOLDER: empty for the client, which has no libvirt of its own
set -euo pipefail
name=$1 hosts_file=$2 folder=$3 ready=$4
hostname "$name"
mount -t sysfs sysfs /sys # shows the network devices of this namespace
mount --bind "$hosts_file" /etc/hosts
if [[ -n $folder ]]; then
    for path in /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt /etc/libvirt; do
        own=$folder/${path//\//_}
        mkdir -p "$own" "$path"
        mount --bind "$own" "$path"
    done
fi
echo $$ >"$ready.new"
mv "$ready.new" "$ready"
exec sleep infinity

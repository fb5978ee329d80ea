# SPDX-License-Identifier: Apache-2.0
"""What a loss of power leaves, by what shim.cpp recorded of syncs."""
import os
import shutil
import subprocess


def synced_tree(synced, images, target):
    """What a loss of power leaves of `images`: names as of their folder's last sync, contents as of their own."""
    def key_of(path):
        said = subprocess.run(["stat", "--printf", "%i %.W", path], capture_output=True, check=True, text=True).stdout
        inode, birth = said.split()
        seconds, _, nanos = birth.partition(".")
        return f"{inode}-{seconds}.{int(nanos.ljust(9, '0')[:9])}"

    def build(key, into):
        os.makedirs(into, exist_ok=True)
        names = f"{synced}/dirs/{key}"
        if not os.path.exists(names):
            return
        for line in open(names, encoding="utf-8"):
            kind, its_key, name = line.rstrip("\n").split(" ", 2)
            if kind == "d":
                build(its_key, f"{into}/{name}")
            elif os.path.exists(f"{synced}/files/{its_key}"):
                shutil.copy(f"{synced}/files/{its_key}", f"{into}/{name}")
            else:
                open(f"{into}/{name}", "wb").close()

    build(key_of(images), target)

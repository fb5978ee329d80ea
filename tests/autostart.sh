# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# autostart_script: the shell's words of examples/systemd/umbra-autostart.service, as systemd hands them over.
autostart_script() {
    local unit
    unit=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../examples/systemd/umbra-autostart.service
    # shellcheck disable=SC2016 # for systemd a dollar is written twice
    sed -n "/^ExecStart=/,/'\$/{ s/^ExecStart=[^']*'//; s/ *\\\\\$//; s/'\$//; s/\\\$\\\$/\$/g; p }" "$unit" | tr '\n' ' '
}

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Brings recordings that are not in the format of --trace into it.  convert.py TRACES OUT

TRACES is the folder of recordings (one folder each, see their PROVENANCE.md); OUT gets google.csv, ifca.csv and
bitbrains_io.csv. What has no capacity is measured against its own range: power against its maximum, network and disk
rates against what 0.1 % of the readings pass. Needs the standard library alone, so that every machine gives the same.
"""
import csv
import glob
import os
import sys

GOOGLE_START = 1304208000  # 2011-05-01, when that trace was recorded
IFCA_START = 1742169600    # 2025-03-17T00:00:00Z, as its PROVENANCE.md tells


def rows_of(path):
    with open(path, newline='') as file:
        return list(csv.reader(file))


def google(traces, out):
    cpu = rows_of(os.path.join(traces, 'google_gcd_vms', 'cpu_pct.csv'))
    memory = {row[0]: row[1:] for row in rows_of(os.path.join(traces, 'google_gcd_vms', 'mem_pct.csv'))}
    with open(os.path.join(out, 'google.csv'), 'w') as file:
        file.write('time,vm,cpu,memory\n')
        for row in cpu[1::2]:
            other = memory.get(row[0], [''] * len(row))
            for step, (value, used) in enumerate(zip(row[1:], other)):
                if value:
                    cell = '%.4f' % (float(used) / 100) if used else ''
                    file.write('%d,g_%s,%.4f,%s\n' % (GOOGLE_START + 300 * step, row[0], float(value) / 100, cell))


def ifca(traces, out):
    rows = rows_of(os.path.join(traces, 'ifca_vm_power', 'vm_power_watts.csv'))
    with open(os.path.join(out, 'ifca.csv'), 'w') as file:
        file.write('time,vm,cpu\n')
        for column in range(1, len(rows[0])):
            series = [(int(float(row[0])), float(row[column])) for row in rows[1:] if row[column]]
            most = max((watts for _, watts in series), default=0)
            if most > 1:  # less is idle
                for time, watts in series:
                    file.write('%d,i_%d,%.4f\n' % (IFCA_START + time, column, watts / most))


def bitbrains_io(traces, out):
    def fractions(values):
        full = max(sorted(values)[int(0.999 * (len(values) - 1))], 1e-9)
        return [min(value / full, 2) for value in values]

    with open(os.path.join(out, 'bitbrains_io.csv'), 'w') as file:
        file.write('time,vm,net,disk,cpu\n')
        for path in sorted(glob.glob(os.path.join(traces, 'bitbrains_rnd', 'vm[0-9]*.csv'))):
            with open(path, newline='') as recorded:
                rows = list(csv.DictReader(recorded))
            number = lambda row, name: float(row[name] or 0)
            net = fractions([number(row, 'net_rx_kbs') + number(row, 'net_tx_kbs') for row in rows])
            disk = fractions([number(row, 'disk_read_kbs') + number(row, 'disk_write_kbs') for row in rows])
            vm = os.path.basename(path)[:-len('.csv')]
            for row, n, d in zip(rows, net, disk):
                file.write('%s,%s,%.4f,%.4f,%.4f\n' % (row['t_s'], vm, n, d, float(row['cpu_pct']) / 100))


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for convert in (google, ifca, bitbrains_io):
        convert(*sys.argv[1:])

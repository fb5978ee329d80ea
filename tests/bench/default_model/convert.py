#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Brings recordings that are not in the format of --trace into it.  convert.py TRACES OUT

TRACES is the folder of recordings (one folder each, see their PROVENANCE.md); OUT gets google.csv, ifca.csv, bitbrains_io.csv,
planetlab_early.csv and planetlab_late.csv with every day that there is, and made_up.csv: waves, ramps, leaks, jobs and bursts at steps of a second to a
quarter of an hour, so that what is smooth and regular is known too. What has no capacity is measured against its own range: power against its maximum, network and disk
rates against what 0.1 % of the readings pass. Needs the standard library alone, so that every machine gives the same.
"""
import calendar
import csv
import glob
import math
import os
import random
import sys
import time

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


def planetlab(traces, out):
    """Two files: a set of many VMs counts no more than one of few, and this one has 8,426."""
    days = sorted(glob.glob(os.path.join(traces, 'planetlab', '2011*.csv')))
    for name, some in (('planetlab_early', days[:4]), ('planetlab_late', days[4:])):
        with open(os.path.join(out, name + '.csv'), 'w') as file:
            file.write('time,vm,cpu\n')
            for path in some:
                day = os.path.basename(path)[:8]
                start = calendar.timegm(time.strptime(day, '%Y%m%d'))
                for row in rows_of(path)[1:]:
                    for step, percent in enumerate(row[1:]):
                        file.write('%d,p%s_%s,%.2f\n' % (start + 300 * step, day[4:], row[0], int(percent) / 100))


def course(dice, kind, steps):
    """Values of `steps` readings, without noise."""
    low, high = sorted((dice.uniform(0.02, 0.7), dice.uniform(0.3, 1.15)))
    slow = (dice.uniform(400, steps / 3),) * 4 if steps > 2000 else ()
    period = dice.choice((12, 24, 48, 96, 288, dice.uniform(8, 400)) + slow)
    shift = dice.uniform(0, period)
    if kind == 'wave':
        return [low + (high - low) * (0.5 + 0.5 * math.sin(2 * math.pi * (i + shift) / period)) for i in range(steps)]
    if kind == 'leak':  # grows, and starts again
        return [low + (high - low) * (((i + shift) % period) / period) for i in range(steps)]
    if kind == 'job':  # at regular times, for a while
        busy = dice.uniform(0.05, 0.6)
        return [high if (i + shift) % period < busy * period else low for i in range(steps)]
    if kind == 'ramp':  # once, from one level to another
        begin, length = dice.uniform(0.1, 0.8) * steps, dice.uniform(0.02, 0.6) * steps
        return [low + (high - low) * min(1, max(0, (i - begin) / length)) for i in range(steps)]
    if kind == 'burst':  # now and then, dying away
        values, level = [], 0
        for _ in range(steps):
            level = 1 if dice.random() < 0.6 / period else level * dice.uniform(0.6, 0.95)
            values.append(low + (high - low) * level)
        return values
    values, value = [], dice.uniform(low, high)  # wander
    for _ in range(steps):
        value = min(high, max(low, value + dice.gauss(0, 0.03)))
        values.append(value)
    return values


def made_up(_, out):
    dice = random.Random(1)
    start = 1600000000
    with open(os.path.join(out, 'made_up.csv'), 'w') as file:
        file.write('time,vm,cpu\n')
        for number in range(600):
            step = dice.choice((1, 5, 15, 60, 60, 300, 300, 300, 900))
            # At fine steps some are long: six hours at ten seconds are 2,160 of them.
            steps = dice.choice((60, 150, 400, 1000, 2000) + ((8000,) if step <= 60 else ()))
            noise = dice.choice((0, 0.002, 0.01, 0.03, 0.08))
            values = course(dice, dice.choice(('wave', 'leak', 'job', 'ramp', 'burst', 'wander')), steps)
            begin = start + dice.randrange(86400)
            for i, value in enumerate(values):
                seen = min(1, max(0, value + dice.gauss(0, noise)))
                file.write('%d,m_%d,%.4f\n' % (begin + step * i, number, seen))


if __name__ == '__main__':
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    for convert in (google, ifca, bitbrains_io, planetlab, made_up):
        convert(*sys.argv[1:])

#!/usr/bin/python3
"""Compares a disk served by the preload library with a plain raw file, and with qcow2.

Every case is run in turns: raw, disk, raw, disk, ... and the other way round in every second
turn, so that what the machine does meanwhile falls on both. Where the case allows it the
raw file is the very file that the disk reads or writes, so that both meet the same pages in
the same places; first writes get new files each time. The result is the median over the turns of
the ratio within a turn; the single values stand in runs.csv, for who wants to draw them.

  bench/run.py [--turns N] [-k PATTERN]     BENCH_DIR=DIR to use another filesystem
"""
import argparse
import csv
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BUILD = os.path.join(ROOT, os.environ.get('BUILD', 'build'))
OUT = os.path.join(BUILD, 'bench')
MICRO = os.path.join(OUT, 'micro')
IMG = os.path.join(BUILD, 'addcow-img')
PRELOAD = os.path.join(ROOT, 'addcow-preload.sh')
SIZE = 64 << 20
CPU = max(os.sched_getaffinity(0))


def run(*command, pin=True, **kwargs):
    """Output of a command; on one processor, so that none of its calls finds a cold cache."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          preexec_fn=(lambda: os.sched_setaffinity(0, {CPU})) if pin else None,
                          **kwargs)
    if done.returncode or done.stderr:
        sys.exit(f'bench: {" ".join(command)}: exit {done.returncode}: {done.stderr.strip()}')
    return done.stdout


class Files:
    """Makes the files of a measurement, in one directory. Each kind is path by variant."""

    def __init__(self, where):
        self.where = where
        self.base = os.path.join(where, 'base.img')
        with open(self.base, 'wb') as f:
            for _ in range(SIZE >> 20):
                f.write(os.urandom(1 << 20))
            os.fsync(f.fileno())

    def path(self, name):
        return os.path.join(self.where, name)

    def remove(self):
        for name in os.listdir(self.where):
            if name != 'base.img':
                os.remove(self.path(name))

    def overlay(self):
        run(IMG, 'create', '-q', '-b', 'base.img', self.path('disk.add-cow'))
        return self.path('disk.add-cow')

    def qcow2(self):
        run('qemu-img', 'create', '-q', '-f', 'qcow2', '-b', self.base, '-F', 'raw',
            self.path('disk.qcow2'))
        return self.path('disk.qcow2')

    def none(self):
        """No disk at all, but a descriptor that a hook must let through."""
        return {'raw': '/dev/zero', 'disk': '/dev/zero'}

    def backing(self):
        """A disk on which nothing is written yet."""
        return {'raw': self.base, 'disk': self.overlay(), 'qcow2': self.qcow2()}

    def image(self):
        """A disk with every sector in its image file."""
        disk = self.overlay()
        run(PRELOAD, 'dd', f'if={self.base}', f'of={disk}', 'bs=1M', 'conv=notrunc,fsync',
            'status=none')
        return {'raw': f'{disk}.raw', 'disk': disk}

    def empty(self):
        """The same as `backing`, but the raw file is a sparse one."""
        with open(self.path('disk.raw'), 'wb') as f:
            f.truncate(SIZE)
        return {'raw': self.path('disk.raw'), 'disk': self.overlay(), 'qcow2': self.qcow2()}


# ---- what is measured: each gives nanoseconds per call -------------------------

def micro(mode, rounds, calls):
    def measure(prefix, path, _format, seed):
        low, median = run(*prefix, MICRO, mode, path, str(rounds), str(calls), str(seed)).split()
        # What the machine does meanwhile only ever adds time. But a first write takes its
        # share of the filesystem's work, which comes in bursts.
        return float(median if mode == 'first' else low)
    return measure


def fio(rw):
    def measure(prefix, path, _format, seed):
        out = run(*prefix, 'fio', '--name=bench', f'--filename={path}', f'--rw={rw}', '--bs=4k',
                  f'--size={SIZE}', '--ioengine=psync', '--thread', f'--randseed={seed + 1}',
                  '--norandommap', '--io_size=512M', '--invalidate=0', '--output-format=json')
        job = json.loads(out[out.index('{'):])['jobs'][0]['read' if 'read' in rw else 'write']
        return job['runtime'] * 1e6 / job['total_ios']
    return measure


def qemu(*options, count=20000):
    def measure(prefix, path, format_, _seed):
        # Steps that are no divisor of the size, so that the requests go all over it.
        out = run(*prefix, 'qemu-img', 'bench', '-f', format_, '-t', 'writeback', '-d', '1',
                  '-c', str(count), '-s', '4096', '-S', '1118208', *options, path, pin=False)
        return float(re.search(r'in ([0-9.]+) seconds', out).group(1)) * 1e9 / count
    return measure


class Case:
    def __init__(self, name, measure, kind, target=None, qcow2=False, hook=False, often=1):
        self.name, self.measure, self.kind, self.target, self.hook = name, measure, kind, target, hook
        self.often = often
        self.values = {label: [] for label in ['raw', 'disk'] + ['qcow2'] * qcow2}

    def run(self, files, turns):
        paths = {}
        for number in range(turns * self.often):
            order = list(self.values)
            for label in order if number % 2 == 0 else reversed(order):
                if not paths or self.kind == Files.empty:
                    files.remove()
                    paths = self.kind(files)
                self.values[label].append(self.measure(
                    [PRELOAD] if label == 'disk' else [], paths[label],
                    'qcow2' if label == 'qcow2' else 'raw', number))
        files.remove()

    def median(self, label):
        return statistics.median(self.values[label])

    def ratio(self, label):
        return statistics.median(v / r for v, r in zip(self.values[label], self.values['raw']))

    def added(self):
        return statistics.median(d - r for d, r in zip(self.values['disk'], self.values['raw']))


# Where its pages and addresses come to lie makes one process some 50 ns a call slower than
# the next. What is to be seen to a few ns is measured in many processes, each for a short time.
CASES = [
    Case('hook: lseek, no disk', micro('seek', 12, 20000), Files.none, 10, hook=True, often=9),
    Case('hook: 1-byte pread, no disk', micro('byte', 12, 20000), Files.none, 10, hook=True, often=9),
    Case('4k random pread, all in backing', micro('read', 10, 5000), Files.backing, 1.05, often=7),
    Case('4k random pread, all in image', micro('read', 10, 5000), Files.image, 1.05, often=7),
    Case('4k random overwrite', micro('overwrite', 50, 2000), Files.image),
    Case('4k first write, raw is sparse', micro('first', 16, 1), Files.empty, 1.15),
    Case('fio psync randread', fio('randread'), Files.image),
    Case('fio psync randwrite', fio('randwrite'), Files.image),
    Case('fio psync randwrite, new', fio('randwrite'), Files.empty),
    Case('qemu-img bench, read', qemu(), Files.backing, qcow2=True),
    Case('qemu-img bench, first writes', qemu('-w'), Files.empty, qcow2=True),
]


def row(case):
    result = {'case': case.name, 'raw_ns': case.median('raw'), 'disk_ns': case.median('disk'),
              'qcow2_ns': case.median('qcow2') if 'qcow2' in case.values else None,
              'disk_to_raw': case.ratio('disk'),
              'qcow2_to_raw': case.ratio('qcow2') if 'qcow2' in case.values else None,
              'added_ns': case.added(), 'target': case.target, 'met': None}
    if case.target:
        result['met'] = (result['added_ns'] if case.hook else result['disk_to_raw']) <= case.target
    return result


def show(case, result):
    def number(value, pattern='{:.0f}'):
        return '' if value is None else pattern.format(value)
    target = ''
    if case.target:
        target = f'< {case.target} ns' if case.hook else f'< {case.target:.2f}'
        target += '  met' if result['met'] else '  MISSED'
    print(f'{case.name:33}{number(result["raw_ns"]):>8}{number(result["disk_ns"]):>8}'
          f'{number(result["qcow2_ns"]):>8}{number(result["added_ns"], "{:+.1f}"):>10}'
          f'{number(result["disk_to_raw"], "{:.3f}"):>9}'
          f'{number(result["qcow2_to_raw"], "{:.3f}"):>9}  {target}', flush=True)


def main():
    parser = argparse.ArgumentParser(description='disk against raw file and qcow2')
    parser.add_argument('--turns', type=int, default=9)
    parser.add_argument('-k', metavar='PATTERN', default='', help='only cases whose name matches')
    args = parser.parse_args()
    cases = [c for c in CASES if re.search(args.k, c.name)]
    parent = os.environ.get('BENCH_DIR', OUT)
    os.makedirs(parent, exist_ok=True)
    os.makedirs(OUT, exist_ok=True)

    print(f'ns per call, medians of {args.turns} turns; ratios are medians within a turn\n')
    print(f'{"":33}{"raw":>8}{"disk":>8}{"qcow2":>8}{"disk-raw":>10}{"disk/raw":>9}{"qcow2/":>9}  target')
    results = []
    with tempfile.TemporaryDirectory(dir=parent, prefix='data.') as where:
        files = Files(where)
        for case in cases:
            case.run(files, args.turns)
            results.append(row(case))
            show(case, results[-1])

    with open(os.path.join(OUT, 'results.csv'), 'w', newline='') as f:
        writer = csv.DictWriter(f, results[0])
        writer.writeheader()
        writer.writerows(results)
    with open(os.path.join(OUT, 'runs.csv'), 'w', newline='') as f:
        writer = csv.writer(f)
        writer.writerow(['case', 'turn', 'variant', 'ns'])
        writer.writerows([c.name, turn, label, f'{value:.1f}'] for c in cases
                         for label, values in c.values.items()
                         for turn, value in enumerate(values))
    print(f'\n{os.path.relpath(OUT)}/results.csv and runs.csv have the numbers')


if __name__ == '__main__':
    main()

#!/usr/bin/python3
"""Random operations on disks, checked against a flat file and a second decoder.

Each round takes a shape of disk and runs some sessions on it. A session is a list
of seeded operations that a worker (programs/random_ops.py) does twice: through the
preload on the disk, and natively on a plain file with the same content. What the
calls return must be equal. Some sessions end by a kill. After each session, when
everything is closed, three views of the content must be equal: the plain file, what
`cat` reads through the preload, and what decode.py computes from the three files;
and exactly the touched sectors have bits.

    crosscheck.py [-n ROUNDS] [-s FIRST_SEED] [-v] [--keep] [--selftest]
"""
import argparse
import json
import os
import random
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True

import common
import decode
import shapes

WORK = os.path.join(common.WORK, "crosscheck")
WORKER = ["/usr/bin/python3", os.path.join(common.HERE, "programs", "random_ops.py")]
SECTOR = 512
LIMIT = 120


class Bits:
    """What the bits must be, from the rules of the format and of sizes.

    `must` are set for certain. `may` are those of which nothing is promised:
    beyond the backing file a grown sector reads as zeros with or without its bit,
    and a bit past the end, left by a shrink, comes back with the next growth.
    """

    def __init__(self, size, backing_size, sectors):
        self.size = size
        self.backing_size = backing_size
        self.must = set(sectors)
        self.may = set()

    @staticmethod
    def sectors(off, end):
        return set(range(off // SECTOR, -(-end // SECTOR))) if end > off else set()

    def touch(self, off, end):
        found = self.sectors(off, end)
        self.must |= found
        self.may -= found

    def grow(self, size):
        """Backing data must not show in what was grown."""
        if size <= self.size:
            return
        old, self.size = self.size, size
        self.touch(old, min(size, self.backing_size))
        self.may |= self.sectors(max(old, min(size, self.backing_size)), size) - self.must

    def shrink(self, size):
        beyond = {s for s in self.must if s * SECTOR >= size}
        self.must -= beyond
        self.may |= beyond
        self.size = size

    def resize(self, size):
        if size < self.size:
            self.shrink(size)
        else:
            self.grow(size)

    def write(self, off, length):
        if length:
            self.grow(off)
            self.touch(off, off + length)
            self.size = max(self.size, off + length)

    def zero(self, off, length, keep_size):
        self.touch(off, min(off + length, self.size))
        if not keep_size:
            self.grow(off + length)

    def problems(self, found):
        found = {s for s in found if s * SECTOR < self.size}
        missing = sorted(self.must - found)
        extra = sorted(found - self.must - self.may)
        lines = []
        if missing:
            lines.append("bits missing at sectors %s" % missing[:20])
        if extra:
            lines.append("bits at untouched sectors %s" % extra[:20])
        return lines


def pick_off(rng, size):
    """Offsets near borders of sectors and pages more often than by chance."""
    top = size + rng.choice((0, 0, 0, 1, 700, 5000))
    off = rng.randrange(top + 1)
    kind = rng.randrange(6)
    if kind == 0:
        off -= off % SECTOR
    elif kind == 1:
        off -= off % 4096
    elif kind == 2:
        off = max(0, off - off % SECTOR - 1)
    return off


def pick_length(rng):
    return rng.choice((1, 2, 511, 512, 513, 4096, rng.randrange(1, 600), rng.randrange(1, 6000),
                       rng.randrange(1, 70000)))


def session(rng, bits):
    """A list of operations; bits is kept in step."""
    ops, nfds = [], 0
    appends = set()

    def new_fd(append):
        nonlocal nfds
        ops.append(["open", "append" if append else rng.choice(("rw", "rw", "rw", "sync"))])
        if append:
            appends.add(nfds)
        nfds += 1

    new_fd(False)
    for _ in range(rng.randrange(3, 60)):
        fd = rng.randrange(nfds)
        off, length, seed = pick_off(rng, bits.size), pick_length(rng), rng.randrange(1 << 30)
        kind = rng.choices(
            ("pwrite", "write", "pwritev", "pread", "read", "truncate", "path_truncate", "punch",
             "zero", "zero_grow", "fallocate", "open", "append", "dup", "fork", "thread", "sync",
             "reopen", "check", "open_trunc", "seek_data", "other_fork", "other_program"),
            (14, 4, 4, 10, 3, 4, 1, 5, 3, 1, 1, 2, 1, 2, 3, 3, 2, 2, 2, 0.2, 3, 1, 0.3))[0]
        where = bits.size if fd in appends else off
        if kind in ("pwrite", "pwritev", "write", "fork", "thread"):
            ops.append([kind, fd, off, length, seed])
            bits.write(where, length)
        elif kind in ("other_fork", "other_program"):
            ops.append([kind, off, length, seed])
            bits.write(off, length)
        elif kind in ("pread", "read", "seek_data"):
            ops.append([kind, fd, off, length])
        elif kind in ("truncate", "path_truncate"):
            size = rng.choice((off, bits.size + length, rng.randrange(bits.size + 1), bits.size))
            ops.append([kind, fd, size])
            bits.resize(size)
        elif kind == "punch":
            ops.append(["fallocate", fd, 3, off, length])
            bits.zero(off, length, True)
        elif kind == "zero":
            ops.append(["fallocate", fd, 0x11, off, length])
            bits.zero(off, length, True)
        elif kind == "zero_grow":
            ops.append(["fallocate", fd, 0x10, off, length])
            bits.zero(off, length, False)
        elif kind == "fallocate":
            ops.append(["fallocate", fd, 0, off, length])
            bits.grow(off + length)
        elif kind in ("open", "append"):
            new_fd(kind == "append")
        elif kind == "dup":
            ops.append(["dup", fd])
            if fd in appends:
                appends.add(nfds)
            nfds += 1
        elif kind == "sync":
            ops.append(["sync", fd, rng.randrange(2)])
        elif kind == "reopen":
            ops.append(["close_all"])
            nfds = 0
            appends.clear()
            new_fd(False)
        elif kind == "check":
            ops.append(["check"])
        elif kind == "open_trunc":
            ops.append(["open_trunc"])
            nfds += 1
            bits.shrink(0)
    if rng.random() < 0.2:
        ops.append(["kill"])
    elif rng.random() < 0.7:
        ops.append(["close_all"])   # otherwise the exit of the process closes
    return ops


def small(seed):
    """A disk of random sizes, bits and left-overs."""
    def make(d):
        rng = random.Random(seed)
        sizes = (0, 1, 511, 512, 513, 4096, 60000, 65536, rng.randrange(1, 100000))
        base, size = rng.choice(sizes), rng.choice(sizes)
        shapes.put(d + "/base.raw", shapes.rnd(seed, base))
        sectors = [s for s in range(-(-size // SECTOR)) if rng.random() < 0.3]
        shapes.overlay(d, "../base.raw", size, data=shapes.rnd(seed + 1, size), sectors=sectors)
    return make


def large(d):
    """Sparse, with bits in several pages of the bitmap."""
    shapes.sparse(d + "/base.raw", 90 << 20)
    with open(d + "/base.raw", "r+b") as base:
        for at in range(0, 90 << 20, 7 << 20):
            base.seek(at + 12345)
            base.write(b"base data" * 500)
    shapes.overlay(d, "../base.raw", 80000001, sectors=range(1000, 1010))


NAMES = ("small", "half", "chain3", "small", "longer", "shorter", "small", "alone", "large", "odd",
         "small", "zerobig", "zero", "random", "small", "hole")


def worker(where, ops, through):
    with open(where + "/ops.json", "w") as f:
        json.dump(ops, f)
    child = subprocess.run((common.PRELOAD if through else []) + WORKER + ["disk.add-cow",
    "../ops.json"],
                           cwd=where + "/w", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, timeout=LIMIT)
    return child.returncode, child.stdout.decode(), child.stderr.decode()


def seen_through(where, out):
    with open(out, "wb") as f:
        child = subprocess.run(common.PRELOAD + ["cat", "disk.add-cow"], cwd=where + "/w", stdout=f,
                               stderr=subprocess.PIPE, timeout=LIMIT)
    return child.stderr.decode()


def after_kill(where):
    """A killed process loses nothing: who comes next sees all, and folds it in."""
    said = seen_through(where + "/disk", where + "/seen")
    problems = ["cat after a kill says: " + said] if said else []
    problems += compare("plain file and cat after a kill", where + "/plain/w/disk.add-cow",
                        where + "/seen")
    child = subprocess.run(common.PRELOAD + ["dd", "of=disk.add-cow", "count=0", "conv=notrunc",
                                             "status=none"], cwd=where + "/disk/w",
                           stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=LIMIT)
    if child.returncode or child.stderr:
        problems.append("opening after a kill: %d %r" % (child.returncode, child.stderr))
    return problems


def backing_sums(d):
    return {name: decode.hashlib.sha256(open(os.path.join(d, name), "rb").read()).hexdigest()
            for name in os.listdir(d) if name not in ("d.raw", "w", "ops.json")}


def compare(what, a, b):
    at = decode.first_difference(a, b)
    if at is None:
        return []
    return ["%s: sizes %d and %d, first difference at byte %d (sector %d)"
            % (what, os.path.getsize(a), os.path.getsize(b), at, at // SECTOR)]


def check(where, bits, sums):
    """The problems after a session, with everything closed."""
    meta, plain = where + "/disk/w/disk.add-cow", where + "/plain/w/disk.add-cow"
    problems = []
    left = sorted(set(os.listdir(where + "/disk/w")) - {"disk.add-cow", "in"})
    if left:
        problems.append("left behind: %s" % left)
    decode.flat(meta, where + "/flat")
    problems += compare("plain file and decoder", plain, where + "/flat")
    said = seen_through(where + "/disk", where + "/seen")
    if said:
        problems.append("cat says: " + said)
    problems += compare("plain file and cat through the preload", plain, where + "/seen")
    if bits.size != os.path.getsize(plain):
        problems.append("the model is wrong: size %d" % bits.size)
    problems += bits.problems(decode.bits(meta))
    if backing_sums(where + "/disk") != sums:
        problems.append("a backing file has changed")
    return problems


def round_of(seed, options):
    """One disk and its sessions. Returns the problems."""
    rng = random.Random(seed)
    name = NAMES[seed % len(NAMES)]
    where = os.path.join(WORK, "round-%d" % seed)
    shapes.SHAPES["small"], shapes.SHAPES["large"] = small(seed), large
    shapes.build(name, where)
    sums = backing_sums(where + "/disk")
    disk = decode.open_disk(where + "/disk/w/disk.add-cow")
    bits = Bits(disk.size, disk.backing.size, decode.bits(where + "/disk/w/disk.add-cow"))
    disk.close()
    problems = []
    for number in range(rng.randrange(1, 5)):
        ops = session(rng, bits)
        plain = worker(where + "/plain", ops, False)
        seen = worker(where + "/disk", ops, True)
        if ops[-1] == ["kill"]:
            problems += after_kill(where)
        elif plain[0]:
            problems.append("the worker fails on the plain file: " + plain[2])
        if seen != plain:
            a, b = plain[1].splitlines(), seen[1].splitlines()
            at = next((i for i in range(min(len(a), len(b))) if a[i] != b[i]), min(len(a), len(b)))
            problems.append("operation %d: plain %r, disk %r" % (
                at, a[at] if at < len(a) else "(end)", b[at] if at < len(b) else "(end)"))
            problems += ["disk: " + line for line in seen[2].splitlines()[-6:]]
        problems += check(where, bits, sums)
        if options.verbose:
            print("round %d (%s) session %d: %d operations, %d bytes, %d bits"
                  % (seed, name, number, len(ops), bits.size, len(bits.must)), flush=True)
        if problems:
            problems.insert(0, "round %d (shape %s), session %d of %d operations"
                            % (seed, name, number, len(ops)))
            problems.append("repeat: crosscheck.py -s %d -n 1 --keep; operations in "
            "%s/disk/ops.json"
                            % (seed, where))
            break
    if not (problems and options.keep):
        shutil.rmtree(where)
    return problems


def selftest(options):
    """Each check must be able to fail: spoil a disk, and see it said."""
    where = os.path.join(WORK, "selftest")
    shapes.build("half", where)
    meta, image = where + "/disk/w/disk.add-cow", where + "/disk/d.raw"
    sums = backing_sums(where + "/disk")
    allocated = sorted(decode.bits(meta))
    free = next(s for s in range(2048) if s not in allocated)

    def patch(path, at, data):
        with open(path, "r+b") as f:
            f.seek(at)
            f.write(data)

    def bit_on():
        patch(image, free * 512, open(where + "/disk/base.raw", "rb").read()[free * 512:][:512])
        at = decode.HEADER + free // 8
        byte = open(meta, "rb").read()[at]
        patch(meta, at, bytes([byte | 1 << free % 8]))

    def bit_expected():
        bits.touch(free * 512, free * 512 + 1)

    cases = (("nothing", lambda: None, None),
             ("image", lambda: patch(image, allocated[5] * 512 + 7, b"\x01\x02\x03\x04"),
             "decoder: "),
             ("bit", bit_on, "bits at untouched sectors [%d]" % free),
             ("missing bit", bit_expected, "bits missing at sectors [%d]" % free),
             ("size", lambda: os.truncate(image, 5000), "decoder: sizes 1048576 and 5000"),
             ("stray", lambda: open(meta + ".run", "w").close(), "left behind"),
             ("backing", lambda: patch(where + "/disk/base.raw", 1 << 20, b"x"), "a backing file"))
    failed = 0
    for what, spoil, expected in cases:
        shapes.build("half", where)
        bits = Bits(1 << 20, 1 << 20, allocated)
        spoil()
        problems = check(where, bits, sums)
        good = not problems if expected is None else any(expected in line for line in problems)
        failed += not good
        if not good or options.verbose:
            print("%s spoiled %s: %s" % ("ok" if good else "FAIL", what, problems))
    shutil.rmtree(where)
    print("%d passed, %d failed, 0 skipped" % (len(cases) - failed, failed))
    return 1 if failed else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-n", dest="rounds", type=int, default=48)
    parser.add_argument("-s", dest="seed", type=int, default=0)
    parser.add_argument("-v", dest="verbose", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--selftest", action="store_true")
    options = parser.parse_args()
    common.require()
    os.makedirs(WORK, exist_ok=True)
    if options.selftest:
        return selftest(options)
    failed = 0
    for seed in range(options.seed, options.seed + options.rounds):
        problems = round_of(seed, options)
        if problems:
            failed += 1
            print("FAIL " + "\n  ".join(problems), flush=True)
    print("%d passed, %d failed, 0 skipped" % (options.rounds - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

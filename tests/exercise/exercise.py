#!/usr/bin/python3
"""Random operations by every way to a file, on disk after disk.

Each round makes a disk (some of its sectors allocated, odd sizes, a backing file that is
shorter or longer, perhaps a chain), runs `exercise` (main.c) on it, with a number of processes and threads,
and then compares: what the three files say, by a decoder of their own (decode.py), with what the program
expects; the backing files with what they were; and that nothing was left beside the disk. Some rounds do the same
operations on a plain file as well: there they must pass too, or it is the program that is wrong.

    exercise.py [-n OPS] [-s SEED] [-f FAMILIES] [--flat] [-v] [--keep]

A disk is new for each round, since after so many operations all of it is in the image. The seed of a
round is printed if it fails: -s with it, and -n 1, shows it again, as far as chance among
processes goes.
"""
import argparse
import hashlib
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))

import common
import decode
import shapes

PROGRAM = os.path.join(common.WORK, "tests", "exercise")
ROUND = 25000                   # operations, more or less
LIMIT = 300                     # seconds; a round takes a few
HERDS = ((1, 1), (1, 4), (2, 3), (3, 2), (4, 1), (2, 2), (3, 4))     # processes, threads of each


def make_disk(rng, d):
    """A disk of any shape below d; returns the files that must not change."""
    size = rng.choice((rng.randrange(40000, 400000), rng.randrange(400000, 4000000)))
    if rng.randrange(4) == 0:
        size -= size % 4096
    below = rng.choice((size, rng.randrange(1, size), size + rng.randrange(1, 500000)))
    kind = rng.choice(("plain", "plain", "half", "half", "chain", "hole", "alone"))
    os.makedirs(d + "/w")
    frozen = ["base.raw"]
    backing = "../base.raw"
    shapes.put(d + "/base.raw", b"" if kind == "hole" else shapes.rnd(rng.random(), below))
    if kind == "hole":
        os.truncate(d + "/base.raw", below)
    if kind == "alone":
        backing, frozen = "", []
    if kind == "chain":
        middle = rng.randrange(1, size + 200000)
        shapes.overlay(d, "base.raw", middle, "mid.add-cow", "mid.raw",
                       shapes.rnd(rng.random(), middle), shapes.some_sectors(rng.random(), middle))
        backing = "../mid.add-cow"
        frozen += ["mid.raw", "mid.add-cow"]
    left_over, sectors = b"", []
    if kind in ("half", "chain", "alone") or rng.randrange(2):
        left_over = shapes.rnd(rng.random(), size)
    if kind in ("half", "chain", "alone"):
        sectors = shapes.some_sectors(rng.random(), rng.randrange(1, size + 1))
    shapes.overlay(d, backing, size, data=left_over, sectors=sectors)
    return kind, [os.path.join(d, name) for name in frozen]


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def beside_sanitizer(threads):
    """The families that its runtime bears, or None: all."""
    some = "rw,vec,seek,direct,map,stdio,libaio,alloc,tail,copy,sync,fd"
    if common.SANITIZER == "tsan":
        # It is libc's aio_error that synchronises, and the runtime does not see that.
        return some + ",proc"
    if common.SANITIZER == "asan" and threads > 1:
        # gcc's forks while other threads have its allocator's locks, and the child may wait for those.
        return some + ",aio"
    return None


class Round:
    def __init__(self, seed, place, args):
        self.rng = random.Random(seed)
        self.seed = seed
        self.args = args
        self.d = tempfile.mkdtemp(prefix="addcow-exercise-", dir=place)
        self.ops = self.allocated = 0

    def command(self, name, model):
        processes, threads = self.herd
        command = [PROGRAM, "-o", str(self.length), "-s", str(self.seed), "-p", str(processes),
                   "-t", str(threads), "-m", model]
        if self.readers:
            command.append("-r")
        families = self.args.families or beside_sanitizer(threads)
        if families:
            command += ["-f", families]
        return command + [name]

    def run(self, prefix, name, model):
        """One run; returns what is wrong with it."""
        command = prefix + self.command(name, model)
        try:
            done = subprocess.run(command, cwd=os.path.dirname(name) or ".", stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True, timeout=LIMIT, errors="replace")
        except subprocess.TimeoutExpired:
            return "does not end within %d s: %s" % (LIMIT, " ".join(command))
        found = re.match(r"(\d+) operations", done.stdout)
        self.ops += int(found.group(1)) if found else 0
        if done.returncode == 0 and not done.stderr and found:
            return None
        return "status %d from %s\n%s" % (done.returncode, " ".join(command), done.stderr)

    def flat(self, content):
        """The same on a plain file."""
        model, name = self.d + "/flat.model", self.d + "/flat.raw"
        shutil.copyfile(content, model)
        shutil.copyfile(content, name)
        wrong = self.run([], name, model)
        if not wrong and digest(name) != digest(model):
            wrong = "the file is not as expected"
        return wrong

    def disk(self, kind, frozen, content):
        model, meta = self.d + "/model", self.d + "/w/disk.add-cow"
        before = [digest(path) for path in frozen]
        beside = sorted(os.listdir(self.d + "/w"))
        shutil.copyfile(content, model)
        wrong = self.run(common.PRELOAD, meta, model)
        if wrong:
            return wrong
        decode.flat(meta, self.d + "/decoded")
        self.allocated = 51200 * len(decode.bits(meta)) // decode.size(meta)
        at = decode.first_difference(model, self.d + "/decoded")
        if at is not None:
            return "the files of the disk, decoded, differ from what was written at byte %d" % at
        if [digest(path) for path in frozen] != before:
            return "a backing file has changed"
        if sorted(os.listdir(self.d + "/w")) != beside:
            return "left beside the disk: %s" % os.listdir(self.d + "/w")
        return None

    def go(self):
        """Returns what is wrong, or None."""
        self.herd = self.rng.choice(HERDS)
        self.readers = self.herd[0] > 1 and self.rng.randrange(4) == 0
        # In short ones less of the disk is in the image in the end.
        self.length = self.rng.choice((ROUND // 10, ROUND // 5, ROUND // 5, ROUND // 2, ROUND))
        kind, frozen = make_disk(self.rng, self.d)
        content = self.d + "/content"
        decode.flat(self.d + "/w/disk.add-cow", content)
        self.what = "seed %d: %s disk of %d bytes, %d x %d%s, on %s" % (
            self.seed, kind, os.path.getsize(content), *self.herd, ", one reads" if self.readers else "",
            os.path.dirname(self.d))
        if self.args.flat or self.rng.randrange(10) == 0:
            wrong = self.flat(content)
            if wrong:
                return "on a plain file, so the test is wrong: " + wrong
            if self.args.flat:
                return None
        wrong = self.disk(kind, frozen, content)
        if wrong and self.flat(content):
            wrong += "\nThe same fails on a plain file: the test is wrong."
        return wrong

    def end(self):
        if not self.args.keep:
            shutil.rmtree(self.d, ignore_errors=True)


def places():
    """In memory, for speed, and a filesystem that has O_DIRECT and really syncs."""
    os.makedirs(common.WORK, exist_ok=True)
    return [place for place in ("/dev/shm", "/dev/shm", common.WORK) if os.access(place, os.W_OK)]


def main():
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("-n", type=int, default=200000, help="operations in all, at least")
    parser.add_argument("-s", type=int, default=1, help="the first round's seed")
    parser.add_argument("-f", dest="families", help="of these families only: rw,map,...")
    parser.add_argument("--flat", action="store_true", help="on a plain file only")
    parser.add_argument("-v", action="store_true", help="a line for each round")
    parser.add_argument("--keep", action="store_true", help="keep the files of rounds")
    args = parser.parse_args()
    common.require(PROGRAM, common.LIBRARY)
    passed = failed = ops = 0
    seed = args.s
    while ops < args.n and failed < 3:
        where = places()
        turn = Round(seed, where[seed % len(where)], args)
        try:
            wrong = turn.go()
        finally:
            turn.end()
        if wrong:
            print("FAIL %s\n%s" % (turn.what, wrong), flush=True)
            failed += 1
        else:
            passed += 1
            if args.v:
                print("ok %s: %d operations, then %d%% allocated" % (turn.what, turn.ops, turn.allocated),
                      flush=True)
        ops += max(turn.ops, 1)
        seed += 1
    print("%d operations, seeds %d to %d" % (ops, args.s, seed - 1))
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

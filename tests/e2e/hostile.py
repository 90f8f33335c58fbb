#!/usr/bin/python3
"""Files that change, move or go away under programs that have a disk open, and odd places.

Each case runs programs under the preload step by step, while it replaces, cuts, renames and
removes the files of the disk between the steps, or takes away what they stand on (/proc, the
right to write). Demanded is what the user of a flat file would get, or an error with one
line that says why: never zeros or another file's bytes.

    hostile.py [-k PATTERN] [-v] [--keep]
"""
import argparse
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

import common
from badinput_cases import header, put

LIMIT = 60
DISK, RUN = "x.add-cow", "x.add-cow.run"
SIZE = 65536
END = 16384         # sectors before it are the image's
ACTOR = r"""
import errno, fcntl, itertools, json, os, subprocess, sys
fds = {}
def runs(data):
    return " ".join("%c%d" % (byte, len(list(group))) for byte, group in itertools.groupby(data))
def in_child(*step):
    r, w = os.pipe()
    if os.fork() == 0:
        os.write(w, json.dumps(attempt(*step)).encode())
        os._exit(0)
    os.close(w)
    answer = os.read(r, 65536) or b'"died"'
    os.close(r)
    os.wait()
    return json.loads(answer)
def attempt(what, name, *args):
    try:
        return do(what, name, *args)
    except OSError as err:
        return errno.errorcode[err.errno]
def do(what, name, *args):
    if what == "open":
        flags = 0
        for word in args[1].split("|"):
            flags |= getattr(os, word)
        dir_fd = os.open(args[2], os.O_RDONLY) if args[2:] else None
        try:
            fds[name] = os.open(args[0], flags, 0o644, dir_fd=dir_fd)
        finally:
            if dir_fd is not None:
                os.close(dir_fd)
    elif what == "read":
        return runs(os.pread(fds[name], args[1], args[0]))
    elif what == "write":
        return os.pwrite(fds[name], args[1].encode() * args[2], args[0])
    elif what == "size":
        return os.fstat(fds[name]).st_size
    elif what == "cut":
        os.ftruncate(fds[name], args[0])
    elif what == "sync":
        os.fsync(fds[name])
    elif what == "lock":
        fcntl.lockf(fds[name], fcntl.LOCK_EX | fcntl.LOCK_NB, args[1], args[0])
    elif what == "close":
        os.close(fds.pop(name))
    elif what == "child":
        return in_child(args[0], name, *args[1:])
    elif what == "exec":
        done = subprocess.run(["head", "-c", str(args[0])], stdin=fds[name], stdout=subprocess.PIPE)
        return runs(done.stdout) if done.returncode == 0 else "fails"
    return "ok"
for line in sys.stdin:
    print(json.dumps(attempt(*json.loads(line))), flush=True)
"""


class Actor:
    """A program that does one step at a time, under the preload or without it."""

    def __init__(self, d, preload=True, wrap=(), env=None):
        self.errors = tempfile.TemporaryFile()
        self.heard = 0
        path = {"PATH": common.PATH, "LC_ALL": "C", **(env or {})}
        self.child = subprocess.Popen(
            list(wrap) + (common.PRELOAD if preload else []) + ["/usr/bin/python3", "-c", ACTOR],
            cwd=d, env=path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)

    def __call__(self, *step):
        """The step's result, an errno's name, or how the program has died."""
        try:
            self.child.stdin.write(json.dumps(step).encode() + b"\n")
            self.child.stdin.flush()
        except BrokenPipeError:
            pass
        if not select.select([self.child.stdout], [], [], LIMIT)[0]:
            return "hangs"
        line = self.child.stdout.readline()
        if line:
            return json.loads(line)
        status = self.child.wait()
        return signal.Signals(-status).name if status < 0 else "status %d" % status

    def open(self, name=DISK, flags="O_RDWR", at="f", *args):
        return self("open", at, name, flags, *args)

    def read(self, off, length, at="f"):
        return self("read", at, off, length)

    def write(self, off, letter, length, at="f"):
        return self("write", at, off, letter, length)

    def lines(self):
        """What it has said since last asked."""
        self.errors.seek(self.heard)
        text = self.errors.read()
        self.heard += len(text)
        return text.decode(errors="replace").splitlines()

    def kill(self):
        self.child.kill()
        self.child.communicate()

    def end(self):
        """Its exit status."""
        try:
            self.child.communicate(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            self.kill()
            return "hangs"
        return self.child.returncode


class Trial:
    """One run of a case: its directory, its programs, and what has been found wrong."""

    def __init__(self, d):
        self.d, self.actors, self.problems = d, [], []

    def path(self, name):
        return os.path.join(self.d, name)

    def disk(self, name=DISK, backing="base.raw", image="x.raw", bitmap=b"\xff" * 4):
        """base.raw is all B, the image all I; the first 32 sectors are the image's."""
        if backing and not os.path.exists(self.path(backing)):
            put(self.path(backing), b"B" * SIZE)
        if not os.path.exists(self.path(image)):
            put(self.path(image), b"I" * SIZE)
        put(self.path(name), header(backing.encode(), image.encode()) + bitmap.ljust(16, b"\0"))

    def actor(self, *args, **kwargs):
        self.actors.append(Actor(self.d, *args, **kwargs))
        return self.actors[-1]

    def writer(self, off=32768, letter="a", length=512, **kwargs):
        """A program that has the disk open and has written something that is not flushed."""
        actor = self.actor(**kwargs)
        self.same("open", actor.open(), "ok")
        self.same("write", actor.write(off, letter, length), length)
        return actor

    def left_by_killed(self):
        self.disk()
        self.writer().kill()

    def same(self, what, got, *expected):
        if got not in expected:
            self.problems.append("%s: %s, expected %s"
                                 % (what, got, " or ".join(str(one) for one in expected)))

    def says(self, what, actor, *words):
        """One line, which has all the words."""
        lines = actor.lines()
        if len(lines) != 1 or not lines[0].startswith("addcow: ") \
                or any(word not in lines[0] for word in words):
            self.problems.append("%s: said %r, expected one line with %s"
                                 % (what, lines, " and ".join(words)))

    def refused(self, what, why, words, flags=("O_RDONLY", "O_RDWR"), name=DISK, **kwargs):
        """A program comes to the disk, and is told so."""
        for mode in flags:
            actor = self.actor(**kwargs)
            self.same("%s, %s" % (what, mode), actor.open(name, mode), why)
            self.says("%s, %s" % (what, mode), actor, *words)

    def content(self, what, expected, name=DISK):
        """What a program that comes now sees: a list of (offset, length, runs)."""
        actor = self.actor()
        self.same(what, actor.open(name, "O_RDONLY"), "ok")
        for off, length, runs in expected:
            self.same("%s, at %d" % (what, off), actor.read(off, length), runs)
        self.end(actor)

    def end(self, actor, status=0):
        self.same("exit status", actor.end(), status)
        self.same("words", actor.lines(), [])
        self.actors.remove(actor)

    def finish(self):
        for actor in list(self.actors):
            if actor.child.returncode is None:
                self.end(actor)
        for actor in self.actors:
            actor.child.stdout.close()
            self.same("words", actor.lines(), [])


def main():
    import hostile_cases
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-k", dest="pattern", default="")
    parser.add_argument("-v", dest="verbose", action="store_true")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    common.require(common.LIBRARY, common.TOOL)
    passed = failed = skipped = 0
    for name, case, needs in hostile_cases.all_cases():
        if options.pattern not in name:
            continue
        if needs:
            ci = os.environ.get("CI") == "true"
            failed, skipped = failed + ci, skipped + (not ci)
            print("%s %s: needs %s" % ("FAIL" if ci else "skip", name, needs))
            continue
        trial = Trial(tempfile.mkdtemp(prefix="addcow-hostile-"))
        os.chmod(trial.d, 0o755)
        try:
            case(trial)
            trial.finish()
        except Exception as err:
            trial.problems.append("%s: %s" % (type(err).__name__, err))
            for actor in trial.actors:
                actor.kill()
        if trial.problems:
            failed += 1
            print("FAIL %s%s\n  %s" % (name, " in " + trial.d if options.keep else "",
                                       "\n  ".join(trial.problems)), flush=True)
        else:
            passed += 1
            if options.verbose:
                print("pass %s" % name, flush=True)
        if not (trial.problems and options.keep):
            shutil.rmtree(trial.d)
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

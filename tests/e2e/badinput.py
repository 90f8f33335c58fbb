#!/usr/bin/python3
"""Broken, hostile and forbidden disks.

Each case makes files, then opens the disk through the preload in several ways and
looks at it with addcow-img. Demanded: the case's errno, exactly one line from
addcow on stderr that names the file at fault and says why, no crash, no hang, and
that every file in the directory keeps its size, mode, time and bytes, and none is
added. Cases that only look bad must work, and give the right bytes.

    badinput.py [-k PATTERN] [-v] [--keep]
"""
import argparse
import errno
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

import common
import decode
from common import PRELOAD, TOOL

LIMIT = 60
DISK = "x.add-cow"
OPENER = """
import errno, os, sys
flags = 0
for name in sys.argv[2].split("|"):
    flags |= getattr(os, name)
try:
    fd = os.open(sys.argv[1], flags, 0o644)
    print("opened", os.fstat(fd).st_size)
except OSError as err:
    print(errno.errorcode[err.errno])
"""
READ, WRITE, TRUNCATE = "O_RDONLY", "O_RDWR", "O_WRONLY|O_CREAT|O_TRUNC"
EVERY = (READ, WRITE, TRUNCATE)


# ---- running -----------------------------------------------------------------

def snapshot(d):
    """What must not change, for every name below d."""
    found = {}
    for folder, dirs, names in os.walk(d):
        for name in dirs + names:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            digest = ""
            if stat.S_ISREG(st.st_mode) and st.st_size < 1 << 24:
                with open(path, "rb") as f:
                    digest = hashlib.sha256(f.read()).hexdigest()
            found[os.path.relpath(path, d)] = (stat.S_IFMT(st.st_mode), stat.S_IMODE(st.st_mode),
                                               st.st_size, st.st_mtime_ns, st.st_uid, digest)
    return found


def changes(before, after):
    lines = []
    for name in sorted(set(before) | set(after)):
        if name not in after:
            lines.append("%s is gone" % name)
        elif name not in before:
            lines.append("%s was made" % name)
        elif before[name] != after[name]:
            lines.append("%s has changed: %s, then %s" % (name, before[name], after[name]))
    return lines


def run(argv, d, user=(), data=None):
    env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C", "HOME": "/nonexistent"}
    try:
        child = subprocess.run(list(user) + argv, cwd=d, env=env, input=data, timeout=LIMIT,
                               stdin=None if data is not None else subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except subprocess.TimeoutExpired:
        return "hangs", b"", b""
    return child.returncode, child.stdout, child.stderr


def opened(path, flags, d, user=()):
    return run(PRELOAD + ["/usr/bin/python3", "-c", OPENER, path, flags], d, user)


def message_problems(who, said, names):
    """`who` says exactly one line, it names the file at fault, and it says why."""
    lines = said.decode(errors="replace").splitlines()
    mine = [line for line in lines if line.startswith("addcow")]
    if len(lines) != 1 or len(mine) != 1:
        return ["%s: %d lines on stderr, expected one: %r" % (who, len(lines), lines)]
    line = lines[0]
    problems = []
    match = re.fullmatch(r"(addcow|addcow-img): (.+?): (.+)", line)
    if not match:
        problems.append("%s: not of the form 'program: FILE: why': %r" % (who, line))
    elif not line.startswith(("addcow-img: " if who.startswith("addcow-img") else "addcow: ")):
        problems.append("%s: another program's name: %r" % (who, line))
    if not any(name in line for name in names):
        problems.append("%s: names none of %s: %r" % (who, " ".join(names), line))
    return problems


# ---- cases -------------------------------------------------------------------

class Case:
    """A disk that cannot be opened.

    make     makes the files in a directory
    why      the errno, by name
    names    file names of which the message must have one
    flags    ways to open that must fail
    works    ways to open that must work (the others are not tried)
    user     runs as this user
    tool     whether addcow-img info must refuse it, too
    """

    def __init__(self, name, make, why, names, flags=EVERY, works=(), user=(), tool=True,
        disk=DISK):
        self.name, self.make, self.why, self.names = name, make, why, names
        self.flags, self.works, self.user, self.tool, self.disk = flags, works, user, tool, disk

    def check(self, d):
        self.make(d)
        before = snapshot(d)
        problems = []
        for flags in self.flags:
            status, out, err = opened(self.disk, flags, d, self.user)
            who = "open %s" % flags
            if status != 0 or out.decode().strip() != self.why:
                problems.append("%s: status %s, %s %s, expected %s"
                                % (who, status, out.decode().strip(), err.decode()[-300:],
                                self.why))
            problems += message_problems(who, err, self.names)
        for flags in self.works:
            status, out, err = opened(self.disk, flags, d, self.user)
            if status != 0 or not out.startswith(b"opened") or err:
                problems.append("open %s: status %s, %r %r, expected success" % (flags, status, out,
                err))
        if READ in self.flags:
            status, out, err = run(PRELOAD + ["cat", self.disk], d, self.user)
            words = os.strerror(getattr(errno, self.why))
            if status != 1 or out or not err.decode().strip().endswith(words):
                problems.append("cat: status %s, %r %r" % (status, out[:50], err))
        if self.tool:
            for options in ([], ["--output=json"]):
                status, out, err = run([TOOL, "info"] + options + [self.disk], d, self.user)
                who = "addcow-img info" + " ".join(options)
                if status != 1 or out:
                    problems.append("%s: status %s, output %r" % (who, status, out[:100]))
                problems += message_problems(who, err, self.names)
        problems += changes(before, snapshot(d))
        return problems


class Works:
    """A disk that looks odd, and must work: `content` is what it reads as."""

    def __init__(self, name, make, content, user=(), write=None, image="x.raw"):
        self.name, self.make, self.content, self.user = name, make, content, user
        self.write, self.image = write, image

    def check(self, d):
        self.make(d)
        before = snapshot(d)
        problems = []
        status, out, err = run(PRELOAD + ["cat", DISK], d, self.user)
        if status != 0 or out != self.content or err:
            problems.append("cat: status %s, %d bytes, expected %d; %r"
                            % (status, len(out), len(self.content), err))
        if decode.sha256(d + "/" + DISK) != hashlib.sha256(self.content).hexdigest():
            problems.append("the case's content is not what the decoder sees")
        status, out, err = run([TOOL, "info", "--output=json", DISK], d, self.user)
        size = b'"virtual-size": %d' % len(self.content)
        if status != 0 or size not in out or err:
            problems.append("addcow-img info: status %s, %r %r" % (status, out, err))
        problems += changes(before, snapshot(d))
        if self.write:
            problems += self.check_write(d)
        return problems

    def check_write(self, d):
        off, data = self.write
        backing = {name: facts for name, facts in snapshot(d).items()
                   if name not in (DISK, self.image)}
        status, out, err = run(PRELOAD + ["dd", "of=" + DISK, "bs=1", "seek=%d" % off,
        "conv=notrunc",
                                          "status=none"], d, self.user, data)
        if status != 0 or out or err:
            return ["dd: status %s, %r %r" % (status, out, err)]
        size = max(len(self.content), off + len(data))
        expected = bytearray(self.content.ljust(size, b"\0"))
        expected[off:off + len(data)] = data
        problems = []
        if decode.sha256(d + "/" + DISK) != hashlib.sha256(expected).hexdigest():
            problems.append("dd: wrong content after the write")
        problems += changes(backing, {name: facts for name, facts in snapshot(d).items()
                                      if name not in (DISK, self.image)})
        return problems


class Script:
    """A shell command under the preload; its output, errors and status are given."""

    def __init__(self, name, make, command, out, err=b"", status=0, unchanged=True, user=(),
        wrap=()):
        self.name, self.make, self.command, self.out, self.err = name, make, command, out, err
        self.status, self.unchanged, self.user, self.wrap = status, unchanged, user, wrap

    def check(self, d):
        self.make(d)
        before = snapshot(d)
        status, out, err = run(list(self.wrap) + PRELOAD + ["/bin/bash", "-c", self.command], d,
        self.user)
        problems = []
        if status != self.status or out != self.out:
            problems.append("status %s, output %r, expected %s and %r"
                            % (status, out[:300], self.status, self.out[:300]))
        if not re.fullmatch(self.err, err, re.DOTALL):
            problems.append("stderr %r, expected %r" % (err, self.err))
        if self.unchanged:
            problems += changes(before, snapshot(d))
        return problems


class Hostile:
    """Reading and writing either work right or fail with one line; never a crash."""

    def __init__(self, name, make, content):
        self.name, self.make, self.content = name, make, content

    def check(self, d):
        self.make(d)
        before = snapshot(d)
        problems = []
        status, out, err = run(PRELOAD + ["cat", DISK], d)
        lines = [line for line in err.splitlines() if line.startswith(b"addcow: ")]
        if status == 0 and (out != self.content or err):
            problems.append("cat: wrong content, or words: %r" % err)
        elif status == 1 and (out or len(lines) != 1):
            problems.append("cat: %d bytes, %r" % (len(out), err))
        elif status not in (0, 1):
            problems.append("cat: status %s %r" % (status, err))
        # The name is addcow's own: what cannot be a run-time file in use may be removed.
        del before[DISK + ".run"]
        problems += changes(before, self.others(d))
        status, out, err = opened(DISK, WRITE, d)
        if status != 0 or (not out.startswith(b"opened") and len(err.splitlines()) != 1):
            problems.append("open for writing: status %s %r %r" % (status, out, err))
        if out.startswith(b"opened"):
            return problems + self.after_write(d)
        return problems + changes(before, self.others(d))

    @staticmethod
    def others(d):
        return {name: facts for name, facts in snapshot(d).items() if name != DISK + ".run"}

    def after_write(self, d):
        status, out, err = run(PRELOAD + ["dd", "of=" + DISK, "conv=notrunc", "status=none"], d,
                               data=b"written")
        if status != 0 or err:
            return ["dd: status %s %r" % (status, err)]
        expected = b"written" + self.content[7:]
        if decode.sha256(d + "/" + DISK) != hashlib.sha256(expected).hexdigest():
            return ["dd: wrong content"]
        return []


def main():
    import badinput_cases
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-k", dest="pattern", default="")
    parser.add_argument("-v", dest="verbose", action="store_true")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    common.require(common.LIBRARY, TOOL)
    passed = failed = skipped = 0
    for case, why, parent in badinput_cases.all_cases():
        if options.pattern not in case.name:
            continue
        if why:
            ci = os.environ.get("CI") == "true" and why.startswith("program ")
            failed, skipped = failed + ci, skipped + (not ci)
            print("%s %s: needs %s" % ("FAIL" if ci else "skip", case.name, why))
            continue
        d = tempfile.mkdtemp(prefix="addcow-bad-", dir=parent)
        os.chmod(d, 0o755)
        try:
            problems = case.check(d)
        except Exception as err:
            problems = ["%s: %s" % (type(err).__name__, err)]
        if problems:
            failed += 1
            print("FAIL %s%s\n  %s" % (case.name, " in " + d if options.keep else "",
                                       "\n  ".join(problems)), flush=True)
        else:
            passed += 1
            if options.verbose:
                print("pass %s" % case.name, flush=True)
        if not (problems and options.keep):
            shutil.rmtree(d)
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

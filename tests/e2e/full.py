#!/usr/bin/python3
"""Programs whose filesystem is full, or that may not make a file large.

Each command runs on a flat file and on a disk, each in a small filesystem of its own in a mount
namespace of this program: a tmpfs, and for some an ext4 on a loop device, which allocates late and has
metadata of its own. Demanded is that both end in the same way (exit status or signal, and
what is said, but for numbers), that nothing acknowledged is lost, and that the command does its
work when there is room again. The disk's backing file is elsewhere.

    full.py [-k PATTERN] [-v]
"""
import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

import common

MIB = 1 << 20
SIZE = 4 * MIB
ROOM = 2 * MIB
ENV = {"PATH": common.PATH, "LC_ALL": "C", "HOME": "/nonexistent"}

# Writes a letter all over in pieces of 4 KiB until it gets an error; says which, and syncs.
WRITER = r"""
import errno, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
done, error = 0, "none"
for off in range(0, %d, 4096):
    try:
        if os.pwrite(fd, b"w" * 4096, off) != 4096:
            raise OSError(errno.ENOSPC, "short")
        done += 1
    except OSError as err:
        error = errno.errorcode[err.errno]
        break
os.fsync(fd)
assert all(os.pread(fd, 4096, at * 4096) == b"w" * 4096 for at in range(done))
open(sys.argv[2], "w").write(str(done))
print(error)
""" % SIZE

# The same far apart, so that a disk needs a page of bits in two files for each piece.
FAR = 16 * MIB
FAR_WRITER = WRITER.replace("range(0, %d, 4096)" % SIZE, "range(0, %d, %d)" % (600 * FAR, FAR)) \
    .replace("at * 4096", "at * %d" % FAR)
FAR_READER = r"""
import os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
print(all(os.pread(fd, 4096, at * %d) == b"w" * 4096 for at in range(int(open(sys.argv[2]).read()))))
""" % FAR

# The same through a pipe. What is not written stays in it.
SPLICER = r"""
import errno, os, sys
fd = os.open(sys.argv[1], os.O_RDWR)
r, w = os.pipe()
done, error, off = 0, "none", 0
while off < %d and error == "none":
    left = os.write(w, b"w" * 65536)
    while left and error == "none":
        try:
            n = os.splice(r, fd, left, offset_dst=off, flags=os.SPLICE_F_NONBLOCK)
            off, left = off + n, left - n
        except OSError as err:
            error = errno.errorcode[err.errno]
    assert not left or len(os.read(r, 65536)) == left
os.fsync(fd)
assert os.pread(fd, off, 0) == b"w" * off
open(sys.argv[2], "w").write(str(off // 4096))
print(error)
""" % SIZE

# These are run on ext4, too.
EXT4 = ("dd", "dd fsync", "python", "python, far apart", "python, splice", "sqlite3")

# name, command with FILE, what is to be in the file before, RLIMIT_FSIZE in KiB
PROGRAMS = [
    ("dd", "dd if=/dev/zero of=FILE bs=64k count=64 conv=notrunc", "raw", None),
    ("dd fsync", "dd if=/dev/zero of=FILE bs=4k count=1024 conv=notrunc,fsync", "raw", None),
    ("dd append", "dd if=/dev/zero of=FILE bs=16k count=256 oflag=append conv=notrunc", "raw", None),
    ("fio", "fio --name=j --filename=FILE --rw=write --bs=4k --size=4m --ioengine=psync"
            " --allow_file_create=0 --fallocate=none --zero_buffers --output-format=terse --output=/dev/null", "raw", None),
    ("fio threads", "fio --name=j --filename=FILE --rw=randwrite --bs=4k --size=4m --numjobs=4 --thread"
                    " --allow_file_create=0 --fallocate=none --fsync=16 --ioengine=psync"
                    " --zero_buffers --output-format=terse --output=/dev/null", "raw", None),
    ("python", "python3 -c WRITER FILE DONE", "raw", None),
    ("python, far apart", "python3 -c FAR_WRITER FILE DONE", "large", None),
    ("python, splice", "python3 -c SPLICER FILE DONE", "raw", None),
    ("sqlite3", "sqlite3 FILE 'insert into t select randomblob(1000) from"
                " generate_series(1, 3000)'", "sqlite", None),
    ("dd, limited", "dd if=/dev/zero of=FILE bs=64k count=64 conv=notrunc", "raw", 1024),
    ("python, limited", "python3 -c WRITER FILE DONE", "raw", 1024),
    ("python, splice, limited", "python3 -c SPLICER FILE DONE", "raw", 1024),
    ("fio, limited", "fio --name=j --filename=FILE --rw=write --bs=4k --size=4m --ioengine=psync"
                     " --allow_file_create=0 --fallocate=none --zero_buffers --output-format=terse --output=/dev/null",
     "raw", 1024),
]


class Place:
    """A filesystem with a flat file or a disk in it, and a backing file beside it."""

    def __init__(self, top, name, base, ext4):
        self.d = os.path.join(top, name)
        self.disk = name == "disk"
        self.file = "x.add-cow" if self.disk else "x.raw"
        self.done = os.path.join(top, name + ".done")
        os.mkdir(self.d)
        self.filler = os.path.join(self.d, "filler") if ext4 else None
        if ext4:
            make_ext4(self.d + ".img", self.d)
        else:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % (ROOM + 64 * 1024), "tmpfs",
                            self.d], check=True)
        if self.disk:
            subprocess.run([common.TOOL, "create", "-q", "-f", "add-cow", "-o",
                            "backing_file=%s,image_file=x.img" % base, self.file], cwd=self.d, check=True)
        else:
            self.base = base
            copied = 0 if os.path.getsize(base) > SIZE else SIZE
            with open(base, "rb") as src, open(os.path.join(self.d, self.file), "wb") as out:
                for at in range(0, copied, 4096):
                    piece = src.read(4096)
                    if piece.strip(b"\0"):
                        out.seek(at)
                        out.write(piece)
                out.truncate(os.path.getsize(base))

        if ext4:
            st = os.statvfs(self.d)
            with open(self.filler, "wb") as out:
                os.posix_fallocate(out.fileno(), 0, st.f_bavail * st.f_bsize - ROOM)

    def run(self, command, limit=None):
        """How it ends, and what it says without numbers."""
        command = command.replace("FILE", self.file).replace("DONE", self.done)
        command = re.sub(r"\b((FAR_|)(WRITER|READER)|SPLICER)\b", r'"$\g<0>"', command)
        line = "%s%s" % ("ulimit -Sf %d; " % limit if limit else "", "exec " + command)
        done = subprocess.run((common.PRELOAD if self.disk else []) + ["bash", "-c", line], cwd=self.d,
                              env={**ENV, "WRITER": WRITER, "FAR_WRITER": FAR_WRITER,
                                   "FAR_READER": FAR_READER, "SPLICER": SPLICER}, stdin=subprocess.DEVNULL, timeout=120,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        text = done.stdout.decode(errors="replace").replace(self.file, "FILE")
        words = {re.sub(r"[0-9][0-9.]*( ?[kKMG]i?B)?(/s)?", "N", text_line)
                 for text_line in text.splitlines() if not re.search(r"copied|records", text_line)}
        return done.returncode, words

    def content(self):
        done = subprocess.run((common.PRELOAD if self.disk else []) + ["cat", self.file], cwd=self.d,
                              env=ENV, stdout=subprocess.PIPE)
        return done.stdout if done.returncode == 0 else b""

    def grow_room(self):
        if self.filler:
            os.unlink(self.filler)
        else:
            subprocess.run(["mount", "-o", "remount,size=64m", self.d], check=True)

    def end(self):
        subprocess.run(["umount", "-l", self.d], check=True)


def make_ext4(image, where):
    """No journal and no reserve, so that both sides have the same room."""
    with open(image, "wb") as out:
        out.truncate(24 * MIB)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-O", "^has_journal", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, where], check=True)


def make_base(top, kind):
    base = os.path.join(top, "base")
    if kind == "sqlite":
        subprocess.run(["sqlite3", base, "create table t(b blob);"], check=True)
    else:
        with open(base, "wb") as out:
            out.truncate(600 * FAR if kind == "large" else SIZE)
    return base


def run_program(top, command, kind, limit, ext4):
    base = make_base(top, kind)
    places = [Place(top, name, base, ext4) for name in ("flat", "disk")]
    problems = []

    def same(what, get):
        flat, disk = [get(place) for place in places]
        if flat != disk:
            problems.append("%s: flat %r, disk %r" % (what, flat, disk))
        return disk

    status, words = same("full", lambda place: place.run(command, limit))
    if status == 0 and "none" in words or (status == 0 and not words):
        problems.append("it was not full: %r" % (words,))
    if kind == "large":
        if same("acknowledged", lambda place: place.run("python3 -c FAR_READER FILE DONE")) != (0, {"True"}):
            problems.append("what was acknowledged is not there")
    elif "DONE" in command:
        done = int(open(places[1].done).read())
        if places[1].content()[:done * 4096] != b"w" * (done * 4096):
            problems.append("what was acknowledged is not there")
    if kind == "sqlite":
        same("integrity", lambda place: place.run("sqlite3 FILE 'pragma integrity_check; select count(*) from t'"))
    for place in places:
        place.grow_room()
    again = same("with room", lambda place: place.run(command))
    if again[0] != 0:
        problems.append("with room it fails: %r" % (again,))
    # How much an append got to before it was full is not the same to the page.
    if kind == "raw" and "append" not in command:
        same("content", lambda place: place.content())
    if os.path.exists(os.path.join(places[1].d, "x.add-cow.run")):
        problems.append("a run-time file is left")
    check = subprocess.run([common.TOOL, "check", places[1].file], cwd=places[1].d, stdout=subprocess.PIPE,
                           stderr=subprocess.STDOUT)
    if check.returncode:
        problems.append("check: %r" % check.stdout)
    for place in places:
        place.end()
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-k", dest="pattern", default="")
    parser.add_argument("-v", dest="verbose", action="store_true")
    options = parser.parse_args()
    common.require(common.LIBRARY, common.TOOL)
    ci = os.environ.get("CI") == "true"
    if "ADDCOW_FULL" not in os.environ:
        unshare = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
        if subprocess.run(unshare + ["mount", "-t", "tmpfs", "tmpfs", "/mnt"], stderr=subprocess.DEVNULL).returncode:
            print("%s: needs root or user namespaces" % ("FAIL" if ci else "skip"))
            print("0 passed, %d failed, %d skipped" % (ci * len(PROGRAMS), (not ci) * len(PROGRAMS)))
            return ci
        os.execvpe(unshare[0], unshare + [sys.executable] + sys.argv, {**os.environ, "ADDCOW_FULL": "user" if "-Urm" in unshare else "root"})
    passed = failed = skipped = 0
    table = [(*row, False) for row in PROGRAMS]
    table += [(row[0] + ", ext4", *row[1:], True) for row in PROGRAMS if row[0] in EXT4]
    for name, command, kind, limit, ext4 in table:
        if options.pattern not in name:
            continue
        if not shutil.which(command.split()[0]):
            print("%s %s: needs %s" % ("FAIL" if ci else "skip", name, command.split()[0]))
            failed, skipped = failed + ci, skipped + (not ci)
            continue
        if ext4 and not (os.path.exists("/dev/loop-control") and os.environ["ADDCOW_FULL"] == "root"):
            print("skip %s: needs root and loop devices" % name)
            skipped += 1
            continue
        top = tempfile.mkdtemp(prefix="addcow-full-")
        try:
            problems = run_program(top, command, kind, limit, ext4)
        except (subprocess.SubprocessError, OSError) as err:
            problems = [str(err)]
            for place in "flat", "disk":
                subprocess.run(["umount", "-l", os.path.join(top, place)], stderr=subprocess.DEVNULL)
        shutil.rmtree(top)
        failed, passed = failed + bool(problems), passed + (not problems)
        if problems:
            print("FAIL %s\n  %s" % (name, "\n  ".join(problems)), flush=True)
        elif options.verbose:
            print("pass %s" % name, flush=True)
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

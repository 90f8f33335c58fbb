"""Calls functions of libc on a disk and on a plain file of the same content.

A row of probe_*.c is run in a new process on each, in a directory of its own, and
then judged by what tests/unhooked.txt claims of its symbol. Whatever the claim, the disk is
read afterwards by the independent decoder: its header must be as it was and its
backing file too, and no run-time file may be left.
"""
import collections
import concurrent.futures
import errno
import glob
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import common
import decode

LIMIT = 120     # seconds after which a call counts as hanging
NAME = "disk.add-cow"
SIZE = 64 * 1024 + 100
TEXT = (b"7 words begin this file\nuser:x:1000:1000:A Name:/home/user:/bin/sh\n"
        b"group:x:1000:user,other\nshadow:*:1:2:3:4:5::\nsgroup:!:a:b\n"
        b"/dev/sda1 /mnt ext4 rw 0 0\n")

Row = collections.namedtuple("Row", "number symbol variant")
Outcome = collections.namedtuple("Outcome", "status lines after")


def content():
    lines = b"".join(b"line %d of a file of some length\n" % n for n in range(3000))
    return (TEXT + lines)[:SIZE]


class Place:
    """A directory with the file, and beside it what a disk's bytes are in."""

    def __init__(self, root, disk):
        self.disk = disk
        self.top = tempfile.mkdtemp(prefix="disk-" if disk else "plain-", dir=root)
        self.dir = os.path.join(self.top, "here")
        self.data = os.path.join(self.top, "data")

    def fill(self):
        for d in (self.dir, self.data):
            shutil.rmtree(d, ignore_errors=True)
            os.mkdir(d)
        path = os.path.join(self.dir, NAME)
        flat = content()
        write(os.path.join(self.dir, "copy"), b"")      # for calls that have two ends
        if not self.disk:
            write(path, flat)
            return
        # Every third sector is in the image; the other file has something else there.
        sectors = range(0, -(-SIZE // 512), 3)
        image, backing = bytearray(b"%" * SIZE), bytearray(flat)
        for sector in sectors:
            at = slice(sector * 512, min(SIZE, sector * 512 + 512))
            image[at] = flat[at]
            backing[at] = b"&" * (at.stop - at.start)
        write(os.path.join(self.data, "image"), image)
        write(os.path.join(self.data, "backing"), backing)
        decode.encode(path, "../data/backing", "../data/image", sectors, -(-SIZE // 4096))

    def raw(self):
        """Every file's bytes, for a call that must not change any."""
        found = {}
        for d, _, names in os.walk(self.top):
            for name in names:
                with open(os.path.join(d, name), "rb") as f:
                    found[os.path.join(d, name)] = f.read()
        return found

    def seen(self):
        """{name: what there is}, with a disk's flat bytes in the place of its metadata."""
        found = {}
        for name in sorted(os.listdir(self.dir)):
            path = os.path.join(self.dir, name)
            st = os.lstat(path)
            facts = [stat.filemode(st.st_mode), st.st_nlink, st.st_uid, st.st_gid]
            if stat.S_ISLNK(st.st_mode):
                facts.append(os.readlink(path))
            elif stat.S_ISREG(st.st_mode):
                with open(path, "rb") as f:
                    data = f.read()
                if self.disk and data.startswith(decode.MAGIC):
                    disk = decode.Disk(path)
                    data = disk.read(0, disk.size)
                    disk.close()
                facts.append(data)
            found[name] = facts
        return found

    def faults(self, before, killed):
        """What is wrong with the disk after any call whatever."""
        if not self.disk:
            return []
        lines = []
        for path in glob.glob(os.path.join(self.dir, "*.run")):
            # Who is killed leaves it, with what is not yet in the metadata file.
            if killed:
                os.unlink(path)
            else:
                lines.append("the run-time file %s is left" % os.path.basename(path))
        backing = os.path.join(self.data, "backing")
        if before[backing] != self.raw().get(backing):
            lines.append("the backing file has changed")
        header = before[os.path.join(self.dir, NAME)][:decode.HEADER]
        for path in glob.glob(os.path.join(self.dir, "*")):
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as f:
                    data = f.read(decode.HEADER)
                if data.startswith(decode.MAGIC) and data != header:
                    lines.append("the header of the metadata file has changed")
        if os.path.exists(os.path.join(self.dir, NAME)):
            with open(os.path.join(self.dir, NAME), "rb") as f:
                if not f.read(8) == decode.MAGIC:
                    lines.append("the metadata file is none any more")
        return lines


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


class Probes:
    def __init__(self, cc):
        os.makedirs(common.WORK, exist_ok=True)
        self.root = tempfile.mkdtemp(prefix="surface-", dir=common.WORK)
        self.program = os.path.join(self.root, "probe")
        self.local = threading.local()
        self.compile(cc)

    def close(self):
        shutil.rmtree(self.root, ignore_errors=True)

    def compile(self, cc):
        sources = sorted(glob.glob(os.path.join(HERE, "probe*.c")))
        flags = ("-std=gnu11 -O1 -Wall -Wextra -Werror -Wno-unused-result -D_GNU_SOURCE"
                 " -U_FORTIFY_SOURCE -o").split()
        built = subprocess.run(cc + flags + [self.program] + sources, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, universal_newlines=True)
        if built.returncode:
            raise SystemExit("cannot compile the probes:\n" + built.stdout)

    def rows(self):
        text = subprocess.run([self.program], check=True, stdout=subprocess.PIPE,
                              universal_newlines=True).stdout
        return [Row(number, *line.split("/")) for number, line in enumerate(text.split())]

    def place(self, disk):
        places = self.local.__dict__.setdefault("places", {})
        if disk not in places:
            places[disk] = Place(self.root, disk)
        places[disk].fill()
        return places[disk]

    def run(self, row, disk):
        place = self.place(disk)
        before = place.raw()
        argv = [self.program, str(row.number), os.path.join(place.dir, NAME)]
        env = {"PATH": common.PATH, "LC_ALL": "C", "HOME": "/nonexistent",
               "PROBE": shlex.quote(self.program)}
        try:
            child = subprocess.run((common.PRELOAD if disk else []) + argv, cwd=place.dir, env=env,
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.DEVNULL, timeout=LIMIT)
            status, text = child.returncode, child.stdout.decode(errors="replace")
        except subprocess.TimeoutExpired:
            status, text = "hangs", ""
        faults = place.faults(before, status == -signal.SIGKILL)
        try:
            seen = place.seen()
        except (decode.Bad, OSError) as err:
            seen = {}
            faults.append("the disk cannot be decoded any more: %s" % err)
        after = {"seen": seen, "faults": faults, "changed": before != place.raw()}
        return Outcome(status, text.splitlines(), after)

    def judge(self, row, claim):
        """(verdict, lines): what becomes of a claim on a row."""
        got = self.run(row, True)
        skipped = [line for line in got.lines if line.startswith("skip ")]
        if claim.outcome == "same":
            plain = self.run(row, False)
            if any(line.startswith("skip ") for line in plain.lines):
                return "skipped", plain.lines
            lines = differences(plain, got)
        elif skipped:
            return "skipped", skipped
        else:
            lines = broken(claim, got)
        lines += got.after["faults"]
        return "failed" if lines else "passed", lines

    def judge_all(self, pairs):
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            futures = [(row, pool.submit(self.judge, row, claim)) for row, claim in pairs]
            for row, future in futures:
                yield (row,) + future.result()


def differences(plain, disk):
    """How a disk's outcome differs from a plain file's."""
    lines = []
    if plain.status != disk.status:
        lines.append("ends with %s on a disk, %s on a plain file" % (disk.status, plain.status))
    if sorted(plain.lines) != sorted(disk.lines):
        lines.append("on a disk:       " + "; ".join(disk.lines))
        lines.append("on a plain file: " + "; ".join(plain.lines))
    for name in sorted(set(plain.after["seen"]) | set(disk.after["seen"])):
        a, b = plain.after["seen"].get(name), disk.after["seen"].get(name)
        if a == b:
            continue
        if not a or not b:
            lines.append("%s is left %s only" % (name, "on a disk" if b else "on a plain file"))
        elif a[:4] != b[:4]:
            lines.append("%s is %s on a disk, %s on a plain file" % (name, b[:4], a[:4]))
        else:
            lines.append("%s has other content than the plain file after it" % name)
    return lines


def broken(claim, got):
    """What of a claim that nothing is moved does not hold."""
    lines = []
    if got.after["changed"]:
        lines.append("a file has changed")
    lines += ["bytes have come out: " + line for line in got.lines if line.startswith("buf ")]
    if claim.outcome == "fails":
        said = [re.match(r"= (-?\d+) (\S+)$", line) for line in got.lines]
        said = [match.groups() for match in said if match]
        code = getattr(errno, claim.argument)
        if got.status != 0 or not said or not (said[0] == ("-1", claim.argument)
                                               or said[0][0] == str(code)):
            lines.append("does not fail with %s: %s" % (
                claim.argument, "; ".join(got.lines) or "status %s" % got.status))
    return lines

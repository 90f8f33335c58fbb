#!/usr/bin/python3
"""Real programs on a disk are killed, and lose nothing that they said was done.

fio     jobs of one fio overwrite blocks that each carry a checksum; jobs and the whole are
        killed, beside a fio that is not and verifies what it writes. Every block that is
        then read is whole.
blocks  a qemu-io that answers each write, and dd after dd beside it, in neighbouring bytes; each
        is killed. What was answered is there, and what was under way is there by sectors.
sqlite  two sqlite3 insert rows and say so, with a rollback journal or a write-ahead log; one
        or both are killed. The database is sound, and has every row.

    programs.py [-n KILLS] [-s SEED] [-k NAME] [-v]

Each round is one of them, on a new disk: killed a few times, then closed cleanly, and
looked at through the library as well as by the decoder of its files. Who hangs is said, and where.
"""
import argparse
import ctypes
import glob
import os
import random
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), os.pardir, "e2e"))

import common
import decode

LIMIT = 120     # seconds after which something counts as hanging
SECTOR = 512
PR_SET_CHILD_SUBREAPER = 36
DISK = "d.add-cow"
ENV = dict(os.environ, LC_ALL="C", LD_PRELOAD=common.LD_PRELOAD)
PLAIN = dict(os.environ, LC_ALL="C")


class Wrong(Exception):
    pass


started = []    # in this round
kills = 0


def start(args, env=ENV, **more):
    child = subprocess.Popen(args, env=env, **more)
    started.append(child)
    return child


def finish(child):
    """The output and status of a program that must end."""
    try:
        return child.communicate(timeout=LIMIT)[0], child.returncode
    except subprocess.TimeoutExpired:
        raise Wrong("%s hangs; %s" % (child.args, waiting()))


def run(args, env=ENV):
    """The output of a program that must succeed."""
    said, status = finish(start(args, env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                text=True, errors="replace"))
    if status:
        raise Wrong("%s: status %d: %s" % (args, status, said))
    return said


def kill_one(pid):
    global kills
    try:
        os.kill(pid, signal.SIGKILL)
        kills += 1
    except ProcessLookupError:
        pass


def kill(child):
    """With all its children, which are this process's once it is gone."""
    kill_one(child.pid)
    wait_killed(child.pid, child.poll)
    for pid in set(children(os.getpid())) - {other.pid for other in started}:
        kill_one(pid)
        wait_killed(pid, lambda: os.waitpid(pid, os.WNOHANG)[0] or None)


def wait_killed(pid, poll):
    ends = time.monotonic() + LIMIT
    while poll() is None:
        if time.monotonic() > ends:
            raise Wrong("%d was killed and does not end; %s" % (pid, waiting()))
        time.sleep(0.001)


def waiting():
    """Where each thread of what was started in this round waits."""
    found = []
    for child in started:
        for pid in [child.pid] + children(child.pid) if child.poll() is None else []:
            for task in glob.glob("/proc/%d/task/*" % pid):
                try:
                    with open(task + "/comm") as comm, open(task + "/wchan") as wchan, \
                            open(task + "/syscall") as call:
                        found.append("%s (%s) is in %s, system call %s" % (
                            task[6:], comm.read().strip(), wchan.read(), call.read().strip()))
                except OSError:
                    pass
    return "; ".join(found)


def children(pid):
    """As far as they have not ended."""
    found = []
    for stat in glob.glob("/proc/[0-9]*/stat"):
        try:
            with open(stat) as f:
                state, parent = f.read().rpartition(")")[2].split()[:2]
        except OSError:
            continue
        if int(parent) == pid and state != "Z":
            found.append(int(stat.split("/")[2]))
    return found


def moment(rng):
    """Kills come at random; what has been done by then is found out afterwards."""
    time.sleep(rng.choice((0.002, 0.02, 0.2, 0.6)) * rng.random())


def put(path, data):
    with open(path, "wb") as f:
        f.write(data)


def make_disk(base, size):
    """A disk over base.raw; what its image has where nothing is written must not be seen."""
    put("base.raw", base)
    put("d.raw", b"left over " * (size // 10) + bytes(size % 10))
    decode.encode(DISK, "base.raw", "d.raw")


def seen():
    """The content as a program sees it."""
    content, status = finish(start(["cat", DISK], stdout=subprocess.PIPE))
    if status:
        raise Wrong("cat: status %d" % status)
    return content


def close_cleanly():
    """Who opens the disk next takes over, and leaves nothing behind. Returns the content."""
    run(["dd", "if=/dev/null", "of=" + DISK, "conv=notrunc", "status=none"])
    if os.path.exists(DISK + ".run"):
        raise Wrong("a run-time file is left after a clean close")
    content = seen()
    decode.flat(DISK, "flat")
    with open("flat", "rb") as f:
        if f.read() != content:
            raise Wrong("the files say something else than the library")
    return content


# ---- fio --------------------------------------------------------------------

FIO_BLOCKS = 4096
FIO = ["fio", "--name=job", "--randseed=7", "--allow_file_create=0", "--overwrite=1", "--fallocate=none",
       "--bs=512", "--verify=crc32c", "--verify_fatal=1", "--verify_dump=0", "--minimal"]


def fio(rng):
    size = FIO_BLOCKS * SECTOR
    put("whole", bytes(size))
    run(FIO + ["--filename=whole", "--rw=write", "--size=%d" % size, "--do_verify=0"], PLAIN)
    with open("whole", "rb") as f:
        base = f.read()
    make_disk(base + base[:size // 2], size * 3 // 2)
    for _ in range(rng.randrange(1, 4)):
        njobs = rng.choice((1, 2, 3))
        each = size // njobs // SECTOR * SECTOR
        jobs = start(FIO + ["--filename=" + DISK, "--rw=randwrite", "--do_verify=0", "--time_based",
                            "--runtime=%d" % LIMIT, "--numjobs=%d" % njobs, "--size=%d" % each,
                            "--offset_increment=%d" % each, "--fsync=%d" % rng.choice((0, 64)),
                            "--ioengine=" + rng.choice(("psync", "pvsync", "sync")),
                            "--thread=%d" % rng.randrange(2)],
                     stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        beside = start(FIO + ["--filename=" + DISK, "--rw=randwrite", "--offset=%d" % size, "--size=%d" % (size // 2),
                              "--verify_backlog=50", "--loops=2"],
                       stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        moment(rng)
        moment(rng)
        for pid in children(jobs.pid):
            if rng.random() < 0.3:
                kill_one(pid)
        moment(rng)
        kill(jobs)
        said, status = finish(beside)
        if status:
            raise Wrong("a fio beside one that was killed: %d: %r" % (status, said))
        check_fio(DISK, ENV, size)
    close_cleanly()
    check_fio("flat", PLAIN, size)


def check_fio(path, env, size):
    run(FIO + ["--filename=" + path, "--rw=read", "--size=%d" % size, "--do_verify=1"], env)


# ---- dd and qemu-io -----------------------------------------------------------

class Model:
    """What the bytes must be."""

    def __init__(self, data):
        self.data = bytearray(data)

    def write(self, off, data):
        self.data[off:off + len(data)] = data

    def settle(self, off, data, content, step):
        """Writes of `step` bytes were under way; each sector of each is there or not, and stays so."""
        end = off + len(data)
        sectors = range(off // SECTOR * SECTOR + SECTOR, end, SECTOR)
        cuts = sorted({end, *range(off, end, step), *sectors})
        for lo, hi in zip(cuts, cuts[1:]):
            if content[lo:hi] == data[lo - off:hi - off]:
                self.data[lo:hi] = content[lo:hi]

    def check(self, content):
        if len(content) != len(self.data):
            raise Wrong("%d bytes, not %d" % (len(content), len(self.data)))
        if content != self.data:
            at = next(i for i in range(len(content)) if content[i] != self.data[i])
            raise Wrong("byte %d (sector %d) is %#x, not %#x"
                        % (at, at // SECTOR, content[at], self.data[at]))


def qemu_lines(rng, lo, hi, count):
    """Commands for qemu-io, and what each writes."""
    lines, writes = [], []
    for _ in range(count):
        length = rng.choice((1, 300, 512, 5000, 70000))
        off = rng.randrange(lo, hi - length)
        byte = rng.randrange(1, 256)
        lines.append("write -q -P %d %d %d\nlength\n" % (byte, off, length))
        if rng.random() < 0.05:
            lines.append("flush\n")
        writes.append((off, bytes([byte]) * length))
    return "".join(lines), writes


def blocks(rng):
    size, middle = 1500000 + rng.randrange(1000), 700000 + rng.randrange(1000)
    model = Model(random.Random(rng.random()).randbytes(size))
    make_disk(model.data, size)
    for _ in range(rng.randrange(2, 6)):
        text, writes = qemu_lines(rng, middle, size, 3000)
        put("commands", text.encode())
        with open("commands") as commands:
            qemu = start(["stdbuf", "-oL", "qemu-io", "-f", "raw", DISK], stdin=commands,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if not select.select([qemu.stdout], [], [], LIMIT)[0]:
            raise Wrong("qemu-io hangs; %s" % waiting())
        ends = time.monotonic() + 0.8 * rng.random()
        while time.monotonic() < ends:
            length = rng.choice((1, 700, 4096, 100000))
            off, data = rng.randrange(middle - length), rng.randbytes(length)
            put("data", data)
            step = rng.choice((512, 5000, 200000))
            dd = start(["dd", "if=data", "of=" + DISK, "bs=%d" % step,
                        "conv=notrunc", "oflag=seek_bytes", "seek=%d" % off, "status=none"])
            if rng.random() < 0.3:
                time.sleep(0.01 * rng.random())
                kill_one(dd.pid)
            status = finish(dd)[1]
            if status == 0:
                model.write(off, data)
            elif status == -signal.SIGKILL:
                model.settle(off, data, seen(), step)
            else:
                raise Wrong("dd: status %d" % status)
        kill(qemu)
        answers = qemu.stdout.read().decode(errors="replace")
        done = answers.count("MiB")     # "length" has answered, so the write before is over
        qemu.stdout.close()
        content = seen()
        for off, data in writes[:done]:
            model.write(off, data)
        if done < len(writes):
            model.settle(*writes[done], content, len(writes[done][1]))
        model.check(content)
    model.check(close_cleanly())


# ---- sqlite --------------------------------------------------------------------

def inserts(rng, writer, first):
    """An endless transaction after the other, each said when it is done."""
    lines = [".timeout %d" % (LIMIT * 1000)]
    for n in range(first, first + 4000):
        lines.append("BEGIN IMMEDIATE; INSERT INTO t VALUES(%d, %d, zeroblob(%d)); COMMIT; SELECT %d;"
                     % (writer, n, rng.choice((10, 400, 9000)), n))
        if rng.random() < 0.02:
            lines.append("DELETE FROM t WHERE n < %d AND w = %d; VACUUM;" % (first - 1000, writer))
    return "\n".join(lines) + "\n"


def sqlite(rng):
    mode = rng.choice(("WAL", "DELETE", "TRUNCATE", "PERSIST"))
    run(["sqlite3", "plain.db", "PRAGMA journal_mode=%s; CREATE TABLE t(w, n, b, PRIMARY KEY(w, n));" % mode],
        PLAIN)
    with open("plain.db", "rb") as f:
        base = f.read()
    make_disk(base, len(base))
    last = [0, 0]
    for _ in range(rng.randrange(2, 5)):
        writers = []
        for writer in (0, 1):
            put("sql%d" % writer, inserts(rng, writer, last[writer] + 1).encode())
            with open("sql%d" % writer) as sql, open("said%d" % writer, "w") as said:
                writers.append(start(["stdbuf", "-oL", "sqlite3", DISK], stdin=sql, stdout=said,
                                     stderr=subprocess.STDOUT))
        for child in rng.sample(writers, 2):
            moment(rng)
            kill(child)
        for writer in (0, 1):
            last[writer] = check_said(writer, last[writer])
        check_rows(last)
    close_cleanly()
    check_rows(last)


def check_said(writer, before):
    """The last row that it said was in."""
    with open("said%d" % writer) as f:
        lines = f.read().split("\n")[:-1]
    if lines != [str(n) for n in range(before + 1, before + 1 + len(lines))]:
        raise Wrong("sqlite3 says: %s" % lines[-3:])
    return before + len(lines)


def check_rows(last):
    said = run(["sqlite3", DISK, ".timeout %d" % (LIMIT * 1000), "PRAGMA integrity_check;"])
    if said.strip() != "ok":
        raise Wrong("integrity_check: " + said)
    for writer in (0, 1):
        top, count, low = run(["sqlite3", DISK, "SELECT max(n), count(*), min(n) FROM t WHERE w = %d;"
                               % writer]).strip().split("|")
        if int(top or 0) not in (last[writer], last[writer] + 1) \
                or int(count) != (int(top) - int(low) + 1 if top else 0):
            raise Wrong("rows up to %s, %s of them from %s on; %d were acknowledged"
                        % (top, count, low, last[writer]))
        last[writer] = int(top or 0)


# ---- all -----------------------------------------------------------------------

PROGRAMS = {"fio": (fio, ("fio",)), "blocks": (blocks, ("dd", "qemu-io")), "sqlite": (sqlite, ("sqlite3",))}


def one_round(name, seed, verbose):
    """The problem, or None."""
    where = tempfile.mkdtemp(prefix="addcow-kill-")
    try:
        os.chdir(where)
        PROGRAMS[name][0](random.Random(seed))
    except Wrong as err:
        return str(err)
    finally:
        for child in started:
            if child.poll() is None:
                kill(child)
        started.clear()
        os.chdir("/")
        shutil.rmtree(where)
    if verbose:
        print("%s %d: good" % (name, seed), flush=True)
    return None


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-n", type=int, default=100, help="kills")
    parser.add_argument("-s", type=int, default=1, help="seed")
    parser.add_argument("-k", default="", help="only this program")
    parser.add_argument("-v", action="store_true")
    options = parser.parse_args()
    common.require()
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    print("programs: %d kills from seed %d on" % (options.n, options.s), flush=True)
    passed = failed = skipped = 0
    names = []
    for name, (_, needs) in PROGRAMS.items():
        missing = [need for need in needs if not shutil.which(need)]
        if missing and os.environ.get("CI") == "true":
            print("FAIL %s: missing: %s" % (name, " ".join(missing)))
            failed += 1
        elif missing:
            skipped += 1
        elif options.k in name:
            names.append(name)
    nth = 0
    while names and not failed and (nth < len(names) or kills < options.n):
        name = names[nth % len(names)]
        problem = one_round(name, options.s * 1000 + nth, options.v)
        nth += 1
        if problem:
            print("FAIL %s, seed %d, round %d: %s" % (name, options.s, nth, problem))
            failed += 1
        else:
            passed += 1
    print("%d kills in %d rounds" % (kills, nth))
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

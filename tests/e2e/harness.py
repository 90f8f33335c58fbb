#!/usr/bin/python3
"""Runs each row of table.py on a plain file and on a disk, and compares.

The plain run has an ordinary file called disk.add-cow and no preload; the disk
run has a real disk of that name and goes through addcow-preload.sh. Compared
are content, size, exit status, standard output and error byte for byte (after
the row's masks), and every other file that the command left. Afterwards the
backing files are unchanged, no run-time file is left, a row that only reads has
changed nothing at all, and where a row says which bytes it touches, exactly
their sectors have got bits.

    harness.py [-k PATTERN] [--every N] [-j N] [--list] [-v] [--keep] [--fake] [--selftest]

PATTERN is a part of a name, or a shell pattern. --every runs all rows of the C programs, and
each Nth of the others: for builds under which all would take too long. --keep leaves the directories of
failing rows. --fake runs the disk side on an ordinary file too, and makes the
disk from the outcome: it shows whether a row is repeatable at all. --selftest
spoils outcomes in every way that is looked for, and demands to see them caught.
"""
import argparse
import concurrent.futures
import difflib
import fcntl
import fnmatch
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import traceback
import zlib

sys.dont_write_bytecode = True      # nothing of a test lands beside the sources

import common
import decode
import shapes
import table

WORK = os.path.join(common.WORK, "e2e")
IMG = "disk.add-cow"
LIMIT = 120     # seconds after which a command counts as hanging


class Outcome:
    """What a run gave: status, texts, and where it ran."""

    def __init__(self, where, command):
        self.where = where
        self.command = command
        self.status = None
        self.out = self.err = b""


def environment():
    env = {"PATH": common.PATH, "LC_ALL": "C", "TZ": "UTC", "HOME": "/nonexistent",
           "E2FSPROGS_FAKE_TIME": str(shapes.FIXED_TIME), "E2FSCK_TIME": str(shapes.FIXED_TIME),
           "MKE2FS_SYNC": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    if "ADDCOW_CACHE" in os.environ:
        env["ADDCOW_CACHE"] = os.environ["ADDCOW_CACHE"]
    return env


def run(argv, where, env):
    outcome = Outcome(where, argv)
    child = subprocess.Popen(argv, cwd=os.path.join(where, "w"), env=env,
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                             stderr=subprocess.PIPE, start_new_session=True)
    try:
        outcome.out, outcome.err = child.communicate(timeout=LIMIT)
        outcome.status = child.returncode
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        outcome.out, outcome.err = child.communicate()
        outcome.status = "hangs (ended after %d s)" % LIMIT
    return outcome


def copy(source, target):
    subprocess.run(["cp", "-a", "--sparse=always", source, target], check=True)


def listing(top, skip=()):
    """{relative name: sha256 or kind} of everything below top."""
    found = {}
    for folder, dirs, names in os.walk(top):
        for name in dirs + names:
            path = os.path.join(folder, name)
            rel = os.path.relpath(path, top)
            if any(fnmatch.fnmatch(rel, pattern) for pattern in skip):
                continue
            if os.path.islink(path):
                found[rel] = "link to " + os.readlink(path)
            elif os.path.isdir(path):
                found[rel] = "directory"
            elif os.path.isfile(path):
                found[rel] = file_sum(path)
            else:
                found[rel] = "other"
    return found


def file_sum(path):
    raw = decode.Raw(path)
    digest = decode.hashlib.sha256(b"%d" % raw.size)
    for off, data in decode.pieces(raw):
        if data.strip(b"\0"):
            digest.update(b"%d " % off)
            digest.update(data)
    raw.close()
    return digest.hexdigest()


def masked(data, row):
    for mask in row.mask:
        pattern, replacement = table.MASKS[mask]
        data = re.sub(pattern, replacement, data)
    return data


def text_diff(what, plain, disk):
    if plain == disk:
        return []
    a = plain.decode("utf-8", "backslashreplace").splitlines()
    b = disk.decode("utf-8", "backslashreplace").splitlines()
    lines = list(difflib.unified_diff(a, b, what + " (plain)", what + " (disk)", lineterm="", n=2))
    if len(lines) > 40:
        lines = lines[:40] + ["... %d lines more" % (len(lines) - 40)]
    if not lines:
        lines = ["%s: plain %r, disk %r" % (what, plain[-60:], disk[-60:])]
    return ["%s differs" % what] + ["  " + line for line in lines]


def names_diff(what, expected, found):
    problems = []
    for name in sorted(set(expected) | set(found)):
        if name not in found:
            problems.append("%s: %s is missing" % (what, name))
        elif name not in expected:
            problems.append("%s: %s is stray" % (what, name))
        elif expected[name] != found[name]:
            problems.append("%s: %s differs" % (what, name))
    return problems


def spans(sectors):
    """A set of sectors as text: 0-7,9."""
    found = []
    for sector in sorted(sectors):
        if found and found[-1][1] == sector - 1:
            found[-1][1] = sector
        else:
            found.append([sector, sector])
    parts = ["%d" % a if a == b else "%d-%d" % (a, b) for a, b in found]
    return ",".join(parts[:20]) + (",..." if len(parts) > 20 else "")


def touched(ranges, size):
    """The sectors of [(off, len)], inside a disk of that size."""
    found = set()
    for off, length in ranges:
        if length:
            found.update(range(off // 512, -(-(off + length) // 512)))
    return {sector for sector in found if sector * 512 < size}


def check_bits(row, shape_meta, meta, size):
    before = decode.bits(shape_meta)
    after = decode.bits(meta)
    ranges = row.touch
    if ranges is None:
        if row.writes:
            return []
        ranges = []
    if callable(ranges):
        ranges = ranges(decode.size(shape_meta))
    expected = {s for s in before if s * 512 < size} | touched(ranges, size)
    problems = []
    if expected - after:
        problems.append("bits: missing at sectors " + spans(expected - after))
    if after - expected:
        problems.append("bits: set at untouched sectors " + spans(after - expected))
    return problems


def check_map(plain_map, flat):
    """qemu-img map may cut extents as it likes; but what it calls zero must be."""
    with open(plain_map) as f:
        extents = json.load(f)
    problems, at = [], 0
    size = os.path.getsize(flat)
    with open(flat, "rb") as content:
        for extent in extents:
            if extent["start"] != at:
                problems.append("map: extent at %d, expected %d" % (extent["start"], at))
            at = extent["start"] + extent["length"]
            content.seek(extent["start"])
            if (extent["zero"] or not extent["data"]) and \
                    content.read(extent["length"]).strip(b"\0"):
                problems.append("map: data called zeros at %d+%d"
                                % (extent["start"], extent["length"]))
    if at != -(-size // 512) * 512 and at != size:
        problems.append("map: ends at %d of %d" % (at, size))
    return problems


FIO_MAGIC = b"\xca\xac"


def fio_masked(path):
    """fio's verify headers hold the time of day: blank that and its checksum."""
    with open(path, "rb") as f:
        data = bytearray(f.read())
    at = data.find(FIO_MAGIC)
    while at >= 0:
        # magic, type, length, seed, offset, seconds, nanoseconds, thread, number, crc
        if data[at + 16:at + 24] == at.to_bytes(8, "little"):
            data[at + 24:at + 32] = bytes(8)
            data[at + 36:at + 40] = bytes(4)
        at = data.find(FIO_MAGIC, at + 1)
    with open(path, "wb") as f:
        f.write(data)


def judge(row, shape, plain, disk):
    """The problems of a row, as lines; none if it passes."""
    problems = []
    if plain.status != disk.status:
        problems.append("exit status: plain %s, disk %s" % (plain.status, disk.status))
    if isinstance(plain.status, str):
        problems.append("plain run: " + plain.status)
    problems += text_diff("stdout", masked(plain.out, row), masked(disk.out, row))
    problems += text_diff("stderr", masked(plain.err, row), masked(disk.err, row))
    if row.passes and plain.status != 0:
        problems.append("plain run: exit status %s; the row is no good" % plain.status)
        problems += ["  " + line for line in plain.err.decode(errors="replace").splitlines()[:10]]

    img = row.after
    meta = os.path.join(disk.where, "w", img)
    plain_img = os.path.join(plain.where, "w", img)
    flat = os.path.join(disk.where, "flat")
    try:
        decode.flat(meta, flat)
    except (decode.Bad, OSError) as err:
        return problems + ["decoder: %s" % err]
    plain_size, size = os.path.getsize(plain_img), os.path.getsize(flat)
    if plain_size != size:
        problems.append("size: plain %d, disk %d" % (plain_size, size))
    if row.content == "fio":
        fio_masked(flat)
        fio_masked(plain_img)
    if row.content != "none":
        where = decode.first_difference(plain_img, flat)
        if where is not None:
            problems.append("content: first difference at byte %d (sector %d, %d in it)"
                            % (where, where // 512, where % 512))
    if row.check == "map":
        problems += check_map(os.path.join(disk.where, "w", "map.json"), flat)
    os.unlink(flat)

    skip = [img] + list(row.scratch)
    problems += names_diff("files", listing(plain.where + "/w", skip),
                           listing(disk.where + "/w", skip))
    skip = ["w/*", "w", "d.raw"] if row.writes else ["w", "w/*"]
    problems += names_diff("backing", listing(shape + "/disk", skip), listing(disk.where, skip))
    if os.path.exists(meta + ".run"):
        problems.append("files: %s.run is left over" % img)

    shape_meta = os.path.join(shape, "disk", "w", IMG)
    problems += check_bits(row, shape_meta, meta, size)
    with open(shape_meta, "rb") as a, open(meta, "rb") as b:
        if a.read(decode.HEADER) != b.read(decode.HEADER):
            problems.append("metadata: the header has changed")
        if not row.writes:
            # A program that opens for writing may get the bitmap made as long as it must be.
            before, after = a.read(), b.read()
            pad = bytes(max(0, len(after) - len(before))) if row.rw else b""
            if before + pad != after:
                problems.append("metadata: changed by a row that only reads")
    return problems


def changed_sectors(before, after):
    """Sectors that differ between two files, or lie past the first's end."""
    found = set()
    with open(before, "rb") as a, open(after, "rb") as b:
        sector = 0
        while True:
            x, y = a.read(1 << 20), b.read(1 << 20)
            if not y:
                return found
            for i in range(0, len(y), 512) if x != y else ():
                part = y[i:i + 512]
                if x[i:i + len(part)] != part:
                    found.add(sector + i // 512)
            sector += 2048


def fake_disk(row, shape, where, argv, env):
    """The disk side without a shim: run on a flat file, then make a disk of the outcome."""
    meta = where + "/w/" + IMG
    shape_flat = shape + "/plain/w/" + IMG
    keep = where + "-meta"
    shutil.move(meta, keep)
    copy(shape_flat, meta)
    outcome = run(argv, where, env)
    result = where + "/w/" + row.after
    header = decode.Disk(shape + "/disk/w/" + IMG)
    sectors = decode.bits(shape + "/disk/w/" + IMG)
    new = changed_sectors(shape_flat, result)
    size = os.path.getsize(result)
    if row.touch is not None:
        ranges = row.touch(header.size) if callable(row.touch) else row.touch
        new |= touched(ranges, size)
    old_bits = {s for s in sectors if s * 512 < size}
    if row.writes:
        with open(where + "/d.raw", "r+b") as image, open(result, "rb") as flat:
            image.truncate(size)
            for sector in new:
                flat.seek(sector * 512)
                image.seek(sector * 512)
                image.write(flat.read(512))
        os.unlink(result)
        decode.encode(result, header.backing_name, header.image_name, old_bits | new,
                      -(-(-(-size // 512)) // 8))
    else:
        if new or size != header.size:
            outcome.err += b"fake: the row says that it only reads\n"
        shutil.copyfile(keep, result)
    header.close()
    os.unlink(keep)
    return outcome


def missing(programs):
    return [p for p in programs if not shutil.which(p, path=common.PATH)
            and not (p.endswith(".h") and os.path.exists(p))]


def row_command(row):
    return (row.cmd.replace("{img}", IMG).replace("{dir}", "in")
            .replace("{same}", WORK + "/same").replace("{bin}", WORK + "/bin")
            .replace("{progs}", common.HERE + "/programs"))


def run_row(row, options, spoil=None):
    """(verdict, problems) of one row; verdict is pass, fail or skip."""
    try:
        return try_row(row, options, spoil)
    except Exception:   # a row must not take the others with it
        return "fail", traceback.format_exc().splitlines()


def try_row(row, options, spoil):
    absent = missing(row.needs)
    if absent:
        text = "needs " + " ".join(absent)
        return ("fail" if os.environ.get("CI") == "true" else "skip"), [text]
    shape = os.path.join(WORK, "shapes", row.shape)
    where = os.path.join(WORK, "rows", row.name.replace("/", "_"))
    shutil.rmtree(where, ignore_errors=True)
    os.makedirs(where)
    for side in ("plain", "disk"):
        copy(os.path.join(shape, side), os.path.join(where, side))
        if any(word in row.cmd for word in ("{dir}", "{progs}", "{bin}", "in/")):
            copy(WORK + "/in", os.path.join(where, side, "w", "in"))
    argv = ["/bin/bash", "-c", row_command(row)]
    plain = run(argv, where + "/plain", environment())
    if options.fake:
        disk = fake_disk(row, shape, where + "/disk", argv, environment())
    else:
        disk = run((row.preload or common.PRELOAD) + argv, where + "/disk", environment())
    if spoil:
        spoil(row, shape, plain, disk)
    problems = judge(row, shape, plain, disk)
    if problems and not spoil:
        problems += by_hand(row, shape, argv, options)
    if not (problems and options.keep):
        shutil.rmtree(where)
    if row.xfail and not options.fake:
        if problems:
            return "skip", ["expected to fail: " + row.xfail]
        return "fail", ["passes, but is listed as failing: " + row.xfail]
    return ("fail" if problems else "pass"), problems


def by_hand(row, shape, argv, options):
    env = " ".join("%s=%s" % item for item in sorted(environment().items())
                   if item[0] in ("LC_ALL", "TZ") or item[0].startswith("E2FS"))
    lines = ["to repeat by hand:"]
    for side, program in (("plain", ""), ("disk", common.WRAPPER + " -- ")):
        if side == "disk" and options.fake:
            break
        lines.append("  rm -rf /tmp/again; cp -a %s/%s /tmp/again; cp -a %s/in /tmp/again/w; "
                     "cd /tmp/again/w; env %s %s%s"
                     % (shape, side, WORK, env, program, " ".join(map(shlex.quote, argv))))
    return lines


def take_work():
    """One run at a time: they would share directories. Returns what keeps it taken."""
    os.makedirs(WORK, exist_ok=True)
    lock = open(WORK + "/lock", "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise SystemExit("harness.py: %s: in use by another run" % WORK)
    return lock


def prepare(rows):
    """Build what the rows need: shapes and the small C programs."""
    os.makedirs(WORK + "/bin", exist_ok=True)
    for name in sorted({row.shape for row in rows}):
        if missing(table.SHAPE_NEEDS.get(name, ())):
            continue
        shapes.build(name, os.path.join(WORK, "shapes", name))
    shapes.build_inputs(WORK + "/in")
    shapes.build_same(WORK + "/same")
    for compiler, standard, suffix, sources in (("cc", "gnu11", ".c", table.C_PROGRAMS),
                                                 ("c++", "c++17", ".cc", table.CXX_PROGRAMS)):
        for source in sources:
            if any("{bin}/%s " % source in row.cmd and not missing(row.needs) for row in rows):
                subprocess.run([compiler, "-std=" + standard, "-O1", "-Wall", "-Wextra", "-Werror",
                                "-pthread", "-o", WORK + "/bin/" + source,
                                os.path.join(common.HERE, "programs", source + suffix),
                                *table.C_LIBRARIES.get(source, [])], check=True,
                               env={"PATH": common.PATH})


def selected(rows, pattern):
    if not pattern:
        return rows
    return [row for row in rows if pattern in row.name or fnmatch.fnmatch(row.name, pattern)]


def at_most(rows, most):
    """No command on more than so many shapes; which of its shapes, its name decides."""
    shapes_of = {}
    for row in rows:
        shapes_of.setdefault(row.name.split("@")[0], []).append(row)
    kept = set()
    for name, group in shapes_of.items():
        first = zlib.crc32(name.encode()) % len(group)
        kept |= {row.name for row in (group[first:] + group[:first])[:most]}
    return [row for row in rows if row.name in kept]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-k", dest="pattern", default="", help="rows whose name has this")
    parser.add_argument("--every", type=int, default=1, metavar="N",
                        help="all rows of the C programs, and each Nth of the others")
    parser.add_argument("-j", dest="jobs", type=int, default=2)
    parser.add_argument("--most", type=int, help="no command on more than so many shapes")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("-v", dest="verbose", action="store_true")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--fake", action="store_true")
    parser.add_argument("--selftest", action="store_true")
    options = parser.parse_args()
    if options.selftest:
        import selftest
        lock = take_work()
        return selftest.main(options)
    rows = selected(table.rows(), options.pattern)
    if options.most:
        rows = at_most(rows, options.most)
    if options.list:
        for row in rows:
            print(row.name)
        return 0
    if not rows:
        print("no row has a name like %s" % options.pattern, file=sys.stderr)
        return 1
    if not options.fake:
        common.require()
    lock = take_work()
    prepare(rows)
    count = {"pass": 0, "fail": 0, "skip": 0}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for row, (verdict, problems) in zip(rows, pool.map(lambda r: run_row(r, options), rows)):
            count[verdict] += 1
            if verdict == "fail":
                print("FAIL %s\n  command: %s" % (row.name, row_command(row)))
                print("\n".join("  " + line for line in problems), flush=True)
            elif options.verbose or verdict == "skip":
                print("%s %s%s" % (verdict, row.name, ": " + problems[0] if problems else ""),
                      flush=True)
    if not options.keep:
        shutil.rmtree(WORK + "/rows", ignore_errors=True)
    print("%(pass)d passed, %(fail)d failed, %(skip)d skipped" % count)
    return 1 if count["fail"] else 0


if __name__ == "__main__":
    sys.exit(main())

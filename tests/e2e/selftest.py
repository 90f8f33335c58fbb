"""Shows that the harness can fail: each of its comparisons is given a spoiled
outcome, and must name what was spoiled.

The disk side is the harness's fake one, so this needs no shim. A row that is not
spoiled must pass, or a failure would prove nothing.
"""
import os
import struct

import decode
import harness
import table

WRITES = ("dd if={dir}/odd of={img} bs=1000 seek=9 conv=notrunc status=none; echo out; "
          "echo err >&2; cp {dir}/small copied; ", {"touch": [(9000, 12345)]})
READS = ("cat {img} >copied; echo out; echo err >&2; ", {})
MAP = ("qemu-img map --output=json -f raw {img} >map.json",
       {"check": "map", "scratch": ["map.json"], "needs": "qemu-img"})


def flip(path, at):
    with open(path, "r+b") as f:
        f.seek(at)
        byte = f.read(1)
        f.seek(at)
        f.write(bytes([byte[0] ^ 1]))


def meta(disk):
    return disk.where + "/w/" + harness.IMG


def set_bit(path, sector, value):
    with open(path, "r+b") as f:
        f.seek(decode.HEADER + sector // 8)
        byte = (f.read(1) or b"\0")[0]
        mask = 1 << (sector % 8)
        f.seek(decode.HEADER + sector // 8)
        f.write(bytes([byte | mask if value else byte & ~mask]))


def copy_up_bit(disk, sector):
    """A bit too many, with the right data behind it: only the bits tell."""
    with open(disk.where + "/base.raw", "rb") as base, open(disk.where + "/d.raw", "r+b") as image:
        base.seek(sector * 512)
        image.seek(sector * 512)
        image.write(base.read(512))
    set_bit(meta(disk), sector, 1)


def drop_bit(disk, sector):
    """A bit too few, with the written data in the backing file as well."""
    with open(disk.where + "/d.raw", "rb") as image, open(disk.where + "/base.raw", "r+b") as base:
        image.seek(sector * 512)
        base.seek(sector * 512)
        base.write(image.read(512))
    set_bit(meta(disk), sector, 0)


def text(field, value):
    def spoil(row, shape, plain, disk):
        setattr(disk, field, value)
    return spoil


def on(action):
    return lambda row, shape, plain, disk: action(disk)


def write(path, data):
    with open(path, "wb") as f:
        f.write(data)


def lie_in_map(disk):
    write(disk.where + "/w/map.json",
          b'[{"start": 0, "length": 1048576, "depth": 0, "zero": true, "data": false}]')


def change_reserved(disk):
    with open(meta(disk), "r+b") as f:
        f.seek(2100)
        f.write(b"x")


# (what is spoiled, how, row, shape, what the harness must say)
CASES = [
    ("nothing", None, WRITES, "random", None),
    ("nothing", None, WRITES, "half", None),
    ("nothing", None, READS, "random", None),
    ("nothing", None, READS, "chain3", None),
    ("a written byte", on(lambda d: flip(d.where + "/d.raw", 9100)), WRITES, "random",
     "content: first difference at byte 9100"),
    ("the last byte", on(lambda d: flip(d.where + "/base.raw", 700000)), WRITES, "odd",
     "content: first difference at byte 700000"),
    ("the size", on(lambda d: os.truncate(d.where + "/d.raw", 1048577)), WRITES, "random",
     "size: plain 1048576, disk 1048577"),
    ("the size", on(lambda d: os.truncate(d.where + "/d.raw", 1048575)), READS, "random",
     "size: plain 1048576, disk 1048575"),
    ("the exit status", text("status", 3), WRITES, "random", "exit status: plain 0, disk 3"),
    ("a hanging command", text("status", "hangs"), WRITES, "random", "exit status"),
    ("stdout", text("out", b"out"), WRITES, "random", "stdout differs"),
    ("stderr", text("err", b"err\naddcow: a message\n"), WRITES, "random", "stderr differs"),
    ("the backing file", on(lambda d: flip(d.where + "/base.raw", 0)), WRITES, "random",
     "backing: base.raw differs"),
    ("the backing file's size", on(lambda d: os.truncate(d.where + "/base.raw", 1 << 21)), WRITES,
     "random", "backing: base.raw differs"),
    ("a disk of the chain", on(lambda d: flip(d.where + "/mid1.add-cow", 2600)), READS, "chain3",
     "backing: mid1.add-cow differs"),
    ("a left run-time file", on(lambda d: write(meta(d) + ".run", b"x")), WRITES, "random",
     "disk.add-cow.run is left over"),
    ("a stray file beside the disk", on(lambda d: write(d.where + "/w/stray", b"")), WRITES,
    "random",
     "files: stray is stray"),
    ("a stray file beside the image", on(lambda d: write(d.where + "/stray", b"")), WRITES,
    "random",
     "backing: stray is stray"),
    ("a missing output file", on(lambda d: os.unlink(d.where + "/w/copied")), READS, "random",
     "files: copied is missing"),
    ("an output file", on(lambda d: flip(d.where + "/w/copied", 5)), READS, "random",
     "files: copied differs"),
    ("a bit too many", on(lambda d: copy_up_bit(d, 500)), WRITES, "random",
     "bits: set at untouched sectors 500"),
    ("a bit too few", on(lambda d: drop_bit(d, 20)), WRITES, "random",
     "bits: missing at sectors 20"),
    ("a bit set by a reader", on(lambda d: copy_up_bit(d, 8)), READS, "random",
     "bits: set at untouched sectors 8"),
    ("the header", on(change_reserved), WRITES, "random", "metadata: the header has changed"),
    ("metadata made longer by a reader", on(lambda d: write(meta(d), open(meta(d),
    "rb").read() + b"\0")),
     READS, "half", "metadata: changed by a row that only reads"),
    ("the image under a reader", on(lambda d: flip(d.where + "/d.raw", 50000)), READS, "random",
     "backing: d.raw differs"),
    ("a damaged header", on(lambda d: flip(meta(d), 0)), WRITES, "random", "decoder:"),
    ("a map that lies", on(lie_in_map), MAP, "random", "map: data called zeros"),
]


def check_decoder():
    """The decoder's own rules, on bytes written out by hand."""
    problems = []
    where = os.path.join(harness.WORK, "decoder")
    os.makedirs(where, exist_ok=True)
    write(where + "/base", b"b" * 1300)
    write(where + "/image", b"i" * 1700)
    header = b"ADD_COW\xff" + struct.pack(">I", 1) + b"base".ljust(1024, b"\0")
    header += b"image".ljust(1024, b"\0") + bytes(500)
    write(where + "/x.add-cow", header + b"\x02")
    decode.flat(where + "/x.add-cow", where + "/flat")
    with open(where + "/flat", "rb") as f:
        content = f.read()
    if content != b"b" * 512 + b"i" * 512 + b"b" * 276 + bytes(236) + bytes(164):
        problems.append("decoder: wrong content")
    if decode.bits(where + "/x.add-cow") != {1} or decode.size(where + "/x.add-cow") != 1700:
        problems.append("decoder: wrong bits or size")
    for spoiled in (b"x" + header[1:], header[:11] + b"\2" + header[12:], header[:2559],
                    header[:12] + b"n" * 1024 + header[1036:], header[:1036] + bytes(1524)):
        write(where + "/bad.add-cow", spoiled)
        try:
            decode.flat(where + "/bad.add-cow", where + "/flat")
            problems.append("decoder: takes a bad header")
        except decode.Bad:
            pass
    return problems


def main(options):
    options.fake = True
    options.keep = False
    rows = []
    for number, (what, spoil, (cmd, facts), shape, expected) in enumerate(CASES):
        facts = dict(facts)
        rows.append((table.Row("selftest-%d" % number, cmd, shape, **facts), what, spoil, expected))
    harness.prepare([row for row, *_ in rows])
    passed, failed, skipped = 0, 0, 0
    for problem in check_decoder():
        print("FAIL " + problem)
        failed += 1
    for row, what, spoil, expected in rows:
        verdict, problems = harness.run_row(row, options, spoil or (lambda *args: None))
        if verdict == "skip":
            skipped += 1
        elif expected is None and verdict == "pass":
            passed += 1
        elif expected is not None and any(expected in line for line in problems):
            passed += 1
            if options.verbose:
                print("%s: %s" % (what, problems))
        else:
            failed += 1
            print("FAIL spoiled %s in %s: expected %r, the harness says %s"
                  % (what, row.name, expected, problems))
    print("%d passed, %d failed, %d skipped" % (passed, failed, skipped))
    return 1 if failed else 0

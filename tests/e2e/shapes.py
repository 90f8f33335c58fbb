"""The disks that the end-to-end rows run on.

A shape is a directory `disk/` with a disk in it, and a directory `plain/` with
the same content as an ordinary file:

    disk/base.raw ...       backing file, or chain
    disk/d.raw              image file
    disk/w/disk.add-cow     metadata file
    plain/w/disk.add-cow    an ordinary file with the flat content

A command runs with `w` as its directory, so that both runs see equal names, and finds its
input files, if it has any, in `w/in` (build_inputs). The metadata is written by the
tests' own encoder, not by addcow-img. Everything is seeded: a shape is the same in each run.
"""
import os
import random
import shutil
import subprocess

import common
import decode

SECTOR = decode.SECTOR
FIXED_TIME = 1600000000
AHEAD = 2 ** 31 - 1


def rnd(seed, length):
    """Random bytes with some stretches of zeros, aligned and not."""
    rng = random.Random(seed)
    data = bytearray(rng.randbytes(length))
    for _ in range(length // 100000):
        at, run = rng.randrange(length), rng.randrange(1, 20000)
        data[at:at + run] = bytes(len(data[at:at + run]))
    return bytes(data)


def text(lines):
    rng = random.Random(11)
    words = "tree river stone lamp window garden cloud paper needle bridge".split()
    return "".join("%06d %s\n" % (i, " ".join(rng.choice(words) for _ in range(rng.randrange(9))))
                   for i in range(lines)).encode()


def put(path, data):
    with open(path, "wb") as out:
        out.write(data)


def sparse(path, size):
    with open(path, "wb") as out:
        out.truncate(size)


def some_sectors(seed, size):
    """About half of the sectors, in runs of 1 to 40."""
    rng = random.Random(seed)
    found, at, value = [], 0, 0
    nsectors = -(-size // SECTOR)
    while at < nsectors:
        run = rng.choice((1, 1, 2, 3, 7, 8, 9, 40))
        if value:
            found.extend(range(at, min(at + run, nsectors)))
        at, value = at + run, not value
    return found


def overlay(d, backing, size, name="w/disk.add-cow", image="../d.raw", data=b"", sectors=()):
    """A disk below d. Names are as the metadata stores them."""
    meta = os.path.join(d, name)
    with open(os.path.join(os.path.dirname(meta), image), "wb") as out:
        out.write(data)
        out.truncate(size)
    decode.encode(meta, backing, image, sectors)


def simple(seed, base_size, size):
    def make(d):
        put(d + "/base.raw", rnd(seed, base_size))
        overlay(d, "../base.raw", size)
    return make


def make_hole(d):
    sparse(d + "/base.raw", 2 << 20)
    overlay(d, "../base.raw", 2 << 20)


def make_half(d):
    size = 1 << 20
    put(d + "/base.raw", rnd(3, size))
    # left-over data at the unallocated sectors too
    overlay(d, "../base.raw", size, data=rnd(4, size), sectors=some_sectors(5, size))


def make_chain3(d):
    put(d + "/base.raw", rnd(6, 1 << 20))
    for name, image, backing, size, seed in (
            ("mid1.add-cow", "mid1.raw", "base.raw", 800001, 7),
            ("mid2.add-cow", "mid2.raw", "mid1.add-cow", 1200000, 8)):
        overlay(d, backing, size, name, image, rnd(seed, size), some_sectors(seed, size))
    overlay(d, "../mid2.add-cow", 900100, data=rnd(9, 900100), sectors=some_sectors(9, 450000))


def make_alone(d):
    """No backing file, and an image with left-overs."""
    overlay(d, "", 262144, data=rnd(10, 262144), sectors=some_sectors(10, 262144))


def make_text(d):
    data = text(8000)
    put(d + "/base.raw", data)
    overlay(d, "../base.raw", len(data))


def make_zero(d):
    put(d + "/base.raw", b"")
    overlay(d, "../base.raw", 0)


def make_ext4(d):
    tree = d + "/tree"
    os.makedirs(tree + "/dir")
    for i in range(20):
        put("%s/dir/file%d" % (tree, i), rnd(100 + i, 1000 * i))
    put(tree + "/hello.txt", b"hello from the base\n")
    sparse(d + "/base.raw", 16 << 20)
    env = {"PATH": common.PATH, "E2FSPROGS_FAKE_TIME": str(FIXED_TIME)}
    subprocess.run(["mkfs.ext4", "-q", "-F", "-U", "6a3d6f80-0000-4000-8000-000000000001",
                    "-E", "hash_seed=6a3d6f80-0000-4000-8000-000000000002",
                    "-d", tree, d + "/base.raw"], env=env, check=True)
    shutil.rmtree(tree)
    overlay(d, "../base.raw", 16 << 20)


def make_blank64(d):
    sparse(d + "/base.raw", 64 << 20)
    overlay(d, "../base.raw", 64 << 20)


def make_db(d):
    sql = ("PRAGMA page_size=4096; CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, body BLOB);"
           "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<600)"
           "INSERT INTO t SELECT i, 'row ' || i, zeroblob(i) FROM n; CREATE INDEX x ON t(name);")
    subprocess.run(["sqlite3", d + "/base.raw", sql], check=True)
    overlay(d, "../base.raw", os.path.getsize(d + "/base.raw"))


SHAPES = {
    "hole": make_hole,
    "random": simple(1, 1 << 20, 1 << 20),
    "odd": simple(2, 700001, 700001),
    "longer": simple(12, 300007, 500300),
    "shorter": simple(13, 1 << 20, 400123),
    "half": make_half,
    "chain3": make_chain3,
    "alone": make_alone,
    "text": make_text,
    "zero": make_zero,
    "zerobig": simple(14, 1 << 20, 0),
    "ext4": make_ext4,
    "blank64": make_blank64,
    "db": make_db,
}


def make_tree(d):
    os.makedirs(d + "/sub")
    put(d + "/a", b"a\n" * 1000)
    put(d + "/sub/b", rnd(26, 70000))


def build_same(d):
    """Input files of which there is one copy, for what copies an inode's times too."""
    shutil.rmtree(d, ignore_errors=True)
    make_tree(d + "/tree")
    for folder, _, names in os.walk(d):
        for path in [folder] + [os.path.join(folder, name) for name in names]:
            # Read after it was changed, as far as the kernel can tell: reading leaves it as it is.
            os.utime(path, (AHEAD, FIXED_TIME))


def build_inputs(d):
    shutil.rmtree(d, ignore_errors=True)
    os.makedirs(d)
    make_tree(d + "/tree")
    for seed, name, length in ((20, "small", 3000), (21, "odd", 12345), (22, "big", 1500000),
                               (23, "mib", 1 << 20)):
        put(d + "/" + name, random.Random(seed).randbytes(length))     # no zeros: copied whole
    put(d + "/text", text(500))
    put(d + "/holes", rnd(24, 8192) + bytes(300000) + rnd(25, 5000) + bytes(70000))
    for folder, _, names in os.walk(d):
        for name in names:
            os.utime(os.path.join(folder, name), (FIXED_TIME, FIXED_TIME))


def build(name, d):
    """Make the shape `name` as d/disk and d/plain."""
    shutil.rmtree(d, ignore_errors=True)
    os.makedirs(d + "/disk/w")
    os.makedirs(d + "/plain/w")
    SHAPES[name](d + "/disk")
    meta = d + "/disk/w/disk.add-cow"
    decode.flat(meta, d + "/plain/w/disk.add-cow")

"""The cases of hostile.py: what is done to the files, and what must come of it."""
import os
import shutil
import socket
import struct
import subprocess

import common
from badinput import changes, snapshot
from badinput_cases import header, put
from hostile import DISK, END, RUN, SIZE

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]


def mounts(commands):
    """A command in front, for a program that sees other mounts. Its directory is theirs, too."""
    return ["unshare", "-m", "sh", "-ec", commands + '; cd "$PWD"; exec "$@"', "sh"]


NO_PROC = mounts("mount -t tmpfs none /proc")
READ_ONLY = mounts("mount --bind . .; mount -o remount,bind,ro .")
# Only the files can be written, not the directory.
FILES_ALONE = mounts("mount --bind . .; for f in x.add-cow x.raw; do mount --bind $f $f; done; "
                     "mount -o remount,bind,ro .")


def replace(t, name, letter="N"):
    put(t.path("new"), letter.encode() * SIZE)
    os.rename(t.path("new"), t.path(name))


# ---- image and backing file ------------------------------------------------------

def image_replaced(t):
    """Who has it open goes on with the old one, but cannot make it safe; who comes is told."""
    t.disk()
    a = t.writer()
    replace(t, "x.raw")
    t.same("read", a.read(0, 1024), "I1024")
    t.same("write", a.write(40960, "b", 512), 512)
    t.same("flush", a("sync", "f"), "EIO")
    t.says("flush", a, "x.raw", "replaced")
    t.same("open again", a.open(at="g"), "ok")
    t.same("read again", a.read(32768, 1024, "g"), "a512 B512")
    t.same("child", a("child", "f", "read", 40960, 1024), "b512 B512")
    t.refused("newcomer", "ESTALE", [RUN])
    a.kill()
    with open(t.path("x.raw"), "rb") as f:
        t.same("the new file", f.read() == b"N" * SIZE, True)


def image_unlinked(t):
    t.disk()
    a = t.writer()
    os.unlink(t.path("x.raw"))
    t.same("read", a.read(32768, 1024), "a512 B512")
    t.same("write", a.write(40960, "b", 512), 512)
    t.same("flush", a("sync", "f"), "ok")
    t.same("size", a("size", "f"), SIZE)
    t.same("open again", a.open(at="g"), "ok")
    t.refused("newcomer", "ENOENT", ["x.raw"])


def backing_replaced(t):
    t.disk()
    a = t.writer()
    replace(t, "base.raw")
    t.same("read", a.read(32768, 1024), "a512 B512")
    t.same("write", a.write(40000, "b", 512), 512)
    t.same("read", a.read(39936, 1024), "B64 b512 B448")
    t.same("flush", a("sync", "f"), "ok")
    t.same("child", a("child", "f", "read", 50000, 512), "B512")


def image_cut(t):
    """A read gives what a flat file gives that is cut so, or what was there, or EIO."""
    for length in (8192, 8200, 0):
        t.disk()
        put(t.path("flat"), b"I" * END + b"B" * (SIZE - END))
        disk, flat = t.actor(), t.actor(preload=False)
        t.same("open", (disk.open(), flat.open("flat")), ("ok", "ok"))
        os.truncate(t.path("x.raw"), length)
        os.truncate(t.path("flat"), length)
        for off, count in ((0, 4096), (8000, 1000), (8192, 8), (12000, 10), (8000, 30000)):
            t.same("cut to %d, read %d" % (length, off), disk.read(off, count),
                   flat.read(off, count), "EIO")
        t.same("size", disk("size", "f"), flat("size", "f"))
        t.same("what is the backing file's", disk.read(40000, 100), "B100")
        t.end(disk)
        t.end(flat)
        os.unlink(t.path("x.raw"))


def backing_cut(t):
    t.disk()
    a = t.actor()
    t.same("open", a.open(), "ok")
    os.truncate(t.path("base.raw"), 33000)
    t.same("what is left", a.read(32768, 232), "B232")
    for off in (32768, 33000, 60000):
        t.same("read %d" % off, a.read(off, 512), "EIO")
    t.same("the image's", a.read(0, 512), "I512")
    t.same("a part of a sector", a.write(40000, "w", 10), "EIO")
    t.same("a sector", a.write(40448, "w", 512), 512)
    t.same("that sector", a.read(40448, 512), "w512")
    t.same("flush", a("sync", "f"), "ok")


# ---- metadata file -----------------------------------------------------------------

def metadata_replaced(t):
    """Users of the old disk keep it; the new one cannot be had before they are gone."""
    t.disk()
    a = t.writer()
    put(t.path("n.raw"), b"N" * SIZE)
    t.disk("n.add-cow", image="n.raw", bitmap=b"\xff" * 16)
    os.rename(t.path("n.add-cow"), t.path(DISK))
    t.same("read", a.read(32768, 1024), "a512 B512")
    t.same("write", a.write(40960, "b", 512), 512)
    t.same("child", a("child", "f", "read", 40960, 512), "b512")
    t.refused("newcomer", "ESTALE", [RUN])
    t.same("open again", a.open(at="g", flags="O_RDONLY"), "ESTALE")
    t.says("open again", a, RUN)
    t.same("flush", a("sync", "f"), "ok")
    t.end(a)
    t.content("the new disk", [(0, 512, "N512"), (32768, 512, "N512"), (40960, 512, "N512")])


def metadata_replaced_after_a_kill(t):
    """What was written to the old one belongs nowhere: somebody has to say that it may go."""
    t.left_by_killed()
    put(t.path("n.raw"), b"N" * SIZE)
    t.disk("n.add-cow", image="n.raw", bitmap=b"\xff" * 16)
    os.rename(t.path("n.add-cow"), t.path(DISK))
    t.refused("newcomer", "ESTALE", [RUN, "remove it"])
    os.unlink(t.path(RUN))
    t.content("the new disk", [(32768, 512, "N512")])


def metadata_unlinked(t):
    t.disk()
    a = t.writer()
    os.unlink(t.path(DISK))
    t.same("read", a.read(32768, 1024), "a512 B512")
    t.same("write", a.write(40960, "b", 512), 512)
    t.same("flush", a("sync", "f"), "ok")
    t.same("child", a("child", "f", "read", 40960, 512), "b512")
    t.end(a)
    t.same("files", sorted(os.listdir(t.d)), ["base.raw", "x.raw"])


def metadata_cut(t):
    """
    Bits are read from the mapped file. Where a whole page of it is gone that is a SIGBUS,
    which nobody but the program could catch; where not, the flush finds out.
    """
    t.disk()
    a = t.writer()
    os.truncate(t.path(DISK), 0)
    t.same("read", a.read(0, 512), "SIGBUS")
    t.disk()
    os.unlink(t.path(RUN))
    a = t.writer()
    os.truncate(t.path(DISK), 2560)
    t.same("flush", a("sync", "f"), "EIO")
    t.says("flush", a, DISK, "2560 bytes")
    t.same("length", os.path.getsize(t.path(DISK)), 2560)
    a.kill()
    with open(t.path("base.raw"), "rb") as f:
        t.same("base.raw", f.read() == b"B" * SIZE, True)


def create_over_a_disk_in_use(t):
    t.disk()
    t.disk("top.add-cow", DISK, "top.raw")
    args = ["-f", "add-cow", "-o", "backing_file=base.raw,image_file=new.raw"]
    for name, flags in ((DISK, "O_RDONLY"), (DISK, "O_RDWR"), ("top.add-cow", "O_RDONLY")):
        a = t.actor()
        t.same("open", a.open(name, flags), "ok")
        before = snapshot(t.d)
        done = subprocess.run([common.TOOL, "create", "--force"] + args + [DISK], cwd=t.d,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        t.same("status", done.returncode, 1)
        t.same("message", b"has it open" in done.stderr and done.stderr.count(b"\n") == 1, True)
        t.same("changes", changes(before, snapshot(t.d)), [])
        t.end(a)
    # A disk that is no longer there by its name is in nobody's way.
    a = t.writer()
    os.unlink(t.path(DISK))
    done = subprocess.run([common.TOOL, "create"] + args + [DISK], cwd=t.d,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    t.same("create", (done.returncode, done.stderr), (0, b""))
    t.same("the old", a.read(32768, 1024), "a512 B512")
    t.content("the new", [(0, 512, "B512"), (32768, 512, "B512")])
    t.same("the old still", a.read(32768, 1024), "a512 B512")
    t.end(a)
    t.content("the new still", [(0, 512, "B512"), (32768, 512, "B512")])


def directory_renamed(t):
    os.mkdir(t.path("s"))
    for name in ("base.raw", "x.raw", DISK):
        t.disk("s/" + DISK, image="x.raw")
    for name in ("base.raw", "x.raw"):
        os.rename(t.path(name), t.path("s/" + name))
    a, b = t.actor(), t.actor()
    t.same("open", a.open("s/" + DISK), "ok")
    t.same("write", a.write(32768, "a", 512), 512)
    os.rename(t.path("s"), t.path("r"))
    t.same("newcomer", b.open("r/" + DISK), "ok")
    t.same("it sees", b.read(32768, 1024), "a512 B512")
    t.same("it writes", b.write(40960, "b", 512), 512)
    t.same("the first sees", a.read(40960, 1024), "b512 B512")
    t.same("the first opens again", a.open("r/" + DISK, at="g"), "ok")
    t.end(a)
    t.end(b)
    t.content("in the end", [(32768, 512, "a512"), (40960, 512, "b512")], "r/" + DISK)
    t.same("files", sorted(os.listdir(t.path("r"))), ["base.raw", DISK, "x.raw"])


# ---- run-time file -------------------------------------------------------------------

def run_time_file_cut(t):
    """As the metadata file's; and who comes then does not get in."""
    for length in (20480, 16384, 100, 0):
        t.disk()
        a = t.writer()
        os.truncate(t.path(RUN), length)
        t.refused("newcomer, %d" % length, "EIO", [RUN, "damaged"])
        t.same("length", os.path.getsize(t.path(RUN)), length)
        got = a.read(32768, 512)
        t.same("read, %d" % length, got, "SIGBUS", "EIO", "")
        if got == "EIO":
            t.says("read, %d" % length, a, RUN)
        a.kill()
        os.unlink(t.path(RUN))


def poke(off, form, value):
    def action(path):
        with open(path, "r+b") as f:
            f.seek(off)
            f.write(struct.pack(form, value) if form else value)
    return action


def instead(how):
    def action(path):
        os.unlink(path)
        how(path)
    return action


def bind_socket(path):
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(path)


# The places of fields in the run-time file's head.
ABI, BOOT_ID, META_INO, IMAGE_INO, AREA = 8, 16, 64, 80, 16384
KEPT, LOST = "a512", "B512"
LEFT_OVER = [
    # name, what is done to it, what must come of it: the content, or errno and words
    ("as-it-is", lambda path: None, KEPT),
    ("others-may-write", lambda path: os.chmod(path, 0o666), KEPT),
    ("longer", lambda path: os.truncate(path, 1 << 20), KEPT),
    ("of-another-owner", lambda path: os.chown(path, 1000, 1000), ("EPERM", "owner")),
    ("hard-linked", lambda path: os.link(path, path + "2"), ("EPERM", "one name")),
    ("fifo", instead(os.mkfifo), ("EPERM", "regular file")),
    ("socket", instead(bind_socket), ("ENXIO", "run-time file")),
    ("directory", instead(os.mkdir), ("EISDIR", "irectory")),
    ("character-device", instead(lambda path: os.mknod(path, 0o20666, os.makedev(1, 5))),
     ("EPERM", "regular file")),
    ("symlink", lambda path: [os.rename(path, path + "2"), os.symlink(path + "2", path)],
     ("ELOOP", "link")),
    ("dangling-symlink", instead(lambda path: os.symlink("nothing", path)), ("ELOOP", "link")),
    ("cut-in-its-bits", lambda path: os.truncate(path, AREA + 4096), ("EIO", "cut short")),
    ("cut-to-its-head", lambda path: os.truncate(path, AREA), ("EIO", "cut short")),
    # No larger than one that was just being made, and then there is nothing in it.
    ("cut-in-its-head", lambda path: os.truncate(path, 100), LOST),
    ("empty", lambda path: os.truncate(path, 0), LOST),
    ("of-another-boot", poke(BOOT_ID, None, b"00000000-0000-0000-0000-000000000000"), LOST),
    ("of-another-boot-and-abi", lambda path: [poke(BOOT_ID, None, b"0" * 36)(path),
                                              poke(ABI, "=I", 0x7f085028)(path)], LOST),
    ("of-another-abi", poke(ABI, "=I", 0x7f085028), ("EBUSY", "another version")),
    ("of-another-metadata-file", poke(META_INO, "=Q", 1), ("ESTALE", "other files")),
    ("of-another-image", poke(IMAGE_INO, "=Q", 1), ("ESTALE", "other files")),
]


def left_over(how, outcome):
    def case(t):
        t.left_by_killed()
        how(t.path(RUN))
        before = snapshot(t.d)
        if isinstance(outcome, str):
            t.content("content", [(32768, 512, outcome), (0, 512, "I512"), (50000, 512, "B512")])
            a = t.actor()
            t.same("open", a.open(), "ok")
            t.same("read", a.read(32768, 512), outcome)
            t.same("write", a.write(40960, "w", 512), 512)
            t.end(a)
            t.content("in the end", [(32768, 512, outcome), (40960, 512, "w512")])
            t.same("run-time file", os.path.lexists(t.path(RUN)), False)
            return
        t.refused("open", outcome[0], [RUN, outcome[1]])
        t.same("changes", changes(before, snapshot(t.d)), [])
    return case


def given_away(t, *names):
    for name in names:
        os.chown(t.path(name), 65534, 65534)


def left_over_that_cannot_be_taken(t):
    """
    Left by a killed program in a directory where this one may not write. To pass it over
    would be to read what the disk was before, and to write over that.
    """
    t.left_by_killed()
    given_away(t, DISK, "x.raw")
    before = snapshot(t.d)
    t.refused("readable", "EACCES", [RUN, "killed"], ["O_RDWR"], wrap=NOBODY)
    os.chmod(t.path(RUN), 0o600)
    t.refused("unreadable", "EACCES", [RUN], wrap=NOBODY)
    os.chown(t.path(RUN), 1000, 1000)
    os.chmod(t.path(RUN), 0o644)
    t.refused("of another owner", "EPERM", [RUN, "trusted"], wrap=NOBODY)
    os.chown(t.path(RUN), 0, 0)
    t.same("changes", changes(before, snapshot(t.d)), [])
    t.refused("writer in a read-only directory", "EROFS", [RUN, "killed"], ["O_RDWR"],
              wrap=FILES_ALONE)
    a = t.actor(wrap=FILES_ALONE)
    t.same("reader there", a.open(flags="O_RDONLY"), "ok")
    t.same("it sees", a.read(32768, 512), "a512")
    t.end(a)
    t.content("whoever may", [(32768, 512, "a512")])


# ---- places -------------------------------------------------------------------------

def no_proc(t):
    """Every way to open a disk says what is missing; none gets the metadata file's bytes."""
    t.disk()
    before = snapshot(t.d)
    preload = {"LD_PRELOAD": common.LD_PRELOAD}
    a = t.actor(preload=False, wrap=NO_PROC, env=preload)
    t.same("another file", a.open("base.raw", "O_RDONLY"), "ok")
    t.says("start", a, "/proc/self/fd")
    for flags in ("O_RDONLY", "O_RDWR", "O_RDWR|O_CREAT", "O_WRONLY|O_TRUNC"):
        t.same("open " + flags, a.open(flags=flags), "ENOTSUP")
        t.says("open " + flags, a, DISK, "/proc")
    t.same("openat", a.open(DISK, "O_RDWR", "f", t.d), "ENOTSUP")
    t.says("openat", a, DISK, "/proc")
    t.end(a)
    done = subprocess.run(NO_PROC + common.PRELOAD + ["cat", DISK], cwd=t.d,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    t.same("wrapper", (done.returncode, done.stdout), (126, b""))
    t.same("wrapper's line", b"mount -t proc" in done.stderr, True)
    done = subprocess.run(NO_PROC + [common.TOOL, "info", DISK], cwd=t.d,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    t.same("addcow-img", (done.returncode, done.stderr), (0, b""))
    t.same("changes", changes(before, snapshot(t.d)), [])


MAP_WHEN_FULL = """
import errno, mmap, os
fd = os.open('x.add-cow', os.O_RDWR)
before = os.pread(fd, 1 << 20, 0)
with open('filler', 'wb', 0) as f:
    try:
        while f.write(b'f' * 4096): pass
    except OSError: pass
for prot in mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE:
    try: mmap.mmap(fd, 0, prot=prot)
    except OSError as e: print(errno.errorcode[e.errno])
print(os.pread(fd, 1 << 20, 0) == before, mmap.mmap(fd, 0, mmap.MAP_PRIVATE)[:] == before)
os.unlink('filler')
m = mmap.mmap(fd, 0)
m[5000:5002] = b'ok'
print(os.pread(fd, 2, 5000), m[:5000] == before[:5000], m[5002:] == before[5002:])
"""


def mapped_on_a_full_disk(t):
    """It is the mapping that fails, and no store later; and nothing has changed by it."""
    t.disk()
    full = mounts("mount -t tmpfs -o size=%d none /mnt; cp --sparse=always base.raw x.raw x.add-cow /mnt; "
                  "cd /mnt" % (3 * SIZE))
    done = subprocess.run(full + common.PRELOAD + ["/usr/bin/python3", "-c", MAP_WHEN_FULL], cwd=t.d,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    t.same("what it said", (done.stdout, done.stderr),
           (b"ENOSPC\nENOSPC\nTrue True\nb'ok' True True\n", b""))


def no_shared_memory(t):
    t.disk()
    a = t.writer(wrap=mounts("umount -l /dev/shm"))
    t.same("read", a.read(32768, 1024), "a512 B512")
    t.end(a)
    t.content("in the end", [(32768, 512, "a512")])


def read_only_directory(t):
    """The files can be written but no run-time file be made: one program at a time."""
    t.disk()
    a = t.writer(wrap=FILES_ALONE)
    t.same("read", a.read(32768, 1024), "a512 B512")
    t.same("child writes", a("child", "f", "write", 40960, "c", 512), 512)
    t.same("read", a.read(40960, 1024), "c512 B512")
    t.refused("newcomer", "EBUSY", [DISK])
    t.same("flush", a("sync", "f"), "ok")
    t.end(a)
    t.content("in the end", [(32768, 512, "a512"), (40960, 512, "c512")])
    # A reader there sees what a writer elsewhere writes.
    a = t.actor(wrap=FILES_ALONE)
    b = t.writer(off=50176, letter="d")
    t.refused("writer", "EBUSY", [DISK], ["O_RDWR"], wrap=FILES_ALONE)
    t.same("reader", a.open(flags="O_RDONLY"), "ok")
    t.same("it sees", a.read(50176, 1024), "d512 B512")
    t.same("write", b.write(51200, "e", 512), 512)
    t.same("it sees", a.read(51200, 1024), "e512 B512")
    t.end(b)
    t.same("it still sees", a.read(51200, 1024), "e512 B512")


def read_only_everything(t):
    t.left_by_killed()
    before = snapshot(t.d)
    a = t.actor(wrap=READ_ONLY)
    t.same("open", a.open(flags="O_RDONLY"), "ok")
    t.same("read", a.read(32768, 1024), "a512 B512")
    t.same("open for writing", a.open(at="g"), "EROFS")
    t.says("open for writing", a, DISK)
    t.end(a)
    t.same("changes", changes(before, snapshot(t.d)), [])


# ---- names -----------------------------------------------------------------------------

def symlinks(t):
    """By whatever path, it is one disk with one run-time file, beside the file itself."""
    t.disk()
    os.mkdir(t.path("s"))
    os.symlink("../" + DISK, t.path("s/d.add-cow"))
    os.symlink("s/d.add-cow", t.path("l.add-cow"))
    os.symlink(".", t.path("self"))
    os.symlink("loop.add-cow", t.path("loop.add-cow"))
    a = t.writer()
    for name, flags, outcome in (
            ("l.add-cow", "O_RDWR", "ok"), ("s/d.add-cow", "O_RDWR", "ok"),
            ("self/s/../" + DISK, "O_RDWR|O_NOFOLLOW", "ok"),
            (t.path("self/self/l.add-cow"), "O_RDONLY", "ok"),
            ("l.add-cow", "O_RDONLY|O_NOFOLLOW", "ELOOP"), ("loop.add-cow", "O_RDONLY", "ELOOP"),
            (DISK + "/", "O_RDONLY", "ENOTDIR"), (DISK + "/.", "O_RDONLY", "ENOTDIR"),
            (DISK, "O_RDONLY|O_DIRECTORY", "ENOTDIR"), (DISK, "O_RDWR|O_CREAT|O_EXCL", "EEXIST"),
            ("l.add-cow", "O_RDWR|O_CREAT|O_EXCL", "EEXIST")):
        b = t.actor()
        t.same("%s, %s" % (name, flags), b.open(name, flags), outcome)
        if outcome == "ok":
            t.same(name, b.read(32768, 1024), "a512 B512")
        t.end(b)
    t.end(a)
    found = sorted(name for _, _, files in os.walk(t.d) for name in files)
    t.same("files", found, ["base.raw", "d.add-cow", "l.add-cow", "loop.add-cow", DISK, "x.raw"])


def header_in_a_raw_backing_file(t):
    """Written there by a guest; what it names is not opened."""
    guest = header(b"secret", b"secret")
    t.disk()
    put(t.path("secret"), b"S" * SIZE)
    put(t.path("base.raw"), guest + b"G" * (SIZE - len(guest)))
    t.disk(bitmap=b"")
    a = t.actor()
    t.same("open", a.open(), "ok")
    t.same("magic", a.read(0, 4), "A1 D2 _1")
    t.same("the rest", a.read(2560, 4096), "G4096")
    t.same("size", a("size", "f"), SIZE)
    t.same("write", a.write(0, "w", 512), 512)
    t.end(a)
    done = subprocess.run([common.TOOL, "info", DISK], cwd=t.d, stdout=subprocess.PIPE)
    t.same("addcow-img", b"backing file format: raw" in done.stdout, True)


# ---- all -----------------------------------------------------------------------------------

def needs_mounts():
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("setpriv"):
        return "root, unshare and setpriv"
    done = subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL)
    return "mount namespaces" if done.returncode else None


def all_cases():
    """(name, case, what it needs that is not there)"""
    import hostile_names
    privileged = needs_mounts()
    for case in (image_replaced, image_unlinked, backing_replaced, image_cut, backing_cut,
                 metadata_replaced, metadata_replaced_after_a_kill, metadata_unlinked, metadata_cut,
                 create_over_a_disk_in_use, directory_renamed, run_time_file_cut, symlinks,
                 header_in_a_raw_backing_file):
        yield case.__name__.replace("_", "-"), case, None
    for name, how, outcome in LEFT_OVER:
        yield "left-over-" + name, left_over(how, outcome), privileged
    for case in (left_over_that_cannot_be_taken, no_proc, no_shared_memory, mapped_on_a_full_disk, read_only_directory,
                 read_only_everything):
        # A sanitizer's runtime reads /proc as well, and ends without it.
        if case is no_proc and common.SANITIZER:
            continue
        yield case.__name__.replace("_", "-"), case, privileged
    yield from hostile_names.all_cases(privileged)

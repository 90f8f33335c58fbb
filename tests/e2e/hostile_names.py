"""More cases of hostile.py: one disk under two names, one file in two disks.

Whoever comes by another way either shares everything with those who have the disk open, or
is refused with EBUSY and told who they are. There are never two run-time files in use for
one disk.
"""
import os
import shutil
import subprocess

import common
from badinput_cases import put
from hostile import DISK, RUN, SIZE
from hostile_cases import NOBODY, replace


def share_or_refuse(t, a, what, name, flags="O_RDWR"):
    """`a` has the disk open and has written a512 at 32768."""
    b = t.actor()
    opened = b.open(name, flags)
    if opened == "EBUSY":
        t.says(what, b, os.path.basename(name), str(a.child.pid))
        return
    t.same(what, opened, "ok")
    t.same(what + ": sees", b.read(32768, 1024), "a512 B512")
    if flags == "O_RDWR":
        t.same(what + ": writes", b.write(49152, "b", 100), 100)
        t.same(what + ": writes into the same sector", a.write(49252, "a", 100), 100)
        for who in (a, b):
            t.same(what + ": both see", who.read(49152, 512), "b100 a100 B312")
    t.end(b)


def under_another_name(name, how, flags="O_RDWR", then=None):
    def case(t):
        t.disk()
        a = t.writer()
        how(t)
        share_or_refuse(t, a, "newcomer", name, flags)
        t.same("the first", a.read(32768, 1024), "a512 B512")
        t.same("its child", a("child", "f", "read", 32768, 1024), "a512 B512", "EBUSY")
        a.lines()
        t.same("flush", a("sync", "f"), "ok")
        t.end(a)
        if then:
            then(t)
        t.content("in the end", [(0, 512, "I512"), (32768, 1024, "a512 B512")], name)
        t.same("run-time files", [found for found in os.listdir(t.d) if found.endswith(".run")], [])
    return case


def link_elsewhere(t):
    os.mkdir(t.path("s"))
    for name in ("base.raw", "x.raw", DISK):
        os.link(t.path(name), t.path("s/" + name))


def run_time_file_comes_back(t):
    t.disk()
    a = t.writer()
    os.rename(t.path(RUN), t.path("away"))
    share_or_refuse(t, a, "newcomer", DISK)
    os.path.lexists(t.path(RUN)) and os.unlink(t.path(RUN))
    os.rename(t.path("away"), t.path(RUN))
    b = t.actor()
    t.same("open", b.open(), "ok")
    t.same("read", b.read(32768, 1024), "a512 B512")


def child_after_the_directory_was_renamed(t):
    os.mkdir(t.path("s"))
    t.disk("s/" + DISK)
    for name in ("base.raw", "x.raw"):
        os.rename(t.path(name), t.path("s/" + name))
    a = t.actor()
    t.same("open", a.open("s/" + DISK), "ok")
    t.same("write", a.write(32768, "a", 512), 512)
    os.rename(t.path("s"), t.path("r"))
    t.same("child", a("child", "f", "read", 32768, 1024), "a512 B512")
    t.same("child", a("child", "f", "write", 40960, "c", 512), 512)
    t.same("read", a.read(40960, 1024), "c512 B512")


def child_after_the_disk_was_made_anew(t):
    """What stands under the names by then is another disk."""
    t.disk()
    a = t.writer()
    os.unlink(t.path(DISK))
    subprocess.run([common.TOOL, "create", "-q", "-f", "add-cow", "-o",
                    "backing_file=base.raw,image_file=new.raw", DISK], cwd=t.d, check=True)
    t.same("child", a("child", "f", "read", 32768, 1024), "a512 B512", "EBUSY", "ESTALE")
    a.lines()
    t.content("the new disk", [(0, 512, "B512"), (32768, 512, "B512")])


def inode_numbers_used_again(t):
    """
    The disk of a killed program is removed, and another put in its place from a copy. Its
    files may have the same numbers; what the killed program wrote is not in them.
    """
    for _ in range(5):
        t.left_by_killed()
        files = sorted(("x.raw", DISK), key=lambda name: os.stat(t.path(name)).st_ino)
        numbers = [os.stat(t.path(name)).st_ino for name in files]
        with open(t.path(DISK), "rb") as f:
            meta = f.read()
        for name in files:
            os.unlink(t.path(name))
        for name in files:
            put(t.path(name), meta if name == DISK else b"R" * SIZE)
        b = t.actor()
        if b.open() != "ESTALE":
            t.same("read", b.read(32768, 512), "B512")
        b.lines()
        t.end(b)
        if numbers == [os.stat(t.path(name)).st_ino for name in files]:
            return
        for name in files + [RUN]:
            os.path.exists(t.path(name)) and os.unlink(t.path(name))


def one_image_in_two_disks(t):
    for first, second, outcome in (("O_RDWR", "O_RDWR", "EBUSY"), ("O_RDWR", "O_RDONLY", "EBUSY"),
                                   ("O_RDONLY", "O_RDWR", "EBUSY"), ("O_RDONLY", "O_RDONLY", "ok")):
        t.disk()
        t.disk("y.add-cow")
        a, b = t.actor(), t.actor()
        t.same("the first", a.open(DISK, first), "ok")
        t.same("%s, then %s" % (first, second), b.open("y.add-cow", second), outcome)
        if outcome != "ok":
            t.says("%s, then %s" % (first, second), b, "x.raw", str(a.child.pid))
        t.end(a)
        t.end(b)


def record_lock_beside_a_refused_open(t):
    """What a refused open had opened is not closed yet, and is in nobody's way."""
    t.disk()
    t.disk("y.add-cow")
    a, b, c = t.actor(), t.actor(), t.actor()
    t.same("open", a.open(), "ok")
    t.same("lock", a("lock", "f", 0, 100), "ok")
    t.same("other disk", a.open("y.add-cow", "O_RDWR", "g"), "EBUSY")
    a.lines()
    t.same("open", b.open(), "ok")
    t.same("is locked", b("lock", "f", 50, 1), "EAGAIN")
    t.same("close", b("close", "f"), "ok")
    t.same("close", a("close", "f"), "ok")
    t.same("open", c.open("y.add-cow"), "ok")
    t.same("lock", c("lock", "f", 50, 1), "ok")
    for actor in (a, b, c):
        t.end(actor)


def image_of_a_writer_as_backing_file(t):
    for first, second, outcome in (("O_RDWR", "O_RDWR", "EBUSY"), ("O_RDWR", "O_RDONLY", "EBUSY"),
                                   ("O_RDONLY", "O_RDWR", "ok")):
        t.disk()
        t.disk("y.add-cow", "x.raw", "y.raw")
        for names in ((DISK, "y.add-cow"), ("y.add-cow", DISK)):
            a, b = t.actor(), t.actor()
            modes = (first, second) if names[0] == DISK else (second, first)
            t.same("the first", a.open(names[0], modes[0]), "ok")
            t.same("%s %s" % (names, modes), b.open(names[1], modes[1]), outcome)
            if outcome != "ok":
                t.says("%s %s" % (names, modes), b, "x.raw", str(a.child.pid))
            t.end(a)
            t.end(b)


def record_lock_beyond_all_data(t):
    """There the library's own locks are: refused, rather than granted to two."""
    t.disk()
    for start, length, outcome in ((1 << 60, 1, "EOVERFLOW"), (1 << 62, 0, "EOVERFLOW"),
                                   ((1 << 60) + 5, -3, "EOVERFLOW"), ((1 << 60) + 5, -10, "ok"),
                                   ((1 << 60) - 1, 0, "ok"), (0, 0, "ok")):
        a = t.actor()
        t.same("open", a.open(), "ok")
        t.same("%d, %d" % (start, length), a("lock", "f", start, length), outcome)
        t.same("a newcomer", a("child", "g", "open", DISK, "O_RDWR"), "ok")
        t.end(a)


def backing_file_replaced_for_a_newcomer(t):
    """One state, two backing files: the newcomer would see another disk."""
    t.disk()
    a = t.writer()
    replace(t, "base.raw")
    b = t.actor()
    t.same("newcomer", b.open(), "EBUSY", "ESTALE")
    t.says("newcomer", b, "base.raw")
    t.end(a)
    t.content("afterwards", [(32768, 1024, "a512 N512")])


def not_writable(t):
    t.disk()
    for name in os.listdir(t.d):
        os.chown(t.path(name), 65534, 65534)


def one_program_opens_it_twice(t):
    """In a directory that is not writable, where others are kept out."""
    for first, second in (("O_RDWR", "O_RDONLY"), ("O_RDONLY", "O_RDWR"), ("O_RDWR", "O_RDWR")):
        not_writable(t)
        a = t.actor(wrap=NOBODY)
        t.same("first", a.open(flags=first), "ok")
        t.same("%s, then %s" % (first, second), a.open(flags=second, at="g"), "ok")
        a.lines()
        writer, reader = ("f", "g") if first == "O_RDWR" else ("g", "f")
        t.same("write", a.write(32768, "a", 512, writer), 512)
        t.same("read", a.read(32768, 1024, reader), "a512 B512")
        t.end(a)
        t.content("in the end", [(32768, 512, "a512")])


def qemu_reopens_it(t):
    """With auto-read-only, as libvirt has it, QEMU opens for reading first."""
    not_writable(t)
    done = subprocess.run(
        NOBODY + common.PRELOAD + ["qemu-io", "-c", "write -P 0x61 32768 512", "--image-opts",
                                   "driver=raw,file.driver=file,file.auto-read-only=on,"
                                   "file.filename=" + DISK],
        cwd=t.d, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    t.same("qemu-io", (done.returncode, done.stderr), (0, b""))
    t.content("in the end", [(32768, 1024, "a512 B512")])
    done = subprocess.run(
        NOBODY + common.PRELOAD + ["qemu-io", "-r", "-f", "raw", "-c", "read -P 0x61 32768 512",
                                   "-c", "reopen -w", "-c", "write -P 0x62 40960 512",
                                   "-c", "reopen -r", "-c", "read -P 0x62 40960 512",
                                   "-c", "reopen -w", "-c", "write -P 0x63 49152 512",
                                   "-c", "read -P 0x62 40960 512", DISK],
        cwd=t.d, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    t.same("reopen", (done.returncode, done.stderr, b"failed" in done.stdout), (0, b"", False))
    t.content("reopened", [(32768, 1024, "a512 B512"), (40960, 1024, "b512 B512"),
                           (49152, 1024, "c512 B512")])


def all_cases(privileged):
    """(name, case, what it needs that is not there)"""
    link = lambda t: os.link(t.path(DISK), t.path("y.add-cow"))
    away = lambda t: os.rename(t.path(RUN), t.path("away"))
    for name, case in (
            ("hard-link", under_another_name("y.add-cow", link)),
            ("hard-link-reader", under_another_name("y.add-cow", link, "O_RDONLY")),
            ("hard-link-elsewhere", under_another_name("s/" + DISK, link_elsewhere)),
            ("metadata-renamed", under_another_name(
                "y.add-cow", lambda t: os.rename(t.path(DISK), t.path("y.add-cow")))),
            ("run-time-file-unlinked", under_another_name(DISK, lambda t: os.unlink(t.path(RUN)))),
            ("run-time-file-moved", under_another_name(DISK, away)),
            ("run-time-file-moved-reader", under_another_name(DISK, away, "O_RDONLY"))):
        yield name, case, None
    for case in (run_time_file_comes_back, child_after_the_directory_was_renamed,
                 child_after_the_disk_was_made_anew, inode_numbers_used_again, one_image_in_two_disks,
                 image_of_a_writer_as_backing_file, record_lock_beyond_all_data,
                 record_lock_beside_a_refused_open, backing_file_replaced_for_a_newcomer):
        yield case.__name__.replace("_", "-"), case, None
    yield "one-program-opens-it-twice", one_program_opens_it_twice, privileged
    yield "qemu-reopens-it", qemu_reopens_it, privileged or (
        None if shutil.which("qemu-io") else "program qemu-io")

#!/usr/bin/python3
"""The options of addcow-preload.sh that change what is said or when it is durable.

--trace, --stats and --log are checked for what they print; --cache for what is left on
the three files when a program is killed and its run-time file is lost.
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import common
import decode

BASE = bytes(range(256)) * 4096
passed = failed = 0


def check(name, ok, said=""):
    global passed, failed
    if ok:
        passed += 1
    else:
        failed += 1
        print("FAIL %s\n%s" % (name, said))


def run(options, command, **env):
    return subprocess.run([common.WRAPPER, *options, "--", *command], capture_output=True, text=True, errors='replace',
                          env=dict(os.environ, **env))


def python(code):
    return ["/usr/bin/python3", "-c", "import os, signal, mmap\n" + code]


def read(name):
    with open(name) as f:
        return f.read()


def fresh():
    for name in os.listdir("."):
        os.unlink(name)
    with open("base.img", "wb") as f:
        f.write(BASE)
    subprocess.run([common.TOOL, "create", "-q", "-b", "base.img", "d.add-cow"], check=True)


def trace():
    fresh()
    done = run(["--trace=t"], ["dd", "if=d.add-cow", "of=/dev/null", "bs=4096", "count=2", "status=none"])
    lines = read("t").splitlines()
    check("trace: nothing on stderr", done.returncode == 0 and not done.stderr, done.stderr)
    check("trace: open", any(re.fullmatch(r"\d+ open\(\d+<d\.add-cow>, .*\) = \d+", at) for at in lines),
          "\n".join(lines))
    check("trace: two reads", sum(bool(re.fullmatch(r"\d+ read\(0<d\.add-cow>, 4096\) = 4096", at))
                                  for at in lines) == 2, "\n".join(lines))
    done = run(["--trace"], ["sh", "-c", "read x <d.add-cow; echo over >&2"])
    check("trace: to stderr", "read(0<d.add-cow>" in done.stderr and "over" in done.stderr, done.stderr)
    done = run(["--trace"], python("os.read(os.open('d.add-cow', os.O_WRONLY), 1)"))
    check("trace: a failure", re.search(r"read\(\d<d\.add-cow>, 1\) = -1 EBADF \(", done.stderr),
          done.stderr)
    done = run(["--trace"], ["cat", "base.img"])
    check("trace: silent without a disk", done.stderr == "", done.stderr)


def stats():
    fresh()
    run(["--stats=s"], ["dd", "if=/dev/zero", "of=d.add-cow", "bs=512", "count=3", "conv=notrunc",
                        "status=none"])
    said = read("s")
    check("stats: writes", re.search(r"d\.add-cow: pid \d+ \(writable\).*; writes 3, of them allocating 3; "
                                     r"copied up 0 bytes; flushes 1, of them with bits 1$", said, re.M), said)
    done = run(["--stats"], ["head", "-c", "4096", "d.add-cow"])
    check("stats: reads, to stderr", "(read-only): reads from image" in done.stderr, done.stderr)


def log():
    fresh()
    with open("bad.add-cow", "w") as f:
        f.write("not a disk")
    done = run(["--log=l"], ["cat", "bad.add-cow"])
    check("log: to the file", read("l").count("\n") == 1 and "bad.add-cow" in read("l"), read("l"))
    check("log: not to stderr", done.returncode == 1 and "addcow:" not in done.stderr, done.stderr)
    done = run([], python("import ctypes\n"
                          "libc = ctypes.CDLL(None, use_errno=True)\n"
                          "for i in range(2):\n"
                          "    libc.updwtmp(b'd.add-cow', bytes(384))\n"
                          "    print(ctypes.get_errno())"))
    check("unserved: EBADF each time", done.stdout == "9\n9\n", done.stdout)
    check("unserved: said once", done.stderr.count("updwtmp is not served") == 1, done.stderr)
    check("unserved: with the call chain", re.search(r"^addcow:   #0 .*\+0x[0-9a-f]+ in /", done.stderr, re.M),
          done.stderr)


def killed_after(options, code):
    """What is at 1000 after `code`, a kill, and the loss of the run-time file."""
    fresh()
    done = run(options, python("fd = os.open('d.add-cow', os.O_RDWR)\n" + code
                               + "\nos.kill(os.getpid(), signal.SIGKILL)"))
    if done.returncode not in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return done.stderr
    os.unlink("d.add-cow.run")
    decode.flat("d.add-cow", "flat")
    with open("flat", "rb") as f:
        f.seek(1000)
        return f.read(5)


# aio_fsync, and one request by io_submit: write 1, fsync 2, fdatasync 3.
ASYNCHRONOUS = """
import ctypes, errno, struct
libc = ctypes.CDLL(None)
def aio_fsync(fd):
    cb = ctypes.create_string_buffer(struct.pack('<i40xi', fd, 1), 168)
    assert libc.aio_fsync(os.O_SYNC, cb) == 0
    while libc.aio_error(cb) == errno.EINPROGRESS:
        pass
    assert libc.aio_error(cb) == 0
def submit(fd, op, data=b'', off=0, flags=0):
    context = ctypes.c_ulong()
    assert libc.syscall(206, 1, ctypes.byref(context)) == 0
    place = ctypes.create_string_buffer(data)
    cb = ctypes.create_string_buffer(struct.pack('<QIIHhIQQqQII', 0, 0, flags, op, 0, fd,
        ctypes.addressof(place) if data else 0, len(data), off, 0, 0, 0))
    assert libc.syscall(209, context, 1, ctypes.byref(ctypes.c_void_p(ctypes.addressof(cb)))) == 1
"""


# Requests by io_uring, each (operation, descriptor, data, offset, flags of the entry, of the
# request), at once. `lib` is what a program sees that is linked with liburing.
URING = """
import ctypes, struct
alone = ctypes.CDLL('liburing.so.2', mode=ctypes.RTLD_GLOBAL)
lib = ctypes.CDLL(None, use_errno=True)
READ, WRITE, FSYNC, OPENAT, CLOSE, STATX, DRAIN, LINK = 22, 23, 3, 18, 19, 21, 2, 4
def uring(*requests, by=lib, submit=None):
    ring, kept, found = ctypes.create_string_buffer(512), [], {}
    assert by.io_uring_queue_init(16, ring, 0) == 0
    by.io_uring_get_sqe.restype = ctypes.c_void_p
    for i, (op, fd, data, off, flags, rw) in enumerate(requests):
        kept.append(ctypes.create_string_buffer(data, len(data) + 1))
        ctypes.memmove(by.io_uring_get_sqe(ring), struct.pack('<BBHiQQIIQQQQ', op, flags, 0, fd,
            off, ctypes.addressof(kept[-1]) if data else 0, len(data), rw, i, 0, 0, 0), 64)
    r = by.io_uring_submit(ring) if submit is None else submit(ring)
    if r < 0:
        return r
    for _ in requests:
        cqe = ctypes.c_void_p()
        assert by.__io_uring_get_cqe(ring, ctypes.byref(cqe), 0, 1, None) == 0
        data, res, _ = struct.unpack('<QiI', ctypes.string_at(cqe.value, 16))
        found[data] = res
        head = struct.unpack_from('<Q', ring, 104)[0]
        ctypes.memmove(head, struct.pack('<I', struct.unpack('<I', ctypes.string_at(head, 4))[0] + 1), 4)
    by.io_uring_queue_exit(ring)
    return [found[i] for i in range(len(requests))]
"""


def uring():
    """What io_uring does not do on a disk is said, and fails; so is what goes past the library."""
    for name, code, expect, said in (
            ("a read that waits",
             "uring((READ, os.open('d.add-cow', os.O_RDONLY), bytes(100), 0, DRAIN, 0))", "[-9]",
             "io_uring/read or write that has to wait"),
            ("an open that waits",
             "uring((OPENAT, -100, b'd.add-cow', 0, DRAIN, 0))", "[-9]",
             "io_uring/openat that has to wait"),
            ("an open of what may become a disk",
             "uring((OPENAT, -100, b'new.add-cow', 0, DRAIN, 0))", "[-9]",
             "io_uring/openat that has to wait"),
            ("a close that waits",
             "uring((CLOSE, os.open('d.add-cow', os.O_RDONLY), b'', 0, DRAIN, 0))", "[-9]",
             "io_uring/close that has to wait"),
            ("a grown disk that waits",
             "uring((WRITE, os.open('d.add-cow', os.O_RDWR), b'x', 1 << 30, DRAIN, 0))", "[-9]",
             "io_uring/read or write that has to wait"),
            ("a write that waits, and must be durable, as it is through all caches",
             "uring((WRITE, os.open('d.add-cow', os.O_RDWR), b'x', 0, DRAIN, 0))", "[-9]",
             "io_uring/read or write that has to wait"),
            ("a buffer of the kernel's choice",
             "(os.pwrite(os.open('d.add-cow', os.O_RDWR), b'x', 600), uring((READ, "
             "os.open('d.add-cow', os.O_RDONLY), bytes(100), 1000, 32, 0)))[1]", "[-9]",
             "into a buffer that the kernel chooses"),
            ("a request past the library",
             "uring((READ, os.open('d.add-cow', os.O_RDWR), bytes(100), 0, 0, 0), by=alone)", "[-9]",
             None),
            ("a ring that is not known",
             "(os.open('d.add-cow', os.O_RDWR), uring((READ, 3, bytes(100), 0, 0, 0), by=alone, "
             "submit=lambda ring: lib.syscall(426, os.dup(4), 1, 0, 0, None, 0)), ctypes.get_errno())[1:]",
             "(-1, 9)", "io_uring_enter on a ring that is not known here"),
            ("a queue that the kernel empties",
             "(os.open('d.add-cow', os.O_RDWR), lib.syscall(425, 8, ctypes.create_string_buffer("
             "struct.pack('<II', 0, 0) + struct.pack('<I', 2), 120)), ctypes.get_errno())[1:]",
             "(-1, 1)", "io_uring_setup with IORING_SETUP_SQPOLL")):
        fresh()
        done = run(["--cache=writethrough"] if "through" in name else [],
                   python(URING + "print(%s)" % code))
        check("uring: " + name, done.stdout == expect + "\n", done.stdout + done.stderr)
        check("uring: %s is said" % name, said is None or done.stderr.count(said) == 1, done.stderr)


def cache():
    old, new = BASE[1000:1005], b"HELLO"
    write = "os.pwrite(fd, b'HELLO', 1000)"
    for name, options, code, expect in (
            ("writeback", [], write, old),
            ("writeback and fsync", [], write + "; os.fsync(fd)", new),
            ("writeback and O_DSYNC", [], "fd = os.open('d.add-cow', os.O_RDWR | os.O_DSYNC); " + write, new),
            ("writeback and RWF_DSYNC", [], "os.pwritev(fd, [b'HELLO'], 1000, os.RWF_DSYNC)", new),
            ("writeback and a mapping", [], "m = mmap.mmap(fd, 0); m[1000:1005] = b'HELLO'", old),
            ("writeback and msync", [], "m = mmap.mmap(fd, 0); m[1000:1005] = b'HELLO'; m.flush()", new),
            ("writeback and msync of a closed one", [], "m = mmap.mmap(fd, 0); os.close(fd); "
             "m[1000:1005] = b'HELLO'; m.flush()", new),
            ("writeback and aio_fsync", [], ASYNCHRONOUS + write + "; aio_fsync(fd)", new),
            ("writeback and io_submit", [], ASYNCHRONOUS + "submit(fd, 1, b'HELLO', 1000)", old),
            ("writeback and its fsync", [], ASYNCHRONOUS + write + "; submit(fd, 2)", new),
            ("writeback and its fdatasync", [], ASYNCHRONOUS + write + "; submit(fd, 3)", new),
            ("writeback and its RWF_DSYNC", [],
             ASYNCHRONOUS + "submit(fd, 1, b'HELLO', 1000, os.RWF_DSYNC)", new),
            ("writeback and io_uring", [], URING + "uring((WRITE, fd, b'HELLO', 1000, 0, 0))", old),
            ("writeback and its fsync", [], URING + write + "; uring((FSYNC, fd, b'', 0, 0, 0))", new),
            ("writeback and its fdatasync", [], URING + write + "; uring((FSYNC, fd, b'', 0, 0, 1))",
             new),
            ("writeback and its chain", [],
             URING + "uring((WRITE, fd, b'HELLO', 1000, LINK, 0), (FSYNC, fd, b'', 0, 0, 0))", new),
            ("writeback and its drain", [],
             URING + "uring((WRITE, fd, b'HELLO', 1000, DRAIN, 0), (FSYNC, fd, b'', 0, DRAIN, 0))",
             new),
            ("writeback and its RWF_DSYNC", [],
             URING + "uring((WRITE, fd, b'HELLO', 1000, 0, os.RWF_DSYNC))", new),
            ("writethrough and its write", ["--cache=writethrough"],
             URING + "uring((WRITE, fd, b'HELLO', 1000, 0, 0))", new),
            ("writethrough", ["--cache=writethrough"], write, new),
            ("unsafe and io_uring", ["--cache=unsafe"],
             URING + "uring((WRITE, fd, b'HELLO', 1000, 0, 0), (FSYNC, fd, b'', 0, 0, 0))", new),
            ("unsafe", ["--cache=unsafe"], write, new)):
        found = killed_after(options, code)
        check("cache: " + name, found == expect, repr(found))
    # The last to go, descriptor or mapping, is the disk's clean close.
    for last in ("os.close(fd); m.close()", "m.close(); os.close(fd)"):
        fresh()
        run([], python("fd = os.open('d.add-cow', os.O_RDWR); m = mmap.mmap(fd, 0); m[1000:1005] = b'HELLO'; "
                       + last + "; os.kill(os.getpid(), signal.SIGKILL)"))
        decode.flat("d.add-cow", "flat")
        with open("flat", "rb") as f:
            check("cache: closed by " + last, f.read()[1000:1005] == new
                  and not os.path.exists("d.add-cow.run"))
    fresh()
    run(["--cache=unsafe"], python("os.pwrite(os.open('d.add-cow', os.O_RDWR), b'HELLO', 1000)"))
    decode.flat("d.add-cow", "flat")
    with open("flat", "rb") as f:
        check("cache: unsafe, and a clean end", f.read()[1000:1005] == new)
    check("cache: unknown", run(["--cache=none"], ["true"]).returncode == 125)
    done = run([], ["cat", "d.add-cow"], ADDCOW_CACHE="none")
    check("cache: unknown, by the variable", done.returncode == 1 and "ADDCOW_CACHE=none" in done.stderr,
          done.stderr)


def mapping():
    """It keeps the disk open by itself; python's own mmap keeps a descriptor."""
    fresh()
    done = run([], python("import ctypes\n"
                          "libc = ctypes.CDLL(None)\n"
                          "libc.mmap.restype = ctypes.c_void_p\n"
                          "fd = os.open('d.add-cow', os.O_RDWR)\n"
                          "at = libc.mmap(None, ctypes.c_size_t(8192), 3, 1, fd, ctypes.c_long(0))\n"
                          "os.close(fd)\n"
                          "print(os.path.exists('d.add-cow.run'))\n"
                          "libc.munmap(ctypes.c_void_p(at + 4096), ctypes.c_size_t(4096))\n"
                          "print(os.path.exists('d.add-cow.run'))\n"
                          "libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(4096))\n"
                          "print(os.path.exists('d.add-cow.run'))"))
    check("mapping: keeps the disk open", done.stdout == "True\nTrue\nFalse\n", done.stdout + done.stderr)


def main():
    common.require()
    for name in [name for name in os.environ if name.startswith("ADDCOW_") and "TEST" not in name]:
        del os.environ[name]
    where = tempfile.mkdtemp(prefix="addcow-watch-")
    try:
        os.chdir(where)
        for part in (trace, stats, log, uring, cache, mapping):
            part()
    finally:
        shutil.rmtree(where)
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())

"""Record locks over ranges of every kind: what is granted, to whom, and what GETLK says of it."""
import errno
import fcntl
import os
import random
import struct
import sys

p = sys.argv[1]
EIB = 1 << 60
KINDS = {name: getattr(fcntl, name) for name in ("F_SETLK", "F_GETLK")}
KINDS.update(F_OFD_GETLK=36, F_OFD_SETLK=37)
TYPES = {fcntl.F_RDLCK: "read", fcntl.F_WRLCK: "write", fcntl.F_UNLCK: "none"}
me = os.getpid()


def lock(fd, kind, type, whence, start, length, pid=0):
    """What fcntl says, in words."""
    try:
        answer = fcntl.fcntl(fd, KINDS[kind], struct.pack("hhqqi4x", type, whence, start, length, pid))
    except OSError as err:
        return errno.errorcode[err.errno]
    if "GET" not in kind:
        return "ok"
    type, whence, start, length, pid = struct.unpack("hhqqi4x", answer)
    return TYPES[type], whence, start, length, {me: "parent", os.getpid(): "own"}.get(pid, pid)


def child(code):
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        code(os.open(p, os.O_RDWR))
        sys.stdout.flush()
        os._exit(0)
    os.waitpid(pid, 0)


R, W, U = fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK
fd = os.open(p, os.O_RDWR)
os.lseek(fd, 1000, os.SEEK_SET)
RANGES = [(0, 0, 0), (0, 100, 0), (0, 0, 1 << 50), (0, 1 << 50, 0), (2, -10, 0), (2, 0, -20), (2, 5, 10),
          (1, 5, 0), (1, 0, -5), (1, -1000, 0), (0, EIB - 5, 3), (0, EIB - 5, 0), (0, 77, 1),
          (0, 100, -100)]
ASKED = [(0, 0, 0), (0, 0, 50), (0, 1003, 4), (2, -1, 1), (2, 100, 0), (0, EIB - 4, 1), (0, EIB - 4, 0),
         (0, 100, -24)]


def ask(g):
    for asked in ASKED:
        for kind in ("F_GETLK", "F_OFD_GETLK"):
            for type in (R, W):
                print("  ", kind, type, asked, lock(g, kind, type, *asked))
        print("  ", "set", asked, [lock(g, kind, type, *how) for kind in ("F_SETLK", "F_OFD_SETLK")
                                   for type, how in ((R, asked), (W, asked), (U, (0, 0, 0)))])


for kind in ("F_SETLK", "F_OFD_SETLK"):
    for type in (R, W):
        for where in RANGES:
            print(kind, type, where, lock(fd, kind, type, *where))
            child(ask)
            print("a hole", lock(fd, kind, U, 0, 1004, 2))
            child(ask)
            print("unlock", lock(fd, kind, U, 0, 0, 0))
            child(lambda g: print("  ", lock(g, "F_SETLK", W, 0, 0, 0)))

# Wrong ones.
MAX = (1 << 63) - 1
for kind in KINDS:
    for bad in ((W, 7, 0, 0), (W, 0, -1, 5), (W, 0, MAX, 2), (W, 1, MAX, 0), (W, 2, MAX, 1), (W, 0, 5, -6),
                (W, 0, 0, -1), (W, 1, -1001, 0), (W, 2, 0, -MAX), (9, 0, 0, 0), (W, 0, 0, 0, 5)):
        print(kind, bad, lock(fd, kind, *bad) if len(bad) < 5 or "OFD" in kind else "")
    print(kind, lock(fd, kind, U, 0, 0, 0) if "GET" in kind else "")
g = os.open(p, os.O_RDONLY)
print(lock(g, "F_SETLK", W, 0, 0, 0), lock(g, "F_SETLK", R, 0, 0, 0), lock(g, "F_OFD_SETLK", W, 0, 0, 0))
lock(g, "F_SETLK", U, 0, 0, 0)

# A process's locks and those of its own descriptions exclude each other.
print(lock(fd, "F_SETLK", W, 0, 0, 0), lock(fd, "F_OFD_SETLK", R, 0, 9, 1),
      lock(g, "F_OFD_GETLK", R, 0, 9, 1)[:4])
print(lock(fd, "F_SETLK", U, 0, 9, 1), lock(fd, "F_OFD_SETLK", R, 0, 9, 1), lock(fd, "F_SETLK", W, 0, 0, 0))
os.close(g)
child(lambda g: print(lock(g, "F_GETLK", W, 0, 0, 0)))
lock(fd, "F_OFD_SETLK", U, 0, 0, 0)

# By chance, between two descriptions.
rng = random.Random(7)
g = os.open(p, os.O_RDWR)
for _ in range(1500):
    f = rng.choice((fd, g))
    os.lseek(f, rng.randrange(50), os.SEEK_SET)
    where = rng.choice((0, 1)), rng.choice((rng.randrange(200), rng.randrange(EIB - 200))), \
        rng.choice((0, rng.randrange(-60, 60), rng.randrange(EIB >> 8)))
    if where[1] + where[2] + 50 < EIB:
        print(f == fd, where, lock(f, "F_OFD_GETLK", rng.choice((R, W)), *where),
              lock(f, "F_OFD_SETLK", rng.choice((R, W, U)), *where))
os.close(g)
lock(fd, "F_OFD_SETLK", U, 0, 0, 0)

# Under a lock of the whole file nothing is lost.
os.pwrite(fd, struct.pack("q", 0), 0)
for how in (fcntl.lockf, fcntl.flock):
    for _ in range(3):
        if os.fork() == 0:
            g = os.open(p, os.O_RDWR)
            for _ in range(100):
                how(g, fcntl.LOCK_EX)
                os.pwrite(g, struct.pack("q", struct.unpack("q", os.pread(g, 8, 0))[0] + 1), 0)
                how(g, fcntl.LOCK_UN)
            os._exit(0)
    for _ in range(3):
        os.wait()
    print(struct.unpack("q", os.pread(fd, 8, 0)))

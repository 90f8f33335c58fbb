"""Record locks over exec, and beside other descriptors of the file that come and go."""
import errno
import fcntl
import os
import struct
import subprocess
import sys

p = sys.argv[1]
step = sys.argv[2] if len(sys.argv) > 2 else "begin"
R, W, U = fcntl.F_RDLCK, fcntl.F_WRLCK, fcntl.F_UNLCK


def lock(fd, type, start, length, cmd=fcntl.F_SETLK):
    try:
        fcntl.fcntl(fd, cmd, struct.pack("hhqqi4x", type, 0, start, length, 0))
        return "ok"
    except OSError as err:
        return errno.errorcode[err.errno]


def seen(what):
    """Which bytes another process finds locked, and whether by this one."""
    sys.stdout.flush()
    parent, pid = os.getpid(), os.fork()
    if pid == 0:
        fd = os.open(p, os.O_RDWR)
        found = []
        for at in range(0, 100, 10):
            answer = fcntl.fcntl(fd, fcntl.F_GETLK, struct.pack("hhqqi4x", W, 0, at, 1, 0))
            type, _, _, _, who = struct.unpack("hhqqi4x", answer)
            found.append("-" if type == U else "rw"[type == W] + ("" if who == parent else "?"))
        print(what, *found, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)


def go(next, *fds):
    sys.stdout.flush()
    for fd in fds:
        os.set_inheritable(fd, True)
    os.execv(sys.executable, [sys.executable, sys.argv[0], p, next] + [str(fd) for fd in fds])


given = [int(word) for word in sys.argv[3:]]
if step == "begin":
    fd = os.open(p, os.O_RDWR)
    print(lock(fd, W, 10, 5), lock(fd, R, 30, 1))
    seen("locked")
    # Opening drops nothing; a refused open neither. Numbers are the lowest that are free.
    more = [os.open(p, flags) for flags in (os.O_RDONLY, os.O_RDWR, os.O_WRONLY | os.O_SYNC)]
    print(more)
    seen("opened again")
    print(os.pread(more[0], 10, 700), os.pwrite(more[1], b"more", 900), os.pread(fd, 10, 898))
    os.stat(p)
    subprocess.run(["true"])
    subprocess.run(["true"], pass_fds=[fd])
    if os.fork() == 0:
        os.close(fd)
        os._exit(0)
    os.wait()
    seen("others came and went")
    os.close(more[2])
    seen("closed one")
    print(lock(more[1], W, 50, 5), lock(fd, W, 70, 5))
    os.close(os.dup(more[0]))
    seen("closed a copy")
    os.close(more[0])
    print(lock(fd, W, 10, 5), lock(more[1], W, 50, 5), lock(fd, W, 90, 1, 37))
    seen("before")
    go("adopted", fd, more[1])
elif step == "adopted":
    seen("after")
    fd, other = given
    print(os.pread(fd, 10, 898), os.pwrite(other, b"again", 903), os.pread(fd, 10, 900))
    seen("used")
    third = os.open(p, os.O_RDWR)
    print(third, lock(third, R, 70, 2))
    seen("opened")
    try:
        os.execv("/nonexistent", ["x"])
    except OSError as err:
        print(errno.errorcode[err.errno])
    seen("no exec")
    # Through a program that has no use for them.
    sys.stdout.flush()
    for one in (fd, other, third):
        os.set_inheritable(one, True)
    os.execv("/bin/sh", ["sh", "-c", 'exec "$@"', "sh", sys.executable, sys.argv[0], p, "twice"]
             + [str(one) for one in (fd, other, third)])
elif step == "twice":
    seen("after two")
    fd, other, third = given
    os.set_inheritable(other, False)
    lock(third, W, 0, 1, 37)
    go("dropped", fd, third)
elif step == "dropped":
    # One that was closed on exec has dropped all, but for what is its description's.
    seen("closed on exec")
    fd, third = given
    print(lock(fd, W, 20, 1), lock(third, U, 0, 0, 37))
    seen("anew")
    go("close", fd, third)
elif step == "close":
    fd, third = given
    seen("kept")
    os.close(third)
    seen("closed")
    print(lock(fd, W, 60, 1), sorted(int(n) for n in os.listdir("/proc/self/fd") if int(n) < 800)[:-1])
    go("unused", fd)
elif step == "unused":
    os.close(given[0])
    seen("closed unused")

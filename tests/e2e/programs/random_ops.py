"""The worker of crosscheck.py: does a list of operations on a file, and prints
what each returned. It knows nothing of disks."""
import errno
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import threading

path = sys.argv[1]
with open(sys.argv[2]) as f:
    ops = json.load(f)
fds = []
FLAGS = {"rw": os.O_RDWR, "append": os.O_RDWR | os.O_APPEND, "sync": os.O_RDWR | os.O_DSYNC}


def data_of(seed, length):
    return random.Random(seed).randbytes(length)


def write_all(fd, off, data):
    """As programs do: carry on after a short write."""
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done:], off + done)
    return done


def digest(data):
    return "%d %s" % (len(data), hashlib.md5(data).hexdigest())


def holes_are_zeros(fd, off):
    """SEEK_DATA may say data anywhere, but what it skips must be zeros."""
    size = os.fstat(fd).st_size
    if off >= size:
        return "past the end"
    try:
        data = os.lseek(fd, off, os.SEEK_DATA)
    except OSError as err:
        assert err.errno == errno.ENXIO
        data = size
    os.lseek(fd, off, os.SEEK_SET)      # where data begins is the filesystem's affair
    return not os.pread(fd, data - off, off).strip(b"\0")


def fallocate(fd, mode, off, length):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)
    libc.fallocate.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    if libc.fallocate(fd, mode, off, length) < 0:
        raise OSError(ctypes.get_errno(), "fallocate")
    return 0


def in_child(fd, off, data):
    pid = os.fork()
    if pid == 0:
        write_all(fd, off, data)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def in_other(off, data, program):
    """Another process opens the file itself: a fork, or a program."""
    if program:
        return subprocess.run(["dd", "of=" + path, "bs=65536", "oflag=seek_bytes", "seek=%d" % off,
                               "conv=notrunc", "iflag=fullblock", "status=none"],
                              input=data).returncode
    pid = os.fork()
    if pid == 0:
        write_all(os.open(path, os.O_WRONLY), off, data)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def in_threads(fd, off, data):
    """Pieces at once from four threads, at their places (or appended alike)."""
    if fd in appending:
        return write_all(fd, off, data)
    step = len(data) // 4 + 1
    threads = [threading.Thread(target=write_all, args=(fd, off + at, data[at:at + step]))
               for at in range(0, len(data), step)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(data)


appending = set()


def do(op):
    kind = op[0]
    if kind == "open":
        fds.append(os.open(path, FLAGS[op[1]]))
        if op[1] == "append":
            appending.add(fds[-1])
        return os.lseek(fds[-1], 0, os.SEEK_CUR)
    if kind == "open_trunc":
        fds.append(os.open(path, os.O_RDWR | os.O_TRUNC))
        return os.fstat(fds[-1]).st_size
    if kind == "close_all":
        for fd in fds:
            os.close(fd)
        fds.clear()
        appending.clear()
        return 0
    if kind in ("other_fork", "other_program"):
        return in_other(op[1], data_of(op[3], op[2]), kind == "other_program")
    if kind == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "check":
        with open(path, "rb") as f:
            return digest(f.read())
    fd = fds[op[1]]
    if kind == "pwrite":
        return write_all(fd, op[2], data_of(op[4], op[3]))
    if kind == "write":
        os.lseek(fd, op[2], os.SEEK_SET)
        return os.write(fd, data_of(op[4], op[3])), os.lseek(fd, 0, os.SEEK_CUR)
    if kind == "pwritev":
        data = data_of(op[4], op[3])
        cut = len(data) // 3
        return os.pwritev(fd, [data[:cut], b"", data[cut:cut + 1], data[cut + 1:]], op[2])
    if kind == "fork":
        return in_child(fd, op[2], data_of(op[4], op[3]))
    if kind == "thread":
        return in_threads(fd, op[2], data_of(op[4], op[3]))
    if kind == "pread":
        return digest(os.pread(fd, op[3], op[2]))
    if kind == "read":
        os.lseek(fd, op[2], os.SEEK_SET)
        return digest(os.read(fd, op[3])), os.lseek(fd, 0, os.SEEK_CUR)
    if kind == "seek_data":
        return holes_are_zeros(fd, op[2])
    if kind == "truncate":
        os.ftruncate(fd, op[2])
        return os.stat(path).st_size
    if kind == "path_truncate":
        os.truncate(path, op[2])
        return os.fstat(fd).st_size
    if kind == "fallocate":
        return fallocate(fd, op[2], op[3], op[4]), os.fstat(fd).st_size
    if kind == "dup":
        fds.append(os.dup(fd))
        if fd in appending:
            appending.add(fds[-1])
        return os.lseek(fds[-1], 0, os.SEEK_CUR)
    if kind == "sync":
        return (os.fsync if op[2] else os.fdatasync)(fd)
    raise AssertionError(kind)


for number, op in enumerate(ops):
    try:
        result = do(op)
    except OSError as err:
        result = errno.errorcode[err.errno]
    print(number, op[0], op[1:4], result, flush=True)

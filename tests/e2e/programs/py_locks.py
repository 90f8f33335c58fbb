"""lockf, flock and OFD locks between processes, and what close does to them."""
import errno
import fcntl
import os
import struct
import sys

p = sys.argv[1]
fd = os.open(p, os.O_RDWR)
fcntl.lockf(fd, fcntl.LOCK_EX, 100, 1000)


def child(code):
    pid = os.fork()
    if pid == 0:
        g = os.open(p, os.O_RDWR)
        try:
            r = code(g)
        except OSError as e:
            r = errno.errorcode[e.errno]
        print(r, flush=True)
        os._exit(0)
    os.waitpid(pid, 0)


nb = fcntl.LOCK_NB
child(lambda g: fcntl.lockf(g, fcntl.LOCK_EX | nb, 10, 1050))
child(lambda g: fcntl.lockf(g, fcntl.LOCK_EX | nb, 10, 2000))
child(lambda g: fcntl.lockf(g, fcntl.LOCK_SH | nb))
fcntl.lockf(fd, fcntl.LOCK_UN, 100, 1000)
child(lambda g: fcntl.lockf(g, fcntl.LOCK_SH | nb))
fcntl.lockf(fd, fcntl.LOCK_EX)
child(lambda g: fcntl.lockf(g, fcntl.LOCK_SH | nb))
os.close(os.open(p, os.O_RDONLY))
child(lambda g: fcntl.lockf(g, fcntl.LOCK_SH | nb))
fcntl.lockf(fd, fcntl.LOCK_UN)
fcntl.flock(fd, fcntl.LOCK_EX)
child(lambda g: fcntl.flock(g, fcntl.LOCK_SH | nb))
child(lambda g: fcntl.flock(fd, fcntl.LOCK_SH | nb))
fcntl.flock(fd, fcntl.LOCK_UN)
child(lambda g: fcntl.flock(g, fcntl.LOCK_SH | nb))
l = lambda t, a, n: struct.pack('hhqqi4x', t, 0, a, n, 0)
OFD_SETLK, OFD_GETLK = (37, 36)
fcntl.fcntl(fd, OFD_SETLK, l(fcntl.F_WRLCK, 100, 4))
child(lambda g: fcntl.fcntl(g, OFD_SETLK, l(fcntl.F_WRLCK, 101, 1)))
child(lambda g: struct.unpack('hhqqi4x', fcntl.fcntl(g, OFD_GETLK, l(fcntl.F_RDLCK, 90, 100)))[:4])
child(lambda g: fcntl.fcntl(fd, OFD_SETLK, l(fcntl.F_WRLCK, 101, 1)) and 'same description')
g = os.open(p, os.O_RDONLY)
try:
    fcntl.lockf(g, fcntl.LOCK_EX | nb)
except OSError as e:
    print(errno.errorcode[e.errno])
r = os.fork()
if r == 0:
    fcntl.lockf(fd, fcntl.LOCK_EX, 1, 500)
    os._exit(0)
os.wait()
child(lambda g: fcntl.lockf(g, fcntl.LOCK_EX | nb, 1, 500))

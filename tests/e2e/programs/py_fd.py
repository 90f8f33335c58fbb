"""What fcntl, fstat, poll, scandir and others say of a descriptor."""
import fcntl
import os
import select
import stat
import sys

p = sys.argv[1]
fd = os.open(p, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | os.O_NOFOLLOW)
fl = fcntl.fcntl(fd, fcntl.F_GETFL)
print(fl & os.O_ACCMODE, bool(fl & os.O_NONBLOCK), fcntl.fcntl(fd, fcntl.F_GETFD))
fcntl.fcntl(fd, fcntl.F_SETFL, fl & ~os.O_NONBLOCK)
print(bool(fcntl.fcntl(fd, fcntl.F_GETFL) & os.O_NONBLOCK))
fcntl.fcntl(fd, fcntl.F_SETFD, 0)
print(fcntl.fcntl(fd, fcntl.F_GETFD))
for mode in (os.O_RDONLY, os.O_WRONLY, os.O_RDWR):
    g = os.open(p, mode)
    print(fcntl.fcntl(g, fcntl.F_GETFL) & os.O_ACCMODE)
    os.close(g)
s, t = (os.fstat(fd), os.stat(p))
print(stat.S_ISREG(s.st_mode), s.st_size == t.st_size, s.st_nlink, oct(s.st_mode))
for field in ('st_dev', 'st_ino', 'st_nlink', 'st_mode', 'st_uid', 'st_gid', 'st_mtime', 'st_rdev'):
    print(field, getattr(s, field) == getattr(t, field))
print(os.path.samefile(p, './' + p), os.path.sameopenfile(fd, os.open(p, os.O_RDONLY)))
print(os.lstat(p).st_ino == t.st_ino)
po = select.poll()
po.register(fd, select.POLLIN | select.POLLOUT)
print([e for _, e in po.poll(0)])
print(select.select([fd], [fd], [], 0) == ([fd], [fd], []))
for entry in os.scandir('.'):
    if entry.name == p:
        print(entry.is_file(), entry.stat().st_size, entry.inode() == os.lstat(p).st_ino)
print(os.access(p, os.R_OK | os.W_OK), os.access(p, os.X_OK))
d = os.open('.', os.O_RDONLY)
g = os.open(p, os.O_RDONLY, dir_fd=d)
print(os.fstat(g).st_size, os.stat(p, dir_fd=d).st_size)
print(os.get_inheritable(g))
os.utime(fd, (5, 6))
print(os.stat(p).st_mtime, os.fstat(fd).st_mtime)
os.fchmod(fd, 0o600)
print(oct(os.stat(p).st_mode), oct(os.fstat(fd).st_mode))
os.chdir('in')
print(len(open('../' + p, 'rb').read(99)))
os.chdir('/')
print(os.fstat(fd).st_size, len(os.pread(fd, 10, 0)))

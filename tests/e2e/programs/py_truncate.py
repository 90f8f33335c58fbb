"""Sizes by descriptor and by path, shrunk and grown; what all agree on."""
import os
import sys

p = sys.argv[1]
fd = os.open(p, os.O_RDWR)


def show():
    print(os.fstat(fd).st_size, os.stat(p).st_size, os.lseek(fd, 0, 2))
    print(sum(os.pread(fd, 1 << 23, 0)))


show()
os.ftruncate(fd, 1000)
show()
os.ftruncate(fd, 100000)
show()
os.pwrite(fd, b'abc', 150000)
show()
os.truncate(p, 140000)
show()
os.ftruncate(fd, 700)
os.lseek(fd, 5000, 0)
os.write(fd, b'x')
show()
os.posix_fallocate(fd, 0, 200000)
show()
os.posix_fallocate(fd, 10, 10)
show()
os.truncate(fd, 333333)
show()

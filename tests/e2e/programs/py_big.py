"""Offsets past 4 TiB."""
import os
import sys

p = sys.argv[1]
fd = os.open(p, os.O_RDWR)
os.ftruncate(fd, 5 << 40)
os.pwrite(fd, b'far', (4 << 40) + 5)
print(os.pread(fd, 10, (4 << 40) + 3), os.lseek(fd, 0, 2), os.fstat(fd).st_size)
os.ftruncate(fd, 300000)

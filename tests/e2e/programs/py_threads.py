"""Eight writers and eight readers on one descriptor."""
import os
import sys
import threading

p = sys.argv[1]
fd = os.open(p, os.O_RDWR)
n = 128 * 1024


def write(k):
    for i in range(k, n // 300, 8):
        os.pwrite(fd, bytes([k + 1]) * 300, i * 300)


def read(k):
    for i in range(200):
        b = os.pread(fd, 5000, k * 16000 + i * 13)
        assert len(b) == 5000


t = [threading.Thread(target=f, args=(k,)) for k in range(8) for f in (write, read)]
[x.start() for x in t]
[x.join() for x in t]
print(all((set(os.pread(fd, 300, i * 300)) == {i % 8 + 1} for i in range(n // 300))))
f = [open(p, 'rb') for i in range(50)]
print(len({x.read(9) for x in f}))

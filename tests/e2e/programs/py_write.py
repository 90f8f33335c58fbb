"""Write in every way that Python has, aligned and not."""
import os
import sys

p = sys.argv[1]
d = open('in/big', 'rb').read()
with open(p, 'r+b') as f:
    f.seek(1000)
    f.write(d[:3000])
    f.seek(500)
    print(f.read(600) == 0)
    f.seek(5000)
    f.write(b'x')
    f.flush()
    os.fsync(f.fileno())
with open(p, 'r+b', buffering=0) as f:
    f.seek(8191)
    print(f.write(d[:2]), f.tell())
fd = os.open(p, os.O_RDWR)
print(os.pwrite(fd, d[:513], 20000), os.lseek(fd, 0, 1))
print(os.pwritev(fd, [d[:1], d[1:600], b'', d[600:3000]], 30000))
os.lseek(fd, 40000, 0)
print(os.write(fd, d[:10]))
print(os.writev(fd, [d[:5], d[:7]]), os.lseek(fd, 0, 1))
print(os.pwritev(fd, [d[:700]], 50000, os.RWF_DSYNC))
os.fdatasync(fd)
os.close(fd)

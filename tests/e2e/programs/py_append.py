"""O_APPEND, at open and set later, and the offsets after it."""
import fcntl
import os
import sys

p = sys.argv[1]
with open(p, 'ab') as f:
    print(f.tell())
    f.write(b'one')
    f.seek(0)
    f.write(b'two')
    f.flush()
    print(f.tell())
with open(p, 'a+b') as f:
    f.seek(0)
    print(len(f.read(100)))
    f.write(b'three')
fd = os.open(p, os.O_RDWR | os.O_APPEND)
os.pwrite(fd, b'four', 0)
print(os.lseek(fd, 0, 1))
os.write(fd, b'five')
print(os.lseek(fd, 0, 1))
other = os.open(p, os.O_WRONLY)
os.ftruncate(other, 5000)
os.write(fd, b'six')
print(os.fstat(fd).st_size, os.pread(fd, 20, 4995))
fcntl.fcntl(other, fcntl.F_SETFL, os.O_APPEND)
os.lseek(other, 0, 0)
os.write(other, b'seven')
print(os.pread(fd, 20, 5000), fcntl.fcntl(other, fcntl.F_GETFL) & (os.O_APPEND | os.O_ACCMODE))

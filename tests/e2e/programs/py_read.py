"""Read the disk in every way that Python has, and print a sum for each."""
import hashlib
import io
import os
import sys

p = sys.argv[1]


def show(what, data):
    print(what, len(data), hashlib.md5(data).hexdigest())


show('default', open(p, 'rb').read())
show('unbuffered', open(p, 'rb', buffering=0).readall())
f = open(p, 'rb', buffering=7)
f.seek(1000)
show('small buffer', f.read(3000))
print(f.tell())
f = open(p, 'rb')
f.seek(-700, 2)
show('tail', f.read())
print(f.tell(), f.seek(0, 2))
f = io.FileIO(p)
b = bytearray(5000)
f.seek(511)
print(f.readinto(b))
show('readinto', bytes(b))
fd = os.open(p, os.O_RDONLY)
show('pread', os.pread(fd, 4000, 700))
show('read', os.read(fd, 100))
print(os.lseek(fd, 0, 1))
v = [bytearray(1), bytearray(511), bytearray(3000)]
print(os.preadv(fd, v, 300))
show('preadv', b''.join(v))
print(os.readv(fd, v))
show('readv', b''.join(v))
print(os.lseek(fd, 0, 1))
print(os.preadv(fd, v, 100, os.RWF_HIPRI))
show('preadv2', b''.join(v))
show('past the end', os.pread(fd, 100, 1 << 40))
show('nothing', os.read(fd, 0))
print(os.path.getsize(p), os.fstat(fd).st_size, os.lseek(fd, 0, os.SEEK_END))
os.close(fd)

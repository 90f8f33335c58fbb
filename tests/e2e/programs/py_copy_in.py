"""Copy files onto the disk, with the fallbacks that programs have."""
import errno
import os
import shutil
import sys

p = sys.argv[1]
shutil.copyfile('in/odd', p)
print(os.path.getsize(p))
shutil.copyfileobj(open('in/small', 'rb'), open(p, 'r+b'))
print(os.path.getsize(p))
d = os.open(p, os.O_RDWR)
s = os.open('in/mib', os.O_RDONLY)
try:
    print(os.copy_file_range(s, d, 5000, 0, 20000))
except OSError as e:
    assert e.errno == errno.EXDEV, e
    print(os.pwrite(d, os.pread(s, 5000, 0), 20000))
os.lseek(d, 30000, 0)
try:
    print(os.sendfile(d, s, 100, 5000))
except OSError as e:
    assert e.errno == errno.EINVAL, e
    print(os.write(d, os.pread(s, 5000, 100)))

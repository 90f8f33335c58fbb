"""Copy files onto the disk."""
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
print(os.copy_file_range(s, d, 5000, 0, 20000))
os.lseek(d, 30000, 0)
print(os.sendfile(d, s, 100, 5000), os.lseek(d, 0, 1))
r, w = os.pipe()
print(os.splice(s, w, 3000, offset_src=7), os.splice(r, d, 3000, offset_dst=50001))

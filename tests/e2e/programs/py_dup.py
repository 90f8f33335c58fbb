"""Duplicates share the offset, and a number closed is free for another file."""
import fcntl
import os
import sys

p = sys.argv[1]
a = os.open(p, os.O_RDWR)
b = os.dup(a)
c = os.dup2(a, 77)
d = fcntl.fcntl(a, fcntl.F_DUPFD, 50)
e = os.open(p, os.O_RDWR)
os.lseek(a, 1000, 0)
print([os.lseek(x, 0, 1) for x in (a, b, c, d, e)])
os.write(b, b'hello')
print([os.lseek(x, 0, 1) for x in (a, b, c, d, e)])
os.close(a)
print(os.read(77, 4) == b'')
os.write(d, b'again')
print(os.pread(e, 14, 1000))
os.dup2(e, b)
print(os.lseek(b, 0, 1))
os.close(77)
os.close(d)
os.write(b, b'start')
print(os.lseek(e, 0, 1))
q = os.open('in/small', os.O_RDONLY)
os.dup2(q, e)
print(len(os.read(e, 4000)))
os.close(e)
os.close(b)
os.close(q)
for i in range(300):
    x = os.open(p, os.O_RDONLY)
    y = os.open('in/odd', os.O_RDONLY)
    os.close(x)
    z = os.open('in/small', os.O_RDONLY)
    assert z == x and os.fstat(z).st_size == 3000
    os.close(y)
    os.close(z)
os.closerange(3, 200)
print(os.open(p, os.O_RDONLY))

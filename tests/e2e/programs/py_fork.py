"""Parent and children share the offset and see each other's writes."""
import os
import sys

p = sys.argv[1]
fd = os.open(p, os.O_RDWR)
os.lseek(fd, 100, 0)
os.write(fd, b'parent')
if os.fork() == 0:
    os.write(fd, b'child')
    g = os.open(p, os.O_RDWR)
    os.pwrite(g, b'own', 5000)
    os._exit(0)
print(os.wait()[1], os.lseek(fd, 0, 1))
os.write(fd, b'again')
print(os.pread(fd, 20, 98), os.pread(fd, 3, 5000))
for i in range(8):
    if os.fork() == 0:
        for j in range(20):
            os.pwrite(fd, bytes([i]) * 700, 10000 + (i * 20 + j) * 700)
        os._exit(0)
for i in range(8):
    assert os.wait()[1] == 0
print(all((os.pread(fd, 14000, 10000 + i * 14000) == bytes([i]) * 14000 for i in range(8))))

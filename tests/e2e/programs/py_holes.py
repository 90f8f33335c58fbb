"""Walk SEEK_DATA and SEEK_HOLE: what is called a hole must be zeros."""
import os
import sys

p = sys.argv[1]
fd = os.open(p, os.O_RDONLY)
n = os.fstat(fd).st_size
at = 0
covered = 0
bad = 0
while at < n:
    try:
        data = os.lseek(fd, at, os.SEEK_DATA)
    except OSError as e:
        assert e.errno == 6
        data = n
    assert at <= data <= n
    bad += os.pread(fd, data - at, at).count(0) != data - at
    if data == n:
        break
    hole = os.lseek(fd, data, os.SEEK_HOLE)
    assert data < hole <= n
    assert os.lseek(fd, 0, 1) == hole
    at = hole
print('holes with data in them:', bad, 'end', os.lseek(fd, n - 1, os.SEEK_HOLE) == n)

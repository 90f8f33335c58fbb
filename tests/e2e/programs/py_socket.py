"""Pass the descriptor to another process over a socket."""
import array
import os
import socket
import sys

p = sys.argv[1]
a, b = socket.socketpair()
fd = os.open(p, os.O_RDONLY)
os.lseek(fd, 512, 0)
if os.fork() == 0:
    _, fds, _, _ = socket.recv_fds(b, 1, 1)
    n = os.fstat(fds[0]).st_size
    os._exit(0 if n == os.path.getsize(p) else 1)
socket.send_fds(a, [b'x'], [fd])
print(os.wait()[1])

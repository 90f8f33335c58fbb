"""Children that get the disk as stdin, stdout or another descriptor."""
import hashlib
import os
import subprocess
import sys

p = sys.argv[1]


def run(*command, **facts):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, **facts).stdout


def spawn(command, actions):
    pid = os.posix_spawn('/bin/sh', ['sh', '-c', command], os.environ, file_actions=actions)
    print(os.waitpid(pid, 0)[1], flush=True)


f = open(p, 'rb')
print(run('sha256sum', stdin=f))
f.seek(1000)
print(run('md5sum', stdin=f), f.tell())
fd = os.open(p, os.O_RDONLY)
os.lseek(fd, 512, 0)
print(hashlib.md5(run('head', '-c', '700', stdin=fd)).hexdigest())
print(run('cat', '/dev/fd/%d' % fd, pass_fds=[fd]) == open(p, 'rb').read())
print(run('sh', '-c', 'cat <&%d | wc -c' % fd, pass_fds=[fd]))
w = os.open(p, os.O_RDWR)
os.lseek(w, 2000, 0)
subprocess.run(['echo', 'from a child'], stdout=w, check=True)
print(os.lseek(w, 0, 1), os.pread(w, 20, 1998)[2:15])
subprocess.run('echo one; echo two >&2', shell=True, stdout=w, stderr=w, check=True)
print(os.lseek(w, 0, 1))
with open(p, 'ab') as a:
    subprocess.run(['seq', '100'], stdout=a, check=True)
print(os.path.getsize(p))
print(subprocess.run(['false'], stdin=f).returncode)
x = subprocess.Popen(['tr', 'a-z', 'A-Z'], stdin=subprocess.PIPE, stdout=w)
x.communicate(b'upper')
print(os.pread(w, 5, 2021))
try:
    subprocess.run(['/nonexistent'], stdin=f)
except FileNotFoundError:
    print('not found')
print(os.system('head -c 3 %s | od -c' % p), os.popen('cat %s | wc -c' % p).read())
os.lseek(fd, 512, 0)
spawn('cksum', [(os.POSIX_SPAWN_DUP2, fd, 0), (os.POSIX_SPAWN_CLOSE, fd)])

"""What a program does wrong must fail with the errno of a plain file."""
import errno
import os
import sys

p = sys.argv[1]


def tell(what, call, *args):
    try:
        print(what, call(*args))
    except OSError as e:
        print(what, errno.errorcode[e.errno])


r, w = (os.open(p, os.O_RDONLY), os.open(p, os.O_WRONLY))
tell('write on a reader', os.write, r, b'x')
tell('pwrite on a reader', os.pwrite, r, b'x', 0)
tell('read on a writer', os.read, w, 10)
tell('pread on a writer', os.pread, w, 10, 0)
tell('negative offset', os.pread, r, 10, -1)
tell('negative pwrite', os.pwrite, w, b'x', -5)
tell('negative seek', os.lseek, r, -1, 0)
tell('bad whence', os.lseek, r, 0, 77)
tell('seek data past the end', os.lseek, r, 1 << 40, os.SEEK_DATA)
tell('seek hole past the end', os.lseek, r, 1 << 40, os.SEEK_HOLE)
tell('truncate on a reader', os.ftruncate, r, 10)
tell('negative size', os.ftruncate, w, -1)
tell('negative size by path', os.truncate, p, -1)
tell('fallocate on a reader', os.posix_fallocate, r, 0, 10)
tell('no length', os.posix_fallocate, w, 0, 0)
tell('listdir', os.listdir, p)
tell('as a directory', os.open, p + '/x', os.O_RDONLY)
tell('O_DIRECTORY', os.open, p, os.O_DIRECTORY)
tell('O_EXCL', os.open, p, os.O_CREAT | os.O_EXCL | os.O_RDWR)
tell('mkdir', os.mkdir, p)
tell('rmdir', os.rmdir, p)
tell('readlink', os.readlink, p)
tell('isatty', os.isatty, r)
tell('terminal size', os.get_terminal_size, r)
tell('fchdir', os.fchdir, r)
tell('fsync on a reader', os.fsync, r)
tell('fdatasync on a reader', os.fdatasync, r)
tell('fadvise', os.posix_fadvise, r, 0, 0, os.POSIX_FADV_DONTNEED)
tell('blocking', os.get_blocking, r)
tell('inheritable', os.get_inheritable, r)
os.close(r)
tell('closed', os.read, r, 1)
tell('closed again', os.close, r)

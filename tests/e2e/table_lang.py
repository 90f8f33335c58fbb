"""Rows: programs in Python, Perl and C that use one way of I/O each (programs/)."""
import shlex

ALL = "all"


def rows(t):
    python(t)
    snippets(t)
    t.add("perl/all", "perl {progs}/perl_all.pl {img}", on="half random text", needs="perl",
        writes=True)
    c_programs(t)


def python(t):
    def add(name, on, **facts):
        t.add("python/" + name, "/usr/bin/python3 {progs}/py_%s.py {img}" % name.replace("-", "_"),
              on=on, needs="/usr/bin/python3", **facts)

    add("read", ALL)
    add("write", ALL, touch=[(1000, 3000), (5000, 1), (8191, 2), (20000, 513), (30000, 3000),
                             (40000, 22), (50000, 700)])
    add("errors", "half odd", rw=True)
    add("holes", "random odd longer half chain3 alone hole blank64")
    add("truncate", ALL + " zero zerobig", writes=True)
    add("append", ALL, writes=True)
    add("dup", "half random", touch=[(1000, 10), (0, 5)])
    add("fork", "half random chain3", touch=[(100, 16), (5000, 3), (10000, 112000)])
    add("subprocess", "half random", writes=True)
    add("locks", "half", touch=[])
    add("record-locks", "half", touch=[(0, 8)])
    add("lock-keep", "half random", touch=[(900, 8)])
    add("copy", ALL)
    add("copy-in", "half random", writes=True)
    add("archives", "half zero", writes=True)
    add("threads", "half random chain3", touch=[(0, 130800)])
    add("fd", "half", touch=[])
    add("big", "half random", writes=True)
    add("socket", "half")


def snippets(t):
    add = t.python
    add("python/holes-after-write", """
import os
fd = os.open('{img}', os.O_RDWR)
os.pwrite(fd, b'x', 70000)
os.pwrite(fd, bytes(8192), 131072)
os.close(fd)
os.execv('/usr/bin/python3', ['python3', '{progs}/py_holes.py', '{img}'])
""", on="random half hole chain3", touch=[(70000, 1), (131072, 8192)])
    add("python/write-create", """
print(open('{img}', 'wb').write(b'hello' * 300), open('{img}', 'rb').read(9))
print(open('{img}', 'w+').write('x' * 70000))
""", on="half random", writes=True)
    add("python/text", """
f = open('{img}')
print(f.readline(), f.tell())
f.seek(700)
print(f.readlines()[-1])
print(sum(1 for line in open('{img}')))
print('changed', file=open('{img}', 'r+'))
""", on="text", touch=[(0, 8)])
    add("python/exit-dirty", """
import os
f = open('{img}', 'r+b')
f.seek(4000)
f.write(b'x' * 100)
g = os.open('{img}', os.O_RDWR)
os.pwrite(g, b'y', 9000)
""", on="half random", touch=[(4000, 100), (9000, 1)])
    add("python/exit-hard", """
import os
fd = os.open('{img}', os.O_RDWR)
os.pwrite(fd, b'y' * 700, 9000)
os._exit(3)
""", on="half random", touch=[(9000, 700)], passes=False)
    add("python/exec", """
import os
fd = os.open('{img}', os.O_RDWR)
os.set_inheritable(fd, True)
os.lseek(fd, 700, 0)
os.write(fd, b'before ')
os.execvp('sh', ['sh', '-c', 'echo after >&%d; head -c 5 <&%d | od -c' % (fd, fd)])
""", on="half random", touch=[(700, 13)])
    add("python/reopen", """
import os, zlib
fd = os.open('{img}', os.O_RDONLY)
home = os.open('.', os.O_RDONLY)
proc = os.open('/proc/self', os.O_RDONLY)
fds = os.open('/proc/self/fd', os.O_RDONLY)
def show(opener):
    new = opener()
    print(zlib.crc32(os.pread(new, 600, 700)), os.fstat(new).st_size)
    os.close(new)
def all_ways():
    show(lambda: os.open('/proc/self/fd/%d' % fd, os.O_RDONLY))
    show(lambda: os.open('/proc/%d/fd/%d' % (os.getpid(), fd), os.O_RDONLY))
    show(lambda: os.open('/proc/thread-self/fd/%d' % fd, os.O_RDONLY))
    show(lambda: os.open('/proc/self/../self/fd//%d' % fd, os.O_RDONLY))
    show(lambda: os.open('/dev/fd/%d' % fd, os.O_RDONLY))
    show(lambda: os.open('fd/%d' % fd, os.O_RDONLY, dir_fd=proc))
    show(lambda: os.open(str(fd), os.O_RDONLY, dir_fd=fds))
    print(open('/proc/self/fd/%d' % fd, 'rb').read(9))
    os.chdir('/proc/self/fd')
    show(lambda: os.open(str(fd), os.O_RDONLY))
    print(os.stat(str(fd)).st_size)
    os.fchdir(home)
all_ways()
os.rename('{img}', 'other.add-cow')
all_ways()
os.rename('other.add-cow', '{img}')
""", on="half random")
    add("python/remap-file-pages", """
import ctypes, mmap, os, zlib
m = mmap.mmap(os.open('{img}', os.O_RDWR), 16384, offset=65536)
c = ctypes.CDLL(None, use_errno=True)
at = ctypes.addressof(ctypes.c_char.from_buffer(m))
print(c.remap_file_pages(ctypes.c_void_p(at), 4096, 0, 2, 0), os.strerror(ctypes.get_errno()))
print(zlib.crc32(m[:4096]))
""", on="half", writes=True, xfail="other pages of a mapping may not be in the image: EINVAL")
    add("python/plug-in", """
import ctypes, os
lite = ctypes.CDLL('libsqlite3.so.0', mode=os.RTLD_NOW | 8)     # RTLD_DEEPBIND
lite.sqlite3_errmsg.restype = ctypes.c_char_p
db, statement = ctypes.c_void_p(), ctypes.c_void_p()
lite.sqlite3_open_v2(b'{img}', ctypes.byref(db), 1, None)
lite.sqlite3_prepare_v2(db, b'select count(*) from sqlite_master', -1, ctypes.byref(statement), None)
print(lite.sqlite3_errmsg(db), lite.sqlite3_step(statement), lite.sqlite3_column_int(statement, 0))
""", on="db")
    add("python/exec-cloexec", """
import os
fd = os.open('{img}', os.O_RDWR)
os.pwrite(fd, b'before', 700)
os.execvp('sh', ['sh', '-c', 'head -c 710 {img} | tail -c 10 | od -c; ls /proc/self/fd | wc -l'])
""", on="half random", touch=[(700, 6)])
    add("python/mmap", """
import mmap
f = open('{img}', 'rb')
print(len(mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ)))
""", on="half")
    add("python/mmap-write", """
import mmap, os
fd = os.open('{img}', os.O_RDWR)
m = mmap.mmap(fd, 0)
os.close(fd)
m[700:1700] = b'mapped' * 166 + b'last'
m.move(30000, 700, 1000)
print(m.find(b'last'), m.rfind(b'mapped'), len(m))
m.flush()
with open('{img}', 'rb') as f:
    f.seek(699)
    print(f.read(20))
m.close()
""", on="half random chain3", writes=True)
    add("python/mmap-resize", """
import mmap
f = open('{img}', 'r+b')
m = mmap.mmap(f.fileno(), 0)
m.resize(500000)
m[-5:] = b'ended'
print(len(m), m[-8:])
m.resize(2000000)
m[1999990:] = b'0123456789'
print(m[499990:500010], f.seek(0, 2))
m.close()
""", on="half random odd", writes=True)
    add("python/mmap-copy", """
import hashlib, mmap
f = open('{img}', 'rb')
m = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
m[1000:1004] = b'only'
print(hashlib.sha256(m).hexdigest(), f.read(1004)[-4:])
""", on="half odd chain3 text")


# Modes of programs/*.c; those with a * write.
STDIO = ("read getc fgets seek ungetc setvbuf fdopen rplus* update* append* aplus* write* wplus* "
         "wtrunc* printf* dprintf* memory large eof dup* threads* exit* wide lock open_modes*")
STREAM = ("same pending* mode* fails standard dup_over* memory buffers* fopen_modes* wscanf* "
          "wscanf_long*")
FD = ("sixtyfour* vectors* append_flag* at_calls* creat* fallocate* modes* statx locks* overlap* "
      "tmpname signals errno_kept* direct*")
MAP = ("shared* private private_write readonly reader_and_writer* errors* outlives* past_end* "
       "grow* remap* remap_private remap_readonly pieces* over* fork* processes* flags dropped* "
       "numbers* threads* left* append*")
MAP_ONCE = "remap_pages*"
PROC = "cloexec vfork* vfork_over* spawn* scan_close exec_fds exec_both* fork_threads"
SPAWN = "read write* order chdir flags attributes programs again"
PASS = "rights* outlives* many* standard pidfd* plain_sender* numbers*"
LIMIT = "lowered* tight* exhausted* child hard* machine* machine_first"
PLACE = "chdir* moved* daemon* seteuid* setuid* unshare*"
FAULT = "read write* calls* paths* numbers*"
ATTR = "wait* xattr* owner* times* rights* filesystem* advice* leases ioctls*"
THREAD = "offset* append* numbers* sizes* processes* forks*"
AIO = "basic* many* order* errors* signal* thread* lists* cancel* fork* close*"
LIBAIO = "basic* flags* errors* many* direct* ring*"
LIBURING = "cc /usr/include/liburing.h"
URING = "basic* position* errors* links* skip* drain* reuse*"
URING_MORE = "fixed* files* many* direct* sqpoll* polled* kinds* select* threads* fork*"
URING_RAW = "basic* fixed*"
COPY = "send* range* splice* full* big*"
COPY_MORE = "mixed* readers* limit* direct* restart* cancel*"
INSIDE = "walk text* mounts* terminal daemon"
DEEP = "basic* copies* state signals sigsys handlers waits stacks* threads* forks* executes"
LATER = (
    ("place", "chroot_fork", "half", "a child cannot take part where the disk's names are out of reach"),
    ("place", "setuid_fork", "half", "a child cannot take part where it may not open the disk's files"),
)


def c_programs(t):
    def add(program, modes, on, redirect="{img}", source="%s_ops", needs="cc"):
        for mode in modes.split():
            name = mode.rstrip("*")
            command = " ".join(("{bin}/" + source % program, name, redirect))
            t.add("%s/%s" % (program, name), command, on=on, needs=needs,
                  writes=mode.endswith("*"))

    add("stdio", STDIO, "half text")
    add("fd", FD, "half random")
    add("proc", PROC, "half random")
    add("fault", FAULT, "half random")
    add("attr", ATTR, "half")
    add("spawn", SPAWN, "half random")
    add("pass", PASS, "half random")
    add("limit", LIMIT, "half random")
    add("place", PLACE, "half random")
    # Who cannot reach the run-time file's name any more leaves it; the next writer takes it over.
    for mode in ("chroot", "chroot_exit"):
        t.add("place/" + mode, "{bin}/place_ops %s {img}; : >>{img}" % mode, on="half random", needs="cc",
              writes=True)
    t.add("place/setuid_exec", "chmod -f 666 {img} ../d.raw; {bin}/place_ops setuid_exec {img}",
          on="half random", needs="cc", writes=True)
    add("exec", "all*", "half")
    add("inside", INSIDE, "half")
    add("inside", "records", "zero", "{img} 2>/dev/null")
    add("names", "stat* checked handle* numbers*", "half")
    add("sync", "ends*", "half")
    t.add("sync/killed", "for m in fsync fdatasync syncfs sync aio msync; do {bin}/sync_ops $m {img}; "
          "rm -f {img}.run; done 2>/dev/null", on="random", needs="cc", writes=True)
    add("wide", "file*", "half")
    add("wide", "print*", "half", "x >{img}")
    add("wide", "scan", "text", "x <{img}")
    add("thread", THREAD, "half chain3")
    add("aio", AIO, "half chain3")
    add("libaio", LIBAIO, "half random")
    add("copy", COPY, "half random chain3 odd")
    add("copy_more", COPY_MORE, "half random chain3 odd", source="%s")
    for mode in ("errors", "sockets", "waiting"):
        t.add("copy/" + mode, "{bin}/copy_ops %s {img}" % mode, on="half random chain3 odd", needs="cc", rw=True)
    t.add("libaio/inline", "cc -shared -fPIC {progs}/aio_inline.c -o inline.so && "
          "AIO_LIBRARY=./inline.so {bin}/libaio_ops basic {img}", on="half", needs="cc", writes=True,
          scratch=["inline.so"])
    add("uring", URING, "half random chain3", needs=LIBURING)
    add("uring_more", URING_MORE, "half chain3", source="%s", needs=LIBURING)
    add("uring_raw", URING_RAW, "half random", source="%s")
    add("uring_names", URING_RAW, "half", source="%s", needs=LIBURING)
    add("uring_make", "again* ends* tags*", "half", source="%s", needs=LIBURING)
    t.add("uring_later/all", "cc -shared -fPIC {progs}/uring_later.c -o later.so -luring && cc -DPROGRAM "
          "{progs}/uring_later.c -o use ./later.so -luring && ./use {img}", on="half",
          needs=LIBURING, writes=True, scratch=["later.so", "use"])
    for mode in DEEP.split():
        t.add("deep/%s" % mode.rstrip("*"), "ADDCOW_DEEP=1 {bin}/deep_ops %s {img}" % mode.rstrip("*"),
              on="half random", needs="cc", writes=mode.endswith("*"))
    add("map", MAP, "half random odd longer shorter chain3 alone")
    for mode in ("private", "readonly", "past_end"):
        t.add("map/%s-cut" % mode, "truncate -s 77777 {img}; {bin}/map_ops %s {img}" % mode,
              on="random half chain3", needs="cc", writes=True)
    add("map", MAP_ONCE, "half")
    t.add("map/orphan", "{bin}/map_ops orphan {img} | cat", on="half longer", needs="cc", writes=True)
    add("stream", STREAM, "half text")
    add("std", "freopen freopen_same freopen_write*", "half text")
    add("std", "stdin_getchar stdin_fread stdin_scanf stdin_seek stdin_mixed", "half text",
        "x <{img}")
    add("std", "stdout_printf* stdout_seek* stdout_buffered*", "half", "x >{img}")
    add("std", "stderr*", "half", "x 2>{img}")
    # liburing comes with a plug-in, for nobody else to see.
    t.add("dl/uring", "cc -shared -fPIC {progs}/uring_plugin.c -o plugin.so -luring; /usr/bin/python3 -c "
          + shlex.quote("""
import ctypes, os
go = ctypes.CDLL('./plugin.so').go
fd, buf = os.open('{img}', os.O_RDWR), ctypes.create_string_buffer(3000)
for off in (0, 5000, 70000):
    print(go(fd, buf, 3000, ctypes.c_long(off), 0), sum(buf.raw))
    print(go(fd, buf, 3000, ctypes.c_long(off + 1234), 1))
"""), on="half random", needs=LIBURING + " /usr/bin/python3", writes=True, scratch=["plugin.so"])
    for mode, redirect in (("read", "{img}"), ("write*", "{img}"), ("modes*", "{img}"),
                           ("unbuffered*", "{img}"), ("cin", "x <{img}"), ("cout*", "x >{img}")):
        name = mode.rstrip("*")
        t.add("fstream/" + name, "{bin}/fstream_ops %s %s" % (name, redirect), on="half text",
              needs="c++", writes=mode.endswith("*"))
    # Where a library is looked for depends on who calls dlopen.
    t.add("dl/runpath", "mkdir p; echo 'int seven(void) { return 7; }' | cc -shared -fPIC -xc - -o p/seven.so; "
          "echo '#include <dlfcn.h>\nint main(void) { return !dlopen(\"seven.so\", RTLD_NOW); }' | "
          "cc -xc - -Wl,-rpath,'$ORIGIN/p' -o use; ./use; echo $?; cat {img} | cksum",
          on="half", needs="cc", scratch=["p", "use"])
    t.add("dl/deepbind", "cc -shared -fPIC {progs}/deep_bind.c -o deep.so && cc -DPROGRAM {progs}/deep_bind.c -o use "
          "&& ./use ./deep.so {img}", on="half", needs="cc", scratch=["deep.so", "use"])
    for program, name, on, why in LATER:
        t.add("%s/%s" % (program, name), "{bin}/%s_ops %s {img}" % (program, name), on=on,
              needs="cc", xfail=why)
    t.add("std/stdout_append", "{bin}/std_ops stdout_printf x >>{img}", on="half text",
        needs="cc", writes=True)

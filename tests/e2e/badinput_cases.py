"""The cases of badinput.py: how each disk is broken, and what must come of it."""
import hashlib
import os
import shutil
import struct
import subprocess

import decode
from badinput import DISK, OPENER, READ, TRUNCATE, WRITE, Case, Hostile, Script, Works

NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"]
BASE = bytes(range(256)) * 16      # 4096 bytes
IMAGE = b"image data......" * 256   # 4096 bytes

def put(path, data=b"", mode=0o644):
    with open(path, "wb") as f:
        f.write(data)
    os.chmod(path, mode)


def header(backing=b"base.raw", image=b"x.raw", magic=b"ADD_COW\xff", version=1):
    return struct.pack(">8sI1024s1024s500x", magic, version, backing, image)


def parts(d, meta=None, base=BASE, image=IMAGE, bitmap=b"\x0f"):
    """base.raw, x.raw and x.add-cow in d; None leaves one out."""
    if base is not None:
        put(d + "/base.raw", base)
    if image is not None:
        put(d + "/x.raw", image)
    put(d + "/" + DISK, (header() if meta is None else meta) + bitmap)


def chain(d, length):
    """length disks, x.add-cow on top, over base.raw."""
    put(d + "/base.raw", BASE)
    for i in range(length):
        name = DISK if i == length - 1 else "c%d.add-cow" % i
        backing = "base.raw" if i == 0 else "c%d.add-cow" % (i - 1)
        put(d + "/i%d.raw" % i, bytes(4096))
        decode.encode(d + "/" + name, backing, "i%d.raw" % i)


def with_header(**fields):
    return lambda d: parts(d, header(**fields))


def cut_header(length):
    return lambda d: put(d + "/" + DISK, (header() + b"\x0f")[:length]) or \
        parts_without_meta(d)


def parts_without_meta(d):
    put(d + "/base.raw", BASE)
    put(d + "/x.raw", IMAGE)


def then(first, *actions):
    def make(d):
        first(d)
        for action in actions:
            action(d)
    return make


def replace(name, how):
    def action(d):
        path = d + "/" + name
        if os.path.lexists(path):
            os.unlink(path)
        how(path)
    return action


def mode(name, bits):
    return lambda d: os.chmod(d + "/" + name, bits)


def owned(d):
    """Everything belongs to the unprivileged user."""
    for name in [""] + os.listdir(d):
        os.chown(d + "/" + name, 65534, 65534)


def sized(name, size):
    def action(d):
        with open(d + "/" + name, "wb") as f:
            f.truncate(size)
    return action


MIXED = IMAGE[:2048] + BASE[2048:]


def bad_headers():
    yield Case("magic", with_header(magic=b"ADD_COW\xfe"), "EINVAL", [DISK])
    yield Case("magic-other-byte", with_header(magic=b"add_cow\xff"), "EINVAL", [DISK])
    for version in (0, 2, 256, 1 << 24, 0xffffffff):
        yield Case("version-%d" % version, with_header(version=version), "ENOTSUP", [DISK])
    for length in (1, 7, 8, 11, 12, 1036, 2559):
        yield Case("truncated-%d" % length, cut_header(length), "EINVAL", [DISK])
    yield Case("backing-no-nul", with_header(backing=b"b" * 1024), "ENAMETOOLONG", [DISK])
    yield Case("image-no-nul", with_header(image=b"i" * 1024), "ENAMETOOLONG", [DISK])
    yield Case("no-image-name", with_header(image=b""), "ENOENT", [DISK])
    yield Case("newline-in-name", with_header(image=b"no\nsuch"), "ENOENT", ["such"])
    yield Case("text", lambda d: put(d + "/" + DISK, b"just some text\n" * 300), "EINVAL", [DISK])
    yield Case("qcow2", lambda d: put(d + "/" + DISK, b"QFI\xfb\0\0\0\3" + bytes(65528)), "EINVAL",
        [DISK])
    yield Case("zeros", lambda d: put(d + "/" + DISK, bytes(4096)), "EINVAL", [DISK])


def bad_files():
    yield Case("image-missing", lambda d: parts(d, image=None), "ENOENT", ["x.raw"])
    yield Case("backing-missing", lambda d: parts(d, base=None), "ENOENT", ["base.raw"])
    for which, name in (("image", "x.raw"), ("backing", "base.raw")):
        yield Case(which + "-directory", then(parts, replace(name, os.mkdir)), "EISDIR", [name])
        yield Case(which + "-fifo", then(parts, replace(name, os.mkfifo)), "EINVAL", [name])
        yield Case(which + "-device", then(parts, replace(name, lambda p: os.symlink("/dev/zero",
            p))),
                   "EINVAL", [name, "/dev/zero"])
        yield Case(which + "-dangling", then(parts, replace(name, lambda p: os.symlink("nothing",
            p))),
                   "ENOENT", [name])
        yield Case(which + "-symlink-loop", then(parts, replace(name, lambda p: os.symlink(name,
            p))),
                   "ELOOP", [name])
        yield Case(which + "-below-a-file", with_header(**{which: b"base.raw/x"}), "ENOTDIR",
                   ["base.raw"])
        yield Case(which + "-name-too-long", with_header(**{which: b"n" * 300}), "ENAMETOOLONG",
                   ["nnn"])
    yield Case("image-is-metadata", with_header(image=DISK.encode()), "EINVAL", [DISK])
    yield Case("image-is-backing", with_header(image=b"base.raw"), "EINVAL", ["base.raw"])
    yield Case("image-is-backing-by-link",
               then(parts, replace("x.raw", lambda p: os.link(os.path.dirname(p) + "/base.raw",
               p))),
               "EINVAL", ["base.raw", "x.raw"])
    yield Case("image-is-backing-by-symlink",
               then(parts, replace("x.raw", lambda p: os.symlink("base.raw", p))),
               "EINVAL", ["base.raw", "x.raw"])
    yield Case("backing-disk-is-text", then(with_header(backing=b"b.add-cow"),
                                            lambda d: put(d + "/b.add-cow", b"text" * 1000)),
               "EINVAL", ["b.add-cow"])
    yield Case("backing-disk-is-empty", then(with_header(backing=b"b.add-cow"),
                                             lambda d: put(d + "/b.add-cow")),
               "EINVAL", ["b.add-cow"])
    yield Case("backing-disk-version", then(with_header(backing=b"b.add-cow"),
                                            lambda d: put(d + "/b.add-cow", header(version=3))),
               "ENOTSUP", ["b.add-cow"])


def chains():
    yield Case("itself", with_header(backing=DISK.encode()), "ELOOP", [DISK])
    yield Case("itself-by-symlink", then(with_header(backing=b"link.add-cow"),
                                         lambda d: os.symlink(DISK, d + "/link.add-cow")),
               "ELOOP", [DISK, "link.add-cow"])

    def cycle(d):
        for name, backing in (("x", "y"), ("y", "z"), ("z", "x")):
            put("%s/%s.raw" % (d, name), IMAGE)
            decode.encode("%s/%s.add-cow" % (d, name), backing + ".add-cow", name + ".raw")

    def tail_cycle(d):
        cycle(d)
        put(d + "/t.raw", IMAGE)
        decode.encode(d + "/t.add-cow", DISK, "t.raw")

    names = [DISK, "y.add-cow", "z.add-cow"]
    yield Case("cycle", cycle, "ELOOP", names)
    yield Case("cycle-below", tail_cycle, "ELOOP", names, disk="t.add-cow")
    yield Case("chain-65", lambda d: chain(d, 65), "ELOOP", [".add-cow"])
    yield Works("chain-64", lambda d: chain(d, 64), BASE, write=(700, b"written"), image="i63.raw")


def sizes():
    yield Works("metadata-longer", lambda d: parts(d, bitmap=b"\x0f" + b"\xff" * 5000), MIXED,
                write=(3000, b"written"))
    yield Works("metadata-no-bitmap", lambda d: parts(d, bitmap=b""), BASE,
                write=(3000, b"written"))
    yield Works("metadata-shorter", lambda d: parts(d, base=BASE * 8, image=IMAGE * 8,
        bitmap=b"\x0f"),
                IMAGE[:2048] + (BASE * 8)[2048:], write=(30000, b"written"))
    yield Works("backing-shorter", lambda d: parts(d, base=b"short"), IMAGE[:2048] + bytes(2048),
                write=(3000, b"written"))
    yield Works("backing-empty", lambda d: parts(d, base=b"", bitmap=b""), bytes(4096),
                write=(3000, b"written"))
    yield Works("backing-longer", lambda d: parts(d, base=BASE * 9), MIXED, write=(5000,
        b"written"))
    yield Works("no-backing-name", lambda d: parts(d, header(backing=b""), base=None),
                IMAGE[:2048] + bytes(2048), write=(3000, b"written"))
    yield Works("zero-bytes", lambda d: parts(d, image=b"", bitmap=b""), b"",
                write=(0, b"written"))
    yield Works("zero-bytes-write-far", lambda d: parts(d, image=b"", bitmap=b"\xff"), b"",
                write=(3000, b"written"))
    yield Works("one-byte", lambda d: parts(d, image=b"i", bitmap=b"\1"), b"i", write=(0, b"x"))
    yield Works("longest-name", lambda d: parts(d, header(image=b"./" * 509 + b"x.raw")), MIXED)
    yield Works("reserved-bytes", lambda d: parts(d, header()[:-1] + b"\0"), MIXED)
    yield Works("image-symlink", then(parts, lambda d: os.rename(d + "/x.raw", d + "/real"),
                                      replace("x.raw", lambda p: os.symlink("real", p))), MIXED)

    def odd_name(d):
        put(d + "/b\xe4se \xff\n.raw".encode("latin-1").decode("utf-8", "surrogateescape"), BASE)
        parts(d, header(backing="b\xe4se \xff\n.raw".encode("latin-1")), base=None)
    yield Works("odd-bytes-in-name", odd_name, MIXED)


def huge():
    """Sizes that only tmpfs takes."""
    top = (1 << 63) - 1
    yield Case("8-EiB", lambda d: then(parts, sized("x.raw", top))(d), "EFBIG", ["x.raw", DISK])
    yield Case("2-PiB", lambda d: then(parts, sized("x.raw", 1 << 51))(d), "EFBIG", ["x.raw", DISK])
    yield Case("8-EiB-in-the-chain", then(with_header(backing=b"b.add-cow"), sized("b.raw", top),
                                          lambda d: decode.encode(d + "/b.add-cow", "", "b.raw")),
               "EFBIG", ["b.raw", "b.add-cow"])
    yield Works("8-EiB-backing", lambda d: then(parts, sized("base.raw", top))(d),
                IMAGE[:2048] + bytes(2048), write=(3000, b"written"))
    yield Script("1-TiB", then(parts, sized("x.raw", 1 << 40)),
                 "tail -c 3 x.add-cow | od -An -tx1; printf end | dd of=x.add-cow bs=1 "
                 "seek=1099511627773 conv=notrunc status=none; tail -c 3 x.add-cow; "
                 "stat -c %s x.add-cow",
                 b" 00 00 00\nend1099511627776\n", unchanged=False)


def permissions():
    yield Case("no-read-metadata", then(parts, owned, mode(DISK, 0)), "EACCES", [DISK], user=NOBODY)
    yield Case("no-read-image", then(parts, owned, mode("x.raw", 0)), "EACCES", ["x.raw"],
        user=NOBODY)
    yield Case("no-read-backing", then(parts, owned, mode("base.raw", 0)), "EACCES", ["base.raw"],
               user=NOBODY)
    yield Case("read-only-metadata", then(parts, owned, mode(DISK, 0o444)), "EACCES", [DISK],
               (WRITE, TRUNCATE), (READ,), NOBODY, tool=False)
    yield Case("read-only-image", then(parts, owned, mode("x.raw", 0o444)), "EACCES", ["x.raw"],
               (WRITE, TRUNCATE), (READ,), NOBODY, tool=False)
    yield Case("others-files", parts, "EACCES", [DISK], (WRITE, TRUNCATE), (READ,), NOBODY,
        tool=False)
    yield Case("no-search", then(parts, lambda d: os.mkdir(d + "/s"),
                                 lambda d: os.rename(d + "/x.raw", d + "/s/x.raw"),
                                 lambda d: put(d + "/" + DISK, header(image=b"s/x.raw")), owned,
                                 mode("s", 0)),
               "EACCES", ["s/x.raw"], user=NOBODY)
    yield Works("read-only-backing", then(parts, owned, mode("base.raw", 0o444)), MIXED, NOBODY,
                write=(3000, b"written"))
    # Only the files are writable: no run-time file can be made beside them.
    yield Works("directory-not-writable", then(parts, owned, lambda d: os.chown(d, 0, 0)), MIXED,
        NOBODY,
                write=(3000, b"written"))
    yield Works("read-only-all", then(parts, owned, mode(DISK, 0o444), mode("x.raw", 0o444),
                                      mode("base.raw", 0o444)), MIXED, NOBODY)


def read_only_filesystem():
    wrap = ["unshare", "-m", "sh", "-c", "mount --bind . . && mount -o remount,bind,ro . && cd "
    "\"$PWD\" && "
            "exec \"$@\"", "sh"]
    error = rb"addcow: [^\n]*x\.add-cow[^\n]*\n"
    yield Script("read-only-filesystem", parts,
                 "cat x.add-cow | sha256sum; /usr/bin/python3 -c '%s' x.add-cow O_RDWR" % OPENER,
                 hashlib.sha256(MIXED).hexdigest().encode() + b"  -\nEROFS\n", error, wrap=wrap)


def not_disks():
    """Files named like disks that are none."""
    no = rb"addcow: [^\n]*new\.add-cow: [^\n]+\n"
    yield Script("new-file", lambda d: None,
                 "echo hello >new.add-cow; stat -c %s new.add-cow; cat new.add-cow", b"6\n",
                 no + rb"cat: new\.add-cow: Invalid argument\n", status=1, unchanged=False)
    yield Script("new-file-one-process", lambda d: None,
                 "/usr/bin/python3 -c 'f = open(\"new.add-cow\", \"w+b\"); f.write(b\"hello\"); "
                 "f.seek(0); print(f.read()); f.close()'; rm new.add-cow; ls", b"b'hello'\n")
    yield Script("empty-file", lambda d: put(d + "/new.add-cow"),
                 "cat new.add-cow; stat -c '%s %F' new.add-cow; wc -c <new.add-cow; "
                 "truncate -s 0 new.add-cow; : >new.add-cow; sha256sum new.add-cow",
                 b"0 regular empty file\n0\n" + hashlib.sha256(b"").hexdigest().encode() +
                 b"  new.add-cow\n", unchanged=False)
    yield Script("text-refused", lambda d: put(d + "/new.add-cow", b"text\n"),
                 "cat new.add-cow", b"", no + rb"cat: new\.add-cow: Invalid argument\n", status=1)
    yield Script("text-not-truncated", lambda d: put(d + "/new.add-cow", b"text\n"),
                 "echo more >new.add-cow; ls", b"new.add-cow\n",
                 no + rb"[^\n]*Invalid argument\n", status=0)
    yield Script("text-not-appended", lambda d: put(d + "/new.add-cow", b"text\n"),
                 "dd if=/dev/zero of=new.add-cow bs=5 count=1 conv=notrunc oflag=append "
                 "status=none", b"", no + rb"dd: [^\n]*Invalid argument\n", status=1)
    yield Script("other-names", lambda d: [put(d + "/" + name, b"text\n") for name in
                                           ("add-cow", "x.add-cow.bak", "x.add-cowx", "xadd-cow")],
                 "cat add-cow x.add-cow.bak x.add-cowx xadd-cow", b"text\n" * 4)
    yield Script("directory", lambda d: os.mkdir(d + "/d.add-cow"),
                 "echo hi >d.add-cow/file; cat d.add-cow/file; ls d.add-cow; cat d.add-cow; "
                 "rm -r d.add-cow", b"hi\nfile\n", rb"cat: d\.add-cow: Is a directory\n",
                 unchanged=False)
    yield Script("fifo", lambda d: os.mkfifo(d + "/f.add-cow"),
                 "echo through the fifo >f.add-cow & cat f.add-cow; wait", b"through the fifo\n",
                 unchanged=False)
    yield Script("symlink-to-device", lambda d: os.symlink("/dev/null", d + "/n.add-cow"),
                 "cat n.add-cow; echo x >n.add-cow", b"")
    yield Script("dangling-symlink", lambda d: os.symlink("nothing", d + "/n.add-cow"),
                 "cat n.add-cow", b"", rb"cat: n\.add-cow: No such file or directory\n", status=1)
    yield Script("unlink", parts, "rm x.add-cow; ls", b"base.raw\nx.raw\n", unchanged=False)


def run_time_files():
    """What stands where the run-time file belongs. No crash, and never wrong bytes."""
    run_file = DISK + ".run"
    content = MIXED
    for name, how in (
            ("directory", os.mkdir), ("fifo", os.mkfifo),
            ("symlink", lambda p: os.symlink("/dev/zero", p)),
            ("dangling", lambda p: os.symlink("target", p)),
            ("text", lambda p: put(p, b"x" * 5000)), ("short", lambda p: put(p, b"x")),
            ("empty", lambda p: put(p)), ("zeros", lambda p: put(p, bytes(1 << 20)))):
        yield Hostile("run-time-file-" + name, then(parts, replace(run_file, how)), content)


def can_unshare():
    return subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL).returncode == 0


def absent(program):
    return None if shutil.which(program) else "program " + program


def all_cases():
    """(case, what it needs that is not there, parent directory)"""
    root = None if os.geteuid() == 0 else "root"
    for group in (bad_headers, bad_files, chains, sizes, not_disks, run_time_files):
        for case in group():
            yield case, None, None
    for case in permissions():
        yield case, root or absent("setpriv"), None
    for case in read_only_filesystem():
        yield case, root or absent("unshare") or (None if can_unshare() else "mount namespaces"), None
    for case in huge():
        yield case, None if os.access("/dev/shm", os.W_OK) else "/dev/shm", "/dev/shm"

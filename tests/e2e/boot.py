#!/usr/bin/python3
"""Boots a guest from a disk: QEMU, unmodified, through the preload.

The kernel and busybox are Debian's; the emulation is in software, so that it runs
anywhere. The disk's base is an ext4 filesystem made without mounting anything. The
guest mounts it, reads a file of the base, writes, overwrites and removes files,
syncs, reads back after a remount, and powers off. Then: the serial console shows
each step, the base file has not changed, of all files only the image and the
metadata have, e2fsck finds the disk clean through the preload, and the guest's
files are in the flat content that the independent decoder makes.

    boot.py [-v] [--keep] [--plain] [-k PATTERN]

--plain boots from an ordinary raw file without the preload: what fails then is
not addcow's fault.
"""
import argparse
import glob
import hashlib
import lzma
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

import common
import decode

PATH = common.PATH
WORK = os.path.join(common.WORK, "boot")
NEEDS = ("qemu-system-x86_64", "mkfs.ext4", "e2fsck", "debugfs", "busybox")
LIMIT = 240     # seconds after which a guest counts as hanging
SIZE = 24 << 20
MODULES = ("crc32c_generic", "virtio_pci", "virtio_blk", "ext4")

INIT = r"""#!/bin/busybox sh
export PATH=/bin
/bin/busybox mkdir -p /bin /dev /proc /mnt
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t devtmpfs dev /dev 2>/dev/null
exec >/dev/console 2>&1
end() {
    echo "GUEST: $1"
    poweroff -f
}
step() {
    name=$1
    shift
    "$@" || end "failed: $name"
    echo "GUEST: $name ok"
}
for m in $(cat /modules/order); do
    insmod /modules/$m || end "failed: insmod $m"
done
i=0
while [ ! -b /dev/vda ] && [ $i -lt 100 ]; do
    sleep 0.1
    i=$((i + 1))
done
random() { awk -v n=$1 'BEGIN { srand(5); while (n--) printf "%c", 32 + int(rand() * 90) }'; }
sum() { echo "GUEST: sum $(md5sum $1 | cut -c1-32) $1"; }
step mount mount -t ext4 /dev/vda /mnt
sum /mnt/base.bin
step mkdir mkdir /mnt/new
random 300000 >/tmp.bin
step write cp /tmp.bin /mnt/new/random.bin
step text sh -c 'echo "written by the guest" >/mnt/new/hello.txt'
step overwrite dd if=/tmp.bin of=/mnt/base.bin bs=1000 count=50 seek=100 conv=notrunc
step remove rm /mnt/old.txt
step sync sync
step umount umount /mnt
echo 3 >/proc/sys/vm/drop_caches
step remount mount -t ext4 /dev/vda /mnt
step compare cmp /tmp.bin /mnt/new/random.bin
step gone test ! -e /mnt/old.txt
sum /mnt/base.bin
sum /mnt/new/random.bin
step umount-again umount /mnt
end "all done"
"""


# ---- the initramfs -------------------------------------------------------------

def cpio_entry(name, mode, data=b"", inode=[0]):
    inode[0] += 1
    fields = (inode[0], mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
    entry = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
    entry += bytes(-len(entry) % 4) + data
    return entry + bytes(-len(entry) % 4)


def find_kernel():
    """(vmlinuz, its modules' directory), newest first; None if there is none.

    `make deps` unpacks a kernel below the build directory where the system has none.
    """
    for root in (os.path.join(common.BUILD, "kernel"), ""):
        for kernel in sorted(glob.glob(root + "/boot/vmlinuz-*"), reverse=True):
            modules = root + "/lib/modules/" + os.path.basename(kernel)[len("vmlinuz-"):]
            if os.path.exists(modules + "/modules.dep"):
                return kernel, modules
    return None


def module_files(directory):
    """The files of MODULES and all they depend on, in the order to load them."""
    needs, by_name = {}, {}
    with open(directory + "/modules.dep") as f:
        for line in f:
            path, _, deps = line.partition(":")
            needs[path] = deps.split()
            by_name[os.path.basename(path).split(".")[0].replace("-", "_")] = path
    built_in = open(directory + "/modules.builtin").read().replace("-", "_")
    order = []

    def load(path):
        for dep in needs[path]:
            load(dep)
        if path not in order:
            order.append(path)

    for name in MODULES:
        if "/%s.ko" % name not in built_in:
            load(by_name[name])
    return order


def module_data(path):
    with open(path, "rb") as f:
        data = f.read()
    if path.endswith(".xz"):
        return lzma.decompress(data)
    if path.endswith(".zst"):
        return subprocess.run(["zstd", "-dcq"], input=data, stdout=subprocess.PIPE,
                              check=True).stdout
    return data


def make_initramfs(out, modules_dir):
    entries = [cpio_entry(name, 0o040755) for name in ("bin", "dev", "proc", "mnt", "modules")]
    busybox = shutil.which("busybox", path="/bin:" + PATH)
    entries.append(cpio_entry("bin/busybox", 0o100755, open(busybox, "rb").read()))
    names = []
    for path in module_files(modules_dir):
        names.append(os.path.basename(path).split(".ko")[0] + ".ko")
        entries.append(cpio_entry("modules/" + names[-1], 0o100644,
                                  module_data(os.path.join(modules_dir, path))))
    entries.append(cpio_entry("modules/order", 0o100644, "\n".join(names).encode()))
    entries.append(cpio_entry("init", 0o100755, INIT.encode()))
    entries.append(cpio_entry("TRAILER!!!", 0))
    with open(out, "wb") as f:
        f.write(b"".join(entries))


# ---- the disk --------------------------------------------------------------------

def make_base(d):
    tree = d + "/tree"
    os.makedirs(tree)
    with open(tree + "/base.bin", "wb") as f:
        f.write(base_bin())
    with open(tree + "/old.txt", "w") as f:
        f.write("an old file\n")
    with open(d + "/base.img", "wb") as f:
        f.truncate(SIZE)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-d", tree, d + "/base.img"], check=True,
                   env={"PATH": PATH})
    shutil.rmtree(tree)


def file_facts(d):
    """{name: (size, mtime, sha256)}"""
    facts = {}
    for name in os.listdir(d):
        st = os.stat(os.path.join(d, name))
        with open(os.path.join(d, name), "rb") as f:
            facts[name] = (st.st_size, st.st_mtime_ns, hashlib.sha256(f.read()).hexdigest())
    return facts


def base_bin(new=None):
    """The file of the base, or what the guest makes of it with the file `new`."""
    data = bytearray(random.Random(77).randbytes(1000000))
    if new:
        data[100000:150000] = new[:50000]
    return bytes(data)


# ---- the guest -------------------------------------------------------------------

def boot(d, disk, kernel, preload, drive, verbose):
    """(exit status or a text, console)"""
    argv = preload + ["qemu-system-x86_64", "-accel", "tcg", "-m", "256", "-nographic",
                      "-no-reboot", "-nodefaults", "-serial", "stdio",
                      "-kernel", kernel, "-initrd", d + "/initrd",
                      "-append", "console=ttyS0 panic=-1 quiet",
                      "-drive", "file=%s,format=raw,if=virtio%s" % (disk, drive)]
    if verbose:
        print(" ".join(argv), flush=True)
    with open(d + "/console", "wb") as console:
        child = subprocess.Popen(argv, cwd=d, stdin=subprocess.DEVNULL, stdout=console,
                                 stderr=subprocess.STDOUT, start_new_session=True,
                                 env={"PATH": PATH, "LC_ALL": "C", "HOME": "/nonexistent"})
        try:
            status = child.wait(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            status = "hangs: ended after %d seconds" % LIMIT
    with open(d + "/console", "rb") as f:
        return status, f.read().decode(errors="replace")


STEPS = ("mount mkdir write text overwrite remove sync umount remount compare gone "
         "umount-again").split()


def check_console(status, console):
    problems = []
    if status != 0:
        problems.append("qemu: exit status %s" % status)
    said = re.findall(r"GUEST: ([^\r\n]*)", console)
    for step in STEPS:
        if step + " ok" not in said:
            problems.append("the guest did not come through '%s'" % step)
            break
    if "all done" not in said:
        problems.append("the guest did not reach its end")
    for line in console.splitlines():
        if line.startswith("addcow"):
            problems.append("said: " + line)
        if re.search(r"I/O error|EXT4-fs error|blk_update_request", line):
            problems.append("console: " + line)
    if problems:
        problems += ["console: " + line for line in console.splitlines()[-15:]]
    return problems, said


def dump(flat, name, d):
    """A file of the filesystem in `flat`."""
    subprocess.run(["debugfs", "-R", "dump %s out" % name, flat], cwd=d, env={"PATH": PATH},
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with open(d + "/out", "rb") as f:
            return f.read()
    except FileNotFoundError:
        return None
    finally:
        if os.path.exists(d + "/out"):
            os.unlink(d + "/out")


def check_content(flat, said, d):
    """The guest's files are in the flat content, and are what the guest saw."""
    problems = []
    new = dump(flat, "/new/random.bin", d)
    if new is None or len(new) != 300000:
        return ["/new/random.bin: not in the flat content, or of the wrong size"]
    expected = ["sum %s %s" % (hashlib.md5(data).hexdigest(), name) for name, data in (
        ("/mnt/base.bin", base_bin()), ("/mnt/base.bin", base_bin(new)),
        ("/mnt/new/random.bin", new))]
    sums = [line for line in said if line.startswith("sum ")]
    if sums != expected:
        problems.append("the guest saw other content than expected: %s, not %s" % (sums, expected))
    if dump(flat, "/base.bin", d) != base_bin(new):
        problems.append("/base.bin: not as the guest left it")
    if dump(flat, "/new/hello.txt", d) != b"written by the guest\n":
        problems.append("/new/hello.txt: not in the flat content")
    if dump(flat, "/old.txt", d) is not None:
        problems.append("/old.txt: still there")
    return problems


def fsck(d, disk, preload):
    child = subprocess.run(preload + ["e2fsck", "-fn", disk], cwd=d, stdin=subprocess.DEVNULL,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                           env={"PATH": PATH, "LC_ALL": "C"})
    if child.returncode:
        return ["e2fsck: status %s: %s" % (child.returncode, child.stdout.decode()[-500:])]
    return []


def guest(name, drive, plain, options):
    """Boots one guest; returns the problems."""
    kernel, modules = find_kernel()
    os.makedirs(WORK, exist_ok=True)
    d = tempfile.mkdtemp(prefix="guest-", dir=WORK)
    try:
        make_initramfs(d + "/initrd", modules)
        make_base(d)
        if plain:
            disk, preload = "base.img", []
        else:
            disk, preload = "test.add-cow", common.PRELOAD
            with open(d + "/test.raw", "wb") as f:
                f.truncate(SIZE)
            decode.encode(d + "/" + disk, "base.img", "test.raw", (), SIZE // 512 // 8)
        before = file_facts(d)
        status, console = boot(d, disk, kernel, preload, drive, options.verbose)
        if options.verbose:
            print(console)
        os.rename(d + "/console", WORK + "/console-" + name)
        after = file_facts(d)
        problems, said = check_console(status, console)
        may_change = {disk} if plain else {disk, "test.raw"}
        changed = {n for n in set(before) | set(after) if before.get(n) != after.get(n)}
        if changed - may_change:
            problems.append("changed, made or removed: " + " ".join(sorted(changed - may_change)))
        if may_change - changed:
            problems.append("not changed: " + " ".join(sorted(may_change - changed)))
        if not plain and after.get(disk, [0])[0] != before[disk][0]:
            problems.append("the metadata file has another size")
        flat = d + "/base.img"
        if not plain:
            flat = d + "/flat"
            decode.flat(d + "/" + disk, flat)
            if not decode.bits(d + "/" + disk):
                problems.append("no sector is allocated")
        problems += fsck(d, disk, preload)
        problems += check_content(flat, said, d)
        if not plain and after["base.img"] != before["base.img"]:
            problems.append("the backing file has changed")
        return problems
    finally:
        if not options.keep:
            shutil.rmtree(d)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-v", dest="verbose", action="store_true")
    parser.add_argument("-k", dest="pattern", default="")
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    guests = [("default", ""), ("cache-none", ",cache=none,discard=unmap"),
              ("io_uring", ",cache=none,aio=io_uring,discard=unmap")]
    guests = [(name, drive) for name, drive in guests if options.pattern in name]
    missing = [p for p in NEEDS if not shutil.which(p, path=PATH)]
    if not find_kernel():
        missing.append("a kernel with modules (linux-image-amd64)")
    if missing:
        ci = os.environ.get("CI") == "true"
        print("%s boot: needs %s" % ("FAIL" if ci else "skip", ", ".join(missing)))
        print("0 passed, %d failed, %d skipped" % ((len(guests), 0) if ci else (0, len(guests))))
        return 1 if ci else 0
    if not options.plain:
        common.require()
    failed = 0
    for name, drive in guests:
        problems = guest(name, drive, options.plain, options)
        if problems:
            failed += 1
            print("FAIL boot %s (console in %s/console-%s)\n  %s"
                  % (name, WORK, name, "\n  ".join(problems)), flush=True)
    print("%d passed, %d failed, 0 skipped" % (len(guests) - failed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/python3
"""32-bit programs, and 32-bit beside 64-bit ones, on a plain file and on a disk.

programs/narrow_ops.c is compiled without _FILE_OFFSET_BITS, with it, and with _TIME_BITS=64, and
each mode is run on a sparse file of 3 GiB and on a disk of that content: what is printed and what
is then in it must be the same, EOVERFLOW and EFBIG among it. So must be what the other C programs of the
end-to-end table do, on a small one: they are compiled in two ways, whose turn it is from mode to mode, and
what they exec is 64-bit. Then a 32-bit and a 64-bit program
write to one disk at once, and through one description that they inherited; and they are killed at
random points, one beside the other. programs/mutex_ops.c takes shared mutexes in both.

Where the kernel runs no 32-bit programs all of that happens in a guest (QEMU in software), whose only
files are on an ext4 in a sparse file: what lies in memory alone is never too large to be opened.

    narrow.py [-v] [-k PATTERN] [--guest] [--keep]

--guest uses the guest in any case; -k runs only the modes whose name has PATTERN.
"""
import argparse
import difflib
import glob
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True

import boot
import common
import shapes
import table_lang

WORK = os.path.join(common.WORK, "narrow")
LIMIT = 560     # seconds after which all of it counts as hanging
LIBRARY_32 = os.path.join(os.path.dirname(common.LIBRARY), "32", os.path.basename(common.LIBRARY))
BOTH = os.path.join(os.path.dirname(common.LIBRARY), "both")

# Name, flags, and the modes that it is run with.
VARIANTS = (("narrow", ["-m32"], "sizes seek grow locks walks times aio maps copies numbers"),
            ("narrow64", ["-m32", "-D_FILE_OFFSET_BITS=64"], "sizes seek grow locks aio maps"),
            ("time64", ["-m32", "-D_FILE_OFFSET_BITS=64", "-D_TIME_BITS=64"], "sizes walks times aio"),
            ("wide", [], "grow"))

OTHER_FLAGS = (("n", ["-m32"]), ("w", ["-m32", "-D_FILE_OFFSET_BITS=64", "-D_TIME_BITS=64"]))
OTHERS = (("stdio", table_lang.STDIO), ("stream", table_lang.STREAM), ("fd", table_lang.FD),
          ("map", table_lang.MAP), ("proc", table_lang.PROC), ("spawn", table_lang.SPAWN),
          ("pass", table_lang.PASS), ("fault", table_lang.FAULT), ("attr", table_lang.ATTR),
          ("thread", table_lang.THREAD), ("aio", table_lang.AIO), ("libaio", table_lang.LIBAIO),
          ("uring_raw", table_lang.URING_RAW))
# Of these a plain file is not to be compared with, or the guest is not the place: the 32-bit libc crashes at what
# the kernel refuses, or changes errno; SYS_fstat is not served; there is no locale, nor a stdin.
NOT_HERE = ("fault calls", "fd errno_kept", "fault numbers", "stream wscanf", "stream standard")
EXECUTED = {"dash": "sh", "cat": "cat", "cksum": "cksum", "echo": "echo", "head": "head", "wc": "wc"}

JOB = r"""
say() { echo "JOB: $*"; }
# one SIDE VARIANT MODE
one() {
    say "begin $1 $2 $3"
    cd /job/$1$w || exit
    LD_PRELOAD=$preload $bin/$2 $3 disk.add-cow 2>&1
    say "status $?"
    # The children of a family write in any order.
    [ $3 = family ] || LD_PRELOAD=$preload $bin/wide digest disk.add-cow 2>&1
    cd /
    say end
}
fresh() {
    rm -rf /job/plain /job/disk
    w=
    mkdir -p /job/plain /job/disk
    truncate -s 3G /job/plain/disk.add-cow
    dd if=$bin/data of=/job/plain/disk.add-cow conv=notrunc bs=4k 2>/dev/null
    dd if=$bin/data of=/job/plain/disk.add-cow conv=notrunc bs=4k seek=524288 2>/dev/null
    truncate -s 3G /job/disk/base.raw
    dd if=$bin/data of=/job/disk/base.raw conv=notrunc bs=4k 2>/dev/null
    dd if=$bin/data of=/job/disk/base.raw conv=notrunc bs=4k seek=524288 2>/dev/null
    $bin/addcow-img create -q -f add-cow -o backing_file=base.raw,image_file=disk.raw /job/disk/disk.add-cow ||
        say 'cannot create a disk'
}
small() {
    rm -rf /job/plain /job/disk
    w=/w
    cp -r $bin/shape/plain $bin/shape/disk /job
}
both() {
    $3
    preload= one plain $1 $2
    preload=$shim one disk $1 $2
    [ ! -e /job/disk$w/disk.add-cow.run ] || say "left $1 $2: a run-time file"
}
pair() {
    say "begin $1 pair"
    cd /job/$1 || exit
    LD_PRELOAD=$preload $bin/narrow even disk.add-cow 2>&1 & a=$!
    LD_PRELOAD=$preload $bin/wide odd disk.add-cow 2>&1
    wait $a
    LD_PRELOAD=$preload $bin/wide digest disk.add-cow 2>&1
    cd /
    say end
}
# kills KILLED SURVIVOR: sectors are written for the first time, under locks. If one who is killed leaves one, the
# survivor does not come to its end.
kills() {
    say "begin kills $1"
    fresh
    cd /job/disk
    LD_PRELOAD=$shim $bin/$2 churn disk.add-cow 2>&1 & b=$!
    i=0
    while kill -0 $b; do
        i=$(((i + 7) % 24))
        LD_PRELOAD=$shim $bin/$1 churn disk.add-cow 2>&1 & a=$!
        usleep $((150000 + i * 10000))
        kill -9 $a
        wait $a
    done 2>/dev/null
    wait $b
    say "status $?"
    LD_PRELOAD=$shim $bin/wide even disk.add-cow 2>&1
    say end
}
deep() {
    say begin deep
    ADDCOW_DEEP=1 LD_PRELOAD=$shim $bin/narrow none none 2>&1 | grep -c 'not for 32-bit programs'
    say end
}
mutex() {
    say "begin mutex $*"
    $bin/mutex$1 make /job/m >/dev/null
    shift
    for step; do
        case $step in
        count) $bin/mutex32 count /job/m & $bin/mutex64 count /job/m; wait; $bin/mutex64 total /job/m ;;
        *) timeout 20 $bin/mutex${step%:*} ${step#*:} /job/m || say "status $?" ;;
        esac
    done
    say end
}
"""

INIT = r"""#!/bin/busybox sh
export PATH=/64:/bin
/bin/busybox --install -s /bin
ln -sf /64/sh /bin/sh
mount -t proc proc /proc
mount -t devtmpfs dev /dev 2>/dev/null
exec >/dev/console 2>&1
for m in $(cat /modules/order); do
    insmod /modules/$m || echo "JOB: failed: insmod $m"
done
i=0
while [ ! -b /dev/vda ] && [ $i -lt 100 ]; do
    sleep 0.1
    i=$((i + 1))
done
mount -t ext4 /dev/vda /job || echo 'JOB: failed: mount'
. /job.sh
echo "JOB: all done"
poweroff -f
"""

DONE = ["JOB: status 0"]
# What is to be printed by the mutexes' steps.
DIES = ["lock: Success"]
MENDS = ["sound 1, lock: Owner died", "mine 1", "free 1"]
FREE = ["sound 1, lock: Success", "mine 1", "free 1"]
MUTEXES = (
    ("64 count", ["6000"]), ("32 count", ["6000"]),
    ("64 32:die 64:mend 32:mend", DIES + MENDS + FREE),
    ("32 64:die 32:mend 64:mend", DIES + MENDS + FREE),
    ("64 32:die 32:mend 64:mend", DIES + MENDS + FREE),
    ("32 64:die 32:lose 64:lose", DIES + ["lock: Owner died", "lock: State not recoverable"]),
    ("64 32:die 64:lose 32:lose", DIES + ["lock: Owner died", "lock: State not recoverable"]),
    ("64 32:beside 64:mend", ["own: Owner died", "shared: Owner died"] + FREE),
    ("32 64:beside 32:mend", ["own: Owner died", "shared: Owner died"] + FREE),
)


def runs_32(d):
    try:
        return subprocess.run([d + "/mutex32"], stderr=subprocess.DEVNULL).returncode == 2
    except OSError:
        return False


def compile_all(d):
    base = ["gcc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", "-pthread"]
    source = os.path.join(common.HERE, "programs")
    for name, flags, _ in VARIANTS:
        subprocess.run(base + ["-Wno-overflow"] + flags + ["-o", "%s/%s" % (d, name),
                       source + "/narrow_ops.c"], check=True)
    for name, flags in (("mutex32", ["-m32"]), ("mutex64", [])):
        subprocess.run(base + flags + ["-iquote", common.ROOT + "/engine", "-o", "%s/%s" % (d, name),
                       source + "/mutex_ops.c", common.ROOT + "/engine/mutex.c"], check=True)
    for name, _ in OTHERS:
        file = source + "/" + name + ("" if name == "uring_raw" else "_ops") + ".c"
        for variant, flags in OTHER_FLAGS:
            subprocess.run(["gcc", "-O1", "-w", "-pthread"] + flags + ["-o", "%s/%s-%s" % (d, name, variant), file],
                           check=True)
    shapes.build("half", d + "/shape")
    with open(d + "/data", "wb") as f:
        f.write(random.Random(32).randbytes(300000))
    shutil.copy(common.TOOL, d + "/addcow-img")


def job(bin_dir, shim, cases):
    text = "bin=%s\nshim='%s'\nexport NARROW=$bin/narrow WIDE=$bin/wide\n%s" % (bin_dir, shim, JOB)
    for variant, mode in cases:
        text += "both %s %s %s\n" % (variant, mode, "small" if "-" in variant else "fresh")
    text += "fresh\npreload= pair plain\npreload=$shim pair disk\n"
    text += "deep\nkills narrow wide\nkills wide narrow\n"
    text += "both wide family fresh\nboth narrow family fresh\n"
    for steps, _ in MUTEXES:
        text += "mutex %s\n" % steps
    return text


def interpreter(program):
    """A program's dynamic linker, and its libc."""
    text = subprocess.run(["readelf", "-l", program], stdout=subprocess.PIPE, check=True,
                          universal_newlines=True).stdout
    linker = re.search(r"interpreter: ([^\]]*)\]", text).group(1)
    names = {"/lib/ld-linux.so.2": ["/lib32", "/lib/i386-linux-gnu"]}.get(
        linker, ["/lib/x86_64-linux-gnu", "/lib64"])
    libc = next(name + "/libc.so.6" for name in names if os.path.exists(name + "/libc.so.6"))
    return linker, libc


def make_initramfs(d, modules):
    entries, folders = [], set()

    def put(name, mode, data=b""):
        folder = os.path.dirname(name)
        if folder and folder not in folders:
            put(folder, 0o040755)
        if mode == 0o040755:
            folders.add(name)
        entries.append(boot.cpio_entry(name, mode, data))

    def copy(path, name):
        with open(path, "rb") as f:
            put(name.lstrip("/"), 0o100755, f.read())

    for name in ("dev", "proc", "job"):
        put(name, 0o040755)
    copy(shutil.which("busybox", path="/bin:" + common.PATH), "bin/busybox")
    for program, name in EXECUTED.items():
        copy(shutil.which(program, path="/bin:" + common.PATH), "64/" + name)
    for folder, _, names in os.walk(d):
        for name in names:
            copy(os.path.join(folder, name), "t/" + os.path.relpath(os.path.join(folder, name), d))
    for program in ("narrow", "wide"):
        for path in interpreter(os.path.join(d, program)):
            copy(path, path)
    for path in glob.glob(BOTH + "/**/*.so", recursive=True):
        copy(path, "t/both/" + os.path.relpath(path, BOTH))
    order = boot.module_files(modules)
    for path in order:
        put("modules/" + os.path.basename(path), 0o100644,
            boot.module_data(os.path.join(modules, path)))
    put("modules/order", 0o100644, "\n".join(map(os.path.basename, order)).encode())
    put("init", 0o100755, INIT.encode())
    with open(d + "/job.sh", "rb") as f:
        put("job.sh", 0o100644, f.read())
    entries.append(boot.cpio_entry("TRAILER!!!", 0))
    return b"".join(entries)


def run_limited(argv, d):
    with open(d + "/console", "wb") as console:
        child = subprocess.Popen(argv, cwd=d, stdin=subprocess.DEVNULL, stdout=console,
                                 stderr=subprocess.STDOUT, start_new_session=True,
                                 env={"PATH": common.PATH, "LC_ALL": "C", "HOME": "/nonexistent"})
        try:
            child.wait(timeout=LIMIT)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    with open(d + "/console", "rb") as f:
        return f.read().decode(errors="replace").replace("\r", "")


def in_guest(d, cases):
    kernel = boot.find_kernel()
    if not kernel or not shutil.which("qemu-system-x86_64", path=common.PATH):
        return None
    with open(d + "/job.sh", "w") as f:
        f.write(job("/t", "/t/both/$LIB/" + os.path.basename(common.LIBRARY), cases))
    data = make_initramfs(d, kernel[1])
    with open(d + "/initrd", "wb") as f:
        f.write(data)
    with open(d + "/drive", "wb") as f:
        f.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", d + "/drive"], check=True, env={"PATH": common.PATH})
    return run_limited(["qemu-system-x86_64", "-accel", "tcg", "-m", "512", "-nographic",
                        "-no-reboot", "-nodefaults", "-serial", "stdio", "-kernel", kernel[0],
                        "-initrd", d + "/initrd", "-append", "console=ttyS0 panic=-1 quiet",
                        "-drive", "file=%s/drive,format=raw,if=virtio,cache=unsafe" % d], d)


def here(d, cases):
    text = job(d, BOTH + "/$LIB/" + os.path.basename(common.LIBRARY), cases)
    with open(d + "/job.sh", "w") as f:
        f.write(text.replace("/job", d + "/job") + "\necho 'JOB: all done'\n")
    return run_limited(["sh", d + "/job.sh"], d)


def sections(console):
    found, name = {}, None
    for line in console.splitlines():
        begin = re.search(r"JOB: begin (.*)", line)
        if begin:
            name = begin.group(1)
            found[name] = []
        elif line == "JOB: end":
            name = None
        elif name:
            found[name].append(line)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-v", action="store_true")
    parser.add_argument("-k", default="")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each Nth of the shared programs' modes")
    parser.add_argument("--guest", action="store_true")
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    common.require()
    missing = None if os.path.exists(LIBRARY_32) else LIBRARY_32 + " is missing: run make ARCH=32"
    os.makedirs(WORK, exist_ok=True)
    d = tempfile.mkdtemp(prefix="run-", dir=WORK)
    cases = [(name, mode) for name, _, modes in VARIANTS for mode in modes.split()]
    others = [(name, mode) for name, modes in OTHERS for mode in modes.replace("*", "").split()
              if "%s %s" % (name, mode) not in NOT_HERE]
    others = [("%s-%s" % (name, OTHER_FLAGS[i % 2][0]), mode) for i, (name, mode) in enumerate(others)]
    cases += others[::options.every]
    cases = [case for case in cases if options.k in " ".join(case)]
    passed, problems, console = 0, [], None
    try:
        if not missing:
            compile_all(d)
            console = here(d, cases) if runs_32(d) and not options.guest else in_guest(d, cases)
            if console is None:
                missing = "this kernel runs no 32-bit programs, and there is no kernel for a guest"
        if missing:
            failed = os.environ.get("CI") == "true"
            print("%s: %s" % ("FAIL" if failed else "skipped", missing))
            print("0 passed, %d failed, %d skipped" % (failed, not failed))
            return 1 if failed else 0
        if options.v:
            print(console)
    finally:
        if not options.keep:
            shutil.rmtree(d)
    seen = sections(console)
    compared = ["%s %s" % case for case in cases] + ["pair", "wide family", "narrow family"]
    for name in compared:
        plain, disk = seen.get("plain " + name), seen.get("disk " + name)
        if plain and plain == disk and not any("not as written" in line for line in plain):
            passed += 1
        else:
            problems.append("\n    ".join(["%s: a plain file and a disk differ" % name] + [
                line for line in differences(plain or [], disk or [])]))
    for steps, expected in MUTEXES:
        if seen.get("mutex " + steps) == expected:
            passed += 1
        else:
            problems.append("mutex %s: %s, not %s" % (steps, seen.get("mutex " + steps), expected))
    for what, expected in (("deep", ["1"]), ("kills narrow", DONE), ("kills wide", DONE)):
        if seen.get(what) == expected:
            passed += 1
        else:
            problems.append("%s: %s, not %s" % (what, seen.get(what), expected))
    if "JOB: all done" not in console:
        problems.append("it did not reach its end: " + "\n    ".join(console.splitlines()[-15:]))
    for line in console.splitlines():
        if "JOB: left" in line or "ld.so" in line or line.startswith("addcow"):
            problems.append(line)
    for problem in problems:
        print("FAIL " + problem)
    print("%d passed, %d failed, 0 skipped" % (passed, len(problems)))
    return 1 if problems else 0


def differences(plain, disk):
    return list(difflib.unified_diff(plain, disk, "plain", "disk", lineterm="", n=1))[:30]


if __name__ == "__main__":
    sys.exit(main())

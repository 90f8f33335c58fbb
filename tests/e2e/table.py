"""The rows of the end-to-end table.

A row is a shell command in which {img} stands for the disk, {dir} for the
directory of input files (shapes.py), {same} for one that both sides share where their own
copies would differ (in their inodes' change times), {progs} for programs/ and {bin} for
where its C programs are compiled to. It is made for each of the shapes named in `on`.

    writes   the command may change the disk; otherwise nothing may change
    touch    the bytes that it writes, as [(off, len)] or a function of the
             size before: exactly their sectors get bits. None: not checked
    needs    programs; where one is missing the row is skipped
    mask     names of MASKS, applied to both outputs
    passes   the command must exit with 0
    content  "bytes", "fio" (verify headers' times are blanked), "none"
    scratch  shell patterns of files that are not compared
    after    the name of the disk after the command
    rw       a row that only reads, but opens for writing
    xfail    why the row is known not to pass yet
"""
import fnmatch
import shlex

import common
import table_fs
import table_io
import table_lang
import table_time
import table_tools

MASKS = {
    # dd: "12 bytes copied, 0.1 s, 3 MB/s"
    "dd": (rb"copied, .*", b"copied"),
    # qemu-io: "512 bytes, 1 ops; 00.00 sec (3 MiB/sec and 5 ops/sec)"
    "qemu-io": (rb"ops; .*", b"ops"),
    "seconds": (rb"[0-9.]+ seconds", b"N seconds"),
    "actual-size": (rb'"actual-size": \d+|disk size: .*', b"actual size"),
    "killed": (rb"\d+ Killed", b"Killed"),
}
SHAPE_NEEDS = {"ext4": ("mkfs.ext4",), "db": ("sqlite3",)}
C_PROGRAMS = ("stdio_ops", "std_ops", "stream_ops", "fd_ops", "attr_ops", "fault_ops",
              "proc_ops", "spawn_ops", "pass_ops", "limit_ops", "place_ops", "thread_ops",
              "time_ops", "map_ops", "aio_ops", "libaio_ops", "uring_ops", "uring_more", "uring_raw",
              "deep_ops", "copy_ops", "copy_more", "exec_ops", "inside_ops", "wide_ops",
              "names_ops", "sync_ops", "uring_names", "uring_make")
CXX_PROGRAMS = ("fstream_ops",)
# What is linked to the ones that need more than libc.
C_LIBRARIES = {name: ["-luring"] for name in ("uring_ops", "uring_more", "uring_names", "uring_make")}
# What a sanitizer's runtime, which then stands behind the library, does differently by itself.
WITHOUT_SANITIZER = {
    "deep/*": "makes system calls without libc, which trap within it",
    "fio/io_uring-*": "the same",
    "dl/runpath": "is the one that calls dlopen",
    "dl/deepbind": "does not bear such a library",
    "fault/*": "looks at memory before the kernel does",
    "std/freopen_same": "wraps what fopencookie makes",
    "stream/*": "the same",
    "proc/vfork_over": "makes vfork a fork",
    "spawn/attributes": "has handlers for signals",
    "spawn/programs": "makes vfork a fork",
    "time/cancel*": "does not bear being cancelled in",
    "copy_more/cancel": "the same",
    "time/main_ends": "nor that the main thread ends first",
    "copy_more/restart": "puts a signal's handler off until a call that it knows",
    "attr/ioctls": "does not keep errno",
    "preload/asan": "is there already",
}
# At whose end the runtime cannot look for leaks: it wants a descriptor, and /proc.
NO_LEAKS_SOUGHT = ("limit/*", "place/*")
ALL = "random odd longer shorter half chain3 alone"


class Row:
    def __init__(self, name, cmd, shape, writes=False, touch=None, needs="", mask="",
                 passes=True, content="bytes", check=None, scratch=(), after="disk.add-cow",
                 xfail=None, rw=False):
        self.name = "%s@%s" % (name, shape)
        self.cmd = cmd
        self.shape = shape
        self.writes = writes or touch is not None
        self.touch = touch
        self.needs = tuple(needs.split() if needs else ()) + SHAPE_NEEDS.get(shape, ())
        self.mask = tuple(mask.split() if mask else ())
        self.passes = passes
        self.content = content
        self.check = check
        self.scratch = tuple(scratch)
        self.after = after
        self.xfail = xfail
        self.rw = rw
        self.preload = None


class Table:
    """Collects rows: t.add("dd/seek", "dd ...", on="random odd", touch=[...])."""

    def __init__(self):
        self.rows = []

    def add(self, name, cmd, on="random", **facts):
        for shape in on.replace("all", ALL).split():
            self.rows.append(Row(name, cmd, shape, **facts))

    def python(self, name, code, **facts):
        facts.setdefault("needs", "/usr/bin/python3")
        self.add(name, "/usr/bin/python3 -c " + shlex.quote(code.strip("\n")), **facts)


def rows():
    table = Table()
    for part in (table_io, table_fs, table_tools, table_lang, table_time):
        part.rows(table)
    names = [row.name for row in table.rows]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise SystemExit("table.py: rows of equal name: " + " ".join(sorted(twice)))
    if not common.SANITIZER:
        return table.rows
    for row in table.rows:
        if any(fnmatch.fnmatch(row.name, name) for name in NO_LEAKS_SOUGHT):
            row.cmd = 'export ASAN_OPTIONS="$ASAN_OPTIONS:detect_leaks=0"; ' + row.cmd
    return [row for row in table.rows
            if not any(fnmatch.fnmatch(row.name.split("@")[0], name) for name in WITHOUT_SANITIZER)]

"""Rows: what works on whole disks: qemu-img, qemu-io, fio, e2fsprogs."""

import shlex

ALL = "all"
QEMU = "random odd longer half chain3"


def rows(t):
    qemu_img(t)
    qemu_io(t)
    fio(t)
    ext4(t)


def qemu_img(t):
    def add(name, cmd, **facts):
        facts.setdefault("needs", "qemu-img")
        t.add("qemu-img/" + name, cmd, **facts)

    add("convert-out", "qemu-img convert -f raw -O raw {img} out", on=ALL)
    add("convert-out-none", "qemu-img convert -t none -T none -f raw -O raw {img} out",
        on='half random')
    add("convert-out-qcow2", "qemu-img convert -f raw -O qcow2 {img} out; qemu-img compare -f "
        "raw -F qcow2 {img} out; rm out", on="half chain3 hole")
    add("convert-probe", "qemu-img convert -O raw {img} out", on="half")
    add("convert-many", "qemu-img convert -m 8 -W -f raw -O raw {img} out", on="half chain3")
    add("convert-in", "qemu-img convert -n -f raw -O raw {dir}/mib {img}", on="random half",
        writes=True)
    add("convert-in-small", "qemu-img convert -n -f raw -O raw {dir}/odd {img}", on=ALL,
        writes=True)
    add("convert-in-zero",
        "qemu-img convert -n --target-is-zero -S 4k -f raw -O raw {dir}/mib {img}", on="hole",
        writes=True)
    add("convert-in-none", "qemu-img convert -n -t none -T none -f raw -O raw {dir}/mib {img}",
        on="random half", writes=True)
    add("convert-in-writethrough",
        "qemu-img convert -n -t writethrough -f raw -O raw {dir}/mib {img}", on="half",
        writes=True)
    add("convert-create", "qemu-img convert -f raw -O raw {dir}/mib {img}", on="random half",
        writes=True)
    add("convert-offload", "qemu-img convert -n -C -f raw -O raw {dir}/mib {img}",
        on="random half", writes=True)
    add("convert-itself", "qemu-img convert -f raw -O qcow2 {img} q; qemu-io -f qcow2 -c 'write "
        "-P 5 0 64k' q >/dev/null; qemu-img convert -n -f qcow2 -O raw q {img}; rm q", on="half",
        writes=True)
    add("compare", "qemu-img compare -f raw -F raw {img} {dir}/mib; qemu-img compare -f raw -F "
        "raw {img} {img}; cp {img} out; qemu-img compare -f raw -F raw {img} out; qemu-img "
        "compare -s {img} {img}", on=QEMU)
    add("info", "qemu-img info -f raw {img}; qemu-img info --output=json -f raw {img}; qemu-img "
        "info {img}", on=ALL, mask="actual-size")
    add("info-share", "qemu-img info -U {img}", on="half", mask="actual-size")
    add("map", "qemu-img map --output=json -f raw {img} >map.json",
        on="random odd longer shorter half chain3 alone hole blank64", check="map",
        scratch=["map.json"])
    add("map-after-write", "qemu-io -f raw -c 'write -z 64k 64k' -c 'write -P 3 300k 4k' {img} "
        ">/dev/null; qemu-img map --output=json -f raw {img} >map.json",
        on="random half hole chain3", writes=True, check="map", scratch=["map.json"])
    add("resize-grow", "qemu-img resize -f raw {img} 3M; stat -c %s {img}", on=ALL, writes=True)
    add("resize-plus", "qemu-img resize -f raw {img} +100k; stat -c %s {img}", on="half",
        writes=True)
    add("resize-shrink",
        "qemu-img resize -f raw --shrink {img} 100k; qemu-img resize -f raw {img} 200k", on=ALL,
        writes=True)
    add("resize-prealloc", "qemu-img resize -f raw --preallocation=falloc {img} 2M; qemu-img "
        "resize -f raw --preallocation=full {img} 3M", on="half longer", writes=True)
    add("dd", "qemu-img dd -f raw -O raw bs=4096 skip=3 count=20 if={img} of=out", on=QEMU)
    add("measure", "qemu-img measure -f raw -O raw {img}", on="half odd")
    add("check", "qemu-img check -f raw {img}", on="half", passes=False)
    add("bench-read", "qemu-img bench -f raw -c 200 -d 8 -s 4k -o 0 {img}", on="half random",
        mask="seconds")
    add("bench-write", "qemu-img bench -f raw -w --pattern=7 -c 100 -d 8 -s 4k -S 8k {img}",
        on="random half chain3", mask="seconds", touch=[(i * 8192, 4096) for i in range(100)])
    add("bench-write-flush", "qemu-img bench -f raw -w --pattern=9 --flush-interval=20 -c 100 -d "
        "4 -s 512 -S 1536 -o 512 {img}", on="random half", mask="seconds",
        touch=[(512 + i * 1536, 512) for i in range(100)])
    add("bench-write-none", "qemu-img bench -t none -f raw -w --pattern=8 -c 50 -d 8 -s 4k {img}",
        on="random half", mask="seconds", touch=[(0, 204800)])
    # Linux AIO is for O_DIRECT alone.
    for aio, cache in (("native", "none"), ("native", "directsync"), ("io_uring", "none"),
                       ("io_uring", "writeback"), ("io_uring", "directsync"), ("threads", "none"),
                       ("threads", "writeback")):
        bench = "qemu-img bench -q -f raw -t %s -i %s -c 120 -d 16 -s 4k " % (cache, aio)
        add("bench-read-%s-%s" % (aio, cache), bench + "{img}", on="half", mask="seconds")
        add("bench-write-%s-%s" % (aio, cache), bench + "-w --pattern=5 -S 8k {img}",
            on="random half", mask="seconds", touch=[(i * 8192, 4096) for i in range(120)])
    add("rebase", "qemu-img create -q -f qcow2 -b {img} -F raw q; qemu-io -f qcow2 -c 'write -P "
        "9 64k 64k' -c 'read -P 9 64k 64k' -c 'read 0 64k' q; qemu-img commit -q -f qcow2 q; rm "
        "q", on="random half", mask="qemu-io", touch=[(65536, 65536)])


def qemu_io(t):
    def add(name, commands, options="", **facts):
        facts.setdefault("needs", "qemu-io")
        facts.setdefault("mask", "qemu-io")
        cmd = "qemu-io -f raw %s %s {img}" % (
            options, " ".join("-c " + shlex.quote(c) for c in commands.split("; ")))
        if name.startswith("aio"):
            cmd = "set -o pipefail; %s | sort" % cmd
        t.add("qemu-io/" + name, cmd, **facts)

    modes = (("writeback", "-t writeback"), ("none", "-t none"), ("directsync", "-t directsync"),
             ("unsafe", "-t unsafe"), ("threads", "-i threads"), ("uring", "-i io_uring"),
             ("uring-none", "-i io_uring -t none"))
    aio = "; ".join(["aio_write -P %d %d 8k" % (i + 1, i * 20480) for i in range(10)] +
                    ["aio_flush"] +
                    ["aio_read -P %d %d 8k" % (i + 1, i * 20480) for i in range(10)] +
                    ["aio_flush"])
    for mode, options in modes:
        on = QEMU if mode in ("writeback", "none") else "half"
        add("read-" + mode, "read -v 0 1536; read -v 61440 512; read 0 256k", options + " -r",
            on=on)
        add("write-" + mode, "write -P 0x11 0 512; write -P 0x12 4096 65536; "
            "write -P 7 130560 1536; read -P 0x11 0 512; read -P 0x12 4096 65536; "
            "read -P 7 130560 1536; flush", options, on=on,
            touch=[(0, 512), (4096, 65536), (130560, 1536)])
        add("zero-" + mode, "write -z 8192 12288; read -P 0 8192 12288; write -z -u 65536 4096; "
            "read -v 65024 1024", options, on=on, touch=[(8192, 12288), (65536, 4096)])
        add("aio-" + mode, aio, options, on=on, touch=[(i * 20480, 8192) for i in range(10)])
    add("odd-offsets", "write -P 3 1001 3000; read -P 3 1001 3000; read -v 1000 5; "
        "write -P 4 511 2; read -v 508 8", on=QEMU, touch=[(1001, 3000), (511, 2)])
    add("odd-offsets-none", "write -P 3 1001 3000; read -P 3 1001 3000; read -v 1000 5; "
        "write -P 4 200511 2", "-t none", on="half random", touch=[(1001, 3000), (200511, 2)])
    add("vectors", "writev -P 6 1024 512 1024 2048; readv -P 6 1024 512 1024 2048; "
        "readv -v 512 512 512", on=QEMU, touch=[(1024, 3584)])
    add("discard", "write -P 5 0 256k; discard 64k 64k; read -P 0 64k 64k; read -P 5 0 64k; "
        "discard 1000 100", "-d unmap", on="random half", writes=True)
    add("discard-backing", "discard 64k 64k; read -P 0 64k 64k", "-d unmap", on=QEMU,
        touch=[(65536, 65536)])
    add("discard-none", "discard 64k 64k", "-d ignore", on="half", writes=True)
    add("truncate", "truncate 64k; length; truncate 200k; length; read -P 0 64k 100k",
        on="random half longer chain3", writes=True)
    add("length", "length", on=ALL, rw=True)
    add("map", "map", on="hole", rw=True)
    add("alloc", "alloc 0 4096", on="random", rw=True)
    # QEMU asks the old descriptor for the new one's alignment, and then writes whole 4 KiB.
    add("reopen", "write -P 1 0 512; reopen -r; read -P 1 0 512; reopen -w; write -P 2 512 512; "
        "reopen -c none; write -P 3 1024 4096; reopen -c writeback; read -v 0 2048",
        on="random half", touch=[(0, 8192)])
    add("readonly", "write -P 1 0 512; read 0 512", "-r", on="half", passes=False)
    add("snapshot", "write -P 1 0 512; read -P 1 0 512", "-s", on="half")
    add("past-end", "read 100M 512; write 100M 512", on="half", passes=False)
    add("last-sector", "write -P 9 1048064 512; read -P 9 1048064 512", on="random half",
        touch=[(1048064, 512)])
    add("force-share", "read -v 0 64", "-r -U", on="half")
    add("fua", "write -f -P 1 0 512; write -P 2 -f 7k 2k", on="half",
        touch=[(0, 512), (7168, 2048)])
    t.add("qemu-io/locked", "mkfifo p; qemu-io -f raw {img} <p >/dev/null & exec 5>p; echo "
        "length >&5; for i in $(seq 50); do qemu-io -f raw -c length {img} >out 2>&1 || break; "
        "sleep 0.1; done; cat out; qemu-io -r -U -f raw -c length {img}; exec 5>&-; wait; "
        "qemu-io -f raw -c length {img}; rm p", on="half", needs="qemu-io")


# fio makes the system calls of io_uring by itself.
ENGINES = ("posixaio", "libaio", "io_uring")
FIO = ("fio --name=job --filename={img} --thread=%s --ioengine=%s --output-format=json "
       "--output=fio.json --randseed=7 --allow_file_create=0 --overwrite=1 --fallocate=none %s; "
       "s=$?; grep -E '\"(error|io_bytes|total_ios|short_ios|drop_ios)\"' fio.json; "
       "rm -f fio.json; exit $s")


def asynchronous(t):
    """How many requests there are after a sync, or before the end of a run, depends on time."""
    def add(name, engine, options, thread=0, **facts):
        t.add("fio/%s%s-%s" % (engine, "-thread" if thread else "", name),
              "(%s%s) >/dev/null; s=$?; rm -f *.state; exit $s" % (
                  "export ADDCOW_DEEP=1; " * (engine == "io_uring"),
                  FIO % (thread, engine, "--iodepth=16 " + options)),
              needs="fio", **{"content": "fio", "writes": True, **facts})

    verify = "--verify=crc32c --verify_fatal=1 --do_verify=1 --verify_dump=0 "
    for engine in ENGINES:
        for thread in (0, 1):
            add("randwrite", engine, verify + "--rw=randwrite --bs=4k --size=1m", thread,
                on="random half", touch=[(0, 1 << 20)])
        add("rw", engine, verify + "--rw=rw --bsrange=512-8k --size=512k --rwmixread=40", 0,
            on="half chain3")
        add("randread", engine, "--rw=randread --bs=4k --size=1m", 0, on="half", writes=False)
        add("fsync", engine, verify + "--fsync=16 --rw=randwrite --bs=4k --size=512k", 0, on="half")
        add("direct", engine, verify + "--direct=1 --rw=randwrite --bs=4k --size=1m", 1,
            on="half random")


def fio(t):
    def add(name, engine, options, thread=0, **facts):
        facts.setdefault("needs", "fio")
        facts.setdefault("content", "fio")
        facts.setdefault("writes", True)
        t.add("fio/%s%s-%s" % (engine, "-thread" if thread else "", name),
              FIO % (thread, engine, options), **facts)

    verify = "--verify=crc32c --verify_fatal=1 --do_verify=1 --verify_dump=0 "
    for engine in ("psync", "pvsync", "pvsync2", "sync", "vsync"):
        for thread in (0, 1):
            add("randwrite", engine, verify + "--rw=randwrite --bs=4k --size=1m", thread,
                on="random half" if engine == "psync" else "half", touch=[(0, 1 << 20)])
        add("randrw", engine, verify + "--rw=randrw --bs=2k --size=1m --rwmixread=40", 0,
            on="half random" if engine == "psync" else "half")
        add("rw", engine, verify + "--rw=rw --bsrange=512-8k --size=1m --rwmixread=40", 1,
            on="half random" if engine == "psync" else "half")
        add("write-odd", engine, "--verify=pattern --verify_pattern=0x5a5b --rw=write --bs=3000 "
            "--size=600000 --verify_fatal=1", 1,
            on="half random" if engine == "psync" else "half")
        add("randread", engine, "--rw=randread --bs=4k --size=1m --loops=2", 0, on="half",
            writes=False)
    # What is mapped is copied up whole, so the table does not say which sectors.
    for thread in (0, 1):
        add("randwrite", "mmap", verify + "--rw=randwrite --bs=4k --size=1m", thread, on="half random")
    add("rw", "mmap", verify + "--rw=rw --bsrange=512-8k --size=512k --rwmixread=40", 1, on="half chain3")
    add("randread", "mmap", "--rw=randread --bs=4k --size=1m --loops=2", 0, on="half", writes=False)
    for thread in (0, 1):
        add("randwrite", "splice", verify + "--rw=randwrite --bs=4k --size=1m", thread, on="half random",
            touch=[(0, 1 << 20)])
    add("rw", "splice", verify + "--rw=rw --bsrange=512-8k --size=512k --rwmixread=40", 1, on="half chain3")
    add("randread", "splice", "--rw=randread --bs=4k --size=1m --loops=2", 0, on="half", writes=False)
    # These move no data: they preallocate, punch holes, cut, and look.
    add("randwrite", "falloc", "--rw=randwrite --bs=4k --size=512k", 0, on="half chain3")
    add("randtrim", "falloc", "--rw=randtrim --bs=4k --size=512k", 1, on="half chain3")
    add("randwrite", "ftruncate", "--rw=randwrite --bs=4k --size=512k", 0, on="half chain3")
    add("read", "filestat", "--rw=read --bs=4k --size=512k", 0, on="half", writes=False)
    asynchronous(t)
    add("direct", "psync", verify + "--direct=1 --rw=randrw --bs=4k --size=1m", 0, on="half random")
    add("direct-512", "psync", verify + "--direct=1 --rw=randwrite --bs=512 --size=256k", 1,
        on="half random")
    add("fsync", "psync", verify + "--fsync=16 --rw=randwrite --bs=4k --size=512k", 0,
        on='half random')
    add("fdatasync", "psync", verify + "--fdatasync=8 --rw=write --bs=1k --size=128k", 1, on="half")
    add("sync-flag", "psync", verify + "--sync=1 --rw=randwrite --bs=4k --size=128k", 0, on="half")
    jobs = "--numjobs=2 --offset_increment=512k --size=512k "
    for thread in (0, 1):
        add("jobs", "psync", verify + jobs + "--rw=randwrite --bs=4k", thread, on="random half")
        add("jobs-rw", "pvsync", verify + jobs + "--rw=randrw --bs=1k", thread, on="half")
    add("chain", "psync", verify + "--rw=randwrite --bs=1k --size=512k", 0, on="chain3",
        touch=[(0, 1 << 19)])
    add("chain-rw", "pvsync2", verify + "--rw=randrw --bs=512 --size=512k", 1, on="chain3")
    add("jobs-4", "psync", verify + "--numjobs=4 --offset_increment=140000 --size=140000 "
        "--rw=write --bs=700", 1, on="half")
    add("interleaved", "psync", "--verify=crc32c --rw=write --bs=512 --size=256k --numjobs=1 "
        "--zonemode=strided --zonesize=1k --zonerange=4k", 0, on="half random")


def ext4(t):
    uuid = "-U 6a3d6f80-0000-4000-8000-00000000000a -E hash_seed=6a3d6f80-0000-4000-8000-00000000000b"

    def add(name, cmd, **facts):
        facts.setdefault("needs", "mkfs.ext4 debugfs e2fsck")
        facts.setdefault("on", "ext4")
        t.add("ext4/" + name, cmd, **facts)

    for name, options, on in (
            ("default", "", "blank64 ext4"), ("1k", "-b 1024 -O ^has_journal", "random half"),
            ("ext2", "-t ext2", "ext4 hole"), ("nodiscard", ",nodiscard", "blank64"),
            ("lazy0", ",lazy_itable_init=0,lazy_journal_init=0", "ext4"),
            ("bytes", "-b 4096 -N 100", "blank64"), ("tree", "-d {same}/tree", "ext4")):
        extended = uuid + options if options.startswith(",") else uuid + " " + options
        add("mkfs-" + name, "mkfs.ext4 -q -F %s {img} && e2fsck -fn {img}" % extended, on=on,
            writes=True)
    add("mkfs-report", "mkfs.ext4 -F %s {img} 60000k" % uuid, on="blank64", writes=True)
    add("mkfs-direct", "mkfs.ext4 -D -q -F %s {img}" % uuid, on="blank64", writes=True)
    add("mkfs-undo", "mkfs.ext4 -q -F -z undo %s {img}; rm -f undo" % uuid, on="blank64",
        writes=True)
    add("e2fsck-n", "e2fsck -fn {img}")
    add("e2fsck-y", "e2fsck -fy {img}", writes=True)
    add("e2fsck-repair", "debugfs -w -R 'clri dir/file3' {img} && debugfs -w -R 'freei "
        "dir/file4' {img}; e2fsck -fy {img}; echo $?; e2fsck -fn {img}", writes=True)
    add("debugfs-ls", "debugfs -R 'ls -l dir' {img}; debugfs -R 'stat hello.txt' {img}; debugfs "
        "-R 'cat hello.txt' {img}; debugfs -R 'dump dir/file7 out' {img}")
    add("debugfs-write", "debugfs -w -R 'write {dir}/odd new' {img} && debugfs -R 'dump new out' "
        "{img} && cmp out {dir}/odd && e2fsck -fn {img}", writes=True)
    add("debugfs-script", "printf '%s\\n' 'mkdir d2' 'cd d2' 'write {dir}/big big' 'symlink s "
        "big' 'rm ../dir/file3' 'sif big mode 0100600' 'ln ../hello.txt h' >s; debugfs -w -f s "
        "{img}; rm s; e2fsck -fn {img}; debugfs -R 'rdump / .' {img}; ls -R lost+found d2 dir | "
        "md5sum; rm -rf lost+found", writes=True)
    add("debugfs-catastrophic", "debugfs -c -R 'ls -l' {img}")
    add("dumpe2fs", "dumpe2fs {img}; dumpe2fs -h {img}", needs="dumpe2fs")
    add("tune2fs-l", "tune2fs -l {img}", needs="tune2fs")
    add("tune2fs", "tune2fs -L label -c 20 -m 1 {img} && tune2fs -l {img}; tune2fs -O "
        "^has_journal {img}; e2fsck -fn {img}; e2label {img} other; e2label {img}",
        needs="tune2fs e2label", writes=True)
    add("resize2fs-shrink", "e2fsck -fy {img}; resize2fs {img} 12M; e2fsck -fn {img}",
        needs="resize2fs", writes=True)
    add("resize2fs-grow",
        "truncate -s 40M {img}; resize2fs {img}; e2fsck -fn {img}; stat -c %s {img}",
        needs="resize2fs", writes=True)
    add("resize2fs-minimum", "resize2fs -P {img}", needs="resize2fs")
    add("e2image", "e2image -r {img} out; e2image {img} out2; e2image -ra {img} out3; rm out2",
        needs="e2image")
    add("e2freefrag", "e2freefrag {img}; filefrag -v {dir}/odd >/dev/null; e2undo -h {img} {img} "
        ">/dev/null 2>&1; true", needs="e2freefrag filefrag e2undo")
    add("blkid",
        "blkid -p -c /dev/null {img}; blkid -c /dev/null -o value -s UUID {img}; file -b {img}; "
        "wipefs {img}",
        needs="blkid file wipefs")
    add("wipefs", "wipefs -a {img}; wipefs {img}; blkid -p {img}; e2fsck -fn {img}",
        needs='wipefs blkid', writes=True, passes=False)
    add("mkswap",
        "mkswap -U 6a3d6f80-0000-4000-8000-00000000000c {img} 2>/dev/null; blkid -p {img}",
        needs="mkswap blkid", on="ext4 half", writes=True)
    add("chattr", "debugfs -R 'logdump' {img}; debugfs -R 'show_super_stats -h' {img}")

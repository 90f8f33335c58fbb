"""Rows: coreutils and the shell on a disk: dd, cp, cat, redirections, sizes."""

ALL = "all"


def whole(before):
    return [(0, before)]


def rows(t):
    dd_reads(t)
    dd_writes(t)
    copies(t)
    readers(t)
    facts(t)
    sizes(t)
    shell(t)
    refused(t)


def dd_reads(t):
    add = t.add
    add("dd/read", "dd if={img} of=out bs=64k status=none; sha256sum out", on=ALL)
    add("dd/read-report", "dd if={img} of=/dev/null bs=4096", on=ALL, mask="dd")
    add("dd/read-odd-bs", "dd if={img} of=out bs=4099 status=none", on=ALL)
    add("dd/read-bs1", "dd if={img} of=out bs=1 skip=510 count=520 status=none", on="random half")
    add("dd/read-skip", "dd if={img} of=out bs=1000 skip=77 count=33 status=none", on=ALL)
    add("dd/read-skip-bytes", "dd if={img} of=out bs=64k iflag=skip_bytes,count_bytes skip=12345 "
        "count=100001 status=none", on=ALL)
    add("dd/read-past-end", "dd if={img} of=out bs=1M skip=40 count=1", on="random odd", mask="dd")
    add("dd/read-direct", "dd if={img} of=out bs=64k iflag=direct status=none", on=ALL)
    add("dd/read-direct-512", "dd if={img} of=out bs=512 count=300 iflag=direct status=none",
        on="random half chain3")
    add("dd/read-fullblock", "dd if={img} of=out bs=300k iflag=fullblock status=none",
        on='odd half')
    add("dd/read-nocache", "dd if={img} of=out bs=64k iflag=nocache status=none", on="half")
    add("dd/read-cbs", "dd if={img} of=out bs=512 conv=swab count=100 status=none", on="half")
    add("dd/stdin", "dd bs=5000 status=none <{img} >out", on=ALL)
    add("dd/stdin-skip", "dd bs=5000 skip=9 count=20 status=none <{img} >out", on=ALL)
    add("dd/stdin-twice",
        "(dd bs=777 count=3 status=none; dd bs=10 count=5 status=none) <{img} >out",
        on="half odd")
    add("dd/sparse-out", "dd if={img} of=out bs=4k conv=sparse status=none", on=ALL)
    add("dd/to-itself",
        "dd if={img} of={img} bs=4k count=20 seek=0 skip=30 conv=notrunc status=none",
        on="random half", touch=[(0, 81920)])


def dd_writes(t):
    add = t.add
    for off, length in ((0, 512), (512, 1024), (1000, 3000), (511, 2), (0, 1), (4096, 65536),
                        (299999, 1), (300000, 2222)):
        add("dd/write-%d+%d" % (off, length),
            "dd if={dir}/big of={img} bs=64k iflag=count_bytes oflag=seek_bytes count=%d seek=%d "
            "conv=notrunc status=none" % (length, off),
            on=ALL if off != 299999 else "longer half", touch=[(off, length)]
            if off + length <= 262144 else None, writes=True)
    add("dd/write-bs1", "dd if={dir}/small of={img} bs=1 seek=1000 conv=notrunc status=none",
        on="random odd half", touch=[(1000, 3000)])
    add("dd/write-twice",
        "for i in 1 2; do dd if={dir}/odd of={img} bs=1000 seek=3 conv=notrunc status=none; done",
        on=ALL, touch=[(3000, 12345)])
    add("dd/write-fsync", "dd if={dir}/odd of={img} bs=4k seek=5 conv=notrunc,fsync status=none",
        on=ALL, touch=[(20480, 12345)])
    add("dd/write-fdatasync",
        "dd if={dir}/odd of={img} bs=4k seek=5 conv=notrunc,fdatasync status=none",
        on="random half", touch=[(20480, 12345)])
    add("dd/write-dsync",
        "dd if={dir}/odd of={img} bs=1000 oflag=dsync seek=5 conv=notrunc status=none",
        on="random half", touch=[(5000, 12345)])
    add("dd/write-sync",
        "dd if={dir}/small of={img} bs=1000 oflag=sync seek=5 conv=notrunc status=none",
        on="random half", touch=[(5000, 3000)])
    add("dd/write-direct",
        "dd if={dir}/mib of={img} bs=64k count=3 seek=1 oflag=direct conv=notrunc status=none",
        on="random half chain3 alone", touch=[(65536, 196608)])
    add("dd/write-direct-512",
        "dd if={dir}/mib of={img} bs=512 count=30 seek=111 oflag=direct conv=notrunc status=none",
        on="random half chain3", touch=[(56832, 15360)])
    add("dd/write-direct-tail",
        "dd if={dir}/odd of={img} bs=4096 oflag=direct conv=notrunc status=none",
        on="random half odd", touch=[(0, 12345)])
    add("dd/write-direct-both", "dd if={img} of={img} iflag=direct oflag=direct bs=4096 skip=8 "
        "seek=24 count=8 conv=notrunc status=none", on="random half", touch=[(98304, 32768)])
    add("dd/write-sparse", "dd if={dir}/holes of={img} bs=4k conv=notrunc,sparse status=none",
        on=ALL, writes=True)
    add("dd/write-append", "dd if={dir}/small of={img} oflag=append conv=notrunc bs=700 "
        "status=none; stat -c %s {img}", on=ALL, touch=lambda size: [(size, 3000)])
    add("dd/truncating", "dd if={dir}/big of={img} bs=64k status=none", on=ALL,
        touch=lambda size: [(0, 1500000)])
    add("dd/truncating-short", "dd if={dir}/odd of={img} bs=64k status=none", on=ALL,
        touch=lambda size: [(0, 12345)])
    add("dd/truncating-seek", "dd if={dir}/small of={img} bs=1000 seek=100 status=none",
        on="random half chain3", writes=True)
    add("dd/seek-past-end",
        "dd if={dir}/small of={img} bs=1000 seek=2000 conv=notrunc status=none; stat -c %s {img}",
        on=ALL, writes=True)
    add("dd/stdout", "dd if={dir}/odd bs=999 status=none >{img}", on=ALL,
        touch=lambda size: [(0, 12345)])
    add("dd/stdout-notrunc", "dd if={dir}/odd bs=999 seek=7 conv=notrunc status=none 1<>{img}",
        on=ALL, touch=[(6993, 12345)])
    add("dd/stdout-append", "dd if={dir}/odd bs=999 status=none >>{img}", on="random odd half",
        touch=lambda size: [(size, 12345)])
    add("dd/excl", "dd if={dir}/odd of={img} conv=excl status=none", passes=False)
    add("dd/nocreat", "dd if={dir}/odd of=new.add-cow conv=nocreat status=none", passes=False)
    add("dd/new-file", "dd if={dir}/odd of=new.add-cow status=none; ls new.add-cow")
    add("dd/fill", "dd if=/dev/zero of={img} bs=64k count=16 conv=notrunc status=none",
        on="random half", touch=[(0, 1 << 20)])
    add("dd/parallel", "for i in 0 1 2 3; do dd if={dir}/mib of={img} bs=1000 count=50 skip=$i "
        "seek=$((i*50)) conv=notrunc status=none & done; wait", on="random half chain3",
        touch=[(0, 200000)])
    add("dd/pipe", "dd if={dir}/big bs=3000 status=none | dd of={img} bs=1111 conv=notrunc "
        "status=none iflag=fullblock count=100", on="random half", touch=[(0, 111100)])


def copies(t):
    add = t.add
    add("cp/out", "cp {img} out", on=ALL)
    add("cp/out-hole", "cp {img} out", on="hole")
    add("cp/out-sparse", "cp --sparse=always {img} out", on=ALL)
    add("cp/out-not-sparse", "cp --sparse=never {img} out", on=ALL)
    add("cp/out-reflink", "cp --reflink=auto {img} out", on=ALL)
    add("cp/out-reflink-never", "cp --reflink=never {img} out", on="half")
    add("cp/out-a",
        "touch -d @1600000001 {img}; chmod 600 {img}; cp -a {img} out; stat -c '%a %s %Y' out",
        on="half", writes=True, touch=[])
    add("cp/out-named", "cp {img} copy.add-cow; stat -c %s copy.add-cow; mv copy.add-cow copy",
        on="half")
    add("cp/in", "cp {dir}/big {img}", on=ALL, touch=lambda size: [(0, 1500000)])
    add("cp/in-small", "cp {dir}/small {img}", on=ALL, touch=lambda size: [(0, 3000)])
    add("cp/in-sparse", "cp --sparse=always {dir}/holes {img}", on=ALL, writes=True)
    add("cp/in-holes", "cp {dir}/holes {img}", on=ALL, writes=True)
    add("cp/in-not-sparse", "cp --sparse=never --reflink=never {dir}/holes {img}",
        on="half chain3", touch=lambda size: [(0, 383192)])
    add("cp/in-reflink", "cp --reflink=auto {dir}/mib {img}", on="half",
        touch=lambda size: [(0, 1 << 20)])
    add("cp/in-empty", "cp /dev/null {img}; stat -c %s {img}", on="random half",
        touch=lambda size: [])
    add("cp/same", "cp {img} {img}", passes=False)
    add("cp/same-dot", "cp {img} ./{img}", passes=False)
    add("cp/update",
        "touch -d @1500000000 {img}; cp -u {img} {dir}/small; cmp {img} {dir}/small || echo kept",
        on="random", writes=True, touch=[])
    add("install/out", "install -m 600 {img} out; stat -c '%a %s' out", on="half odd")
    add("cat/out", "cat {img} >out", on=ALL)
    add("cat/hole", "cat {img} | sha256sum", on="hole blank64")
    add("cat/stdin", "cat <{img} >out", on=ALL)
    add("cat/pipe", "cat <{img} | cat >out", on="half odd")
    add("cat/n", "cat -A {img} | sha256sum", on="text half")
    add("cat/in", "cat {dir}/odd {dir}/small >{img}", on=ALL, touch=lambda size: [(0, 15345)])
    add("cat/append", "cat {dir}/odd >>{img}", on=ALL, touch=lambda size: [(size, 12345)])
    add("cat/itself", "cat {img} >>{img}", passes=False, on="random odd", touch=[])
    add("tee/out", "tee out <{img} | sha256sum", on="half odd")
    add("tee/in", "tee {img} <{dir}/odd >/dev/null", on="random half",
        touch=lambda size: [(0, 12345)])
    add("tee/append", "tee -a {img} <{dir}/odd | cksum", on="random half",
        touch=lambda size: [(size, 12345)])
    add("split", "split -b 100000 {img} part.", on="half odd chain3")
    add("split/lines", "split -l 1000 {img} part.", on="text")
    add("split/number", "split -n 7 {img} part.", on="half text")
    add("csplit", "csplit -s {img} 100 2000", on="text")


def readers(t):
    add = t.add
    for tool in ("sha256sum", "md5sum", "b2sum", "cksum", "sum", "wc", "wc -c", "wc -l", "od -A d",
                 "hexdump -C", "xxd", "base64", "strings", "tac", "rev", "openssl dgst -sha1",
                 "file -b", "cat -v"):
        facts = {"needs": tool.split()[0]}
        name = "read/" + tool.replace(" ", "_")
        where = "half odd" if tool.startswith(("sha", "wc -c")) else "half"
        if tool in ("tac", "rev", "wc", "wc -l"):
            where = "text"
        add(name, tool + " {img}", on=where, **facts)
        if tool != "file -b":
            add(name + "-stdin", tool + " <{img}", on=where, **facts)
    add("sha256sum/check", "sha256sum {img} >sums; sha256sum -c sums", on=ALL)
    add("cmp/equal", "cp {img} out; cmp {img} out; cmp out {img}; cmp {img} {img}", on=ALL)
    add("cmp/differ", "cp {img} out; echo x | dd of=out bs=1 seek=70000 conv=notrunc "
        "status=none; cmp {img} out; cmp -l {img} out; true", on="half odd")
    add("cmp/skip",
        "cmp -i 1000:1000 -n 5000 {img} {dir}/mib | head -1; cmp -s {img} {dir}/small; echo $?",
        on="half")
    add("cmp/eof", "head -c 5000 {img} >out; cmp {img} out", passes=False, on="half")
    add("diff", "cp {img} out; diff -q {img} out; sed -i 5d out; diff {img} out; true", on="text")
    add("comm", "head -100 {img} | comm -12 - {img} | wc", on="text")
    add("head-c", "head -c 10000 {img} | sha256sum", on=ALL)
    add("head-c-neg", "head -c -10000 {img} | sha256sum", on="half odd text")
    add("head-n", "head -n 20 {img}; head -n -7900 {img} | tail -2", on="text")
    add("tail-c", "tail -c 10000 {img} | sha256sum", on=ALL)
    add("tail-c-plus", "tail -c +12345 {img} | sha256sum", on="half odd")
    add("tail-n", "tail -n 15 {img}; tail -n +7990 {img}", on="text")
    add("tail-stdin", "tail -c 700 <{img} | od -An -tx1; tail -n 3 <{img} | wc", on="half text")
    add("head-shared", "(head -c 100; head -c 100; head -n 2) <{img} | sha256sum", on="text half")
    add("head-n-then-cat", "(head -n 3 >/dev/null; cat) <{img} | sha256sum", on="text")
    add("od-skip", "od -A d -t x1 -j 5000 -N 300 {img}; od -j 700 -N 16 <{img}", on=ALL)
    add("hexdump-skip", "hexdump -C -s 5000 -n 300 {img}", on=ALL, needs="hexdump")
    add("xxd-skip", "xxd -s 5000 -l 300 {img}; xxd -s -20 {img}", on="half odd", needs="xxd")
    add("grep-c", "grep -c river {img}; grep -n -m 3 stone {img}; grep -b 007999 {img}", on="text")
    add("grep-binary", "grep -c a {img}; grep -a -o -b 'ab[a-z]' {img} | head", on="half")
    add("grep-stdin", "(grep -m 1 stone; head -1) <{img}", on="text")
    add("awk", "awk '/lamp/ {n += $1} END {print n, NR}' {img}", on="text", needs="awk")
    add("sed", "sed -n '100,105p;$p' {img}; sed s/river/RIVER/ <{img} | md5sum", on="text")
    add("sort", "sort -k2 {img} | md5sum; sort -u -o out {img}", on="text")
    add("cut-tr", "cut -c1-6 {img} | md5sum; tr a-z A-Z <{img} | md5sum; nl {img} | tail -1; "
        "fold -w 20 {img} | tail -2; paste {img} {img} | tail -1; uniq -c {img} | tail -1",
        on="text")
    add("fmt-join", "join {img} {img} | tail -3; shuf -n 0 {img}; expand {img} | tail -1",
        on="text")
    add("gzip", "gzip -nc {img} | md5sum; gzip -nc <{img} | gzip -dc | sha256sum", on="half odd")
    add("xz-zstd", "xz -0 -c {img} | xz -dc | md5sum; xz -0 -c <{img} | md5sum; zstd -qc {img} | "
        "zstd -qdc | md5sum; zstd -qc <{img} | md5sum", on="odd", needs="xz zstd")
    add("gzip/in", "gzip -nc {dir}/big | gzip -dc >{img}", on="half",
        touch=lambda size: [(0, 1500000)])
    add("xz/in", "xz -0c {dir}/big >c.xz; xz -dc c.xz >{img}; rm c.xz", on="half", needs="xz",
        touch=lambda size: [(0, 1500000)])
    add("tar/out", "tar cf - {img} | tar xO | sha256sum", on=ALL)
    add("tar/sparse", "tar cSf - {img} | tar xO | sha256sum", on="half hole")
    add("tar/list", "chmod 640 {img}; touch -d @1600000000 {img}; tar cf - {img} | tar tv",
        on="odd", writes=True, touch=[])
    add("tar/compare", "tar cf t.tar {img}; tar df t.tar; rm t.tar", on="half")
    add("tar/in", "tar cf t.tar -C {dir} --transform s/big/{img}/ big; tar --overwrite -xf "
        "t.tar; rm t.tar; stat -c %s {img}", on="half", touch=lambda size: [(0, 1500000)])
    add("cpio/out",
        "echo {img} | cpio -o --quiet -H newc | cpio -i --quiet --to-stdout | sha256sum",
        on="half odd", needs="cpio")


def facts(t):
    add = t.add
    add("stat/size", "stat -c '%s %F %h %a %u %g' {img}; stat -L -c %s {img}", on=ALL)
    add("stat/fs", "stat -f -c %t {img}", on="half")
    add("stat/stdin", "stat -c '%s %F' - <{img}", on="half odd")
    add("stat/dev-ino", "[ $(stat -c %d:%i {img}) = $(stat -c %d:%i - <{img}) ] && echo same; [ "
        "{img} -ef ./{img} ] && echo same", on="half")
    add("ls/size", "ls -l {img} | cut -d' ' -f1-5; ls -lh {img} | cut -d' ' -f5; ls {img}; ls",
        on=ALL)
    add("ls/dir", "ls -l | awk '{print $1, $5, $NF}' | grep add-cow", on="odd")
    add("du", "du --apparent-size -b {img}; du -b <{img} {img}", on=ALL)
    add("find/size", "find . -name '*.add-cow' -size +390k -type f -printf '%s %f\\n'", on=ALL)
    add("test", "test -f {img} && test -s {img} && test -r {img} && test -w {img} && ! test -x "
        "{img} && ! test -L {img} && echo yes", on="half odd")
    add("test-empty", "test -s {img} || echo empty; cat {img} | wc -c; sha256sum {img}",
        on='zero zerobig')
    add("touch", "touch -d @1600000000 {img}; stat -c %Y {img}; touch -r {dir}/small {img}; stat "
        "-c %Y {img}", on="half", writes=True, touch=[])
    add("touch/now",
        "touch -d @1600000000 {img}; touch {img}; [ {img} -nt {dir}/small ] && echo newer",
        on="half", writes=True, touch=[])
    add("mtime/write", "touch -d @1500000000 {img}; echo x | dd of={img} conv=notrunc "
        "status=none; [ {img} -nt {dir}/small ] && echo newer", on="half random", writes=True,
        touch=[(0, 2)])
    add("mtime/rewrite", "echo x | dd of={img} conv=notrunc status=none; touch -d @1500000000 "
        "{img}; echo y | dd of={img} conv=notrunc status=none; [ {img} -nt {dir}/small ] && echo "
        "newer", on="random", writes=True, touch=[(0, 2)])
    add("mtime/read", "touch -d @1500000000 {img}; cat {img} >/dev/null; stat -c %Y {img}",
        on="random", writes=True, touch=[])
    add("chmod",
        "chmod 600 {img}; stat -c %a {img}; "
        "chmod 644 {img}; stat -c %a {img}; chown $(id -u):$(id -g) {img}",
        on="half", writes=True, touch=[])
    add("mv", "mv {img} new.add-cow; cat new.add-cow | sha256sum; ls", on="half", writes=True,
        touch=[], after="new.add-cow")
    add("mv/write", "mv {img} new.add-cow; dd if={dir}/small of=new.add-cow bs=1000 seek=1 "
        "conv=notrunc status=none; mv new.add-cow {img}", on="half", touch=[(1000, 3000)])
    add("ln/symbolic", "ln -s {img} link.add-cow; cat link.add-cow | sha256sum; dd "
        "if={dir}/small of=link.add-cow bs=1000 seek=1 conv=notrunc status=none; rm link.add-cow",
        on="half", touch=[(1000, 3000)])
    add("ln/hard",
        "ln {img} link.add-cow; cat link.add-cow | sha256sum; stat -c %h {img}; rm link.add-cow",
        on="half", writes=True, touch=[])
    add("cd", "mkdir sub; cd sub; cat ../{img} | sha256sum; cat ./../{img} | wc -c; dd "
        "if=../{dir}/small of=../{img} bs=1000 conv=notrunc status=none; cd ..; rmdir sub",
        on="half", touch=[(0, 3000)])
    add("path/absolute", "cat $PWD/{img} | sha256sum; dd if={dir}/small of=$PWD/{img} bs=1000 "
        "conv=notrunc status=none", on="half", touch=[(0, 3000)])
    add("path/missing",
        "cat nothing.add-cow; cat nothing/disk.add-cow; cat {img}/x; ls nothing.add-cow",
        passes=False)
    add("path/directory", "mkdir dir.add-cow; cat dir.add-cow; ls dir.add-cow; rmdir dir.add-cow")
    add("path/longname", "n=$(printf %0300d 1).add-cow; cat $n; : >$n", passes=False)


def sizes(t):
    add = t.add
    for to in (0, 1, 511, 512, 513, 100000, 262144):
        add("truncate/shrink-%d" % to, "truncate -s %d {img}; stat -c %%s {img}" % to, on=ALL,
            touch=lambda size: [])
    for by in (1, 511, 512, 5000, 300000):
        add("truncate/grow-%d" % by, "truncate -s +%d {img}; stat -c %%s {img}; tail -c %d {img} "
            "| sha256sum" % (by, by), on=ALL, writes=True)
    for to in (0, 1000, 70001):
        add("truncate/shrink-grow-%d" % to, "truncate -s %d {img}; truncate -s 150001 {img}; "
            "sha256sum {img}" % to, on=ALL, writes=True)
    add("truncate/grow-huge", "truncate -s 3T {img}; stat -c %s {img}; tail -c 1000 {img} | "
        "md5sum; truncate -s 200000 {img}", on="random half", writes=True)
    add("truncate/io", "truncate -s '<1K' {img}; truncate -s %4096 {img}; truncate -o -s 3 "
        "{img}; stat -c %s {img}", on="half", writes=True)
    add("truncate/reference", "truncate -r {dir}/odd {img}; stat -c %s {img}", on="half",
        touch=lambda size: [])
    add("truncate/same", "truncate -s +0 {img}", on=ALL, touch=[])
    add("truncate/not-created", "truncate -c -s 5 new.add-cow; ls")
    add("truncate/created", "truncate -s 0 new.add-cow; stat -c %s new.add-cow")
    add("truncate/write-past", "truncate -s 1000 {img}; echo hello | dd of={img} bs=1 seek=20000 "
        "conv=notrunc status=none; truncate -s 90000 {img}", on=ALL, writes=True)
    add("truncate/colon", ": >{img}; stat -c %s {img}", on=ALL, touch=lambda size: [])
    add("grow/zero", "truncate -s 100000 {img}; sha256sum {img}; echo hi >>{img}",
        on='zero zerobig', writes=True)
    add("write/zero", "dd if={dir}/odd of={img} bs=1000 seek=3 conv=notrunc status=none",
        on="zero zerobig", writes=True)
    for off, length in ((0, 4096), (100, 30000), (4096, 131072), (511, 2), (100000, 100000)):
        add("fallocate/punch-%d+%d" % (off, length), "fallocate -p -o %d -l %d {img}; "
            "sha256sum {img}" % (off, length), on=ALL, touch=[(off, length)], needs="fallocate")
        add("fallocate/zero-%d+%d" % (off, length), "fallocate -z -o %d -l %d {img}; "
            "sha256sum {img}" % (off, length), on="random half chain3", touch=[(off, length)],
            needs="fallocate")
    add("fallocate/punch-past", "fallocate -p -o 100000 -l 9000000 {img}; stat -c %s {img}",
        on=ALL, touch=lambda size: [(100000, size - 100000)], needs="fallocate")
    add("fallocate/zero-grow", "fallocate -z -o 100000 -l 3000000 {img}; stat -c %s {img}",
        on=ALL, writes=True, needs="fallocate")
    add("fallocate/zero-keep", "fallocate -z -n -o 100000 -l 3000000 {img}; stat -c %s {img}",
        on="half", writes=True, needs="fallocate")
    add("fallocate/inside", "fallocate -o 5000 -l 50000 {img}", on=ALL, writes=True,
        needs="fallocate")
    add("fallocate/grow", "fallocate -o 50000 -l 2000000 {img}; stat -c %s {img}", on=ALL,
        writes=True, needs="fallocate")
    add("fallocate/grow-keep", "fallocate -n -o 50000 -l 2000000 {img}; stat -c %s {img}",
        on="half odd", writes=True, needs="fallocate")
    add("fallocate/posix", "fallocate -x -o 50000 -l 2000000 {img}; stat -c %s {img}",
        on='half odd', writes=True, needs="fallocate")
    add("fallocate/dig", "fallocate -d {img}; sha256sum {img}", on="half hole odd", writes=True,
        needs="fallocate")
    add("fallocate/bad", "fallocate -o 0 -l 0 {img}", passes=False, needs="fallocate")
    add("shred", "shred -n1 --random-source={dir}/big {img}", on="random half odd", writes=True,
        needs="shred")
    add("shred/zero", "shred -n0 -z {img}; sha256sum {img}", on="random half odd", touch=whole,
        needs="shred")
    add("shred/part", "shred -n1 -s 5000 --random-source={dir}/big {img}", on="half", writes=True,
        needs="shred")


def shell(t):
    add = t.add
    add("sh/exec-read", "exec 3<{img}; read -r a <&3; read -r b <&3; echo \"$a|$b\"; head -c 10 "
        "<&3 | od -c; exec 3<&-", on="text")
    add("sh/exec-rw",
        "exec 3<>{img}; read -r a <&3; echo \"$a\"; printf hello >&3; exec 3>&-; head -3 {img}",
        on="text", writes=True)
    add("sh/exec-write", "exec 3>{img}; echo one >&3; date -d @0 +%s >&3; cat {dir}/small >&3; "
        "echo two >&3; exec 3>&-", on="half text", touch=lambda size: [(0, 3010)])
    add("sh/exec-append",
        "exec 4>>{img}; echo one >&4; echo two >>{img}; echo three >&4; exec 4>&-; tail -3 {img}",
        on="text odd", touch=lambda size: [(size, 14)])
    add("sh/append-after-truncate",
        "exec 4>>{img}; echo one >&4; truncate -s 100 {img}; echo two >&4; stat -c %s {img}",
        on="half", writes=True)
    add("sh/group", "( echo a; cat {dir}/small; echo b; dd if={dir}/odd bs=100 count=3 "
        "status=none; echo c ) >{img}", on="half odd", touch=lambda size: [(0, 3306)])
    add("sh/braces", "{ echo a; ( echo b; ); /bin/echo c; } >{img}; cat {img}", on="half",
        touch=lambda size: [(0, 6)])
    add("sh/pipe-in", "for i in 1 2 3 4 5; do echo line $i; done | cat >{img}", on="half",
        touch=lambda size: [(0, 35)])
    add("sh/dup",
        "exec 3>{img} 4>&3; echo a >&3; echo b >&4; exec 3>&-; echo c >&4; exec 4>&-; cat {img}",
        on="half", touch=lambda size: [(0, 6)])
    add("sh/move-fd", "exec 3<{img}; exec 7<&3-; head -c 20 <&7 | od -c; cat <&3", on="text",
        passes=False)
    add("sh/both", "cat {dir}/small nothing >{img} 2>&1; tail -c 40 {img}", on="half", writes=True)
    add("sh/loop", "while read -r a b; do case $a in 0079*) echo $b;; esac; done <{img} | md5sum",
        on="text")
    add("sh/loop-inner", "n=0; while read -r a b; do n=$((n+1)); head -n 1 >/dev/null; [ $n = 50 "
        "] && break; done <{img}; echo $n $a", on="text")
    add("sh/substitute",
        "a=$(<{img}); echo ${#a}; mapfile -t l <{img}; echo ${#l[@]} \"${l[77]}\"", on="text")
    add("sh/here", "cat >{img} <<X\nhello\nX\ncat {img}", on="half", touch=lambda size: [(0, 6)])
    add("sh/source",
        "echo 'echo sourced $1' >{img}; . ./{img} 1; bash {img} 2; sh {img} 3; bash <{img}",
        on="half", touch=lambda size: [(0, 16)])
    add("sh/dash", "sh -c 'echo a >>{img}; echo b >>{img}; exec 5<{img}; read x <&5; echo $x; "
        "head -c 9 <&5 | od -c'", on="text", touch=lambda size: [(size, 4)])
    add("sh/noclobber", "set -C; echo x >{img}; echo $?; echo y >|{img}; cat {img}", on="half",
        touch=lambda size: [(0, 2)])
    add("sh/dev-fd", "exec 3<{img}; cat /dev/fd/3 | sha256sum; cat /proc/self/fd/3 | sha256sum; "
        "cat <&3 | sha256sum", on="half")
    add("sh/dev-stdin", "cat /dev/stdin <{img} | sha256sum; sha256sum /dev/stdin <{img}; cat "
        "/dev/stdout >{dir}/o <{img}; wc -c /dev/stdin <{img}", on="half odd")
    add("sh/dev-stdout",
        "cp {dir}/odd /dev/stdout >{img}; cat {dir}/small | tee /dev/fd/3 3>>{img} | md5sum",
        on="half", writes=True)
    add("sh/subshell-offset", "exec 3<{img}; (head -c 512 <&3 >/dev/null); (head -c 512 <&3 "
        ">/dev/null); head -c 16 <&3 | od -x; dd bs=1 count=8 <&3 status=none | od -x",
        on="half chain3")
    add("sh/background",
        "exec 3<>{img}; (sleep 0.05; echo late >&3) & wait; echo later >&3; head -c 11 {img}",
        on="half", touch=[(0, 11)])
    add("sh/xargs", "printf '%s\\n' {img} {dir}/small {img} | xargs -n 1 -P 2 wc -c | sort",
        on="half")
    add("sh/closed-stdin", "exec <&-; cat {img} | sha256sum; cat <{img} | wc -c; cat {img} >out",
        on="half")
    add("sh/closed-all", "exec <&- 2>&-; dd if={dir}/small of={img} conv=notrunc; exec 2>&1; cmp "
        "-n 3000 {dir}/small {img}; echo $?", on="half", touch=[(0, 3000)])
    add("sh/high-fd", "exec 200<{img}; head -c 100 <&200 | md5sum; exec 9>&200-; echo ok",
        on="half")
    add("sh/timeout-env-nice", "timeout 20 sha256sum {img}; env -u X sha256sum {img}; nice "
        "sha256sum {img}; setsid -w sha256sum {img}; nohup sha256sum {img} 2>/dev/null",
        on="half")
    add("sh/no-environment", "exec 3<{img}; env -i /bin/true <&3; cat <&3 | sha256sum", on="half")
    add("sh/killed-reader", "cat {img} | head -c 5 | od -c; yes <{img} | head -1", on="half")
    add("flock/util", "exec 9<>{img}; flock -n 9 && echo got; flock -n {img} echo second; echo "
        "$?; flock -u 9; flock -n {img} echo third; flock -s {img} flock -s -n {img} echo shared",
        on="half", needs="flock", writes=True, touch=[])


def refused(t):
    add = t.add
    add("mode/write-readonly", "exec 3<{img}; echo hi >&3", passes=False)
    add("mode/read-writeonly", "exec 3>>{img}; cat <&3", passes=False, writes=True, touch=[])
    add("mode/dd-readonly", "dd if={dir}/small status=none 1<{img}", passes=False)
    add("limit/fsize", "(ulimit -f 2000; trap '' XFSZ; dd if=/dev/zero of={img} bs=64k seek=20 "
        "count=30 conv=notrunc status=none; stat -c %s {img})", on="random", writes=True,
        passes=False)

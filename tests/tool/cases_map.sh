# addcow-img map, and info and map on disks in use and long chains. Read in by test_tool.sh.

# extents FILE…: the JSON without the offset, which differs between the formats
extents='print("\n".join(" ".join(str(e[k]) for k in ("start", "length", "depth", "present", "zero", "data")) for e in j))'
fields() { json "$extents"; }

# same NAME A.add-cow B.qcow2 [OPTION…]: both outputs agree
same() {
    local name=$1 ours=$2 theirs=$3
    shift 3
    equal "map: $name, JSON" "$("$img" map --output=json "$@" $ours | fields)" "$(qemu-img map --output=json "$@" $theirs | fields)"
    equal "map: $name, table" "$("$img" map "$@" $ours | awk '{ print $1, $2, $4 }' | sed 's/add-cow\.raw$/qcow2/')" \
        "$(qemu-img map "$@" $theirs | awk '{ print $1, $2, $4 }')"
}

fresh
# Data and holes, both ending within pages of the bitmap and across them.
truncate -s 40M base.img
random part 327680
for at in 2 9 17 300 511; do
    dd if=part of=base.img bs=64k seek=$at conv=notrunc status=none
done
cp --sparse=always base.img whole.img
for size in 40M 24M 64M; do
    # 40M: as the base; 24M: a longer base; 64M: a shorter one
    "$img" create -q -b base.img $size.add-cow $size
    qemu-img create -q -f qcow2 -b base.img -F raw $size.qcow2 $size
    same "$size, nothing written" $size.add-cow $size.qcow2
    writes=()
    for at in 0 1 10 12 100 255 256 383; do
        poke $size.add-cow $((at * 65536)) 65536 $((at % 255 + 1))
        writes+=(-c "write -q -P $((at % 255 + 1)) $((at * 64))k 64k")
    done
    qemu-io -f qcow2 "${writes[@]}" $size.qcow2
    before=$(snapshot)
    same "$size" $size.add-cow $size.qcow2
    same "$size, from 1000k" $size.add-cow $size.qcow2 -s 1000k
    same "$size, a window" $size.add-cow $size.qcow2 --start-offset=66560 --max-length=1.5M
    same "$size, an empty window" $size.add-cow $size.qcow2 -s 1M -l 0
    same "$size, beyond the end" $size.add-cow $size.qcow2 -s 100M -l 1M
    equal "map: $size, nothing changed" "$(snapshot)" "$before"
done
"$img" create -q -b 24M.add-cow top.add-cow 50M
qemu-img create -q -f qcow2 -b 24M.qcow2 -F qcow2 top.qcow2 50M
poke top.add-cow $((11 * 65536)) 131072 9
poke top.add-cow $((700 * 65536)) 65536 9
qemu-io -f qcow2 -c 'write -q -P 9 704k 128k' -c 'write -q -P 9 44800k 64k' top.qcow2
same "a chain" top.add-cow top.qcow2
same "a chain, a window" top.add-cow top.qcow2 -s 700k -l 20M
mkdir far
(cd far && "$img" create -q -b ../top.add-cow f.add-cow && qemu-img create -q -f qcow2 -b ../top.qcow2 -F qcow2 f.qcow2)
same "names from another directory" far/f.add-cow far/f.qcow2
"$img" create -q -b base.img none.add-cow 0
qemu-img create -q -f qcow2 -b base.img -F raw none.qcow2 0
same "a disk of 0 bytes" none.add-cow none.qcow2
equal "map: JSON lines have qemu-img's form" \
    "$("$img" map --output=json top.add-cow | sed 's/[0-9][0-9]*/0/g; s/true\|false/b/g; s/, "offset": 0//' | sort -u)" \
    "$(qemu-img map --output=json top.qcow2 | sed 's/[0-9][0-9]*/0/g; s/true\|false/b/g; s/, "offset": 0//' | sort -u)"
equal "map: offsets are the disk's own" "$("$img" map --output=json top.add-cow | json 'print([e for e in j if e["present"] != ("offset" in e) or e["present"] and e["offset"] != e["start"]])')" "[]"

# What qcow2 cannot show: single sectors, a last partial one, holes in the image.
fresh
random b.img 65536
"$img" create -q -b b.img s.add-cow 5000
poke s.add-cow 512 512 1
poke s.add-cow 1536 1024 1
poke s.add-cow 4608 392 1
equal "map: sectors" "$("$img" map s.add-cow | tail -n +2)" "\
0               0x200           0               b.img
0x200           0x200           0x200           s.add-cow.raw
0x400           0x200           0x400           b.img
0x600           0x400           0x600           s.add-cow.raw
0xa00           0x800           0xa00           b.img
0x1200          0x188           0x1200          s.add-cow.raw"
equal "map: sectors, JSON" "$("$img" map --output=json s.add-cow | tail -1)" \
    '{ "start": 4608, "length": 392, "depth": 0, "present": true, "zero": false, "data": true, "offset": 4608}]'
"$img" create -q -b b.img h.add-cow 64k
$python -c 'f = open("h.add-cow", "r+b"); f.seek(2560 + 2); f.write(b"\xff" * 4)'
equal "map: an allocated hole of the image is zeros, not the backing file's data" \
    "$("$img" map --output=json h.add-cow | json "$extents")" \
    "0 8192 1 True False True
8192 16384 0 True True False
24576 40960 1 True False True"
"$img" create -q -b h.add-cow h2.add-cow
equal "map: and so it is below in a chain" "$("$img" map --output=json h2.add-cow | json "$extents")" \
    "0 8192 2 True False True
8192 16384 1 True True False
24576 40960 2 True False True"
$python -c 'f = open("h.add-cow", "r+b"); f.truncate(2560 + 5)'
equal "map: a short bitmap reads as zeros" "$("$img" map h.add-cow | tail -1)" "0x5000          0xb000          0x5000          b.img"
$python -c 'f = open("h.add-cow", "ab"); f.write(b"\xff" * 1000)'
equal "map: bits past the disk's last sector mean nothing" "$("$img" info --output=json h.add-cow | json 'print(j["format-specific"]["data"]["allocated-sectors"])')" \
    $((24 + 88))
fails "map: start offset" "Invalid start offset specified: '1z' .*" "$img" map -s 1z h.add-cow
fails "map: max length" "Invalid max length specified: '-1' .*" "$img" map -l -1 h.add-cow

# A written-over backing file cannot matter where every bit is set.
fresh
random b.img 1000000
"$img" create -q -b b.img all.add-cow
poke all.add-cow 0 1000000 3
equal "map: all allocated is one extent" "$("$img" map --output=json all.add-cow)" \
    '[{ "start": 0, "length": 1000000, "depth": 0, "present": true, "zero": false, "data": true, "offset": 0}]'
equal "info: all allocated" "$("$img" info all.add-cow | grep -c 'sectors: 1954$')" 2

# A disk in use, by whatever locks, can be looked at.
fresh
random b.img 65536
"$img" create -q -b b.img t.add-cow
cat >"$work/hold.py" <<'END'
import fcntl, struct, subprocess, sys
files = [open(name, "r+b") for name in ("t.add-cow", "t.add-cow.raw", "b.img")]
for f in files:
    fcntl.fcntl(f, 37, struct.pack("hhqqi4x", fcntl.F_WRLCK, 0, 0, 0, 0))    # F_OFD_SETLK
    fcntl.flock(f, fcntl.LOCK_EX)
sys.exit(subprocess.call(sys.argv[1:]))
END
for command in "info" "map" "info -U --backing-chain"; do
    holds "$command: a disk that is locked in every way" timeout 20 $python "$work/hold.py" "$img" $command t.add-cow
done

# The longest chain, and one longer.
fresh
random b.img 4096
below=b.img
for i in {1..64}; do
    "$img" create -q -b $below d$i.add-cow || break
    below=d$i.add-cow
done
equal "info: a chain of 64 disks" "$("$img" info --backing-chain d64.add-cow | grep -c '^image: ')" 65
equal "info: a chain of 64 disks, JSON" "$("$img" info --backing-chain --output=json d64.add-cow | json 'print(len(j), j[64]["filename"], j[64]["format"])')" "65 b.img raw"
equal "map: a chain of 64 disks" "$("$img" map --output=json d64.add-cow | json "$extents")" "0 4096 64 True False True"
cp d64.add-cow d65.add-cow
truncate -s 4096 d65.raw
$python -c 'f = open("d65.add-cow", "r+b"); f.seek(12); f.write(b"d64.add-cow"); f.seek(1036); f.write(b"d65.raw".ljust(32, b"\0"))'
for command in info map; do
    fails "$command: a chain of 65 disks" ".*deeper than 64.*" "$img" $command d65.add-cow
done
fails "create: over a chain of 64 disks" ".*deeper than 64.*" "$img" create -b d64.add-cow x.add-cow

#!/usr/bin/env bash
# Shows what addcow does: real programs use a disk in a temporary directory, and after
# each the disk's own account of what it now holds is printed. At the end it proves
# that the base was never touched, and that what the programs saw is what the format
# says, with the decoder of the tests, which shares no code with the engine.
# Exits non-zero if a program fails or a proof does.
set -eu
root=$(cd "$(dirname "$0")/.." && pwd)
img=$root/build/addcow-img
PATH=$root:$root/build:$PATH:/usr/sbin:/sbin
export PATH
unset LD_PRELOAD ADDCOW_CACHE ADDCOW_TRACE ADDCOW_STATS ADDCOW_LOG
T=$(mktemp -d "${TMPDIR:-/tmp}/addcow-demo.XXXXXX")
trap 'rm -rf "$T"' EXIT
cd "$T"

if [ -t 1 ]; then bold=$'\e[1m' plain=$'\e[0m'; else bold='' plain=''; fi
failed=0

step() { printf '\n%s%s%s\n' "$bold" "$1" "$plain"; }

# Shows a command and runs it; its output is set in.
show() {
    printf '  $ %s\n' "${*@Q}" | sed "s/'\([A-Za-z0-9_.,=:\/@+-]*\)'/\1/g"
    "$@" >output 2>&1 </dev/null || {
        sed 's/^/    /' output
        echo "demo: failed: $*" >&2
        exit 1
    }
    sed -e '/^$/d' -e 's/^/    /' output
}

allocated() { "$img" info --output=json disk.add-cow | sed -n 's/.*"allocated-sectors": \([0-9]*\).*/\1/p'; }

before=0
changed() {
    local now
    now=$(allocated)
    printf '  -> allocated sectors: %d, was %d (%d KiB more in the image file)\n' \
        "$now" "$before" $(((now - before) / 2))
    before=$now
}

prove() {
    local what=$1
    shift
    if "$@" >proof 2>&1; then
        echo "  proved: $what"
    else
        sed 's/^/    /' proof
        echo "  NOT SO: $what"
        failed=$((failed + 1))
    fi
}

sum() { sha256sum "$1" | cut -d ' ' -f 1; }

step '1. A base: an ext4 filesystem with files of this machine'
mkdir tree
{ find /usr/bin -type f -size -100k -readable -print0 | head -z -n 60
    find /usr/share /usr/include -type f -size -64k -readable -print0 | head -z -n 440; } |
    xargs -0 cp --parents -t tree
files=$(find tree -type f | wc -l)
truncate -s 48M base.img
show mkfs.ext4 -q -F -d tree base.img
rm -rf tree
chmod a-w base.img
base_sum=$(sum base.img)
echo "  $files files; sha256 $base_sum"

step '2. A disk over it: larger by 16 MiB, and nothing copied'
show addcow-img create -b base.img disk.add-cow 64M
show addcow-img info disk.add-cow
show ls -lsh disk.add-cow disk.add-cow.raw base.img

step '3. e2fsprogs change the filesystem in it, and check it'
echo 'written by debugfs into the disk, not into the base' >hello.txt
show addcow-preload.sh debugfs -w -R 'write hello.txt hello.txt' disk.add-cow
show addcow-preload.sh debugfs -R 'cat hello.txt' disk.add-cow
prove 'the file reads back' grep -q 'written by debugfs' output
show addcow-preload.sh e2fsck -f -p disk.add-cow
show debugfs -R 'cat hello.txt' base.img
prove 'the base has no such file' grep -q 'not found' output
changed

step '4. dd writes 1,000,000 bytes at an odd offset behind the filesystem'
head -c 1000000 /dev/urandom >random
show addcow-preload.sh dd if=random of=disk.add-cow oflag=seek_bytes seek=50331777 bs=64K conv=notrunc,fsync status=none
show addcow-preload.sh dd if=disk.add-cow of=back iflag=skip_bytes,count_bytes skip=50331777 count=1000000 bs=64K status=none
prove 'they read back' cmp random back
changed

step '5. qemu-io and qemu-img, which know nothing of the format'
show addcow-preload.sh qemu-io -f raw -c 'write -P 0xab 54M 64k' -c 'write -z 54M 4k' -c 'read -P 0xab 55300k 60k' disk.add-cow
show addcow-preload.sh qemu-img convert -f raw -O raw disk.add-cow converted.raw
show addcow-preload.sh qemu-img compare -f raw -F raw disk.add-cow converted.raw
changed

step '6. fio writes 6 MiB in random order and verifies every block'
show addcow-preload.sh fio --name=demo --filename=disk.add-cow --offset=56M --size=6M --rw=randwrite --bs=4k --ioengine=psync --verify=crc32c --verify_fatal=1 --randseed=1 --output-format=terse --output=fio.out
echo '    fio read back every block with the checksum it was written with'
changed

step '7. Where everything is now'
"$img" map disk.add-cow >map
head -n 12 map | sed 's/^/    /'
[ "$(wc -l <map)" -le 12 ] || echo "    ... and $(($(wc -l <map) - 12)) more lines"
show ls -lsh disk.add-cow disk.add-cow.raw base.img

step '8. Proofs'
show addcow-preload.sh e2fsck -f -n disk.add-cow
addcow-preload.sh cat disk.add-cow >flat.seen
/usr/bin/python3 "$root/tests/e2e/decode.py" flat disk.add-cow flat.computed
prove 'the flat copy that cat saw is the one computed from the three files' cmp flat.seen flat.computed
prove 'it holds what dd wrote' cmp -n 1000000 random flat.seen 0 50331777
prove 'the disk is 64 MiB' [ "$(stat -c %s flat.seen)" = $((64 << 20)) ]
prove "the base's checksum is unchanged" [ "$(sum base.img)" = "$base_sum" ]
prove 'no program left a run-time file behind' [ ! -e disk.add-cow.run ]

echo
if [ $failed -gt 0 ]; then
    echo "demo: proofs that failed: $failed"
    exit 1
fi
printf '%sSummary%s: %d files in a base of 48 MiB; dd, e2fsprogs, qemu and fio wrote %d KiB to a disk over it;\n' \
    "$bold" "$plain" "$files" $(($(allocated) / 2))
echo 'all of it is in the image file, every proof held, and the base is what it was.'

# addcow-img create: what it makes, byte for byte, and all that it refuses. Read in by
# test_tool.sh.

# header FILE BACKING IMAGE BITMAP-BYTES: the file is exactly that
header() {
    $python -c 'import os, struct, sys
got = open(sys.argv[1], "rb").read()
back, image = os.fsencode(sys.argv[2]), os.fsencode(sys.argv[3])
want = b"ADD_COW\xff" + struct.pack(">I", 1) + back.ljust(1024, b"\0") + image.ljust(1024, b"\0")
want += bytes(500 + int(sys.argv[4]))
if got != want:
    sys.exit("%d bytes, %d wanted; they differ at %s" % (len(got), len(want),
        next((i for i in range(min(len(got), len(want))) if got[i] != want[i]), "the end")))' "$@"
}

fresh
random ubuntu.img 1000448
equal "create: the line" "$("$img" create -f add-cow -o backing_file=ubuntu.img,image_file=test.raw test.add-cow)" \
    "Formatting 'test.add-cow', fmt=add-cow size=1000448 backing_file=ubuntu.img image_file=test.raw"
holds "create: golden header" header test.add-cow ubuntu.img test.raw 245
equal "create: image has the backing's size, and no blocks" "$(stat -c '%s %b' test.raw)" "1000448 0"
equal "create: nothing else is there" "$(echo *)" "test.add-cow test.raw ubuntu.img"
sum=$(sha256sum ubuntu.img)
equal "create -b: the line" "$("$img" create -b ubuntu.img other.add-cow)" \
    "Formatting 'other.add-cow', fmt=add-cow size=1000448 backing_file=ubuntu.img image_file=other.add-cow.raw"
holds "create -b: golden header" header other.add-cow ubuntu.img other.add-cow.raw 245
equal "create: SIZE" "$("$img" create -b ubuntu.img big.add-cow 1.5G)" \
    "Formatting 'big.add-cow', fmt=add-cow size=1610612736 backing_file=ubuntu.img image_file=big.add-cow.raw"
equal "create: SIZE is the image's" "$(stat -c '%s %b' big.add-cow.raw)" "1610612736 0"
holds "create: SIZE, golden header" header big.add-cow ubuntu.img big.add-cow.raw 393216
equal "create -q" "$("$img" create -q -b ubuntu.img odd.add-cow 1000 2>&1)" ""
holds "create: size that is no multiple of 512" header odd.add-cow ubuntu.img odd.add-cow.raw 1
equal "create: that is the image's size too" "$(stat -c %s odd.add-cow.raw)" 1000
equal "create: SIZE 0" "$("$img" create -b ubuntu.img none.add-cow 0)" \
    "Formatting 'none.add-cow', fmt=add-cow size=0 backing_file=ubuntu.img image_file=none.add-cow.raw"
holds "create: SIZE 0, golden header" header none.add-cow ubuntu.img none.add-cow.raw 0
equal "create: -o size" "$("$img" create -b ubuntu.img -o size=4k sized.add-cow)" \
    "Formatting 'sized.add-cow', fmt=add-cow size=4096 backing_file=ubuntu.img image_file=sized.add-cow.raw"
equal "create: options behind operands, -F" "$("$img" create fmt.add-cow 4M -F raw -b ubuntu.img)" \
    "Formatting 'fmt.add-cow', fmt=add-cow size=4194304 backing_file=ubuntu.img backing_fmt=raw image_file=fmt.add-cow.raw"
equal "create: -o backing_fmt, -o twice, the last counts" \
    "$("$img" create -o backing_file=nope -o image_file=l.raw,backing_fmt=raw -o backing_file=ubuntu.img last.add-cow)" \
    "Formatting 'last.add-cow', fmt=add-cow size=1000448 backing_file=ubuntu.img backing_fmt=raw image_file=l.raw"
equal "create: -b and -F count more than -o, as in qemu-img" \
    "$("$img" create -b ubuntu.img -F raw -o backing_file=nope,backing_fmt=add-cow prefer.add-cow)" \
    "Formatting 'prefer.add-cow', fmt=add-cow size=1000448 backing_file=ubuntu.img backing_fmt=raw image_file=prefer.add-cow.raw"
equal "create: over a disk" "$("$img" create -b test.add-cow -F add-cow up.add-cow)" \
    "Formatting 'up.add-cow', fmt=add-cow size=1000448 backing_file=test.add-cow backing_fmt=add-cow image_file=up.add-cow.raw"
holds "create: -- ends the options" "$img" create -q -b ubuntu.img -- -dash.add-cow 512
holds "create: a name with a dash is stored as typed" header ./-dash.add-cow ubuntu.img -dash.add-cow.raw 1
cp ubuntu.img 'a,b=c'
equal "create: ,, in a value" "$("$img" create -o backing_file=a,,b=c,image_file=x,,y comma.add-cow)" \
    "Formatting 'comma.add-cow', fmt=add-cow size=1000448 backing_file=a,,b=c image_file=x,,y"
holds "create: the comma in the header" header comma.add-cow a,b=c x,y 245
name=$(printf 'n\377\001e.img')
cp ubuntu.img "$name"
holds "create: bytes that are no UTF-8" "$img" create -q -b "$name" bytes.add-cow
holds "create: they are stored as they are" header bytes.add-cow "$name" bytes.add-cow.raw 245
long=$(printf './%.0s' {1..506})ubuntu.img
holds "create: a name of 1022 bytes" "$img" create -q -b "$long" long.add-cow
holds "create: a name of 1023 bytes" "$img" create -q -b "${long/\/.\//\/.\/\/}" long1.add-cow
holds "create: it is stored whole" header long1.add-cow "${long/\/.\//\/.\/\/}" long1.add-cow.raw 245
equal "create -o help" "$("$img" create -o help | sed 's/ .*//; 1d')" ""
equal "create -o help lists the keys" "$("$img" create -o help | grep -oE '[a-z_]+=' | tr '\n' ' ')" \
    "backing_file= backing_fmt= image_file= size= "
equal "create: the backing file is as it was" "$(sha256sum ubuntu.img)" "$sum"

fresh
mkdir sub other
random sub/base.img 65536
(cd other && "$img" create -q -b base.img -o image_file=../sub/i.raw ../sub/t.add-cow)
equal "create: names are relative to the metadata file" "$(echo sub/* other/*)" "sub/base.img sub/i.raw sub/t.add-cow other/*"
holds "create: and stored as typed" header sub/t.add-cow base.img ../sub/i.raw 16
holds "create: default image beside the metadata file" "$img" create -q -b "$PWD/sub/base.img" sub/u.add-cow
holds "create: its name has no directory" header sub/u.add-cow "$PWD/sub/base.img" u.add-cow.raw 16
random sub/kept.raw 131072
sum=$(sha256sum sub/kept.raw)
equal "create: an image that exists gives the size" "$("$img" create -b base.img -o image_file=kept.raw sub/k.add-cow)" \
    "Formatting 'sub/k.add-cow', fmt=add-cow size=131072 backing_file=base.img image_file=kept.raw"
holds "create: an image that exists, with its size" "$img" create -q -b base.img -o image_file=kept.raw sub/k2.add-cow 128k
equal "create: an image that exists keeps its content" "$(sha256sum sub/kept.raw)" "$sum"
holds "create: none of its sectors are allocated" header sub/k.add-cow base.img kept.raw 32
poke sub/k.add-cow 0 1024 7
holds "create --force" "$img" create -q --force -b base.img -o image_file=kept.raw sub/k.add-cow
holds "create --force: the bits are gone" header sub/k.add-cow base.img kept.raw 32
equal "create --force: leaves nothing else" "$(ls -A sub | tr '\n' ' ')" \
    "base.img i.raw k.add-cow k2.add-cow kept.raw t.add-cow u.add-cow u.add-cow.raw "

# Everything that create refuses. The directory has one good disk, and traps.
fresh
random b.img 65536
"$img" create -q -b b.img good.add-cow
random small.raw 512
mkdir dir.d
mkfifo pipe
ln b.img hard.img
ln -s b.img soft.img
ln -s nowhere dangling
echo text >text.add-cow
head -c 100 good.add-cow >short.add-cow
try="~Try 'addcow-img create --help' for more information"
both='x.add-cow: both backing_file and image_file .*'
fails "create: no file" "Expecting image file name$try" "$img" create -b b.img
fails "create: too many operands" "Unexpected argument: 3$try" "$img" create -b b.img x.add-cow 1 3
fails "create: no backing file" "$both-b FILE.*" "$img" create x.add-cow 1M
fails "create: image file alone" "$both-b FILE.*" "$img" create -o image_file=i.raw x.add-cow 1M
fails "create: empty backing file" "$both" "$img" create -b '' x.add-cow
fails "create: empty backing_file" "$both" "$img" create -o backing_file=,image_file=i.raw x.add-cow
fails "create: empty image_file" "$both" "$img" create -b b.img -o image_file= x.add-cow
fails "create: -F without -b" "$both" "$img" create -F raw x.add-cow 1M
fails "create -u" "x.add-cow: -u is not supported: .*" "$img" create -u -b b.img x.add-cow 1M
fails "create -f qcow2" "x.add-cow: Unknown file format 'qcow2': .*add-cow.*" "$img" create -f qcow2 -b b.img x.add-cow
fails "create -F qcow2" "x.add-cow: Unknown backing format 'qcow2': .*raw and add-cow" "$img" create -F qcow2 -b b.img x.add-cow
fails "create: backing_fmt=vmdk" "x.add-cow: Unknown backing format 'vmdk': .*" "$img" create -o backing_fmt=vmdk,backing_file=b.img x.add-cow
fails "create: raw by name, add-cow by -F" "x.add-cow: .*" "$img" create -F add-cow -b b.img x.add-cow
fails "create: add-cow by name, raw by -F" "x.add-cow: .*" "$img" create -F raw -b good.add-cow x.add-cow
for list in '' , ,size=1M size=1M, size=1M,,, =1 size=1M,=1; do
    fails "create: option list '$list'" "Invalid option list: .*" "$img" create -b b.img -o "$list" x.add-cow
done
fails "create: unknown key" "x.add-cow: Invalid parameter 'cluster_size'.*" "$img" create -b b.img -o cluster_size=64k x.add-cow
fails "create: key without value" "x.add-cow: Parameter 'backing_file' needs a value.*" "$img" create -o backing_file x.add-cow
fails "create: two sizes" "x.add-cow: The image size must be specified only once" "$img" create -b b.img -o size=1M x.add-cow 1M
for size in 1x -1 -0 '' ' ' 1.5 1KB 1e3 nan 0x; do
    fails "create: size '$size'" "x.add-cow: Invalid image size specified: .* no number of bytes.*" \
        "$img" create -b b.img x.add-cow -- "$size"
done
for size in 8E 9223372036854775808 18446744073709551616 99999999999E; do
    fails "create: size $size" "x.add-cow: Invalid image size specified: .* not between 0 and 9223372036854775807" \
        "$img" create -b b.img x.add-cow $size
done
fails "create: size -1 is an option" "unrecognized option '-1'$try" "$img" create -b b.img x.add-cow -1
fails "create: 9223372036854775807 bytes" ".*x.add-cow.*: .*1 PiB.*" "$img" create -b b.img x.add-cow 9223372036854775807
fails "create: over 1 PiB" ".*x.add-cow.*: .*1 PiB.*" "$img" create -b b.img x.add-cow 1125899906842625
fails "create: name of no disk" "x.img: .*\.add-cow" "$img" create -b b.img x.img
fails "create: no name at all" ": .*" "$img" create -b b.img ''
fails "create: exists" "good.add-cow: .*--force.*" "$img" create -b b.img good.add-cow
fails "create: exists, and is no disk" "text.add-cow: .*--force.*" "$img" create -b b.img text.add-cow
fails "create: no such directory" "no/x.add-cow: .*No such file or directory.*" "$img" create -b ../b.img no/x.add-cow
fails "create: directory is a file" "b.img/x.add-cow: .*Not a directory.*" "$img" create -b b.img b.img/x.add-cow
fails "create: backing missing" ".*nope.img.*No such file or directory.*" "$img" create -b nope.img x.add-cow
fails "create: backing a dangling link" ".*dangling.*No such file or directory.*" "$img" create -b dangling x.add-cow
fails "create: backing a directory" ".*dir.d.*" "$img" create -b dir.d x.add-cow
fails "create: backing a fifo" ".*pipe.*" "$img" create -b pipe x.add-cow
fails "create: backing a character device" ".*/dev/null.*" "$img" create -b /dev/null x.add-cow
fails "create: backing disk without header" ".*text.add-cow.*" "$img" create -b text.add-cow x.add-cow
fails "create: backing disk with half a header" ".*short.add-cow.*" "$img" create -b short.add-cow x.add-cow
fails "create: image a directory" ".*dir.d.*" "$img" create -b b.img -o image_file=dir.d x.add-cow
fails "create: image a fifo" ".*pipe.*" "$img" create -b b.img -o image_file=pipe x.add-cow
fails "create: image in no directory" ".*no/i.raw.*No such file or directory.*" "$img" create -b b.img -o image_file=no/i.raw x.add-cow
fails "create: image smaller than SIZE" ".*small.raw.*" "$img" create -b b.img -o image_file=small.raw x.add-cow 1k
fails "create: image is backing" ".*different files.*" "$img" create -b b.img -o image_file=b.img x.add-cow
fails "create: image is backing by a hard link" ".*b.img.*different files.*" "$img" create -b b.img -o image_file=hard.img x.add-cow
fails "create: image is backing by a link" ".*b.img.*different files.*" "$img" create -b b.img -o image_file=soft.img x.add-cow
fails "create: image is metadata" ".*x.add-cow.*" "$img" create -b b.img -o image_file=x.add-cow x.add-cow
fails "create: image is metadata, spelled otherwise" ".*x.add-cow.*" "$img" create -b b.img -o image_file=./x.add-cow x.add-cow
fails "create --force: image is metadata, spelled otherwise" ".*y.add-cow.*" "$img" create --force -b b.img -o image_file=./y.add-cow y.add-cow
fails "create --force: image is metadata" ".*good.add-cow.*" "$img" create --force -b b.img -o image_file=good.add-cow good.add-cow
fails "create --force: backing is metadata" ".*good.add-cow.*" "$img" create --force -b good.add-cow good.add-cow
fails "create: image is the backing disk's image" ".*good.add-cow.raw.*" \
    "$img" create -b good.add-cow -o image_file=good.add-cow.raw x.add-cow
fails "create: backing name of 1024 bytes" ".*1023.*" "$img" create -b "$(printf './%.0s' {1..507})xxxxxx.img" x.add-cow
fails "create: image name of 1024 bytes" ".*1023.*" "$img" create -b b.img -o image_file="$(printf './%.0s' {1..507})xxxxxx.raw" x.add-cow
fails "create --force: backing missing leaves the old one" ".*nope.img.*" "$img" create --force -b nope.img good.add-cow
# The limit stops the image, then (with an image that is there) the metadata file.
fails "create: no room for the image" ".*x.add-cow.*File too large.*" bash -c 'ulimit -f 1; exec "$@"' - "$img" create -b b.img x.add-cow 1M
fails "create: no room for the metadata" ".*x.add-cow.*File too large.*" \
    bash -c 'ulimit -f 1; exec "$@"' - "$img" create -b b.img -o image_file=small.raw x.add-cow
fails "create --force: no room leaves the old one" ".*good.add-cow.*File too large.*" \
    bash -c 'ulimit -f 1; exec "$@"' - "$img" create --force -b b.img -o image_file=small.raw good.add-cow

# Without permission. Root has all of it, so this runs as nobody.
fresh
chmod 755 "$work"
cp "$img" "$work/img"
random b.img 65536
random secret.img 65536
chmod 600 secret.img
"$img" create -q -b b.img t.add-cow
"$img" create -q -b b.img closed.add-cow
"$img" create -q -b b.img closed-image.add-cow
"$img" create -q -b secret.img closed-base.add-cow
chmod 600 closed.add-cow closed-image.add-cow.raw
chmod 644 t.add-cow t.add-cow.raw closed-image.add-cow closed-base.add-cow closed-base.add-cow.raw closed.add-cow.raw
mkdir open
chmod 777 open
if [ "$(id -u)" -ne 0 ]; then
    as=()
elif command -v setpriv >/dev/null; then
    as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
else
    as=(none)
fi
if [ "${as[*]-}" = none ]; then
    skip "permissions: setpriv is missing"
else
    denied='.*Permission denied.*'
    if [ "$(id -u)" -eq 0 ]; then
        fails "create: no permission in the directory" ".*x.add-cow.*: $denied" "${as[@]}" "$work/img" create -b b.img x.add-cow
        fails "create: backing may not be read" ".*secret.img.*: $denied" "${as[@]}" "$work/img" create -b ../secret.img open/x.add-cow
        fails "create: image may not be written" ".*t.add-cow.raw.*: $denied" \
            "${as[@]}" "$work/img" create -b ../b.img -o image_file=../t.add-cow.raw open/x.add-cow
        for command in info map; do
            fails "$command: metadata may not be read" "closed.add-cow.*: $denied" "${as[@]}" "$work/img" $command closed.add-cow
            fails "$command: image may not be read" ".*closed-image.add-cow.raw.*: $denied" "${as[@]}" "$work/img" $command closed-image.add-cow
            fails "$command: backing may not be read" ".*secret.img.*: $denied" "${as[@]}" "$work/img" $command closed-base.add-cow
        done
    fi
    before=$(snapshot)
    equal "info: reading is enough" "$("${as[@]}" "$work/img" info t.add-cow 2>&1 | head -1)" "image: t.add-cow"
    equal "map: reading is enough" "$("${as[@]}" "$work/img" map t.add-cow 2>&1 | wc -l)" 2
    equal "info, map: nothing changed" "$(snapshot)" "$before"
fi

# Sizes as qemu-img reads them.
fresh
random b.img 512
for size in 0 1 1b 512B 1k 3K 1M 2m 1G 1.5G 1.0001k 1.k 0.5k 1. 1.0 ' 1' +5 010 0x10 0x1E 0x1f 0.3M 0.9999k 0.00048828125k 7.77G 0.001T; do
    ours=$("$img" create --force -b b.img s.add-cow -- "$size" | grep -oE ' size=[0-9]+')
    theirs=$(qemu-img create -f raw none/s -- "$size" 2>/dev/null | grep -oE ' size=[0-9]+')
    equal "size '$size' as qemu-img" "${ours:-error}" "${theirs:-error}"
    rm -f s.add-cow*
done

# addcow-img info, and what info and map refuse alike. Read in by test_tool.sh.

fresh
mkdir d
random d/base.img 10485760
"$img" create -q -b base.img d/t.add-cow
poke d/t.add-cow 1048576 65536 5
poke d/t.add-cow 3145728 512 6
blocks=$(($(stat -c %b d/t.add-cow) + $(stat -c %b d/t.add-cow.raw)))
size=$($python -c 'import sys; print("%0.3g KiB" % (int(sys.argv[1]) / 2))' $blocks)
before=$(snapshot)
want="image: d/t.add-cow
file format: add-cow
virtual size: 10 MiB (10485760 bytes)
disk size: $size
cluster_size: 512
backing file: base.img (actual path: d/base.img)
backing file format: raw
Format specific information:
    image file: t.add-cow.raw (actual path: d/t.add-cow.raw)
    sectors: 20480
    allocated sectors: 129
    pending sectors: 0"
equal "info: the lines" "$("$img" info d/t.add-cow)" "$want"
equal "info: in its own directory" "$(cd d && "$img" info t.add-cow)" \
    "$(echo "$want" | sed 's/ (actual path.*//; s,image: d/,image: ,')"
equal "info: options behind the operand" "$("$img" info d/t.add-cow -f add-cow -U --output human)" "$want"
equal "info: --force-share, --" "$("$img" info --force-share --format=add-cow -- d/t.add-cow)" "$want"
equal "info: JSON has the facts" "$("$img" info --output=json d/t.add-cow | json '
d = j["format-specific"]["data"]
print(j["filename"], j["format"], j["virtual-size"], j["actual-size"] // 512, j["cluster-size"],
      j["backing-filename"], j["full-backing-filename"], j["backing-filename-format"], j["dirty-flag"],
      j["format-specific"]["type"], d["image-filename"], d["full-image-filename"],
      d["sectors"], d["allocated-sectors"], d["pending-sectors"])')" \
    "d/t.add-cow add-cow 10485760 $blocks 512 base.img d/base.img raw False add-cow t.add-cow.raw d/t.add-cow.raw 20480 129 0"
equal "info: nothing changed" "$(snapshot)" "$before"

"$img" create -q -b t.add-cow d/u.add-cow 12M
(cd d && qemu-img create -q -f qcow2 -b base.img -F raw t.qcow2 &&
    qemu-img create -q -f qcow2 -b t.qcow2 -F qcow2 u.qcow2 12M)
keys='
def keys(value, path=""):
    if isinstance(value, list):
        return [k for i, v in enumerate(value) for k in keys(v, path + "[%d]" % i)]
    found = [path + "/" + k + ":" + type(v).__name__ for k, v in value.items()]
    return found + (keys(value["format-specific"], path + "/format-specific") if "format-specific" in value else [])
def names(value):
    return [value.get(k, "").replace("qcow2", "add-cow") for k in ("filename", "full-backing-filename", "backing-filename", "format")]
'
for chain in '' --backing-chain; do
    equal "info $chain: JSON keys and types as qemu-img's" \
        "$("$img" info --output=json $chain d/u.add-cow | json "$keys"'print("\n".join(sorted(keys(j))))')" \
        "$(qemu-img info --output=json $chain d/u.qcow2 | json "$keys"'print("\n".join(sorted(keys(j))))')"
    equal "info $chain: labels as qemu-img's" \
        "$("$img" info $chain d/u.add-cow | grep -v '^    ' | sed 's/:.*//')" \
        "$(qemu-img info $chain d/u.qcow2 | grep -v '^    ' | sed 's/:.*//')"
    equal "info $chain: paths and sizes as qemu-img's" \
        "$("$img" info $chain d/u.add-cow | grep -E '^(image|file format|virtual size|backing file)' | sed 's/add-cow/qcow2/g')" \
        "$(qemu-img info $chain d/u.qcow2 | grep -E '^(image|file format|virtual size|backing file)')"
done
equal "info: names in the JSON as qemu-img's" \
    "$("$img" info --output=json --backing-chain d/u.add-cow | json "$keys"'print([names(v) for v in j])')" \
    "$(qemu-img info --output=json --backing-chain d/u.qcow2 | json "$keys"'print([names(v) for v in j])')"
equal "info: the raw end of the chain is as qemu-img's" \
    "$("$img" info --backing-chain d/u.add-cow | tail -5)" "$(qemu-img info --backing-chain d/u.qcow2 | tail -5)"
equal "info: JSON layout" "$("$img" info --output=json --backing-chain d/u.add-cow | grep -vE '^( *"[a-z-]+": ("[^"]*"|[0-9]+|true|false|\{),?| *[][{}],?)$')" ""

ln -s d/t.add-cow link.add-cow
: >base.img
: >t.add-cow.raw
equal "info: through a link, the names are still the disk's" \
    "$("$img" info --output=json link.add-cow | json 'print(j["full-backing-filename"], j["format-specific"]["data"]["full-image-filename"])')" \
    "$(realpath d)/base.img $(realpath d)/t.add-cow.raw"
rm link.add-cow base.img t.add-cow.raw

name=$(printf 'odd \377\n"\\\303\251')
random "d/$name.img" 512
"$img" create -q -b "$name.img" "d/$name.add-cow"
equal "info: any bytes in a name are JSON, as qemu-img's" \
    "$("$img" info --output=json "d/$name.add-cow" | json 'print(ascii(j["backing-filename"]))')" \
    "$(qemu-img info --output=json "d/$name.img" | json 'print(ascii(j["filename"][2:]))')"

# A header without a backing file can be made by others; it reads as zeros.
$python -c 'import struct
open("alone.add-cow", "wb").write((b"ADD_COW\xff" + struct.pack(">I", 1) + bytes(1024) + b"alone.raw").ljust(2560, b"\0"))
open("alone.raw", "wb").write(bytes(65536))'
equal "info: no backing file" "$("$img" info alone.add-cow | grep -c backing)" 0
equal "info: no backing file, JSON" "$("$img" info --output=json alone.add-cow | json 'print([k for k in j if "back" in k], j["virtual-size"])')" "[] 65536"
equal "map: no backing file" "$("$img" map --output=json alone.add-cow)" \
    '[{ "start": 0, "length": 65536, "depth": 0, "present": false, "zero": true, "data": false}]'

fresh
random b.img 65536
"$img" create -q -b b.img t.add-cow
"$img" create -q -b t.add-cow u.add-cow
mkfifo pipe
$python -c '
h = bytearray(open("t.add-cow", "rb").read())
def make(name, at, what):
    new = bytearray(h)
    new[at:at + len(what)] = what
    open(name, "wb").write(new)
make("magic.add-cow", 0, b"X")
make("version.add-cow", 11, b"\2")
make("nonul.add-cow", 12, b"b" * 1024)
make("noimage.add-cow", 1036, bytes(16))
make("self.add-cow", 12, b"self.add-cow\0")
make("dir.add-cow", 1036, b".\0")
open("cut.add-cow", "wb").write(h[:2559])'
for command in info map; do
    fails "$command: no disk" "magic.add-cow: .*" "$img" $command magic.add-cow
    fails "$command: version 2" "version.add-cow: .*version.*" "$img" $command version.add-cow
    fails "$command: name without NUL" "nonul.add-cow: .*" "$img" $command nonul.add-cow
    fails "$command: empty image name" "noimage.add-cow: .*" "$img" $command noimage.add-cow
    fails "$command: truncated header" "cut.add-cow: .*" "$img" $command cut.add-cow
    fails "$command: its own backing file" ".*self.add-cow.*" "$img" $command self.add-cow
    fails "$command: image a directory" ".*" "$img" $command dir.add-cow
    fails "$command: a raw file" "b.img: .*" "$img" $command b.img
    fails "$command: a directory" "\.: .*" "$img" $command .
    fails "$command: a fifo" "pipe: .*" "$img" $command pipe
done
mv b.img away
for command in info map; do
    fails "$command: backing missing" ".*b.img.*No such file or directory.*" "$img" $command t.add-cow
    fails "$command: backing of the backing missing" ".*b.img.*No such file or directory.*" "$img" $command u.add-cow
    fails "$command --output=json: backing missing" ".*b.img.*No such file or directory.*" "$img" $command --output=json t.add-cow
done
mv away b.img
rm t.add-cow.raw
for command in info map; do
    fails "$command: image missing" ".*t.add-cow.raw.*No such file or directory.*" "$img" $command t.add-cow
    fails "$command: image of the backing missing" ".*t.add-cow.raw.*No such file or directory.*" "$img" $command u.add-cow
done

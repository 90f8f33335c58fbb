# addcow-img check: statuses and layout next to qemu-img's, what is found, what is repaired, and
# that without -r nothing changes. Read in by test_tool.sh.

# ends NAME STATUS REGEX COMMAND…: it ends so, with stderr that matches as a whole (lines end
# in ~), and changes nothing. stdout is left in $work/out.
ends() {
    local name=$1 want=$2 regex=$3 before status
    shift 3
    before=$(snapshot)
    "$@" >"$work/out" 2>"$work/err" </dev/null
    status=$?
    if [ $status -ne "$want" ]; then
        fail "$name" "exit status $status, not $want" "$(cat "$work/err")"
    elif ! [[ $(tr '\n' '~' <"$work/err") =~ ^$regex$ ]]; then
        fail "$name" "message: $(cat "$work/err")" "wanted:  $regex"
    elif [ "$before" != "$(snapshot)" ]; then
        fail "$name" "$(diff <(printf '%s\n' "$before") <(snapshot))"
    else
        pass
    fi
}

# repairs NAME WANTED COMMAND…: status 0, and stdout is WANTED
repairs() {
    local name=$1 want=$2 got
    shift 2
    got=$("$@" 2>/dev/null </dev/null)
    equal "$name: status" $? 0
    equal "$name: stdout" "$got" "$want"
}

numbers() { sed 's/[0-9][0-9.]*/N/g'; }
keys() { json 'print(sorted((k, type(v).__name__) for k, v in j.items() if k != "findings"))'; }
found() { json 'print([(f["kind"], f["severity"], f["depth"], "repaired" in f) for f in j["findings"]])'; }

sed -n '/^```python$/,/^```$/p' "$root/docs/format.md" | sed '1d; $d' >"$work/reader.py"
content() { $python "$work/reader.py" "$1" | sha256sum; }

# preloaded PROGRAM…: as addcow-preload.sh runs it
preload=$build/libaddcow-preload.so${ADDCOW_TEST_BEHIND-}
preloaded() { LD_PRELOAD=$preload "$@"; }

# kill_writer DISK OFFSET LENGTH: a program writes "k"s there and is killed
kill_writer() {
    { preloaded $python -c 'import os, signal, sys
f = os.open(sys.argv[1], os.O_RDWR)
os.pwrite(f, b"k" * int(sys.argv[3]), int(sys.argv[2]))
os.kill(os.getpid(), signal.SIGKILL)' "$@"; } 2>/dev/null
    [ -e "$1.run" ] || fail "a killed writer of $1 left no run-time file"
}

other_boot() {
    $python -c 'import sys
id = open("/proc/sys/kernel/random/boot_id", "rb").read(36)
run = open(sys.argv[1], "rb").read().replace(id, b"x" + id[1:])
open(sys.argv[1], "r+b").write(run)' "$1"
}

# Beside qemu-img: no errors, leaks, corruption.
fresh
random base.img 1048576
"$img" create -q -b base.img t.add-cow
qemu-img create -q -f qcow2 -b base.img -F raw t.qcow2
ends "check: nothing allocated" 0 '' "$img" check t.add-cow
equal "check: nothing allocated: first line as qemu-img's" "$(head -1 "$work/out")" "$(qemu-img check t.qcow2 | head -1)"
equal "check: nothing allocated: no more lines" "$(wc -l <"$work/out")" 1
poke t.add-cow 0 204800 7
qemu-io -f qcow2 -c 'write -P 7 0 200k' t.qcow2 >/dev/null
ends "check: no errors" 0 '' "$img" check t.add-cow
equal "check: no errors: as qemu-img's" "$(numbers <"$work/out")" "$(qemu-img check t.qcow2 | numbers)"
equal "check: the lines" "$(cat "$work/out")" "No errors were found on the image.
400/2048 = 19.53% allocated, 0.00% fragmented, 0.00% compressed clusters
Image end offset: 204800"
ends "check: JSON" 0 '' "$img" check --output=json t.add-cow
equal "check: JSON keys as qemu-img's" "$(keys <"$work/out")" "$(qemu-img check --output=json t.qcow2 | keys)"
equal "check: JSON" "$(cat "$work/out")" '{
    "image-end-offset": 204800,
    "total-clusters": 2048,
    "check-errors": 0,
    "allocated-clusters": 400,
    "filename": "t.add-cow",
    "format": "add-cow",
    "findings": []
}'
for option in -q --quiet '-q --output=json'; do
    ends "check $option: nothing is printed" 0 '' "$img" check $option t.add-cow
    equal "check $option: nothing on stdout" "$(cat "$work/out")" ''
done
ends "check: repairing what is whole changes nothing" 0 '' "$img" check -r all t.add-cow
ends "check: options anywhere" 0 '' "$img" check t.add-cow --repair=leaks -U -f add-cow

kill_writer t.add-cow 512000 3000
$python -c 'import struct, sys
d = open("t.qcow2", "rb").read()
table = struct.unpack(">Q", d[48:56])[0]
block = struct.unpack(">Q", d[table:table + 8])[0]
end = (len(d) + 65535) // 65536
def count(name, cluster, refs):
    f = open(name, "r+b")
    f.truncate((end + 1) * 65536)
    f.seek(block + 2 * cluster)
    f.write(struct.pack(">H", refs))
open("leak.qcow2", "wb").write(d)
count("leak.qcow2", end, 1)
open("bad.qcow2", "wb").write(d)
count("bad.qcow2", end - 1, 0)'
left='addcow-img: .*/t.add-cow.run: left by a program that was killed; 6 sectors have their bit there alone.*~'
ends "check: leaks" 3 "$left" "$img" check t.add-cow
equal "check: leaks: the lines" "$(cat "$work/out")" "
1 leaks were found on the image.
This means something left over, but no harm to data.
406/2048 = 19.82% allocated, 0.00% fragmented, 0.00% compressed clusters
Image end offset: 515072"
qemu-img check -q leak.qcow2 2>/dev/null
equal "check: leaks: qemu-img's status" $? 3
ends "check -q: leaks" 3 "$left" "$img" check -q t.add-cow
ends "check: leaks, JSON" 3 "$left" "$img" check --output json t.add-cow
equal "check: leaks: JSON keys as qemu-img's, and ours" "$(json 'del j["pending-clusters"]; print(j)' <"$work/out" | wc -l) $(keys <"$work/out")" \
    "1 $(qemu-img check --output=json leak.qcow2 2>/dev/null | json 'j["pending-clusters"] = 0; print(sorted((k, type(v).__name__) for k, v in j.items()))')"
equal "check: leaks: found" "$(found <"$work/out")" "[('run-unclean', 'leak', 0, False)]"

cp t.add-cow bad.add-cow
$python -c 'open("bad.add-cow", "r+b").write(b"X")'
ends "check: corruption" 2 'addcow-img: bad.add-cow: .*magic.*~' "$img" check bad.add-cow
equal "check: corruption: the lines" "$(cat "$work/out")" "$(qemu-img check bad.qcow2 2>/dev/null | head -3 | sed 's/^2 errors/1 errors/')"
qemu-img check -q bad.qcow2 2>/dev/null
equal "check: corruption: qemu-img's status" $? 2
ends "check: corruption, JSON" 2 'addcow-img: bad.add-cow: .*~' "$img" check --output=json bad.add-cow
equal "check: corruption: JSON" "$(json 'print(j["corruptions"], j["check-errors"], "leaks" in j, "total-clusters" in j)' <"$work/out")" "1 0 False False"
rm bad.add-cow

# What cannot be checked, and what is no disk.
equal "check: qemu-img on raw" "$(qemu-img check -f raw base.img 2>/dev/null; echo $?)" 63
raw='addcow-img: [a-z0-9.-]*: This image format does not support checks: raw, as .*~'
ends "check: a raw file" 63 "$raw" "$img" check base.img
ends "check -f raw" 63 "$raw" "$img" check -f raw t.add-cow
ends "check: qcow2 by its name" 63 "$raw" "$img" check -r t.qcow2
ends "check -f add-cow: a raw file" 2 'addcow-img: base.img: not an add-cow metadata file.*~' "$img" check -f add-cow base.img
fails "check -f raw: no such file" "nope: .*No such file or directory" "$img" check -f raw nope
fails "check: no such raw file" "nope: .*No such file or directory" "$img" check nope
mkdir d.add-cow
fails "check: a directory" "d.add-cow: .*directory.*" "$img" check d.add-cow
try="~Try 'addcow-img check --help' for more information"
fails "check: -r with another word" "Unknown option value for -r \(expecting 'leaks' or 'all'\): foo$try" "$img" check -rfoo t.add-cow
fails "check: --repair= with another word" "Unknown option value for -r .*: $try" "$img" check --repair= t.add-cow
fails "check: another word behind -r is a file" "Expecting one image file name$try" "$img" check -r foo t.add-cow

# Repairs. -r takes its word, a word of its own, or none.
before=$(content t.add-cow)
cp t.add-cow.raw image.copy
repairs "check -r leaks" "Repaired: $PWD/t.add-cow.run: folded into the metadata file, and removed
The following inconsistencies were found and repaired:

    1 leaks
    0 corruptions

Double checking the fixed image now...
No errors were found on the image.
406/2048 = 19.82% allocated, 0.00% fragmented, 0.00% compressed clusters
Image end offset: 515072" "$img" check -r leaks t.add-cow
holds "check -r: the run-time file is gone" test ! -e t.add-cow.run
holds "check -r: the image is as it was" cmp t.add-cow.raw image.copy
equal "check -r: the killed program's writes are in the disk" "$(content t.add-cow)" "$({
    head -c 204800 t.add-cow.raw
    tail -c +204801 base.img | head -c 307200
    head -c 3000 /dev/zero | tr '\0' k
    tail -c +515001 base.img
} | sha256sum)"
[ "$before" != "$(content t.add-cow)" ] || fail "check -r: the killed program's writes were there before"
ends "check -r: a second one changes nothing" 0 '' "$img" check -r t.add-cow

kill_writer t.add-cow 700000 10
"$img" check -r --output=json t.add-cow >"$work/out" 2>/dev/null
equal "check -r: JSON status" $? 0
cp leak.qcow2 again.qcow2
equal "check -r: JSON keys as qemu-img's" "$(keys <"$work/out")" \
    "$(qemu-img check -r leaks --output=json again.qcow2 2>/dev/null | keys)"
equal "check -r: JSON" "$(json 'print(j["leaks-fixed"], j["allocated-clusters"])' <"$work/out") $(found <"$work/out")" \
    "1 407 [('run-unclean', 'leak', 0, True)]"

for option in '-r all' -rall -r --repair '--repair all' --repair=leaks; do
    before=$(content t.add-cow)
    kill_writer t.add-cow 800000 10
    other_boot t.add-cow.run
    ends "check: from another boot" 3 'addcow-img: .*/t.add-cow.run: left from before this machine was last started.*~' "$img" check t.add-cow
    "$img" check $option -q t.add-cow >"$work/out" 2>/dev/null
    equal "check $option -q: another boot's is removed" "$? $(cat "$work/out") $(ls t.add-cow.run 2>/dev/null)" "0  "
    equal "check $option: the disk is as it was" "$(content t.add-cow)" "$before"
done

# Bits past the end and a short bitmap are notes, and are tidied by -r all alone.
fresh
random base.img 65536
"$img" create -q -b base.img t.add-cow
poke t.add-cow 0 65536 7
truncate -s 5000 t.add-cow.raw base.img
before=$(content t.add-cow)
ends "check: bits past the end" 0 '' "$img" check t.add-cow
equal "check: bits past the end: the lines" "$(cat "$work/out")" "Note: t.add-cow: the bitmap has 16 bytes, where 2 would do
Note: t.add-cow: 118 bits are set past the end of the disk; they mean nothing
No errors were found on the image.
10/10 = 100.00% allocated, 0.00% fragmented, 0.00% compressed clusters
Image end offset: 5000"
ends "check -q: notes are not printed" 0 '' "$img" check -q t.add-cow
equal "check -q: notes are not printed on stdout" "$(cat "$work/out")" ''
ends "check -r leaks: notes are left" 0 '' "$img" check -r leaks t.add-cow
repairs "check -r: bits past the end" "Note: t.add-cow: the bitmap has 16 bytes, where 2 would do
Note: t.add-cow: 118 bits are set past the end of the disk; they mean nothing
Repaired: t.add-cow: the bits past the end of the disk are cleared
Double checking the fixed image now...
Note: t.add-cow: the bitmap has 16 bytes, where 2 would do
No errors were found on the image.
10/10 = 100.00% allocated, 0.00% fragmented, 0.00% compressed clusters
Image end offset: 5000" "$img" check -r t.add-cow
equal "check -r: the disk is as it was" "$(content t.add-cow)" "$before"
ends "check -r: a second one changes nothing" 0 '' "$img" check -r t.add-cow
truncate -s 2561 t.add-cow
before=$(content t.add-cow)
repairs "check -r: a short bitmap" "Note: t.add-cow: the bitmap has 1 of 2 bytes; the rest counts as zeros
Repaired: t.add-cow: the bitmap is as long as the disk needs
Double checking the fixed image now...
No errors were found on the image.
8/10 = 80.00% allocated, 0.00% fragmented, 0.00% compressed clusters
Image end offset: 4096" "$img" check -r t.add-cow
equal "check -r: the disk is as it was, with its bitmap" "$(content t.add-cow) $(stat -c %s t.add-cow)" "$before 2562"

# The chain: everything that is wrong, and the disk below is not repaired.
fresh
random base.img 8192
"$img" create -q -b base.img a.add-cow
"$img" create -q -b a.add-cow b.add-cow 16384
ends "check: the chain's notes" 0 '' "$img" check b.add-cow
equal "check: the chain's notes: the lines" "$(head -1 "$work/out")" \
    "Note: $PWD/a.add-cow: is shorter than b.add-cow by 8192 bytes; they read as zeros where nothing is written"
kill_writer a.add-cow 0 512
ends "check: a leak below" 3 'addcow-img: .*/a.add-cow.run: left by .*~' "$img" check b.add-cow
ends "check -r: a leak below is left" 3 'addcow-img: .*/a.add-cow.run: left by .*~' "$img" check -r b.add-cow
rm base.img b.add-cow.raw
ends "check: all that is missing" 2 'addcow-img: .*/b.add-cow.raw: .*~addcow-img: .*/a.add-cow.run: .*~addcow-img: .*/base.img: .*~' \
    "$img" check --output=json b.add-cow
equal "check: all that is missing, JSON" "$(found <"$work/out")" \
    "[('image', 'corruption', 0, False), ('run-unclean', 'leak', 1, False), ('backing', 'corruption', 1, False)]"

# In use.
fresh
random base.img 8192
"$img" create -q -b base.img t.add-cow
"$img" create -q -b t.add-cow over.add-cow
truncate -s 2561 t.add-cow
for how in writing reading; do
    coproc user { LD_PRELOAD=$preload exec $python -c 'import os, sys
f = os.open("t.add-cow", os.O_RDWR if sys.argv[1] == "writing" else os.O_RDONLY)
if sys.argv[1] == "writing":
    os.pwrite(f, b"w" * 512, 0)
print(os.getpid(), flush=True)
sys.stdin.read()' $how; }
    pid=
    read -r pid <&"${user[0]}"
    ends "check: open for $how" 0 '' "$img" check t.add-cow
    holds "check: open for $how: by whom" grep -qE "^Note: t.add-cow: open for $how by process $pid \(python[0-9.]*\)$" "$work/out"
    ends "check -r: open for $how" 1 "addcow-img: t.add-cow: cannot be repaired while it is in use: open for $how by process $pid \(python[0-9.]*\)~" "$img" check -r t.add-cow
    equal "check -r: open for $how: nothing printed" "$(cat "$work/out")" ""
    user_pid=$user_PID
    eval "exec ${user[1]}>&-"
    wait "$user_pid"
done

# Without permission: not corrupt, but not known either.
if [ "$(id -u)" -ne 0 ] || command -v setpriv >/dev/null; then
    fresh
    chmod 755 "$work"
    cp "$img" "$work/img"
    as=()
    [ "$(id -u)" -ne 0 ] || as=(setpriv --reuid=65534 --regid=65534 --clear-groups)
    random base.img 8192
    "$img" create -q -b base.img t.add-cow
    chmod 0 base.img
    chmod 644 t.add-cow t.add-cow.raw
    ends "check: no permission" 1 'addcow-img: .*base.img: .*Permission denied~addcow-img: t.add-cow: Check failed: .*~' \
        "${as[@]}" "$work/img" check t.add-cow
    holds "check: no permission: counted" grep -qx '1 internal errors have occurred during the check.' "$work/out"
    chmod 0 t.add-cow
    ends "check: no permission at all" 1 'addcow-img: t.add-cow: .*Permission denied~' "${as[@]}" "$work/img" check t.add-cow
    equal "check: no permission at all: nothing printed" "$(cat "$work/out")" ""
else
    skip "check: permissions: setpriv is missing"
fi

# docs/format.md: its example is what comes out, and its reader reads it, a chain, and odd
# sizes. Read in by test_tool.sh.

page=$root/docs/format.md
fresh
head -c 4096 /dev/zero | tr '\0' . >base.img
"$img" create -q -b base.img -o image_file=small.raw small.add-cow
poke small.add-cow 1024 512 46
printf written | dd of=small.raw bs=1 seek=1030 conv=notrunc status=none
for file in small.add-cow small.raw; do
    equal "the page's dump of $file" "$(od -A d -t x1z $file)" \
        "$(sed -n "/^    \$ od .* $file\$/,/^    \$ od \|^\$/p" "$page" | sed -n 's/^    \([^$]\)/\1/p')"
done
sed -n '/^```python$/,/^```$/p' "$page" | sed '1d; $d' >reader.py
equal "the page's reader: the example" "$($python reader.py small.add-cow | sha256sum)" \
    "$({ head -c 1030 base.img; printf written; head -c 3059 base.img; } | sha256sum)"
mkdir d
"$img" create -q -b ../small.add-cow d/up.add-cow 9999
poke d/up.add-cow 512 512 88
poke d/up.add-cow 9728 271 89
"$img" create -q -b "$PWD/d/up.add-cow" top.add-cow 9900
equal "the page's reader: a chain" "$($python reader.py top.add-cow | sha256sum)" "$({
    head -c 512 base.img
    head -c 512 /dev/zero | tr '\0' X
    head -c 6 base.img
    printf written
    head -c 3059 base.img
    head -c 5632 /dev/zero
    head -c 172 /dev/zero | tr '\0' Y
} | sha256sum)"
fails_reader() { $python reader.py reader.py >/dev/null 2>&1; [ $? -eq 1 ]; }
holds "the page's reader: no disk" fails_reader

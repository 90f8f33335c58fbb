#!/usr/bin/python3
"""An independent decoder of add-cow disks, for the tests.

It is written from the description of the format alone (docs/format.md) and
shares no code with the engine, so that a mistake made there is not repeated
here. It looks at the files of a disk that nobody has open: the run-time file
beside the metadata file is not read.

As a command:
    decode.py flat X.add-cow OUT     write the flat content, sparse
    decode.py sha256 X.add-cow       its checksum
    decode.py bits X.add-cow         the allocated sectors, as "first last" lines
    decode.py size X.add-cow
As a module: open_disk(), flat(), bits(), encode().
"""
import hashlib
import os
import struct
import sys

SECTOR = 512
HEADER = 2560
MAGIC = b"ADD_COW\xff"
CHAIN_MAX = 64
CHUNK = 1 << 20
ZEROS = bytes(CHUNK)


class Bad(Exception):
    pass


def name_field(raw, what, path):
    end = raw.find(b"\0")
    if end < 0:
        raise Bad("%s: the %s name has no NUL" % (path, what))
    if raw[end:].strip(b"\0"):
        raise Bad("%s: bytes after the NUL of the %s name" % (path, what))
    return os.fsdecode(raw[:end])


def resolve(meta_path, name):
    """A relative name is relative to the directory of the metadata file."""
    return os.path.join(os.path.dirname(os.path.realpath(meta_path)), name)


class Raw:
    """A plain file; zeros past its end."""

    def __init__(self, path):
        self.fd = os.open(path, os.O_RDONLY)
        self.size = os.fstat(self.fd).st_size

    def close(self):
        os.close(self.fd)

    def hole_until(self, off, end):
        """The end of the hole at off, or off if there is data."""
        if off >= self.size:
            return end
        try:
            return min(os.lseek(self.fd, off, os.SEEK_DATA), end)
        except OSError:
            return end

    def read(self, off, length):
        data = b""
        while len(data) < length:
            more = os.pread(self.fd, length - len(data), off + len(data))
            if not more:
                return data + bytes(length - len(data))
            data += more
        return data


class Nothing:
    """An empty backing name."""
    size = 0

    def close(self):
        pass

    def hole_until(self, off, end):
        return end

    def read(self, off, length):
        return bytes(length)


class Disk:
    def __init__(self, path, depth=1):
        if depth > CHAIN_MAX:
            raise Bad("%s: more than %d disks in the chain" % (path, CHAIN_MAX))
        with open(path, "rb") as meta:
            header = meta.read(HEADER)
            if len(header) < HEADER:
                raise Bad("%s: header of %d bytes" % (path, len(header)))
        magic, version = struct.unpack(">8sI", header[:12])
        if magic != MAGIC or version != 1:
            raise Bad("%s: magic %r version %d" % (path, magic, version))
        self.path = path
        self.backing_name = name_field(header[12:1036], "backing", path)
        self.image_name = name_field(header[1036:2060], "image", path)
        self.reserved = header[2060:]
        if not self.image_name:
            raise Bad("%s: no image name" % path)
        self.image = Raw(resolve(path, self.image_name))
        self.size = self.image.size
        if not self.backing_name:
            self.backing = Nothing()
        elif self.backing_name.endswith(".add-cow"):
            self.backing = Disk(resolve(path, self.backing_name), depth + 1)
        else:
            self.backing = Raw(resolve(path, self.backing_name))
        nsectors = -(-self.size // SECTOR)
        need = -(-nsectors // 8)
        self.nsectors = nsectors
        with open(path, "rb") as meta:
            meta.seek(HEADER)
            bitmap = meta.read(need)
        self.bitmap = bitmap + bytes(need - len(bitmap))

    def close(self):
        self.image.close()
        self.backing.close()

    def bit(self, sector):
        return self.bitmap[sector >> 3] >> (sector & 7) & 1

    def runs(self, first=0, last=None):
        """(first, end, bit) of the runs of equal bits in [first, last)."""
        last = self.nsectors if last is None else last
        bitmap = self.bitmap
        at = first
        while at < last:
            value = self.bit(at)
            whole = b"\xff" if value else b"\0"
            end = at + 1
            while end < last:
                if end & 7 == 0 and bitmap[end >> 3] == whole[0]:
                    # skip equal bytes in one step
                    byte = end >> 3
                    tail = bitmap[byte:byte + 65536]
                    end += 8 * (len(tail) - len(tail.lstrip(whole)))
                    continue
                if self.bit(end) != value:
                    break
                end += 1
            end = min(end, last)
            yield at, end, value
            at = end

    def hole_until(self, off, end):
        """The end of a stretch that surely reads as zeros, or off."""
        if off >= self.size:
            return end
        end = min(end, self.size)
        for first, stop, value in self.runs(off // SECTOR, -(-end // SECTOR)):
            lo, hi = max(off, first * SECTOR), min(stop * SECTOR, end)
            source = self.image if value else self.backing
            while lo < hi:
                skip = source.hole_until(lo, hi)
                if skip == lo:
                    return lo
                lo = skip
        return end

    def read(self, off, length):
        parts = []
        inside = max(0, min(length, self.size - off))
        if inside:
            end = off + inside
            for first, stop, value in self.runs(off // SECTOR, -(-end // SECTOR)):
                lo, hi = max(off, first * SECTOR), min(stop * SECTOR, end)
                parts.append((self.image if value else self.backing).read(lo, hi - lo))
        return b"".join(parts) + bytes(length - inside)


def open_disk(path):
    return Disk(path)


def pieces(source):
    """The content as (off, bytes); holes are left out."""
    off = 0
    while off < source.size:
        skip = source.hole_until(off, source.size)
        if skip > off:
            off = skip
            continue
        length = min(CHUNK, source.size - off)
        yield off, source.read(off, length)
        off += length


def flat(path, out):
    """Write the flat content of the disk to a new sparse file."""
    disk = Disk(path)
    with open(out, "wb") as target:
        target.truncate(disk.size)
        for off, data in pieces(disk):
            for at in range(0, len(data), 65536):
                part = data[at:at + 65536]
                if part.strip(b"\0"):
                    target.seek(off + at)
                    target.write(part)
    disk.close()


def sha256(path):
    disk = Disk(path)
    digest = hashlib.sha256()
    at = 0

    def zeros(length):
        while length:
            step = min(length, CHUNK)
            digest.update(memoryview(ZEROS)[:step])
            length -= step

    for off, data in pieces(disk):
        zeros(off - at)
        digest.update(data)
        at = off + len(data)
    zeros(disk.size - at)
    disk.close()
    return digest.hexdigest()


def bits(path):
    """The allocated sectors of this disk itself, as a set."""
    disk = Disk(path)
    found = set()
    for first, end, value in disk.runs():
        if value:
            found.update(range(first, end))
    disk.close()
    return found


def size(path):
    disk = Disk(path)
    disk.close()
    return disk.size


def encode(path, backing, image, sectors=(), bitmap_bytes=None):
    """Make a metadata file, for tests that need one that no tool of ours made."""
    top = max(sectors) + 1 if sectors else 0
    bitmap = bytearray(-(-top // 8) if bitmap_bytes is None else bitmap_bytes)
    for sector in sectors:
        bitmap[sector >> 3] |= 1 << (sector & 7)
    header = struct.pack(">8sI1024s1024s500x", MAGIC, 1, os.fsencode(backing), os.fsencode(image))
    with open(path, "wb") as meta:
        meta.write(header + bitmap)


def first_difference(path_a, path_b):
    """The first offset at which two files differ, or None. For messages."""
    size_a, size_b = os.path.getsize(path_a), os.path.getsize(path_b)
    with open(path_a, "rb") as a, open(path_b, "rb") as b:
        off = 0
        while True:
            x, y = a.read(CHUNK), b.read(CHUNK)
            if x != y:
                for i in range(min(len(x), len(y))):
                    if x[i] != y[i]:
                        return off + i
                return off + min(len(x), len(y))
            if not x:
                return None if size_a == size_b else off
            off += len(x)


def main(args):
    if len(args) == 3 and args[0] == "flat":
        flat(args[1], args[2])
    elif len(args) == 2 and args[0] == "sha256":
        print(sha256(args[1]))
    elif len(args) == 2 and args[0] == "size":
        print(size(args[1]))
    elif len(args) == 2 and args[0] == "bits":
        disk = Disk(args[1])
        for first, end, value in disk.runs():
            if value:
                print(first, end - 1)
        disk.close()
    else:
        print(__doc__, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (Bad, OSError) as err:
        print("decode.py: %s" % err, file=sys.stderr)
        sys.exit(1)

"""Write and read zip and tar archives with the disk as the archive."""
import hashlib
import io
import sys
import tarfile
import zipfile

p = sys.argv[1]
with zipfile.ZipFile(p, 'w') as z:
    for name in ('small', 'odd', 'text'):
        z.write('in/' + name, name, zipfile.ZIP_DEFLATED)
with zipfile.ZipFile(p, 'a') as z:
    z.writestr(zipfile.ZipInfo('added'), b'hello' * 1000)
with zipfile.ZipFile(p) as z:
    print(z.namelist(), z.testzip(), hashlib.md5(z.read('odd')).hexdigest())
with tarfile.open(p, 'w') as t:
    t.add('in/tree/sub/b', 'b', filter=lambda i: i)
with tarfile.open(p, 'a') as t:
    t.add('in/small', 's')
with tarfile.open(p) as t:
    print(t.getnames(), hashlib.md5(t.extractfile('b').read()).hexdigest())
with tarfile.open(p, 'w:gz', compresslevel=1) as t:
    pass
open(p, 'wb').write(b'last')

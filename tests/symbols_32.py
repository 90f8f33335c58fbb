#!/usr/bin/python3
"""The surface of the library for 32-bit programs, where it differs from the other.

Its exports are held against hooks.def and narrow/time64.def; what the 32-bit C library has and the
64-bit one has not against those and tests/unhooked_32.txt, the rest being for symbols.py; and a
name that is not the same function as its form with "64" there must be a NARROW row, and no other
may. Last, each of these is spoiled, and must be seen.
"""
import fnmatch
import os
import re
import subprocess
import sys

sys.dont_write_bytecode = True
TESTS = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(TESTS, "surface"), os.path.join(TESTS, "e2e")]

import common
import libc

LIBRARY = os.path.join(os.path.dirname(common.LIBRARY), "32", os.path.basename(common.LIBRARY))
FORMS = ((r"$", "64"), (r"_2$", "64_2"), (r"_chk$", "64_chk"), (r"v2$", "v64v2"), (r"^fts_", "fts64_"))


def read_rows():
    """[(HOOK or NARROW, symbol)]; some stand there for 64-bit programs alone."""
    text = subprocess.run(["gcc", "-m32", "-E", "-P", "-x", "c", "-DHOOK(family,symbol,body)=<HOOK symbol>",
                           "-DNARROW(family,symbol,body)=<NARROW symbol>",
                           os.path.join(common.TESTED, "shim", "hooks.def")],
                          stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout
    return re.findall(r"<(HOOK|NARROW) (\w+)>", text)


def read_list():
    with open(os.path.join(TESTS, "unhooked_32.txt")) as f:
        text = re.sub(r"(?m)^#.*\n", "", f.read())
    return [pattern for names in re.findall(r"(?m)^(\S[^:]*):", text) for pattern in names.split()]


def check(rows, exports, narrow, wide, listed):
    """(what was looked at, what is wrong or None); `narrow` and `wide` are the two C libraries'."""
    kinds = {symbol: kind for kind, symbol in rows}
    for name in sorted(set(kinds) ^ set(exports)):
        yield name, "is a row" if name in kinds else "is exported, and no row"
    yield "exports", None if len(exports) > 200 else "there are few"
    used = set()
    for name in sorted(set(narrow) - set(wide) - set(kinds)):
        hits = [pattern for pattern in listed if fnmatch.fnmatchcase(name, pattern)]
        used.update(hits)
        yield name, None if hits else "is for 32-bit programs alone, neither hooked nor listed"
    for pattern in listed:
        yield pattern, None if pattern in used else "covers nothing"
    for name in sorted(set(kinds) & set(narrow)):
        forms = {re.sub(end, by, name) for end, by in FORMS if re.search(end, name)} & set(kinds)
        for form in sorted(forms & set(narrow)):
            differ = set(narrow[name].addresses) != set(narrow[form].addresses)
            if differ != (kinds[name] == "NARROW"):
                yield name, "is %s %s, and its row is %s" % ("not" if differ else "also", form, kinds[name])
            else:
                yield name, None


def spoiled(rows, exports, narrow, wide, listed):
    def seen(message, *args):
        return any(message in "%s %s" % found for found in check(*args) if found[1])

    yield "an export less", seen("is a row", rows, exports[1:], narrow, wide, listed)
    yield "a row less", seen("pread is exported", [row for row in rows if row[1] != "pread"],
                             exports, narrow, wide, listed)
    yield "a name less", seen("__select64 is for", rows, exports, narrow, wide,
                              [name for name in listed if name != "__select64"])
    yield "a name of nothing", seen("covers nothing", rows, exports, narrow, wide, listed + ["zz*"])
    for kind, name in (("HOOK", "pread"), ("HOOK", "fts_read"), ("HOOK", "__open_2"), ("NARROW", "aio_fsync")):
        yield "%s a %s row" % (name, kind), seen(
            name + " is ", [(kind if row[1] == name else row[0], row[1]) for row in rows],
            exports, narrow, wide, listed)


def libc_of(flags):
    path = subprocess.run(["gcc"] + flags + ["-print-file-name=libc.so.6"], stdout=subprocess.PIPE,
                          check=True, universal_newlines=True).stdout.strip()
    return os.path.realpath(path)


def main():
    missing = None
    if not os.path.exists(LIBRARY):
        missing = LIBRARY + " is missing: run make ARCH=32"
    elif not os.path.exists(libc_of(["-m32"])):
        missing = "there is no 32-bit C library"
    if missing:
        failed = os.environ.get("CI") == "true"
        print("%s: %s" % ("FAIL" if failed else "skipped", missing))
        print("0 passed, %d failed, %d skipped" % (failed, not failed))
        return failed
    given = (read_rows(), [symbol[0] for symbol in libc.nm(LIBRARY)],
             libc.functions(libc_of(["-m32"])), libc.functions(libc_of([])), read_list())
    passed = failed = 0
    for name, problem in list(check(*given)) + [
            (what, None if good else "spoiled, and not seen") for what, good in spoiled(*given)]:
        if problem:
            failed += 1
            print("FAIL: %s: %s" % (name, problem))
        else:
            passed += 1
    print("%d passed, %d failed, 0 skipped" % (passed, failed))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

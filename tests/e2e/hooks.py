#!/usr/bin/python3
"""Takes each hook out of the library, and looks what the rows of table.py say.

    hooks.py [-n N] [-j N] [-v] [--all] [BODY...]

BODY is a family/body of hooks.def, or a shell pattern of some. All symbols of one body are taken
out of a copy of the library at once, by making them undefined in its table of dynamic symbols: so
their callers get libc's. Then the rows of our own programs that use one of them are made until one
fails, at most -n of them. Two things are demanded:

- some row fails: so the hook is tested by a real program;
- what fails says so: an error, a signal, a message. A call that the library does not know
  must not give other bytes as if all were well.

hooks_known.py has the exceptions, each with its reason; one that is none any more is a
failure too. --all makes all of the rows and prints what differs in each, for a person who judges.

Which rows use which symbol is seen in a first run of all of them, with an auditor of the dynamic
linker (hooks_audit.c), and is kept for as long as they stay as they are.
"""
import argparse
import collections
import concurrent.futures
import copy
import fnmatch
import hashlib
import json
import os
import re
import shutil
import struct
import subprocess
import sys

sys.dont_write_bytecode = True

import common
import harness
import hooks_known
import table

WORK = os.path.join(common.WORK, "hooks")
HOOKS = os.path.join(common.ROOT, "shim", "hooks.def")
AUDITOR = os.path.join(common.HERE, "hooks_audit.c")
PROGRAMS = os.path.join(common.HERE, "programs")
OWN = table.C_PROGRAMS + table.CXX_PROGRAMS
# They bind nearly all in every row, and do not use it.
COMMON = ("bash", "dash", "cat", "rm", "cc", "cc1", "collect2", "ld", "as")
# What a line with an error in it has: its name, its text, or a result that is one. It is looked for in
# lines that the plain run did not have, and may be found where there is none: -v shows them all.
ERROR = re.compile(rb"\bE[A-Z]{2,}[0-9]*\b|(?<![\w.])-(1|9)\b|fallocate\w*: 9\b|addcow|[Ee]rror|ERROR|[Ff]ail|"
                   rb"[Bb]ad |Invalid|denied|No such|ermitted|annot|[Nn]ot |wrong|assert|\bEOF\b")


class Options:
    fake = keep = False


def bodies():
    """{family/body: [symbols]} of hooks.def."""
    found = {}
    rows = re.findall(r"^\w*(?:HOOK|NARROW)\w*\((\w+), (\w+), (\w+)", read(HOOKS).decode(), re.M)
    for family, symbol, body in rows:
        found.setdefault("%s/%s" % (family, body), []).append(symbol)
    return found


def without(symbols, target):
    """What runs a program with a copy of the library that does not define them."""
    elf = bytearray(read(common.LIBRARY))
    offset, = struct.unpack_from("<Q", elf, 40)
    size, count = struct.unpack_from("<HH", elf, 58)
    sections = [struct.unpack_from("<IIQQQQIIQQ", elf, offset + i * size) for i in range(count)]
    dynsym = next(s for s in sections if s[1] == 11)
    names = sections[dynsym[6]][4]
    left = set(symbols)
    for at in range(dynsym[4], dynsym[4] + dynsym[5], 24):
        name, = struct.unpack_from("<I", elf, at)
        name = bytes(elf[names + name:elf.index(0, names + name)]).decode()
        if name in left:
            left.remove(name)
            struct.pack_into("<HQ", elf, at + 6, 0, 0)      # st_shndx: SHN_UNDEF; no st_value, for dlsym
    if left:
        raise SystemExit("hooks.py: not exported: " + " ".join(sorted(left)))
    os.makedirs(target + "/build", exist_ok=True)
    with open(target + "/build/" + os.path.basename(common.LIBRARY), "wb") as f:
        f.write(elf)
    shutil.copy(common.WRAPPER, target)
    return [os.path.join(target, os.path.basename(common.WRAPPER)), "--"]


# ---- who uses what -----------------------------------------------------------

def read(*path):
    with open(os.path.join(*path), "rb") as f:
        return f.read()


def mark_of(row):
    """Changes when a row, a program of it, or the list of symbols does."""
    digest = hashlib.sha256(row.name.encode() + row.cmd.encode())
    for path in AUDITOR, HOOKS:
        digest.update(read(path))
    for name in sorted(os.listdir(PROGRAMS)):
        if name.split(".")[0] in row.cmd or name.endswith(".h"):
            digest.update(read(PROGRAMS, name))
    return digest.hexdigest()


def note_uses(rows, jobs):
    """{row: {program: symbols it binds}}"""
    auditor = WORK + "/auditor.so"
    subprocess.run(["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", auditor, AUDITOR],
                   check=True)
    os.makedirs(WORK + "/logs", exist_ok=True)

    def one(row):
        log = "%s/logs/%s" % (WORK, row.name.replace("/", "_"))
        disk_side(row, dict(harness.environment(), LD_AUDIT=auditor, HOOKS_LOG=log))
        uses = {}
        if os.path.exists(log):
            for program, symbol in sorted({tuple(line.split()) for line in read(log).decode().splitlines()}):
                uses.setdefault(program, []).append(symbol)
            os.unlink(log)
        return uses

    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        return dict(zip((row.name for row in rows), pool.map(one, rows)))


def disk_side(row, env):
    where = os.path.join(WORK, "rows", row.name.replace("/", "_"))
    shutil.rmtree(where, ignore_errors=True)
    os.makedirs(where)
    harness.copy(os.path.join(harness.WORK, "shapes", row.shape, "disk"), where + "/disk")
    harness.copy(harness.WORK + "/in", where + "/disk/w/in")
    harness.run(common.PRELOAD + ["/bin/bash", "-c", harness.row_command(row)], where + "/disk", env)
    shutil.rmtree(where)


def uses_of(rows, jobs):
    """The same, of which only what is not known from a run before is found out."""
    cache, known = WORK + "/uses.json", {}
    if os.path.exists(cache):
        known = json.loads(read(cache))
    marks = {row.name: mark_of(row) for row in rows}
    new = note_uses([row for row in rows if known.get(row.name, [""])[0] != marks[row.name]], jobs)
    known.update({name: (marks[name], uses) for name, uses in new.items()})
    with open(cache, "w") as f:
        json.dump(known, f)
    return {row.name: known[row.name][1] for row in rows}


def users_of(rows, uses, symbols):
    """The rows in which a program uses one of them, those first that use little else."""
    ranks = {}
    for row in rows:
        for program, bound in uses[row.name].items():
            if program not in COMMON and set(symbols) & set(bound):
                rank = (program not in OWN, len(bound), row.name)
                ranks[row] = min(rank, ranks.get(row, rank))
    return sorted(ranks, key=ranks.get)


# ---- what happens without ------------------------------------------------------

def is_loud(row, plain, disk):
    """One of our programs ends with a status only if something fails."""
    status = disk.status
    if isinstance(status, str) or status < 0 or status > 128:
        return True
    if status != plain.status and "{bin}" in row.cmd:
        return True
    known = collections.Counter((plain.out + plain.err).splitlines())
    new = collections.Counter((disk.out + disk.err).splitlines()) - known
    return any(ERROR.search(line) for line in new)


def try_row(row, preload, body):
    """None, or whether it failed loudly, and its problems."""
    seen = {}

    def watch(row, shape, plain, disk):
        seen["loud"] = is_loud(row, plain, disk)

    row = copy.copy(row)
    row.name += " without " + body
    row.preload = preload
    verdict, problems = harness.run_row(row, Options, spoil=watch)
    return (seen.get("loud", False), problems) if verdict == "fail" else None


def try_body(body, symbols, rows, options):
    """(verdict, what to say of it, what differs)"""
    preload = without(symbols, "%s/roots/%s" % (WORK, body.replace("/", "_")))
    silent, unseen = hooks_known.SILENT.get(body), hooks_known.UNSEEN.get(body)
    failing = []
    for row in rows[:options.most]:
        failed = try_row(row, preload, body)
        if failed:
            failing.append((row, *failed))
            if not options.all:
                break
    differs = ["  %s %s\n%s" % (row.name, "says so" if loud else "is silent", "".join("    %s\n" % p for p in problems))
               for row, loud, problems in failing]
    if not failing:
        if unseen:
            return "pass", unseen, differs
        if body in hooks_known.ROOT and os.geteuid() != 0:
            return "fail" if os.environ.get("CI") == "true" else "skip", "needs root", differs
        return "fail", "no row fails of %d that use it" % len(rows), differs
    row, loud, _ = failing[0]
    if unseen:
        return "fail", "is listed as not to be seen, but %s fails" % row.name, differs
    if loud and silent:
        return "fail", "is listed as silent, but %s says so" % row.name, differs
    if not loud and not silent:
        return "fail", "%s fails without a word" % row.name, differs
    return "pass", row.name if loud else "%s: %s" % (row.name, silent), differs


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("-n", dest="most", type=int, default=40, help="rows to try for each body")
    parser.add_argument("-j", dest="jobs", type=int, default=2)
    parser.add_argument("-v", dest="verbose", action="store_true", help="say which row it is, and what differs")
    parser.add_argument("--all", action="store_true", help="do not stop at the first row that fails")
    parser.add_argument("bodies", nargs="*")
    options = parser.parse_args()
    options.verbose |= options.all
    common.require()
    every = bodies()
    unknown = (set(hooks_known.SILENT) | set(hooks_known.UNSEEN) | set(hooks_known.ROWS)) - set(every)
    if unknown:
        raise SystemExit("hooks_known.py: no such body: " + " ".join(sorted(unknown)))
    chosen = [body for body in every
              if not options.bodies or any(fnmatch.fnmatch(body, name) for name in options.bodies)]
    if not chosen:
        raise SystemExit("hooks.py: no such body: " + " ".join(options.bodies))
    rows = [row for row in harness.at_most(table.rows(), 1)
            if not row.xfail and not harness.missing(row.needs) and ("{bin}" in row.cmd or "{progs}" in row.cmd)]
    lock = harness.take_work()
    harness.LIMIT = 30
    os.makedirs(WORK, exist_ok=True)
    harness.prepare(rows)
    uses = uses_of(rows, options.jobs)
    count = {"pass": 0, "fail": 0, "skip": 0}

    def one(body):
        first = [row for row in rows if row.name.split("@")[0] == hooks_known.ROWS.get(body)]
        return try_body(body, every[body], first + users_of(rows, uses, every[body]), options)

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for body, (verdict, text, differs) in zip(chosen, pool.map(one, chosen)):
            count[verdict] += 1
            if verdict != "pass" or options.verbose:
                print("%s %s: %s" % ("FAIL" if verdict == "fail" else verdict, body, text))
                print("".join(differs), end="", flush=True)
    shutil.rmtree(WORK + "/roots", ignore_errors=True)
    print("%(pass)d passed, %(fail)d failed, %(skip)d skipped" % count)
    return 1 if count["fail"] else 0


if __name__ == "__main__":
    sys.exit(main())

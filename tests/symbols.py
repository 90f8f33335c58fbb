#!/usr/bin/python3
"""The surface: is every function that can reach a disk hooked, or known to be harmless?

The library's exports are held against shim/hooks.def; every function of libc, libaio and
liburing against hooks.def and tests/unhooked.txt; that list against the system's headers, so
that what takes a descriptor, a stream or a path cannot stand among what does not; and what it
claims against what happens: each function is called on a disk and on a plain file. Last, each
of these is spoiled, and must be seen.

    symbols.py [-k PATTERN] [-v]

-k runs only the calls of the functions whose names match, a shell pattern; -v says what they did.
"""
import argparse
import collections
import copy
import ctypes
import fnmatch
import os
import re
import shlex
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
TESTS = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(TESTS, "surface"), os.path.join(TESTS, "e2e")]

import claims
import common
import libc
import probes

HOOKS = os.path.join(common.TESTED, "shim", "hooks.def")
UNHOOKED = os.path.join(TESTS, "unhooked.txt")
LIBRARIES = ("libc.so.6", "libaio.so.1", "liburing.so.2")
# Of a liburing later than Debian 12's: hooked for programs that have it.
LATER = {"io_uring_close_ring_fd", "io_uring_queue_init_mem", "io_uring_submit_and_wait_min_timeout",
         "io_uring_submit_and_wait_reg"}
STALE = "covers nothing"
TRIED = ("fails", "same", "lost")


class Surface:
    """What there is: functions by name, prototypes by name, names by address."""

    def __init__(self, cc):
        self.functions = {}
        self.missing = []
        for name in LIBRARIES:
            path = find_library(name)
            if path:
                self.functions.update(libc.functions(path))
            else:
                self.missing.append(name)
        self.prototypes = libc.prototypes(cc, libc.HEADERS)
        for header in ("libaio", "liburing"):
            for name, params in libc.prototypes(cc, [header]).items():
                self.prototypes.setdefault(name, params)
        self.at = collections.defaultdict(set)
        for function in self.functions.values():
            for address in function.addresses:
                self.at[function.library, address].add(function.name)
        self.rows = collections.defaultdict(list)

    def twins(self, name):
        """Other names of the same code."""
        function = self.functions[name]
        return set().union(*(self.at[function.library, a] for a in function.addresses)) - {name}

    def parameters(self, name):
        """As a header declares it, or else one that it is a form of; None if none does."""
        base = re.sub(r"^(_IO_|__libc_|__isoc99_|_+)|(_chk|64|_internal|_unlocked)$", "", name)
        again = re.sub(r"(_chk|64|_internal|_unlocked)$", "", base)
        for known in [name] + sorted(self.twins(name)) + [base, again]:
            if known in self.prototypes:
                return self.prototypes[known]
        return None


def find_library(name):
    try:
        ctypes.CDLL(name)
    except OSError:
        return None
    with open("/proc/self/maps") as maps:
        for line in maps:
            path = line.split()[-1]
            if os.path.realpath(path).startswith(os.path.realpath(os.path.dirname(path))) \
                    and re.match(re.escape(name.split(".so")[0]) + r"[.-]", os.path.basename(path)):
                return path
    return None


# ---- rules: each gives (what was looked at, what is wrong or nothing) ---------------

def check_exports(surface, hooked, exported):
    for name in sorted(set(hooked) | set(exported)):
        problem = None
        if name not in exported:
            problem = "stands in hooks.def, but the library does not export it"
        elif name not in hooked:
            problem = "is exported, but does not stand in hooks.def"
        elif hooked.count(name) > 1:
            problem = "stands in hooks.def twice"
        elif name not in surface.functions and name not in LATER and not absent(surface, name):
            problem = "is hooked, but no library has it"
        yield name, problem


def check_covered(surface, hooked, listed):
    """Every function that is not hooked has exactly one claim; every claim has a function."""
    chooser = claims.Chooser(listed, surface.functions)
    problems = collections.defaultdict(list)
    used = set()
    for name, function in sorted(surface.functions.items()):
        if name in hooked:
            for claim in chooser.covering(name):
                problems[claim].append("%s is hooked" % name)
            continue
        claim, others = chooser.choose(name)
        if not claim:
            hits = libc.reaches(surface.parameters(name) or [])
            yield name, "is neither hooked nor in unhooked.txt; it takes %s" % (
                "; ".join(hits) or "nothing that looks like a file")
            continue
        used.add(claim)
        for other in others:
            problems[other].append("%s is covered by line %d (%s), too"
                                   % (name, claim.line, claim.pattern))
        problem = misplaced(surface, hooked, chooser, function, claim)
        if problem:
            problems[claim].append("%s: %s" % (name, problem))
    for claim in listed.covering():
        if claim not in used and claim not in problems and not absent(surface, claim.pattern):
            problems[claim].append(STALE)
        yield "line %d (%s)" % (claim.line, claim.pattern), "; ".join(problems[claim])


def absent(surface, name):
    """Would it be in a library that is not installed?"""
    return bool(surface.missing) and re.match(r"(__)?io_", name) is not None


def misplaced(surface, hooked, chooser, function, claim):
    """Why this function cannot have this claim, or None."""
    name = function.name
    params = surface.parameters(name)
    hits = libc.reaches(params or [])
    if claim.section == "neither":
        if hits:
            return "it takes %s" % "; ".join(hits)
        if params is None and function.default and claims.is_glob(claim.pattern):
            return "no header declares it, so it must be named"
    elif claim.section == "names":
        if params is not None and not hits:
            return "nothing in it looks like a file: it belongs into [neither]"
    else:
        same_as = surface.twins(name) & set(hooked)
        if same_as and claim.outcome not in ("fails", "same") and "PRIVATE" not in claim.pattern:
            return "it is the hooked %s by another name, so it must be tried" % min(same_as)
        if claim.outcome == "alias":
            others = [chooser.choose(twin)[0]
                      for twin in surface.twins(name) - set(hooked)]
            if not any(other and other.outcome in TRIED for other in others):
                return "it is no other name of a function that is tried"
        elif claim.outcome != "uncalled" and not surface.rows[name]:
            return "it claims what no row of the probes tries"
    return None


def check_rows(surface, hooked, listed):
    """Claims on single rows, and those on hooked functions, have something to speak of."""
    rows = [row for name in surface.rows for row in surface.rows[name]]
    keys = {row: "%s/%s" % (row.symbol, row.variant) for row in rows}
    for claim in listed.all:
        pattern = claim.pattern if "/" in claim.pattern else claim.pattern + "/*"
        if "/" not in claim.pattern and claim.section != "hooked":
            continue
        mine = [row for row in rows if fnmatch.fnmatchcase(keys[row], pattern)]
        problem = None
        if not mine and not absent(surface, claim.pattern):
            problem = "line %d: no row of the probes tries it" % claim.line
        elif claim.section == "hooked" and any(row.symbol not in hooked for row in mine):
            problem = "line %d: is not hooked" % claim.line
        elif claim.outcome not in TRIED:
            problem = "line %d: a row can only fail, be the same, or be lost" % claim.line
        yield claim.pattern, problem
    for row in rows:
        claim = listed.of_row(row.symbol, row.variant)
        if row.symbol not in surface.functions and not absent(surface, row.symbol):
            yield row.symbol, "is tried, but no library has it"
        elif row.symbol not in hooked and (not claim or claim.outcome not in TRIED):
            yield row.symbol, "is tried, but nothing is claimed of it"


def check_sight(surface, hooked):
    """
    What is hooked takes files, so the prototypes must say so of nearly all: the rest
    are the ends of a process, signals and threads, and stdio on standard streams. Those of liburing take a ring, where
    the files stand in a queue.
    """
    declared = [name for name in hooked
                if name in surface.functions and surface.parameters(name) is not None
                and not name.startswith("io_uring_")]
    blind = [name for name in declared if not libc.reaches(surface.parameters(name))]
    good = len(declared) > 150 and len(blind) < len(declared) * 0.2
    yield "headers", None if good else "of %d hooked functions that they declare, these seem to " \
        "take no file: %s" % (len(declared), " ".join(blind))


def check_all(surface, hooked, exported, listed):
    yield from check_sight(surface, hooked)
    yield from check_exports(surface, hooked, exported)
    yield from check_covered(surface, hooked, listed)
    yield from check_rows(surface, hooked, listed)


# ---- spoiling ------------------------------------------------------------------

def spoiled(surface, hooked, exported, text):
    """(what was spoiled, whether it was seen)."""
    def seen(message, hooks=hooked, exports=exported, new=text):
        try:
            listed = claims.Claims(new)
        except claims.Malformed as err:
            return message in str(err)
        return any(message in "%s %s" % (name, problem)
                   for name, problem in check_all(surface, hooks, exports, listed) if problem)

    def added(section, line):
        return text.replace("\n[%s]\n" % section, "\n[%s]\n%s\n" % (section, line))

    less = [name for name in hooked if name != "pread"]
    blinded = copy.copy(surface)
    blinded.prototypes = {name: ["int number"] for name in surface.prototypes}
    yield "headers that say nothing", any(problem for _, problem in check_sight(blinded, hooked))
    yield "a row less", seen("pread is exported, but does not stand", hooks=less)
    yield "a row and its export less", seen("pread is neither hooked nor", less, less)
    yield "an export less", seen("pread stands in hooks.def, but", exports=less)
    yield "a hook of nothing", seen("is hooked, but no library",
                                    hooked + ["opeen"], exported + ["opeen"])
    yield "a row twice", seen("pread stands in hooks.def twice", hooks=hooked + ["pread"])
    yield "a line less", seen("catopen is neither", new=re.sub(r"(?m)^catopen: .*\n", "", text))
    yield "a line on nothing", seen(STALE, new=added("reaches", "freed: uncalled: x"))
    yield "a glob on nothing", seen(STALE, new=added("neither", "zz*: x"))
    yield "a name twice", seen("dlsym is covered by", new=added("names", "dlsym: x"))
    yield "two globs on one", seen("strlen is covered by", new=added("neither", "strl*: x"))
    yield "a line on a hooked one", seen("pread is hooked", new=added("reaches", "pread: same: x"))
    yield "a glob on a hooked one", seen("pread is hooked", new=added("neither", "prea*: x"))
    for name in ("pathconf", "chmod", "fgets", "__recv_chk", "aio_return", "fts_open",
                 "_IO_file_read"):
        less = re.sub(r"(?m)(^| )%s(?=[ :])" % name, r"\1", text)
        less = re.sub(r"(?m)^ *: .*\n", "", less)
        said = "it takes" if name != "_IO_file_read" else "must be named"
        yield name + " among the harmless", seen(said, new=less + "\n%s*: x\n" % name[:-1])
    yield "a name that is none", seen("belongs into [neither]", new=added("names", "strlen: x"))
    yield "a glob among names", seen("a glob among names", new=added("names", "get*: x"))
    yield "an alias of nothing", seen("is no other name", new=text.replace(
        "\nfcloseall pclose: same", "\nfcloseall pclose: alias"))
    yield "another name uncalled", seen("by another name, so it must be tried",
                                        [name for name in hooked if name != "llseek"],
                                        [name for name in exported if name != "llseek"],
                                        new=added("reaches", "llseek: uncalled: x"))
    yield "a claim without a row", seen("no row of the probes tries", new=text.replace(
        "sem_open sem_unlink: uncalled", "sem_open sem_unlink: same"))
    yield "a variant without a row", seen("no row of the probes",
                                          new=added("reaches", "dlopen/x: same: x"))
    yield "a row without a claim", seen("nothing is claimed of it", new=text.replace(
        "\ncatopen: same", "\ncatopen: uncalled"))
    yield "no such errno", seen("no such errno", new=added("reaches", "x: fails EWHY: x"))
    yield "no reason", seen("a part is missing", new=added("reaches", "x: same: "))


def false_claims(tried):
    """The same with claims on what happens."""
    rows = {(row.symbol, row.variant): row for row in tried.rows()}
    for symbol, variant, line in (("eventfd_read", "", "same"), ("access", "", "fails EBADF"),
                                  ("eventfd_read", "", "fails EACCES"), ("fputs", "", "lost"),
                                  ("fputs", "", "fails EBADF"), ("rename", "from", "lost"),
                                  ("fread", "", "lost"), ("linkat", "fd", "same")):
        listed = claims.Claims("[reaches]\n%s: %s: x" % (symbol, line))
        verdict, _ = tried.judge(rows[symbol, variant], listed.all[0])
        yield "%s/%s: %s" % (symbol, variant, line), verdict == "failed"


# ---- main ----------------------------------------------------------------------

class Tally:
    def __init__(self):
        self.passed = self.failed = self.skipped = 0

    def note(self, good, message):
        if good:
            self.passed += 1
        else:
            self.failed += 1
            print("FAIL: " + message)

    def missing(self, message):
        """Without a program nothing is tested, so where it counts that is a failure."""
        if os.environ.get("CI") == "true":
            self.note(False, message)
        else:
            self.skip(message)

    def skip(self, message):
        self.skipped += 1
        print("skipped: " + message)

    def end(self):
        print("%d passed, %d failed, %d skipped" % (self.passed, self.failed, self.skipped))
        return 1 if self.failed else 0


def check_list(surface, hooked, exported, listed, tally):
    version = subprocess.run(["getconf", "GNU_LIBC_VERSION"], stdout=subprocess.PIPE,
                             universal_newlines=True).stdout.split()[1:] + [os.uname().machine]
    ours = version == listed.libc
    if not ours:
        tally.skip("unhooked.txt was written for glibc %s, this is %s: lines that cover nothing"
                   % (" ".join(listed.libc or ["?"]), " ".join(version)))
    for name, problem in check_all(surface, hooked, exported, listed):
        if ours or problem != STALE:
            tally.note(not problem, "%s: %s" % (name, problem))


def check_calls(tried, listed, hooked, options, tally):
    wanted, default = [], claims.Claims("[reaches]\nx: same: hooked").all[0]
    for row in tried.rows():
        claim = listed.of_row(row.symbol, row.variant)
        if not claim and row.symbol in hooked:
            claim = default
        if fnmatch.fnmatchcase(row.symbol, options.k) and claim and claim.outcome in TRIED:
            wanted.append((row, claim))
    for row, verdict, lines in tried.judge_all(wanted):
        name = row.symbol + ("/" + row.variant if row.variant else "")
        if verdict == "skipped":
            tally.skip("%s: %s" % (name, lines[0][5:]))
        else:
            tally.note(verdict == "passed", "\n      ".join(["%s on a disk" % name] + lines))
        if options.v:
            print("%s: %s" % (name, verdict))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-k", default="*", metavar="PATTERN")
    parser.add_argument("-v", action="store_true")
    options = parser.parse_args()
    tally = Tally()
    cc = shlex.split(os.environ.get("CC") or "gcc")
    common.require()
    for program in (cc[0], "nm"):
        if not shutil.which(program):
            tally.missing("%s is not installed: nothing of the surface was tested" % program)
            return tally.end()
    with open(HOOKS) as f:
        hooked = re.findall(r"^(?:HOOK|NARROW)\(\w+, *(\w+), *\w+\)", f.read(), re.M)
    with open(UNHOOKED) as f:
        text = f.read()
    exported = [symbol[0] for symbol in libc.nm(common.LIBRARY)]
    surface = Surface(["gcc"] if shutil.which("gcc") else cc)
    for name in surface.missing:
        tally.missing("%s is not installed" % name)
    listed = claims.Claims(text)
    tried = probes.Probes(cc)
    try:
        for row in tried.rows():
            surface.rows[row.symbol].append(row)
        if options.k == "*":
            check_list(surface, hooked, exported, listed, tally)
            for what, seen in spoiled(surface, hooked, exported, text):
                tally.note(seen, "spoiled, and not seen: " + what)
            for what, seen in false_claims(tried):
                tally.note(seen, "a false claim, and not seen: " + what)
        check_calls(tried, listed, hooked, options, tally)
    finally:
        tried.close()
    return tally.end()


if __name__ == "__main__":
    sys.exit(main())

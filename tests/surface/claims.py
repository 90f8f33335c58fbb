"""tests/unhooked.txt: why each function that the shim does not hook needs no hook.

    glibc VERSION MACHINE           which libc the file was written for
    [reaches]                       can meet a disk's descriptor, path or stream
    PATTERN…: OUTCOME: text
    [hooked]                        is hooked, and yet not as on a plain file; no globs
    NAME…: OUTCOME: text
    [names]                         has a parameter that only looks like one; no globs
    NAME…: text
    [neither]                       takes neither
    PATTERN…: text

A PATTERN is a symbol or a shell pattern; PATTERN@VERSION covers only what has that version and no
other. NAME/VARIANT speaks of one row of the probes. An indented line goes
on with the one before it. The OUTCOMEs:

    fails ERRNO     it fails so, and moves nothing
    same            it does what it does on a plain file
    lost            it moves nothing and has no way to say so
    alias           libc has another name for it that stands in this list
    uncalled        it is not tried here; the text says why
"""
import collections
import errno
import fnmatch
import re

SECTIONS = ("reaches", "hooked", "names", "neither")
WITH_OUTCOME = ("reaches", "hooked")
OUTCOME = re.compile(r"fails (E[A-Z0-9]+)$|same$|lost$|alias$|uncalled$")

CONTINUED = "\0"        # where an indented line goes on

Claim = collections.namedtuple("Claim", "section pattern outcome argument text line")


class Malformed(Exception):
    pass


class Claims:
    def __init__(self, text):
        self.libc = None
        self.all = []
        section, before = None, 0
        for number, line in enumerate(re.sub(r"\n +", CONTINUED, text).split("\n"), 1):
            number += before
            before += line.count(CONTINUED)
            line = line.split("#", 1)[0].replace(CONTINUED, " ").rstrip()
            if not line:
                continue
            if line.startswith("glibc "):
                self.libc = line.split()[1:]
            elif re.match(r"\[\w+\]$", line):
                section = line[1:-1]
                if section not in SECTIONS:
                    raise Malformed("line %d: no such section: %s" % (number, section))
            elif section is None:
                raise Malformed("line %d: before the first section" % number)
            else:
                self.add(section, line, number)

    def add(self, section, line, number):
        parts = [part.strip() for part in line.split(": ", 2 if section in WITH_OUTCOME else 1)]
        if len(parts) != (3 if section in WITH_OUTCOME else 2) or not all(parts):
            raise Malformed("line %d: a part is missing: %s" % (number, line))
        outcome = argument = None
        if section in WITH_OUTCOME:
            match = OUTCOME.match(parts[1])
            if not match:
                raise Malformed("line %d: no such outcome: %s" % (number, parts[1]))
            outcome = parts[1].split()[0]
            argument = match.group(1)
            if outcome == "fails" and not hasattr(errno, argument):
                raise Malformed("line %d: no such errno: %s" % (number, argument))
        for pattern in parts[0].split():
            if section in ("names", "hooked") and is_glob(pattern.partition("/")[0]):
                raise Malformed("line %d: a glob among names: %s" % (number, pattern))
            self.all.append(Claim(section, pattern, outcome, argument, parts[-1], number))

    def covering(self):
        """The claims that say why a symbol is not hooked."""
        return [claim for claim in self.all
                if "/" not in claim.pattern and claim.section != "hooked"]

    def of_row(self, symbol, variant):
        """The claim on a row of the probes, one on its variant first; None without one."""
        row = symbol + "/" + variant
        mine = [claim for claim in self.all if "/" in claim.pattern
                and fnmatch.fnmatchcase(row, claim.pattern)]
        mine += [claim for claim in self.all if claim.pattern == symbol]
        return mine[0] if mine else None


def is_glob(pattern):
    return re.search(r"[*?\[]", pattern) is not None


class Chooser:
    """Finds the claims on a function."""
    _seen = {}      # what a pattern covers is the same for every list on the same functions

    def __init__(self, listed, functions):
        self.claims = collections.defaultdict(list)
        for claim in listed.covering():
            key = claim.pattern, id(functions)
            if key not in self._seen:
                self._seen[key] = covered(claim.pattern, functions)
            for name in self._seen[key]:
                self.claims[name].append(claim)

    def covering(self, name):
        return self.claims.get(name, [])

    def choose(self, name):
        """
        (claim or None, those that cover the function as well and should not). A name is
        an exception from a glob.
        """
        found = self.covering(name)
        names = [claim for claim in found if not is_glob(claim.pattern)]
        first = (names or found or [None])[0]
        return first, [claim for claim in found if claim is not first
                       and (claim in names or first not in names)]


def covered(pattern, functions):
    pattern, _, version = pattern.partition("@")
    names = fnmatch.filter(functions, pattern) if is_glob(pattern) else {pattern} & set(functions)
    return [name for name in names if is_version(functions[name].versions, version)]


def is_version(versions, wanted):
    """Without a version, any but those that are only for libc's own libraries."""
    if wanted:
        return all(version == wanted for version in versions)
    return any(version != "GLIBC_PRIVATE" for version in versions)

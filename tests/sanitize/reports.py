#!/usr/bin/python3
"""Prints what sanitizers reported, with names and lines, and fails if there is anything.

    reports.py DIRECTORY BUILD

DIRECTORY has one file for each process that said anything. Left out are the warnings of a
runtime about itself, and the leaks of the programs: a leak is ours if what was made in BUILD
is in its stack.
"""
import os
import re
import subprocess
import sys

NOISE = (
    # QEMU's coroutines change stacks; what is on them is not looked at then.
    r"==.*==WARNING: ASan doesn't fully support makecontext/swapcontext functions",
    r"==.*==WARNING: ASan is ignoring requested __asan_handle_no_return: stack",
    r"False positive error reports may follow$",
    r"For details see https://github.com/google/sanitizers/issues/189$",
)
FRAME = re.compile(r"( *#\d+ )(/.*)\+(0x[0-9a-f]+)$")


def main():
    where, build = sys.argv[1:]
    found = []
    for name in sorted(os.listdir(where)):
        with open(os.path.join(where, name), errors="replace") as f:
            text = own(f.read(), build)
        if text:
            found.append("---- %s\n%s" % (name, "\n".join(map(resolved, text))))
    # A race that each process has is not said a hundred times.
    for text in found[:20]:
        print(text)
    if found:
        print("%d processes with reports in %s" % (len(found), where))
    return 1 if found else 0


def own(text, build):
    """The lines of a report that count."""
    lines = [line for line in text.splitlines() if not any(re.match(n, line) for n in NOISE)]
    if not any("LeakSanitizer: detected memory leaks" in line for line in lines):
        return lines if any(lines) else []
    kept, block = [], []
    for line in lines + [""]:
        if line:
            block.append(line)
            continue
        if not (block and re.match(r"(Direct|Indirect) leak", block[0])):
            kept += [at for at in block if not re.match(
                r"=+$|==.*==ERROR: LeakSanitizer: detected memory leaks|SUMMARY: .* leaked in", at)]
        elif any(re.match(r" *#\d+ %s/(?!root/)" % re.escape(build), at) for at in block):
            kept += block
        block = []
    return kept


def resolved(line):
    match = FRAME.match(line)
    if not match:
        return line
    number, path, at = match.groups()
    said = subprocess.run(["addr2line", "-fse", path, at], stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, universal_newlines=True).stdout.split()
    # More words say which of several branches in the line it is.
    if len(said) < 2 or said[0] == "??":
        return line
    return "%s%s %s" % (number, said[0], said[1])


if __name__ == "__main__":
    sys.exit(main())

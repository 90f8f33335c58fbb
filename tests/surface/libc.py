"""What the C library offers: its exported functions, and what its headers say of them.

A prototype tells by its parameters whether a function can meet a disk: by an int
called fd, by a FILE, by a string called file or path. Names are all there is to go by,
so they are matched generously: what only looks like one is for tests/unhooked.txt to say.
"""
import collections
import re
import subprocess

HEADERS = """
aio aliases argp argz arpa/inet arpa/nameser assert byteswap complex ctype dirent dlfcn endian envz
err errno error execinfo fcntl fenv fmtmsg fnmatch fstab fts ftw gconv getopt glob gnu/libc-version grp
gshadow iconv ifaddrs inttypes langinfo libgen libintl link locale malloc math mcheck memory mntent
monetary mqueue net/ethernet net/if netdb netinet/ether netinet/in nl_types nss obstack poll printf
pthread pty pwd re_comp regex resolv sched search semaphore setjmp sgtty shadow signal spawn stdio
stdio_ext stdlib string strings sys/acct sys/auxv sys/epoll sys/eventfd sys/fanotify sys/file
sys/fsuid sys/gmon sys/inotify sys/io sys/ioctl sys/ipc sys/klog sys/mman sys/mount sys/msg sys/mtio
sys/personality sys/pidfd sys/platform/x86 sys/poll sys/prctl sys/profil sys/ptrace sys/quota
sys/random sys/reboot sys/resource sys/rseq sys/select sys/sem sys/sendfile sys/shm sys/signalfd
sys/single_threaded sys/socket sys/stat sys/statfs sys/statvfs sys/swap sys/syscall sys/sysinfo
sys/sysmacros sys/time sys/timeb sys/timerfd sys/times sys/timex sys/types sys/ucontext sys/uio
sys/user sys/utsname sys/vlimit sys/wait sys/xattr syslog termios threads time ttyent uchar ucontext
ulimit unistd utime utmp utmpx wchar wctype wordexp
""".split()

DESCRIPTOR = re.compile(r"_*(\w*fds?|fd\w*|fil?e?des\w*|dir|mqdes|sock\w*|s|d|fp)$")
PATHS = re.compile(r"_*(\w*(file|path|name|dir)\w*|from|to|old|new|special|device|target|source|tmpl"
                   r"|template|pattern|tty|cmd|command|node|prog\w*)$")
POINTERS = re.compile(r"\b(_?_?FILE|struct _IO_FILE|struct pollfd|fd_set|struct aiocb(64)?|struct iocb"
                      r"|posix_spawn_file_actions_t|struct msghdr|struct mmsghdr)\b")

# symbol: the name. default: a program that is linked today can bind to it (else it is only
# for old binaries, or for libc's own libraries). versions: all that it has. address: of each.
Function = collections.namedtuple("Function", "name default versions addresses library")


def nm(library):
    """(name, type, version, default, address) of every symbol that a library defines."""
    text = subprocess.run(["nm", "-D", "--defined-only", "--with-symbol-versions", library],
                          check=True, stdout=subprocess.PIPE, universal_newlines=True).stdout
    for line in text.splitlines():
        address, kind, symbol = line.split()
        name, at, version = symbol.partition("@")
        yield name, kind, version.lstrip("@"), not at or version.startswith("@"), int(address, 16)


def functions(library):
    found = {}
    for name, kind, version, default, address in nm(library):
        if kind not in "TtWwi":
            continue
        have = found.get(name, Function(name, False, (), (), library))
        found[name] = have._replace(
            default=have.default or (default and version != "GLIBC_PRIVATE"),
            versions=have.versions + (version,), addresses=have.addresses + (address,))
    return found


# ---- prototypes --------------------------------------------------------------

def without_groups(text, opening, closing, word=None):
    """`text` without every balanced group that follows `word` (or any, if None)."""
    out, at = [], 0
    start = re.compile((r"\b(?:%s)\s*" % word if word else "") + re.escape(opening))
    while True:
        match = start.search(text, at)
        if not match:
            return "".join(out) + text[at:]
        out.append(text[at:match.start()])
        depth, at = 1, match.end()
        while depth and at < len(text):
            depth += {opening: 1, closing: -1}.get(text[at], 0)
            at += 1
        out.append(";" if opening == "{" else " ")


def parameters(text):
    parts, depth, last = [], 0, ""
    for char in text:
        depth += {"(": 1, ")": -1, "[": 1, "]": -1}.get(char, 0)
        if char == "," and depth == 0:
            parts.append(last)
            last = ""
        else:
            last += char
    return [" ".join(part.split()) for part in parts + [last]]


def parse(text):
    """{symbol: [parameter, …]} of all function declarations in preprocessed C."""
    text = re.sub(r'^#.*$', "", text, flags=re.M)
    found = {}
    text = without_groups(text, "(", ")", "__attribute__|__attribute|__nonnull|_Alignas")
    text = without_groups(text, "{", "}")
    text = re.sub(r"\b(__extension__|__restrict|restrict|__inline__|__inline|inline|extern|static"
                  r"|_Noreturn|__volatile__)\b", " ", text)
    for part in text.split(";"):
        if re.match(r"\s*typedef\b", part):
            continue
        label = re.search(r'\b__?asm(?:__)?\s*\(([^()]*)\)\s*$', part)
        if label:
            asm = "".join(re.findall(r'"([^"]*)"', label.group(1)))
            part = part[:label.start()]
        match = re.match(r"\s*([\w\s*]+?[\s*])(\w+)\s*\((.*)\)\s*$", part, re.S)
        if not match:
            match = re.match(r"\s*([\w\s*]+?[\s*])\((\w+)\)\s*\((.*)\)\s*$", part, re.S)
        if not match or match.group(1).strip() in ("return", "else"):
            continue
        names = {match.group(2)} | ({asm} if label else set())
        for name in names:
            found.setdefault(name, []).extend(parameters(match.group(3)))
    return found


def prototypes(cc, headers):
    """What the headers that exist declare, with and without fortification."""
    source = "".join("#if __has_include(<%s.h>)\n#include <%s.h>\n#endif\n" % (header, header)
                     for header in headers)
    found = {}
    for flags in (["-O2", "-D_FORTIFY_SOURCE=2"], ["-U_FORTIFY_SOURCE"]):
        command = cc + flags + ["-D_GNU_SOURCE", "-w", "-E", "-P", "-x", "c", "-"]
        text = subprocess.run(command, check=True, input=source, stdout=subprocess.PIPE,
                              universal_newlines=True).stdout
        for name, params in parse(text).items():
            found.setdefault(name, []).extend(params)
    return found


def reaches(params):
    """The parameters by which a disk could get in."""
    hits = []
    for param in dict.fromkeys(params):
        words = re.findall(r"\w+", re.sub(r"\[.*", "", param))
        name = words[-1] if len(words) > 1 else ""
        if POINTERS.search(param):
            hits.append(param)
        elif "(" in param:
            continue            # a function's
        elif "*" in param or "[" in param:
            unnamed = re.match(r"(const )?char ?\*", param) and name in ("", "char", "const")
            if re.search(r"\bchar\b", param) and (PATHS.match(name) or unnamed):
                hits.append(param)
        elif re.match(r"(const )?(int|unsigned|_*mqd_t)\b", param) and DESCRIPTOR.match(name):
            hits.append(param)
    return hits

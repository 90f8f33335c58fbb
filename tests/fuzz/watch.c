/*
 * Watching the engine from outside: what it opens and maps it must give back, and
 * what it was not to change it must not have changed.
 */
#include <errno.h>
#include <ftw.h>
#include <fcntl.h>

#include "fuzz.h"

static int descriptors, maps;
static struct snapshot *taking;

void fuzz_check_line(const char *text, const char *what)
{
    check(text[0], "%s: an empty message", what);
    for (const char *at = text; *at; at++)
        check((unsigned char)*at >= 0x20 && *at != 0x7f, "%s: not a plain line: \"%s\"", what,
              text);
}

static void count(const struct sys_call *call, int64_t result)
{
    if ((call->op == SYS_OPEN || call->op == SYS_MEMFD) && result >= 0)
        __atomic_fetch_add(&descriptors, 1, __ATOMIC_RELAXED);
    else if (call->op == SYS_CLOSE)
        __atomic_fetch_sub(&descriptors, 1, __ATOMIC_RELAXED);
    else if (call->op == SYS_MMAP && result >= 0)
        __atomic_fetch_add(&maps, 1, __ATOMIC_RELAXED);
    else if (call->op == SYS_MUNMAP)
        __atomic_fetch_sub(&maps, 1, __ATOMIC_RELAXED);
}

void fuzz_watch(int (*before)(struct sys_call *call))
{
    static struct sys_hook hook = { .after = count };

    hook.before = before;
    descriptors = maps = 0;
    sys_hook(&hook);
}

void fuzz_balanced(const char *what)
{
    check(descriptors == 0 && maps == 0, "%s: %d descriptors and %d mappings are left", what,
          descriptors, maps);
}

static int no_sync(int fd)
{
    return fd < 0 ? -EBADF : 0;
}

static void check_log(const char *line)
{
    fuzz_check_line(line, "log");
}

static void fill(struct acow_sys *sys, const struct acow_sys *from)
{
    *sys = *from;
    sys->fdatasync = no_sync;
    sys->log = check_log;
}

const struct acow_sys *fuzz_sys(void)
{
    static struct acow_sys sys;

    if (!sys.open)
        fill(&sys, &sys_hooked);
    return &sys;
}

const struct acow_sys *fuzz_plain_sys(void)
{
    static struct acow_sys sys;

    if (!sys.open)
        fill(&sys, &acow_sys_libc);
    return &sys;
}

/* ---- the directory ----------------------------------------------------- */

static uint64_t mix(uint64_t hash, const void *data, size_t len)
{
    const uint8_t *at = data;

    while (len-- > 0)
        hash = (hash ^ *at++) * 0x100000001b3ull;
    return hash;
}

/* The beginning of a regular file's content; that the rest is written is seen by its time. */
static uint64_t mix_content(uint64_t hash, const char *path, mode_t mode)
{
    char buf[4096];
    ssize_t n = 0;

    if (S_ISLNK(mode)) {
        n = readlink(path, buf, sizeof(buf));
    } else if (S_ISREG(mode)) {
        int fd = open(path, O_RDONLY);

        n = read(fd, buf, sizeof(buf));
        close(fd);
    }
    check(n >= 0, "%s: %m", path);
    return mix(hash, buf, (size_t)n);
}

static int note(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    struct shot *shot = &taking->shots[taking->count];
    uint64_t hash = 0xcbf29ce484222325ull;

    (void)kind;
    if (ftw->level == 0)
        return 0;
    check(taking->count++ < (int)(sizeof(taking->shots) / sizeof(taking->shots[0])));
    check((size_t)snprintf(shot->path, sizeof(shot->path), "%s", path) < sizeof(shot->path));
    shot->ino = st->st_ino;
    hash = mix(hash, &st->st_mode, sizeof(st->st_mode));
    hash = mix(hash, &st->st_uid, sizeof(st->st_uid));
    if (!S_ISDIR(st->st_mode)) {
        hash = mix(hash, &st->st_nlink, sizeof(st->st_nlink));
        hash = mix(hash, &st->st_size, sizeof(st->st_size));
        hash = mix(hash, &st->st_mtim, sizeof(st->st_mtim));
    }
    shot->hash = mix_content(hash, path, st->st_mode);
    return 0;
}

void snapshot_take(struct snapshot *snapshot)
{
    taking = snapshot;
    snapshot->count = 0;
    check(nftw(".", note, 16, FTW_PHYS) == 0, "%m");
}

static bool is_run(const char *path)
{
    size_t len = strlen(path);

    return len > 4 && strcmp(path + len - 4, ".run") == 0;
}

static const struct shot *find(const struct snapshot *snapshot, const char *path)
{
    for (int i = 0; i < snapshot->count; i++)
        if (strcmp(snapshot->shots[i].path, path) == 0)
            return &snapshot->shots[i];
    return NULL;
}

void snapshot_same(const struct snapshot *before, uint64_t ino, uint64_t other_ino, bool run_too,
                   const char *what)
{
    struct snapshot now;

    snapshot_take(&now);
    for (int i = 0; i < before->count; i++) {
        const struct shot *old = &before->shots[i], *new = find(&now, old->path);

        if (run_too && is_run(old->path))
            continue;
        check(new && new->ino == old->ino, "%s: %s is gone or another file", what, old->path);
        check(new->hash == old->hash || old->ino == ino || old->ino == other_ino,
              "%s: %s has changed", what, old->path);
    }
    for (int i = 0; i < now.count; i++)
        check(find(before, now.shots[i].path) || (run_too && is_run(now.shots[i].path)),
              "%s: %s has appeared", what, now.shots[i].path);
}

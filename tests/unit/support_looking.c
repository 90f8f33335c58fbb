/* Looking at disks; see looking.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "looking.h"
#include "peer.h"
#include "region.h"

struct acow_check found;
struct acow_msg found_msg;

/* ---- a table to look with ------------------------------------------------ */

static int look_open(const char *path, int flags, unsigned mode)
{
    check(!(flags & (O_ACCMODE | O_CREAT | O_TRUNC)), "%s is opened to be changed", path);
    return acow_sys_libc.open(path, flags, mode);
}

static int look_lock(int fd, int cmd, struct flock *fl)
{
    check(cmd == F_OFD_GETLK, "a lock is taken");
    return acow_sys_libc.lock(fd, cmd, fl);
}

static int look_mmap(size_t len, int prot, int flags, int fd, int64_t off, void **out)
{
    check(!(prot & PROT_WRITE) || (flags & MAP_ANONYMOUS), "a file is mapped to be changed");
    return acow_sys_libc.mmap(len, prot, flags, fd, off, out);
}

static ssize_t no_pwrite(int fd, const void *buf, size_t len, int64_t off)
{
    (void)buf;
    check(false, "pwrite of %zu at %lld to %d", len, (long long)off, fd);
    return -EIO;
}

static ssize_t no_pwritev(int fd, const struct iovec *iov, int iovcnt, int64_t off)
{
    return no_pwrite(fd, iov, (size_t)iovcnt, off);
}

static int no_fdatasync(int fd)
{
    check(false, "fdatasync of %d", fd);
    return -EIO;
}

static int no_ftruncate(int fd, int64_t len)
{
    check(false, "ftruncate of %d to %lld", fd, (long long)len);
    return -EIO;
}

static int no_fallocate(int fd, int mode, int64_t off, int64_t len)
{
    check(false, "fallocate of %d, %d, %lld, %lld", fd, mode, (long long)off, (long long)len);
    return -EIO;
}

static int no_fchmod(int fd, unsigned mode)
{
    check(false, "fchmod of %d to %o", fd, mode);
    return -EIO;
}

static int no_fchown(int fd, unsigned uid, unsigned gid)
{
    check(false, "fchown of %d to %u, %u", fd, uid, gid);
    return -EIO;
}

static int no_memfd(const char *name)
{
    check(false, "memfd %s", name);
    return -EIO;
}

static int no_unlink(const char *path)
{
    check(false, "unlink of %s", path);
    return -EIO;
}

static int no_rename(const char *from, const char *to)
{
    check(false, "link or rename of %s to %s", from, to);
    return -EIO;
}

static struct acow_sys looking_table(void)
{
    struct acow_sys sys = acow_sys_libc;

    sys.open = look_open;
    sys.lock = look_lock;
    sys.mmap = look_mmap;
    sys.pwrite = no_pwrite;
    sys.pwritev = no_pwritev;
    sys.fdatasync = no_fdatasync;
    sys.ftruncate = no_ftruncate;
    sys.fallocate = no_fallocate;
    sys.fchmod = no_fchmod;
    sys.fchown = no_fchown;
    sys.memfd = no_memfd;
    sys.unlink = no_unlink;
    sys.link = no_rename;
    sys.rename = no_rename;
    return sys;
}

/* ---- checks ------------------------------------------------------------------ */

void look_end(void)
{
    acow_check_free(&found);
}

static void check_counts(void)
{
    uint64_t counts[4] = { 0 }, repaired[4] = { 0 };

    for (size_t i = 0; i < found.nfindings; i++)
        (found.findings[i].repaired ? repaired : counts)[found.findings[i].severity]++;
    check(counts[ACOW_NOTE] == found.notes && counts[ACOW_LEAK] == found.leaks
          && counts[ACOW_CORRUPTION] == found.corruptions
          && counts[ACOW_UNCHECKED] == found.unchecked);
    check(repaired[ACOW_NOTE] == found.notes_repaired && repaired[ACOW_LEAK] == found.leaks_repaired
          && repaired[ACOW_CORRUPTION] == found.corruptions_repaired
          && repaired[ACOW_UNCHECKED] == 0);
}

int look_with(const struct acow_sys *sys, const char *path, int repair)
{
    int fds = open_fds(), maps = mappings(), r;

    look_end();
    found_msg.text[0] = '\0';
    r = acow_check(sys, path, repair, &found, &found_msg);
    check(open_fds() == fds && mappings() == maps, "%s: descriptors or mappings leak", path);
    check(r == 0 || strlen(found_msg.text) > 0, "%s: %d, and no message", path, r);
    check_counts();
    return r;
}

int look_only(const char *path, int repair)
{
    struct acow_sys sys = looking_table();

    return look_with(&sys, path, repair);
}

void look(const char *path)
{
    int r = look_only(path, 0);

    check(r == 0, "%s: %d %s", path, r, found_msg.text);
}

static const char *all_found(void)
{
    static char text[16384];
    size_t len = 0;

    text[0] = '\0';
    for (size_t i = 0; i < found.nfindings && len < sizeof(text) - 5000; i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "\n  %s, severity %d, depth %d, "
                                "error %d: %s", acow_found_name(found.findings[i].kind),
                                found.findings[i].severity, found.findings[i].depth,
                                found.findings[i].error, found.findings[i].text);
    return text;
}

void expect_findings(size_t count)
{
    check(found.nfindings == count, "%zu findings, not %zu:%s", found.nfindings, count,
          all_found());
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);

    return len >= end_len && strcmp(text + len - end_len, end) == 0;
}

const struct acow_finding *expect_found(enum acow_found kind, enum acow_severity severity,
                                        int depth, int error, const char *file, const char *words)
{
    const struct acow_finding *finding = NULL;

    for (size_t i = 0; i < found.nfindings; i++) {
        if (found.findings[i].kind != kind)
            continue;
        check(!finding, "two of %s:%s", acow_found_name(kind), all_found());
        finding = &found.findings[i];
    }
    check(finding && finding->severity == severity && finding->depth == depth
          && finding->error == error && ends_with(finding->file, file)
          && strstr(finding->text, file) && strstr(finding->text, words)
          && !strchr(finding->text, '\n'),
          "no %s, severity %d, depth %d, error %d, of %s, with \"%s\":%s", acow_found_name(kind),
          severity, depth, error, file, words, all_found());
    return finding;
}

void expect_only(enum acow_found kind, enum acow_severity severity, int depth, int error,
                 const char *file, const char *words)
{
    expect_found(kind, severity, depth, error, file, words);
    expect_findings(1);
}

/* ---- run-time files ------------------------------------------------------------ */

void leave_behind(uint64_t off, uint64_t len, unsigned tag)
{
    struct peer peer = peer_start(&acow_sys_libc);

    peer_open(&peer, ACOW_RDWR);
    if (len > 0)
        peer_write(&peer, off, len, tag);
    peer_kill(&peer);
}

void run_other_boot(void)
{
    file_poke("d.add-cow.run", offsetof(struct region, boot_id), "x", 1);
}

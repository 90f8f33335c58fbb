/* Functions on a path, and on a path relative to a directory. */
#include <dirent.h>
#include <fts.h>
#include <ftw.h>
#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <mntent.h>
#include <nl_types.h>
#include <stdbool.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <utime.h>
#include <utmp.h>
#include <utmpx.h>
#include <wordexp.h>

#include "probe.h"

#define NAME "disk.add-cow"             /* path, seen from its directory, where we are */
#define OTHER "other.add-cow"

/* ---- names ------------------------------------------------------------- */

/* The bytes that the disk has under another name. */
static long moved(int result, const char *to)
{
    int at = open(to, O_RDONLY);

    if (at < 0)
        show("%s: %s", to, strerrorname_np(errno));
    else
        show_bytes(at, 512);
    return result;
}

PATH(rename, "from", moved(rename(path, OTHER), OTHER))
PATH(rename, "plain", moved(rename(path, "no-disk"), NAME))
PATH(renameat, "from", moved(renameat(AT_FDCWD, NAME, AT_FDCWD, OTHER), OTHER))
PATH(renameat2, "from", moved(renameat2(AT_FDCWD, NAME, AT_FDCWD, OTHER, 0), OTHER))
CALL(rename, "open", (rename(path, OTHER), show_bytes(fd, 512)))
PATH(link, "", moved(link(path, OTHER), OTHER))
PATH(linkat, "", moved(linkat(AT_FDCWD, NAME, AT_FDCWD, OTHER, 0), OTHER))
CALL(linkat, "fd", linkat(fd, "", AT_FDCWD, OTHER, AT_EMPTY_PATH))
PATH(symlink, "", moved(symlink(NAME, OTHER), OTHER))
PATH(symlinkat, "", moved(symlinkat(NAME, AT_FDCWD, OTHER), OTHER))
PATH(unlink, "", moved(unlink(path), NAME))
CALL(unlink, "open", (unlink(path), pwrite(fd, "new", 3, 512), show_bytes(fd, 512)))
PATH(unlinkat, "", moved(unlinkat(AT_FDCWD, NAME, 0), NAME))
PATH(remove, "", moved(remove(path), NAME))
PATH(rmdir, "", rmdir(path))
PATH(mkdir, "", mkdir(path, 0700))
PATH(mkdir, "new", mkdir(OTHER, 0700))
PATH(mkdirat, "", mkdirat(AT_FDCWD, NAME, 0700))
CALL(mkdirat, "fd", mkdirat(fd, "x", 0700))
PATH(mkfifo, "", mkfifo(path, 0600))
PATH(mkfifoat, "", mkfifoat(AT_FDCWD, NAME, 0600))
PATH(mknod, "", mknod(path, 0600, 0))
PATH(mknodat, "", mknodat(AT_FDCWD, NAME, 0600, 0))
CALL(unlinkat, "fd", unlinkat(fd, "", 0))

extern int __xmknod(int, const char *, mode_t, dev_t *);
extern int __xmknodat(int, int, const char *, mode_t, dev_t *);
extern ssize_t __readlink_chk(const char *, char *, size_t, size_t);
extern ssize_t __readlinkat_chk(int, const char *, char *, size_t, size_t);
extern char *__realpath_chk(const char *, char *, size_t);
static dev_t none;

PATH(__xmknod, "", __xmknod(0, path, 0600, &none))
PATH(__xmknodat, "", __xmknodat(0, AT_FDCWD, path, 0600, &none))
PATH(readlink, "", readlink(path, buf, sizeof(buf)))
PATH(__readlink_chk, "", __readlink_chk(path, buf, sizeof(buf), sizeof(buf)))
PATH(readlinkat, "", readlinkat(AT_FDCWD, NAME, buf, sizeof(buf)))
PATH(__readlinkat_chk, "", __readlinkat_chk(AT_FDCWD, NAME, buf, sizeof(buf), sizeof(buf)))
CALL(readlinkat, "fd", readlinkat(fd, "", buf, sizeof(buf)))

static long shown(const char *resolved)
{
    const char *slash = resolved ? strrchr(resolved, '/') : NULL;

    show("%s", slash ? slash + 1 : "none");
    return PTR(resolved);
}

PATH(realpath, "", shown(realpath(path, NULL)))
PATH(__realpath_chk, "", shown(__realpath_chk(NAME, (char[PATH_MAX]){ "" }, PATH_MAX)))
PATH(canonicalize_file_name, "", shown(canonicalize_file_name(path)))

/* ---- attributes -------------------------------------------------------- */

static const struct timeval past[2] = { { 1000000000, 0 }, { 1000000000, 0 } };
static const struct timespec past_ns[2] = { { 1000000000, 0 }, { 1000000000, 0 } };
static const struct utimbuf past_s = { 1000000000, 1000000000 };

#define SHOW_STAT(call) ({ \
    int r_ = call; struct stat st_; \
    stat(path, &st_); \
    show("mode %o owner %d:%d", st_.st_mode, st_.st_uid, st_.st_gid); \
    r_; })
#define SHOW_TIME(call) ({ \
    int r_ = call; struct stat st_; \
    stat(path, &st_); \
    show("mtime is the past: %d", st_.st_mtime == 1000000000); \
    r_; })

PATH(access, "", access(path, R_OK | W_OK))
PATH(access, "x", access(path, X_OK))
PATH(eaccess, "", eaccess(path, R_OK | W_OK))
PATH(euidaccess, "", euidaccess(path, R_OK | W_OK))
PATH(faccessat, "", faccessat(AT_FDCWD, NAME, R_OK | W_OK, 0))
CALL(faccessat, "fd", faccessat(fd, "", X_OK, AT_EMPTY_PATH))
PATH(chmod, "", SHOW_STAT(chmod(path, 0640)))
PATH(lchmod, "", SHOW_STAT(lchmod(path, 0640)))
PATH(fchmodat, "", SHOW_STAT(fchmodat(AT_FDCWD, NAME, 0640, 0)))
CALL(fchmodat, "fd", SHOW_STAT(fchmodat(fd, "", 0640, AT_EMPTY_PATH)))
PATH(chown, "", SHOW_STAT(chown(path, 1, 1)))
PATH(lchown, "", SHOW_STAT(lchown(path, 1, 1)))
PATH(fchownat, "", SHOW_STAT(fchownat(AT_FDCWD, NAME, 1, 1, 0)))
CALL(fchownat, "fd", SHOW_STAT(fchownat(fd, "", 1, 1, AT_EMPTY_PATH)))
PATH(utime, "", SHOW_TIME(utime(path, &past_s)))
PATH(utimes, "", SHOW_TIME(utimes(path, past)))
PATH(lutimes, "", SHOW_TIME(lutimes(path, past)))
PATH(futimesat, "path", SHOW_TIME(futimesat(AT_FDCWD, NAME, past)))
PATH(utimensat, "path", SHOW_TIME(utimensat(AT_FDCWD, NAME, past_ns, 0)))
CALL(utimensat, "fd", SHOW_TIME(utimensat(fd, "", past_ns, AT_EMPTY_PATH)))

#define XATTR "user.addcow-probe"

PATH(setxattr, "", ({
    int r = setxattr(path, XATTR, "value", 5, 0);
    int at = open(path, O_RDONLY);
    show("by descriptor %zd", fgetxattr(at, XATTR, buf, sizeof(buf)));
    r; }))
PATH(lsetxattr, "", lsetxattr(path, XATTR, "value", 5, 0))
PATH(getxattr, "", (setxattr(path, XATTR, "value", 5, 0), getxattr(path, XATTR, buf, sizeof(buf))))
PATH(lgetxattr, "", lgetxattr(path, XATTR, buf, sizeof(buf)))
PATH(listxattr, "", (setxattr(path, XATTR, "value", 5, 0), listxattr(path, buf, sizeof(buf))))
PATH(llistxattr, "", llistxattr(path, buf, sizeof(buf)))
PATH(removexattr, "", (setxattr(path, XATTR, "value", 5, 0), removexattr(path, XATTR)))
PATH(lremovexattr, "", lremovexattr(path, XATTR))

extern int chflags(const char *, unsigned long);
extern int __statfs(const char *, struct statfs *);
static struct statfs fs;
static struct statfs64 fs64;
static struct statvfs vfs;
static struct statvfs64 vfs64;

PATH(chflags, "", chflags(path, 0))
PATH(revoke, "", revoke(path))
PATH(statfs, "", ({ int r = statfs(path, &fs); show("%lx", (long)fs.f_type); r; }))
PATH(__statfs, "", ({ int r = __statfs(path, &fs); show("%lx", (long)fs.f_type); r; }))
PATH(statfs64, "", ({ int r = statfs64(path, &fs64); show("%lx", (long)fs64.f_type); r; }))
PATH(statvfs, "", ({ int r = statvfs(path, &vfs); show("%lu", vfs.f_bsize); r; }))
PATH(statvfs64, "", ({ int r = statvfs64(path, &vfs64); show("%lu", vfs64.f_bsize); r; }))
PATH(pathconf, "", pathconf(path, _PC_LINK_MAX))
PATH(ftok, "", ({
    struct stat st;
    stat(path, &st);
    ftok(path, 1) == (int)((st.st_ino & 0xffff) | (st.st_dev & 0xff) << 16 | 1u << 24); }))

/* ---- looking round ----------------------------------------------------- */

static int seen(const char *at, const struct stat *st, int flag)
{
    show("%s %d %ld", basename((char *)(uintptr_t)at), flag, flag == FTW_F ? (long)st->st_size : 0);
    return 0;
}

static int seen64(const char *at, const struct stat64 *st, int flag)
{
    return seen(at, (const struct stat *)st, flag);
}

static int seen_n(const char *at, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)ftw;
    return seen(at, st, flag);
}

static int seen_n64(const char *at, const struct stat64 *st, int flag, struct FTW *ftw)
{
    (void)ftw;
    return seen(at, (const struct stat *)st, flag);
}

static char *const roots[] = { ".", NULL };

static long walk(void)
{
    FTS *fts = fts_open(roots, FTS_PHYSICAL, NULL);
    FTSENT *entry;

    while (fts && (entry = fts_read(fts)))
        if (entry->fts_info == FTS_F)
            seen(entry->fts_name, entry->fts_statp, FTW_F);
    return fts ? fts_close(fts) : -1;
}

static long walk64(void)
{
    FTS64 *fts = fts64_open(roots, FTS_PHYSICAL, NULL);
    FTSENT64 *entry;

    while (fts && (entry = fts64_read(fts)))
        if (entry->fts_info == FTS_F)
            seen(entry->fts_name, (struct stat *)entry->fts_statp, FTW_F);
    return fts ? fts64_close(fts) : -1;
}

static long children(void)
{
    FTS *fts = fts_open(roots, FTS_PHYSICAL, NULL);
    FTSENT *entry;

    if (!fts || !fts_read(fts))
        return -1;
    for (entry = fts_children(fts, 0); entry; entry = entry->fts_link)
        if (entry->fts_info == FTS_F)
            seen(entry->fts_name, entry->fts_statp, FTW_F);
    return fts_close(fts);
}

static long children64(void)
{
    FTS64 *fts = fts64_open(roots, FTS_PHYSICAL, NULL);
    FTSENT64 *entry;

    if (!fts || !fts64_read(fts))
        return -1;
    for (entry = fts64_children(fts, 0); entry; entry = entry->fts_link)
        if (entry->fts_info == FTS_F)
            seen(entry->fts_name, (struct stat *)entry->fts_statp, FTW_F);
    return fts64_close(fts);
}

PATH(ftw, "", ftw(".", seen, 4))
PATH(ftw64, "", ftw64(".", seen64, 4))
PATH(nftw, "", nftw(".", seen_n, 4, FTW_PHYS))
PATH(nftw64, "", nftw64(".", seen_n64, 4, FTW_PHYS))
PATH(fts_read, "", walk())
PATH(fts64_read, "", walk64())
PATH(fts_children, "", children())
PATH(fts64_children, "", children64())

static glob_t found;
static glob64_t found64;
static struct dirent **entries;
static struct dirent64 **entries64;
static wordexp_t words;

PATH(glob, "", ({ int r = glob("*.add-cow", 0, NULL, &found); show("%zu", found.gl_pathc); r; }))
PATH(glob64, "", ({
    int r = glob64("*.add-cow", 0, NULL, &found64);
    show("%zu", found64.gl_pathc);
    r; }))
PATH(wordexp, "", ({ int r = wordexp("*.add-cow", &words, 0); show("%zu", words.we_wordc); r; }))
PATH(opendir, "", PTR(opendir(path)))
PATH(scandir, "", scandir(path, &entries, NULL, NULL))
PATH(scandir64, "", scandir64(path, &entries64, NULL, NULL))
PATH(scandirat, "", scandirat(AT_FDCWD, NAME, &entries, NULL, NULL))
PATH(scandirat64, "", scandirat64(AT_FDCWD, NAME, &entries64, NULL, NULL))
CALL(scandirat, "fd", scandirat(fd, ".", &entries, NULL, NULL))
PATH(chdir, "", chdir(path))
PATH(chroot, "", chroot(path))
PATH(inotify_add_watch, "path", inotify_add_watch(inotify_init(), path, IN_MODIFY))

/* ---- opened by libc ---------------------------------------------------- */

extern FILE *__setmntent(const char *, const char *);
extern FILE *_IO_fopen(const char *, const char *);
static struct utmp entry = { .ut_type = USER_PROCESS };
static struct utmpx entry_x = { .ut_type = USER_PROCESS };

static long first_line(FILE *stream)
{
    char line[100] = "";

    if (!stream)
        return -1;
    for (int i = 0, c; i < 20 && (c = getc(stream)) != EOF; i++)
        line[i] = c < ' ' || c > '~' ? '.' : (char)c;
    show("begins %s", line);
    return fclose(stream);
}

PATH(_IO_fopen, "", first_line(_IO_fopen(path, "r")))
PATH(setmntent, "", first_line(setmntent(path, "r")))
PATH(__setmntent, "", first_line(__setmntent(path, "r")))
PATH(utmpname, "read", (utmpname(path) < 0 ? -1 : getutent() ? 0 : -1))
PATH(utmpname, "write", (utmpname(path) < 0 ? -1 : (setutent(), pututline(&entry) ? 0 : -1)))
PATH(utmpxname, "write", (utmpxname(path) < 0 ? -1 : (setutxent(), pututxline(&entry_x) ? 0 : -1)))
PATH(updwtmp, "", (updwtmp(path, &entry), errno ? -1 : 0))
PATH(updwtmpx, "", (updwtmpx(path, &entry_x), errno ? -1 : 0))
PATH(dlopen, "", PTR(dlopen(path, RTLD_NOW)))
PATH(dlmopen, "", PTR(dlmopen(LM_ID_NEWLM, path, RTLD_NOW)))
PATH(catopen, "", catopen(path, 0) == (nl_catd)-1 ? -1 : 0)
PATH(shm_open, "new", ({
    int made = shm_open("/addcow-probe.add-cow", O_RDWR | O_CREAT | O_EXCL, 0600);
    int n = write(made, "plain", 5);
    shm_unlink("/addcow-probe.add-cow");
    n; }))

static char template[][40] = {
    "t-XXXXXX", "t-XXXXXX", "t-XXXXXX", "t-XXXXXX", "t-XXXXXX.add-cow", "t-XXXXXX.add-cow",
    "t-XXXXXX.add-cow", "t-XXXXXX.add-cow", "t-XXXXXX", "t-XXXXXX",
};

static long used(int made, const char *name)
{
    ssize_t n = write(made, "plain text", 10);

    show_bytes(made, 0);
    unlink(name);
    return n;
}

PATH(mkstemp, "", used(mkstemp(template[0]), template[0]))
PATH(mkstemp64, "", used(mkstemp64(template[1]), template[1]))
PATH(mkostemp, "", used(mkostemp(template[2], O_CLOEXEC), template[2]))
PATH(mkostemp64, "", used(mkostemp64(template[3], O_CLOEXEC), template[3]))
PATH(mkstemps, "", used(mkstemps(template[4], 8), template[4]))
PATH(mkstemps64, "", used(mkstemps64(template[5], 8), template[5]))
PATH(mkostemps, "", used(mkostemps(template[6], 8, O_CLOEXEC), template[6]))
PATH(mkostemps64, "", used(mkostemps64(template[7], 8, O_CLOEXEC), template[7]))

/* ---- handles and mounts ------------------------------------------------ */

static union {
    struct file_handle handle;
    char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
} handle = { .handle = { .handle_bytes = MAX_HANDLE_SZ } };
static int mount_id;

static long by_handle(int from_fd)
{
    bool by_name = from_fd == AT_FDCWD;
    int made = name_to_handle_at(from_fd, by_name ? NAME : "", &handle.handle, &mount_id,
                                 by_name ? 0 : AT_EMPTY_PATH);

    if (made == 0)
        made = open_by_handle_at(open(".", O_RDONLY), &handle.handle, O_RDWR);
    if (made < 0 && (errno == EOPNOTSUPP || errno == EPERM))
        skip("handles are not to be had here");
    return made < 0 ? -1 : show_bytes(made, 0);
}

PATH(name_to_handle_at, "path", ({
    int r = name_to_handle_at(AT_FDCWD, NAME, &handle.handle, &mount_id, 0);
    if (r < 0)
        skip("handles are not to be had here");
    r; }))
PATH(open_by_handle_at, "path", by_handle(AT_FDCWD))
CALL(open_by_handle_at, "fd", open_by_handle_at(fd, &handle.handle, O_RDONLY))
CALL(open_tree, "fd", open_tree(fd, "x", 0))
PATH(open_tree, "path", ({
    int made = open_tree(AT_FDCWD, NAME, 0);
    if (made < 0)
        skip("open_tree is not to be had here");
    int r = read(made, buf, 10);
    r; }))
CALL(fspick, "", fspick(fd, "x", 0))
CALL(move_mount, "", move_mount(fd, "x", fd, "y", 0))
CALL(mount_setattr, "", ({
    struct mount_attr attr = { 0 };
    mount_setattr(fd, "x", 0, &attr, sizeof(attr)); }))

/* ---- only for old binaries --------------------------------------------- */

typedef int (*path_fn)(const char *);

PATH(uselib, "", OLD(path_fn, "uselib", "GLIBC_2.2.5")(path))
PATH(fdetach, "", OLD(path_fn, "fdetach", "GLIBC_2.2.5")(path))

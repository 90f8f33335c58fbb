/*
 * Functions of libc that open, look at, write to or replace files within themselves:
 * `inside_ops MODE FILE`.
 */
#define _GNU_SOURCE
#include <fts.h>
#include <ftw.h>
#include <mntent.h>
#include <pty.h>
#include <stdarg.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utmp.h>

#include "ops.h"

/* As fortified programs call them. */
int __dprintf_chk(int fd, int level, const char *format, ...);
int __vdprintf_chk(int fd, int level, const char *format, va_list args);

/* ---- walks -------------------------------------------------------------- */

static void seen(const char *path, const struct stat *st, int type)
{
    const char *name = strrchr(path, '/');

    if (!strcmp(name ? name + 1 : path, "disk.add-cow"))
        printf(" %s: %lld bytes, type %d\n", path, (long long)st->st_size, type);
}

static int visit(const char *path, const struct stat *st, int type)
{
    seen(path, st, type);
    return 0;
}

static int visit_at(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)at;
    seen(path, st, type);
    return 0;
}

static void do_walk(const char *path)
{
    FTSENT *entry;
    FTS *walk;

    (void)path;
    said("ftw", ftw(".", visit, 5));
    said("nftw", nftw(".", visit_at, 5, FTW_PHYS));
    said("nftw", nftw(".", visit_at, 5, FTW_CHDIR | FTW_DEPTH));
    walk = fts_open((char *[]){ ".", NULL }, FTS_PHYSICAL, NULL);
    while ((entry = fts_read(walk)) != NULL)
        if (entry->fts_statp)
            seen(entry->fts_name, entry->fts_statp, entry->fts_info);
    said("fts_read", fts_close(walk));
    walk = fts_open((char *[]){ ".", NULL }, FTS_PHYSICAL, NULL);
    fts_read(walk);
    for (entry = fts_children(walk, 0); entry; entry = entry->fts_link)
        seen(entry->fts_name, entry->fts_statp, entry->fts_info);
    said("fts_children", fts_close(walk));
}

/* ---- text ---------------------------------------------------------------- */

static int print(int fd, bool checked, const char *format, ...)
{
    va_list args;
    int len;

    va_start(args, format);
    len = checked ? __vdprintf_chk(fd, 1, format, args) : vdprintf(fd, format, args);
    va_end(args);
    return len;
}

static void do_text(const char *path)
{
    int fd = must_open(path, O_RDWR);

    said("dprintf", dprintf(fd, "%s %d\n", "number", 1));
    said("vdprintf", print(fd, false, "%s %d\n", "number", 22));
    said("checked", __dprintf_chk(fd, 1, "%s %d\n", "number", 333));
    said("checked", print(fd, true, "%s %d\n", "number", 4444));
    said("offset", lseek(fd, 0, SEEK_CUR));
    printf("%zd %.42s", pread(fd, buf, 42, 0), buf);
}

static void do_mounts(const char *path)
{
    FILE *f = must_fopen(path, "w");
    struct mntent *entry;

    fputs("/dev/one /there ext4 ro,noatime 0 1\n", f);
    fclose(f);
    f = setmntent(path, "r+");
    if (!f) {
        said("setmntent", -1);
        return;
    }
    while ((entry = getmntent(f)) != NULL)
        printf("%s on %s, %s, %s\n", entry->mnt_fsname, entry->mnt_dir, entry->mnt_type, entry->mnt_opts);
    said("add", addmntent(f, &(struct mntent){ "none", "/proc", "proc", "rw", 0, 0 }));
    said("end", endmntent(f));
}

/* A disk keeps no login records, so nothing is said of what is refused, and what a plain file got is cut off. */
static void do_records(const char *path)
{
    struct utmp record = { .ut_type = USER_PROCESS, .ut_pid = 77, .ut_id = "id", .ut_user = "user" };
    struct stat before;

    stat(path, &before);
    updwtmp(path, &record);
    if (utmpname(path) == 0) {
        setutent();
        pututline(&record);
        endutent();
    }
    said("cut", truncate(path, before.st_size));
}

/* ---- descriptors ------------------------------------------------------------ */

/* The child has a terminal where its parent has a disk. */
static void typed(int master, pid_t pid)
{
    int status = -1;

    waitpid(pid, &status, 0);
    printf("status %x\n", (unsigned)status);
    printf("%.7s", read(master, buf, 7) < 0 ? "nothing\n" : buf);
    said("offset", lseek(0, 0, SEEK_CUR));
    close(master);
}

static void type(void)
{
    _exit(isatty(0) + (write(0, "typed\n", 6) == 6 ? 6 : 0));
}

static void do_terminal(const char *path)
{
    int fd = must_open(path, O_RDWR), master = -1, slave = -1;
    pid_t pid;

    dup2(fd, 0);
    fflush(stdout);
    pid = forkpty(&master, NULL, NULL, NULL);
    if (pid == 0)
        type();
    typed(master, pid);
    said("openpty", openpty(&master, &slave, NULL, NULL, NULL));
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        close(master);
        if (login_tty(slave) == 0)
            type();
        _exit(99);
    }
    close(slave);
    typed(master, pid);
}

static void do_daemon(const char *path)
{
    int out[2], status = -1;
    ssize_t len;
    pid_t pid;

    dup2(must_open(path, O_RDWR), 0);
    if (pipe(out) < 0)
        exit(1);
    fflush(stdout);
    pid = fork();
    if (pid == 0) {
        if (daemon(1, 0) < 0)
            _exit(1);
        len = snprintf(buf, sizeof(buf), "read %zd, write %zd\n", read(0, buf, 10), write(0, "lost", 4));
        _exit(write(out[1], buf, (size_t)len) != len);
    }
    close(out[1]);
    waitpid(pid, &status, 0);
    printf("status %x\n", (unsigned)status);
    while ((len = read(out[0], buf, sizeof(buf))) > 0)
        printf("%.*s", (int)len, buf);
    said("offset", lseek(0, 0, SEEK_CUR));
}

static const struct mode modes[] = {
    { "walk", do_walk }, { "text", do_text }, { "mounts", do_mounts }, { "records", do_records },
    { "terminal", do_terminal }, { "daemon", do_daemon },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}

/*
 * Calls by names that compilers and older programs use, and by names that few do: `names_ops MODE FILE`.
 */
#define _GNU_SOURCE
#include <sys/stat.h>
#include <unistd.h>

#include "ops.h"

/* As fortified programs call them. */
ssize_t __read_chk(int fd, void *out, size_t len, size_t room);
ssize_t __pread_chk(int fd, void *out, size_t len, off_t off, size_t room);
ssize_t __pread64_chk(int fd, void *out, size_t len, off64_t off, size_t room);
int __open_2(const char *path, int flags);
int __openat_2(int dir, const char *path, int flags);

#ifdef __i386__
#define FIRST "GLIBC_2.0"
#define VERSION 3
#else
#define FIRST "GLIBC_2.2.5"
#define VERSION 1
#endif

/* As programs from before glibc 2.33 do. */
int old_stat(int version, const char *path, struct stat *st);
int old_lstat(int version, const char *path, struct stat *st);
int old_fstat(int version, int fd, struct stat *st);
int old_fstatat(int version, int dir, const char *path, struct stat *st, int flags);
__asm__(".symver old_stat, __xstat@" FIRST "\n"
        ".symver old_lstat, __lxstat@" FIRST "\n"
        ".symver old_fstat, __fxstat@" FIRST "\n"
        ".symver old_fstatat, __fxstatat@GLIBC_2.4\n");

static struct stat st;

static void size(const char *what, int result)
{
    said(what, result < 0 ? result : st.st_size);
    memset(&st, 0, sizeof(st));
}

static void do_stat(const char *path)
{
    int fd = must_open(path, O_RDONLY);

    size("lstat", lstat(path, &st));
    size("__xstat", old_stat(VERSION, path, &st));
    size("__lxstat", old_lstat(VERSION, path, &st));
    said("ftruncate", ftruncate(must_open(path, O_RDWR), 12345));
    size("__fxstat", old_fstat(VERSION, fd, &st));
    size("__fxstatat", old_fstatat(VERSION, AT_FDCWD, path, &st, 0));
    size("__fxstatat", old_fstatat(VERSION, fd, "", &st, AT_EMPTY_PATH));
}

static void do_checked(const char *path)
{
    int fd = must_open(path, O_RDONLY);

    got("__read_chk", __read_chk(fd, buf, 1000, sizeof(buf)));
    got("__pread_chk", __pread_chk(fd, buf, 1000, 700, sizeof(buf)));
    got("__pread64_chk", __pread64_chk(fd, buf, 1000, 7000, sizeof(buf)));
    fd = __open_2(path, O_RDONLY);
    got("__open_2", read(fd, buf, 1000));
    fd = __openat_2(AT_FDCWD, path, O_RDONLY);
    got("__openat_2", read(fd, buf, 1000));
}

/* Who may not open by handle gets an error in any case. */
static void do_handle(const char *path)
{
    union {
        struct file_handle handle;
        char room[sizeof(struct file_handle) + MAX_HANDLE_SZ];
    } of;
    int mount, dir = open(".", O_RDONLY | O_DIRECTORY), fd;

    of.handle.handle_bytes = MAX_HANDLE_SZ;
    said("handle", name_to_handle_at(AT_FDCWD, path, &of.handle, &mount, 0));
    fd = open_by_handle_at(dir, &of.handle, O_RDWR);
    said("open", fd);
    got("read", read(fd, buf, 1000));
    said("write", write(fd, "by handle", 9));
    said("end", lseek(fd, 0, SEEK_END));
}

/* The same number is a disk's, another file's, and a disk's again. */
static void do_numbers(const char *path)
{
    int fd = must_open(path, O_RDWR), text = must_open("in/text", O_RDONLY);

    said("dup3", dup3(fd, 20, 0));
    got("disk", pread(20, buf, 1000, 0));
    said("dup3", dup3(text, 20, O_CLOEXEC));
    got("text", pread(20, buf, 1000, 0));
    said("dup3", dup3(fd, 20, 0));
    said("write", pwrite(20, "disk", 4, 100));
}

static const struct mode modes[] = {
    { "stat", do_stat }, { "checked", do_checked }, { "handle", do_handle }, { "numbers", do_numbers },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}

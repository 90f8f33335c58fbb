/*
 * System calls on a disk through their less common libc names, one group per
 * mode: `fd_ops MODE FILE`. Compiled without _FILE_OFFSET_BITS, so that the names
 * with and without 64 are different symbols.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ops.h"

static void do_sixtyfour(const char *path)
{
    int fd = open64(path, O_RDWR);
    struct stat64 st;

    got("pread64", pread64(fd, buf, 1000, 700));
    said("pwrite64", pwrite64(fd, "hello", 5, 1021));
    said("lseek64", lseek64(fd, -100, SEEK_END) > 0);
    got("read", read(fd, buf, 300));
    said("ftruncate64", ftruncate64(fd, 300000));
    said("fstat64", fstat64(fd, &st));
    said("size", st.st_size);
    said("stat64", stat64(path, &st));
    said("size", st.st_size);
    said("lstat64", lstat64(path, &st));
    said("fstatat64", fstatat64(AT_FDCWD, path, &st, 0));
    said("truncate64", truncate64(path, 310000));
    said("fallocate64", fallocate64(fd, 0, 1000, 1000));
    said("posix_fallocate64", posix_fallocate64(fd, 0, 320000));
    said("end", lseek64(fd, 0, SEEK_END));
    said("posix_fadvise64", posix_fadvise64(fd, 0, 0, POSIX_FADV_SEQUENTIAL));
    close(fd);
    fd = openat64(AT_FDCWD, path, O_RDONLY);
    got("openat64", read(fd, buf, 2000));
    close(fd);
    FILE *f = fopen64(path, "r");
    printf("fopen64 %d fseeko64 %d ftello64 %lld\n", fgetc(f), fseeko64(f, 7777, SEEK_SET),
           (long long)ftello64(f));
    f = freopen64(path, "r", f);
    printf("freopen64 %d\n", fgetc(f));
    fclose(f);
}

static void do_vectors(const char *path)
{
    int fd = must_open(path, O_RDWR);
    struct iovec iov[5] = {
        { buf, 1 }, { buf + 1, 511 }, { buf + 512, 0 }, { buf + 512, 3000 }, { buf + 3512, 5 },
    };

    got("readv", readv(fd, iov, 5));
    got("preadv", preadv(fd, iov, 5, 333));
    got("preadv64", preadv64(fd, iov, 3, 512));
    got("preadv2", preadv2(fd, iov, 5, 4096, 0));
    got("preadv2 at the offset", preadv2(fd, iov, 5, -1, 0));
    said("offset", lseek(fd, 0, SEEK_CUR));
    memset(buf, 'v', sizeof(buf));
    said("writev", writev(fd, iov, 5));
    said("pwritev", pwritev(fd, iov, 5, 20001));
    said("pwritev64", pwritev64(fd, iov, 2, 30000));
    said("pwritev2", pwritev2(fd, iov, 5, 40000, 0));
    said("pwritev2 dsync", pwritev2(fd, iov, 5, 50000, RWF_DSYNC));
    said("pwritev2 at the offset", pwritev2(fd, iov, 2, -1, 0));
    said("offset", lseek(fd, 0, SEEK_CUR));
    said("none", writev(fd, iov, 0));
    volatile int bad = -1, many = 5000;
    said("bad count", writev(fd, iov, bad));
    said("too many", preadv(fd, iov, many, 0));
    said("negative", preadv(fd, iov, 1, -7));
    close(fd);
}

static void do_append_flag(const char *path)
{
    int fd = must_open(path, O_RDWR);
    struct iovec iov = { buf, 700 };

    said("pwritev2 append", pwritev2(fd, &iov, 1, 0, RWF_APPEND));
    said("size", lseek(fd, 0, SEEK_END));
    close(fd);
}

static void do_at_calls(const char *path)
{
    int dir = open(".", O_RDONLY | O_DIRECTORY), fd = openat(dir, path, O_RDWR);
    struct stat st;

    got("openat", read(fd, buf, 100));
    said("write", write(fd, "xy", 2));
    close(fd);
    said("fstatat", fstatat(dir, path, &st, AT_SYMLINK_NOFOLLOW));
    said("size", st.st_size);
    said("faccessat", faccessat(dir, path, R_OK | W_OK, 0));
    said("fchmodat", fchmodat(dir, path, 0600, 0));
    struct timespec times[2] = { { 5, 6 }, { 7, 8 } };
    said("utimensat", utimensat(dir, path, times, 0));
    said("stat", stat(path, &st));
    said("mtime", st.st_mtim.tv_sec);
    said("mode", st.st_mode);
    said("renameat", renameat(dir, path, dir, "renamed.add-cow"));
    fd = openat(dir, "renamed.add-cow", O_RDONLY);
    got("read", read(fd, buf, 1000));
    close(fd);
    said("rename", rename("renamed.add-cow", path));
    said("missing", openat(dir, "missing.add-cow", O_RDONLY));
    said("bad directory", openat(999, path, O_RDONLY));
    close(dir);
}

static void do_creat(const char *path)
{
    int fd = creat(path, 0644);

    said("write", write(fd, "created", 7));
    said("read", read(fd, buf, 1));
    close(fd);
    fd = creat64(path, 0644);
    said("write", write(fd, "again", 5));
    close(fd);
    fd = must_open(path, O_RDWR | O_CREAT | O_TRUNC);
    said("size", lseek(fd, 0, SEEK_END));
    said("write", pwrite(fd, "x", 1, 5000));
    close(fd);
    fd = must_open(path, O_RDONLY | O_TRUNC);
    said("size", lseek(fd, 0, SEEK_END));
    close(fd);
}

static void do_fallocate(const char *path)
{
    int fd = must_open(path, O_RDWR);
    const struct {
        int mode;
        off_t off, len;
    } calls[] = {
        { FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1000, 5000 },
        { FALLOC_FL_ZERO_RANGE, 10000, 333 },
        { FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 200000, 5000 },
        { FALLOC_FL_KEEP_SIZE, 0, 4096 },
        { 0, 100, 100 },
        { FALLOC_FL_PUNCH_HOLE, 0, 4096 },
        { FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, -1, 4096 },
        { FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 0 },
        { 0, 0, -5 },
        { 0x4000, 0, 4096 },
    };

    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        said("fallocate", fallocate(fd, calls[i].mode, calls[i].off, calls[i].len));
    said("posix_fallocate", posix_fallocate(fd, -1, 5));
    said("posix_fallocate", posix_fallocate(fd, 0, 0));
    said("size", lseek(fd, 0, SEEK_END));
    got("read", pread(fd, buf, 30000, 0));
    close(fd);
}

static void do_modes(const char *path)
{
    int fd = must_open(path, O_WRONLY | O_APPEND);

    said("pwrite appends", pwrite(fd, "abc", 3, 10));
    said("read", read(fd, buf, 1));
    said("flags", fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
    said("setfl", fcntl(fd, F_SETFL, O_NONBLOCK));
    said("flags", fcntl(fd, F_GETFL) & (O_ACCMODE | O_APPEND | O_NONBLOCK));
    said("pwrite", pwrite(fd, "abc", 3, 10));
    close(fd);
    fd = must_open(path, O_RDWR | O_DSYNC);
    said("dsync", (fcntl(fd, F_GETFL) & O_DSYNC) != 0);
    said("write", write(fd, "d", 1));
    close(fd);
    fd = must_open(path, O_RDWR | O_SYNC);
    said("sync", (fcntl(fd, F_GETFL) & O_SYNC) == O_SYNC);
    said("write", pwrite(fd, "s", 1, 5000));
    said("fsync", fsync(fd));
    said("sync_file_range", sync_file_range(fd, 0, 0, SYNC_FILE_RANGE_WRITE));
    said("syncfs", syncfs(fd));
    close(fd);
    said("excl", open(path, O_RDWR | O_CREAT | O_EXCL, 0600));
    said("directory", open(path, O_RDONLY | O_DIRECTORY));
    fd = open(path, O_PATH);
    said("path", fd >= 0);
    said("read", read(fd, buf, 1));
    close(fd);
    said("both", open(path, O_RDONLY | O_NOATIME | O_CLOEXEC) >= 0);
}

static void do_statx(const char *path)
{
    struct statx a, b;
    struct stat st;
    int fd = must_open(path, O_RDONLY);

    said("statx", statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &a));
    said("statx of fd", statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &b));
    said("size", (long long)a.stx_size);
    said("size", (long long)b.stx_size);
    said("same file", a.stx_ino == b.stx_ino && a.stx_dev_minor == b.stx_dev_minor);
    said("mode", a.stx_mode);
    said("fstatat of fd", fstatat(fd, "", &st, AT_EMPTY_PATH));
    said("size", st.st_size);
    said("bad fd", statx(777, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &a));
    int n = 5;
    said("FIONREAD", ioctl(fd, FIONREAD, &n));
    said("TCGETS", ioctl(fd, TCGETS, buf));
    said("BLKGETSIZE64", ioctl(fd, 0x80081272, buf));
    said("BLKSSZGET", ioctl(fd, 0x1268, buf));
    close(fd);
}

static void do_locks(const char *path)
{
    int a = must_open(path, O_RDWR), b = must_open(path, O_RDWR);
    struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 5 };

    said("setlk", fcntl(a, F_SETLK, &fl));
    said("own lock again", fcntl(b, F_SETLK, &fl));
    said("getlk", fcntl(b, F_GETLK, &fl));
    said("type", fl.l_type);
    fl = (struct flock){ .l_type = F_WRLCK, .l_start = 100, .l_len = 5 };
    said("ofd", fcntl(a, F_OFD_SETLK, &fl));
    said("ofd other", fcntl(b, F_OFD_SETLK, &fl));
    said("ofd get", fcntl(b, F_OFD_GETLK, &fl));
    printf("%d %ld %ld\n", fl.l_type, (long)fl.l_start, (long)fl.l_len);
    said("flock", flock(a, LOCK_EX | LOCK_NB));
    said("flock other", flock(b, LOCK_EX | LOCK_NB));
    said("flock un", flock(a, LOCK_UN));
    said("flock other", flock(b, LOCK_SH | LOCK_NB));
    lseek(a, 50, SEEK_SET);
    said("lockf", lockf(a, F_TLOCK, 10));
    said("lockf test", lockf(b, F_TEST, 10));
    fl = (struct flock){ .l_type = F_RDLCK, .l_whence = SEEK_END, .l_start = -10, .l_len = 10 };
    said("from the end", fcntl(b, F_OFD_SETLK, &fl));
    fl = (struct flock){ .l_type = F_WRLCK, .l_whence = SEEK_END, .l_start = -1, .l_len = 1 };
    said("from the end", fcntl(a, F_OFD_SETLK, &fl));
    close(b);
    said("after close", fcntl(a, F_OFD_SETLK, &fl));
    said("lease", fcntl(a, F_GETLEASE) == F_UNLCK);
    close(a);
}

static void do_overlap(const char *path)
{
    int fds[100];

    for (int i = 0; i < 100; i++)
        fds[i] = must_open(path, i % 3 ? O_RDWR : O_RDONLY);
    for (int i = 0; i < 100; i++)
        if (pwrite(fds[i], &i, sizeof(i), i * 997) < 0)
            printf("%d: %s\n", i, strerror(errno));
    for (int i = 0; i < 100; i += 2)
        close(fds[i]);
    got("all", pread(fds[99], buf, sizeof(buf), 0));
    for (int i = 1; i < 100; i += 2)
        close(fds[i]);
}

static void do_tmpname(const char *path)
{
    struct stat st;
    struct dirent *entry;
    DIR *dir = opendir(".");
    int found = 0;

    while ((entry = readdir(dir)))
        if (!strcmp(entry->d_name, path))
            found = entry->d_type == DT_REG && stat(entry->d_name, &st) == 0;
    closedir(dir);
    said("listed", found);
    said("size", st.st_size);
    char *real = realpath(path, NULL);
    said("realpath", strcmp(strrchr(real, '/') + 1, path));
    snprintf(buf, sizeof(buf), "%s", real);
    int fd = must_open(buf, O_RDONLY);
    said("end", lseek(fd, 0, SEEK_END));
    free(real);
    said("access", access(path, R_OK | W_OK));
    said("euidaccess", euidaccess(path, X_OK));
    said("pathconf", fpathconf(fd, _PC_NAME_MAX));
    said("link", link("in/small", path));
    said("symlink", symlink("x", path));
    close(fd);
}

static volatile sig_atomic_t hits;

static void on_signal(int number)
{
    (void)number;
    hits++;
}

static void do_signals(const char *path)
{
    int fd = must_open(path, O_RDONLY);
    struct sigaction sa = { .sa_handler = on_signal };
    sigset_t old, now;

    sigaction(SIGALRM, &sa, NULL);
    sigprocmask(SIG_BLOCK, NULL, &old);
    for (int i = 0; i < 50; i++) {
        raise(SIGALRM);
        if (pread(fd, buf, 5000, i * 100) != 5000)
            printf("short\n");
    }
    sigprocmask(SIG_BLOCK, NULL, &now);
    said("handled", hits);
    said("same mask", memcmp(&old, &now, sizeof(old)) == 0);
    close(fd);
}

static void do_errno_kept(const char *path)
{
    errno = 4321;
    int fd = must_open(path, O_RDWR);
    struct stat st;
    ssize_t total = 0;

    total += read(fd, buf, 700);
    total += pread(fd, buf, 700, 5000);
    total += write(fd, "x", 1);
    total += pwrite(fd, "x", 1, 9000);
    total += lseek(fd, 0, SEEK_CUR);
    total += fstat(fd, &st) + stat(path, &st) + fsync(fd) + fdatasync(fd);
    total += ftruncate(fd, st.st_size) + fallocate(fd, 0, 0, 10);
    int other = dup(fd);
    total += fcntl(fd, F_GETFL) & O_ACCMODE;
    total += close(fd) + close(other);
    said("total", total);
    said("errno", errno);
}

static void do_direct(const char *path)
{
    int fd = must_open(path, O_RDWR | O_DIRECT);
    char *mem = aligned_alloc(4096, 65536);

    said("direct", (fcntl(fd, F_GETFL) & O_DIRECT) != 0);
    for (int i = 0; i < 20; i++) {
        ssize_t len = pread(fd, mem, 8192, i * 4096);
        printf("%zd %08x\n", len, sum(mem, len));
    }
    memset(mem, 'd', 65536);
    said("one byte", pread(fd, mem, 1, 0));
    said("odd offset", pread(fd, mem, 512, 100));
    said("odd length", pwrite(fd, mem, 100, 0));
    said("write", pwrite(fd, mem, 4096, 8192));
    said("write", pwrite(fd, mem, 512, 512 * 7));
    said("write", pwrite(fd, mem, 65536, 65536));
    said("off", fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_DIRECT));
    said("direct", (fcntl(fd, F_GETFL) & O_DIRECT) != 0);
    said("odd", pwrite(fd, mem + 1, 77, 999));
    said("on", fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_DIRECT));
    said("write", pwrite(fd, mem, 4096, 0));
    free(mem);
    close(fd);
}

static const struct mode modes[] = {
    { "sixtyfour", do_sixtyfour }, { "vectors", do_vectors }, { "append_flag", do_append_flag },
    { "at_calls", do_at_calls }, { "creat", do_creat }, { "fallocate", do_fallocate },
    { "modes", do_modes }, { "statx", do_statx }, { "locks", do_locks }, { "overlap", do_overlap },
    { "tmpname", do_tmpname }, { "signals", do_signals }, { "errno_kept", do_errno_kept },
    { "direct", do_direct },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}

/*
 * What a program's off_t makes of a file beyond 2 GiB: `narrow_ops MODE FILE`. Compiled for 32 bits
 * without _FILE_OFFSET_BITS, with it, and with _TIME_BITS=64, and for 64 bits.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <dirent.h>
#include <fts.h>
#include <ftw.h>
#include <limits.h>
#include <stddef.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <utime.h>

#include "ops.h"

#define TWO_GIB (1ll << 31)

#ifndef O_LARGEFILE
#error "there is no O_LARGEFILE to be told"
#endif

static void say_stat(const char *what, int result, const struct stat *st)
{
    said(what, result);
    if (result == 0)
        printf("  size %lld mode %o links %d\n", (long long)st->st_size, st->st_mode, (int)st->st_nlink);
}

/* Of any size: what works on it at all. */
static void do_sizes(const char *path)
{
    struct stat st;
    struct stat64 st64;
    int fd = open(path, O_RDWR), wide = open64(path, O_RDWR);
    FILE *file;

    said("open", fd < 0 ? -1 : 0);
    said("open64", wide < 0 ? -1 : 0);
    close(fd);
    fd = openat(AT_FDCWD, path, O_RDONLY);
    said("openat", fd < 0 ? -1 : 0);
    close(fd);
    printf("large %d\n", !!(fcntl(wide, F_GETFL) & 0100000));
    say_stat("stat", stat(path, &st), &st);
    say_stat("lstat", lstat(path, &st), &st);
    say_stat("fstat", fstat(wide, &st), &st);
    say_stat("fstatat", fstatat(AT_FDCWD, path, &st, 0), &st);
    say_stat("fstatat empty", fstatat(wide, "", &st, AT_EMPTY_PATH), &st);
    said("stat64", stat64(path, &st64));
    printf("  size %lld\n", (long long)st64.st_size);
    said("fstat64", fstat64(wide, &st64));
    printf("  size %lld\n", (long long)st64.st_size);
    file = fopen(path, "r+");
    said("fopen", file ? 0 : -1);
    if (file)
        fclose(file);
    file = fopen64(path, "r+");
    said("fopen64", file ? 0 : -1);
    said("fseek end", fseek(file, 0, SEEK_END));
    said("ftell", ftell(file));
    said("ftello64", ftello64(file));
    said("fseeko64", fseeko64(file, TWO_GIB + 5, SEEK_SET));
    said("ftello", ftello(file));
    printf("getc %d\n", getc(file));
    fclose(file);
    file = freopen(path, "r", fopen("/dev/null", "r"));
    said("freopen", file ? 0 : -1);
    close(wide);
}

static void do_seek(const char *path)
{
    int fd = open64(path, O_RDWR);

    said("lseek end", lseek(fd, 0, SEEK_END));
    said("lseek64 here", lseek64(fd, 0, SEEK_CUR));
    said("lseek64", lseek64(fd, TWO_GIB - 10, SEEK_SET));
    got("read", read(fd, buf, 100));
    said("lseek here", lseek(fd, 0, SEEK_CUR));
    said("lseek64 here", lseek64(fd, 0, SEEK_CUR));
    said("lseek back", lseek(fd, 100, SEEK_SET));
    said("lseek hole", lseek(fd, 1 << 20, SEEK_HOLE) >= 0);
    said("lseek negative", lseek(fd, -1, SEEK_SET));
    got("pread64", pread64(fd, buf, 1000, TWO_GIB + 4096));
    got("pread negative", pread(fd, buf, 1000, -5));
    got("pread", pread(fd, buf, 1000, 70000));
    said("pwrite64", pwrite64(fd, "beyond", 6, TWO_GIB + 9000));
    said("pwrite", pwrite(fd, "within", 6, 9000));
    said("ftruncate", ftruncate(fd, INT_MAX));
    said("lseek64 end", lseek64(fd, 0, SEEK_END));
    said("ftruncate64", ftruncate64(fd, TWO_GIB + 100000));
    said("truncate", truncate(path, 1 << 20));
    said("truncate64", truncate64(path, TWO_GIB + 100));
    said("lseek64 end", lseek64(fd, 0, SEEK_END));
    said("fallocate", fallocate(fd, 0, 1 << 20, 4096));
    said("posix_fallocate", posix_fallocate(fd, 1 << 20, 4096));
    said("posix_fadvise", posix_fadvise(fd, 0, 4096, POSIX_FADV_NORMAL));
}

/* A description without O_LARGEFILE grows to 2^31 - 1 and no further. */
static void do_grow(const char *path)
{
    struct iovec iov[3] = { { buf, 3 }, { buf, 5 }, { buf, 7 } };
    int fd, wide;

    memset(buf, 'g', sizeof(buf));
    said("truncate64", truncate64(path, TWO_GIB - 20));
    fd = open(path, O_RDWR);
    said("open", fd < 0 ? -1 : 0);
    said("large", !!(fcntl(fd, F_GETFL) & 0100000));
    said("pwrite up to it", pwrite(fd, buf, 4, INT_MAX - 4));
    said("pwrite over it", pwrite(fd, buf, 10, INT_MAX - 3));
    said("pwrite at it", pwrite(fd, buf, 10, INT_MAX));
    said("pwrite64 behind it", pwrite64(fd, buf, 10, TWO_GIB + 10));
    said("pwritev over it", pwritev(fd, iov, 3, INT_MAX - 6));
    said("lseek", lseek(fd, -2, SEEK_END));
    said("write over it", write(fd, buf, 10));
    said("write at it", write(fd, buf, 10));
    said("lseek64", lseek64(fd, 0, SEEK_CUR));
    wide = open64(path, O_RDWR);
    said("wide pwrite", pwrite64(wide, buf, 10, TWO_GIB + 10));
    said("narrow read behind it", pread64(fd, buf, 20, TWO_GIB));
    said("append", fcntl(fd, F_SETFL, O_APPEND));
    said("append behind it", write(fd, buf, 1));
    said("ftruncate64", ftruncate64(fd, TWO_GIB));
    close(fd);
    close(wide);
    said("open", open(path, O_RDWR) < 0 ? -1 : 0);
    said("open to cut", open(path, O_RDWR | O_TRUNC) < 0 ? -1 : 0);
}

static void say_lock(const char *what, int result, const struct flock *fl)
{
    said(what, result);
    if (result == 0)
        printf("  type %d whence %d start %lld len %lld\n", fl->l_type, fl->l_whence,
               (long long)fl->l_start, (long long)fl->l_len);
}

static void do_locks(const char *path)
{
    int fd = open64(path, O_RDWR), other = open64(path, O_RDWR);
    struct flock64 big = { .l_type = F_WRLCK, .l_start = TWO_GIB + 5, .l_len = 10 };
    struct flock fl = { .l_type = F_WRLCK, .l_start = 100, .l_len = 10 };

    said("own", fcntl(fd, F_OFD_SETLK, &fl));
    fl.l_start = 0;
    fl.l_len = 0;
    say_lock("seen", fcntl(other, F_OFD_GETLK, &fl), &fl);
    fl = (struct flock){ .l_type = F_UNLCK, .l_len = 0 };
    said("given up", fcntl(fd, F_OFD_SETLK, &fl));
    said("far", fcntl64(fd, F_OFD_SETLK, &big));
    fl = (struct flock){ .l_type = F_WRLCK, .l_len = 0 };
    say_lock("far one seen", fcntl(other, F_OFD_GETLK, &fl), &fl);
    fl = (struct flock){ .l_type = F_WRLCK, .l_start = 50, .l_len = 10 };
    said("record", fcntl(fd, F_SETLK, &fl));
    said("lseek", lseek(fd, 200, SEEK_SET));
    said("lockf", lockf(fd, F_TLOCK, 100));
    said("lockf test", lockf(fd, F_TEST, 100));
    said("lockf64", lockf64(fd, F_ULOCK, 100));
    said("flock", flock(fd, LOCK_EX));
}

static int walked;

static int visit(const char *path, const struct stat *st, int type)
{
    if (strstr(path, "disk.add-cow") && !strstr(path, ".run")) {
        printf("  %s type %d", strrchr(path, '/') + 1, type);
        if (type != FTW_NS)
            printf(" size %lld", (long long)st->st_size);
        printf("\n");
        walked++;
    }
    return 0;
}

static int visit_more(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)at;
    return visit(path, st, type);
}

static void do_walks(const char *path)
{
    char *tops[] = { ".", NULL };
    FTS *walk;

    (void)path;
    said("ftw", ftw(".", visit, 8));
    said("nftw", nftw(".", visit_more, 8, FTW_PHYS));
    walk = fts_open(tops, FTS_PHYSICAL, NULL);
    for (FTSENT *entry; walk && (entry = fts_read(walk));)
        if (strcmp(entry->fts_name, "disk.add-cow") == 0)
            printf("fts %d size %lld\n", entry->fts_info,
                   entry->fts_info == FTS_F ? (long long)entry->fts_statp->st_size : -1);
    said("walked", walked);
}

static void do_times(const char *path)
{
    struct timespec times[2] = { { 1000000000, 5 }, { 1100000000, 7 } };
    struct timeval coarse[2] = { { 1200000000, 5 }, { 1300000000, 7 } };
    int fd = open64(path, O_RDWR);
    struct stat64 st;

    said("futimens", futimens(fd, times));
    fstat64(fd, &st);
    printf("mtime %lld\n", (long long)st.st_mtime);
    said("utimes", utimes(path, coarse));
    fstat64(fd, &st);
    printf("mtime %lld\n", (long long)st.st_mtime);
    said("utimensat", utimensat(AT_FDCWD, path, times, 0));
    said("futimes", futimes(fd, coarse));
    said("utime", utime(path, &(struct utimbuf){ 1400000000, 1400000000 }));
    stat64(path, &st);
    printf("mtime %lld\n", (long long)st.st_mtime);
}

static void do_aio(const char *path)
{
    int fd = open64(path, O_RDWR);
    struct aiocb cb, *list[1] = { &cb };
    struct aiocb64 far;

    /* What a program leaves behind a narrow offset may be anything. */
    memset(&cb, 0xee, sizeof(cb));
    memset(&cb, 0, offsetof(struct aiocb, aio_offset));
    cb.aio_fildes = fd;
    cb.aio_buf = buf;
    cb.aio_nbytes = 700;
    cb.aio_offset = 4000;
    cb.aio_sigevent.sigev_notify = SIGEV_NONE;
    said("aio_read", aio_read(&cb));
    said("suspend", aio_suspend((const struct aiocb *const *)list, 1, NULL));
    got("result", aio_return(&cb));
    cb.aio_offset = 5000;
    memset(buf, 'a', 700);
    said("aio_write", aio_write(&cb));
    while (aio_error(&cb) == EINPROGRESS)
        aio_suspend((const struct aiocb *const *)list, 1, &(struct timespec){ 1, 0 });
    said("result", aio_return(&cb));
    cb.aio_lio_opcode = LIO_READ;
    cb.aio_offset = 4500;
    said("lio_listio", lio_listio(LIO_WAIT, list, 1, NULL));
    got("result", aio_return(&cb));
    memset(&far, 0, sizeof(far));
    far.aio_fildes = fd;
    far.aio_buf = buf;
    far.aio_nbytes = 700;
    far.aio_offset = TWO_GIB + 4000;
    far.aio_sigevent.sigev_notify = SIGEV_NONE;
    said("aio_read64", aio_read64(&far));
    while (aio_error64(&far) == EINPROGRESS)
        usleep(1000);
    got("result", aio_return64(&far));
}

static void do_maps(const char *path)
{
    int fd = open64(path, O_RDWR);
    char *near = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 8192);
    char *far = mmap64(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, TWO_GIB + 8192);
    char *own = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

    printf("%d %d %d\n", near != MAP_FAILED, far != MAP_FAILED, own != MAP_FAILED);
    printf("%08x %08x %08x\n", sum(near, 8192), sum(far, 8192), sum(own, 65536));
    strcpy(near + 100, "near");
    strcpy(far + 100, "far");
    got("pread", pread(fd, buf, 8192, 8192));
    got("pread64", pread64(fd, buf, 8192, TWO_GIB + 8192));
    said("msync", msync(far, 8192, MS_SYNC));
    said("munmap", munmap(near, 8192));
    own = mremap(own, 65536, 131072, MREMAP_MAYMOVE);
    printf("%08x\n", own == MAP_FAILED ? 0 : sum(own, 131072));
    printf("odd %d\n", mmap(NULL, 10, PROT_READ, MAP_SHARED, fd, 5) == MAP_FAILED ? errno : 0);
}

static void do_copies(const char *path)
{
    int fd = open64(path, O_RDWR), out = open("copy.bin", O_RDWR | O_CREAT | O_TRUNC, 0600);
    struct statfs fs;
    struct statvfs vfs;
    off_t off = 3000;
    ssize_t n = sendfile(out, fd, &off, 5000);

    /* A disk may refuse; the program then copies by hand. */
    printf("sendfile %d\n", n == 5000 ? off == 8000 : n < 0 && errno == EINVAL && off == 3000);
    said("fstatfs", fstatfs(fd, &fs) < 0 && errno != EOVERFLOW);
    said("fstatvfs", fstatvfs(fd, &vfs) < 0 && errno != EOVERFLOW);
    unlink("copy.bin");
}

#ifdef __i386__
/* System calls by number: an offset is two arguments there. */
static void do_numbers(const char *path)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_LARGEFILE);
    int64_t at = -1;
    struct stat64 st;

    said("narrow openat", syscall(SYS_openat, AT_FDCWD, path, O_RDWR) < 0 ? -1 : 0);
    got("pread64", syscall(SYS_pread64, fd, buf, 900, (long)(TWO_GIB + 4096), 0));
    got("pread64 near", syscall(SYS_pread64, fd, buf, 900, 4096, 0));
    said("pwrite64", syscall(SYS_pwrite64, fd, "number", 6, (long)(TWO_GIB + 70000), 0));
    said("_llseek", syscall(SYS__llseek, fd, 0, (long)(TWO_GIB + 70000), &at, SEEK_SET));
    said("at", at);
    got("read", syscall(SYS_read, fd, buf, 6));
    said("lseek", syscall(SYS_lseek, fd, 100, SEEK_SET));
    said("fallocate", syscall(SYS_fallocate, fd, 0, 4096, 0, 4096, 0));
    said("ftruncate64", syscall(SYS_ftruncate64, fd, (long)(TWO_GIB + 100000), 0));
    /* Its times are of 32 bits. */
    if (sizeof(st.st_mtime) == 4 && syscall(SYS_fstat64, fd, &st) == 0)
        said("size", st.st_size);
    said("fadvise", syscall(SYS_fadvise64_64, fd, 0, 0, 4096, 0, POSIX_FADV_NORMAL));
    said("close", syscall(SYS_close, fd));
    said("closed", syscall(SYS_read, fd, buf, 6));
}
#endif

/* Each writes its own bytes of every block, so that both are in the same sectors. */
static void share(const char *path, int parity)
{
    int fd = open64(path, O_RDWR);
    uint32_t next = 12345;

    for (int i = 0; i < 4000; i++) {
        uint32_t block;

        next = next * 1103515245 + 12345;
        block = next >> 8 & 1023;
        memset(buf, 'a' + parity, 150);
        if (pwrite64(fd, buf, 150, block * 300 + parity * 150) != 150)
            said("pwrite", -1);
        /* And through one offset with who has inherited it. */
        if (pread64(fd, buf, 150, block * 300 + parity * 150) != 150 || buf[0] != 'a' + parity
            || memcmp(buf, buf + 1, 149) != 0)
            printf("block %u is not as written\n", block);
    }
    close(fd);
}

static void do_even(const char *path)
{
    share(path, 0);
}

static void do_odd(const char *path)
{
    share(path, 1);
}

/* Mostly in sectors that nobody has written to. */
static void do_churn(const char *path)
{
    int fd = open64(path, O_RDWR);
    uint32_t next = (uint32_t)getpid();

    for (int i = 0; i < 60000; i++) {
        off64_t at;

        next = next * 1103515245 + 12345;
        at = (off64_t)(next >> 8 & 65535) * 512 + 100;
        memset(buf, 'c', 150);
        if (pwrite64(fd, buf, 150, at) != 150)
            said("pwrite", -1);
        if (pread64(fd, buf, 150, at) != 150 || buf[0] != 'c' || memcmp(buf, buf + 1, 149) != 0)
            printf("%lld is not as written\n", (long long)at);
    }
    close(fd);
}

/* On descriptor 7, which it inherited. */
static void do_inherited(const char *path)
{
    (void)path;
    for (int i = 0; i < 1000; i++)
        if (write(7, sizeof(long) == 4 ? "narrow--" : "wide----", 8) != 8)
            said("write", -1);
    if (!(fcntl(7, F_GETFL) & 0100000))
        said("large", 0);
}

/* The parent of a 32-bit and a 64-bit program that write through one description at once. */
static void do_family(const char *path)
{
    const char *programs[] = { getenv("NARROW"), getenv("WIDE") };
    int fd = open64(path, O_RDWR), narrow = 0, wide = 0, status, good = 0;

    dup2(fd, 7);
    for (int i = 0; i < 2; i++) {
        if (fork() == 0) {
            execl(programs[i], programs[i], "inherited", path, NULL);
            _exit(9);
        }
    }
    while (wait(&status) > 0)
        good += status == 0;
    said("children", good);
    said("offset", lseek64(7, 0, SEEK_CUR));
    for (int i = 0; i < 2000 && pread64(7, buf, 8, i * 8) == 8; i++) {
        narrow += memcmp(buf, "narrow--", 8) == 0;
        wide += memcmp(buf, "wide----", 8) == 0;
    }
    printf("narrow %d wide %d\n", narrow, wide);
}

/* What is in it, but for zeros. */
static void do_digest(const char *path)
{
    int fd = open64(path, O_RDONLY);
    uint32_t all = 0;
    off64_t at = 0;

    while ((at = lseek64(fd, at, SEEK_DATA)) >= 0) {
        off64_t end = lseek64(fd, at, SEEK_HOLE);

        for (at -= at % 4096; at < end; at += 4096) {
            static const char zeros[4096];
            ssize_t n = pread64(fd, buf, 4096, at);

            if (n > 0 && memcmp(buf, zeros, (size_t)n) != 0) {
                /* The file's end may be within it, where another has zeros. */
                memset(buf + n, 0, 4096 - (size_t)n);
                all = all * 16777619u ^ sum(buf, 4096) ^ (uint32_t)(at / 4096);
            }
        }
    }
    printf("size %lld digest %08x\n", (long long)lseek64(fd, 0, SEEK_END), all);
}

static const struct mode modes[] = {
    { "sizes", do_sizes }, { "seek", do_seek }, { "grow", do_grow }, { "locks", do_locks },
    { "walks", do_walks }, { "times", do_times }, { "aio", do_aio }, { "maps", do_maps },
    { "copies", do_copies },
#ifdef __i386__
    { "numbers", do_numbers },
#endif
    { "even", do_even }, { "odd", do_odd }, { "churn", do_churn }, { "inherited", do_inherited },
    { "family", do_family }, { "digest", do_digest },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}

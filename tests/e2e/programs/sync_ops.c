/*
 * What is safe when a program is killed, or has ended its use of a disk: `sync_ops MODE FILE`. Each mode
 * but the last writes, asks by one of the ways for that to be made durable, and is killed. When the
 * run-time file is then removed, that is left which a power cut would leave, too.
 */
#define _GNU_SOURCE
#include <aio.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "ops.h"

static int written(const char *path, off_t off)
{
    int fd = must_open(path, O_RDWR);

    said("write", pwrite(fd, "to be safe", 10, off));
    return fd;
}

static void end(const char *what, int result)
{
    said(what, result);
    fflush(stdout);
    kill(getpid(), SIGKILL);
}

static void do_fsync(const char *path)
{
    end("fsync", fsync(written(path, 1000)));
}

static void do_fdatasync(const char *path)
{
    end("fdatasync", fdatasync(written(path, 11000)));
}

static void do_syncfs(const char *path)
{
    end("syncfs", syncfs(written(path, 21000)));
}

static void do_sync(const char *path)
{
    written(path, 31000);
    sync();
    end("sync", 0);
}

static void do_aio(const char *path)
{
    struct aiocb cb = { .aio_fildes = written(path, 41000) };
    const struct aiocb *list[] = { &cb };

    said("aio_fsync", aio_fsync(O_DSYNC, &cb));
    while (aio_error(&cb) == EINPROGRESS)
        aio_suspend(list, 1, NULL);
    end("done", (int)aio_return(&cb));
}

static void do_msync(const char *path)
{
    int fd = must_open(path, O_RDWR);
    char *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 49152);

    memcpy(at + 3000, "to be safe", 10);
    end("msync", msync(at, 8192, MS_SYNC));
}

/* Nothing is left beside a disk that nobody uses. */
static void do_ends(const char *path)
{
    int fd = must_open(path, O_RDWR);
    char name[64], *at = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 4096);

    snprintf(name, sizeof(name), "%s.run", path);
    at[2000] = 'm';
    said("close", close(fd));
    said("munmap", munmap(at, 8192));
    said("left", access(name, F_OK) == 0);
    said("close", close(written(path, 51000)));
    said("left", access(name, F_OK) == 0);
}

static const struct mode modes[] = {
    { "fsync", do_fsync }, { "fdatasync", do_fdatasync }, { "syncfs", do_syncfs }, { "sync", do_sync },
    { "aio", do_aio }, { "msync", do_msync }, { "ends", do_ends },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}

/*
 * The kernel's aio, by libaio's io_submit and by number: all its requests, their events as
 * io_getevents gives them, and as QEMU takes them from the ring itself. `libaio_ops MODE FILE`.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <linux/aio_abi.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "ops.h"

#define MANY 40
#define PIECE 4096

static aio_context_t context;
static struct iocb iocbs[MANY];
static struct iocb *list[MANY];
static char pieces[MANY][PIECE] __attribute__((aligned(4096)));
static struct iovec vectors[MANY][2];

static int (*library_submit)(aio_context_t context, long count, struct iocb **list);

static void begin(void)
{
    const char *name = getenv("AIO_LIBRARY");
    void *library = dlopen(name ? name : "libaio.so.1", RTLD_NOW | RTLD_GLOBAL);

    if (library)
        library_submit = (int (*)(aio_context_t, long, struct iocb **))dlsym(RTLD_DEFAULT, "io_submit");
    if (syscall(SYS_io_setup, 2 * MANY, &context) < 0) {
        perror("io_setup");
        exit(1);
    }
}

/* Every other time by the library. */
static int submit(int count)
{
    static int times;
    int r;

    alarm(20);

    if (library_submit && times++ % 2 == 0) {
        r = library_submit(context, count, list);
        if (r < 0) {
            errno = -r;
            r = -1;
        }
        return r;
    }
    return (int)syscall(SYS_io_submit, context, count, list);
}

static struct iocb *request(int i, int fd, int op, off_t off, size_t len)
{
    iocbs[i] = (struct iocb){ .aio_data = 1000u + (unsigned)i, .aio_fildes = (uint32_t)fd,
                              .aio_lio_opcode = (uint16_t)op, .aio_offset = off };
    if (op == IOCB_CMD_PREAD || op == IOCB_CMD_PWRITE) {
        iocbs[i].aio_buf = (uintptr_t)pieces[i];
        iocbs[i].aio_nbytes = len;
    } else if (op == IOCB_CMD_PREADV || op == IOCB_CMD_PWRITEV) {
        vectors[i][0] = (struct iovec){ pieces[i], len / 3 };
        vectors[i][1] = (struct iovec){ pieces[i] + len / 3, len - len / 3 };
        iocbs[i].aio_buf = (uintptr_t)vectors[i];
        iocbs[i].aio_nbytes = 2;
    }
    if (op == IOCB_CMD_PWRITE || op == IOCB_CMD_PWRITEV)
        memset(pieces[i], 'A' + i, PIECE);
    return list[i] = &iocbs[i];
}

/* In the order of the requests, whatever the order of the events. */
static void events(const char *what, int count)
{
    struct io_event got[MANY];
    long res[MANY];
    int bad = 0;

    for (int n = 0; n < count;) {
        int r = (int)syscall(SYS_io_getevents, context, 1, count - n, got, NULL);

        for (int i = 0; i < r; i++) {
            int at = (int)got[i].data - 1000;

            bad += at < 0 || at >= MANY || got[i].obj != (uintptr_t)&iocbs[at];
            if (at >= 0 && at < MANY)
                res[at] = (long)got[i].res;
        }
        n += r > 0 ? r : 0;
    }
    for (int i = 0; i < count; i++)
        printf("%s %d: %ld %08x\n", what, i, res[i], sum(pieces[i], PIECE));
    printf("%s: bad events %d\n", what, bad);
}

/* A failure may be io_submit's or the event's. */
static void one(const char *what)
{
    struct io_event event = { 0 };
    int r = submit(1);

    if (r == 1) {
        r = (int)syscall(SYS_io_getevents, context, 1, 1, &event, NULL);
        if (r == 1 && (long)event.res < 0) {
            errno = -(int)event.res;
            r = -1;
        } else if (r == 1 && (event.obj != (uintptr_t)list[0] || event.data != list[0]->aio_data)) {
            printf("%s: an event of something else\n", what);
        }
    }
    said(what, r < 0 ? r : (long)event.res);
    printf("  %08x fd %s op %d len %lld off %lld\n", sum(pieces[0], PIECE),
           list[0]->aio_fildes > 2 ? "kept" : "lost", list[0]->aio_lio_opcode,
           (long long)list[0]->aio_nbytes, (long long)list[0]->aio_offset);
}

static void do_basic(const char *path)
{
    int fd = must_open(path, O_RDWR);
    off_t end = lseek(fd, 0, SEEK_END);

    begin();
    request(0, fd, IOCB_CMD_PREAD, 60000, 3000), one("read");
    request(0, fd, IOCB_CMD_PWRITE, 60100, 3000), one("write");
    request(0, fd, IOCB_CMD_FSYNC, 0, 0), one("fsync");
    request(0, fd, IOCB_CMD_PREADV, 60000, 3000), one("readv");
    request(0, fd, IOCB_CMD_PWRITEV, 70001, 3000), one("writev");
    request(0, fd, IOCB_CMD_FDSYNC, 0, 0), one("fdatasync");
    request(0, fd, IOCB_CMD_PREAD, 70000, 4000), one("read");
    request(0, fd, IOCB_CMD_PREAD, end - 100, 4000), one("read at the end");
    request(0, fd, IOCB_CMD_PREAD, end + 100, 4000), one("read past the end");
    request(0, fd, IOCB_CMD_PWRITE, end + 700, 1000), one("write past the end");
    request(0, fd, IOCB_CMD_PREAD, 0, 0), one("read nothing");
    request(0, fd, IOCB_CMD_PWRITE, 0, 0), one("write nothing");
    request(0, fd, IOCB_CMD_POLL, 0, 0)->aio_buf = POLLIN, one("poll");
    said("size", lseek(fd, 0, SEEK_END));
}

static void do_flags(const char *path)
{
    int fd = must_open(path, O_RDWR), end = must_open(path, O_WRONLY | O_APPEND), bell = eventfd(0, 0);
    uint64_t rings = 0;

    begin();
    request(0, fd, IOCB_CMD_PWRITE, 5000, 1000)->aio_rw_flags = RWF_DSYNC, one("dsync");
    request(0, fd, IOCB_CMD_PWRITE, 7000, 1000)->aio_rw_flags = RWF_SYNC, one("sync");
    request(0, fd, IOCB_CMD_PWRITE, 7000, 1000)->aio_rw_flags = RWF_APPEND, one("append");
    request(0, end, IOCB_CMD_PWRITE, 7000, 1000), one("append");
    request(0, fd, IOCB_CMD_PWRITE, 7000, 1000)->aio_rw_flags = 1 << 20, one("unknown");
    for (int i = 0; i < 3; i++) {
        request(i, fd, i == 1 ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE, 20000 + i * 4000, 3000);
        list[i]->aio_flags = IOCB_FLAG_RESFD;
        list[i]->aio_resfd = (uint32_t)bell;
    }
    said("submit", submit(3));
    events("bell", 3);
    said("rings", read(bell, &rings, sizeof(rings)));
    printf("%d\n", (int)rings);
    said("size", lseek(fd, 0, SEEK_END));
}

static void do_errors(const char *path)
{
    int in = must_open(path, O_RDONLY), out = must_open(path, O_WRONLY);
    aio_context_t none = 0;

    begin();
    request(0, in, IOCB_CMD_PWRITE, 0, 1000), one("write to what is read");
    request(0, out, IOCB_CMD_PREAD, 0, 1000), one("read what is written");
    request(0, in, IOCB_CMD_PREAD, -5, 1000), one("before the beginning");
    request(0, in, IOCB_CMD_PREAD, 0, 1000)->aio_buf = 8, one("nowhere");
    request(0, in, IOCB_CMD_PREADV, 0, 1000)->aio_nbytes = 2000, one("too many pieces");
    request(0, in, 77, 0, 1000), one("no operation");
    request(0, in, IOCB_CMD_NOOP, 0, 1000), one("noop");
    request(0, in, IOCB_CMD_FSYNC, 100, 0), one("fsync of a part");
    request(0, in, IOCB_CMD_FSYNC, 0, 0), one("fsync of what is read");
    request(0, 99, IOCB_CMD_PREAD, 0, 1000), one("closed");
    request(0, out, IOCB_CMD_PWRITE, 40000, 1000);
    said("no context", syscall(SYS_io_submit, none, 1, list));
    said("nothing", submit(0));
    request(0, in, IOCB_CMD_PREAD, 0, 1000);
    request(1, in, IOCB_CMD_PREAD, 4000, 1000);
    request(2, in, IOCB_CMD_PWRITE, 8000, 1000);
    said("two and a bad one", submit(3));
    events("two", 2);
}

static void many(int fd, int step)
{
    int plain = must_open("aio.plain", O_RDWR | O_CREAT);

    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++)
            request(i, i % 5 == 4 ? plain : fd, i % 2 ? IOCB_CMD_PWRITEV : IOCB_CMD_PWRITE,
                    i * step * 2 + round * step, PIECE - PIECE % step);
        said("write", submit(MANY));
        events("write", MANY);
        for (int i = 0; i < MANY; i++)
            request(i, i % 5 == 4 ? plain : fd, i % 2 ? IOCB_CMD_PREAD : IOCB_CMD_PREADV,
                    i * step * 2 + round * step, PIECE);
        said("read", submit(MANY));
        events("read", MANY);
    }
    /* Once more, as they are: they must be what they were. */
    memset(pieces, 0, sizeof(pieces));
    said("again", submit(MANY));
    events("again", MANY);
    unlink("aio.plain");
}

static void do_many(const char *path)
{
    begin();
    many(must_open(path, O_RDWR), 4096 - 96);
}

/* Vectors of a third are not aligned, so only the plain forms. */
static void do_direct(const char *path)
{
    int fd = must_open(path, O_RDWR | O_DIRECT);

    begin();
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < MANY; i++)
            request(i, fd, round == 1 ? IOCB_CMD_PREAD : IOCB_CMD_PWRITE, i * 6 * 512,
                    round == 0 ? 1024 : 2048);
        said("submit", submit(MANY));
        events("direct", MANY);
        memset(pieces, 0, sizeof(pieces));
    }
    request(0, fd, IOCB_CMD_FSYNC, 0, 0), one("fsync");
    request(0, fd, IOCB_CMD_PREAD, 60000, 512), one("odd");
}

/* As in QEMU: the kernel's ring, mapped where the context's number points to. */
static void do_ring(const char *path)
{
    struct ring {
        unsigned id, nr, head, tail, magic, compat, incompat, length;
        struct io_event events[];
    } *ring;
    int fd = must_open(path, O_RDWR), bad = 0;

    begin();
    ring = (struct ring *)context;
    for (int i = 0; i < MANY; i++)
        request(i, fd, IOCB_CMD_PREAD, i * 5000, 1000 + i);
    said("submit", submit(MANY));
    for (int n = 0; n < MANY;) {
        unsigned head = ring->head;

        if (head == __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE))
            continue;
        bad += ring->events[head].obj != (uintptr_t)&iocbs[ring->events[head].data - 1000]
               || ring->events[head].res != 1000 + (int)ring->events[head].data - 1000;
        ring->head = (head + 1) % ring->nr;
        n++;
    }
    printf("bad events %d\n", bad);
    for (int i = 0; i < MANY; i++)
        printf("%08x\n", sum(pieces[i], PIECE));
}

static const struct mode modes[] = {
    { "basic", do_basic }, { "flags", do_flags }, { "errors", do_errors }, { "many", do_many },
    { "direct", do_direct }, { "ring", do_ring },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}

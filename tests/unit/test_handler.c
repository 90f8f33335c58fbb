/*
 * A signal handler that uses the disk while the thread that it interrupts is in a call on it. The handler is
 * called from within a system call of the engine's, where a signal would come.
 */
#include <errno.h>

#include "support.h"

static struct acow_sys sys;
static struct acow_disk *disk;
static const char *said;
static ssize_t (*handler)(void);
static ssize_t handled;

static void call_handler(void)
{
    ssize_t (*once)(void) = handler;

    handler = NULL;
    if (once)
        handled = once();
}

static ssize_t interrupted_pwrite(int fd, const void *buf, size_t len, int64_t off)
{
    call_handler();
    return acow_sys_libc.pwrite(fd, buf, len, off);
}

static ssize_t interrupted_pwritev(int fd, const struct iovec *iov, int iovcnt, int64_t off)
{
    call_handler();
    return acow_sys_libc.pwritev(fd, iov, iovcnt, off);
}

static void listen_to(const char *line)
{
    if (strstr(line, "EDEADLK"))
        said = line;
}

static void begin(void)
{
    tmp_begin();
    usual_disk(64 * KIB, 64 * KIB);
    sys = acow_sys_libc;
    sys.pwrite = interrupted_pwrite;
    sys.pwritev = interrupted_pwritev;
    sys.log = listen_to;
    disk = must_open(&sys, "d.add-cow", ACOW_RDWR);
    handled = 1;
    said = NULL;
}

static ssize_t write_there(void)
{
    return acow_pwrite(disk, ACOW_OWN_FD, "handler", 7, 700);
}

static ssize_t write_elsewhere(void)
{
    return acow_pwrite(disk, ACOW_OWN_FD, "handler", 7, 9000);
}

static ssize_t read_there(void)
{
    char buf[100];

    return acow_pread(disk, ACOW_OWN_FD, buf, sizeof(buf), 0);
}

/* It cannot wait, and its write would be undone by the one it came upon. */
Test(handler, writes_to_the_same_place, .init = begin, .fini = tmp_end)
{
    handler = write_there;
    check(acow_pwrite(disk, ACOW_OWN_FD, "program", 7, 600) == 7);
    check(handled == -EDEADLK && said);
    must_write(disk, "handler", 7, 700);
    must_close(disk);
}

Test(handler, reads_the_same_place, .init = begin, .fini = tmp_end)
{
    handler = read_there;
    check(acow_pwrite(disk, ACOW_OWN_FD, "program", 7, 600) == 7);
    check(handled == 100 && !said);
    must_close(disk);
}

/* Where all has its bits already no lock is needed. */
Test(handler, writes_to_an_allocated_place, .init = begin, .fini = tmp_end)
{
    char buf[8] = "";

    must_write(disk, "before!", 7, 9000);
    handler = write_elsewhere;
    check(acow_pwrite(disk, ACOW_OWN_FD, "program", 7, 600) == 7);
    check(handled == 7 && !said);
    must_read(disk, buf, 7, 9000);
    check(strcmp(buf, "handler") == 0);
    must_close(disk);
}

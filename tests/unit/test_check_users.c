/* Who has a disk open, as a check tells it: by process, for what, and each once. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>

#include "looking.h"
#include "peer.h"
#include "sys_hook.h"

#define SIZE 5000

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
}

static void end(void)
{
    sys_hook(NULL);
    look_end();
    tmp_end();
}

static void refused(const char *path)
{
    struct acow_disk *disk;

    check(acow_open(&acow_sys_libc, path, ACOW_RDWR, &disk, NULL) == -EBUSY, "%s", path);
}

Test(check_users, open_by_others, .init = begin, .fini = end)
{
    struct peer writer = peer_start(&acow_sys_libc), reader = peer_start(&acow_sys_libc);
    char who[32];

    peer_open(&writer, ACOW_RDWR);
    peer_write(&writer, 0, 1000, 3);
    snprintf(who, sizeof(who), "process %d (", writer.pid);
    /* Its bits are where they should be while it is there. */
    look("d.add-cow");
    expect_only(ACOW_FOUND_OPEN_WRITING, ACOW_NOTE, 0, 0, "d.add-cow", who);
    check(found.allocated == 2 && found.pending == 2);
    peer_open(&reader, ACOW_RDONLY);
    look("d.add-cow");
    expect_found(ACOW_FOUND_OPEN_WRITING, ACOW_NOTE, 0, 0, "d.add-cow", who);
    snprintf(who, sizeof(who), "process %d (", reader.pid);
    expect_found(ACOW_FOUND_OPEN_READING, ACOW_NOTE, 0, 0, "d.add-cow", who);
    expect_findings(2);
    peer_close(&writer);
    look("d.add-cow");
    expect_only(ACOW_FOUND_OPEN_READING, ACOW_NOTE, 0, 0, "d.add-cow", who);
    peer_close(&reader);
    look("d.add-cow");
    expect_findings(0);
    peer_end(&writer);
    peer_end(&reader);
}

Test(check_users, open_as_a_backing_file, .init = begin, .fini = end)
{
    struct acow_disk *top;
    char who[32];

    file_size("t.img", SIZE);
    meta_put("t.add-cow", "d.add-cow", "t.img", NULL, 2);
    top = must_open(&acow_sys_libc, "t.add-cow", ACOW_RDONLY);
    snprintf(who, sizeof(who), "process %d (", getpid());
    look("d.add-cow");
    expect_only(ACOW_FOUND_OPEN_BACKING, ACOW_NOTE, 0, 0, "d.add-cow", who);
    look("t.add-cow");
    expect_found(ACOW_FOUND_OPEN_READING, ACOW_NOTE, 0, 0, "t.add-cow", who);
    expect_found(ACOW_FOUND_OPEN_BACKING, ACOW_NOTE, 1, 0, "d.add-cow", who);
    expect_findings(2);
    must_close(top);
}

/* Below, a writer keeps the disk from being opened; it is a note all the same. */
Test(check_users, written_below, .init = begin, .fini = end)
{
    struct flock fl = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = 101, .l_len = 1 };
    struct peer peer = peer_start(&acow_sys_libc);
    int fd = open("d.base", O_RDWR | O_CLOEXEC);
    char who[32];

    file_size("t.img", SIZE);
    meta_put("t.add-cow", "d.add-cow", "t.img", NULL, 2);
    peer_open(&peer, ACOW_RDWR);
    snprintf(who, sizeof(who), "process %d (", peer.pid);
    look("t.add-cow");
    expect_only(ACOW_FOUND_OPEN_WRITING, ACOW_NOTE, 1, -EBUSY, "d.add-cow", who);
    refused("t.add-cow");
    peer_close(&peer);
    peer_end(&peer);
    /* As QEMU locks a file that it writes. */
    check(fcntl(fd, F_OFD_SETLK, &fl) == 0);
    snprintf(who, sizeof(who), "process %d (", getpid());
    look("d.add-cow");
    expect_only(ACOW_FOUND_BACKING_WRITTEN, ACOW_NOTE, 0, -EBUSY, "d.base", who);
    refused("d.add-cow");
    close(fd);
    look("d.add-cow");
    expect_findings(0);
}

static int no_proc(struct sys_call *call)
{
    return call->op == SYS_LIST ? -ENOENT : 0;
}

Test(check_users, open_by_somebody_unseen, .init = begin, .fini = end)
{
    static const struct sys_hook hook = { .before = no_proc };
    struct acow_disk *disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);

    sys_hook(&hook);
    check(look_with(&sys_hooked, "d.add-cow", 0) == 0);
    expect_only(ACOW_FOUND_OPEN_WRITING, ACOW_NOTE, 0, 0, "d.add-cow", "cannot be seen");
    must_close(disk);
    disk = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDONLY);
    check(look_with(&sys_hooked, "d.add-cow", 0) == 0);
    expect_only(ACOW_FOUND_OPEN_READING, ACOW_NOTE, 0, 0, "d.add-cow", "cannot be seen");
    must_close(disk);
}

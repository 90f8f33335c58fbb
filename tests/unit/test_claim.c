/*
 * Who may have a disk open beside whom, as far as locks.c does not show it: a disk
 * by another name, a run-time file that was taken away, and a raw backing file that QEMU
 * uses. Every refusal says who is in the way.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "peer.h"
#include "sys_hook.h"

#define SIZE (64 * KIB)

static struct acow_msg msg;
static struct acow_disk *disk;
static char whom[32];
static struct peer peer;

static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
    peer = peer_start(&acow_sys_libc);
    snprintf(whom, sizeof(whom), "process %d (", peer.pid);
}

static void refused(const char *path, int flags, const char *says)
{
    int files = dir_count();

    check(acow_open(&sys_hooked, path, flags, &disk, &msg) == -EBUSY, "%s", path);
    check(strstr(msg.text, path) && strstr(msg.text, says) && strstr(msg.text, whom), "%s", msg.text);
    check(dir_count() == files, "a refused open left a file");
}

/* It opens, sees what the peer wrote, and closes. */
static void shared(const char *path)
{
    uint8_t buf[3000], want[3000];

    pattern(want, 1000, 3000, 3);
    disk = must_open(&sys_hooked, path, ACOW_RDWR);
    must_read(disk, buf, 3000, 1000);
    assert_same(buf, want, 3000, "%s", path);
    must_close(disk);
}

static void peer_has_written(void)
{
    peer_open(&peer, ACOW_RDWR);
    peer_write(&peer, 1000, 3000, 3);
}

static void peer_is_done(void)
{
    peer_close(&peer);
    peer_end(&peer);
}

/* ---- one disk, one run-time file ------------------------------------------------ */

Test(claim, another_hard_link, .init = begin, .fini = tmp_end)
{
    check(link("d.add-cow", "e.add-cow") == 0);
    peer_has_written();
    refused("e.add-cow", ACOW_RDWR, "another name");
    refused("e.add-cow", ACOW_RDONLY, "another name");
    shared("d.add-cow");
    peer_is_done();
    shared("e.add-cow");
}

Test(claim, another_hard_link_beside_a_reader, .init = begin, .fini = tmp_end)
{
    check(link("d.add-cow", "e.add-cow") == 0);
    peer_open(&peer, ACOW_RDONLY);
    refused("e.add-cow", ACOW_RDWR, "another name");
    peer_is_done();
}

Test(claim, symbolic_link_is_the_same_name, .init = begin, .fini = tmp_end)
{
    check(mkdir("sub", 0755) == 0 && symlink("../d.add-cow", "sub/e.add-cow") == 0);
    peer_has_written();
    shared("sub/e.add-cow");
    peer_is_done();
}

Test(claim, renamed_while_open, .init = begin, .fini = tmp_end)
{
    peer_has_written();
    check(rename("d.add-cow", "e.add-cow") == 0);
    refused("e.add-cow", ACOW_RDWR, "another name");
    peer_sees(&peer, 1000, 3000, 3);
    peer_write(&peer, 9000, 100, 4);
    peer_is_done();
    shared("e.add-cow");
}

Test(claim, run_file_removed_while_open, .init = begin, .fini = tmp_end)
{
    peer_has_written();
    check(unlink("d.add-cow.run") == 0);
    refused("d.add-cow", ACOW_RDWR, "moved or removed");
    refused("d.add-cow", ACOW_RDONLY, "moved or removed");
    peer_sees(&peer, 1000, 3000, 3);
    peer_is_done();
    shared("d.add-cow");
}

Test(claim, run_file_moved_while_open, .init = begin, .fini = tmp_end)
{
    peer_has_written();
    check(rename("d.add-cow.run", "x") == 0);
    refused("d.add-cow", ACOW_RDWR, "moved or removed");
    check(rename("x", "d.add-cow.run") == 0);
    shared("d.add-cow");
    peer_is_done();
}

/* A fork's child has claims of its own: what its parent gives up is not the child's. */
Test(claim, child_of_fork, .init = begin, .fini = tmp_end)
{
    struct acow_disk *parent = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    pid_t pid;
    int hold[2];
    char c;

    peer_end(&peer);
    check(pipe(hold) == 0);
    pid = fork_child();
    if (pid == 0) {
        acow_after_fork(parent);
        must_write(parent, "c", 1, 9000);
        close(hold[0]);
        check(write(hold[1], "x", 1) == 1);
        pause();
    }
    check(read(hold[0], &c, 1) == 1);
    must_close(parent);
    snprintf(whom, sizeof(whom), "process %d (", pid);
    check(rename("d.add-cow.run", "x") == 0);
    refused("d.add-cow", ACOW_RDWR, "moved or removed");
    check(rename("x", "d.add-cow.run") == 0);
    kill(pid, SIGKILL);
    wait_child(pid);
}

/* A child that has not used the disk yet is in nobody's way when its parent has closed. */
Test(claim, child_of_fork_that_does_nothing, .init = begin, .fini = tmp_end)
{
    struct acow_disk *parent = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    pid_t pid = fork_child();

    if (pid == 0) {
        acow_after_fork(parent);
        pause();
    }
    must_write(parent, "c", 1, 9000);
    must_close(parent);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    kill(pid, SIGKILL);
    wait_child(pid);
    must_close(disk);
    peer_end(&peer);
}

/* ---- who it is ---------------------------------------------------------------------- */

Test(claim, backing_disk_is_open_for_writing, .init = begin, .fini = tmp_end)
{
    file_pattern("t.img", 0, SIZE, 5);
    meta_put("t.add-cow", "d.add-cow", "t.img", NULL, bitmap_len(SIZE));
    peer_has_written();
    check(acow_open(&sys_hooked, "t.add-cow", ACOW_RDONLY, &disk, &msg) == -EBUSY);
    check(strstr(msg.text, "d.add-cow: ") && strstr(msg.text, whom), "%s", msg.text);
    peer_is_done();
}

Test(claim, in_use_as_backing_disk, .init = begin, .fini = tmp_end)
{
    check(rename("d.add-cow", "b.add-cow") == 0);
    file_pattern("t.img", 0, SIZE, 5);
    meta_put("d.add-cow", "b.add-cow", "t.img", NULL, bitmap_len(SIZE));
    peer_open(&peer, ACOW_RDONLY);
    refused("b.add-cow", ACOW_RDWR, "backing file of another disk");
    peer_is_done();
}

/* ---- QEMU's bytes of a raw backing file ---------------------------------------------- */

/* As QEMU does it: a shared lock on each byte that stands for what it does, or bears not. */
static int qemu_locks(const char *path, const int *bytes, int count)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    check(fd >= 0);
    for (int i = 0; i < count; i++) {
        struct flock fl = { .l_type = F_RDLCK, .l_start = bytes[i], .l_len = 1 };

        check(fcntl(fd, F_OFD_SETLK, &fl) == 0);
    }
    return fd;
}

/* And as it then looks whether another is in its way. */
static bool qemu_is_refused(int fd, int byte)
{
    struct flock fl = { .l_type = F_WRLCK, .l_start = byte, .l_len = 1 };

    check(fcntl(fd, F_OFD_GETLK, &fl) == 0);
    return fl.l_type != F_UNLCK;
}

Test(claim, raw_backing_file_in_use, .init = begin, .fini = tmp_end)
{
    static const int writer[] = { 100, 101, 103, 201, 203 }, resizer[] = { 103 },
                     excludes_readers[] = { 200 }, reader[] = { 100, 201, 203 };
    int fd;

    snprintf(whom, sizeof(whom), "process %d (", getpid());
    for (int flags = ACOW_RDONLY; flags <= ACOW_RDWR; flags++) {
        fd = qemu_locks("d.base", writer, 5);
        check(acow_open(&sys_hooked, "d.add-cow", flags, &disk, &msg) == -EBUSY);
        check(strstr(msg.text, "d.base: ") && strstr(msg.text, "writing") && strstr(msg.text, whom),
              "%s", msg.text);
        close(fd);
    }
    fd = qemu_locks("d.base", resizer, 1);
    refused("d.add-cow", ACOW_RDONLY, "resizing");
    close(fd);
    fd = qemu_locks("d.base", excludes_readers, 1);
    refused("d.add-cow", ACOW_RDONLY, "readers");
    /* Looking is allowed. */
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_INSPECT);
    must_close(disk);
    close(fd);
    fd = qemu_locks("d.base", reader, 3);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    must_close(disk);
    close(fd);
    peer_end(&peer);
}

Test(claim, raw_backing_file_is_kept_from_writers, .init = begin, .fini = tmp_end)
{
    int fd = qemu_locks("d.base", NULL, 0);
    static const int others[] = { 101, 102, 103, 200, 202 };

    peer_open(&peer, ACOW_RDONLY);
    /* QEMU as a reader looks at 200; as a writer at 201, for resizing at 203. */
    check(!qemu_is_refused(fd, 200));
    check(qemu_is_refused(fd, 201) && qemu_is_refused(fd, 203) && qemu_is_refused(fd, 100));
    for (int i = 0; i < 5; i++)
        check(!qemu_is_refused(fd, others[i]), "%d", others[i]);
    peer_close(&peer);
    check(!qemu_is_refused(fd, 201) && !qemu_is_refused(fd, 100));
    peer_end(&peer);
}

static int no_locks(struct sys_call *call)
{
    return call_is(call, SYS_LOCK, "d.base") ? -ENOLCK : 0;
}

Test(claim, raw_backing_file_that_cannot_be_locked, .init = begin, .fini = tmp_end)
{
    static const struct sys_hook hook = { .before = no_locks };

    peer_end(&peer);
    sys_hook(&hook);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    must_close(disk);
}

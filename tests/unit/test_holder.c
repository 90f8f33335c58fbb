/* Who holds a lock: found through /proc, by the range and the file, and described. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "holder.h"
#include "lock.h"
#include "peer.h"
#include "sys_hook.h"

static struct holder found[8];
static char text[HOLDER_TEXT];

/* A lock of this process's own on [off, off + len) of the file; 0: to the end. */
static int locked_file(const char *name, int64_t off, int64_t len)
{
    struct flock fl = { .l_type = F_RDLCK, .l_whence = SEEK_SET, .l_start = off, .l_len = len };
    int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);

    check(fd >= 0 && fcntl(fd, F_OFD_SETLK, &fl) == 0);
    return fd;
}

Test(holder, by_range, .init = tmp_begin, .fini = tmp_end)
{
    int fd = locked_file("a", 100, 4), open_end = locked_file("b", 5000, 0);
    int other = open("a", O_RDONLY | O_CLOEXEC);
    static const struct {
        uint64_t off, len;
        int count;
    } tries[] = { { 0, 100, 0 }, { 0, 101, 1 }, { 103, 1, 1 }, { 104, 1000, 0 }, { 101, 1, 1 } };

    for (size_t i = 0; i < sizeof(tries) / sizeof(tries[0]); i++)
        check(holder_find(&acow_sys_libc, other, tries[i].off, tries[i].len, found, 8)
              == tries[i].count, "%zu", i);
    check(holder_find(&acow_sys_libc, open_end, 1ull << 40, 1, found, 8) == 1);
    check(found[0].pid == getpid() && !found[0].stopped && found[0].start > 0);
    check(holder_find(&acow_sys_libc, open_end, 0, 5000, found, 8) == 0);
    close(fd);
    check(holder_find(&acow_sys_libc, other, 100, 4, found, 8) == 0);
}

Test(holder, of_a_disk, .init = tmp_begin, .fini = tmp_end)
{
    struct peer peers[3];
    int fd;

    usual_disk(8192, 8192);
    fd = open("d.add-cow", O_RDONLY | O_CLOEXEC);
    for (int i = 0; i < 3; i++) {
        peers[i] = peer_start(&acow_sys_libc);
        peer_open(&peers[i], i ? ACOW_RDWR : ACOW_RDONLY);
    }
    check(holder_find(&acow_sys_libc, fd, 1ull << 61, 8, found, 2) == 2);
    lock_who(&acow_sys_libc, fd, DISK_READER, text);
    check(strstr(text, "process ") && strstr(text, " and 2 more"), "%s", text);
    lock_who(&acow_sys_libc, fd, DISK_WRITER, text);
    check(strstr(text, " and 1 more"), "%s", text);
    lock_who(&acow_sys_libc, fd, DISK_BACKING, text);
    check(strstr(text, "cannot be seen"), "%s", text);
    for (int i = 0; i < 3; i++) {
        peer_close(&peers[i]);
        peer_end(&peers[i]);
    }
    check(holder_find(&acow_sys_libc, fd, 1ull << 61, 8, found, 8) == 0);
}

Test(holder, stopped_and_strangely_named, .init = tmp_begin, .fini = tmp_end)
{
    pid_t pid = fork_child();
    int status;

    if (pid == 0) {
        prctl(PR_SET_NAME, ") T (odd");
        locked_file("a", 0, 1);
        raise(SIGSTOP);
        pause();
    }
    check(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
    check(holder_find(&acow_sys_libc, locked_file("a", 10, 1), 0, 1, found, 8) == 1);
    check(found[0].pid == pid && found[0].stopped, "%d", found[0].pid);
    check(strcmp(found[0].name, ") T (odd") == 0, "\"%s\"", found[0].name);
    check(strstr(holder_text(found, 1, text), "is stopped"), "%s", text);
    kill(pid, SIGKILL);
    check(waitpid(pid, &status, 0) == pid);
    check(holder_process(&acow_sys_libc, pid, found) == -ENOENT);
}

static int no_proc(struct sys_call *call)
{
    return call->op == SYS_LIST ? -ENOENT : 0;
}

Test(holder, without_proc, .init = tmp_begin, .fini = tmp_end)
{
    static const struct sys_hook hook = { .before = no_proc };
    int fd = locked_file("a", 0, 1);

    sys_hook(&hook);
    check(holder_find(&sys_hooked, fd, 0, 1, found, 8) == 0);
}

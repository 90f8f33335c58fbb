/*
 * An image file has one disk while it is written: who comes by another metadata file that names
 * it, or uses it as a raw backing file, is refused and told why and by whom, in whatever order
 * they come, and whether or not they are one process.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>

#include "peer.h"
#include "sys_hook.h"

#define SIZE (64 * KIB)

static struct acow_msg msg;
static struct acow_disk *disk;
static char whom[32];
static struct peer peer;

/*
 * e.add-cow has d.add-cow's image, o.add-cow has that image as its backing file, and the disk
 * below t.add-cow is e.add-cow.
 */
static void begin(void)
{
    tmp_begin();
    usual_disk(SIZE, SIZE);
    file_pattern("o.img", 0, SIZE, 5);
    file_pattern("t.img", 0, SIZE, 6);
    meta_put("e.add-cow", "d.base", "d.img", NULL, bitmap_len(SIZE));
    meta_put("o.add-cow", "d.img", "o.img", NULL, bitmap_len(SIZE));
    meta_put("t.add-cow", "e.add-cow", "t.img", NULL, bitmap_len(SIZE));
    peer = peer_start(&acow_sys_libc);
    snprintf(whom, sizeof(whom), "process %d (", peer.pid);
}

static void end(void)
{
    peer_end(&peer);
    tmp_end();
}

static void refused(const char *path, int flags, const char *why)
{
    int files = dir_count(), fds = open_fds();

    check(acow_open(&sys_hooked, path, flags, &disk, &msg) == -EBUSY, "%s, %d", path, flags);
    check(strncmp(msg.text, "d.img: ", 7) == 0 || strstr(msg.text, "/d.img: "), "%s", msg.text);
    check(strstr(msg.text, path[0] == 't' ? "e.add-cow" : path) && strstr(msg.text, why)
          && strstr(msg.text, whom) && !strchr(msg.text, '\n'), "%s", msg.text);
    check(dir_count() == files && open_fds() == fds, "a refused open left a file");
}

static void allowed(const char *path, int flags)
{
    disk = must_open(&sys_hooked, path, flags);
    must_close(disk);
}

Test(image, beside_a_writer, .init = begin, .fini = end)
{
    peer_open(&peer, ACOW_RDWR);
    refused("e.add-cow", ACOW_RDWR, "another disk that has the same image file is open by");
    refused("e.add-cow", ACOW_RDONLY, "another disk that has the same image file is open for writing by");
    refused("t.add-cow", ACOW_RDWR, "another disk that has the same image file is open for writing by");
    refused("o.add-cow", ACOW_RDWR, "image file of a disk that is open for writing by");
    refused("o.add-cow", ACOW_RDONLY, "image file of a disk that is open for writing by");
    allowed("e.add-cow", ACOW_INSPECT);
    allowed("o.add-cow", ACOW_INSPECT);
    allowed("d.add-cow", ACOW_RDWR);
    peer_close(&peer);
    allowed("e.add-cow", ACOW_RDWR);
    allowed("o.add-cow", ACOW_RDWR);
}

Test(image, beside_a_reader, .init = begin, .fini = end)
{
    peer_open(&peer, ACOW_RDONLY);
    refused("e.add-cow", ACOW_RDWR, "another disk that has the same image file is open by");
    allowed("e.add-cow", ACOW_RDONLY);
    allowed("t.add-cow", ACOW_RDWR);
    allowed("o.add-cow", ACOW_RDWR);
    peer_close(&peer);
}

/* The peer opens d.add-cow; here that is by turns each of the others. */
Test(image, beside_other_uses, .init = begin, .fini = end)
{
    static const struct {
        const char *path;
        int flags;
        const char *writer, *reader;    /* why they are refused; NULL: they are not */
    } uses[] = {
        { "e.add-cow", ACOW_RDWR, "same image file is open by", "open for writing by" },
        { "e.add-cow", ACOW_RDONLY, "same image file is open by", NULL },
        { "t.add-cow", ACOW_RDWR, "same image file is open by", NULL },
        { "o.add-cow", ACOW_RDONLY, "in use as a backing file by", NULL },
        { "o.add-cow", ACOW_RDWR, "in use as a backing file by", NULL },
    };

    snprintf(whom, sizeof(whom), "process %d (", getpid());
    for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
        struct acow_disk *used = must_open(&acow_sys_libc, uses[i].path, uses[i].flags);

        check(peer_do(&peer, PEER_OPEN, ACOW_RDWR, 0, 0) == -EBUSY, "%s", uses[i].path);
        refused("d.add-cow", ACOW_RDWR, uses[i].writer);
        if (uses[i].reader) {
            refused("d.add-cow", ACOW_RDONLY, uses[i].reader);
        } else {
            peer_open(&peer, ACOW_RDONLY);
            peer_close(&peer);
        }
        must_close(used);
        peer_open(&peer, ACOW_RDWR);
        peer_close(&peer);
    }
}

Test(image, ends_with_a_killed_process, .init = begin, .fini = tmp_end)
{
    peer_open(&peer, ACOW_RDWR);
    peer_kill(&peer);
    allowed("e.add-cow", ACOW_RDWR);
    allowed("o.add-cow", ACOW_RDWR);
}

/* What a fork's child has inherited it may use, when its parent has long closed it. */
Test(image, child_of_fork, .init = begin, .fini = end)
{
    struct acow_disk *parent = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    pid_t pid = fork();

    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        acow_after_fork(parent);
        pause();
    }
    must_close(parent);
    snprintf(whom, sizeof(whom), "process %d (", pid);
    refused("e.add-cow", ACOW_RDWR, "same image file is open by");
    refused("o.add-cow", ACOW_RDONLY, "open for writing by");
    allowed("d.add-cow", ACOW_RDWR);
    kill(pid, SIGKILL);
    wait_child(pid);
    allowed("e.add-cow", ACOW_RDWR);
}

/* Parked, as before an exec, it is still open. */
Test(image, parked, .init = begin, .fini = end)
{
    peer_open(&peer, ACOW_RDWR);
    check_peer(&peer, PEER_PARK, 0, 0, 0, 0);
    refused("e.add-cow", ACOW_RDWR, "same image file is open by");
    peer_close(&peer);
}

/* ---- two at once ----------------------------------------------------------------- */

static int step, at_step;
static const char *second_path;
static int second_flags;
static struct acow_disk *second;

static int come_between(struct sys_call *call)
{
    if (call_is(call, SYS_LOCK, "d.img") && step++ == at_step)
        acow_open(&acow_sys_libc, second_path, second_flags, &second, NULL);
    return 0;
}

/* The second one comes before each of the first one's locks on the image: never are both let in. */
Test(image, two_at_once, .init = begin, .fini = end)
{
    static const struct sys_hook hook = { .before = come_between };
    static const struct {
        const char *first, *second;
        int first_flags, second_flags;
    } pairs[] = {
        { "d.add-cow", "e.add-cow", ACOW_RDWR, ACOW_RDWR },
        { "d.add-cow", "e.add-cow", ACOW_RDWR, ACOW_RDONLY },
        { "d.add-cow", "e.add-cow", ACOW_RDONLY, ACOW_RDWR },
        { "d.add-cow", "o.add-cow", ACOW_RDWR, ACOW_RDONLY },
        { "o.add-cow", "d.add-cow", ACOW_RDONLY, ACOW_RDWR },
    };

    sys_hook(&hook);
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        second_path = pairs[i].second;
        second_flags = pairs[i].second_flags;
        for (at_step = 0; at_step == 0 || step >= at_step; at_step++) {
            int r;

            step = 0;
            second = NULL;
            r = acow_open(&sys_hooked, pairs[i].first, pairs[i].first_flags, &disk, &msg);
            check(r == 0 || (r == -EBUSY && msg.text[0]), "%d: %s", r, msg.text);
            check(r < 0 || !second, "%s and %s, at %d", pairs[i].first, second_path, at_step);
            if (r == 0)
                must_close(disk);
            if (second)
                must_close(second);
        }
        check(at_step > 3, "only %d locks seen", at_step);
    }
}

/* ---- locks that are others' or cannot be ----------------------------------------- */

Test(image, locked_by_another_program, .init = begin, .fini = end)
{
    struct flock fl = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int fd = open("d.img", O_RDWR | O_CLOEXEC);

    snprintf(whom, sizeof(whom), "process %d (", getpid());
    check(fd >= 0 && fcntl(fd, F_OFD_SETLK, &fl) == 0);
    refused("d.add-cow", ACOW_RDONLY, "it is locked by");
    refused("o.add-cow", ACOW_RDONLY, "locked");
    close(fd);
    allowed("d.add-cow", ACOW_RDONLY);
}

static int lock_error;

static int locks_fail(struct sys_call *call)
{
    return call_is(call, SYS_LOCK, "d.img") ? lock_error : 0;
}

Test(image, cannot_be_locked, .init = begin, .fini = end)
{
    static const struct sys_hook hook = { .before = locks_fail };
    static const int none[] = { -ENOLCK, -EOPNOTSUPP, -EINVAL };

    sys_hook(&hook);
    for (int i = 0; i < 3; i++) {
        lock_error = none[i];
        allowed("d.add-cow", ACOW_RDWR);
        allowed("o.add-cow", ACOW_RDWR);
    }
    lock_error = -EIO;
    check(acow_open(&sys_hooked, "d.add-cow", ACOW_RDWR, &disk, &msg) == -EIO);
    check(strstr(msg.text, "d.img: cannot lock: "), "%s", msg.text);
}

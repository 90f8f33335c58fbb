/* Having a disk alone: nobody has it open, and nobody can open it meanwhile. */
#include <errno.h>
#include <stdlib.h>

#include "chain.h"
#include "claim.h"
#include "disk.h"
#include "peer.h"

static struct acow_msg msg;

static void begin(void)
{
    tmp_begin();
    usual_disk(5000, 5000);
    file_size("t.img", 5000);
    meta_put("t.add-cow", "d.add-cow", "t.img", NULL, 2);
}

static int open_alone(struct acow_disk **disk)
{
    struct chain chain = { 0 };

    return disk_open_chain(&acow_sys_libc, "d.add-cow", ACOW_RDWR | DISK_EXCLUSIVE, NULL, &chain, disk,
                           &msg);
}

static void refused(pid_t pid, const char *why)
{
    struct acow_disk *disk;
    char who[32];

    snprintf(who, sizeof(who), "process %d (", pid);
    check(open_alone(&disk) == -EBUSY);
    check(strstr(msg.text, "d.add-cow: ") && strstr(msg.text, who) && strstr(msg.text, why)
          && !strstr(msg.text, " more"), "%s", msg.text);
}

Test(exclusive, not_beside_others, .init = begin, .fini = tmp_end)
{
    struct peer peer = peer_start(&acow_sys_libc);
    struct acow_disk *disk;

    for (int flags = ACOW_RDONLY; flags <= ACOW_RDWR; flags++) {
        peer_open(&peer, (uint64_t)flags);
        refused(peer.pid, "it is open by");
        peer_close(&peer);
    }
    disk = must_open(&acow_sys_libc, "t.add-cow", ACOW_RDONLY);
    refused(getpid(), "as a backing file by");
    must_close(disk);
    check(open_alone(&disk) == 0, "%s", msg.text);
    must_close(disk);
    peer_end(&peer);
}

Test(exclusive, no_others_beside_it, .init = begin, .fini = tmp_end)
{
    struct acow_create anew = { .path = "d.add-cow", .backing_name = "d.base",
                                .image_name = "d.img", .size = -1, .force = 1 };
    struct acow_disk *disk, *other;

    check(open_alone(&disk) == 0, "%s", msg.text);
    must_write(disk, "new", 3, 1000);
    /* To claim it again leaves no moment for others. */
    check(claim_exclusive(disk, &msg) == 0, "%s", msg.text);
    for (int flags = ACOW_RDONLY; flags <= ACOW_RDWR; flags++) {
        check(acow_open(&acow_sys_libc, "d.add-cow", flags, &other, NULL) == -EBUSY);
        check(acow_open(&acow_sys_libc, "t.add-cow", flags, &other, NULL) == -EBUSY);
    }
    check(open_alone(&other) == -EBUSY);
    check(acow_create(&acow_sys_libc, &anew, NULL, NULL) == -EBUSY);
    must_close(must_open(&acow_sys_libc, "d.add-cow", ACOW_INSPECT));
    must_close(disk);
    must_close(must_open(&acow_sys_libc, "t.add-cow", ACOW_RDWR));
    must_close(must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR));
}

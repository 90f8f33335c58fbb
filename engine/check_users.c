/*
 * Who has a disk open. That somebody has is told by the locks; who it is only by /proc, which
 * may not show them: then they are one that cannot be seen. Who has it open for writing has it
 * open for reading too, and is named once.
 */
#include "check.h"

#include <errno.h>
#include <fcntl.h>

#include "lock.h"
#include "msg.h"

#define MOST 64

static bool is_among(const struct holder *holder, const struct holder *others, int count)
{
    for (int i = 0; i < count; i++)
        if (others[i].pid == holder->pid)
            return true;
    return false;
}

struct use {
    enum lock_byte byte;
    enum acow_found kind;
    const char *how;
};

static void found_user(struct check *check, struct acow_disk *disk, const struct use *use,
                       const struct holder *users, int count)
{
    char text[HOLDER_TEXT];
    /* Who writes to a disk keeps it from being read through by those above. */
    int error = use->byte == DISK_WRITER && check->depth > 0 ? -EBUSY : 0;

    msg_set(&check->msg, 0, "%s: %s %s", disk->meta_path, use->how,
            holder_text(users, count, text));
    check_found(check, use->kind, ACOW_NOTE, error, disk->meta_path);
}

/* Those that hold the byte, but for `known`. Returns how many are in `users`; -1: unseen ones. */
static int find_users(struct check *check, struct acow_disk *disk, const struct use *use,
                      struct holder users[MOST], const struct holder *known, int nknown)
{
    int held = lock_held(disk->sys, disk->meta_fd, F_WRLCK, use->byte);
    int count;

    if (held < 0)
        check_unreadable(check, held, disk->meta_path, "cannot tell who has it open");
    if (held <= 0)
        return 0;
    count = lock_holders(disk->sys, disk->meta_fd, use->byte, users, MOST);
    for (int i = 0; i < count; i++)
        if (!is_among(&users[i], known, nknown))
            found_user(check, disk, use, &users[i], 1);
    if (count > 0)
        return count;
    /* Unseen writers are the unseen readers too, as far as can be told. */
    if (nknown == 0)
        found_user(check, disk, use, users, 0);
    return -1;
}

void check_users(struct check *check, struct acow_disk *disk)
{
    static const struct use writing = { DISK_WRITER, ACOW_FOUND_OPEN_WRITING,
                                        "open for writing by" };
    static const struct use reading = { DISK_READER, ACOW_FOUND_OPEN_READING,
                                        "open for reading by" };
    static const struct use backing = { DISK_BACKING, ACOW_FOUND_OPEN_BACKING,
                                        "in use as a backing file by" };
    struct holder writers[MOST], others[MOST];
    int nwriters = find_users(check, disk, &writing, writers, NULL, 0);

    find_users(check, disk, &reading, others, writers, nwriters);
    find_users(check, disk, &backing, others, NULL, 0);
}

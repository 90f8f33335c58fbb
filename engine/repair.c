/*
 * Repairing what can be repaired without losing anything. For a run-time file that is done by
 * opening the disk alone and closing it, so that what becomes of the file is what the next
 * program to open the disk would have made of it. What opening refuses, a file cut short, is
 * given its length back first: bits that were cut off are lost whatever one does, and all
 * others are as good as before.
 *
 * The image file and the backing file are never written, so no sector can change but by
 * pending bits becoming committed ones.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "beyond.h"
#include "check.h"
#include "claim.h"
#include "format.h"
#include "msg.h"
#include "runfile.h"

struct repair {
    struct acow_msg *msg;
    bool all;
    /* What is to be repaired; NULL: nothing of the kind. */
    struct acow_finding *run_file, *bitmap_short, *bits_past_end;
};

/* True if there is something to repair at the top disk, and nothing that is in the way. */
static bool choose(struct repair *repair, const struct acow_check *found)
{
    for (size_t i = 0; i < found->nfindings; i++) {
        struct acow_finding *finding = &found->findings[i];

        if (finding->depth > 0)
            continue;
        switch (finding->kind) {
        case ACOW_FOUND_RUN_DAMAGED:
        case ACOW_FOUND_RUN_POISONED:
            if (!repair->all)
                return false;
            repair->run_file = finding;
            break;
        case ACOW_FOUND_RUN_UNCLEAN:
        case ACOW_FOUND_RUN_OTHER_BOOT:
        case ACOW_FOUND_RUN_EMPTY:
            repair->run_file = finding;
            break;
        case ACOW_FOUND_BITMAP_SHORT:
            repair->bitmap_short = finding;
            break;
        case ACOW_FOUND_BITS_PAST_END:
            repair->bits_past_end = finding;
            break;
        case ACOW_FOUND_BACKING:
            /* What is below is not looked at for any of these. */
            break;
        default:
            if (finding->severity > ACOW_LEAK)
                return false;
        }
    }
    return repair->run_file
           || (repair->all && (repair->bitmap_short || repair->bits_past_end));
}

/* ---- the run-time file --------------------------------------------------------- */

/* The file is short of pages of bits that its head says, or says what cannot be. */
static int lengthen(struct acow_disk *disk, struct region *region, const struct stat *st,
                    uint64_t size)
{
    uint64_t pages = bits_pages(format_sectors(size));
    int64_t len = (int64_t)(REGION_HEAD + bits_area(pages));
    int r = st->st_size < len ? disk->sys->ftruncate(disk->run_fd, len) : 0;

    if (r == 0) {
        region->pages = pages;
        region->size = size;
    }
    return r;
}

/* The check has judged run_fd; it is about to be written to, so that is done again. */
static int make_whole(struct acow_disk *disk, uint64_t size)
{
    struct region *region;
    struct stat st;
    int r = disk->sys->fstat(disk->run_fd, &st);

    if (r == 0)
        r = runfile_check_trust(disk, &st, NULL);
    if (r < 0 || st.st_size < REGION_HEAD)
        return r;
    r = runfile_map_head(disk, PROT_READ | PROT_WRITE, &region);
    if (r < 0)
        return r;
    r = runfile_judge(disk, disk->run_fd, region, false, NULL);
    if (r == -EIO && !runfile_is_whole(region, &st))
        r = lengthen(disk, region, &st, size);
    disk->sys->munmap(region, REGION_HEAD);
    return r < 0 ? r : 0;
}

static int mend_run_file(struct repair *repair, struct acow_disk *disk, uint64_t size)
{
    int r = claim_exclusive(disk, repair->msg);

    if (r < 0)
        return r;
    r = disk->sys->open(disk->run_path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0);
    if (r >= 0) {
        disk->run_fd = r;
        r = make_whole(disk, size);
        disk->sys->close(disk->run_fd);
        disk->run_fd = -1;
    }
    if (r < 0)
        msg_set(repair->msg, r, "%s: cannot be repaired: %s", disk->run_path, msg_why(r));
    return r;
}

/* ---- all of it --------------------------------------------------------------------- */

/* Takes part alone, and ends that: whatever the run-time file was, it is gone then. */
static int take_part(struct repair *repair, struct acow_disk *disk)
{
    int detached, r = region_attach(disk, repair->msg);
    uint64_t cleared;

    if (r < 0)
        return r;
    /* Without the right to write the file one would be alone with another, and it would stay. */
    if (repair->run_file && disk->role != ROLE_MEMBER)
        r = -EACCES;
    if (r == 0)
        r = region_fold_in(disk);
    if (r == 0 && repair->all)
        r = beyond_clear(disk, disk_size(disk->att), &cleared);
    detached = region_detach(disk);
    if (r == 0)
        r = detached;
    if (r < 0)
        msg_set(repair->msg, r, "%s: cannot be repaired: %s",
                repair->run_file ? disk->run_path : disk->meta_path, msg_why(r));
    return r;
}

static int repair_disk(struct repair *repair, struct acow_disk *disk)
{
    struct chain chain = { 0 };
    uint64_t size = 0;
    int r = disk_open_meta(disk, &chain, repair->msg);

    if (r == 0)
        r = disk_open_image(disk, &chain, repair->msg);
    if (r < 0)
        return r;
    r = disk_image_size(disk, &size);
    if (r < 0)
        return msg_set(repair->msg, r, "%s: cannot tell its size: %s", disk->image_path,
                       msg_why(r));
    if (repair->run_file && repair->run_file->kind == ACOW_FOUND_RUN_DAMAGED)
        r = mend_run_file(repair, disk, size);
    return r < 0 ? r : take_part(repair, disk);
}

static const char *done_to_run_file(enum acow_found kind)
{
    switch (kind) {
    case ACOW_FOUND_RUN_UNCLEAN:
        return "folded into the metadata file, and removed";
    case ACOW_FOUND_RUN_DAMAGED:
        return "what is left of it folded into the metadata file, and removed; sectors whose bits "
               "were cut off are as at the last flush";
    case ACOW_FOUND_RUN_POISONED:
        return "removed; sectors that were not yet safe are as at the last flush";
    case ACOW_FOUND_RUN_OTHER_BOOT:
        return "removed; the disk is as at the last flush";
    default:
        return "removed";
    }
}

static int say(struct acow_finding *finding, const char *what)
{
    struct acow_msg line;

    if (!finding)
        return 0;
    msg_set(&line, 0, "%s: %s", finding->file, what);
    finding->repaired = strdup(line.text);
    return finding->repaired ? 0 : -ENOMEM;
}

static int say_all(struct repair *repair)
{
    int r = 0;

    if (repair->run_file)
        r = say(repair->run_file, done_to_run_file(repair->run_file->kind));
    if (r == 0)
        r = say(repair->bitmap_short, "the bitmap is as long as the disk needs");
    if (r == 0 && repair->all)
        r = say(repair->bits_past_end, "the bits past the end of the disk are cleared");
    return r < 0 ? msg_set(repair->msg, r, "out of memory") : 0;
}

int repair_found(struct check *check, const char *path, int how)
{
    struct repair repair = { .msg = &check->msg, .all = how == ACOW_REPAIR_ALL };
    struct acow_disk *disk;
    int r;

    if (!choose(&repair, check->out))
        return 0;
    disk = disk_new(check->sys, path, ACOW_RDWR | DISK_EXCLUSIVE);
    if (!disk)
        return msg_set(&check->msg, -ENOMEM, "%s: out of memory", path);
    r = repair_disk(&repair, disk);
    disk_free(disk);
    return r < 0 ? r : say_all(&repair);
}

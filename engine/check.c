/*
 * Checking a disk and its chain. It takes the steps that opening takes, with the same
 * functions, so that what it finds good opens; but it goes on where opening stops, and looks at
 * more. It only looks: every file is opened for reading, no lock is taken, and disks that are in
 * use may be checked. What it finds is told, not judged by this program's needs: what makes
 * opening fail or may have lost writes is a corruption, what is left over and loses nothing is
 * a leak, and what is merely so is a note.
 */
#include "check.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "beyond.h"
#include "claim.h"
#include "format.h"
#include "msg.h"
#include "name.h"

const char *acow_found_name(enum acow_found kind)
{
    static const char *const names[] = {
        [ACOW_FOUND_METADATA] = "metadata",
        [ACOW_FOUND_HEADER] = "header",
        [ACOW_FOUND_IMAGE] = "image",
        [ACOW_FOUND_BACKING] = "backing",
        [ACOW_FOUND_SAME_FILE] = "same-file",
        [ACOW_FOUND_CHAIN] = "chain",
        [ACOW_FOUND_RUN_UNTRUSTED] = "run-untrusted",
        [ACOW_FOUND_RUN_FOREIGN] = "run-foreign",
        [ACOW_FOUND_RUN_DAMAGED] = "run-damaged",
        [ACOW_FOUND_RUN_POISONED] = "run-poisoned",
        [ACOW_FOUND_RUN_UNCLEAN] = "run-unclean",
        [ACOW_FOUND_RUN_OTHER_BOOT] = "run-other-boot",
        [ACOW_FOUND_RUN_EMPTY] = "run-empty",
        [ACOW_FOUND_BITMAP_SHORT] = "bitmap-short",
        [ACOW_FOUND_BITS_PAST_END] = "bits-past-end",
        [ACOW_FOUND_BITMAP_LONG] = "bitmap-long",
        [ACOW_FOUND_RESERVED] = "reserved",
        [ACOW_FOUND_LINKS] = "links",
        [ACOW_FOUND_BACKING_SHORT] = "backing-short",
        [ACOW_FOUND_BACKING_LONG] = "backing-long",
        [ACOW_FOUND_OPEN_WRITING] = "open-writing",
        [ACOW_FOUND_OPEN_READING] = "open-reading",
        [ACOW_FOUND_OPEN_BACKING] = "open-backing",
        [ACOW_FOUND_BACKING_WRITTEN] = "backing-written",
        [ACOW_FOUND_RUN_ELSEWHERE] = "run-elsewhere",
        [ACOW_FOUND_RUN_VERSION] = "run-version",
        [ACOW_FOUND_UNREADABLE] = "unreadable",
    };

    return names[kind];
}

/* ---- findings ------------------------------------------------------------ */

void check_found(struct check *check, enum acow_found kind, enum acow_severity severity, int error,
                 const char *file)
{
    struct acow_check *out = check->out;
    struct acow_finding *more = realloc(out->findings, (out->nfindings + 1) * sizeof(*more));
    struct acow_finding *finding;

    if (!more) {
        check->error = -ENOMEM;
        return;
    }
    out->findings = more;
    finding = &more[out->nfindings++];
    *finding = (struct acow_finding){
        .kind = kind, .severity = severity, .depth = check->depth, .error = error,
        .file = strdup(file), .text = strdup(check->msg.text),
    };
    if (!finding->file || !finding->text)
        check->error = -ENOMEM;
}

void check_note(struct check *check, enum acow_found kind, enum acow_severity severity,
                const char *file, const char *format, ...)
{
    char what[2048];
    va_list args;

    va_start(args, format);
    vsnprintf(what, sizeof(what), format, args);
    va_end(args);
    msg_set(&check->msg, 0, "%s: %s", file, what);
    check_found(check, kind, severity, 0, file);
}

void check_unreadable(struct check *check, int error, const char *file, const char *what)
{
    msg_set(&check->msg, error, "%s: %s: %s", file, what, msg_why(error));
    check_found(check, ACOW_FOUND_UNREADABLE, ACOW_UNCHECKED, error, file);
}

/* A file could not be used: is that so because of what it is, or could it not be looked at? */
static void found_bad_file(struct check *check, enum acow_found kind, int error, const char *file)
{
    switch (error) {
    case -ENOMEM:
        check->error = error;
        break;
    case -ENOENT:
    case -ENOTDIR:
    case -EISDIR:
    case -EINVAL:
    case -ELOOP:
    case -ENAMETOOLONG:
    case -ENOTSUP:
    case -EFBIG:
        check_found(check, kind, ACOW_CORRUPTION, error, file);
        break;
    default:
        check_found(check, ACOW_FOUND_UNREADABLE, ACOW_UNCHECKED, error, file);
    }
}

/* The same, where the file was opened and may then have been refused by the chain. */
static void found_bad_link(struct check *check, enum acow_found kind, bool opened, int error,
                           const char *file)
{
    if (opened && error == -ELOOP)
        kind = ACOW_FOUND_CHAIN;
    else if (opened && error == -EINVAL)
        kind = ACOW_FOUND_SAME_FILE;
    found_bad_file(check, kind, error, file);
}

static void count_findings(struct acow_check *out)
{
    for (size_t i = 0; i < out->nfindings; i++) {
        bool repaired = out->findings[i].repaired;

        switch (out->findings[i].severity) {
        case ACOW_NOTE:
            (*(repaired ? &out->notes_repaired : &out->notes))++;
            break;
        case ACOW_LEAK:
            (*(repaired ? &out->leaks_repaired : &out->leaks))++;
            break;
        case ACOW_CORRUPTION:
            (*(repaired ? &out->corruptions_repaired : &out->corruptions))++;
            break;
        case ACOW_UNCHECKED:
            out->unchecked++;
            break;
        }
    }
}

void acow_check_free(struct acow_check *check)
{
    for (size_t i = 0; i < check->nfindings; i++) {
        free(check->findings[i].file);
        free(check->findings[i].text);
        free(check->findings[i].repaired);
    }
    free(check->findings);
    *check = (struct acow_check){ 0 };
}

/* ---- one disk ---------------------------------------------------------------- */

static bool open_meta(struct check *check, struct acow_disk *disk)
{
    int before = check->chain.nfiles;
    int r = disk_open_meta(disk, &check->chain, &check->msg);
    bool opened = disk->meta_fd >= 0, linked = check->chain.nfiles > before;

    if (r < 0 && !opened && check->depth == 0)
        check->error = r;
    else if (r < 0 && linked)
        found_bad_file(check, ACOW_FOUND_HEADER, r, disk->meta_path);
    else if (r < 0)
        found_bad_link(check, ACOW_FOUND_METADATA, opened, r, disk->meta_path);
    return r == 0;
}

static void check_header(struct check *check, struct acow_disk *disk)
{
    uint8_t buf[FORMAT_HEADER];
    ssize_t n = disk->sys->pread(disk->meta_fd, buf, sizeof(buf), 0);
    size_t stray = n == sizeof(buf) ? format_stray(buf) : 0;

    if (n < 0)
        check_unreadable(check, (int)n, disk->meta_path, "cannot read the header");
    if (stray)
        check_note(check, ACOW_FOUND_RESERVED, ACOW_NOTE, disk->meta_path, "byte %zu of the header "
                   "should be zero and is not; it means nothing", stray);
}

static void check_meta_file(struct check *check, struct acow_disk *disk, uint64_t size)
{
    uint64_t want = format_bitmap_bytes(size), there;
    struct stat st;
    int r = disk->sys->fstat(disk->meta_fd, &st);

    if (r < 0) {
        check_unreadable(check, r, disk->meta_path, "cannot tell its size");
        return;
    }
    there = (uint64_t)st.st_size > FORMAT_HEADER ? (uint64_t)st.st_size - FORMAT_HEADER : 0;
    if (there < want)
        check_note(check, ACOW_FOUND_BITMAP_SHORT, ACOW_NOTE, disk->meta_path, "the bitmap has "
                   "%llu of %llu bytes; the rest counts as zeros", (unsigned long long)there,
                   (unsigned long long)want);
    if (there > want)
        check_note(check, ACOW_FOUND_BITMAP_LONG, ACOW_NOTE, disk->meta_path, "the bitmap has %llu "
                   "bytes, where %llu would do", (unsigned long long)there,
                   (unsigned long long)want);
    if (st.st_nlink > 1)
        check_note(check, ACOW_FOUND_LINKS, ACOW_NOTE, disk->meta_path, "has %llu names (hard "
                   "links); open it by one of them only", (unsigned long long)st.st_nlink);
}

static void check_bits(struct check *check, struct acow_disk *disk, uint64_t size)
{
    uint64_t count;
    int r = beyond_count(disk, size, &count);

    if (r < 0)
        check_unreadable(check, r, disk->meta_path, "cannot read the bitmap");
    else if (count > 0)
        check_note(check, ACOW_FOUND_BITS_PAST_END, ACOW_NOTE, disk->meta_path, "%llu bits are set "
                   "past the end of the disk; they mean nothing", (unsigned long long)count);
}

/* Returns how many sectors are pending; -1: not known. */
static int64_t count_sectors(struct check *check, struct acow_disk *disk, uint64_t size)
{
    struct extent_count count;
    int r = extent_count(disk, &count);

    if (r < 0) {
        check_unreadable(check, r, disk->meta_path, "cannot count the sectors");
        return -1;
    }
    if (check->depth == 0) {
        check->out->sectors = format_sectors(size);
        check->out->allocated = count.allocated;
        check->out->pending = count.pending;
        check->out->end = count.end * ACOW_SECTOR < size ? count.end * ACOW_SECTOR : size;
    }
    return (int64_t)count.pending;
}

/* What is in the metadata file and in the run-time file, for a disk of this size. */
static void check_state(struct check *check, struct acow_disk *disk, uint64_t size)
{
    struct acow_msg why;
    int64_t pending = -1;
    int r;

    check_meta_file(check, disk, size);
    check_bits(check, disk, size);
    r = region_attach(disk, &why);
    if (r == 0)
        pending = count_sectors(check, disk, size);
    if (check_run_file(check, disk, pending) || r == 0)
        return;
    /* It fails, and the above does not tell why; perhaps it has changed meanwhile. */
    check->msg = why;
    check_found(check, ACOW_FOUND_UNREADABLE, ACOW_UNCHECKED, r, disk->run_path);
}

/* Returns the disk's size; -1: not known. */
static int64_t check_image(struct check *check, struct acow_disk *disk)
{
    uint64_t size;
    int r = disk_open_image(disk, &check->chain, &check->msg);

    if (r == 0)
        r = disk_image_size(disk, &size);
    if (r == 0)
        return (int64_t)size;
    found_bad_link(check, ACOW_FOUND_IMAGE, disk->image_fd >= 0, r,
                   disk->image_name[0] ? disk->image_path : disk->meta_path);
    return -1;
}

/* ---- the chain ----------------------------------------------------------------- */

static int64_t check_raw(struct check *check, struct acow_disk *disk)
{
    int r = disk_open_raw_backing(disk, &check->chain, &check->msg);

    if (r < 0) {
        found_bad_link(check, ACOW_FOUND_BACKING, disk->backing_fd >= 0, r, disk->backing_path);
        return -1;
    }
    r = claim_raw_look(disk, &check->msg);
    if (r == -EBUSY)
        check_found(check, ACOW_FOUND_BACKING_WRITTEN, ACOW_NOTE, r, disk->backing_path);
    return (int64_t)disk->backing_size;
}

static int64_t check_disk(struct check *check, const char *path, int flags);

/* What the disk of this size (-1: not known) stands on. */
static void check_backing(struct check *check, struct acow_disk *disk, int64_t size)
{
    int64_t below;

    if (!disk->backing_path)
        return;
    if (acow_name_is_disk(disk->backing_path)) {
        check->depth++;
        below = check_disk(check, disk->backing_path, ACOW_INSPECT | DISK_BACKING_USE);
        check->depth--;
    } else {
        below = check_raw(check, disk);
    }
    if (size < 0 || below < 0)
        return;
    if (below < size)
        check_note(check, ACOW_FOUND_BACKING_SHORT, ACOW_NOTE, disk->backing_path, "is shorter "
                   "than %s by %lld bytes; they read as zeros where nothing is written",
                   disk->meta_path, (long long)(size - below));
    if (below > size)
        check_note(check, ACOW_FOUND_BACKING_LONG, ACOW_NOTE, disk->backing_path, "is longer than "
                   "%s by %lld bytes, which are not used", disk->meta_path,
                   (long long)(below - size));
}

/* The disk at `path` and all below it. Returns its size; -1: not known. */
static int64_t check_disk(struct check *check, const char *path, int flags)
{
    struct acow_disk *disk = disk_new(check->sys, path, flags);
    int64_t size = -1;

    if (!disk) {
        check->error = msg_set(&check->msg, -ENOMEM, "%s: out of memory", path);
        return -1;
    }
    if (open_meta(check, disk)) {
        check_header(check, disk);
        check_users(check, disk);
        size = check_image(check, disk);
        if (size >= 0)
            check_state(check, disk, (uint64_t)size);
        check_backing(check, disk, size);
    }
    disk_free(disk);
    return size;
}

/* Nobody may have a disk open that is to be repaired. */
static int check_unused(struct check *check, const char *path)
{
    for (size_t i = 0; i < check->out->nfindings; i++) {
        const struct acow_finding *finding = &check->out->findings[i];

        if (finding->depth == 0
            && (finding->kind == ACOW_FOUND_OPEN_WRITING || finding->kind == ACOW_FOUND_OPEN_READING
                || finding->kind == ACOW_FOUND_OPEN_BACKING))
            return msg_set(&check->msg, -EBUSY, "%s: cannot be repaired while it is in use: %s",
                           path, finding->text + strlen(finding->file) + 2);
    }
    return 0;
}

int acow_check(const struct acow_sys *sys, const char *path, int repair, struct acow_check *out,
               struct acow_msg *msg)
{
    struct check check = { .sys = sys, .out = out };
    int r;

    *out = (struct acow_check){ 0 };
    check_disk(&check, path, ACOW_INSPECT);
    r = check.error;
    if (r == 0 && repair)
        r = check_unused(&check, path);
    if (r == 0 && repair)
        r = repair_found(&check, path, repair);
    count_findings(out);
    if (r < 0 && msg)
        *msg = check.msg;
    return r;
}

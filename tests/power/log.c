/*
 * A write is one event for each sector, because each may reach the storage or not, and one for
 * each size that the file has on the way: a filesystem that grows a file may make a size durable
 * after each page. Zeroing is a write of zeros. A truncation is one event: the filesystems in use
 * write a block that a new end cuts, with zeros behind the end, before the size, or with it.
 */
#include "log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct log log_current;

const struct layout log_layout = { 1, { { 0, SLOTS } } };

static const struct layout *image_layout;
static enum log_lie lie;
static void (*on_pause)(void);
static enum log_failure failing, failed;

/* With LOG_IMAGE_SYNC_LATE and LOG_DATA_LATE: what is held back. */
static int late_sync;
static struct {
    struct inode *inode;
    uint64_t off, len;
} late[64];
static int nlate;

static struct event *add(enum event_kind kind, int inode)
{
    struct log *log = &log_current;

    log_look();
    if (log->n == LOG_EVENTS)
        fatal("a script has more than %d events", LOG_EVENTS);
    log->events[log->n] = (struct event){ .kind = kind, .inode = inode, .name = -1, .from = -1 };
    return &log->events[log->n++];
}

/* ---- the run-time file --------------------------------------------------- */

static void change_run(int slot, const struct content *content, int64_t size)
{
    struct log *log = &log_current;

    if (log->nchanges == 2 * LOG_EVENTS)
        fatal("the run-time file changes too often");
    log->changes[log->nchanges++] = (struct run_change){ log->n, slot, content, size };
}

void log_look(void)
{
    struct log *log = &log_current;
    struct inode *run = machine_file(POWER_RUN);
    int64_t size = run ? (int64_t)machine_size(run) : -1;
    const uint8_t *bytes = run ? machine_bytes(run) : NULL;

    if (size != log->run_size)
        change_run(-1, NULL, log->run_size = size);
    for (int slot = 0; run && slot < SLOTS && slot * (int64_t)SECTOR < size; slot++) {
        const uint8_t *sector = bytes + (size_t)slot * SECTOR;

        if (memcmp(sector, log->run_slots[slot]->bytes, SECTOR) != 0)
            change_run(slot, log->run_slots[slot] = content_of(sector, SECTOR), 0);
    }
}

/* ---- inodes and names ---------------------------------------------------- */

static int find_inode(const struct inode *file)
{
    for (int i = log_current.ninodes - 1; i >= 0; i--)
        if (log_current.inodes[i].file == file)
            return i;
    return -1;
}

static int find_name(const char *name)
{
    struct log *log = &log_current;

    for (int i = 0; i < log->nnames; i++)
        if (strcmp(log->names[i], name) == 0)
            return i;
    if (log->nnames == LOG_NAMES || strlen(name) >= sizeof(log->names[0]))
        fatal("too many names, or one that is too long: %s", name);
    strcpy(log->names[log->nnames], name);
    log->first_name[log->nnames] = -1;
    return log->nnames++;
}

static bool is_image(const char *name)
{
    size_t len = strlen(name);

    return len > 4 && strcmp(name + len - 4, ".img") == 0;
}

static int add_inode(const char *name, struct inode *file)
{
    struct log *log = &log_current;
    struct log_inode *inode = &log->inodes[log->ninodes];

    if (log->ninodes == LOG_INODES)
        fatal("more than %d files are written", LOG_INODES);
    machine_hold(file);
    inode->file = file;
    inode->image = is_image(name);
    inode->layout = inode->image ? image_layout : &log_layout;
    inode->first_size = 0;
    for (int slot = 0; slot < SLOTS; slot++)
        inode->first[slot] = content_zero;
    return log->ninodes++;
}

static void note_first(const char *name, struct inode *file, void *arg)
{
    int at;

    (void)arg;
    if (machine_role(file) != MACHINE_PLAIN)
        return;
    at = find_inode(file);
    if (at < 0) {
        struct log_inode *inode;

        at = add_inode(name, file);
        inode = &log_current.inodes[at];
        inode->first_size = machine_size(file);
        for (int slot = 0; slot < SLOTS; slot++)
            inode->first[slot] = content_of(machine_bytes(file) + layout_off(inode->layout, slot),
                                            SECTOR);
    }
    log_current.first_name[find_name(name)] = at;
}

static void on_name(const char *name, struct inode *file, const char *from)
{
    struct event *event;
    int inode = -1;

    log_look();
    if (strcmp(name, POWER_RUN) == 0)
        return;
    if (file) {
        inode = find_inode(file);
        if (inode < 0)
            inode = add_inode(name, file);
    }
    event = add(EVENT_NAME, inode);
    event->name = find_name(name);
    if (from)
        event->from = find_name(from);
}

/* ---- data and sizes ------------------------------------------------------ */

static void add_data(struct inode *file, uint64_t off, uint64_t len)
{
    int inode = find_inode(file);
    const struct layout *layout = log_current.inodes[inode].layout;

    for (uint64_t at = off / SECTOR * SECTOR; at < off + len; at += SECTOR) {
        int slot = layout_slot(layout, at);
        struct event *event;

        if (slot < 0)
            continue;
        event = add(EVENT_DATA, inode);
        event->slot = slot;
        event->content = content_of(machine_bytes(file) + at, SECTOR);
    }
}

static void on_data(struct inode *file, uint64_t off, uint64_t len)
{
    int inode = find_inode(file);

    if (inode < 0)
        return;
    if (lie == LOG_DATA_LATE && log_current.inodes[inode].image) {
        if (nlate == sizeof(late) / sizeof(late[0]))
            fatal("too much is held back");
        late[nlate].inode = file;
        late[nlate].off = off;
        late[nlate++].len = len;
        return;
    }
    add_data(file, off, len);
}

static void on_size(struct inode *file, uint64_t size)
{
    int inode = find_inode(file), slot;
    uint64_t sector = size / SECTOR * SECTOR;
    struct event *event;

    if (inode < 0)
        return;
    event = add(EVENT_SIZE, inode);
    event->size = size;
    slot = layout_slot(log_current.inodes[inode].layout, sector);
    if (sector == size || slot < 0)
        return;
    event->slot = slot;
    event->content = content_of(machine_bytes(file) + sector, SECTOR);
}

/* ---- syncs --------------------------------------------------------------- */

static int fail_now(int inode)
{
    add(EVENT_SYNC_FAILED, inode);
    if (lie != LOG_FAILURE_HIDDEN)
        failed = failing;
    failing = LOG_NO_FAILURE;
    return lie == LOG_FAILURE_HIDDEN ? 0 : -EIO;
}

static void let_go(void)
{
    for (int i = 0; i < nlate; i++)
        add_data(late[i].inode, late[i].off, late[i].len);
    nlate = 0;
    if (late_sync >= 0)
        add(EVENT_SYNC, late_sync);
    late_sync = -1;
}

static int on_sync(struct inode *file)
{
    int inode = file ? find_inode(file) : -1;
    bool image = file && inode >= 0 && log_current.inodes[inode].image;

    if (!file) {
        if (lie != LOG_DIRECTORY_SYNC_NEVER)
            add(EVENT_SYNC, -1);
        return 0;
    }
    if (inode < 0)
        return 0;
    if (failing == (image ? LOG_IMAGE_FAILED : LOG_META_FAILED))
        return fail_now(inode);
    if (image && lie == LOG_IMAGE_SYNC_LATE)
        late_sync = inode;
    else if (lie != (image ? LOG_IMAGE_SYNC_NEVER : LOG_META_SYNC_NEVER))
        add(EVENT_SYNC, inode);
    if (!image)
        let_go();
    return 0;
}

/* A write to an image may be made with stripes locked, so nobody else can be let in there. */
static void pause_here(struct inode *file, bool sync)
{
    int inode = find_inode(file);

    if (on_pause && inode >= 0 && (sync || !log_current.inodes[inode].image))
        on_pause();
}

/* ---- begin and end ------------------------------------------------------- */

void log_begin(const struct layout *image, enum log_lie what)
{
    static const struct machine_listener listener = {
        .data = on_data, .size = on_size, .name = on_name, .sync = on_sync, .pause = pause_here,
    };
    struct log *log = &log_current;

    log_forget();
    log->n = log->nnames = log->nchanges = 0;
    log->sizes_unsynced = what == LOG_SIZE_NEVER_SYNCED;
    log->run_size = -1;
    for (int slot = 0; slot < SLOTS; slot++)
        log->run_slots[slot] = content_zero;
    image_layout = image;
    lie = what;
    failing = failed = LOG_NO_FAILURE;
    on_pause = NULL;
    late_sync = -1;
    nlate = 0;
    machine_each(note_first, NULL);
    log_look();
    machine_listen(&listener);
}

void log_forget(void)
{
    while (log_current.ninodes > 0)
        machine_drop(log_current.inodes[--log_current.ninodes].file);
}

void log_end(void)
{
    log_look();
    machine_listen(NULL);
}

void log_fail_sync(bool image)
{
    failing = image ? LOG_IMAGE_FAILED : LOG_META_FAILED;
}

enum log_failure log_failed(void)
{
    enum log_failure was = failed;

    failed = LOG_NO_FAILURE;
    return was;
}

void log_on_pause(void (*fn)(void))
{
    on_pause = fn;
}

static const char *inode_name(const struct log *log, int inode)
{
    for (int i = 0; i < log->n; i++)
        if (log->events[i].kind == EVENT_NAME && log->events[i].inode == inode)
            return log->names[log->events[i].name];
    for (int i = 0; i < log->nnames; i++)
        if (log->first_name[i] == inode)
            return log->names[i];
    return "the directory";
}

void log_describe(const struct log *log, int at, char *out, size_t len)
{
    const struct event *event = &log->events[at];
    const char *name = inode_name(log, event->inode);

    switch (event->kind) {
    case EVENT_DATA:
        snprintf(out, len, "%s: sector at %llu = %02x %02x …", name,
                 (unsigned long long)layout_off(log->inodes[event->inode].layout, event->slot),
                 event->content->bytes[0], event->content->bytes[1]);
        break;
    case EVENT_SIZE:
        snprintf(out, len, "%s: %llu bytes", name, (unsigned long long)event->size);
        break;
    case EVENT_NAME:
        snprintf(out, len, "name %s: %s%s%s", log->names[event->name],
                 event->inode < 0 ? "removed" : "a file", event->from < 0 ? "" : ", was ",
                 event->from < 0 ? "" : log->names[event->from]);
        break;
    case EVENT_SYNC:
        snprintf(out, len, "%s: synced", name);
        break;
    case EVENT_SYNC_FAILED:
        snprintf(out, len, "%s: sync failed", name);
        break;
    }
}

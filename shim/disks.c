/*
 * One list, one lock. The lock is held over the engine's opening and closing, so
 * that two threads that open the same disk get the same one; it is never taken
 * on the way of a read or write.
 */
#include "disks.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "process.h"
#include "real.h"
#include "report.h"
#include "sys_real.h"
#include "trace.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct disk *list;

/* acow_open's flags for ADDCOW_CACHE, or -EINVAL. */
static int cache_flags(void)
{
    const char *mode = secure_getenv("ADDCOW_CACHE");

    if (!mode || !mode[0] || strcmp(mode, "writeback") == 0)
        return 0;
    if (strcmp(mode, "writethrough") == 0)
        return ACOW_WRITETHROUGH;
    if (strcmp(mode, "unsafe") == 0)
        return ACOW_UNSAFE;
    report("ADDCOW_CACHE=%s: is none of writeback, writethrough, unsafe", mode);
    return -EINVAL;
}

static struct disk *find_locked(uint64_t dev, uint64_t ino, bool writable)
{
    struct disk *disk = list;

    while (disk && (disk->dev != dev || disk->ino != ino || disk->writable != writable))
        disk = disk->next;
    return disk;
}

static int open_locked(const char *path, bool writable, uint64_t dev, uint64_t ino,
                       struct disk **out)
{
    const struct disk *mate = find_locked(dev, ino, !writable);
    struct acow_facts facts;
    struct acow_msg msg = { "" };
    struct stat st;
    struct disk *disk = calloc(1, sizeof(*disk));
    int r;

    if (!disk)
        return -ENOMEM;
    r = cache_flags();
    if (r >= 0)
        r = acow_open_beside(&sys_real, path, r | (writable ? ACOW_RDWR : ACOW_RDONLY),
                             mate ? mate->engine : NULL, &disk->engine, &msg);
    if (r < 0) {
        if (msg.text[0])
            report_line(msg.text);
        free(disk);
        return r;
    }
    acow_facts(disk->engine, &facts);
    r = sys_real.fstat(facts.meta_fd, &st);
    if (r == 0 && dev && (st.st_dev != dev || st.st_ino != ino)) {
        report("%s: has been replaced by another file since it was opened", path);
        r = -ESTALE;
    }
    if (r < 0) {
        acow_close(disk->engine, NULL);
        free(disk);
        return r;
    }
    acow_count(disk->engine, trace_stats_wanted());
    disk->writable = writable;
    disk->dev = st.st_dev;
    disk->ino = st.st_ino;
    disk->refs = 1;
    disk->next = list;
    list = disk;
    *out = disk;
    return 0;
}

int disks_get(const char *path, bool writable, uint64_t dev, uint64_t ino, struct disk **out)
{
    struct stat st;
    int r = 0;

    if (!dev) {
        r = sys_real.stat(path, &st);
        if (r < 0)
            return r;
        dev = st.st_dev;
        ino = st.st_ino;
    }
    process_change();
    pthread_mutex_lock(&lock);
    *out = find_locked(dev, ino, writable);
    if (*out)
        (*out)->refs++;
    else
        r = open_locked(path, writable, dev, ino, out);
    pthread_mutex_unlock(&lock);
    process_changed();
    return r;
}

void disks_ref(struct disk *disk)
{
    pthread_mutex_lock(&lock);
    disk->refs++;
    pthread_mutex_unlock(&lock);
}

struct disk *disks_writer(struct disk *disk)
{
    struct disk *writer;

    pthread_mutex_lock(&lock);
    writer = find_locked(disk->dev, disk->ino, true);
    if (writer)
        writer->refs++;
    pthread_mutex_unlock(&lock);
    return writer;
}

static const char *path_of(const struct disk *disk)
{
    struct acow_facts facts;

    acow_facts(disk->engine, &facts);
    return facts.meta_path;
}

/* The end of taking part comes first, since it may flush, and the summary tells of that. */
int disks_put(struct disk *disk)
{
    int r = 0;

    process_change();
    pthread_mutex_lock(&lock);
    if (--disk->refs == 0) {
        struct disk **at = &list;

        while (*at != disk)
            at = &(*at)->next;
        *at = disk->next;
        r = acow_park(disk->engine);
        if (r < 0)
            report("%s: cannot flush at its close: %s", path_of(disk), strerrordesc_np(-r));
        trace_stats(disk);
        acow_close(disk->engine, NULL);
        free(disk);
    }
    pthread_mutex_unlock(&lock);
    process_changed();
    return r;
}

int disks_meta_fd(uint64_t dev, uint64_t ino)
{
    struct acow_facts facts = { .meta_fd = -1 };
    struct disk *disk;

    pthread_mutex_lock(&lock);
    disk = find_locked(dev, ino, true);
    if (!disk)
        disk = find_locked(dev, ino, false);
    if (disk)
        acow_facts(disk->engine, &facts);
    pthread_mutex_unlock(&lock);
    return facts.meta_fd;
}

void disks_flush(void)
{
    pthread_mutex_lock(&lock);
    for (struct disk *disk = list; disk; disk = disk->next)
        acow_flush(disk->engine);
    pthread_mutex_unlock(&lock);
}

void disks_park(void)
{
    pthread_mutex_lock(&lock);
    for (struct disk *disk = list; disk; disk = disk->next) {
        int r = acow_park(disk->engine);

        if (r < 0)
            report("%s: cannot flush at the end: %s", path_of(disk), strerrordesc_np(-r));
        trace_stats(disk);
    }
    pthread_mutex_unlock(&lock);
}

/* A writer comes before its mate for reading. */
static void before_fork_locked(bool writable)
{
    for (struct disk *disk = list; disk; disk = disk->next) {
        if (disk->writable == writable)
            acow_before_fork(disk->engine);
    }
}

void disks_before_fork(void)
{
    pthread_mutex_lock(&lock);
    before_fork_locked(true);
    before_fork_locked(false);
}

void disks_let_fork(void)
{
    for (struct disk *disk = list; disk; disk = disk->next)
        acow_let_fork(disk->engine);
    pthread_mutex_unlock(&lock);
}

void disks_after_fork(void)
{
    pthread_mutex_init(&lock, NULL);
    for (struct disk *disk = list; disk; disk = disk->next)
        acow_after_fork(disk->engine);
}

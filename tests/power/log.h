/*
 * What reached the machine's files, in order, from a moment at which all that they held was on
 * stable storage. A power cut at event N keeps, of the events before N, those that were synced,
 * and any choice of the others: state.h.
 *
 * The run-time file is no part of that: nothing in it is ever synced, and it is of a boot that is
 * over. Its contents are noted over time, so that a state can have it in any condition.
 */
#ifndef LOG_H
#define LOG_H

#include "content.h"
#include "layout.h"
#include "machine.h"

#define LOG_EVENTS 4096
#define LOG_INODES 10
#define LOG_NAMES 10

enum event_kind {
    EVENT_DATA,         /* a sector is as `content` says */
    EVENT_SIZE,         /* the file is `size` bytes; what it was longer by is zeros, and the sector
                         * that a smaller size cuts (`content`, if there is one) has them too */
    EVENT_NAME,         /* a name leads to an inode, or (-1) to none */
    EVENT_SYNC,         /* the inode's fdatasync, or the directory's (inode -1) */
    EVENT_SYNC_FAILED,
};

struct event {
    enum event_kind kind;
    int inode;
    int slot;
    const struct content *content;
    uint64_t size;
    int name, from;             /* NAME: the name, and the one that goes away by it, or -1 */
};

struct log_inode {
    struct inode *file;
    const struct layout *layout;
    bool image;
    uint64_t first_size;
    const struct content *first[SLOTS];
};

/* The run-time file from event `at` on: a sector, or (slot -1) its size, -1 if it is not there. */
struct run_change {
    int at, slot;
    const struct content *content;
    int64_t size;
};

struct log {
    bool sizes_unsynced;        /* a lie: no sync takes a size along */
    int n;
    struct event events[LOG_EVENTS];
    int ninodes;
    struct log_inode inodes[LOG_INODES];
    int nnames;
    char names[LOG_NAMES][64];
    int first_name[LOG_NAMES];  /* inode or -1 */
    int nchanges;
    struct run_change changes[2 * LOG_EVENTS];
    /* The run-time file now. */
    const struct content *run_slots[SLOTS];
    int64_t run_size;
};

extern struct log log_current;

/* The layout of every file but an image. */
extern const struct layout log_layout;

/*
 * Things that a machine may do wrong, or may be made to do, to see that they are found out.
 */
enum log_lie {
    LOG_HONEST,
    LOG_IMAGE_SYNC_LATE,        /* the image's sync is held back until after the metadata's */
    LOG_IMAGE_SYNC_NEVER,
    LOG_DATA_LATE,              /* the image's data until after the metadata's sync */
    LOG_META_SYNC_NEVER,
    LOG_DIRECTORY_SYNC_NEVER,
    LOG_SIZE_NEVER_SYNCED,      /* data is synced, sizes are not */
    LOG_FAILURE_HIDDEN,         /* a sync that fails says that it did not */
};

/* Begins to listen. All that the files hold is on stable storage. */
void log_begin(const struct layout *image, enum log_lie lie);

/* Stops. */
void log_end(void);

/* Lets go of the files that are in the log. */
void log_forget(void);

/* Notes what was stored into the run-time file since the last event. */
void log_look(void);

/* The next fdatasync of an image, or else of a metadata file, fails. */
void log_fail_sync(bool image);

enum log_failure { LOG_NO_FAILURE, LOG_IMAGE_FAILED, LOG_META_FAILED };

/* The last sync that has failed since this was last asked. */
enum log_failure log_failed(void);

/* Called where another process can do something in the middle of an operation: between the
 * steps of a flush, where no stripe is locked. NULL: nobody does. */
void log_on_pause(void (*fn)(void));

/* For people: what an event was. */
void log_describe(const struct log *log, int at, char *out, size_t len);

#endif

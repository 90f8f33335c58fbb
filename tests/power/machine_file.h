/* The machine's insides, for machine*.c alone. */
#ifndef MACHINE_FILE_H
#define MACHINE_FILE_H

#include "machine.h"
#include "machine_lock.h"

#define MACHINE_CAP (48ull << 20)       /* the largest file, and the furthest a mapping goes */
#define MACHINE_INODES 24
#define MACHINE_NAME 64
#define MACHINE_FDS 128
#define MACHINE_MAPS 128
#define MACHINE_VIEWS 32

struct inode {
    bool used, touched;
    enum machine_role role;
    uint64_t ino, size;
    unsigned mode, uid, gid;
    int names, refs;
    struct machine_locks locks;
    int fd;                     /* of the memory */
    uint8_t *mem;               /* for the machine; NULL: there is none yet */
    int nviews;                 /* for mappings: kept, because making them takes long */
    struct machine_view {
        uint8_t *addr;
        int prot;
        bool busy;
    } views[MACHINE_VIEWS];
    uint64_t dirty_end;         /* pages */
    bool dirty[MACHINE_CAP / 4096];
};

struct description {
    struct inode *inode;        /* NULL: free */
    int flags, owner;
};

struct machine_map {
    void *addr;                 /* NULL: free */
    size_t len;
    struct inode *inode;        /* NULL: anonymous */
    struct machine_view *view;
    int owner;
};

extern const struct machine_listener *machine_listener;     /* never NULL once reset */

/* Without a name. */
struct inode *machine_new(enum machine_role role);

/* These pages may be other than zeros from now on. */
void machine_dirty(struct inode *inode, uint64_t off, uint64_t len);
void machine_zero(struct inode *inode, uint64_t off, uint64_t end);

int machine_open(struct inode *inode, int flags);
struct description *machine_description(int fd);
void machine_close(struct description *description);
/* inode NULL: anonymous memory. */
void *machine_map(struct inode *inode, uint64_t off, size_t len, int prot);
bool machine_unmap(const void *addr, size_t len);

#endif

/*
 * io_uring on disks. A request reaches the kernel as an entry of a submission queue, in memory
 * that program and kernel share. Before the kernel may take the entries from there (in
 * io_uring_submit and its like, or in io_uring_enter), those about disks are changed to what the
 * kernel can do: the same on a hidden descriptor, or a request that does nothing and has the
 * result of what was done here. Once the kernel has taken them they are changed back, as a
 * program may use them again.
 *
 *  ring.c          walks the entries: links, drains, and what waits for what
 *  ring_op.c       what becomes of one request; ring_rw.c: if it reads or writes
 *  ring_result.c   the request that has a given result
 *  ring_table.c    the rings of this process: their memory, and the disks among their fixed files
 *  hook_uring.c    liburing's functions; hook_ring.c: the system calls themselves
 *
 * The ring_* files work on plain pointers to the queue, whoever made it.
 */
#ifndef SHIM_RING_H
#define SHIM_RING_H

#include <linux/io_uring.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ofd;

/* A submission queue. */
struct ring_queue {
    struct io_uring_sqe *sqes;
    const unsigned *array;      /* which entry stands at a position; NULL: the one of that number */
    const unsigned *head;       /* as far as the kernel has taken entries */
    const unsigned *tail;       /* as far as the program has put them there */
    const unsigned *done;       /* as far as it has posted completions */
    unsigned mask;
    unsigned flags, features;   /* io_uring_setup's */
};

/* An entry that was changed, until the kernel has taken it. */
struct ring_change {
    struct io_uring_sqe *sqe;
    unsigned pos;
    struct ofd *held;           /* its descriptor must be there until then; or NULL */
    struct io_uring_sqe before, after;
};

struct ring {
    int fd;                     /* -1: none to find it by; looked at without a lock */
    bool used;
    pthread_mutex_t lock;       /* over all below */
    struct ring_queue queue;    /* sqes NULL: where it is is not known */
    struct io_uring_params params;      /* of one that was made by number: where what is */
    struct ofd **slots;         /* the disks among the fixed files, by index */
    unsigned nslots;
    struct ring_change *changes;
    unsigned nchanges, room;
    bool draining;              /* what is submitted now may have to wait for what was */
    bool uncountable;           /* some requests have more than one completion */
    struct ring *next;          /* all there were; their memory stays */
};

/* ---- ring_table.c ---------------------------------------------------------- */

/*
 * Finds a ring, locked: by its queue, or by its descriptor. ring_of makes one if there is none, and
 * returns NULL for lack of memory.
 */
struct ring *ring_of(const struct ring_queue *queue, int fd);
struct ring *ring_by_fd(int fd);
void ring_unlock(struct ring *ring);

/* A ring that has just been made, by number. */
void ring_made(int fd, const struct io_uring_params *params);

/* Memory of a descriptor has been mapped: perhaps a ring's. */
void ring_mapped(int fd, void *at, int64_t off);

/* True if there is any ring whose memory is still to be mapped. */
extern int ring_unmapped;

/* The descriptor, or all in [from, to], is closed; ring_end: the ring itself is given up. */
void ring_closed(unsigned from, unsigned to);
void ring_end(const struct ring_queue *queue);
void ring_after_fork(void);

/*
 * Fixed files: `count` of them were registered from slot `from` on, -1: none, -2: what was there
 * before. ring_clear_slots: there are none any more.
 */
void ring_set_slots(struct ring *ring, unsigned from, const int *fds, unsigned count);
void ring_clear_slots(struct ring *ring);

/* The disk behind a descriptor or a fixed file, held, or NULL. */
struct ofd *ring_disk(struct ring *ring, int fd, bool fixed);

/* ---- ring.c ----------------------------------------------------------------- */

/* The entry that stands at a position. */
struct io_uring_sqe *ring_entry(const struct ring_queue *queue, unsigned pos);

/* Before the kernel may take the entries [from, to): 0, or -EAGAIN. The ring is locked. */
int ring_before(struct ring *ring, const struct ring_queue *queue, unsigned from, unsigned to);

/* After it may have. The ring is locked. */
void ring_after(struct ring *ring, const struct ring_queue *queue);

/* ---- ring_op.c --------------------------------------------------------------- */

enum ring_way {
    RING_LEFT,                  /* not about a disk's data: as it is */
    RING_CHANGED,               /* for the kernel to do, on a hidden descriptor */
    RING_DONE,                  /* `result` says how it went */
};

struct ring_request {
    struct ring *ring;
    const struct ring_queue *queue;
    struct io_uring_sqe *sqe;   /* is changed for RING_CHANGED only */
    bool waits;                 /* others must be done before, which the kernel sees to */
    bool now;                   /* rather done now than by the kernel */
    int64_t result;
    bool fell_short;            /* it has done less than it should: that breaks a chain */
    struct ofd *held;           /* to be given back when the kernel has taken the entry; or NULL */
};

enum ring_way ring_do(struct ring_request *req);

/* True for what ring_do would do itself if it need not wait. */
bool ring_needs_doing(struct ring_request *req);

/*
 * Ways to end: with a result; with EBADF, after a report that `what` is not served; by leaving it
 * to the kernel on the descriptor `fd`, which `ofd` is held for from now on.
 */
enum ring_way ring_done(struct ring_request *req, int64_t result);
enum ring_way ring_refuse(struct ring_request *req, const char *what, const char *disk);
enum ring_way ring_pass(struct ring_request *req, struct ofd *ofd, int fd);

static inline void *ring_pointer(uint64_t addr)
{
    return (void *)(uintptr_t)addr;
}

/* ---- ring_rw.c ---------------------------------------------------------------- */

/* As <linux/io_uring.h> of later versions has them. */
enum { RING_OP_FIXED_FD_INSTALL = 54, RING_OP_FTRUNCATE = 55, RING_OP_READV_FIXED = 60,
       RING_OP_WRITEV_FIXED = 61 };

/* The ops that read or write: ring_do, ring_needs_doing, and a name. */
enum ring_way ring_transfer(struct ring_request *req, struct ofd *ofd);
bool ring_transfer_needs_doing(struct ring_request *req, struct ofd *ofd);
const char *ring_transfer_name(int opcode);

/* ---- ring_result.c ------------------------------------------------------------ */

/* Makes `sqe` one that completes with this result, >= 0 or a negative errno, at once. */
void ring_set_result(const struct ring_queue *queue, struct io_uring_sqe *sqe, int64_t result);

#endif

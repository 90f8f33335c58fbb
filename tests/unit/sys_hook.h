/*
 * A table of system calls that asks a test before each call and tells it after.
 * Recording, failing and killing are all hooks in it.
 */
#ifndef SYS_HOOK_H
#define SYS_HOOK_H

#include "support.h"

enum sys_op {
    SYS_OPEN, SYS_CLOSE, SYS_PREAD, SYS_PREADV, SYS_PWRITE, SYS_PWRITEV, SYS_FDATASYNC,
    SYS_FTRUNCATE, SYS_FALLOCATE, SYS_LSEEK, SYS_FSTAT, SYS_STAT, SYS_BIRTH, SYS_FCHMOD, SYS_FCHOWN, SYS_LOCK,
    SYS_MEMFD, SYS_UNLINK, SYS_LINK, SYS_RENAME, SYS_REALPATH, SYS_LIST, SYS_MMAP, SYS_MUNMAP,
};

struct sys_call {
    enum sys_op op;
    const char *name;           /* of the operation */
    char file[64];              /* last component of what it works on */
    int fd;                     /* or -1 */
    int flags;                  /* of open; fallocate's mode; lock's type */
    int64_t off, len;
    const struct iovec *iov;    /* of reads and writes */
    int iovcnt;
    int64_t most;               /* a hook may have a transfer cut here; -1: not */
    int cmd;                    /* of lock */
    /* A hook may have an fdatasync do nothing, and the zeroing of a range done in another way. */
    bool easy;
};

struct sys_hook {
    /* 0: make the call; else it fails with this negative errno. */
    int (*before)(struct sys_call *call);
    void (*after)(const struct sys_call *call, int64_t result);
    /* Of /proc, show this process alone: so that a run does not depend on what else there is. */
    bool alone_in_proc;
};

extern const struct acow_sys sys_hooked;

/* NULL: none. */
void sys_hook(const struct sys_hook *hook);

static inline bool call_is(const struct sys_call *call, enum sys_op op, const char *file)
{
    return call->op == op && strcmp(call->file, file) == 0;
}

static inline bool call_writes(const struct sys_call *call)
{
    return call->op == SYS_PWRITE || call->op == SYS_PWRITEV || call->op == SYS_FTRUNCATE
           || call->op == SYS_FALLOCATE;
}

/* ---- recording --------------------------------------------------------- */

/*
 * Calls as text, "pwrite d.img 512+1024; fdatasync d.img": what a test expects
 * is what it says. Locks of the runtime and fstat are in it too.
 */
void calls_begin(void);
const char *calls(void);

#define calls_expect(want) \
    check(strcmp(calls(), want) == 0, "calls: \"%s\", not \"%s\"", calls(), want)

/* ---- failing ----------------------------------------------------------- */

enum fault_kind {
    FAULT_ONCE,         /* the nth call alone */
    FAULT_EVER,         /* it and all that follow */
    FAULT_SHORT,        /* from it on, transfers are cut short */
    FAULT_SHORT_ONCE,
};

struct fault {
    enum fault_kind kind;
    int error;          /* negative errno */
    unsigned nth;       /* from 1 on */
    unsigned seen, fired;
    bool paused;
    void (*note)(const struct sys_call *call);  /* told of each call that could fail, or NULL */
    bool unprivileged;  /* a run-time file cannot be made */
    bool sync_failed;   /* it hit an fsync of an image */
    char hit[96];       /* the first call that failed: its name and file */
};

/* Hooks it in. */
void fault_begin(struct fault *fault);
/* Nothing fails any more; syncs still take no time. */
void fault_end(void);

#endif

/*
 * Another process that has a disk open for itself. It does one thing at a time,
 * when told to, and says what came of it; so what two processes do is in an order
 * that the test sets, and no test waits for time to pass.
 */
#ifndef PEER_H
#define PEER_H

#include "support.h"

struct peer {
    pid_t pid;
    int to, from;
};

enum peer_does {
    PEER_OPEN,          /* flags: off */
    PEER_WRITE,         /* pattern(tag) of len bytes at off */
    PEER_SEES,          /* 1 if [off, off + len) is pattern(tag) */
    PEER_ZEROS,         /* 1 if [off, off + len) is zeros */
    PEER_FLUSH, PEER_SIZE, PEER_CLOSE, PEER_PARK,
    PEER_TRUNCATE,      /* to off */
    PEER_END,
};

/* The process; it opens nothing yet. `sys` is the table it will use. */
struct peer peer_start(const struct acow_sys *sys);

int64_t peer_do(struct peer *peer, enum peer_does what, uint64_t off, uint64_t len, unsigned tag);

/* Ends it by SIGKILL. */
void peer_kill(struct peer *peer);

/* Ends it normally; its disk is to be closed. */
void peer_end(struct peer *peer);

#define peer_open(peer, flags) check_peer(peer, PEER_OPEN, flags, 0, 0, 0)
#define peer_write(peer, off, len, tag) check_peer(peer, PEER_WRITE, off, len, tag, (int64_t)(len))
#define peer_sees(peer, off, len, tag) check_peer(peer, PEER_SEES, off, len, tag, 1)
#define peer_flush(peer) check_peer(peer, PEER_FLUSH, 0, 0, 0, 0)
#define peer_close(peer) check_peer(peer, PEER_CLOSE, 0, 0, 0, 0)

#define check_peer(peer, what, off, len, tag, want) \
    do { \
        int64_t got_ = peer_do(peer, what, off, len, tag); \
        check(got_ == (want), "%lld, not %lld", (long long)got_, (long long)(want)); \
    } while (0)

#endif

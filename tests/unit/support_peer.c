/* The other process: a loop over requests that come by a pipe. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#include "peer.h"

struct request {
    enum peer_does what;
    uint64_t off, len;
    unsigned tag;
};

static int64_t sees(struct acow_disk *disk, const struct request *req)
{
    uint8_t *got = malloc(req->len + 1), *want = calloc(1, req->len + 1);
    ssize_t n = acow_pread(disk, ACOW_OWN_FD, got, req->len, req->off);
    int64_t same;

    if (req->what == PEER_SEES)
        pattern(want, req->off, req->len, req->tag);
    same = n < 0 ? n : n == (ssize_t)req->len && memcmp(got, want, req->len) == 0;
    free(got);
    free(want);
    return same;
}

static int64_t writes(struct acow_disk *disk, const struct request *req)
{
    uint8_t *buf = malloc(req->len + 1);
    ssize_t n;

    pattern(buf, req->off, req->len, req->tag);
    n = acow_pwrite(disk, ACOW_OWN_FD, buf, req->len, req->off);
    free(buf);
    return n;
}

static int64_t serve(const struct acow_sys *sys, struct acow_disk **disk, const struct request *req)
{
    switch (req->what) {
    case PEER_OPEN:
        return acow_open(sys, "d.add-cow", (int)req->off, disk, NULL);
    case PEER_WRITE:
        return writes(*disk, req);
    case PEER_SEES:
    case PEER_ZEROS:
        return sees(*disk, req);
    case PEER_FLUSH:
        return acow_flush(*disk);
    case PEER_SIZE:
        return acow_size(*disk);
    case PEER_CLOSE:
        return acow_close(*disk, NULL);
    case PEER_PARK:
        return acow_park(*disk);
    case PEER_TRUNCATE:
        return acow_truncate(*disk, req->off);
    case PEER_END:
        _exit(0);
    }
    return -EINVAL;
}

static void run(const struct acow_sys *sys, int in, int out)
{
    struct acow_disk *disk = NULL;
    struct request req;

    while (read(in, &req, sizeof(req)) == sizeof(req)) {
        int64_t result = serve(sys, &disk, &req);

        if (write(out, &result, sizeof(result)) != sizeof(result))
            break;
    }
    _exit(0);
}

struct peer peer_start(const struct acow_sys *sys)
{
    int to[2], from[2];
    struct peer peer;

    check(pipe(to) == 0 && pipe(from) == 0, "%m");
    peer.pid = fork_child();
    if (peer.pid == 0) {
        close(to[1]);
        close(from[0]);
        run(sys, to[0], from[1]);
    }
    close(to[0]);
    close(from[1]);
    peer.to = to[1];
    peer.from = from[0];
    return peer;
}

int64_t peer_do(struct peer *peer, enum peer_does what, uint64_t off, uint64_t len, unsigned tag)
{
    struct request req = { what, off, len, tag };
    int64_t result;

    check(write(peer->to, &req, sizeof(req)) == sizeof(req), "%m");
    check(read(peer->from, &result, sizeof(result)) == sizeof(result), "the other process is gone");
    return result;
}

static void forget(struct peer *peer)
{
    close(peer->to);
    close(peer->from);
}

void peer_kill(struct peer *peer)
{
    check(kill(peer->pid, SIGKILL) == 0);
    check(wait_child(peer->pid) == 256 + SIGKILL);
    forget(peer);
}

void peer_end(struct peer *peer)
{
    struct request req = { .what = PEER_END };
    int status;

    /* Said, since a pipe's other end may have been inherited by another peer. */
    check(write(peer->to, &req, sizeof(req)) == sizeof(req), "%m");
    forget(peer);
    status = wait_child(peer->pid);
    check(status == 0, "the other process ended with %d", status);
}

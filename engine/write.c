/*
 * Writing. Where every sector is allocated a write is one call on the image, and takes
 * no lock. Elsewhere the stripes over the range are locked and the bits are looked at
 * again; the old bytes of a partial first and last sector are gathered with the
 * caller's into one call; the bits are set when the data is in the image (I2), and
 * only for sectors that were written whole.
 *
 * That a write without a lock cannot be undone by a neighbour's copy-up: a copy-up
 * only happens to a sector without its bit, under its stripe, and the bit comes last;
 * so who sees the bit comes after the copy-up, and who does not see it waits for the
 * stripe.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk.h"
#include "format.h"
#include "iov.h"

struct request {
    int fd;
    const struct iovec *iov;
    int iovcnt;
    uint64_t off;
    size_t len;
};

static uint64_t first_sector(const struct request *req)
{
    return req->off / ACOW_SECTOR;
}

static uint64_t nsectors(const struct request *req)
{
    return (req->off + req->len - 1) / ACOW_SECTOR - first_sector(req) + 1;
}

static ssize_t write_once(struct acow_disk *disk, const struct request *req)
{
    disk_count(disk, &disk->counters.writes, 1);
    if (req->iovcnt == 1)
        return disk->sys->pwrite(req->fd, req->iov->iov_base, req->len, (int64_t)req->off);
    return disk->sys->pwritev(req->fd, req->iov, req->iovcnt, (int64_t)req->off);
}

/* Old bytes around a request that begins or ends within an unallocated sector. */
struct edges {
    size_t head, tail;          /* bytes */
    char head_bytes[ACOW_SECTOR], tail_bytes[ACOW_SECTOR];
};

/* `limit` is where the disk ends, or will. */
static int read_edges(struct acow_disk *disk, const struct att *att, const struct request *req,
                      uint64_t limit, struct edges *edges)
{
    uint64_t end = req->off + req->len;
    uint64_t last = (end - 1) / ACOW_SECTOR;
    int r = 0;

    edges->head = edges->tail = 0;
    if (req->off % ACOW_SECTOR && !disk_allocated(att, first_sector(req)))
        edges->head = req->off % ACOW_SECTOR;
    if (end % ACOW_SECTOR && end < limit && !disk_allocated(att, last)) {
        uint64_t stop = (last + 1) * ACOW_SECTOR;

        edges->tail = (stop < limit ? stop : limit) - end;
    }
    if (edges->head)
        r = read_old(disk, edges->head_bytes, req->off - edges->head, edges->head);
    if (r == 0 && edges->tail)
        r = read_old(disk, edges->tail_bytes, end, edges->tail);
    disk_count(disk, &disk->counters.copyup_bytes, edges->head + edges->tail);
    return r;
}

/* The caller's bytes and the edges in one call, through the disk's own descriptor:
 * the edges are not where O_DIRECT would have them. */
static ssize_t write_gathered(struct acow_disk *disk, const struct request *req, struct edges *edges)
{
    struct iovec few[16], *pieces = few;
    struct iov_cursor cursor = { req->iov, req->iovcnt, 0 };
    struct request all = { disk->image_fd, NULL, 0, req->off - edges->head, 0 };
    ssize_t n;

    if (req->iovcnt + 2 > (int)(sizeof(few) / sizeof(few[0])))
        pieces = malloc((size_t)(req->iovcnt + 2) * sizeof(*pieces));
    if (!pieces)
        return -ENOMEM;
    if (edges->head)
        pieces[all.iovcnt++] = (struct iovec){ edges->head_bytes, edges->head };
    /*
     * One must be left for the tail. A write that is cut short is still a write: so many
     * pieces, none of them empty, fill a sector.
     */
    all.len = edges->head + iov_take(&cursor, req->len, pieces, &all.iovcnt, IOV_MAX - 1);
    if (edges->tail && all.len == edges->head + req->len) {
        pieces[all.iovcnt++] = (struct iovec){ edges->tail_bytes, edges->tail };
        all.len += edges->tail;
    }
    all.iov = pieces;
    n = write_once(disk, &all);
    if (pieces != few)
        free(pieces);
    return n;
}

/*
 * Sets the bits for a call that wrote `n` of `want` bytes from `from` on, and
 * returns how many of the request's bytes now count as written.
 */
static ssize_t settle(struct acow_disk *disk, struct att *att, const struct request *req,
                      uint64_t from, size_t n, size_t want)
{
    uint64_t end = from + n;
    uint64_t stop = end;
    size_t done;
    int r;

    /*
     * A sector written in part, whose other part is not in the image, was not written;
     * unless there is no other part, since the disk now ends there.
     */
    if (n < want && end % ACOW_SECTOR && end < disk_size(att)
        && !disk_allocated(att, end / ACOW_SECTOR))
        stop = end -= end % ACOW_SECTOR;
    if (end <= req->off)
        return 0;
    done = end - req->off < req->len ? end - req->off : req->len;
    r = flush_set_bits(disk, att, first_sector(req), format_sectors(stop) - first_sector(req));
    return r < 0 ? r : (ssize_t)done;
}

/* The stripes over the request are held, and its pages are reserved. */
static ssize_t write_locked(struct acow_disk *disk, struct att *att, const struct request *req,
                            uint64_t limit)
{
    struct edges edges;
    int r = read_edges(disk, att, req, limit, &edges);

    if (r < 0)
        return r;
    /* If not one sector became whole, a second try gets the reason why. */
    for (int try = 0; try < 2; try++) {
        size_t want = edges.head + req->len + edges.tail;
        ssize_t n = edges.head || edges.tail ? write_gathered(disk, req, &edges)
                                             : write_once(disk, req);
        ssize_t done;

        if (n < 0)
            return n;
        done = settle(disk, att, req, req->off - edges.head, (size_t)n, want);
        disk_count(disk, &disk->counters.writes_allocating, 1);
        if (done != 0)
            return done;
    }
    /* The kernel wrote what it could, up to the caller's bytes. */
    r = iov_check(req->iov, req->iovcnt);
    return r < 0 ? r : -ENOSPC;
}

int write_copyup_locked(struct acow_disk *disk, struct att *att, uint64_t sector)
{
    char old[ACOW_SECTOR];
    uint64_t off = sector * ACOW_SECTOR, size = disk_size(att);
    size_t len = size - off < ACOW_SECTOR ? size - off : ACOW_SECTOR;
    ssize_t n;
    int r;

    if (disk_allocated(att, sector))
        return 0;
    r = read_old(disk, old, off, len);
    if (r < 0)
        return r;
    n = disk->sys->pwrite(disk->image_fd, old, len, (int64_t)off);
    if (n < 0)
        return (int)n;
    if ((size_t)n < len)
        return -ENOSPC;
    disk_count(disk, &disk->counters.copyup_bytes, len);
    return flush_set_bits(disk, att, sector, 1);
}

static ssize_t write_in_stripes(struct acow_disk *disk, struct att *att, const struct request *req)
{
    uint64_t stripes = region_stripes(req->off, req->len);
    uint64_t size;
    ssize_t r;

    r = region_reserve(disk, att, first_sector(req), nsectors(req));
    if (r < 0)
        return r;
    r = region_lock_stripes(disk, att->region, stripes);
    if (r < 0)
        return r;
    size = disk_size(att);
    r = req->off + req->len > size ? 0 : write_locked(disk, att, req, size);
    region_unlock_stripes(att->region, stripes);
    return r;
}

/* Within the disk, and not all of it allocated. 0: the disk has become too short for it. */
static ssize_t write_allocating(struct acow_disk *disk, const struct request *req)
{
    struct att *att;
    uint64_t size;
    ssize_t r;

    pthread_rwlock_rdlock(&disk->relying);
    r = disk_enter(disk, &att, &size);
    if (r == 0 && req->off + req->len <= size)
        r = write_in_stripes(disk, att, req);
    pthread_rwlock_unlock(&disk->relying);
    return r;
}

/* Beyond the end, or at it; req->off is set to the end if `append`. 0: no longer beyond it. */
static ssize_t write_growing(struct acow_disk *disk, struct request *req, bool append)
{
    uint64_t stripes, size;
    struct att *att;
    ssize_t r;

    r = size_lock(disk, &att);
    if (r < 0)
        return r;
    size = disk_size(att);
    if (append)
        req->off = size;
    if (req->off + req->len <= size) {
        r = 0;
        goto out;
    }
    r = size_prepare(disk, &att, req->off + req->len);
    if (r == 0)
        r = region_reserve(disk, att, first_sector(req), nsectors(req));
    if (r < 0)
        goto out;
    stripes = region_stripes(req->off, req->len);
    r = region_lock_stripes(disk, att->region, stripes);
    if (r < 0)
        goto out;
    r = write_locked(disk, att, req, req->off + req->len);
    if (r > 0)
        size_raise(att, req->off + (uint64_t)r);
    region_unlock_stripes(att->region, stripes);
    if (r < 0)
        size_follow_image(disk, att);
out:
    size_unlock(disk, att);
    return r;
}

int write_follow(struct acow_disk *disk, const struct att *seen, uint64_t end)
{
    struct att *att;
    int r;

    if (__builtin_expect(end <= disk_size(seen), 1))
        return 0;
    r = size_lock(disk, &att);
    if (r < 0)
        return r;
    r = size_catch_up(disk, &att);
    size_unlock(disk, att);
    return r;
}

static ssize_t write_request(struct acow_disk *disk, struct request *req)
{
    struct att *att;
    uint64_t size;
    ssize_t n;
    int r;

    if (req->off > INT64_MAX)
        return -EINVAL;
    if (req->off + req->len > ACOW_SIZE_MAX)
        return -EFBIG;
    do {
        r = disk_enter(disk, &att, &size);
        if (r < 0)
            return r;
        if (req->off + req->len > size) {
            n = write_growing(disk, req, false);
        } else if (bits_all_set(&att->bits, first_sector(req), nsectors(req))) {
            n = write_once(disk, req);
            if (n > 0)
                r = write_follow(disk, att, req->off + (uint64_t)n);
            return r < 0 ? r : n;
        } else {
            n = write_allocating(disk, req);
        }
    } while (n == 0);
    return n;
}

ssize_t acow_pwritev(struct acow_disk *disk, int image_fd, const struct iovec *iov, int iovcnt,
                     uint64_t off)
{
    ssize_t total = iov_total(iov, iovcnt);
    struct request req = { image_fd >= 0 ? image_fd : disk->image_fd, iov, iovcnt, off, 0 };

    if (!disk->writable)
        return -EBADF;
    if (total <= 0)
        return total;
    req.len = (size_t)total;
    return flush_through(disk, write_request(disk, &req));
}

__attribute__((hot)) ssize_t acow_pwrite(struct acow_disk *disk, int image_fd, const void *buf,
                                         size_t len, uint64_t off)
{
    struct iovec iov = { (void *)buf, len };
    struct request req = { image_fd >= 0 ? image_fd : disk->image_fd, &iov, 1, off, len };

    if (!disk->writable)
        return -EBADF;
    if (len == 0)
        return 0;
    if (len > SSIZE_MAX)
        return -EINVAL;
    return flush_through(disk, write_request(disk, &req));
}

ssize_t acow_append(struct acow_disk *disk, int image_fd, const struct iovec *iov, int iovcnt,
                    uint64_t *end)
{
    ssize_t total = iov_total(iov, iovcnt);
    struct request req = { image_fd >= 0 ? image_fd : disk->image_fd, iov, iovcnt, 0, 0 };
    ssize_t n;

    if (!disk->writable)
        return -EBADF;
    if (total <= 0) {
        *end = (uint64_t)acow_size(disk);
        return total;
    }
    req.len = (size_t)total;
    n = write_growing(disk, &req, true);
    *end = req.off + (n > 0 ? (uint64_t)n : 0);
    return flush_through(disk, n);
}

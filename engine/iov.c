/*
 * A request's buffers are cut where its sectors change hands, not where the
 * caller's buffers end. A cursor keeps the place between pieces.
 */
#include "iov.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>

ssize_t iov_total(const struct iovec *iov, int iovcnt)
{
    size_t total = 0;

    if (iovcnt < 0 || iovcnt > IOV_MAX)
        return -EINVAL;
    for (int i = 0; i < iovcnt; i++) {
        if (iov[i].iov_len > (size_t)SSIZE_MAX - total)
            return -EINVAL;
        total += iov[i].iov_len;
    }
    return (ssize_t)total;
}

/* The next piece of at most len bytes; {NULL, 0} when the vector is used up. */
static struct iovec next(struct iov_cursor *cursor, size_t len)
{
    struct iovec piece = { NULL, 0 };

    while (cursor->left > 0 && piece.iov_len == 0) {
        size_t here = cursor->iov->iov_len - cursor->skip;

        piece.iov_len = here < len ? here : len;
        if (piece.iov_len)
            piece.iov_base = (char *)cursor->iov->iov_base + cursor->skip;
        if (piece.iov_len < here) {
            cursor->skip += piece.iov_len;
            return piece;
        }
        cursor->iov++;
        cursor->left--;
        cursor->skip = 0;
    }
    return piece;
}

size_t iov_take(struct iov_cursor *cursor, size_t len, struct iovec *out, int *n, int max)
{
    size_t taken = 0;

    while (taken < len && *n < max) {
        struct iovec piece = next(cursor, len - taken);

        if (piece.iov_len == 0)
            break;
        out[(*n)++] = piece;
        taken += piece.iov_len;
    }
    return taken;
}

void iov_skip(struct iov_cursor *cursor, size_t len)
{
    while (len > 0) {
        struct iovec piece = next(cursor, len);

        if (piece.iov_len == 0)
            break;
        len -= piece.iov_len;
    }
}

enum { POPULATE_READ = 22, POPULATE_WRITE = 23, PAGE = 4096 };

/*
 * The caller's memory may not be there, and then a system call says so, where a store would end the
 * process. The kernel is asked to have it there; an old one does not know how.
 */
static int check_memory(const struct iovec *piece, int advice)
{
    uintptr_t at = (uintptr_t)piece->iov_base, from = at & ~(uintptr_t)(PAGE - 1);
    int saved = errno, r = 0;

    if (at < PAGE || (madvise((void *)from, at + piece->iov_len - from, advice) < 0
                      && (errno == ENOMEM || errno == EFAULT)))
        r = -EFAULT;
    errno = saved;
    return r;
}

int iov_check(const struct iovec *iov, int iovcnt)
{
    int r = 0;

    for (int i = 0; r == 0 && i < iovcnt; i++)
        if (iov[i].iov_len)
            r = check_memory(&iov[i], POPULATE_READ);
    return r;
}

int iov_zero(struct iov_cursor *cursor, size_t len)
{
    while (len > 0) {
        struct iovec piece = next(cursor, len);

        if (piece.iov_len == 0)
            break;
        if (check_memory(&piece, POPULATE_WRITE) < 0)
            return -EFAULT;
        memset(piece.iov_base, 0, piece.iov_len);
        len -= piece.iov_len;
    }
    return 0;
}

void iov_advance(struct iovec **iov, int *iovcnt, size_t done)
{
    while (*iovcnt > 0 && done >= (*iov)->iov_len) {
        done -= (*iov)->iov_len;
        (*iov)++;
        (*iovcnt)--;
    }
    if (*iovcnt > 0) {
        (*iov)->iov_base = (char *)(*iov)->iov_base + done;
        (*iov)->iov_len -= done;
    }
}

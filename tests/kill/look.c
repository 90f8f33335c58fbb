/* Looking at cells; see look.h. */
#include "look.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One piece's cells. No cell is longer than a sector. */
#define PIECE (TRANSFER / SECTOR)

/* Fills buf unless the disk ends, or fails, before; returns what was read. */
static int64_t read_all(struct ledger *ledger, int fd, uint8_t *buf, size_t len, uint64_t off,
                        const char *who)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = pread(fd, buf + done, len - done, (off_t)(off + done));

        if (n < 0 && errno == ETIMEDOUT) {
            gave_up(ledger);
            continue;
        }
        if (n < 0)
            return fail(ledger, "%s cannot read %zu bytes at %llu: %s", who, len,
                        (unsigned long long)off, strerror(errno));
        if (n == 0)
            break;
        done += (size_t)n;
    }
    return (int64_t)done;
}

int look_resolve(struct ledger *ledger, int fd, uint32_t first, uint32_t count, uint64_t size,
                 const char *who)
{
    static __thread uint8_t buf[TRANSFER];

    while (count > 0) {
        uint32_t here = count < PIECE ? count : PIECE;
        uint64_t off = cell_off(ledger, first), end = cell_off(ledger, first + here);
        int64_t want = size <= off ? 0 : (int64_t)((size < end ? size : end) - off);
        int64_t n = read_all(ledger, fd, buf, (size_t)want, off, who);

        if (n < 0)
            return -1;
        if (n < want)
            return fail(ledger, "%s reads %lld bytes at %llu, where there are %lld", who,
                        (long long)n, (unsigned long long)off, (long long)want);
        if (resolve(ledger, first, here, buf, (size_t)n, who) < 0)
            return -1;
        first += here;
        count -= here;
    }
    return 0;
}

static int size_of(struct ledger *ledger, int fd, uint64_t *size, const char *who)
{
    struct stat st;
    uint64_t fixed = cell_off(ledger, ledger->fixed_cells), most = cell_off(ledger, ledger->ncells);

    if (fstat(fd, &st) < 0)
        return fail(ledger, "%s cannot fstat: %s", who, strerror(errno));
    *size = (uint64_t)st.st_size;
    if (*size < fixed || *size > most)
        return fail(ledger, "%s finds a disk of %llu bytes, not %llu to %llu", who,
                    (unsigned long long)*size, (unsigned long long)fixed,
                    (unsigned long long)most);
    return 0;
}

static int look_wild(struct ledger *ledger, int fd, uint64_t size, const char *who)
{
    static uint8_t buf[TRANSFER];

    for (uint64_t off = cell_off(ledger, ledger->fixed_cells); off < size; off += sizeof(buf)) {
        size_t len = size - off < sizeof(buf) ? size - off : sizeof(buf);
        int64_t n = read_all(ledger, fd, buf, len, off, who);

        if (n < 0 || check_wild(ledger, off, buf, (size_t)n, who) < 0)
            return -1;
    }
    return 0;
}

int look_tail(struct ledger *ledger, int fd, const char *who)
{
    uint64_t size;

    if (size_of(ledger, fd, &size, who) < 0)
        return -1;
    if (ledger->wild)
        return look_wild(ledger, fd, size, who);
    if (resolve_size(ledger, size, who) < 0)
        return -1;
    return look_resolve(ledger, fd, ledger->fixed_cells, ledger->ncells - ledger->fixed_cells, size,
                        who);
}

static int look_living(struct ledger *ledger, int fd, const char *who)
{
    static uint8_t buf[TRANSFER];
    static struct sight sight;
    uint64_t size;

    for (uint32_t first = 0; first < ledger->fixed_cells; first += PIECE) {
        uint32_t left = ledger->fixed_cells - first, count = left < PIECE ? left : PIECE;
        uint64_t off = cell_off(ledger, first);
        size_t len = cell_off(ledger, first + count) - off;
        int64_t n;

        sight_begin(ledger, &sight, first, count);
        n = read_all(ledger, fd, buf, len, off, who);
        if (n < 0)
            return -1;
        if ((size_t)n < len)
            return fail(ledger, "%s reads %lld bytes of %zu at %llu", who, (long long)n, len,
                        (unsigned long long)off);
        if (sight_end(ledger, &sight, buf, who) < 0)
            return -1;
    }
    if (size_of(ledger, fd, &size, who) < 0)
        return -1;
    return ledger->wild ? look_wild(ledger, fd, size, who) : 0;
}

int look(struct ledger *ledger, int fd, bool quiet, const char *who)
{
    if (!quiet)
        return look_living(ledger, fd, who);
    if (look_resolve(ledger, fd, 0, ledger->fixed_cells, UINT64_MAX, who) < 0)
        return -1;
    return look_tail(ledger, fd, who);
}

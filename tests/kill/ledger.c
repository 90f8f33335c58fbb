/* The ledger; see ledger.h. */
#include "ledger.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- random ------------------------------------------------------------ */

static uint64_t mix(uint64_t x)
{
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
    x = (x ^ x >> 27) * 0x94d049bb133111ebull;
    return x ^ x >> 31;
}

uint64_t rnd_next(struct rnd *rnd)
{
    return mix(rnd->state += 0x9e3779b97f4a7c15ull);
}

uint64_t rnd_below(struct rnd *rnd, uint64_t limit)
{
    return limit ? rnd_next(rnd) % limit : 0;
}

bool rnd_percent(struct rnd *rnd, unsigned percent)
{
    return rnd_below(rnd, 100) < percent;
}

uint64_t rnd_scale(struct rnd *rnd, uint64_t limit)
{
    uint64_t top = 1;

    for (uint64_t n = rnd_below(rnd, 64 - (unsigned)__builtin_clzll(limit | 1)); n > 0; n--)
        top *= 2;
    return rnd_below(rnd, 2 * top < limit ? 2 * top : limit);
}

/* ---- content ----------------------------------------------------------- */

/* Eight bytes of the version; none is zero. */
static uint64_t eight(uint32_t version, uint64_t at)
{
    return mix(at / 8 * 0x9e3779b97f4a7c15ull + version) | 0x0101010101010101ull;
}

void fill(void *buf, uint64_t off, size_t len, uint32_t version)
{
    uint8_t *out = buf;

    if (version % 2 == 0) {
        memset(buf, 0, len);
        return;
    }
    while (len > 0) {
        uint64_t word = eight(version, off);
        size_t skip = off % 8, here = 8 - skip < len ? 8 - skip : len;

        memcpy(out, (uint8_t *)&word + skip, here);
        out += here;
        off += here;
        len -= here;
    }
}

static bool is_version(const uint8_t *data, uint64_t off, size_t len, uint32_t version)
{
    uint8_t want[SECTOR];

    fill(want, off, len, version);
    return memcmp(data, want, len) == 0;
}

/* ---- making ------------------------------------------------------------ */

/* Where a disk of `size` bytes is cut; some sectors are one cell, some are several. */
static uint32_t cut(struct rnd *rnd, struct cell *cells, uint32_t size)
{
    uint32_t n = 0;

    for (uint32_t sector = 0; sector < size; sector += SECTOR) {
        uint32_t at = sector, cuts = (uint32_t)rnd_below(rnd, 4);

        for (; cuts > 0 && at < sector + SECTOR; cuts--) {
            cells[n++].off = at;
            at += 1 + (uint32_t)rnd_scale(rnd, SECTOR);
        }
        if (at == sector)
            cells[n++].off = sector;
    }
    cells[n].off = size;
    return n;
}

/* Most plots are a few cells, so that a sector has several owners; some are several stripes. */
static uint32_t plot_len(struct rnd *rnd)
{
    unsigned kind = (unsigned)rnd_below(rnd, 100);

    if (kind < 60)
        return 1 + (uint32_t)rnd_below(rnd, 4);
    return 1 + (uint32_t)rnd_scale(rnd, kind < 85 ? 128 : RUN_MAX / 2);
}

/* No two neighbours have one owner. */
static void deal_plots(struct ledger *ledger, struct rnd *rnd)
{
    static struct plot plots[PLOTS_MAX];
    static uint8_t owners[PLOTS_MAX];
    uint32_t cell = 0, n = 0, to = 0;

    while (cell < ledger->fixed_cells && n < PLOTS_MAX) {
        uint32_t left = ledger->fixed_cells - cell;
        uint32_t count = plot_len(rnd);

        if (count > left)
            count = left;
        plots[n] = (struct plot){ cell, count };
        owners[n] = (uint8_t)(n == 0 ? 0 : (owners[n - 1] + 1 + rnd_below(rnd, OWNERS - 1)) % OWNERS);
        cell += count;
        n++;
    }
    ledger->nplots = n;
    for (uint32_t owner = 0; owner < OWNERS; owner++) {
        ledger->first_plot[owner] = to;
        for (uint32_t i = 0; i < n; i++)
            if (owners[i] == owner)
                ledger->plots[to++] = plots[i];
    }
    ledger->first_plot[OWNERS] = to;
}

static void *map(int fd, size_t len)
{
    void *at = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    close(fd);
    if (at == MAP_FAILED) {
        perror("kill: the ledger");
        exit(2);
    }
    return at;
}

static size_t ledger_len(uint32_t cells)
{
    return sizeof(struct ledger) + (cells + 1) * sizeof(struct cell);
}

struct ledger *ledger_make(const char *path, uint64_t seed, uint32_t fixed, uint32_t tail,
                           uint32_t base, bool wild)
{
    struct rnd rnd = { seed };
    uint32_t sectors = (fixed + tail) / SECTOR;
    uint32_t most = 3 * sectors;
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    struct ledger *ledger;

    if (fd < 0 || ftruncate(fd, (off_t)ledger_len(most)) < 0) {
        perror("kill: the ledger");
        exit(2);
    }
    ledger = map(fd, ledger_len(most));
    ledger->seed = seed;
    ledger->wild = wild;
    ledger->map_len = ledger_len(most);
    ledger->next_version = VERSION_FIRST;
    ledger->ncells = cut(&rnd, ledger->cells, sectors * SECTOR);
    ledger->base_size = cell_off(ledger, cell_at(ledger, base));
    ledger->fixed_cells = cell_at(ledger, fixed);
    ledger->size_acked = ledger->size_intent = cell_off(ledger, ledger->fixed_cells);
    for (uint32_t i = 0; i < ledger->fixed_cells; i++)
        if (ledger->cells[i].off < ledger->base_size)
            ledger->cells[i].acked = ledger->cells[i].intent = VERSION_BASE;
    deal_plots(ledger, &rnd);
    return ledger;
}

struct ledger *ledger_open(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0) {
        perror("kill: the ledger");
        exit(2);
    }
    return map(fd, (size_t)st.st_size);
}

void ledger_close(struct ledger *ledger)
{
    munmap(ledger, ledger->map_len);
}

uint32_t cell_at(const struct ledger *ledger, uint64_t off)
{
    uint32_t low = 0, high = ledger->ncells;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (ledger->cells[middle].off < off)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- checking ---------------------------------------------------------- */

__thread struct hand *this_hand;

void gave_up(struct ledger *ledger)
{
    add(ledger->timeouts, 1);
    if (this_hand)
        add(this_hand->steps, 1);
}

int fail(struct ledger *ledger, const char *format, ...)
{
    va_list args;

    if (__atomic_exchange_n(&ledger->failed, true, __ATOMIC_SEQ_CST))
        return -1;
    va_start(args, format);
    vsnprintf(ledger->failure, sizeof(ledger->failure), format, args);
    va_end(args);
    return -1;
}

/* What a cell's bytes look like, in words. */
static const char *describe(struct ledger *ledger, const uint8_t *data, uint64_t off, size_t len,
                            char buf[80])
{
    static const struct {
        uint32_t version;
        const char *name;
    } known[] = {
        { VERSION_ZERO, "zeros" }, { VERSION_BASE, "the backing file's" },
        { VERSION_LEFT_OVER, "left-overs in the image" }, { VERSION_WILD, "the wild tail's" },
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (is_version(data, off, len, known[i].version))
            return known[i].name;
    for (uint32_t version = get(ledger->next_version) | 1; version >= VERSION_FIRST; version -= 2) {
        if (is_version(data, off, len, version)) {
            snprintf(buf, 80, "version %u", version);
            return buf;
        }
    }
    return "no version";
}

static int mismatch(struct ledger *ledger, uint32_t cell, const uint8_t *data, uint32_t acked,
                    uint32_t intent, const char *who)
{
    uint64_t off = cell_off(ledger, cell);
    size_t len = cell_off(ledger, cell + 1) - off;
    char buf[80];

    return fail(ledger, "%s sees in bytes %llu to %llu (sector %llu): %s; acknowledged is version %u, "
                "under way %u", who, (unsigned long long)off, (unsigned long long)(off + len - 1),
                (unsigned long long)off / SECTOR, describe(ledger, data, off, len, buf), acked, intent);
}

void sight_begin(struct ledger *ledger, struct sight *sight, uint32_t first, uint32_t count)
{
    sight->first = first;
    sight->count = count;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t acked = get(ledger->cells[first + i].acked);

        sight->versions[i] = acked == get(ledger->cells[first + i].intent) ? acked : UINT32_MAX;
    }
}

int sight_end(struct ledger *ledger, const struct sight *sight, const uint8_t *data,
              const char *who)
{
    uint64_t begin = cell_off(ledger, sight->first);

    for (uint32_t i = 0; i < sight->count; i++) {
        uint32_t cell = sight->first + i, version = sight->versions[i];
        uint64_t off = cell_off(ledger, cell);

        if (version == UINT32_MAX || get(ledger->cells[cell].intent) != version)
            continue;
        if (!is_version(data + (off - begin), off, cell_off(ledger, cell + 1) - off, version))
            return mismatch(ledger, cell, data + (off - begin), version, version, who);
    }
    return 0;
}

int resolve(struct ledger *ledger, uint32_t first, uint32_t count, const uint8_t *data, size_t len,
            const char *who)
{
    static const uint8_t beyond[SECTOR];
    uint64_t begin = cell_off(ledger, first);

    for (uint32_t i = first; i < first + count; i++) {
        struct cell *cell = &ledger->cells[i];
        uint64_t at = cell->off - begin;
        size_t size = cell_off(ledger, i + 1) - cell->off;
        const uint8_t *there = at + size <= len ? data + at : beyond;
        uint32_t acked = get(cell->acked), intent = get(cell->intent);

        if (at < len && at + size > len)
            return fail(ledger, "%s finds that the disk ends at %llu, within a cell", who,
                        (unsigned long long)(begin + len));
        /* In this order, or another kill here would leave something else to be expected. */
        if (is_version(there, cell->off, size, acked))
            set(cell->intent, acked);
        else if (is_version(there, cell->off, size, intent))
            set(cell->acked, intent);
        else
            return mismatch(ledger, i, there, acked, intent, who);
    }
    return 0;
}

int resolve_size(struct ledger *ledger, uint64_t size, const char *who)
{
    uint64_t acked = get(ledger->size_acked), intent = get(ledger->size_intent);

    if (size < (acked < intent ? acked : intent) || size > (acked < intent ? intent : acked))
        return fail(ledger, "%s finds a disk of %llu bytes; acknowledged are %llu, under way %llu",
                    who, (unsigned long long)size, (unsigned long long)acked,
                    (unsigned long long)intent);
    set(ledger->size_intent, size);
    set(ledger->size_acked, size);
    return 0;
}

int check_wild(struct ledger *ledger, uint64_t off, const uint8_t *data, size_t len,
               const char *who)
{
    uint8_t want[4096];

    for (size_t i = 0; i < len; i++) {
        size_t at = i % sizeof(want);
        char buf[80];

        if (at == 0)
            fill(want, off + i, len - i < sizeof(want) ? len - i : sizeof(want), VERSION_WILD);
        if (data[i] != 0 && data[i] != want[at])
            return fail(ledger, "%s sees in the tail at byte %llu (sector %llu): %s", who,
                        (unsigned long long)(off + i), (unsigned long long)(off + i) / SECTOR,
                        describe(ledger, data + i, off + i, len - i < 64 ? len - i : 64, buf));
    }
    return 0;
}

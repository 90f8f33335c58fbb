/*
 * Versions of sectors and sizes, and who made them. There may be two disks in a
 * script: one that is there, and one that takes its place when it is created.
 */
#include "oracle.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define VERSIONS 96
#define OPS 256
#define DISKS 3

struct version {
    int op;                         /* 0: from the beginning */
    bool tainted;
    const struct content *content;
    uint64_t low, high;             /* of a size: it may be seen as any of these */
};

struct history {
    int n, floor;                   /* of the cut at hand */
    struct version versions[VERSIONS];
};

struct disk {
    char image[64];
    int born, safe;                 /* ops: events; INT_MAX: not yet */
    struct flat now;
    struct history size, slots[SLOTS];
    int nclaims;
    struct {
        int from, at;
    } claims[OPS];
};

static const struct layout *layout;
static const struct content *below[SLOTS];
static struct disk disks[DISKS];
static int ndisks;
static struct {
    int begin, end;
} ops[OPS];
static int nops, cut;
static const struct disk *judged;

void oracle_reset(const struct layout *image, const struct content *const backing[SLOTS])
{
    layout = image;
    memmove(below, backing, sizeof(below));
    ndisks = 0;
    nops = 1;
    ops[0].begin = ops[0].end = -1;
}

/* ---- history ------------------------------------------------------------- */

static struct version *add(struct history *history, int op)
{
    struct version *version = &history->versions[history->n];

    if (history->n++ == VERSIONS)
        fatal("a sector has more than %d versions", VERSIONS);
    *version = (struct version){ .op = op };
    return version;
}

static struct disk *add_disk(int op, const char *image, const struct flat *flat)
{
    struct disk *disk = &disks[ndisks];
    struct version *version;

    if (ndisks++ == DISKS)
        fatal("too many disks are made");
    snprintf(disk->image, sizeof(disk->image), "%s", image);
    disk->born = ops[op].begin;
    disk->safe = INT_MAX;
    disk->now = *flat;
    disk->nclaims = 0;
    disk->size.n = 0;
    version = add(&disk->size, op);
    version->low = version->high = flat->size;
    for (int slot = 0; slot < SLOTS; slot++) {
        disk->slots[slot].n = 0;
        add(&disk->slots[slot], op)->content = flat->slots[slot];
    }
    return disk;
}

static struct disk *current(void)
{
    return ndisks ? &disks[ndisks - 1] : NULL;
}

const struct flat *oracle_now(void)
{
    return ndisks ? &current()->now : NULL;
}

void oracle_safe_disk(const char *image, const struct flat *flat)
{
    add_disk(0, image, flat)->safe = -1;
}

void oracle_restart(const struct flat *flat)
{
    char image[sizeof(judged->image)];

    memcpy(image, judged->image, sizeof(image));
    oracle_reset(layout, below);
    oracle_safe_disk(image, flat);
}

int oracle_begin(int at)
{
    if (nops == OPS)
        fatal("a script has more than %d operations", OPS);
    ops[nops].begin = at;
    ops[nops].end = INT_MAX;
    return nops++;
}

void oracle_end(int op, int at)
{
    ops[op].end = at;
}

static void set_slot(int op, int slot, const struct content *content)
{
    struct disk *disk = current();

    if (disk->now.slots[slot] == content)
        return;
    disk->now.slots[slot] = content;
    add(&disk->slots[slot], op)->content = content;
}

/* Puts bytes, or zeros, into the watched sectors of a range. */
static void put(int op, uint64_t off, const uint8_t *bytes, uint64_t len)
{
    for (int slot = 0; slot < SLOTS; slot++) {
        uint64_t at = layout_off(layout, slot), from, end;
        uint8_t whole[SECTOR];

        if (at + SECTOR <= off || at >= off + len)
            continue;
        from = at > off ? at : off;
        end = at + SECTOR < off + len ? at + SECTOR : off + len;
        memcpy(whole, current()->now.slots[slot]->bytes, SECTOR);
        if (bytes)
            memcpy(whole + (from - at), bytes + (from - off), end - from);
        else
            memset(whole + (from - at), 0, end - from);
        set_slot(op, slot, content_of(whole, SECTOR));
    }
}

void oracle_write(int op, uint64_t off, const void *bytes, uint64_t len)
{
    put(op, off, bytes, len);
}

void oracle_zero(int op, uint64_t off, uint64_t len)
{
    put(op, off, NULL, len);
}

void oracle_size(int op, uint64_t size, uint64_t low)
{
    struct disk *disk = current();
    uint64_t old = disk->now.size;
    struct version *version;

    if (size == old)
        return;
    if (size < old)
        put(op, size, NULL, old - size);
    disk->now.size = size;
    version = add(&disk->size, op);
    version->low = size > old && low < old ? old : low;
    version->high = size;
}

void oracle_create(int op, const char *image, const struct flat *flat)
{
    add_disk(op, image, flat);
}

void oracle_claim(int from, int at)
{
    struct disk *disk = current();

    if (disk->nclaims == OPS)
        fatal("too many flushes");
    disk->claims[disk->nclaims].from = from;
    disk->claims[disk->nclaims++].at = at;
}

void oracle_claim_disk(int at)
{
    current()->safe = at;
}

/* ---- floors -------------------------------------------------------------- */

static void raise_floor(struct history *history, int from)
{
    for (int i = history->floor + 1; i < history->n; i++)
        if (ops[history->versions[i].op].end <= from && !history->versions[i].tainted)
            history->floor = i;
}

static void find_floors(struct disk *disk, int at)
{
    disk->size.floor = 0;
    for (int slot = 0; slot < SLOTS; slot++)
        disk->slots[slot].floor = 0;
    for (int i = 0; i < disk->nclaims; i++) {
        if (disk->claims[i].at > at)
            continue;
        raise_floor(&disk->size, disk->claims[i].from);
        for (int slot = 0; slot < SLOTS; slot++)
            raise_floor(&disk->slots[slot], disk->claims[i].from);
    }
}

void oracle_taint(void)
{
    struct disk *disk = current();

    find_floors(disk, INT_MAX);
    for (int slot = 0; slot < SLOTS; slot++)
        for (int i = disk->slots[slot].floor + 1; i < disk->slots[slot].n; i++)
            disk->slots[slot].versions[i].tainted = true;
}

static bool once_was(const struct history *history, const struct content *content, uint64_t len)
{
    for (int i = history->floor; i < history->n; i++)
        if (content_cut(history->versions[i].content, len) == content)
            return true;
    return false;
}

void oracle_seen(int op, const struct flat *flat, bool unsure)
{
    struct disk *disk = current();

    find_floors(disk, INT_MAX);
    if (flat->size != disk->now.size) {
        if (!unsure)
            breach("the open disk has %llu bytes, not %llu", (unsigned long long)flat->size,
                   (unsigned long long)disk->now.size);
        oracle_size(op, flat->size, flat->size);
    }
    for (int slot = 0; slot < SLOTS; slot++) {
        uint64_t off = layout_off(layout, slot);
        uint64_t len = flat->size > off ? flat->size - off : 0;

        if (content_cut(disk->now.slots[slot], len) == flat->slots[slot])
            continue;
        if (!unsure || !once_was(&disk->slots[slot], flat->slots[slot], len))
            breach("the open disk has something else at %llu than was written there",
                   (unsigned long long)off);
        set_slot(op, slot, flat->slots[slot]);
    }
}

void oracle_cut(int at)
{
    cut = at;
    for (int i = 0; i < ndisks; i++)
        find_floors(&disks[i], at);
}

bool oracle_new_claim(int at)
{
    for (int i = 0; i < ndisks; i++) {
        if (disks[i].safe == at)
            return true;
        for (int claim = 0; claim < disks[i].nclaims; claim++)
            if (disks[i].claims[claim].at == at)
                return true;
    }
    return false;
}

/* ---- what a state shows -------------------------------------------------- */

/* The sector of the metadata file at `off` as it shows there. */
static const uint8_t *meta_at(const struct file_state *meta, uint64_t off)
{
    int slot = layout_slot(&log_layout, off / SECTOR * SECTOR);

    return state_shown(meta, slot, off / SECTOR * SECTOR)->bytes + off % SECTOR;
}

static bool has_bit(const struct file_state *meta, uint64_t off)
{
    uint64_t sector = off / SECTOR;

    return *meta_at(meta, 2560 + sector / 8) >> sector % 8 & 1;
}

static void decode(const struct file_state *meta, const struct file_state *image, struct flat *flat)
{
    flat->size = image->size;
    for (int slot = 0; slot < SLOTS; slot++) {
        uint64_t off = layout_off(layout, slot);
        uint64_t len = flat->size > off ? flat->size - off : 0;

        flat->slots[slot] = content_cut(len && has_bit(meta, off) ? image->slots[slot]
                                                                  : below[slot], len);
    }
}

static bool size_may_be(const struct disk *disk, uint64_t size)
{
    for (int i = disk->size.floor; i < disk->size.n; i++) {
        const struct version *version = &disk->size.versions[i];

        /* What a flush found was the size at which that operation had ended. */
        if (ops[version->op].begin < cut
            && size >= (i == disk->size.floor ? version->high : version->low)
            && size <= version->high)
            return true;
    }
    breach("the disk has %llu bytes, but was flushed with %llu, and not set to that since (I4, I5)",
           (unsigned long long)size,
           (unsigned long long)disk->size.versions[disk->size.floor].high);
    return false;
}

static bool slot_may_be(const struct disk *disk, int slot, const struct content *content,
                        uint64_t len, bool bit)
{
    const struct history *history = &disk->slots[slot];
    uint64_t off = layout_off(layout, slot);

    for (int i = history->floor; i < history->n; i++)
        if (ops[history->versions[i].op].begin < cut
            && content_cut(history->versions[i].content, len) == content)
            return true;
    for (int i = 0; i < history->floor; i++) {
        if (content_cut(history->versions[i].content, len) == content) {
            breach("at %llu is what was there before the last flush (I4); its bit is %s",
                   (unsigned long long)off, bit ? "set" : "clear");
            return false;
        }
    }
    breach("at %llu are %s that nobody wrote there; its bit is %s (%s)", (unsigned long long)off,
           content == content_cut(content_zero, len) ? "zeros" : "bytes",
           bit ? "set, but its data is not on stable storage" : "clear", bit ? "I1" : "I5");
    return false;
}

/* The disk that the header is of, if it may be that. */
static const struct disk *find_disk(const struct file_state *meta)
{
    char image[64];
    int oldest = 0;

    for (size_t i = 0; i < sizeof(image); i++)
        image[i] = (char)*meta_at(meta, 1036 + i);
    for (int i = 0; i < ndisks; i++)
        if (disks[i].safe <= cut)
            oldest = i;
    for (int i = ndisks - 1; i >= oldest; i--)
        if (disks[i].born < cut && strncmp(disks[i].image, image, sizeof(image)) == 0)
            return &disks[i];
    breach("the metadata file is not that of a disk that was made: its image is \"%.63s\"", image);
    return NULL;
}

bool oracle_judge(const struct log *log, const struct state *state, bool *there, struct flat *flat)
{
    int meta = state_find(log, state, POWER_DISK), image;
    const struct disk *disk;

    judged = NULL;
    *there = meta >= 0;
    if (!*there) {
        for (int i = 0; i < ndisks; i++)
            if (disks[i].safe <= cut)
                breach("the metadata file is not there");
        return !breach_found();
    }
    disk = find_disk(&state->inodes[meta]);
    if (!disk)
        return false;
    judged = disk;
    image = state_find(log, state, disk->image);
    if (image < 0) {
        breach("the metadata file is there without its image file");
        return false;
    }
    decode(&state->inodes[meta], &state->inodes[image], flat);
    if (!size_may_be(disk, flat->size))
        return false;
    for (int slot = 0; slot < SLOTS; slot++) {
        uint64_t off = layout_off(layout, slot);
        uint64_t len = flat->size > off ? flat->size - off : 0;

        if (len && !slot_may_be(disk, slot, flat->slots[slot], len,
                                has_bit(&state->inodes[meta], off)))
            return false;
    }
    return true;
}

/*
 * The image is full of left-overs, which no state may show. Of the disk below, if there is one,
 * every other sector is in its own image; and a program that wrote to it was killed before an
 * earlier power cut, so that a run-time file of another boot lies beside it, with a bit that
 * must not be believed.
 */
#include "files.h"

#include <string.h>

#define HEADER 2560u
#define LOWER "l.add-cow"
#define LOWER_IMAGE "l.img"
#define BASE "d.base"
#define MIB (1024ull * 1024)

static const struct layout large = {
    4,
    {
        { 0, 8 },
        { 16 * MIB - 4096, 16 },        /* a page of bits is 16 MiB of disk */
        { 32 * MIB - 4096, 16 },
        { 33 * MIB - 4096, 24 },
    },
};

const struct layout *files_layout(uint64_t size)
{
    return size <= SLOTS * SECTOR ? &log_layout : &large;
}

const char *files_backing(const struct script *script)
{
    return script->backing == 0 ? "" : script->chain ? LOWER : BASE;
}

/* A file of `size` bytes, with the pattern of `tag` in the watched sectors. */
static struct inode *make(const char *name, const struct layout *layout, uint64_t size,
                          unsigned tag)
{
    struct inode *inode = machine_make(name, MACHINE_OTHER);
    uint8_t bytes[SECTOR];

    machine_resize(inode, size);
    for (int slot = 0; slot < SLOTS; slot++) {
        uint64_t off = layout_off(layout, slot);
        uint64_t len = off >= size ? 0 : size - off < SECTOR ? size - off : SECTOR;

        pattern(bytes, off, len, tag);
        machine_store(inode, off < size ? off : 0, bytes, len);
    }
    return inode;
}

static struct inode *make_meta(const char *name, const char *backing, const char *image,
                               uint64_t size, uint8_t bits)
{
    struct inode *inode = machine_make(name, MACHINE_OTHER);
    uint8_t header[HEADER] = "ADD_COW\xff\0\0\0\1";

    strcpy((char *)header + 12, backing);
    strcpy((char *)header + 1036, image);
    machine_store(inode, 0, header, sizeof(header));
    machine_resize(inode, HEADER + (size + 4095) / 4096);
    for (uint64_t i = HEADER; bits && i < machine_size(inode); i++)
        machine_store(inode, i, &bits, 1);
    return inode;
}

static void make_lower(const struct script *script, const struct layout *layout)
{
    struct acow_disk *disk;
    uint8_t bytes[700];

    make(LOWER_IMAGE, layout, script->backing, FILES_LOWER);
    make_meta(LOWER, BASE, LOWER_IMAGE, script->backing, 0xaa);
    pattern(bytes, 300, sizeof(bytes), FILES_LOST);
    machine_boot(0);
    if (acow_open(&machine_sys, MACHINE_DIR LOWER, ACOW_RDWR, &disk, NULL) < 0
        || acow_pwrite(disk, ACOW_OWN_FD, bytes, sizeof(bytes), 300) < 0)
        fatal("the disk below cannot be made");
    machine_kill(0);
    bury(disk);
    machine_boot(1);
}

static void fix(const char *name, struct inode *inode, void *arg)
{
    (void)name;
    (void)arg;
    machine_set_role(inode, MACHINE_FIXED);
}

/* What the disk's sectors without a bit read as. */
static void find_below(const struct script *script, const struct layout *layout,
                       const struct content *below[SLOTS])
{
    struct inode *base = machine_file(BASE), *lower = machine_file(LOWER_IMAGE);

    for (int slot = 0; slot < SLOTS; slot++) {
        uint64_t off = layout_off(layout, slot);
        /* The killed program copied what is around its bytes up; sectors 0 and 1 are those. */
        bool own = lower && off / SECTOR % 2;
        uint64_t left = off < script->backing ? script->backing - off : 0;

        below[slot] = content_zero;
        if (left > 0)
            below[slot] = content_of(machine_bytes(own ? lower : base) + off,
                                     left < SECTOR ? left : SECTOR);
    }
}

void files_new_disk(const struct script *script, struct flat *flat)
{
    const struct content *below[SLOTS];
    const struct layout *layout = files_layout(script->size);

    find_below(script, layout, below);
    flat->size = script->fresh ? script->backing : script->size;
    for (int slot = 0; slot < SLOTS; slot++) {
        uint64_t off = layout_off(layout, slot);

        flat->slots[slot] = content_cut(below[slot], flat->size > off ? flat->size - off : 0);
    }
}

void files_make(const struct script *script)
{
    const struct layout *layout = files_layout(script->size);
    const struct content *below[SLOTS];
    struct flat flat;

    if (script->backing)
        make(BASE, layout, script->backing, FILES_BACKING);
    if (script->backing && script->chain)
        make_lower(script, layout);
    machine_each(fix, NULL);
    find_below(script, layout, below);
    oracle_reset(layout, below);
    if (script->fresh)
        return;
    machine_set_role(make(FILES_IMAGE, layout, script->size, FILES_LEFTOVERS), MACHINE_PLAIN);
    machine_set_role(make_meta(POWER_DISK, files_backing(script), FILES_IMAGE, script->size, 0),
                     MACHINE_PLAIN);
    files_new_disk(script, &flat);
    oracle_safe_disk(FILES_IMAGE, &flat);
}

/*
 * Recovery is nothing but opening. Most states are opened for writing, as after a crash the
 * program that wrote starts again; some for reading.
 */
#include "recover.h"

#include <stdio.h>
#include <string.h>

#include "oracle_clean.h"

int recover_read(struct acow_disk *disk, const struct layout *layout, const struct flat *guess,
                 struct flat *flat)
{
    static uint8_t bytes[SLOTS * SECTOR];
    int64_t size = acow_size(disk);
    int slot = 0;

    if (size < 0)
        return (int)size;
    flat->size = (uint64_t)size;
    for (int i = 0; i < layout->nspans; i++) {
        uint64_t off = layout->spans[i].off;
        size_t len = (size_t)layout->spans[i].nslots * SECTOR;
        ssize_t n = 0;

        memset(bytes, 0, len);
        if (off < flat->size)
            n = acow_pread(disk, ACOW_OWN_FD, bytes, len, off);
        if (n < 0)
            return (int)n;
        for (int first = slot; slot < first + layout->spans[i].nslots; slot++) {
            const uint8_t *sector = bytes + (size_t)(slot - first) * SECTOR;

            flat->slots[slot] = guess->slots[slot];
            if (memcmp(sector, flat->slots[slot]->bytes, SECTOR) != 0)
                flat->slots[slot] = content_of(sector, SECTOR);
        }
    }
    return 0;
}

/* ---- on the machine ------------------------------------------------------ */

static void fill(struct inode *inode, const struct file_state *file, const struct layout *layout)
{
    uint8_t *bytes = machine_bytes(inode);

    machine_resize(inode, file->size);
    for (int slot = 0; slot < SLOTS; slot++) {
        uint64_t off = layout_off(layout, slot);
        const struct content *shown = state_shown(file, slot, off);

        if (off < file->size && memcmp(bytes + off, shown->bytes, SECTOR) != 0)
            machine_store(inode, off, shown->bytes,
                          file->size - off < SECTOR ? file->size - off : SECTOR);
    }
    machine_touched(inode);
}

void recover_place(const struct log *log, const struct state *state)
{
    for (int i = 0; i < log->nnames; i++) {
        int inode = state->names[i];

        machine_name(log->names[i], inode < 0 ? NULL : log->inodes[inode].file);
        if (inode >= 0)
            fill(log->inodes[inode].file, &state->inodes[inode], log->inodes[inode].layout);
    }
    machine_name(POWER_RUN, NULL);
    if (state->run_there)
        fill(machine_make(POWER_RUN, MACHINE_RUN), &state->run, &log_layout);
}

bool recover_pass(const struct found *found, const struct acow_sys *sys, const char *path,
                  int flags, const char *which)
{
    struct acow_disk *disk;
    struct acow_msg msg;
    struct flat flat;
    int r = acow_open(sys, path, flags, &disk, &msg);

    if (!found->there) {
        if (r == 0)
            breach("%s: a disk opens that is not there", which);
        return r < 0;
    }
    if (r < 0) {
        breach("%s: the disk does not open: %s", which, msg.text);
        return false;
    }
    r = recover_read(disk, found->layout, &found->flat, &flat);
    if (r < 0)
        breach("%s: reading fails: %s", which, strerror(-r));
    else if (flat.size != found->flat.size)
        breach("%s: the disk has %llu bytes, its files have %llu", which,
               (unsigned long long)flat.size, (unsigned long long)found->flat.size);
    for (int slot = 0; slot < SLOTS && !breach_found(); slot++)
        if (flat.slots[slot] != found->flat.slots[slot])
            breach("%s: at %llu the disk reads other than its files are", which,
                   (unsigned long long)layout_off(found->layout, slot));
    r = acow_close(disk, &msg);
    if (r < 0)
        breach("%s: closing fails: %s", which, msg.text);
    return !breach_found() && oracle_check_clean(sys, path);
}

/* A file's content; what a metadata file has grown by is zeros. */
static bool is_as_before(const struct found *found, int inode, bool may_grow)
{
    const struct log_inode *file = &found->log->inodes[inode];
    const struct file_state *before = &found->state->inodes[inode];
    uint64_t size = machine_size(file->file);

    if (!machine_touched(file->file))
        return true;
    if (size < before->size || (size > before->size && (!may_grow || file->image)))
        return false;
    for (int slot = 0; slot < SLOTS; slot++) {
        uint64_t off = layout_off(file->layout, slot);

        if (memcmp(machine_bytes(file->file) + off, state_shown(before, slot, off)->bytes, SECTOR))
            return false;
    }
    return true;
}

struct names {
    const struct found *found;
    int seen;
};

static void count_name(const char *name, struct inode *inode, void *arg)
{
    struct names *names = arg;
    int at = state_find(names->found->log, names->found->state, name);

    if (machine_role(inode) == MACHINE_FIXED)
        return;
    names->seen++;
    if (at < 0 || names->found->log->inodes[at].file != inode)
        breach("recovery leaves or replaces %s", name);
}

static bool nothing_changed(const struct found *found, bool first)
{
    const struct log *log = found->log;
    struct names names = { found, 0 };

    for (int i = 0; i < log->nnames; i++) {
        int inode = found->state->names[i];

        names.seen -= inode >= 0;
        if (inode >= 0 && !is_as_before(found, inode, first))
            breach("%s recovery changes %s", first ? "the first" : "a second", log->names[i]);
    }
    machine_each(count_name, &names);
    if (names.seen != 0)
        breach("recovery removes a file");
    if (machine_open_things() > 0)
        breach("recovery leaves descriptors or mappings open");
    return !breach_found();
}

bool recover_on_machine(const struct found *found, bool same_boot)
{
    static const char path[] = MACHINE_DIR POWER_DISK;
    int flags = found->hash % 8 == 0 ? ACOW_RDONLY : ACOW_RDWR;

    recover_place(found->log, found->state);
    machine_refuse_run(false);
    if (!same_boot)
        machine_boot(1000);
    if (!recover_pass(found, &machine_sys, path, flags, "recovery"))
        return !breach_found();
    return nothing_changed(found, true)
           && recover_pass(found, &machine_sys, path, flags, "a second recovery")
           && nothing_changed(found, false);
}

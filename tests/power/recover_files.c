/*
 * The same recovery with the real system calls: the machine that all other states are recovered on
 * is only as good as it is like this one. Mappings are real here, with their ends and protections.
 * No boot id need be made up: that of the simulated machine is never the real one.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "recover.h"

struct place {
    const struct found *found;
    const char *dir;
};

static void path_of(char out[4096], const char *dir, const char *name)
{
    snprintf(out, 4096, "%s/%s", dir, name);
}

static void write_file(const char *path, const struct file_state *file, const struct layout *layout)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    if (fd < 0 || ftruncate(fd, (off_t)file->size) < 0)
        fatal("%s: %s", path, strerror(errno));
    for (int slot = 0; slot < SLOTS; slot++) {
        uint64_t off = layout_off(layout, slot);
        size_t len = off >= file->size ? 0 : file->size - off < SECTOR ? file->size - off : SECTOR;

        if (pwrite(fd, file->slots[slot]->bytes, len, (off_t)off) != (ssize_t)len)
            fatal("%s: %s", path, strerror(errno));
    }
    close(fd);
}

static void place_below(const char *name, struct inode *inode, void *arg)
{
    const struct place *place = arg;
    size_t len = strlen(name);
    bool flat = len > 4 && (strcmp(name + len - 4, ".img") == 0 || strcmp(name, "d.base") == 0);
    const struct layout *layout = flat ? place->found->layout : &log_layout;
    struct file_state file = { .size = machine_size(inode) };
    char path[4096];

    if (machine_role(inode) != MACHINE_FIXED)
        return;
    for (int slot = 0; slot < SLOTS; slot++)
        file.slots[slot] = content_of(machine_bytes(inode) + layout_off(layout, slot), SECTOR);
    path_of(path, place->dir, name);
    write_file(path, &file, layout);
}

static void remove_below(const char *name, struct inode *inode, void *arg)
{
    const struct place *place = arg;
    char path[4096];

    path_of(path, place->dir, name);
    if (machine_role(inode) == MACHINE_FIXED)
        unlink(path);
}

/* A file that has two names in the state has them here. */
static void place_name(const struct found *found, const char *dir, int name)
{
    int inode = found->state->names[name];
    char path[4096], other[4096];

    if (inode < 0)
        return;
    path_of(path, dir, found->log->names[name]);
    for (int i = 0; i < name; i++) {
        if (found->state->names[i] == inode) {
            path_of(other, dir, found->log->names[i]);
            if (link(other, path) < 0)
                fatal("%s: %s", path, strerror(errno));
            return;
        }
    }
    write_file(path, &found->state->inodes[inode], found->log->inodes[inode].layout);
}

bool recover_on_files(const struct found *found, const char *dir)
{
    struct place place = { found, dir };
    char path[4096];

    machine_each(place_below, &place);
    for (int i = 0; i < found->log->nnames; i++)
        place_name(found, dir, i);
    path_of(path, dir, POWER_RUN);
    if (found->state->run_there)
        write_file(path, &found->state->run, &log_layout);
    path_of(path, dir, POWER_DISK);
    recover_pass(found, &acow_sys_libc, path, ACOW_RDWR, "recovery with real files");
    for (int i = 0; i < found->log->nnames; i++) {
        path_of(path, dir, found->log->names[i]);
        unlink(path);
    }
    path_of(path, dir, POWER_RUN);
    if (unlink(path) == 0)
        breach("recovery with real files leaves the run-time file");
    machine_each(remove_below, &place);
    return !breach_found();
}

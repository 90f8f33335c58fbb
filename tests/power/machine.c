/*
 * The files themselves: inodes, names, and who holds what. machine_sys.c is the table over it.
 *
 * A file's memory is a memfd that is used for one file after another. What is mapped of it stays
 * mapped, to be handed out again: two mappings of one file are at two addresses, as they should be,
 * but making them costs nothing after the first time. Which pages were ever written is noted, so
 * that zeroing a file of many mebibytes touches only those.
 */
#include "machine_file.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define NAMES 16

static struct inode inodes[MACHINE_INODES];
static uint64_t next_ino;
static int current_owner;
static unsigned me;
static struct {
    char name[MACHINE_NAME];
    struct inode *inode;        /* NULL: free */
} names[NAMES];
static struct machine_map maps[MACHINE_MAPS];
static struct description descriptions[MACHINE_FDS];

const struct machine_listener *machine_listener;

void machine_listen(const struct machine_listener *listener)
{
    static const struct machine_listener nobody;

    machine_listener = listener ? listener : &nobody;
}

/* ---- memory -------------------------------------------------------------- */

static uint8_t *view_memory(struct inode *inode, int prot)
{
    void *addr = mmap(NULL, MACHINE_CAP, prot, MAP_SHARED | MAP_NORESERVE, inode->fd, 0);

    if (addr == MAP_FAILED)
        fatal("no memory for a file");
    return addr;
}

static void reserve(struct inode *inode)
{
    inode->fd = memfd_create("power", MFD_CLOEXEC);
    if (inode->fd < 0 || ftruncate(inode->fd, MACHINE_CAP) < 0)
        fatal("no memory for a file");
    inode->mem = view_memory(inode, PROT_READ | PROT_WRITE);
}

void machine_dirty(struct inode *inode, uint64_t off, uint64_t len)
{
    for (uint64_t page = off / 4096; len && page <= (off + len - 1) / 4096; page++) {
        inode->dirty[page] = true;
        if (page >= inode->dirty_end)
            inode->dirty_end = page + 1;
    }
}

void machine_zero(struct inode *inode, uint64_t off, uint64_t end)
{
    for (uint64_t page = off / 4096; off < end && page < inode->dirty_end; page++) {
        uint64_t stop = (page + 1) * 4096 < end ? (page + 1) * 4096 : end;

        if (inode->dirty[page])
            memset(inode->mem + off, 0, stop - off);
        off = stop;
    }
}

static void recycle(struct inode *inode)
{
    if (inode->names || inode->refs)
        return;
    machine_zero(inode, 0, MACHINE_CAP);
    memset(inode->dirty, 0, inode->dirty_end);
    inode->dirty_end = 0;
    inode->used = false;
}

struct inode *machine_new(enum machine_role role)
{
    struct inode *inode = inodes;

    while (inode < inodes + MACHINE_INODES && inode->used)
        inode++;
    if (inode == inodes + MACHINE_INODES)
        fatal("more than %d files", MACHINE_INODES);
    if (!inode->mem)
        reserve(inode);
    inode->used = true;
    inode->touched = false;
    inode->role = role;
    inode->ino = ++next_ino;
    inode->size = 0;
    inode->mode = S_IFREG | 0644;
    inode->uid = inode->gid = me;
    inode->names = inode->refs = 0;
    inode->locks.count = 0;
    return inode;
}

void machine_hold(struct inode *inode)
{
    inode->refs++;
}

void machine_drop(struct inode *inode)
{
    inode->refs--;
    recycle(inode);
}

uint8_t *machine_bytes(struct inode *inode)
{
    return inode->mem;
}

uint64_t machine_size(const struct inode *inode)
{
    return inode->size;
}

enum machine_role machine_role(const struct inode *inode)
{
    return inode->role;
}

void machine_set_role(struct inode *inode, enum machine_role role)
{
    inode->role = role;
}

void machine_resize(struct inode *inode, uint64_t size)
{
    if (size > MACHINE_CAP)
        fatal("a file of %llu bytes is too large for this machine", (unsigned long long)size);
    if (size < inode->size)
        machine_zero(inode, size, inode->size);
    inode->size = size;
    inode->touched = true;
}

void machine_store(struct inode *inode, uint64_t off, const void *bytes, uint64_t len)
{
    if (off + len > inode->size)
        machine_resize(inode, off + len);
    machine_dirty(inode, off, len);
    memcpy(inode->mem + off, bytes, len);
    inode->touched = true;
}

bool machine_touched(struct inode *inode)
{
    bool touched = inode->touched;

    inode->touched = false;
    return touched;
}

/* ---- names --------------------------------------------------------------- */

static int find_name(const char *name)
{
    for (int i = 0; i < NAMES; i++)
        if (names[i].inode && strcmp(names[i].name, name) == 0)
            return i;
    return -1;
}

struct inode *machine_file(const char *name)
{
    int at = find_name(name);

    return at < 0 ? NULL : names[at].inode;
}

static int add_name(const char *name)
{
    int at = 0;

    while (at < NAMES && names[at].inode)
        at++;
    if (at == NAMES || strlen(name) >= MACHINE_NAME)
        fatal("no room for the name %s", name);
    strcpy(names[at].name, name);
    return at;
}

void machine_name(const char *name, struct inode *inode)
{
    int at = find_name(name);
    struct inode *old = at < 0 ? NULL : names[at].inode;

    if (old == inode)
        return;
    if (at < 0)
        at = add_name(name);
    names[at].inode = inode;
    if (inode)
        inode->names++;
    if (old) {
        old->names--;
        recycle(old);
    }
}

struct inode *machine_make(const char *name, enum machine_role role)
{
    struct inode *inode = machine_new(role);

    machine_name(name, inode);
    return inode;
}

void machine_each(void (*fn)(const char *name, struct inode *inode, void *arg), void *arg)
{
    for (int i = 0; i < NAMES; i++)
        if (names[i].inode)
            fn(names[i].name, names[i].inode, arg);
}

/* ---- descriptors, mappings and processes --------------------------------- */

int machine_open(struct inode *inode, int flags)
{
    int fd = 3;

    while (fd < MACHINE_FDS && descriptions[fd].inode)
        fd++;
    if (fd == MACHINE_FDS)
        fatal("more than %d descriptors", MACHINE_FDS);
    descriptions[fd] = (struct description){ inode, flags, current_owner };
    inode->refs++;
    return fd;
}

struct description *machine_description(int fd)
{
    return fd >= 0 && fd < MACHINE_FDS && descriptions[fd].inode ? &descriptions[fd] : NULL;
}

void machine_close(struct description *description)
{
    struct inode *inode = description->inode;

    machine_unlock_all(&inode->locks, description);
    description->inode = NULL;
    inode->refs--;
    recycle(inode);
}

static struct machine_view *find_view(struct inode *inode, int prot)
{
    struct machine_view *view = inode->views;

    while (view < inode->views + inode->nviews && (view->busy || view->prot != prot))
        view++;
    if (view == inode->views + MACHINE_VIEWS)
        fatal("a file has more than %d mappings", MACHINE_VIEWS);
    if (view == inode->views + inode->nviews) {
        inode->nviews++;
        *view = (struct machine_view){ view_memory(inode, prot), prot, false };
    }
    return view;
}

void *machine_map(struct inode *inode, uint64_t off, size_t len, int prot)
{
    struct machine_map *map = maps;

    while (map < maps + MACHINE_MAPS && map->addr)
        map++;
    if (map == maps + MACHINE_MAPS)
        fatal("more than %d mappings", MACHINE_MAPS);
    *map = (struct machine_map){ .len = len, .inode = inode, .owner = current_owner };
    if (inode) {
        inode->refs++;
        map->view = find_view(inode, prot);
        map->view->busy = true;
        map->addr = map->view->addr + off;
    } else {
        map->addr = calloc(1, len);
        if (!map->addr)
            fatal("no memory for a mapping");
    }
    return map->addr;
}

static void unmap(struct machine_map *map)
{
    if (map->inode) {
        map->view->busy = false;
        map->inode->refs--;
        recycle(map->inode);
    } else {
        free(map->addr);
    }
    map->addr = NULL;
}

bool machine_unmap(const void *addr, size_t len)
{
    for (struct machine_map *map = maps; map < maps + MACHINE_MAPS; map++) {
        if (map->addr == addr && map->len == len && map->owner == current_owner) {
            unmap(map);
            return true;
        }
    }
    return false;
}

int machine_as(int owner)
{
    int before = current_owner;

    current_owner = owner;
    return before;
}

void machine_kill(int owner)
{
    for (int fd = 0; fd < MACHINE_FDS; fd++)
        if (descriptions[fd].inode && descriptions[fd].owner == owner)
            machine_close(&descriptions[fd]);
    for (struct machine_map *map = maps; map < maps + MACHINE_MAPS; map++)
        if (map->addr && map->owner == owner)
            unmap(map);
}

int machine_open_things(void)
{
    int count = 0;

    for (int fd = 0; fd < MACHINE_FDS; fd++)
        count += descriptions[fd].inode != NULL;
    for (struct machine_map *map = maps; map < maps + MACHINE_MAPS; map++)
        count += map->addr != NULL;
    return count;
}

void machine_reset(void)
{
    machine_listen(NULL);
    for (int fd = 0; fd < MACHINE_FDS; fd++)
        if (descriptions[fd].inode)
            machine_close(&descriptions[fd]);
    for (struct machine_map *map = maps; map < maps + MACHINE_MAPS; map++)
        if (map->addr)
            unmap(map);
    for (int i = 0; i < NAMES; i++)
        if (names[i].inode)
            machine_name(names[i].name, NULL);
    current_owner = 0;
    me = geteuid();
    next_ino = 100;
    machine_boot(1);
    machine_refuse_run(false);
}

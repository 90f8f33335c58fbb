/*
 * Making, sharing and ending open file descriptions; see ofd.h for what they are.
 */
#include "ofd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "hidden.h"
#include "keep.h"
#include "process.h"
#include "real.h"
#include "report.h"
#include "sys_real.h"
#include "trace.h"

#define MAGIC 0x61636f776f666432ull     /* "acowofd2" */
#define ABI ((uint32_t)sizeof(struct ofd_state) << 8 | 8)
#define NAME "addcow:"

_Static_assert(sizeof(struct ofd_state) <= OFD_STATE_LEN, "the state fits its pages");
_Static_assert(offsetof(struct ofd_state, offset) == 32 && offsetof(struct ofd_state, lock) == 64
               && sizeof(struct ofd_state) == 64 + 40 + 4096,
               "one layout for 32-bit and 64-bit programs");

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;   /* over the list, and adoption */
static struct ofd *all;

static bool in_use(const struct ofd *ofd)
{
    const struct ofd_state *state = __atomic_load_n(&ofd->state, __ATOMIC_ACQUIRE);

    return state && state != MAP_FAILED;
}

/* The offset of its image descriptors. Such files' inode numbers are counted up. */
static int64_t tag_of(const struct ofd *ofd)
{
    return KEEP_TAG + 1 + (int64_t)(ofd->memfd_ino % KEEP_TAGS);
}

static void tag_image(const struct ofd *ofd, int fd)
{
    int saved = errno;

    REAL(lseek64)(fd, tag_of(ofd), SEEK_SET);
    errno = saved;
}

/* ---- making ------------------------------------------------------------ */

static struct ofd *new_ofd(void)
{
    struct ofd *ofd;

    pthread_mutex_lock(&lock);
    for (ofd = all; ofd; ofd = ofd->next)
        if (!__atomic_load_n(&ofd->state, __ATOMIC_ACQUIRE))
            break;
    if (!ofd) {
        ofd = aligned_alloc(_Alignof(struct ofd), sizeof(*ofd));
        if (ofd) {
            memset(ofd, 0, sizeof(*ofd));
            ofd->next = all;
            all = ofd;
        }
    }
    if (ofd) {
        ofd->disk = NULL;
        ofd->engine = NULL;
        ofd->image_fd = -1;
        ofd->traced = trace_on;
        ofd->direct_off = 0;
        ofd->state = MAP_FAILED;        /* taken, with nothing in it yet */
        ofd_ref(ofd);
        ofd->alive = 1;
    }
    pthread_mutex_unlock(&lock);
    return ofd;
}

static int map_state(struct ofd *ofd, int memfd)
{
    void *map;
    struct stat st;
    int r = sys_real.mmap(OFD_STATE_LEN, PROT_READ | PROT_WRITE, MAP_SHARED, memfd, 0, &map);

    if (r == 0)
        r = sys_real.fstat(memfd, &st);
    if (r < 0)
        return r;
    pthread_mutex_lock(&lock);
    ofd->state = map;
    ofd->memfd_ino = st.st_ino;
    pthread_mutex_unlock(&lock);
    return 0;
}

static void init_state(struct ofd_state *state, const char *path, int flags, const struct disk *disk)
{
    mutex_init(&state->lock);
    strcpy(state->path, path);
    state->dev = disk->dev;
    state->ino = disk->ino;
    state->flags = (uint32_t)(flags & ~(O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_CLOEXEC));
    state->abi = ABI;
    __atomic_store_n(&state->magic, MAGIC, __ATOMIC_RELEASE);
}

/* A memfd for the state, hidden. Its size is the disk's, for whoever asks it natively. */
static int make_memfd(const char *path, uint64_t size)
{
    struct rlimit limit;
    char name[249];
    const char *base = strrchr(path, '/');
    int fd, r;

    snprintf(name, sizeof(name), NAME "%s", base ? base + 1 : path);
    /* No larger than the program may make files: more would be a signal. */
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && size > limit.rlim_cur)
        size = limit.rlim_cur;
    fd = sys_real.memfd(name);
    if (fd < 0)
        return fd;
    r = sys_real.ftruncate(fd, (int64_t)(size > OFD_STATE_LEN ? size : OFD_STATE_LEN));
    if (r < 0) {
        sys_real.close(fd);
        return r;
    }
    return fd;
}

/* The descriptor for the program, under the number that was taken for it. */
static int make_placeholder(int memfd, int flags, int number)
{
    char path[40];
    int fd, r;

    snprintf(path, sizeof(path), "/proc/self/fd/%d", memfd);
    fd = sys_real.open(path, 3 | (flags & (O_APPEND | O_NONBLOCK)), 0);
    if (fd < 0)
        return fd;
    r = REAL(dup3)(fd, number, flags & O_CLOEXEC) < 0 ? -errno : number;
    sys_real.close(fd);
    return r;
}

static int note_image(struct ofd *ofd, struct ofd_state *state)
{
    struct stat st;
    int r = sys_real.fstat(ofd->image_fd, &st);

    if (r == 0) {
        state->image_dev = st.st_dev;
        state->image_ino = st.st_ino;
        tag_image(ofd, ofd->image_fd);
    }
    return r;
}

static int open_disk(struct ofd *ofd, const char *path, int flags)
{
    bool writable = (flags & O_ACCMODE) != O_RDONLY || (flags & O_TRUNC);
    int image_flags = O_RDONLY, r;

    if ((flags & O_ACCMODE) != O_RDONLY)
        image_flags = O_RDWR;
    r = disks_get(path, writable, 0, 0, &ofd->disk);
    if (r < 0)
        return r;
    ofd->engine = ofd->disk->engine;
    r = acow_open_image(ofd->engine, image_flags | (flags & (O_DIRECT | O_NOATIME)));
    if (r < 0)
        return r;
    ofd->image_fd = r;
    if (!(flags & OFD_LARGE) && acow_size(ofd->engine) > OFD_SMALL_MAX)
        return -EOVERFLOW;
    return flags & O_TRUNC ? acow_truncate(ofd->engine, 0) : 0;
}

int ofd_open(const char *path, int flags, struct ofd **out, int *fd)
{
    struct ofd *ofd;
    int memfd = -1, r;
    /* The lowest free number, taken before any of ours is opened, as a flat file would. */
    int number = REAL(open64)("/proc/self/fd", O_PATH | O_CLOEXEC);

    if (number < 0 && errno != ENOENT)
        return -errno;
    if (number < 0) {
        report("%s: cannot open: there is no /proc/self/fd (mount /proc: mount -t proc proc /proc)",
               path);
        return -EOPNOTSUPP;
    }
    ofd = new_ofd();
    if (!ofd) {
        REAL(close)(number);
        return -ENOMEM;
    }
    r = strlen(path) < sizeof(ofd->state->path) ? open_disk(ofd, path, flags) : -ENAMETOOLONG;
    if (r == 0) {
        int64_t size = acow_size(ofd->engine);

        r = memfd = size < 0 ? (int)size : make_memfd(path, (uint64_t)size);
    }
    if (r >= 0)
        r = map_state(ofd, memfd);
    if (r == 0) {
        r = note_image(ofd, ofd->state);
        init_state(ofd->state, path, flags, ofd->disk);
        ofd->flags = (int)ofd->state->flags;
    }
    if (r == 0)
        r = make_placeholder(memfd, flags, number);
    if (memfd >= 0)
        sys_real.close(memfd);
    if (r < 0) {
        REAL(close)(number);
        ofd_unref(ofd);
        return r;
    }
    *fd = r;
    *out = ofd;
    return 0;
}

/* ---- adopting ---------------------------------------------------------- */

/*
 * Only what this user made is taken on, or root, who may have become this user: a descriptor
 * that someone else passed us could name any file we may open.
 */
static bool is_trusted(const struct stat *st)
{
    return st->st_uid == geteuid() || st->st_uid == 0;
}

static bool is_placeholder(int fd, struct stat *st)
{
    char link[32], name[64];
    int flags = REAL(fcntl64)(fd, F_GETFL);
    ssize_t n;

    if (flags < 0 || (flags & (O_ACCMODE | O_PATH)) != 3)
        return false;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, name, sizeof(name) - 1);
    if (n < 0)
        return false;
    name[n] = '\0';
    return ofd_is_placeholder_name(name) && REAL(fstat64)(fd, st) == 0 && is_trusted(st)
           && st->st_size >= (int64_t)OFD_STATE_LEN;
}

bool ofd_is_placeholder_name(const char *link)
{
    return strncmp(link, "/memfd:" NAME, sizeof("/memfd:" NAME) - 1) == 0;
}

static bool valid_state(const struct ofd_state *state)
{
    return state->magic == MAGIC && state->abi == ABI
           && memchr(state->path, '\0', sizeof(state->path)) != NULL && state->path[0] == '/';
}

static bool is_disk_at(const char *path, const struct ofd_state *state)
{
    struct stat st;

    return sys_real.stat(path, &st) == 0 && st.st_dev == state->dev && st.st_ino == state->ino;
}

/* What the metadata file is called by now, if this process has it open. */
static bool name_of_open(const struct ofd_state *state, char *out)
{
    char link[40];
    ssize_t n = -1;
    int fd = disks_meta_fd(state->dev, state->ino);

    if (fd >= 0) {
        snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
        n = readlink(link, out, sizeof(state->path) - 1);
    }
    if (n <= 0)
        return false;
    out[n] = '\0';
    return is_disk_at(out, state);
}

void ofd_path_of(int dir, const char *proc_path, char *out)
{
    struct ofd_state state;
    struct stat st;
    int fd = REAL(openat64)(dir, proc_path, O_RDONLY | O_CLOEXEC);

    out[0] = '\0';
    if (fd < 0)
        return;
    if (sys_real.fstat(fd, &st) == 0 && is_trusted(&st)
        && sys_real.pread(fd, &state, sizeof(state), 0) == (ssize_t)sizeof(state)
        && valid_state(&state)) {
        if (is_disk_at(state.path, &state))
            strcpy(out, state.path);
        else if (!name_of_open(&state, out))
            out[0] = '\0';
    }
    sys_real.close(fd);
}

struct ofd *ofd_adopt(int fd)
{
    struct ofd *ofd;
    struct stat st;
    char path[40];
    int memfd, r;

    if (!is_placeholder(fd, &st))
        return NULL;
    pthread_mutex_lock(&lock);
    for (ofd = all; ofd; ofd = ofd->next)
        if (ofd->alive && ofd->memfd_ino == st.st_ino)
            break;
    pthread_mutex_unlock(&lock);
    if (ofd) {
        ofd_ref(ofd);
        return ofd;
    }
    ofd = new_ofd();
    if (!ofd)
        return NULL;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    memfd = sys_real.open(path, O_RDWR | O_CLOEXEC, 0);
    r = memfd < 0 ? memfd : map_state(ofd, memfd);
    if (memfd >= 0)
        sys_real.close(memfd);
    if (r < 0 || !valid_state(ofd->state)) {
        ofd_unref(ofd);
        return NULL;
    }
    ofd->flags = (int)ofd->state->flags;
    ofd_share(ofd);
    return ofd;
}

/* Which description's it is, the tag tells: whoever has several on one disk must not mix them up. */
void ofd_inherit_image(int fd)
{
    bool ours = false;
    struct ofd *ofd;
    struct stat st;
    int64_t tag;
    int flags = REAL(fcntl64)(fd, F_GETFL);

    if (flags < 0 || flags & O_PATH || REAL(fstat64)(fd, &st) < 0 || !S_ISREG(st.st_mode))
        return;
    tag = REAL(lseek64)(fd, 0, SEEK_CUR);
    if (!keep_is_tag(tag))
        return;
    pthread_mutex_lock(&lock);
    for (ofd = all; ofd; ofd = ofd->next) {
        if (!in_use(ofd) || ofd->state->image_dev != st.st_dev || ofd->state->image_ino != st.st_ino)
            continue;
        ours = true;
        if (ofd->image_fd < 0 && tag == tag_of(ofd))
            break;
    }
    if (ours) {
        REAL(fcntl64)(fd, F_SETFD, FD_CLOEXEC);
        hidden_mark(fd);
    }
    if (ofd) {
        ofd->image_fd = fd;
    } else if (ours) {
        hidden_park(fd);
        keep_image(st.st_dev, st.st_ino);
    }
    pthread_mutex_unlock(&lock);
}

struct ofd *ofd_adopt_file(int fd, int cloexec, bool own)
{
    struct ofd *ofd = NULL;
    char link[32], path[sizeof(ofd->state->path)];
    int flags = REAL(fcntl64)(fd, F_GETFL), made;
    int64_t off;
    struct stat st;
    ssize_t n;

    if (flags < 0 || flags & O_PATH || (flags & O_ACCMODE) == 3)
        return NULL;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, path, sizeof(path) - 1);
    if (n <= 0)
        return NULL;
    path[n] = '\0';
    if (!acow_name_is_disk(path) || REAL(fstat64)(fd, &st) < 0 || !S_ISREG(st.st_mode)
        || st.st_size == 0)
        return NULL;
    off = REAL(lseek64)(fd, 0, SEEK_CUR);
    if (own && st.st_uid != geteuid())
        report("%s: another user's, so not opened as a disk for having been sent", path);
    if ((own && st.st_uid != geteuid()) || ofd_open(path, flags, &ofd, &made) < 0)
        made = REAL(open64)("/dev/null", 3);
    else
        ofd->state->offset = off > 0 ? (uint64_t)off : 0;
    if (made >= 0) {
        REAL(dup3)(made, fd, cloexec);
        REAL(close)(made);
    }
    return ofd;
}

int ofd_begin(struct ofd *ofd, struct acow_disk **engine)
{
    struct disk *disk;
    int r = 0;

    process_change();
    pthread_mutex_lock(&lock);
    if (!ofd->engine) {
        r = disks_get(ofd->state->path, ofd_writable(ofd), ofd->state->dev, ofd->state->ino, &disk);
        if (r == 0 && ofd->image_fd < 0) {
            r = acow_open_image(disk->engine, (ofd_writable(ofd) ? O_RDWR : O_RDONLY)
                                              | (ofd->flags & (O_DIRECT | O_NOATIME)));
            if (r < 0) {
                disks_put(disk);
            } else {
                tag_image(ofd, r);
                __atomic_store_n(&ofd->image_fd, r, __ATOMIC_RELAXED);
            }
        }
        if (r >= 0) {
            ofd->disk = disk;
            __atomic_store_n(&ofd->engine, disk->engine, __ATOMIC_RELEASE);
        }
    }
    pthread_mutex_unlock(&lock);
    process_changed();
    *engine = ofd->engine;
    return r < 0 ? r : 0;
}

/* ---- sharing and ending ------------------------------------------------ */

void ofd_ref(struct ofd *ofd)
{
    __atomic_fetch_add(&ofd->refs, 1, __ATOMIC_ACQ_REL);
}

static int end(struct ofd *ofd, struct ofd_state *state)
{
    int r = 0;

    process_change();
    if (ofd->image_fd >= 0)
        sys_real.close(ofd->image_fd);
    if (ofd->disk)
        r = disks_put(ofd->disk);
    if (state != MAP_FAILED)
        REAL(munmap)(state, OFD_STATE_LEN);
    ofd->image_fd = -1;
    ofd->disk = NULL;
    ofd->engine = NULL;
    __atomic_store_n(&ofd->state, NULL, __ATOMIC_RELEASE);
    process_changed();
    return r;
}

/*
 * A look-up that comes too late may count a dead one up and down again: it ends but once.
 * Under the lock, because that one may just be made anew, and then it is not the look-up's to
 * end; and because who walks the list there may write to a state it finds.
 */
int ofd_unref(struct ofd *ofd)
{
    struct ofd_state *state = NULL;

    if (__atomic_sub_fetch(&ofd->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return 0;
    pthread_mutex_lock(&lock);
    if (ofd->alive && __atomic_load_n(&ofd->refs, __ATOMIC_ACQUIRE) == 0) {
        ofd->alive = 0;
        state = ofd->state;
        ofd->state = MAP_FAILED;
        ofd->memfd_ino = 0;
    }
    pthread_mutex_unlock(&lock);
    return state ? end(ofd, state) : 0;
}

/* No lock in these: in the child of a vfork it could be held by a thread that does not run. */
void ofd_bequeath(struct ofd *ofd)
{
    int fd = __atomic_load_n(&ofd->image_fd, __ATOMIC_RELAXED);

    if (fd >= 0)
        REAL(fcntl64)(fd, F_SETFD, 0);
}

void ofd_bequeath_end(struct ofd *ofd)
{
    int fd = __atomic_load_n(&ofd->image_fd, __ATOMIC_RELAXED);

    if (fd >= 0)
        REAL(fcntl64)(fd, F_SETFD, FD_CLOEXEC);
}

void ofd_share(struct ofd *ofd)
{
    __atomic_store_n(&ofd->state->shared, 1, __ATOMIC_RELAXED);
}

void ofd_share_all(void)
{
    pthread_mutex_lock(&lock);
    for (struct ofd *ofd = all; ofd; ofd = ofd->next)
        if (in_use(ofd))
            ofd_share(ofd);
    pthread_mutex_unlock(&lock);
}

void ofd_after_fork(void)
{
    pthread_mutex_init(&lock, NULL);
}

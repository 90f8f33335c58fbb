/* The narrow forms of stdio's and POSIX AIO's calls: see narrow.h. */
#include <aio.h>
#include <fcntl.h>

#include "../fdtable.h"
#include "../path.h"
#include "../real.h"
#include "../stream.h"

_Static_assert(sizeof(off_t) == 4, "to be compiled without _FILE_OFFSET_BITS");

FILE *hook_narrow_fopen(const char *path, const char *mode)
{
    char real_path[PATH_LEN];
    FILE *file;

    if (stream_flags(mode) < 0 || !path_is_disk(AT_FDCWD, path, true, real_path)) {
        file = REAL(narrow_fopen)(path, mode);
        if (file)
            fdtable_is_other(fileno(file));
        return file;
    }
    narrow_opening++;
    file = hook_fopen(path, mode);
    narrow_opening--;
    return file;
}

FILE *hook_narrow_freopen(const char *path, const char *mode, FILE *file)
{
    char real_path[PATH_LEN];
    FILE *made;

    if (!stream_is_ours(file) && !(path ? path_is_disk(AT_FDCWD, path, true, real_path)
                                        : fdtable_is_disk(fileno(file)))) {
        made = REAL(narrow_freopen)(path, mode, file);
        if (made)
            fdtable_is_other(fileno(made));
        return made;
    }
    narrow_opening++;
    made = hook_freopen(path, mode, file);
    narrow_opening--;
    return made;
}

/*
 * The control blocks differ in the width of the offset alone; where it is narrow, the room that the
 * wide one needs is left free behind it, which libc does not look at.
 */
_Static_assert(sizeof(struct aiocb) == sizeof(struct aiocb64)
               && __builtin_offsetof(struct aiocb, aio_offset)
               == __builtin_offsetof(struct aiocb64, aio_offset), "one layout");

static struct aiocb *widen(struct aiocb *cb)
{
    struct aiocb64 *wide = (struct aiocb64 *)(void *)cb;
    off_t off = cb->aio_offset;

    wide->aio_offset = off;
    return cb;
}

int hook_narrow_aio_read(struct aiocb *cb)
{
    return fdtable_is_disk(cb->aio_fildes) ? hook_aio_read(widen(cb)) : REAL(narrow_aio_read)(cb);
}

int hook_narrow_aio_write(struct aiocb *cb)
{
    return fdtable_is_disk(cb->aio_fildes) ? hook_aio_write(widen(cb)) : REAL(narrow_aio_write)(cb);
}

int hook_narrow_lio_listio(int mode, struct aiocb *const list[], int count, struct sigevent *sig)
{
    bool disk = false;

    for (int i = 0; i < count; i++)
        if (list[i] && list[i]->aio_lio_opcode != LIO_NOP)
            disk |= fdtable_is_disk(widen(list[i])->aio_fildes);
    return disk ? hook_lio_listio(mode, list, count, sig)
                : REAL(narrow_lio_listio)(mode, list, count, sig);
}

#define HOOK_narrow_stdio EXPORT
#define HOOK_narrow_aio EXPORT
#include "../alias.h"

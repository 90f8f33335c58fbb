/*
 * Which errnos each system call of the engine's table can return, by its manual page and by what
 * filesystems are known to say. Left out is what would be a lie about the files of a test (ENOENT of
 * one that is there, ENXIO where data follows) and what only a bug of the engine could bring about
 * (EBADF, EFAULT).
 */
#include <errno.h>
#include <fcntl.h>

#include "sweep.h"

const int *errnos_of(const struct sys_call *call)
{
    static const int made_by_open[] = {
        EIO, EACCES, EPERM, EROFS, ENOSPC, EDQUOT, EMFILE, ENFILE, ENOMEM, EINTR,
        ELOOP, ENXIO, EBUSY, ESTALE, 0,
    };
    static const int lists[][ERRNOS_MAX] = {
        [SYS_OPEN] = { EIO, EACCES, EPERM, EROFS, EMFILE, ENFILE, ENOMEM, EINTR, ELOOP,
                                    ENXIO, ETXTBSY, EBUSY, EOVERFLOW, ESTALE, 0 },
        [SYS_CLOSE] = { EIO, EINTR, ENOSPC, EDQUOT, 0 },
        [SYS_PREAD] = { EIO, EINTR, ENOMEM, ESTALE, 0 },
        [SYS_PREADV] = { EIO, EINTR, ENOMEM, ESTALE, 0 },
        [SYS_PWRITE] = { EIO, ENOSPC, EDQUOT, EFBIG, EINTR, EPERM, ENOMEM, ESTALE, 0 },
        [SYS_PWRITEV] = { EIO, ENOSPC, EDQUOT, EFBIG, EINTR, EPERM, ENOMEM, ESTALE, 0 },
        [SYS_FDATASYNC] = { EIO, ENOSPC, EDQUOT, EINTR, EROFS, EINVAL, 0 },
        [SYS_FTRUNCATE] = { EIO, ENOSPC, EDQUOT, EFBIG, EINTR, EPERM, ENOMEM, EINVAL,
                                         ETXTBSY, 0 },
        [SYS_FALLOCATE] = { ENOSPC, EIO, EDQUOT, EFBIG, EINTR, EOPNOTSUPP, ENOSYS, EPERM,
                                         ENODEV, ETXTBSY, 0 },
        [SYS_LSEEK] = { EIO, EINVAL, EOVERFLOW, 0 },
        [SYS_FSTAT] = { EIO, ENOMEM, EOVERFLOW, ESTALE, 0 },
        [SYS_STAT] = { EIO, EACCES, ELOOP, ENOMEM, ENAMETOOLONG, EOVERFLOW, ESTALE, 0 },
        [SYS_BIRTH] = { EIO, ENOMEM, EACCES, ENOSYS, EPERM, 0 },
        [SYS_FCHMOD] = { EIO, EPERM, EROFS, ENOMEM, EDQUOT, 0 },
        [SYS_FCHOWN] = { EIO, EPERM, EROFS, ENOMEM, EDQUOT, 0 },
        [SYS_LOCK] = { ENOLCK, EIO, EINTR, EINVAL, ENOMEM, 0 },
        [SYS_MEMFD] = { EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM, 0 },
        [SYS_UNLINK] = { EIO, EACCES, EPERM, EROFS, EBUSY, ENOMEM, 0 },
        [SYS_LINK] = { EIO, EACCES, EPERM, EROFS, ENOSPC, EDQUOT, EMLINK, ENOMEM,
                                    EOPNOTSUPP, 0 },
        [SYS_RENAME] = { EIO, EACCES, EPERM, EROFS, ENOSPC, EDQUOT, EBUSY, ENOMEM, 0 },
        [SYS_REALPATH] = { EIO, EACCES, ELOOP, ENOMEM, ENAMETOOLONG, 0 },
        [SYS_LIST] = { EIO, EACCES, EMFILE, ENFILE, ENOMEM, 0 },
        [SYS_MMAP] = { ENOMEM, EAGAIN, EACCES, ENFILE, ENODEV, EPERM, EOVERFLOW, 0 },
        [SYS_MUNMAP] = { ENOMEM, EINVAL, 0 },
    };
    static const int taken[] = { EAGAIN, EACCES, ENOLCK, EIO, EINTR, EINVAL, ENOMEM,
                                                   0 };

    if (call->op == SYS_OPEN && call->flags & O_CREAT)
        return made_by_open;
    if (call->op == SYS_LOCK && call->cmd != F_OFD_GETLK)
        return taken;
    return lists[call->op];
}

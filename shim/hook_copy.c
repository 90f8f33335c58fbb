/*
 * Copying within the kernel. It cannot see a disk, so it says what makes
 * every caller fall back on reading and writing.
 */
#include "hooks.h"
#include "leave.h"
#include "real.h"

static int refuse(int err)
{
    errno = err;
    return -1;
}

ssize_t hook_copy_file_range(int in, int64_t *in_off, int out, int64_t *out_off, size_t len,
                             unsigned flags)
{
    if (fdtable_is_disk(in) || fdtable_is_disk(out))
        return refuse(EXDEV);
    return REAL(copy_file_range)(in, in_off, out, out_off, len, flags);
}

ssize_t hook_sendfile(int out, int in, int64_t *off, size_t len)
{
    if (fdtable_is_disk(in) || fdtable_is_disk(out))
        return refuse(EINVAL);
    return REAL(sendfile64)(out, in, off, len);
}

ssize_t hook_splice(int in, int64_t *in_off, int out, int64_t *out_off, size_t len, unsigned flags)
{
    if (fdtable_is_disk(in) || fdtable_is_disk(out))
        return refuse(EINVAL);
    return REAL(splice)(in, in_off, out, out_off, len, flags);
}

ssize_t hook_tee(int in, int out, size_t len, unsigned flags)
{
    if (fdtable_is_disk(in) || fdtable_is_disk(out))
        return refuse(EINVAL);
    return REAL(tee)(in, out, len, flags);
}

#define HOOK_copy EXPORT
#include "alias.h"

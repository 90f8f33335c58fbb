/* Login records: libc would write them into a metadata file. No program keeps them on a disk. */
#include "hooks.h"
#include "path.h"
#include "real.h"
#include "report.h"

#include <fcntl.h>

int hook_utmpname(const char *path)
{
    char real_path[PATH_LEN];

    if (!path_is_disk(AT_FDCWD, path, true, real_path))
        return REAL(utmpname)(path);
    errno = -report_unserved("utmpname", real_path);
    return -1;
}

void hook_updwtmp(const char *path, const void *record)
{
    char real_path[PATH_LEN];

    if (!path_is_disk(AT_FDCWD, path, true, real_path))
        REAL(updwtmp)(path, record);
    else
        errno = -report_unserved("updwtmp", real_path);
}

#define HOOK_utmp EXPORT
#include "alias.h"

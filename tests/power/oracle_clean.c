/*
 * Header and leftovers, by hand and as acow_check sees them, through the table: so the same is asked of a disk on
 * the simulated machine and of one in real files.
 */
#include "oracle_clean.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define HEADER 2560u

static bool is_zero(const uint8_t *bytes, size_t len)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, len - 1) == 0;
}

/* A name of 1024 bytes is followed by zeros. */
static bool is_padded(const uint8_t *name)
{
    size_t len = strnlen((const char *)name, 1024);

    return len < 1024 && is_zero(name + len, 1024 - len);
}

static bool check_header(const uint8_t header[HEADER])
{
    if (memcmp(header, "ADD_COW\xff\0\0\0\1", 12) != 0)
        breach("the header has not its magic and version");
    else if (!is_padded(header + 12) || !is_padded(header + 1036) || !header[1036])
        breach("the header's names are not in order");
    else if (!is_zero(header + 2060, HEADER - 2060))
        breach("the header's reserved bytes are not zeros");
    return !breach_found();
}

/* What the engine itself says. A run-time file of a disk below stays until that is opened itself. */
static bool check_engine(const struct acow_sys *sys, const char *path)
{
    struct acow_check check;
    int r = acow_check(sys, path, 0, &check, NULL);

    if (r < 0)
        breach("acow_check: %s", strerrorname_np(-r));
    for (size_t i = 0; r == 0 && i < check.nfindings; i++)
        if (check.findings[i].severity != ACOW_NOTE
            && (check.findings[i].severity != ACOW_LEAK || check.findings[i].depth == 0))
            breach("acow_check: %s", check.findings[i].text);
    acow_check_free(&check);
    return !breach_found();
}

bool oracle_check_clean(const struct acow_sys *sys, const char *path)
{
    uint8_t header[HEADER];
    struct stat st;
    char run[4200];
    int fd = sys->open(path, O_RDONLY | O_CLOEXEC, 0);

    if (fd < 0 || sys->pread(fd, header, HEADER, 0) != HEADER) {
        breach("the metadata file cannot be read");
        return false;
    }
    sys->close(fd);
    snprintf(run, sizeof(run), "%s.run", path);
    if (sys->stat(run, &st) != -ENOENT) {
        breach("the run-time file is still there after the last close");
        return false;
    }
    return check_header(header) && check_engine(sys, path);
}

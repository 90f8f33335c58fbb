/*
 * Watching. A line is put together first and written with one call, so that the
 * lines of threads and processes do not mix.
 */
#include "trace.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "disks.h"
#include "ofd.h"
#include "report.h"

bool trace_on;
static int trace_fd = -1, stats_fd = -1;

void trace_init(void)
{
    trace_fd = report_target("ADDCOW_TRACE");
    stats_fd = report_target("ADDCOW_STATS");
    trace_on = trace_fd >= 0;
}

bool trace_stats_wanted(void)
{
    return stats_fd >= 0;
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

void trace_call(const struct ofd *ofd, int fd, long long result, const char *call,
                const char *format, ...)
{
    int saved = errno;
    char line[4400];
    size_t len, room = sizeof(line);
    va_list args;

    len = (size_t)snprintf(line, room, "%d %s(%d<%s>", (int)getpid(), call, fd,
                           base_name(ofd->state->path));
    va_start(args, format);
    if (format[0] && len < room)
        len += (size_t)snprintf(line + len, room - len, ", ");
    if (len < room)
        len += (size_t)vsnprintf(line + len, room - len, format, args);
    va_end(args);
    if (len < room && result < 0)
        len += (size_t)snprintf(line + len, room - len, ") = -1 %s (%s)\n",
                                strerrorname_np((int)-result), strerrordesc_np((int)-result));
    else if (len < room)
        len += (size_t)snprintf(line + len, room - len, ") = %lld\n", result);
    report_write(trace_fd, line, len < room ? len : room - 1);
    errno = saved;
}

void trace_stats(const struct disk *disk)
{
    struct acow_counters c;
    struct acow_facts facts;
    char line[4400];
    int len;

    if (stats_fd < 0)
        return;
    acow_counters(disk->engine, &c);
    acow_facts(disk->engine, &facts);
    len = snprintf(line, sizeof(line), "addcow: %s: pid %d (%s): reads from image %" PRIu64
                   ", from backing %" PRIu64 "; writes %" PRIu64 ", of them allocating %" PRIu64
                   "; copied up %" PRIu64 " bytes; flushes %" PRIu64 ", of them with bits %" PRIu64
                   "\n", facts.meta_path, (int)getpid(), disk->writable ? "writable" : "read-only",
                   c.reads_image, c.reads_backing, c.writes, c.writes_allocating, c.copyup_bytes,
                   c.flushes, c.commits);
    report_write(stats_fd, line, len < (int)sizeof(line) ? (size_t)len : sizeof(line) - 1);
}

/*
 * ADDCOW_TRACE: the calls on disks, as strace would show them.
 * ADDCOW_STATS: a summary of each disk when the process is done with it.
 */
#ifndef SHIM_TRACE_H
#define SHIM_TRACE_H

#include <stdbool.h>

struct disk;
struct ofd;

extern bool trace_on;

void trace_init(void);

/* One line: call(fd<name>, <format…>) = result. errno is kept. */
void trace_call(const struct ofd *ofd, int fd, long long result, const char *call,
                const char *format, ...) __attribute__((format(printf, 5, 6)));

bool trace_stats_wanted(void);
void trace_stats(const struct disk *disk);

#endif

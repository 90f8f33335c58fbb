/* Who holds a lock; see holder.h. */
#include "holder.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Files below /proc are read whole, from the beginning, up to what fits. */
static int read_text(const struct acow_sys *sys, const char *path, char *out, size_t room)
{
    int fd = sys->open(path, O_RDONLY | O_CLOEXEC, 0);
    ssize_t n;

    if (fd < 0)
        return fd;
    n = sys->pread(fd, out, room - 1, 0);
    sys->close(fd);
    out[n < 0 ? 0 : n] = '\0';
    return n < 0 ? (int)n : 0;
}

int holder_process(const struct acow_sys *sys, int pid, struct holder *out)
{
    char path[64], text[1024];
    char *open, *close;
    unsigned long long start;
    char state;

    snprintf(path, sizeof(path), "/proc/%d/stat", pid);
    if (read_text(sys, path, text, sizeof(text)) < 0)
        return -ENOENT;
    /* "12 (a name) T 1 …": the name may have parentheses of its own. */
    open = strchr(text, '(');
    close = strrchr(text, ')');
    if (!open || !close || close < open
        || sscanf(close + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d "
                  "%*d %*d %llu", &state, &start) != 2)
        return -ENOENT;
    *close = '\0';
    *out = (struct holder){ .pid = pid, .start = start, .stopped = state == 'T' || state == 't' };
    snprintf(out->name, sizeof(out->name), "%s", open + 1);
    return 0;
}

struct search {
    const struct acow_sys *sys;
    struct stat file;
    uint64_t off, end;
    struct holder *out;
    int max, count;
    char folder[64];            /* /proc/PID/fdinfo */
    int pid;
};

/* "lock:	1: OFDLCK ADVISORY  READ -1 fe:00:10952833 100 103", or EOF for the last. */
static bool locks_range(const struct search *search, char *fdinfo)
{
    char *rest = NULL;

    for (char *line = strtok_r(fdinfo, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        unsigned long long first, last = UINT64_MAX;

        if (sscanf(line, "lock: %*d: %*s %*s %*s %*d %*s %llu %llu", &first, &last) < 1)
            continue;
        if (first < search->end && last >= search->off)
            return true;
    }
    return false;
}

static int look_at_fd(void *arg, const char *name)
{
    struct search *search = arg;
    char path[128], text[4096];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%.16s", search->folder, name);
    if (read_text(search->sys, path, text, sizeof(text)) < 0 || !locks_range(search, text))
        return 0;
    snprintf(path, sizeof(path), "/proc/%d/fd/%.16s", search->pid, name);
    if (search->sys->stat(path, &st) < 0 || st.st_dev != search->file.st_dev
        || st.st_ino != search->file.st_ino)
        return 0;
    return 1;
}

static int look_at_process(void *arg, const char *name)
{
    struct search *search = arg;

    if (!isdigit((unsigned char)name[0]))
        return 0;
    search->pid = atoi(name);
    snprintf(search->folder, sizeof(search->folder), "/proc/%d/fdinfo", search->pid);
    if (search->sys->list(search->folder, look_at_fd, search) > 0
        && holder_process(search->sys, search->pid, &search->out[search->count]) == 0)
        search->count++;
    return search->count == search->max;
}

int holder_find(const struct acow_sys *sys, int fd, uint64_t off, uint64_t len, struct holder *out,
                int max)
{
    struct search search = { .sys = sys, .off = off, .end = off + len, .out = out, .max = max };

    if (max > 0 && sys->fstat(fd, &search.file) == 0)
        sys->list("/proc", look_at_process, &search);
    return search.count;
}

const char *holder_text(const struct holder *holders, int count, char text[HOLDER_TEXT])
{
    if (count <= 0)
        return strcpy(text, "a process that cannot be seen from here");
    snprintf(text, HOLDER_TEXT, "process %d (%s%s)", holders->pid, holders->name,
             holders->stopped ? ", which is stopped" : "");
    if (count > 1)
        snprintf(text + strlen(text), HOLDER_TEXT - strlen(text), " and %d more", count - 1);
    return text;
}

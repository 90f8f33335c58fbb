/*
 * Runs one row: probe N PATH. `probe list` names them all; `probe cat FD` and
 * `probe add FD` read from and write to a descriptor that they inherit.
 *
 * What there is to say goes to a copy of descriptor 1, because rows put the
 * file on 1 and use stdio.
 */
#include <sys/wait.h>

#include "probe.h"

extern const struct probe *const __start_probes[], *const __stop_probes[];

int fd = -1;
FILE *f;
const char *path, *self;
char buf[16384];

static int report = 1;

void show(const char *format, ...)
{
    char line[4096];
    va_list args;
    int len;

    va_start(args, format);
    len = vsnprintf(line, sizeof(line) - 1, format, args);
    va_end(args);
    line[len++] = '\n';
    if (write(report, line, (size_t)len) != len)
        _exit(99);
}

void skip(const char *why)
{
    show("skip %s", why);
    _exit(77);
}

long show_bytes(int at_fd, long off)
{
    char text[17] = "", *at = text;
    ssize_t n = pread(at_fd, text, 16, off);

    for (; n > 0 && at < text + n; at++)
        if (*at < ' ' || *at > '~')
            *at = '.';
    show("bytes at %ld: %s", off, n < 0 ? strerrorname_np(errno) : text);
    return n < 0 ? -1 : 0;
}

long await(int pid)
{
    int status = -1;

    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        return -1;
    if (WIFSIGNALED(status))
        show("signal %d", WTERMSIG(status));
    return WEXITSTATUS(status);
}

void *old(const char *symbol, const char *version)
{
    void *found = dlvsym(RTLD_DEFAULT, symbol, version);

    if (!found)
        skip("this libc has no such symbol");
    return found;
}

static int as_child(const char *what, int from)
{
    char text[32];
    ssize_t n;

    if (strcmp(what, "cat") == 0) {
        n = read(from, text, 16);
        show("child read %zd: %.*s", n, n < 0 ? 0 : (int)n, text);
    } else {
        n = write(from, "[child]", 7);
        show("child wrote %zd", n);
    }
    return n < 0 ? 3 : 0;
}

static void prepare(const struct probe *row)
{
    if (!row->mode)
        return;
    if (strcmp(row->mode, "fd") != 0) {
        f = fopen(path, row->mode);
        if (!f)
            skip("fopen fails");
        fd = fileno(f);
        return;
    }
    fd = open(path, O_RDWR);
    if (fd < 0)
        skip("open fails");
    if (row->number >= 0) {
        dup2(fd, row->number);
        close(fd);
        fd = row->number;
    }
}

static void show_after(const struct probe *row)
{
    unsigned sum = 0;
    int shared;

    for (size_t i = 0; i < sizeof(buf); i++)
        sum = sum * 31 + (unsigned char)buf[i];
    if (buf[0] != '#' || memcmp(buf, buf + 1, sizeof(buf) - 1) != 0)
        show("buf %08x %.16s", sum, buf);
    /* Input that was read ahead goes back, so that the size of a buffer does not show. */
    if (row->number == 0)
        fflush(stdin);
    else if (f && row->mode[0] == 'r' && !row->mode[1])
        fflush(f);
    else if (row->number > 0)
        fflush(row->number == 1 ? stdout : stderr);
    if (fd < 0 || fcntl(fd, F_GETFD) < 0)
        return;
    shared = dup(fd);
    if (f)
        show("fclose %d", fclose(f));
    show("offset %ld", (long)lseek(shared, 0, SEEK_CUR));
}

int main(int argc, char **argv)
{
    const struct probe *row;
    long result;
    int err;

    if (argc == 3 && (strcmp(argv[1], "cat") == 0 || strcmp(argv[1], "add") == 0))
        return as_child(argv[1], atoi(argv[2]));
    if (argc != 3) {
        for (const struct probe *const *at = __start_probes; at < __stop_probes; at++)
            printf("%s/%s\n", (*at)->symbol, (*at)->variant);
        return 0;
    }
    self = "/proc/self/exe";
    path = argv[2];
    row = __start_probes[atoi(argv[1])];
    report = fcntl(1, F_DUPFD, 100);
    memset(buf, '#', sizeof(buf));
    prepare(row);
    errno = 0;
    result = row->run();
    err = errno;
    show("= %ld %s", result, err ? strerrorname_np(err) : "-");
    show_after(row);
    return 0;
}

/*
 * Directories, files and random numbers for tests. Everything fails by an
 * assertion, so that a test's body need not look at results that are not its point.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "support.h"

static char tmp_path[4096];

/* All threads' reads may throw bytes into the engine's sink at once; nobody reads them. */
const char *__tsan_default_suppressions(void);
const char *__tsan_default_suppressions(void)
{
    return "race:^sink$\n";
}

static void begin_in(const char *base)
{
    check_begin();
    snprintf(tmp_path, sizeof(tmp_path), "%s/addcow-unit-XXXXXX", base);
    check(mkdtemp(tmp_path) && chdir(tmp_path) == 0, "%s: %m", tmp_path);
}

void tmp_begin(void)
{
    const char *base = getenv("TMPDIR");

    begin_in(base && base[0] ? base : "/tmp");
}

void tmp_begin_in_memory(void)
{
    if (access("/dev/shm", W_OK) == 0)
        begin_in("/dev/shm");
    else
        tmp_begin();
}

static int remove_entry(const char *path, const struct stat *st, int kind, struct FTW *ftw)
{
    (void)st;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void tmp_end(void)
{
    check(chdir("/") == 0);
    check(nftw(tmp_path, remove_entry, 16, FTW_DEPTH | FTW_PHYS) == 0, "%s: %m", tmp_path);
}

/* xorshift64*; a state of zero would stay there. */
uint64_t rnd_next(struct rnd *rnd)
{
    uint64_t x = rnd->state ? rnd->state : 0x9e3779b97f4a7c15ull;

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    rnd->state = x;
    return x * 0x2545f4914f6cdd1dull;
}

uint64_t rnd_below(struct rnd *rnd, uint64_t limit)
{
    return limit ? (rnd_next(rnd) >> 11) % limit : 0;
}

bool rnd_percent(struct rnd *rnd, unsigned percent)
{
    return rnd_below(rnd, 100) < percent;
}

void rnd_fill(struct rnd *rnd, void *buf, size_t len)
{
    uint8_t *out = buf;

    while (len > 0) {
        uint64_t x = rnd_next(rnd);
        size_t here = len < sizeof(x) ? len : sizeof(x);

        memcpy(out, &x, here);
        out += here;
        len -= here;
    }
}

uint64_t test_seed(uint64_t fallback)
{
    const char *text = getenv("ADDCOW_TEST_SEED");

    return (text ? strtoull(text, NULL, 0) * 1000003 : 0) + fallback;
}

unsigned test_rounds(unsigned usual)
{
    const char *text = getenv("ADDCOW_TEST_ROUNDS");

    return usual * (text ? (unsigned)strtoul(text, NULL, 0) : 1);
}

bool test_all_faults(void)
{
    const char *wanted = getenv("ADDCOW_FAULTS");

    return wanted && strcmp(wanted, "all") == 0;
}

struct blob file_get(const char *path)
{
    int fd = open(path, O_RDONLY);
    struct blob blob;
    struct stat st;
    size_t done = 0;

    check(fd >= 0 && fstat(fd, &st) == 0, "%s: %m", path);
    blob.len = (size_t)st.st_size;
    blob.data = malloc(blob.len + 1);
    check(blob.data);
    while (done < blob.len) {
        ssize_t n = read(fd, blob.data + done, blob.len - done);

        check(n > 0, "%s: %m", path);
        done += (size_t)n;
    }
    close(fd);
    return blob;
}

void file_put(const char *path, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    check(fd >= 0 && write(fd, data, len) == (ssize_t)len, "%s: %m", path);
    close(fd);
}

void file_size(const char *path, uint64_t size)
{
    int fd = open(path, O_WRONLY | O_CREAT, 0644);

    check(fd >= 0 && ftruncate(fd, (off_t)size) == 0, "%s: %m", path);
    close(fd);
}

void file_poke(const char *path, uint64_t off, const void *data, size_t len)
{
    int fd = open(path, O_WRONLY);

    check(fd >= 0 && pwrite(fd, data, len, (off_t)off) == (ssize_t)len, "%s: %m", path);
    close(fd);
}

int64_t file_len(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_size : -1;
}

bool file_same(const char *path, struct blob blob)
{
    struct blob now = file_get(path);
    bool same = now.len == blob.len && memcmp(now.data, blob.data, blob.len) == 0;

    free(now.data);
    return same;
}

static int count_entries(const char *path)
{
    DIR *dir = opendir(path);
    int count = 0;

    check(dir, "%s: %m", path);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

int dir_count(void)
{
    return count_entries(".") - 2;
}

int open_fds(void)
{
    return count_entries("/proc/self/fd");
}

/* Of files: what malloc maps is none of a test's business. */
int mappings(void)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[4096 + 256];
    int count = 0;

    check(maps);
    while (fgets(line, sizeof(line), maps))
        if (strstr(line, ".add-cow") || strstr(line, "addcow-run"))
            count++;
    fclose(maps);
    return count;
}

void pattern(void *buf, uint64_t off, size_t len, unsigned tag)
{
    uint8_t *out = buf;

    for (size_t i = 0; i < len; i++) {
        uint64_t at = off + i;

        out[i] = (uint8_t)((at * 7 + at / 512 * 31 + tag * 53) % 255 + 1);
    }
}

void file_pattern(const char *path, uint64_t off, size_t len, unsigned tag)
{
    uint8_t *buf = malloc(len + 1);

    check(buf);
    pattern(buf, off, len, tag);
    if (file_len(path) < (int64_t)(off + len))
        file_size(path, off + len);
    file_poke(path, off, buf, len);
    free(buf);
}

int wait_child(pid_t pid)
{
    int status;
    pid_t ended;

    do
        ended = waitpid(pid, &status, 0);
    while (ended < 0 && errno == EINTR);
    check(pid > 0 && ended == pid, "%m");
    return WIFEXITED(status) ? WEXITSTATUS(status) : 256 + WTERMSIG(status);
}

pid_t fork_child(void)
{
    pid_t pid;

    fflush(NULL);
    pid = fork();
    check(pid >= 0, "%m");
    if (pid == 0)
        prctl(PR_SET_PDEATHSIG, SIGKILL);
    return pid;
}

int in_child(int (*fn)(void *arg), void *arg)
{
    pid_t pid = fork_child();

    if (pid == 0)
        _exit(fn(arg));
    return wait_child(pid);
}

void *shared_memory(size_t len)
{
    void *map = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE,
                     -1, 0);

    check(map != MAP_FAILED, "%m");
    return map;
}

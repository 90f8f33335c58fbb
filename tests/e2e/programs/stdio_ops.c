/* stdio on a disk, one way of use per mode: `stdio_ops MODE FILE`. */
#define _GNU_SOURCE
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "ops.h"

static void do_read(const char *path)
{
    FILE *f = must_fopen(path, "r");

    show("first", f, 100);
    show("big", f, 60000);
    show("odd", f, 4099);
    printf("blocks %zu\n", fread(buf, 700, 20, f));
    printf("close %d\n", fclose(f));
    f = must_fopen(path, "rb");
    size_t total = 0, got;
    uint32_t h = 0;
    while ((got = fread(buf, 1, 5000, f)) > 0) {
        total += got;
        h = h * 31 + sum(buf, got);
    }
    printf("all %zu %08x\n", total, h);
    show("past the end", f, 10);
    fclose(f);
}

static void do_getc(const char *path)
{
    FILE *f = must_fopen(path, "r");
    uint32_t h = 0;
    long n = 0;
    int c;

    while ((c = n % 2 ? getc(f) : fgetc_unlocked(f)) != EOF) {
        h = h * 31 + (unsigned)c;
        n++;
    }
    printf("%ld %08x at %ld eof %d\n", n, h, ftell(f), feof(f));
    rewind(f);
    printf("%d eof %d\n", fgetc(f), feof(f));
    fclose(f);
}

static void do_fgets(const char *path)
{
    FILE *f = must_fopen(path, "r");
    char *line = NULL;
    size_t room = 0, n = 0;
    ssize_t len;
    uint32_t h = 0;

    for (int i = 0; i < 50 && fgets(buf, 300, f); i++)
        h = h * 31 + sum(buf, strlen(buf));
    printf("fgets %08x at %lld\n", h, (long long)ftello(f));
    while ((len = getline(&line, &room, f)) > 0) {
        h = h * 31 + sum(line, (size_t)len);
        n++;
    }
    printf("getline %zu %08x\n", n, h);
    fseeko(f, 1000, SEEK_SET);
    len = getdelim(&line, &room, 'e', f);
    printf("getdelim %zd %08x\n", len, sum(line, (size_t)len));
    free(line);
    fclose(f);
}

static void do_seek(const char *path)
{
    FILE *f = must_fopen(path, "r");
    fpos_t pos;

    printf("%d\n", fseeko(f, 5000, SEEK_SET));
    show("at 5000", f, 700);
    printf("%d\n", fseek(f, -300, SEEK_CUR));
    show("back", f, 300);
    printf("%d %lld\n", fseeko(f, -20, SEEK_END), (long long)ftello(f));
    show("tail", f, 100);
    fgetpos(f, &pos);
    rewind(f);
    show("start", f, 3);
    fsetpos(f, &pos);
    printf("%lld eof %d\n", (long long)ftello(f), feof(f));
    printf("%d %lld\n", fseeko(f, 1 << 30, SEEK_SET), (long long)ftello(f));
    show("past", f, 5);
    errno = 0;
    said("seek", fseeko(f, -1, SEEK_SET));
    for (int i = 0; i < 300; i++) {
        fseek(f, (i * 7919) % 200000, SEEK_SET);
        buf[i] = (char)fgetc(f);
    }
    printf("%08x\n", sum(buf, 300));
    fclose(f);
}

static void do_ungetc(const char *path)
{
    FILE *f = must_fopen(path, "r");

    printf("%d\n", ungetc('x', f));
    show("ungot", f, 3);
    ungetc('q', f);
    printf("at %ld %c\n", ftell(f), fgetc(f));
    fseek(f, 4095, SEEK_SET);
    for (int i = 0; i < 20; i++) {
        int c = fgetc(f);
        ungetc(c, f);
        printf("%d ", fgetc(f) == c);
    }
    printf("at %ld\n", ftell(f));
    fclose(f);
}

static void do_setvbuf(const char *path)
{
    static char own[777];
    int kinds[] = { _IONBF, _IOLBF, _IOFBF };

    for (int i = 0; i < 3; i++) {
        FILE *f = must_fopen(path, "r");

        printf("%d\n", setvbuf(f, i ? own : NULL, kinds[i], i ? sizeof(own) : 0));
        show("a", f, 10);
        show("b", f, 3000);
        fseek(f, 400, SEEK_SET);
        show("c", f, 1);
        fclose(f);
    }
}

static void do_fdopen(const char *path)
{
    int fd = open(path, O_RDONLY);

    lseek(fd, 1234, SEEK_SET);
    FILE *f = fdopen(fd, "r");
    printf("fileno %d at %ld\n", fileno(f) == fd, ftell(f));
    show("from 1234", f, 500);
    fflush(f);
    printf("offset after fflush %lld\n", (long long)lseek(fd, 0, SEEK_CUR));
    printf("close %d\n", fclose(f));
    said("read", read(fd, buf, 1));
    fd = open(path, O_RDONLY);
    errno = 0;
    f = fdopen(fd, "w");
    printf("%s %s\n", f ? "opened" : "refused", f ? "" : strerror(errno));
    if (f)
        fclose(f);
}

static void do_rplus(const char *path)
{
    FILE *f = must_fopen(path, "r+");

    show("r+", f, 10);
    fseek(f, 1000, SEEK_SET);
    printf("%zu\n", fwrite("written", 1, 7, f));
    printf("at %ld\n", ftell(f));
    fseek(f, 995, SEEK_SET);
    show("back", f, 20);
    fseek(f, 0, SEEK_CUR);
    fputs("after a read", f);
    fflush(f);
    struct stat st;
    fstat(fileno(f), &st);
    printf("size %lld\n", (long long)st.st_size);
    fseek(f, 0, SEEK_END);
    fputs("at the end", f);
    printf("close %d\n", fclose(f));
}

static void do_update(const char *path)
{
    FILE *f = must_fopen(path, "r+b");

    for (int i = 0; i < 500; i++) {
        long at = (i * 7919L) % 150000;
        unsigned char c;

        fseek(f, at, SEEK_SET);
        c = (unsigned char)fgetc(f);
        fseek(f, at, SEEK_SET);
        fputc(c ^ 0x55, f);
    }
    printf("close %d\n", fclose(f));
}

static void do_append(const char *path)
{
    FILE *f = must_fopen(path, "a");

    fputs("appended", f);
    fseek(f, 0, SEEK_SET);
    fputs(" twice", f);
    fflush(f);
    printf("at %ld\n", ftell(f));
    FILE *g = must_fopen(path, "a");
    fputs(" other", g);
    fclose(g);
    fputs(" third", f);
    fclose(f);
    f = must_fopen(path, "r");
    fseek(f, -30, SEEK_END);
    show("tail", f, 100);
    fclose(f);
}

static void do_aplus(const char *path)
{
    FILE *f = must_fopen(path, "a+");

    show("start", f, 20);
    fseek(f, 0, SEEK_CUR);
    fputs("more", f);
    fflush(f);
    fseek(f, -8, SEEK_END);
    show("tail", f, 100);
    rewind(f);
    show("start", f, 20);
    fclose(f);
}

static void do_write(const char *path)
{
    FILE *f = must_fopen(path, "r+");

    for (int i = 0; i < 20000; i++)
        fprintf(f, "%d,", i);
    printf("at %ld\n", ftell(f));
    for (int i = 0; i < 3000; i++)
        putc(i & 255, f);
    memset(buf, 'z', sizeof(buf));
    printf("%zu\n", fwrite(buf, 1, sizeof(buf), f));
    printf("error %d flush %d\n", ferror(f), fflush(f));
    printf("close %d\n", fclose(f));
}

static void do_wplus(const char *path)
{
    FILE *f = must_fopen(path, "w+");

    show("empty", f, 10);
    for (int i = 0; i < 3000; i++)
        fprintf(f, "line %d\n", i);
    rewind(f);
    show("again", f, 60000);
    fseek(f, 700, SEEK_SET);
    fputs("XX", f);
    fseek(f, 695, SEEK_SET);
    show("patched", f, 12);
    printf("truncate %d\n", ftruncate(fileno(f), 900));
    fseek(f, 0, SEEK_END);
    printf("at %ld\n", ftell(f));
    fclose(f);
}

static void do_wtrunc(const char *path)
{
    struct stat st;
    FILE *f = must_fopen(path, "w");

    stat(path, &st);
    printf("size %lld\n", (long long)st.st_size);
    fseek(f, 3000, SEEK_SET);
    fputc('x', f);
    fclose(f);
    stat(path, &st);
    printf("size %lld\n", (long long)st.st_size);
}

static void do_printf(const char *path)
{
    FILE *f = must_fopen(path, "r+");
    int n = -1;

    printf("%d\n", fprintf(f, "%s %d %5.2f %n|%30s|\n", "text", 42, 3.14159, &n, "right"));
    printf("%d %d\n", n, fputs("plain\n", f));
    fclose(f);
    f = must_fopen(path, "r");
    char word[100];
    int number;
    printf("%d\n", fscanf(f, "%99s %d", word, &number));
    fclose(f);
}

static void do_dprintf(const char *path)
{
    int fd = must_open(path, O_RDWR);

    printf("%d\n", dprintf(fd, "%s %d\n", "number", 42));
    printf("%lld\n", (long long)lseek(fd, 0, SEEK_CUR));
    close(fd);
}

static void do_memory(const char *path)
{
    FILE *f = must_fopen(path, "rm");

    show("mode m", f, 3000);
    fclose(f);
    f = must_fopen(path, "re");
    printf("cloexec %d\n", fcntl(fileno(f), F_GETFD));
    fclose(f);
    f = fopen(path, "wx");
    printf("exclusive %s\n", f ? "opened" : strerror(errno));
    f = fopen(path, "q");
    printf("bad mode %s\n", f ? "opened" : strerror(errno));
}

static void do_large(const char *path)
{
    FILE *f = must_fopen(path, "r");

    printf("%d %lld\n", fseeko(f, 5LL << 30, SEEK_SET), (long long)ftello(f));
    show("past 5 GiB", f, 10);
    fclose(f);
}

static void do_eof(const char *path)
{
    FILE *f = must_fopen(path, "r");

    fseek(f, 0, SEEK_END);
    printf("%d eof %d\n", fgetc(f), feof(f));
    clearerr(f);
    printf("eof %d\n", feof(f));
    printf("%d\n", fputc('x', f));
    printf("error %d\n", ferror(f));
    fclose(f);
    f = must_fopen(path, "r");
    fclose(f);
}

static void do_dup(const char *path)
{
    FILE *f = must_fopen(path, "r+");
    int fd = dup(fileno(f));

    fseek(f, 2000, SEEK_SET);
    fputs("through stdio", f);
    fclose(f);
    printf("%lld\n", (long long)lseek(fd, 0, SEEK_CUR));
    printf("%zd\n", write(fd, "direct", 6));
    printf("%zd %.19s\n", pread(fd, buf, 19, 2000), buf);
    close(fd);
}

static FILE *shared;

static void *writer(void *arg)
{
    for (int i = 0; i < 500; i++)
        fprintf(shared, "%c%c%c%c%c%c%c\n", *(char *)arg, *(char *)arg, *(char *)arg,
                *(char *)arg, *(char *)arg, *(char *)arg, *(char *)arg);
    return NULL;
}

static void do_threads(const char *path)
{
    pthread_t t[4];
    char names[] = "abcd";
    int count[4] = { 0 }, torn = 0;

    shared = must_fopen(path, "w");
    for (int i = 0; i < 4; i++)
        pthread_create(&t[i], NULL, writer, &names[i]);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    fclose(shared);
    shared = must_fopen(path, "r");
    while (fgets(buf, 100, shared)) {
        torn += strlen(buf) != 8 || strspn(buf, (char[]){ buf[0], 0 }) != 7;
        count[(buf[0] - 'a') & 3]++;
    }
    printf("%d %d %d %d torn %d\n", count[0], count[1], count[2], count[3], torn);
    fclose(shared);
    shared = must_fopen(path, "w");
    fclose(shared);
}

static void do_exit(const char *path)
{
    FILE *f = must_fopen(path, "r+");

    fseek(f, 3000, SEEK_SET);
    fputs("flushed by exit", f);
}

static void do_wide(const char *path)
{
    FILE *f = must_fopen(path, "r");

    long n = 0;

    printf("%d\n", fwide(f, 0));
    printf("%d\n", fwide(f, 1) > 0);
    for (wint_t c; (c = fgetwc(f)) != WEOF && n < 50; n++)
        printf("%x ", (unsigned)c);
    printf("%ld\n", n);
    fclose(f);
}

static void do_lock(const char *path)
{
    FILE *f = must_fopen(path, "r");

    flockfile(f);
    printf("%d %d\n", getc_unlocked(f) >= 0, ftrylockfile(f));
    funlockfile(f);
    funlockfile(f);
    printf("%d\n", fcntl(fileno(f), F_GETFL) & O_ACCMODE);
    fclose(f);
    printf("%d\n", fcloseall());
}

static void do_open_modes(const char *path)
{
    const char *modes[] = { "r", "rb", "r+", "rb+", "r+b", "a", "a+", "ab", "re", "rc", "w", "w+" };

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        FILE *f = must_fopen(path, modes[i]);

        printf("%s: flags %x at %ld", modes[i],
               fcntl(fileno(f), F_GETFL) & (O_ACCMODE | O_APPEND), ftell(f));
        printf(" getc %d", fgetc(f));
        clearerr(f);
        fseek(f, 0, SEEK_END);
        printf(" putc %d", fputc('x', f));
        printf(" close %d\n", fclose(f));
    }
}

static const struct mode modes[] = {
    { "read", do_read }, { "getc", do_getc }, { "fgets", do_fgets }, { "seek", do_seek },
    { "ungetc", do_ungetc }, { "setvbuf", do_setvbuf }, { "fdopen", do_fdopen },
    { "rplus", do_rplus }, { "update", do_update }, { "append", do_append }, { "aplus", do_aplus },
    { "write", do_write }, { "wplus", do_wplus }, { "wtrunc", do_wtrunc }, { "printf", do_printf },
    { "dprintf", do_dprintf }, { "memory", do_memory }, { "large", do_large }, { "eof", do_eof },
    { "dup", do_dup }, { "threads", do_threads }, { "exit", do_exit }, { "wide", do_wide },
    { "lock", do_lock }, { "open_modes", do_open_modes },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}

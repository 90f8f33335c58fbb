/*
 * Streams that change their file, their mode or their number, and wide characters read by
 * format: `stream_ops MODE FILE`.
 */
#define _GNU_SOURCE
#include <locale.h>
#include <stdarg.h>
#include <stdio_ext.h>
#include <sys/stat.h>
#include <unistd.h>
#include <wchar.h>

#include "ops.h"

static void to(FILE *f, const char *path, const char *mode)
{
    FILE *made = freopen(path, mode, f);

    printf("freopen %s: %s, fileno %d flags %x cloexec %d\n", mode, made == f ? "same" : "other",
           fileno(f), (unsigned)fcntl(fileno(f), F_GETFL) & (O_ACCMODE | O_APPEND),
           fcntl(fileno(f), F_GETFD));
}

static void do_same(const char *path)
{
    FILE *f = must_fopen("in/text", "r"), *noted = f;

    show("other file", f, 30);
    ungetc('u', f);
    to(f, path, "r");
    show("disk", f, 30);
    printf("%d %s", getc(noted), fgets(buf, 50, noted) ? "a line\n" : "none\n");
    ungetc('u', f);
    ungetc('v', f);
    to(f, "in/text", "r");
    show("other file", noted, 30);
    to(f, path, "re");
    show("disk", noted, 60000);
    fseeko(noted, -5, SEEK_END);
    show("tail", f, 10);
    to(f, path, "r");
    show("disk to disk", f, 30);
    printf("close %d\n", fclose(f));
    f = fdopen(must_open("in/text", O_RDONLY), "r");
    to(f, path, "r");
    show("of fdopen", f, 30);
    fclose(f);
    printf("left %d\n", fcntl(3, F_GETFD));
    for (int i = 0; i < 200; i++) {
        f = must_fopen("in/text", "r");
        if (freopen(path, "r", f) != f || getc(f) == EOF || fclose(f))
            printf("round %d\n", i);
    }
}

/* What is pending goes to the old file. */
static void do_pending(const char *path)
{
    FILE *f = must_fopen("pending", "w");

    fputs("to the old file", f);
    to(f, path, "r+");
    fputs("to the disk", f);
    to(f, "pending", "a");
    fputs(", and more", f);
    to(f, path, "a");
    fputs("the end", f);
    to(f, "pending", "r");
    show("pending", f, 100);
    to(f, path, "w+");
    fputs("all there is", f);
    rewind(f);
    show("disk", f, 100);
    fclose(f);
    unlink("pending");
}

static void do_mode(const char *path)
{
    FILE *f = must_fopen(path, "r");
    int fd = fileno(f);

    show("read", f, 50);
    printf("write %d\n", fputc('x', f));
    to(f, NULL, "r+");
    show("read", f, 50);
    fseek(f, 3000, SEEK_SET);
    printf("write %d\n", fputs("update", f));
    to(f, NULL, "a");
    printf("read %d\n", fgetc(f));
    clearerr(f);
    fputs("appended", f);
    to(f, NULL, "a+");
    show("start", f, 20);
    to(f, NULL, "rb");
    fseek(f, -20, SEEK_END);
    show("tail", f, 100);
    printf("number %d\n", fileno(f) == fd);
    to(f, NULL, "w+");
    fputs("new", f);
    printf("close %d\n", fclose(f));
    f = must_fopen(path, "r");
    show("read", f, 50);
    fclose(f);
}

static void do_fails(const char *path)
{
    FILE *f = must_fopen(path, "r"), *g = must_fopen("in/text", "r");

    printf("absent %d", freopen("absent/x", "r", f) != NULL);
    printf(" %s\n", strerror(errno));
    printf("closed %d\n", fcntl(3, F_GETFD));
    printf("exclusive %d", freopen(path, "wx", g) != NULL);
    printf(" %s\n", strerror(errno));
    printf("closed %d\n", fcntl(4, F_GETFD));
    f = must_fopen(path, "r");
    printf("mode %d", freopen(path, "q", f) != NULL);
    printf(" %s\n", strerror(errno));
    f = must_fopen(path, "r");
    printf("directory %d", freopen("in", "w", f) != NULL);
    printf(" %s\n", strerror(errno));
    printf("next %d\n", must_open(path, O_RDONLY));
}

static void do_standard(const char *path)
{
    FILE *in = freopen(path, "r", stdin);

    printf("%d fileno %d\n", in == stdin, fileno(stdin));
    show("disk", stdin, 30);
    to(in, "in/text", "r");
    printf("%d\n", in == stdin);
    show("text", stdin, 30);
    printf("%d\n", getchar());
    to(in, path, "r");
    show("disk", in, 30);
    printf("%d\n", getchar());
    to(stdin, NULL, "r");
    printf("%d\n", getchar());
    freopen("/dev/null", "r", stdin);
    printf("%d %d\n", getchar(), feof(stdin));
    fclose(stdin);
}

static void do_dup_over(const char *path)
{
    struct flock fl = { .l_type = F_WRLCK, .l_start = 10, .l_len = 5 };
    FILE *f = must_fopen("in/text", "r");
    int fd = must_open(path, O_RDWR), at = fileno(f);

    dup2(fd, at);
    said("setlk", fcntl(fd, F_SETLK, &fl));
    printf("close %d\n", fclose(f));
    said("closed", fcntl(at, F_GETFD));
    said("read", read(at, buf, 10));
    fl.l_type = F_WRLCK;
    said("number", must_open("in/text", O_RDONLY) - at);
    got("other file", read(at, buf, 20));
    got("disk", pread(fd, buf, 20, 0));
    said("write", pwrite(fd, "still", 5, 100));
    close(at);
    f = must_fopen("in/text", "r");
    dup2(fd, fileno(f));
    to(f, NULL, "r");
    show("now the disk", f, 30);
    fclose(f);
    f = must_fopen(path, "r");
    getc(f);
    at = fileno(f);
    dup2(must_open("in/text", O_RDONLY), at);
    fseek(f, 0, SEEK_SET);
    show("now the text", f, 30);
    printf("close %d\n", fclose(f));
    said("closed", fcntl(at, F_GETFD));
}

static void do_memory(const char *path)
{
    char memory[64] = "some text\n", *made = NULL;
    size_t len = 0;
    FILE *disk = must_fopen(path, "r"), *f = fmemopen(memory, sizeof(memory), "r+");

    show("memory", f, 9);
    fseek(f, 5, SEEK_SET);
    fputs("memo", f);
    printf("close %d %s", fclose(f), memory);
    f = open_memstream(&made, &len);
    fprintf(f, "%d %s", 7, "seven");
    printf("close %d", fclose(f));
    printf(" %s %zu\n", made, len);
    free(made);
    f = tmpfile();
    fputs("temporary", f);
    rewind(f);
    show("tmpfile", f, 20);
    fclose(f);
    f = popen("cat", "w");
    fflush(stdout);
    fputs("through a pipe\n", f);
    printf("pclose %d\n", pclose(f));
    show("disk", disk, 20);
    fclose(disk);
}

static void do_buffers(const char *path)
{
    static char own[4096];
    FILE *f = must_fopen(path, "r+");
    int fd = fileno(f);

    printf("size before %zu\n", __fbufsize(f));
    printf("setvbuf %d\n", setvbuf(f, own, _IOFBF, sizeof(own)));
    show("read", f, 10);
    printf("size %zu offset %ld\n", __fbufsize(f), (long)lseek(fd, 0, SEEK_CUR));
    rewind(f);
    printf("setvbuf %d\n", setvbuf(f, NULL, _IONBF, 0));
    show("read", f, 10);
    printf("size %zu offset %ld\n", __fbufsize(f), (long)lseek(fd, 0, SEEK_CUR));
    fputs("unbuffered", f);
    printf("offset %ld\n", (long)lseek(fd, 0, SEEK_CUR));
    printf("setvbuf %d\n", setvbuf(f, NULL, _IOLBF, 1024));
    fputs("a line\nand a", f);
    printf("offset %ld line %d\n", (long)lseek(fd, 0, SEEK_CUR), __flbf(f));
    setlinebuf(f);
    setbuf(f, own);
    fflush(f);
    rewind(f);
    for (int i = 0; i < 4; i++)
        printf("ungetc %d ", ungetc('a' + i, f));
    show("pushed back", f, 8);
    printf("ungetc %d eof %d\n", ungetc(EOF, f), feof(f));
    fseek(f, 0, SEEK_END);
    printf("%d eof %d", getc(f), feof(f));
    printf(" ungetc %d eof %d\n", ungetc('e', f), feof(f));
    show("pushed back", f, 8);
    fclose(f);
}

static void do_fopen_modes(const char *path)
{
    const char *modes[] = { "wx", "w+x", "ax", "rx", "re", "r+e", "rm", "rc", "rbm", "r,ccs=UTF-8" };

    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        FILE *f = fopen(path, modes[i]);

        printf("%s: %s", modes[i], f ? "opened" : strerror(errno));
        if (f) {
            printf(" cloexec %d", fcntl(fileno(f), F_GETFD));
            fclose(f);
        }
        printf("\n");
    }
    struct stat st;
    stat(path, &st);
    said("size", st.st_size);
}

static const char wide_text[] = "12 -7 0x1f w\303\266rter  3.25 \342\202\254uro end\nnext [abc] 99%";

static FILE *with_text(const char *path)
{
    FILE *f = must_fopen(path, "r+");

    fputs(wide_text, f);
    fclose(f);
    return must_fopen(path, "r");
}

static int scan(FILE *f, const wchar_t *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = vfwscanf(f, format, args);
    va_end(args);
    return n;
}

static void do_wscanf(const char *path)
{
    wchar_t word[64] = L"", set[64] = L"", c = 0, *grown = NULL;
    char narrow[64] = "";
    int a = 0, b = 0, x = 0, n = 0;
    double d = 0;

    setlocale(LC_ALL, "C.UTF-8");
    FILE *f = with_text(path);
    printf("%d", fwscanf(f, L"%d %d %i", &a, &b, &x));
    printf(" %d %d %d at %ld wide %d\n", a, b, x, ftell(f), fwide(f, 0) > 0);
    printf("%d", scan(f, L"%63ls %lf %n", word, &d, &n));
    printf(" %ls %f %d at %ld\n", word, d, n, ftell(f));
    printf("%d", fwscanf(f, L"%lc%ms", &c, &grown));
    printf(" %lc at %ld\n", (wint_t)c, ftell(f));
    free(grown);
    printf("%d at %ld\n", fwscanf(f, L"%d", &a), ftell(f));
    printf("next %lc\n", fgetwc(f));
    printf("%d", fwscanf(f, L"nd next [%63l[a-c]", set));
    printf(" %ls at %ld\n", set, ftell(f));
    printf("%d", fwscanf(f, L"] %d%%", &a));
    printf(" %d at %ld\n", a, ftell(f));
    fclose(f);

    truncate(path, sizeof(wide_text) - 1);
    f = must_fopen(path, "r");
    fseek(f, -3, SEEK_END);
    printf("%d", fwscanf(f, L"%d", &a));
    printf(" %d eof %d\n", a, feof(f));
    printf("%d eof %d\n", fwscanf(f, L"%%%d", &a), feof(f));
    printf("%d\n", fwscanf(f, L"%d", &a));
    fclose(f);
    f = freopen(path, "r", stdin);
    printf("%d", wscanf(L"%d %63s", &a, narrow));
    printf(" %d %s\n", a, narrow);
    printf("%ls", fgetws(word, 60, stdin));
}

/* A word that is longer than what is looked at in one go. */
static void do_wscanf_long(const char *path)
{
    static wchar_t word[200001];
    FILE *f = must_fopen(path, "w+");
    int number = 0;

    for (int i = 0; i < 150000; i++)
        fputc('a' + i % 26, f);
    fputs(" 42", f);
    fclose(f);
    f = must_fopen(path, "r");
    printf("%d", fwscanf(f, L"%200000ls", word));
    printf(" %zu %lc at %ld eof %d\n", wcslen(word), (wint_t)word[149999], ftell(f), feof(f));
    printf("%d", fwscanf(f, L"%d", &number));
    printf(" %d eof %d\n", number, feof(f));
    fclose(f);
}

static const struct mode modes[] = {
    { "same", do_same }, { "pending", do_pending }, { "mode", do_mode }, { "fails", do_fails },
    { "standard", do_standard }, { "dup_over", do_dup_over }, { "memory", do_memory },
    { "buffers", do_buffers }, { "fopen_modes", do_fopen_modes }, { "wscanf", do_wscanf },
    { "wscanf_long", do_wscanf_long },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}

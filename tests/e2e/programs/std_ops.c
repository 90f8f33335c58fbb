/*
 * The standard streams: a disk as stdin, stdout or stderr that this process
 * inherited, or that freopen put there. `std_ops MODE FILE`.
 */
#define _GNU_SOURCE
#include <unistd.h>

#include "ops.h"

static void do_freopen(const char *path)
{
    FILE *f = freopen(path, "r", stdin);

    for (int i = 0; i < 5; i++)
        printf("%d ", getchar());
    printf("at %ld fileno %d\n", ftell(stdin), fileno(stdin));
    f = freopen("in/text", "r", stdin);
    show("other file", f, 30);
    f = freopen(path, "r", f);
    show("disk again", f, 30);
    f = must_fopen(path, "r");
    f = freopen(path, "r", f);
    show("disk to disk", f, 30);
    fclose(f);
}

/* What freopen returns is the stream it was given: programs do not look at it. */
static void do_freopen_same(const char *path)
{
    FILE *f = must_fopen("in/text", "r");

    show("other file", f, 30);
    printf("%d\n", freopen(path, "r", f) == f);
    show("disk", f, 30);
    printf("%d\n", freopen("in/text", "r", f) == f);
    show("other file", f, 30);
    printf("close %d\n", fclose(f));
}

static void do_freopen_write(const char *path)
{
    int keep = dup(1);

    if (!freopen(path, "w", stdout))
        exit(2);
    printf("this goes to the disk\n");
    fprintf(stdout, "%d\n", 42);
    puts("and this");
    fflush(stdout);
    dup2(keep, 1);
    printf("and this to the old place\n");
}

static void do_stdin_getchar(const char *path)
{
    uint32_t h = 0;
    long n = 0;
    int c;

    (void)path;
    while ((c = getchar()) != EOF) {
        h = h * 31 + (unsigned)c;
        n++;
    }
    printf("%ld %08x\n", n, h);
}

static void do_stdin_fread(const char *path)
{
    (void)path;
    show("stdin", stdin, 60000);
    show("stdin", stdin, 1);
}

static void do_stdin_scanf(const char *path)
{
    char word[64] = "";
    int n = scanf("%63s", word);

    (void)path;
    printf("%d %08x\n", n, sum(word, strlen(word)));
    printf("%zd\n", (ssize_t)(fgets(buf, 200, stdin) ? strlen(buf) : 0));
}

static void do_stdin_seek(const char *path)
{
    (void)path;
    printf("%d\n", fseek(stdin, 3000, SEEK_SET));
    show("stdin", stdin, 300);
    fflush(stdin);
    printf("%lld\n", (long long)lseek(0, 0, SEEK_CUR));
    fclose(stdin);
    printf("%d\n", fcntl(0, F_GETFD));
}

static void do_stdin_mixed(const char *path)
{
    (void)path;
    printf("%zd %08x\n", read(0, buf, 100), sum(buf, 100));
    show("after read(0)", stdin, 100);
}

static void do_stdout_printf(const char *path)
{
    (void)path;
    printf("hello %d\n", 1);
    puts("world");
    putchar('x');
    fwrite("y\n", 1, 2, stdout);
}

static void do_stdout_seek(const char *path)
{
    (void)path;
    printf("0123456789");
    fseek(stdout, 3, SEEK_SET);
    printf("abc");
    fprintf(stderr, "at %ld\n", ftell(stdout));
}

static void do_stdout_buffered(const char *path)
{
    (void)path;
    for (int i = 0; i < 30000; i++)
        printf("%d\n", i);
    fflush(stdout);
    if (write(1, "raw\n", 4) != 4)
        exit(1);
    printf("end\n");
}

static void do_stderr(const char *path)
{
    (void)path;
    fprintf(stderr, "an error\n");
    errno = ENOENT;
    perror("name");
}

static const struct mode modes[] = {
    { "freopen", do_freopen }, { "freopen_same", do_freopen_same },
    { "freopen_write", do_freopen_write }, { "stdin_getchar", do_stdin_getchar },
    { "stdin_fread", do_stdin_fread }, { "stdin_scanf", do_stdin_scanf },
    { "stdin_seek", do_stdin_seek }, { "stdin_mixed", do_stdin_mixed },
    { "stdout_printf", do_stdout_printf }, { "stdout_seek", do_stdout_seek },
    { "stdout_buffered", do_stdout_buffered }, { "stderr", do_stderr },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}

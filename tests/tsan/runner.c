/*
 * Runs the unit tests where Criterion cannot: one after another, each in a child of fork.
 * An argument is a pattern of fnmatch for SUITE/NAME; options are Criterion's, and mean nothing here.
 * What is printed at the end has Criterion's form.
 */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define SKIPPED 77
#define DEADLINE 300            /* seconds; for a test that hangs, not one that is slow */

static struct tsan_test *tests, *suites;
static bool failed;
static FILE *said;              /* the runner's stderr, also where a test's goes elsewhere */

void tsan_register(struct tsan_test *test, bool suite)
{
    struct tsan_test **list = suite ? &suites : &tests;

    test->next = *list;
    *list = test;
}

void tsan_check(bool ok, bool fatal, const char *file, int line, const char *what,
                const char *format, ...)
{
    va_list args;

    if (ok)
        return;
    fprintf(said, "%s:%d: not so: %s:", file, line, what);
    va_start(args, format);
    vfprintf(said, format, args);
    va_end(args);
    fputc('\n', said);
    failed = true;
    if (fatal)
        exit(1);
}

void tsan_skip(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vfprintf(said, format, args);
    va_end(args);
    fputc('\n', said);
    _exit(SKIPPED);
}

void tsan_redirect(FILE *stream)
{
    FILE *file = tmpfile();

    if (!file || dup2(fileno(file), fileno(stream)) < 0)
        tsan_check(false, true, __FILE__, __LINE__, "redirected", " ");
    else
        fclose(file);
}

FILE *tsan_redirected(FILE *stream)
{
    char path[40];

    fflush(stream);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fileno(stream));
    return fopen(path, "r");
}

bool tsan_printed(FILE *stream, const char *text)
{
    char printed[8192];
    FILE *file = tsan_redirected(stream);
    size_t len = file ? fread(printed, 1, sizeof(printed), file) : 0;

    if (file)
        fclose(file);
    return len == strlen(text) && memcmp(printed, text, len) == 0;
}

static void run_here(const struct tsan_test *test)
{
    const struct tsan_test *suite = suites;

    said = fdopen(dup(STDERR_FILENO), "w");
    setvbuf(said, NULL, _IONBF, 0);
    while (suite && strcmp(suite->suite, test->suite))
        suite = suite->next;
    alarm(DEADLINE);
    if (suite && suite->init)
        suite->init();
    if (test->init)
        test->init();
    test->run();
    if (test->fini)
        test->fini();
    if (suite && suite->fini)
        suite->fini();
    exit(failed);
}

static int run_test(const struct tsan_test *test)
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        run_here(test);
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return -1;
    if (WIFSIGNALED(status) && WTERMSIG(status) == test->signal)
        return 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED)
        return SKIPPED;
    return !(WIFEXITED(status) && WEXITSTATUS(status) == test->exit_code);
}

int main(int argc, char **argv)
{
    const char *pattern = "*";
    int ran = 0, bad = 0;
    char name[256];

    for (int i = 1; i < argc; i++)
        if (argv[i][0] != '-')
            pattern = argv[i];

    for (const struct tsan_test *test = tests; test; test = test->next) {
        int result;

        snprintf(name, sizeof(name), "%s/%s", test->suite, test->name);
        if (test->disabled || fnmatch(pattern, name, 0))
            continue;
        result = run_test(test);
        if (result == SKIPPED) {
            fprintf(stderr, "[SKIP] %s\n", name);
            continue;
        }
        ran++;
        bad += result != 0;
        fprintf(stderr, "[%s] %s\n", result ? "FAIL" : "PASS", name);
    }
    fprintf(stderr, "[====] Synthesis: Tested: %d | Passing: %d | Failing: %d | Crashing: 0\n", ran,
            ran - bad, bad);
    return bad || !ran;
}

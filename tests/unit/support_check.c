/*
 * What a check that fails does: Criterion's assertion in the thread that began
 * the test, and the end of the process elsewhere. In a file of its own, because
 * the fuzz targets, which share the rest of the support, have no Criterion.
 */
#include <stdarg.h>

#include "support.h"

static pid_t test_thread;

void check_begin(void)
{
    test_thread = gettid();
}

void check_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    char text[1024];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (gettid() == test_thread)
        cr_assert_fail("%s:%d: %s:%s", file, line, condition, text);
    fprintf(stderr, "%s:%d: %s:%s\n", file, line, condition, text);
    _exit(99);
}

/* Taking an input apart; and what a failed check does here. */
#include <stdarg.h>
#include <stdlib.h>

#include "fuzz.h"

static pid_t fuzz_process;

void check_begin(void)
{
    fuzz_process = getpid();
}

/* A child's end is seen by the parent's check; that of the process itself by whoever watches it. */
void check_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    va_list args;

    fprintf(stderr, "%s:%d: %s:", file, line, condition);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    if (getpid() != fuzz_process)
        _exit(99);
    abort();
}

uint8_t input_byte(struct input *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

uint64_t input_number(struct input *in, unsigned bytes)
{
    uint64_t number = 0;

    for (unsigned i = 0; i < bytes; i++)
        number |= (uint64_t)input_byte(in) << 8 * i;
    return number;
}

uint64_t input_below(struct input *in, uint64_t limit)
{
    unsigned bytes = 1;

    while (bytes < 8 && limit - 1 >= 1ull << 8 * bytes)
        bytes++;
    return input_number(in, bytes) % limit;
}

struct input input_part(struct input *in, size_t len)
{
    struct input part = { in->at, len < in->left ? len : in->left };

    in->at += part.left;
    in->left -= part.left;
    return part;
}

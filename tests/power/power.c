/* Patterns, and how trouble is noted. */
#include "power.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static char found[512];

void pattern(void *buf, uint64_t off, uint64_t len, unsigned tag)
{
    uint8_t *out = buf;

    for (uint64_t i = 0; i < len; i++) {
        uint64_t at = off + i;

        out[i] = (uint8_t)(mix(at / 8 << 16 | tag) >> at % 8 * 8) | 1;
    }
}

void bury(void *memory)
{
    static struct grave {
        void *memory;
        struct grave *older;
    } *graves;
    struct grave *grave = malloc(sizeof(*grave));

    if (!grave)
        fatal("no memory");
    *grave = (struct grave){ memory, graves };
    graves = grave;
}

void fatal(const char *format, ...)
{
    va_list args;

    fprintf(stderr, "power: cannot go on: ");
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(2);
}

void breach(const char *format, ...)
{
    va_list args;

    if (found[0])
        return;
    va_start(args, format);
    vsnprintf(found, sizeof(found), format, args);
    va_end(args);
}

const char *breach_found(void)
{
    return found[0] ? found : NULL;
}

void breach_forget(void)
{
    found[0] = '\0';
}

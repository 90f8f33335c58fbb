/*
 * Numbers of bytes as qemu-img reads and prints them.
 *
 * The whole part is read as an integer, because a double has too few digits for
 * a large size; only the fraction is a double, rounded to bytes. An "e" is always
 * the suffix for 1024^6, never an exponent.
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

static const char units[] = "BKMGTPE";

/* Digits of `base` at *text, or -EINVAL if there is none. */
static int parse_whole(const char **text, unsigned base, uint64_t *value)
{
    const char *digits = base == 16 ? "0123456789abcdef" : "0123456789";
    const char *p = *text, *digit;
    int overflow = 0;

    *value = 0;
    for (; *p && (digit = strchr(digits, tolower((unsigned char)*p))); p++) {
        if (__builtin_mul_overflow(*value, base, value) ||
            __builtin_add_overflow(*value, (uint64_t)(digit - digits), value))
            overflow = 1;
    }
    if (p == *text)
        return -EINVAL;
    *text = p;
    return overflow ? -ERANGE : 0;
}

static uint64_t parse_unit(const char **text)
{
    const char *unit = **text ? strchr(units, toupper((unsigned char)**text)) : NULL;

    if (!unit)
        return 1;
    ++*text;
    return 1ull << (10 * (unit - units));
}

int bytes_parse(const char *text, uint64_t *bytes)
{
    unsigned base = 10;
    uint64_t value, unit, part;
    double fraction = 0;
    int err;

    while (isspace((unsigned char)*text))
        text++;
    if (*text == '+')
        text++;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
    }
    err = parse_whole(&text, base, &value);
    if (err == -EINVAL)
        return err;
    if (base == 10 && *text == '.') {
        fraction = strtod(text, NULL);
        text++;
        text += strspn(text, "0123456789");
    }
    unit = parse_unit(&text);
    if (*text || (unit == 1 && fraction != 0))
        return -EINVAL;
    fraction *= (double)unit;   /* exact: a power of two */
    part = (uint64_t)fraction;
    part += fraction - (double)part >= 0.5;
    if (err < 0 || __builtin_mul_overflow(value, unit, &value) ||
        __builtin_add_overflow(value, part, &value) || value > INT64_MAX)
        return -ERANGE;
    *bytes = value;
    return 0;
}

const char *bytes_human(uint64_t bytes, char out[BYTES_HUMAN_MAX])
{
    uint64_t unit = 1;
    unsigned i = 0;

    while (units[i + 1] && bytes >= unit * 1000) {
        unit *= 1024;
        i++;
    }
    snprintf(out, BYTES_HUMAN_MAX, "%0.3g ", (double)bytes / (double)unit);
    if (i > 0)
        snprintf(out + strlen(out), BYTES_HUMAN_MAX - strlen(out), "%ci", units[i]);
    strcat(out, "B");
    return out;
}

/*
 * Seeds, and inputs made from them by chance: bytes changed, numbers put in that are often
 * wrong, parts doubled, dropped, moved, and taken from other seeds. Nothing learns here, as
 * libFuzzer does; it is to see that what was found stays found, and what is near it.
 */
#include <ctype.h>
#include <stdlib.h>

#include "replay.h"

struct seed seed_read(const char *path)
{
    FILE *file = fopen(path, "r");
    struct seed seed = { path, malloc(FUZZ_INPUT_MAX), 0 };
    int c, digits = 0;

    if (!file || !seed.data) {
        fprintf(stderr, "%s: %m\n", path);
        exit(1);
    }
    while ((c = fgetc(file)) != EOF) {
        if (c == '#') {
            while (c != '\n' && c != EOF)
                c = fgetc(file);
        } else if (isxdigit(c) && seed.len < FUZZ_INPUT_MAX) {
            unsigned value = (unsigned)(isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);

            seed.data[seed.len] = (uint8_t)(digits % 2 ? seed.data[seed.len] << 4 | value : value);
            seed.len += digits++ % 2;
        } else if (!isspace(c)) {
            fprintf(stderr, "%s: not hex digits, or too many\n", path);
            exit(1);
        }
    }
    fclose(file);
    return seed;
}

void seed_print(FILE *out, const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        fprintf(out, "%02x%s", data[i],
                i % 32 == 31 || i + 1 == len ? "\n" : i % 4 == 3 ? " " : "");
}

static void put_number(struct rnd *rnd, uint8_t *out, size_t len)
{
    static const uint64_t numbers[] = {
        0, 1, 2, 0x7f, 0xff, 0x200, 0x1000, 0xffff, 0x7fffffff, 0xffffffff, 1ull << 50,
        INT64_MAX, UINT64_MAX, UINT64_MAX - 1,
    };
    uint64_t number = numbers[rnd_below(rnd, sizeof(numbers) / sizeof(numbers[0]))];
    size_t bytes = 1ull << rnd_below(rnd, 4), at;

    if (bytes > len)
        return;
    at = rnd_below(rnd, len - bytes + 1);
    memcpy(out + at, &number, bytes);
}

/* Copies a part of `from` into out at a place, by pushing the rest back or writing over it. */
static size_t put_part(struct rnd *rnd, uint8_t *out, size_t len, const uint8_t *from,
                       size_t from_len)
{
    uint8_t part[FUZZ_INPUT_MAX];
    size_t begin = rnd_below(rnd, from_len + 1), at = rnd_below(rnd, len + 1);
    size_t n = rnd_below(rnd, (from_len - begin < 64 ? from_len - begin : 64) + 1);

    if (n > FUZZ_INPUT_MAX - at)
        n = FUZZ_INPUT_MAX - at;
    memcpy(part, from + begin, n);
    if (rnd_percent(rnd, 50) && len + n <= FUZZ_INPUT_MAX) {
        memmove(out + at + n, out + at, len - at);
        len += n;
    }
    memcpy(out + at, part, n);
    return at + n > len ? at + n : len;
}

static size_t drop_part(struct rnd *rnd, uint8_t *out, size_t len)
{
    size_t at = rnd_below(rnd, len), n = 1 + rnd_below(rnd, len - at < 32 ? len - at : 32);

    memmove(out + at, out + at + n, len - at - n);
    return len - n;
}

size_t mutate(struct rnd *rnd, const struct seed *seeds, int nseeds, uint8_t *out)
{
    const struct seed *seed = &seeds[rnd_below(rnd, (uint64_t)nseeds)], *other;
    size_t len = seed->len;

    memcpy(out, seed->data, len);
    for (uint64_t times = 1 + rnd_below(rnd, 8); times > 0; times--) {
        uint64_t how = rnd_below(rnd, 8);

        if (len == 0)
            how = 6;
        switch (how) {
        case 0:
        case 1:
            out[rnd_below(rnd, len)] = (uint8_t)rnd_next(rnd);
            break;
        case 2:
            out[rnd_below(rnd, len)] ^= (uint8_t)(1 << rnd_below(rnd, 8));
            break;
        case 3:
            put_number(rnd, out, len);
            break;
        case 4:
            len = drop_part(rnd, out, len);
            break;
        case 5:
            len = put_part(rnd, out, len, out, len);
            break;
        case 6:
            other = &seeds[rnd_below(rnd, (uint64_t)nseeds)];
            len = put_part(rnd, out, len, other->data, other->len);
            break;
        default:
            rnd_fill(rnd, out + (len < FUZZ_INPUT_MAX - 16 ? len : FUZZ_INPUT_MAX - 16), 16);
            len = len < FUZZ_INPUT_MAX - 16 ? len + 16 : FUZZ_INPUT_MAX;
        }
    }
    return len;
}

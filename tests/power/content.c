/* A hash table of sectors; one script needs some hundreds. */
#include "content.h"

#include <string.h>

#define MOST 16384
#define TABLE (2 * MOST)

const struct content *content_zero;

static struct content pool[MOST];
static int npool;
static const struct content *table[TABLE];

void content_reset(void)
{
    static const uint8_t zeros[SECTOR];

    npool = 0;
    memset(table, 0, sizeof(table));
    content_zero = content_of(zeros, SECTOR);
}

static uint64_t hash(const uint8_t *bytes)
{
    uint64_t h[4] = { 1, 2, 3, 4 };

    for (size_t i = 0; i < SECTOR; i += sizeof(h)) {
        uint64_t words[4];

        memcpy(words, bytes + i, sizeof(words));
        for (int lane = 0; lane < 4; lane++)
            h[lane] = ((h[lane] ^ words[lane]) * 0x9fb21c651e98df25ull) ^ (h[lane] >> 29);
    }
    return mix(h[0] + 3 * mix(h[1] + 5 * mix(h[2] + 7 * mix(h[3]))));
}

const struct content *content_of(const void *bytes, uint64_t len)
{
    uint8_t whole[SECTOR] = { 0 };
    struct content *new;
    uint64_t h, at;

    if (len < SECTOR) {
        memcpy(whole, bytes, len);
        bytes = whole;
    }
    h = hash(bytes);
    for (at = h % TABLE; table[at]; at = (at + 1) % TABLE)
        if (table[at]->hash == h && memcmp(table[at]->bytes, bytes, SECTOR) == 0)
            return table[at];
    if (npool == MOST)
        fatal("one script has more than %d different sectors", MOST);
    new = &pool[npool++];
    new->hash = h;
    memcpy(new->bytes, bytes, SECTOR);
    table[at] = new;
    return new;
}

const struct content *content_cut(const struct content *content, uint64_t len)
{
    if (len >= SECTOR || content == content_zero)
        return content;
    return len ? content_of(content->bytes, len) : content_zero;
}

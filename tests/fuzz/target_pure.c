/*
 * The parts of the engine that work on memory alone: the header, the bitmaps, the
 * plan of a read, and the walk through a caller's buffers; each against the same
 * thing done one sector or one byte at a time.
 */
#include <stdlib.h>

#include "fuzz.h"
#include "format.h"
#include "iov.h"
#include "plan.h"

static void try_header(const uint8_t *data, size_t len)
{
    struct format_header header, again;
    uint8_t out[FORMAT_HEADER];
    const char *why = NULL;
    int r = format_decode(data, len, &header, &why);

    if (r < 0) {
        fuzz_check_line(why, "header");
        return;
    }
    check(len >= FORMAT_HEADER);
    format_encode(&header, out);
    check(format_decode(out, sizeof(out), &again, &why) == 0);
    check(memcmp(&header, &again, sizeof(header)) == 0);
    check(strcmp(header.image, (const char *)data + 1036) == 0);
    check(strcmp(header.backing, (const char *)data + 12) == 0);
}

/* ---- bitmaps ------------------------------------------------------------- */

/* Two pages of bits and their summary; what there is lies around where they meet. */
#define AREA (3 * BITS_PAGE)
#define WORDS (2 * BITS_PAGE_WORDS)
#define FIRST (BITS_PAGE_SECTORS - 1024)
#define SECTORS 2048u

static uint64_t committed[WORDS];
static uint64_t area[AREA / 8];

static void make_bits(struct input *in, struct bits *bits)
{
    uint8_t *summary = (uint8_t *)area;

    memset(committed, 0, sizeof(committed));
    memset(area, 0, sizeof(area));
    *bits = (struct bits){ committed, BITS_PAGE_WORDS + input_below(in, 20) - 10, (uint8_t *)area,
                           input_below(in, 3) };
    for (int page = 0; page < 2; page++)
        summary[page] = input_byte(in);
    for (unsigned n = input_byte(in) % 32; n > 0; n--) {
        uint64_t word = FIRST / 64 + input_below(in, SECTORS / 64);
        uint64_t value = input_number(in, 8);

        if (input_byte(in) % 2)
            committed[word] = value;
        else
            area[BITS_PAGE_WORDS + word] = value;
    }
}

static bool slow_pending(const struct bits *bits, uint64_t sector)
{
    uint64_t page = sector / BITS_PAGE_SECTORS;
    const uint8_t *bytes = (const uint8_t *)area;

    return page < bits->pages && bytes[page] == PAGE_DIRTY
           && (bytes[BITS_PAGE + sector / 8] >> sector % 8 & 1);
}

static bool slow_bit(const struct bits *bits, uint64_t sector)
{
    return slow_pending(bits, sector)
           || (sector / 64 < bits->committed_words
               && (((const uint8_t *)committed)[sector / 8] >> sector % 8 & 1));
}

static uint64_t slow_count(const struct bits *bits, uint64_t first, uint64_t count)
{
    uint64_t set = 0;

    for (uint64_t i = 0; i < count; i++)
        set += slow_bit(bits, first + i);
    return set;
}

static void try_bits(struct input *in, const struct bits *bits)
{
    uint64_t first = FIRST + input_below(in, SECTORS - 1);
    uint64_t count = 1 + input_below(in, FIRST + SECTORS - first);
    uint64_t set = slow_count(bits, first, count), run = 1, allocated, pending, slow = 0, page = 0;
    bool value;

    check(bits_mix(bits, first, count)
          == (set == 0 ? BITS_NONE : set == count ? BITS_ALL : BITS_MIXED));
    while (run < count && slow_bit(bits, first + run) == slow_bit(bits, first))
        run++;
    check(bits_run(bits, first, count, &value) == run && value == slow_bit(bits, first));
    bits_count(bits, first, count, &allocated, &pending);
    for (uint64_t i = 0; i < count; i++)
        slow += slow_pending(bits, first + i)
                && !(committed[(first + i) / 64] >> (first + i) % 64 & 1
                     && (first + i) / 64 < bits->committed_words);
    check(allocated == set && pending == slow);
    while (page < bits->pages && *bits_summary(bits, page) != PAGE_DIRTY)
        page++;
    check(bits_next_dirty(bits, 0) == page);
}

static void try_setting(struct input *in, struct bits *bits)
{
    uint64_t first = FIRST + input_below(in, SECTORS - 1);
    uint64_t count = 1 + input_below(in, FIRST + SECTORS - first);
    static bool before[SECTORS];

    bits->pages = 2;
    /* Pages that are not said to have bits have none. */
    for (int page = 0; page < 2; page++)
        if (*bits_summary(bits, (uint64_t)page) != PAGE_DIRTY)
            memset(bits_page(bits, (uint64_t)page), 0, BITS_PAGE);
    for (uint64_t i = 0; i < SECTORS; i++)
        before[i] = slow_bit(bits, FIRST + i);
    bits_set_pending(bits, first, count);
    for (uint64_t i = 0; i < SECTORS; i++)
        check(slow_bit(bits, FIRST + i)
              == (before[i] || (FIRST + i >= first && FIRST + i < first + count)));
}

static void try_plan(struct input *in, const struct bits *bits)
{
    uint64_t off = FIRST * 512ull + input_below(in, SECTORS * 256);
    size_t len = 1 + input_below(in, SECTORS * 256 - 1);
    uint64_t backing = FIRST * 512ull + input_below(in, SECTORS * 512), at = off;
    struct plan plan;

    plan_make(&plan, bits, backing, off, len);
    check(plan.off == off && plan.len <= len && plan.nruns > 0 && plan.nruns <= PLAN_RUNS);
    check(plan.len == len || plan.nruns == PLAN_RUNS);
    for (int i = 0; i < plan.nruns; i++) {
        const struct plan_run *run = &plan.runs[i];
        uint64_t end = at + run->len;

        check(run->len > 0 && (i == 0 || run->source != plan.runs[i - 1].source));
        while (at < end) {
            uint64_t next = at - at % 512 + 512;

            check(slow_bit(bits, at / 512) == (run->source == PLAN_IMAGE));
            if (run->source != PLAN_IMAGE)
                check((at < backing) == (run->source == PLAN_BACKING));
            at = next < end ? next : end;
            check(run->source != PLAN_BACKING || at <= backing);
        }
    }
    check(at == off + plan.len);
}

/* ---- buffers ------------------------------------------------------------- */

static uint8_t bytes[4096];

/* Buffers one behind the other in `bytes`, some of them empty. */
static int make_vector(struct input *in, struct iovec iov[16], size_t *len)
{
    int n = (int)input_below(in, 17);

    *len = 0;
    for (int i = 0; i < n; i++) {
        iov[i] = (struct iovec){ bytes + *len, input_byte(in) };
        *len += iov[i].iov_len;
    }
    return n;
}

static void try_vector(struct input *in)
{
    struct iovec iov[16], out[20], *rest = iov;
    size_t total, at, taken, want;
    int n = make_vector(in, iov, &total), pieces = 0, max = 1 + (int)input_below(in, 20);
    struct iov_cursor cursor = { iov, n, 0 };

    check(iov_total(iov, n) == (ssize_t)total);
    at = input_below(in, 300);
    iov_skip(&cursor, at);
    at = at < total ? at : total;
    want = input_below(in, 4096);
    taken = iov_take(&cursor, want, out, &pieces, max);
    check(pieces <= max && taken <= want);
    check(taken == want || at + taken == total || pieces == max);
    for (int i = 0; i < pieces; i++) {
        check(out[i].iov_base == bytes + at && out[i].iov_len > 0);
        at += out[i].iov_len;
        taken -= out[i].iov_len;
    }
    check(taken == 0);
    memset(bytes, 1, sizeof(bytes));
    want = input_below(in, 4096);
    iov_zero(&cursor, want);
    want = want < total - at ? want : total - at;
    for (size_t i = 0; i < total; i++)
        check(bytes[i] == !(i >= at && i < at + want));
    want = input_below(in, total + 1);
    iov_advance(&rest, &n, want);
    check(want == total ? n == 0 : rest->iov_base == bytes + want && rest->iov_len > 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct input in = { data, len };
    struct bits bits;

    check_begin();
    if (input_byte(&in) % 4 == 0) {
        try_header(in.at, in.left);
        return 0;
    }
    make_bits(&in, &bits);
    for (int i = 0; i < 4; i++) {
        try_bits(&in, &bits);
        try_plan(&in, &bits);
        try_vector(&in);
    }
    try_setting(&in, &bits);
    return 0;
}

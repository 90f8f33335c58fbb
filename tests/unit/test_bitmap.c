/*
 * The two bitmaps looked at as one, and plans made from them, against arrays of
 * one byte for each sector; and the walk through a vector of buffers against a
 * plain copy.
 */
#include <limits.h>
#include <pthread.h>
#include <stdlib.h>

#include "bitmap.h"
#include "iov.h"
#include "plan.h"
#include "support.h"

/* ---- layout ------------------------------------------------------------------ */

/* A chunk is a page of summary bytes and the 4096 pages that they are about. */
Test(bitmap, chunk_edges)
{
    check(BITS_CHUNK == 4097 * 4096ull);
    check(bits_summary_at(0) == 0 && bits_page_at(0) == 4096);
    check(bits_summary_at(4095) == 4095 && bits_page_at(4095) == 4096ull * 4096);
    check(bits_summary_at(4096) == BITS_CHUNK && bits_page_at(4096) == BITS_CHUNK + 4096);
    check(bits_summary_at(8191) == BITS_CHUNK + 4095 && bits_summary_at(8192) == 2 * BITS_CHUNK);
    check(bits_area(0) == 0 && bits_area(1) == 8192);
    check(bits_area(4096) == BITS_CHUNK && bits_area(4097) == BITS_CHUNK + 8192);
    check(bits_pages(0) == 0 && bits_pages(1) == 1);
    check(bits_pages(32768) == 1 && bits_pages(32769) == 2);
}

Test(bitmap, mask)
{
    check(bits_mask(0, 1) == 1 && bits_mask(63, 1) == 1ull << 63);
    check(bits_mask(0, 64) == ~0ull && bits_mask(64, 64) == ~0ull);
    check(bits_mask(3, 4) == 0x78 && bits_mask(67, 4) == 0x78);
}

/* ---- against an array -------------------------------------------------------- */

struct pair {
    struct bits bits;
    uint64_t sectors;
    uint8_t *committed, *pending;   /* a byte for each sector */
    uint8_t *file;                  /* the committed bitmap's bytes */
};

/*
 * `pages` of sectors that begin at page `first`; everything before is there, and
 * zero. Committed bits end early if `cut`.
 */
static void make_pair(struct pair *pair, struct rnd *rnd, uint64_t first, uint64_t pages, bool cut)
{
    uint64_t all = first + pages;

    pair->sectors = all * BITS_PAGE_SECTORS;
    pair->file = shared_memory(all * BITS_PAGE);
    pair->committed = shared_memory(pair->sectors);
    pair->pending = shared_memory(pair->sectors);
    pair->bits.committed = (const uint64_t *)(void *)pair->file;
    pair->bits.committed_words = all * BITS_PAGE_WORDS;
    if (cut)
        pair->bits.committed_words -= 1 + rnd_below(rnd, BITS_PAGE_WORDS);
    pair->bits.pending = shared_memory(bits_area(all));
    pair->bits.pages = all;
    for (uint64_t page = first; page < all; page++)
        *bits_summary(&pair->bits, page) = PAGE_CLEAN;
}

static void free_pair(struct pair *pair)
{
    munmap(pair->bits.pending, bits_area(pair->bits.pages));
    munmap(pair->file, pair->bits.pages * BITS_PAGE);
    munmap(pair->committed, pair->sectors);
    munmap(pair->pending, pair->sectors);
}

static void commit(struct pair *pair, uint64_t sector)
{
    pair->file[sector / 8] |= (uint8_t)(1 << sector % 8);
    if (sector / 64 < pair->bits.committed_words)
        pair->committed[sector] = 1;
}

static bool is_set(const struct pair *pair, uint64_t sector)
{
    return pair->committed[sector] | pair->pending[sector];
}

/* Near the edge of a word or of a page, in [from, end). */
static uint64_t edge(struct rnd *rnd, uint64_t from, uint64_t end)
{
    uint64_t at = from + rnd_below(rnd, end - from);

    switch (rnd_below(rnd, 4)) {
    case 0: at = at / 64 * 64; break;
    case 1: at = at / BITS_PAGE_SECTORS * BITS_PAGE_SECTORS; break;
    case 2: at = at / BITS_PAGE_SECTORS * BITS_PAGE_SECTORS - 1 - rnd_below(rnd, 3); break;
    }
    return at >= from && at < end ? at : from;
}

static uint64_t amount(struct rnd *rnd, uint64_t first, uint64_t end)
{
    static const uint64_t limits[] = { 1, 3, 64, 70, 200, 5000, 70000 };
    uint64_t count = 1 + rnd_below(rnd, limits[rnd_below(rnd, 7)]);

    return count < end - first ? count : end - first;
}

static void scatter(struct pair *pair, struct rnd *rnd, uint64_t from)
{
    for (int i = 0; i < 60; i++) {
        uint64_t first = edge(rnd, from, pair->sectors), count = amount(rnd, first, pair->sectors);

        if (rnd_percent(rnd, 50)) {
            for (uint64_t at = first; at < first + count; at++)
                commit(pair, at);
            continue;
        }
        bits_set_pending(&pair->bits, first, count);
        for (uint64_t at = first; at < first + count; at++)
            if (!pair->committed[at])
                pair->pending[at] = 1;
    }
}

static uint64_t end_of(const struct pair *pair, uint64_t first, uint64_t count)
{
    while (count > 0 && !is_set(pair, first + count - 1))
        count--;
    return first + count;
}

static void check_questions(struct pair *pair, struct rnd *rnd, uint64_t from,
                            unsigned long long seed)
{
    for (int i = 0; i < 300; i++) {
        uint64_t first = edge(rnd, from, pair->sectors), count = amount(rnd, first, pair->sectors);
        uint64_t run = 1, both = 0, pending = 0, got_both, got_pending;
        enum bits_mix mix;
        bool set, all = true;

        while (run < count && is_set(pair, first + run) == is_set(pair, first))
            run++;
        for (uint64_t at = first; at < first + count; at++) {
            all = all && is_set(pair, at);
            both += is_set(pair, at);
            pending += pair->pending[at] && !pair->committed[at];
        }
        check(bits_run(&pair->bits, first, count, &set) == run && set == is_set(pair, first),
              "seed %llu: run of %llu at %llu", seed, (unsigned long long)count,
              (unsigned long long)first);
        check(bits_all_set(&pair->bits, first, count) == all, "seed %llu", seed);
        mix = all ? BITS_ALL : both ? BITS_MIXED : BITS_NONE;
        check(bits_mix(&pair->bits, first, count) == mix,
              "seed %llu: mix of %llu at %llu", seed, (unsigned long long)count,
              (unsigned long long)first);
        check(bits_end(&pair->bits, first, count) == end_of(pair, first, count), "seed %llu", seed);
        bits_count(&pair->bits, first, count, &got_both, &got_pending);
        check(got_both == both && got_pending == pending, "seed %llu", seed);
    }
}

static void check_dirty(const struct pair *pair, uint64_t from_page, unsigned long long seed)
{
    uint64_t page = from_page;

    for (uint64_t want = from_page; want < pair->bits.pages; want++) {
        bool dirty = false;

        for (uint64_t at = 0; at < BITS_PAGE_SECTORS; at++)
            dirty = dirty || pair->pending[want * BITS_PAGE_SECTORS + at];
        if (!dirty)
            continue;
        page = bits_next_dirty(&pair->bits, page);
        check(page == want, "seed %llu: dirty page %llu", seed, (unsigned long long)page);
        page++;
    }
    check(bits_next_dirty(&pair->bits, page) == pair->bits.pages, "seed %llu", seed);
}

static void check_pair(uint64_t first, uint64_t pages, bool cut, unsigned long long seed)
{
    struct rnd rnd = { seed };
    struct pair pair;

    make_pair(&pair, &rnd, first, pages, cut);
    scatter(&pair, &rnd, first * BITS_PAGE_SECTORS);
    check_questions(&pair, &rnd, first * BITS_PAGE_SECTORS, seed);
    check_dirty(&pair, first, seed);
    free_pair(&pair);
}

Test(bitmap, against_an_array)
{
    for (unsigned round = 0; round < test_rounds(20); round++)
        check_pair(0, 1 + round % 3, round % 2, test_seed(round + 1));
}

Test(bitmap, against_an_array_at_a_chunk_edge)
{
    for (unsigned round = 0; round < test_rounds(6); round++)
        check_pair(4094, 4, round % 2, test_seed(round + 100));
}

Test(bitmap, next_dirty_page)
{
    const uint64_t pages = 9000;
    struct bits bits = { NULL, 0, shared_memory(bits_area(pages)), pages };
    struct rnd rnd = { test_seed(1) };

    for (unsigned round = 0; round < test_rounds(200); round++) {
        uint64_t from = rnd_below(&rnd, pages), page = from;

        for (uint64_t i = 0; i < pages; i++)
            *bits_summary(&bits, i) = (uint8_t)rnd_below(&rnd, PAGE_DIRTY);
        for (int i = 0; i < 3; i++) {
            uint64_t near = rnd_percent(&rnd, 50) ? from + rnd_below(&rnd, 20) : rnd_next(&rnd);

            *bits_summary(&bits, near % pages) = PAGE_DIRTY;
        }
        while (page < pages && *bits_summary(&bits, page) != PAGE_DIRTY)
            page++;
        check(bits_next_dirty(&bits, from) == page, "from %llu: not %llu", (unsigned long long)from,
              (unsigned long long)page);
    }
    munmap(bits.pending, bits_area(pages));
}

Test(bitmap, nothing_pending)
{
    uint64_t words[2] = { htole64(0xff), htole64(1) };
    struct bits bits = { words, 2, NULL, 0 };
    uint64_t both, pending;
    bool set;

    check(bits_run(&bits, 0, 1000, &set) == 8 && set);
    check(bits_run(&bits, 8, 1000, &set) == 56 && !set);
    check(bits_run(&bits, 65, 100000, &set) == 100000 && !set);
    check(bits_all_set(&bits, 64, 1) && !bits_all_set(&bits, 64, 2));
    bits_count(&bits, 0, 1000, &both, &pending);
    check(both == 9 && pending == 0);
    check(bits_next_dirty(&bits, 0) == 0);
}

/* Bytes of a file, whatever the machine: bit 0 of byte 0 is the first sector. */
Test(bitmap, order_of_bits)
{
    uint8_t bytes[16] __attribute__((aligned(8))) = { 0x01, 0x80, [9] = 0x10 };
    struct bits bits = { (const uint64_t *)(void *)bytes, 2, NULL, 0 };
    bool set;

    check(bits_run(&bits, 0, 128, &set) == 1 && set);
    check(bits_run(&bits, 1, 127, &set) == 14 && !set);
    check(bits_all_set(&bits, 15, 1) && bits_all_set(&bits, 76, 1) && !bits_all_set(&bits, 77, 1));
}

/* ---- while bits change ----------------------------------------------------------- */

static void *toggle(void *arg)
{
    uint64_t *word = arg;

    /* Bit 63 tells when to stop. */
    while (!(__atomic_load_n(word, __ATOMIC_RELAXED) >> 63))
        __atomic_fetch_xor(word, 1, __ATOMIC_RELAXED);
    return NULL;
}

Test(bitmap, a_run_is_never_empty)
{
    uint64_t word = 0;
    struct bits bits = { &word, 1, NULL, 0 };
    pthread_t thread;
    bool set;

    check(pthread_create(&thread, NULL, toggle, &word) == 0);
    for (unsigned i = 0; i < test_rounds(2000000); i++) {
        uint64_t run = bits_run(&bits, 0, 8, &set);

        check(run == (set ? 1 : 8), "a run of %llu", (unsigned long long)run);
    }
    __atomic_fetch_or(&word, 1ull << 63, __ATOMIC_RELAXED);
    check(pthread_join(thread, NULL) == 0);
}

struct flushing {
    struct bits bits;
    uint64_t *committed;
    uint64_t at;                /* the word that is being flushed */
};

/* As a flush does it: the committed bit first, and only then the pending one. */
static void *flush_words(void *arg)
{
    struct flushing *f = arg;

    for (uint64_t word = 0; word < f->bits.committed_words; word++) {
        uint64_t *pending = &bits_page(&f->bits, word / BITS_PAGE_WORDS)[word % BITS_PAGE_WORDS];

        __atomic_store_n(&f->at, word, __ATOMIC_RELAXED);
        __atomic_store_n(&f->committed[word], ~0ull, __ATOMIC_RELEASE);
        __atomic_fetch_and(pending, 0, __ATOMIC_RELEASE);
    }
    __atomic_store_n(&f->at, UINT64_MAX, __ATOMIC_RELAXED);
    return NULL;
}

Test(bitmap, a_bit_is_never_missed)
{
    const uint64_t pages = 400, words = pages * BITS_PAGE_WORDS;
    struct flushing f = {
        .committed = shared_memory(pages * BITS_PAGE),
        .bits = { NULL, words, shared_memory(bits_area(pages)), pages },
    };
    pthread_t thread;
    uint64_t at;

    f.bits.committed = f.committed;
    for (uint64_t page = 0; page < pages; page++) {
        *bits_summary(&f.bits, page) = PAGE_DIRTY;
        memset(bits_page(&f.bits, page), 0xff, BITS_PAGE);
    }
    check(pthread_create(&thread, NULL, flush_words, &f) == 0);
    while ((at = __atomic_load_n(&f.at, __ATOMIC_RELAXED)) != UINT64_MAX)
        for (uint64_t word = at; word < at + 4 && word < words; word++)
            check(bits_word(&f.bits, word) == ~0ull, "word %llu", (unsigned long long)word);
    check(pthread_join(thread, NULL) == 0);
}

/* ---- plans -------------------------------------------------------------------------- */

static enum plan_source source_of(const struct pair *pair, uint64_t backing_size, uint64_t at)
{
    return is_set(pair, at / 512) ? PLAN_IMAGE : at < backing_size ? PLAN_BACKING : PLAN_ZERO;
}

static void check_plan(const struct pair *pair, uint64_t backing_size, uint64_t off, size_t len,
                       unsigned long long seed)
{
    uint64_t at = off;
    struct plan plan;

    plan_make(&plan, &pair->bits, backing_size, off, len);
    check(plan.off == off && plan.nruns > 0 && plan.nruns <= PLAN_RUNS, "seed %llu", seed);
    for (int i = 0; i < plan.nruns; i++) {
        check(plan.runs[i].len > 0, "seed %llu", seed);
        check(i == 0 || plan.runs[i].source != plan.runs[i - 1].source, "seed %llu", seed);
        for (size_t n = 0; n < plan.runs[i].len; n++)
            check(source_of(pair, backing_size, at + n) == plan.runs[i].source,
                  "seed %llu: byte %llu", seed, (unsigned long long)(at + n));
        at += plan.runs[i].len;
    }
    check(plan.len == at - off, "seed %llu", seed);
    check(plan.len == len || plan.nruns == PLAN_RUNS, "seed %llu", seed);
}

Test(plan, against_an_array)
{
    for (unsigned round = 0; round < test_rounds(40); round++) {
        unsigned long long seed = test_seed(round + 1);
        struct rnd rnd = { seed };
        struct pair pair;

        make_pair(&pair, &rnd, 0, 1, false);
        for (uint64_t sector = 0; sector < 2000; sector++)
            if (rnd_percent(&rnd, round % 3 * 50))
                commit(&pair, sector);
        for (int i = 0; i < 100; i++) {
            uint64_t backing = rnd_below(&rnd, 2000 * 512), off = rnd_below(&rnd, 1900 * 512);

            check_plan(&pair, backing, off, 1 + rnd_below(&rnd, 100000), seed);
        }
        free_pair(&pair);
    }
}

/* ---- vectors ------------------------------------------------------------------------- */

Test(iov, against_a_copy)
{
    for (unsigned round = 0; round < test_rounds(500); round++) {
        unsigned long long seed = test_seed(round + 1);
        struct rnd rnd = { seed };
        uint8_t buf[2000], flat[2000];
        struct iovec iov[20], out[20], *rest = out;
        struct iov_cursor cursor = { iov, 20, 0 };
        size_t total = 0, at = 0;
        int left;

        rnd_fill(&rnd, buf, sizeof(buf));
        for (int i = 0; i < 20; i++) {
            size_t len = rnd_percent(&rnd, 30) ? 0 : rnd_below(&rnd, 100);

            iov[i] = (struct iovec){ buf + total, len };
            total += len;
        }
        memcpy(flat, buf, sizeof(buf));
        check(iov_total(iov, 20) == (ssize_t)total, "seed %llu", seed);
        while (at < total) {
            size_t len = 1 + rnd_below(&rnd, 150), taken = 0;
            int n = 0, max = (int)(1 + rnd_below(&rnd, 4));

            if (rnd_percent(&rnd, 30)) {
                iov_skip(&cursor, len);
                at += len;
                continue;
            }
            if (rnd_percent(&rnd, 30)) {
                iov_zero(&cursor, len);
                memset(flat + at, 0, len < total - at ? len : total - at);
                at += len;
                continue;
            }
            taken = iov_take(&cursor, len, out, &n, max);
            check(taken <= len && n <= max && (taken == len || n == max || at + taken == total),
                  "seed %llu", seed);
            for (int i = 0; i < n; i++) {
                check(out[i].iov_len > 0 && memcmp(out[i].iov_base, flat + at, out[i].iov_len) == 0,
                      "seed %llu", seed);
                at += out[i].iov_len;
                taken -= out[i].iov_len;
            }
            check(taken == 0, "seed %llu", seed);
        }
        assert_same(buf, flat, total, "seed %llu", seed);
        memcpy(out, iov, sizeof(out));
        left = 20;
        at = rnd_below(&rnd, total + 1);
        iov_advance(&rest, &left, at);
        check(iov_total(rest, left) == (ssize_t)(total - at), "seed %llu", seed);
        check(left == 0 || rest->iov_base == buf + at, "seed %llu", seed);
    }
}

/*
 * Runs, counts and settings of bits, a 64-bit word at a time. See bitmap.h for
 * what the two bitmaps are and the order in which they are looked at.
 */
#include "bitmap.h"

enum bits_mix bits_mix_long(const struct bits *bits, uint64_t first, uint64_t count)
{
    enum bits_mix mix = BITS_MIXED;
    bool begun = false;

    while (count) {
        uint64_t here = 64 - first % 64;
        enum bits_mix part;

        if (here > count)
            here = count;
        part = bits_mix(bits, first, here);
        if (part == BITS_MIXED || (begun && part != mix))
            return BITS_MIXED;
        mix = part;
        begun = true;
        first += here;
        count -= here;
    }
    return mix;
}

uint64_t bits_run(const struct bits *bits, uint64_t first, uint64_t count, bool *set)
{
    uint64_t end = first + count;
    uint64_t at = first;
    /* Each word is looked at once: a second look might find that the run begins otherwise. */
    uint64_t word = bits_word(bits, at / 64);
    bool value = word >> (first % 64) & 1;

    *set = value;
    for (;;) {
        /* Ones where the run ends, from `at` on. */
        uint64_t other = (value ? ~word : word) >> (at % 64);

        at += other ? (unsigned)__builtin_ctzll(other) : 64 - at % 64;
        if (other || at >= end)
            return (at < end ? at : end) - first;
        word = bits_word(bits, at / 64);
    }
}

void bits_set_pending(const struct bits *bits, uint64_t first, uint64_t count)
{
    while (count) {
        uint64_t here = 64 - first % 64;
        uint64_t word = first / 64;
        uint64_t page = word / BITS_PAGE_WORDS;
        uint64_t missing;

        if (here > count)
            here = count;
        missing = bits_mask(first, here) & ~bits_word(bits, word);
        if (missing) {
            /* In this order, or the bits of one that is killed here would show up later. */
            if (bits_state(bits, page) != PAGE_DIRTY)
                __atomic_store_n(bits_summary(bits, page), PAGE_DIRTY, __ATOMIC_RELEASE);
            __atomic_fetch_or(&bits_page(bits, page)[word % BITS_PAGE_WORDS], htole64(missing),
                              __ATOMIC_RELEASE);
        }
        first += here;
        count -= here;
    }
}

void bits_count(const struct bits *bits, uint64_t first, uint64_t count,
                uint64_t *allocated, uint64_t *pending)
{
    *allocated = *pending = 0;
    while (count) {
        uint64_t here = 64 - first % 64;
        uint64_t mask, run, both;

        if (here > count)
            here = count;
        mask = bits_mask(first, here);
        run = bits_pending_word(bits, first / 64) & mask;
        both = bits_committed_word(bits, first / 64) & mask;
        *allocated += (unsigned)__builtin_popcountll(run | both);
        *pending += (unsigned)__builtin_popcountll(run & ~both);
        first += here;
        count -= here;
    }
}

uint64_t bits_end(const struct bits *bits, uint64_t first, uint64_t count)
{
    uint64_t end = first + count;

    while (end > first) {
        uint64_t word = (end - 1) / 64;
        uint64_t from = word * 64 > first ? word * 64 : first;
        uint64_t set = bits_word(bits, word) & bits_mask(from, end - from);

        if (set)
            return word * 64 + 64 - (unsigned)__builtin_clzll(set);
        end = from;
    }
    return first;
}

uint64_t bits_next_dirty(const struct bits *bits, uint64_t page)
{
    /* PAGE_DIRTY is the only state with this bit: eight pages in a load. */
    const uint64_t dirty = 0x0101010101010101ull * PAGE_DIRTY;

    while (page < bits->pages) {
        if (page % 8 == 0
            && !(__atomic_load_n((const shared_word *)(const void *)bits_summary(bits, page),
                                 __ATOMIC_ACQUIRE) & dirty))
            page += 8;
        else if (bits_state(bits, page) != PAGE_DIRTY)
            page++;
        else
            return page;
    }
    return bits->pages;
}

/*
 * The two bitmaps of a disk, looked at as one. Pure: works on memory alone.
 *
 * Committed bits are the metadata file as mapped: a flat array of 64-bit words.
 * Pending bits live in the run-time file in chunks: one summary page, then 4096
 * pages of bits. A summary byte tells what its page of bits is:
 *
 *   PAGE_NONE   nothing is reserved for it; it must not be touched
 *   PAGE_CLEAN  reserved here and in the metadata file, and it has no bit
 *   PAGE_DIRTY  reserved, and it may have bits
 *
 * so that a page without pending bits costs no memory and one load to skip.
 *
 * Whoever looks without a lock looks at pending, then at committed: a flush sets
 * the committed bit before it clears the pending one, so in that order a bit is
 * never missed.
 *
 * In memory and on disk bit 0 of byte 0 is sector 0, which makes a word little-endian.
 */
#ifndef ACOW_BITMAP_H
#define ACOW_BITMAP_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGE_NONE, PAGE_CLEAN, PAGE_DIRTY };

#define BITS_PAGE 4096u                         /* bytes of bits in a page */
#define BITS_PAGE_WORDS (BITS_PAGE / 8)
#define BITS_PAGE_SECTORS (BITS_PAGE * 8u)      /* 32768: 16 MiB of disk */
#define BITS_CHUNK_PAGES 4096u
#define BITS_CHUNK ((uint64_t)(BITS_CHUNK_PAGES + 1) * BITS_PAGE)

/* What several change without a lock. In a 32-bit program it would be aligned to 4 bytes only. */
typedef uint64_t __attribute__((aligned(8))) shared_word;

struct bits {
    const shared_word *committed;
    uint64_t committed_words;   /* beyond them: zeros */
    uint8_t *pending;           /* chunks; NULL: no pending bits */
    uint64_t pages;             /* pages of pending bits that are there */
};

/* Offset in the pending area of a page's summary byte, and of its bits. */
static inline uint64_t bits_summary_at(uint64_t page)
{
    return page / BITS_CHUNK_PAGES * BITS_CHUNK + page % BITS_CHUNK_PAGES;
}

static inline uint64_t bits_page_at(uint64_t page)
{
    return page / BITS_CHUNK_PAGES * BITS_CHUNK + (page % BITS_CHUNK_PAGES + 1) * BITS_PAGE;
}

/* Bytes of pending area for so many pages. */
static inline uint64_t bits_area(uint64_t pages)
{
    return pages ? bits_page_at(pages - 1) + BITS_PAGE : 0;
}

static inline uint64_t bits_pages(uint64_t sectors)
{
    return (sectors + BITS_PAGE_SECTORS - 1) / BITS_PAGE_SECTORS;
}

static inline uint8_t *bits_summary(const struct bits *bits, uint64_t page)
{
    return bits->pending + bits_summary_at(page);
}

static inline shared_word *bits_page(const struct bits *bits, uint64_t page)
{
    return (shared_word *)(void *)(bits->pending + bits_page_at(page));
}

static inline uint8_t bits_state(const struct bits *bits, uint64_t page)
{
    return __atomic_load_n(bits_summary(bits, page), __ATOMIC_ACQUIRE);
}

static inline uint64_t bits_committed_word(const struct bits *bits, uint64_t word)
{
    if (word >= bits->committed_words)
        return 0;
    return le64toh(__atomic_load_n(&bits->committed[word], __ATOMIC_ACQUIRE));
}

static inline uint64_t bits_pending_word(const struct bits *bits, uint64_t word)
{
    uint64_t page = word / BITS_PAGE_WORDS;

    if (page >= bits->pages || bits_state(bits, page) != PAGE_DIRTY)
        return 0;
    return le64toh(__atomic_load_n(&bits_page(bits, page)[word % BITS_PAGE_WORDS],
                                   __ATOMIC_ACQUIRE));
}

/* The 64 sectors from word * 64: set in either. */
static inline uint64_t bits_word(const struct bits *bits, uint64_t word)
{
    uint64_t pending = bits_pending_word(bits, word);

    return pending | bits_committed_word(bits, word);
}

/* Ones for `count` sectors (1 to 64) from `first` within their word. */
static inline uint64_t bits_mask(uint64_t first, uint64_t count)
{
    return (count >= 64 ? ~0ull : (1ull << count) - 1) << (first % 64);
}

enum bits_mix { BITS_NONE, BITS_ALL, BITS_MIXED };

/* What [first, first + count) is; count > 0. (bitmap.c: over several words) */
enum bits_mix bits_mix_long(const struct bits *bits, uint64_t first, uint64_t count);

static inline enum bits_mix bits_mix(const struct bits *bits, uint64_t first, uint64_t count)
{
    uint64_t mask, word;

    if (first % 64 + count > 64)
        return bits_mix_long(bits, first, count);
    mask = bits_mask(first, count);
    word = bits_committed_word(bits, first / 64) & mask;
    if (word != mask)
        word = bits_word(bits, first / 64) & mask;
    return word == mask ? BITS_ALL : word == 0 ? BITS_NONE : BITS_MIXED;
}

static inline bool bits_all_set(const struct bits *bits, uint64_t first, uint64_t count)
{
    return bits_mix(bits, first, count) == BITS_ALL;
}

/*
 * The length of the run of equal bits that begins at `first`, at most `count`
 * (count > 0); *set is their value.
 */
uint64_t bits_run(const struct bits *bits, uint64_t first, uint64_t count, bool *set);

/* Sets pending bits where neither bitmap has them. Their pages must be reserved. */
void bits_set_pending(const struct bits *bits, uint64_t first, uint64_t count);

/* How many of [first, first + count) are set in either, and in pending alone. */
void bits_count(const struct bits *bits, uint64_t first, uint64_t count,
                uint64_t *allocated, uint64_t *pending);

/* The sector behind the last of [first, first + count) that is set; `first` if none is. */
uint64_t bits_end(const struct bits *bits, uint64_t first, uint64_t count);

/* The first page from `page` on that may have pending bits; bits->pages if none. */
uint64_t bits_next_dirty(const struct bits *bits, uint64_t page);

#endif

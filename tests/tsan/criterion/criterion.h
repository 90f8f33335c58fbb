/*
 * As much of Criterion as the unit tests use, for the thread sanitizer: Criterion shares
 * memory with its test processes at an address that the sanitizer keeps for itself, and ends
 * before the first test. The runner (runner.c) runs each test in a child, one after another.
 */
#ifndef TSAN_CRITERION_H
#define TSAN_CRITERION_H

#include <stdbool.h>
#include <string.h>

struct tsan_test {
    const char *suite, *name;
    void (*run)(void);
    /* The fields of Criterion's TestSuite and Test that are used. */
    void (*init)(void);
    void (*fini)(void);
    double timeout;
    bool disabled;
    int exit_code, signal;
    const char *description;
    struct tsan_test *next;
};

void tsan_register(struct tsan_test *test, bool suite);
void tsan_check(bool ok, bool fatal, const char *file, int line, const char *what,
                const char *format, ...) __attribute__((format(printf, 6, 7)));
void tsan_skip(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

#define TestSuite(s, ...) \
    static struct tsan_test tsan_suite_##s = { .suite = #s, __VA_ARGS__ }; \
    __attribute__((constructor)) static void tsan_register_suite_##s(void) \
    { \
        tsan_register(&tsan_suite_##s, true); \
    } \
    struct tsan_test

#define Test(s, n, ...) \
    static void tsan_run_##s##_##n(void); \
    static struct tsan_test tsan_test_##s##_##n = { \
        .suite = #s, .name = #n, .run = tsan_run_##s##_##n, __VA_ARGS__ \
    }; \
    __attribute__((constructor)) static void tsan_register_##s##_##n(void) \
    { \
        tsan_register(&tsan_test_##s##_##n, false); \
    } \
    static void tsan_run_##s##_##n(void)

/* The messages are string literals, and may be left out. */
#define TSAN_CHECK(ok, fatal, what, ...) \
    tsan_check(ok, fatal, __FILE__, __LINE__, what, " " __VA_ARGS__)

#define cr_assert(c, ...) TSAN_CHECK(!!(c), true, #c, __VA_ARGS__)
#define cr_expect(c, ...) TSAN_CHECK(!!(c), false, #c, __VA_ARGS__)
#define cr_assert_not(c, ...) cr_assert(!(c), __VA_ARGS__)
#define cr_expect_not(c, ...) cr_expect(!(c), __VA_ARGS__)
#define cr_assert_fail(...) TSAN_CHECK(false, true, "reached", __VA_ARGS__)
#define cr_fatal(...) TSAN_CHECK(false, true, "reached", __VA_ARGS__)
#define cr_fail(...) TSAN_CHECK(false, false, "reached", __VA_ARGS__)
#define cr_skip_test(...) tsan_skip(" " __VA_ARGS__)
#define cr_skip(...) tsan_skip(" " __VA_ARGS__)

#define cr_assert_eq(a, b, ...) cr_assert((a) == (b), __VA_ARGS__)
#define cr_assert_neq(a, b, ...) cr_assert((a) != (b), __VA_ARGS__)
#define cr_assert_lt(a, b, ...) cr_assert((a) < (b), __VA_ARGS__)
#define cr_assert_leq(a, b, ...) cr_assert((a) <= (b), __VA_ARGS__)
#define cr_assert_gt(a, b, ...) cr_assert((a) > (b), __VA_ARGS__)
#define cr_assert_geq(a, b, ...) cr_assert((a) >= (b), __VA_ARGS__)
#define cr_assert_null(a, ...) cr_assert((a) == NULL, __VA_ARGS__)
#define cr_assert_not_null(a, ...) cr_assert((a) != NULL, __VA_ARGS__)
#define cr_assert_str_eq(a, b, ...) cr_assert(strcmp(a, b) == 0, __VA_ARGS__)
#define cr_assert_str_neq(a, b, ...) cr_assert(strcmp(a, b) != 0, __VA_ARGS__)
#define cr_assert_arr_eq(a, b, len, ...) cr_assert(memcmp(a, b, len) == 0, __VA_ARGS__)
#define cr_expect_eq(a, b, ...) cr_expect((a) == (b), __VA_ARGS__)
#define cr_expect_neq(a, b, ...) cr_expect((a) != (b), __VA_ARGS__)
#define cr_expect_null(a, ...) cr_expect((a) == NULL, __VA_ARGS__)
#define cr_expect_not_null(a, ...) cr_expect((a) != NULL, __VA_ARGS__)
#define cr_expect_str_eq(a, b, ...) cr_expect(strcmp(a, b) == 0, __VA_ARGS__)

#endif

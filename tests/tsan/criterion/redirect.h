/*
 * Criterion's redirections, as far as the tests use them: into a file. What a test has said of itself
 * still goes where it went.
 */
#ifndef TSAN_REDIRECT_H
#define TSAN_REDIRECT_H

#include <criterion/criterion.h>
#include <stdio.h>

void tsan_redirect(FILE *stream);
FILE *tsan_redirected(FILE *stream);
bool tsan_printed(FILE *stream, const char *text);

#define cr_redirect_stdout() tsan_redirect(stdout)
#define cr_redirect_stderr() tsan_redirect(stderr)
#define cr_get_redirected_stdout() tsan_redirected(stdout)
#define cr_expect_stdout_eq_str(text, ...) \
    TSAN_CHECK(tsan_printed(stdout, text), false, "stdout is " #text, __VA_ARGS__)
#define cr_expect_stderr_eq_str(text, ...) \
    TSAN_CHECK(tsan_printed(stderr, text), false, "stderr is " #text, __VA_ARGS__)

#endif

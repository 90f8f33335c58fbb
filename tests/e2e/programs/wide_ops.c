/*
 * Wide characters on a stream, by each function of libc's that has a way of its own into it, those
 * of older programs and of fortified ones too: `wide_ops MODE FILE`.
 */
#define _GNU_SOURCE
#include <locale.h>
#include <stdarg.h>
#include <stdbool.h>
#include <wchar.h>

#include "ops.h"

wchar_t *__fgetws_chk(wchar_t *out, size_t size, int room, FILE *file);
int __fwprintf_chk(FILE *file, int level, const wchar_t *format, ...);
int __vfwprintf_chk(FILE *file, int level, const wchar_t *format, va_list args);
int __wprintf_chk(int level, const wchar_t *format, ...);
int __vwprintf_chk(int level, const wchar_t *format, va_list args);
/* The names without a prefix, which the header gives to C99's. */
int gnu_fwscanf(FILE *file, const wchar_t *format, ...) __asm__("fwscanf");
int gnu_vfwscanf(FILE *file, const wchar_t *format, va_list args) __asm__("vfwscanf");
int gnu_wscanf(const wchar_t *format, ...) __asm__("wscanf");
int gnu_vwscanf(const wchar_t *format, va_list args) __asm__("vwscanf");

enum way { PLAIN, CHECKED, STANDARD, STANDARD_CHECKED, GNU, STANDARD_GNU };

static int print(enum way way, FILE *file, const wchar_t *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = way == PLAIN ? vfwprintf(file, format, args)
        : way == CHECKED ? __vfwprintf_chk(file, 1, format, args)
        : way == STANDARD ? vwprintf(format, args) : __vwprintf_chk(1, format, args);
    va_end(args);
    return n;
}

static int scan(enum way way, FILE *file, const wchar_t *format, ...)
{
    va_list args;
    int n;

    va_start(args, format);
    n = way == PLAIN ? vfwscanf(file, format, args)
        : way == GNU ? gnu_vfwscanf(file, format, args)
        : way == STANDARD ? vwscanf(format, args) : gnu_vwscanf(format, args);
    va_end(args);
    return n;
}

static void do_file(const char *path)
{
    wchar_t line[100] = L"";
    int numbers[6] = { 0 };
    FILE *f = must_fopen(path, "r+");

    said("fputwc", (int)fputwc(L'\u00f6', f));
    said("fputws", fputws(L"w\u00f6rter\n", f) >= 0);
    said("fwprintf", fwprintf(f, L"%d %ls ", 11, L"\u20ac"));
    said("vfwprintf", print(PLAIN, f, L"%d ", 22));
    said("checked", __fwprintf_chk(f, 1, L"%d ", 33));
    said("checked", print(CHECKED, f, L"%d\n44 55 66\n", 34));
    said("close", fclose(f));
    f = must_fopen(path, "r");
    said("fgetwc", (int)fgetwc(f));
    said("ungetwc", (int)ungetwc(L'\u00e4', f));
    said("fgetwc", (int)fgetwc(f));
    said("line", __fgetws_chk(line, 100, 100, f) != NULL);
    printf("%ls", line);
    printf("fwscanf %d", fwscanf(f, L"%d %ls", &numbers[0], line));
    printf(" %d", scan(PLAIN, f, L"%d", &numbers[1]));
    printf(" %d", gnu_fwscanf(f, L"%d", &numbers[2]));
    printf(" %d:", scan(GNU, f, L"%d", &numbers[3]));
    for (int i = 0; i < 4; i++)
        printf(" %d", numbers[i]);
    printf(" %ls\n", line);
    said("next", (int)fgetwc(f));
    said("close", fclose(f));
}

static void do_print(const char *path)
{
    (void)path;
    fprintf(stderr, "%d\n", (int)putwchar(L'\u00f6'));
    fprintf(stderr, "%d\n", wprintf(L"%d %ls\n", 11, L"\u20ac"));
    fprintf(stderr, "%d\n", print(STANDARD, NULL, L"%d\n", 22));
    fprintf(stderr, "%d\n", __wprintf_chk(1, L"%d\n", 33));
    fprintf(stderr, "%d\n", print(STANDARD_CHECKED, NULL, L"%d\n", 44));
}

static void do_scan(const char *path)
{
    int numbers[4] = { 0 }, results[4];
    wint_t first = getwchar();

    (void)path;
    fprintf(stderr, "%x %x\n", first, getwchar());
    results[0] = wscanf(L"%d %*[^\n]", &numbers[0]);
    results[1] = scan(STANDARD, NULL, L"%d %*[^\n]", &numbers[1]);
    results[2] = gnu_wscanf(L"%d %*[^\n]", &numbers[2]);
    results[3] = scan(STANDARD_GNU, NULL, L"%d %*[^\n]", &numbers[3]);
    for (int i = 0; i < 4; i++)
        fprintf(stderr, "%d: %d\n", results[i], numbers[i]);
}

static const struct mode modes[] = { { "file", do_file }, { "print", do_print }, { "scan", do_scan } };

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "C.UTF-8");
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}

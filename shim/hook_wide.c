/*
 * stdio of wide characters. libc's functions go through a part of the FILE that
 * fopencookie's streams do not have, and crash; on a stream of ours they are made of the byte
 * functions and the locale's conversion.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "hooks.h"
#include "real.h"
#include "report.h"
#include "stream.h"

void __chk_fail(void) __attribute__((noreturn));

static bool is_ours(FILE *file)
{
    return __builtin_expect(stream_any(), 0) && stream_is_ours(file);
}

wint_t hook_fgetwc(FILE *file)
{
    return is_ours(file) ? stream_getwc(file) : REAL(fgetwc)(file);
}

wint_t hook_getwchar(void)
{
    return hook_fgetwc(stdin);
}

wchar_t *hook_fgetws(wchar_t *out, int room, FILE *file)
{
    int n = 0;

    if (!is_ours(file))
        return REAL(fgetws)(out, room, file);
    while (n < room - 1) {
        wint_t wc = stream_getwc(file);

        if (wc == WEOF)
            break;
        out[n++] = (wchar_t)wc;
        if (wc == L'\n')
            break;
    }
    if (n == 0 || ferror(file))
        return NULL;
    out[n] = L'\0';
    return out;
}

wchar_t *hook_fgetws_chk(wchar_t *out, size_t size, int room, FILE *file)
{
    if (room > 0 && (size_t)room > size)
        __chk_fail();
    return hook_fgetws(out, room, file);
}

wint_t hook_fputwc(wchar_t wc, FILE *file)
{
    return is_ours(file) ? stream_putwc(wc, file) : REAL(fputwc)(wc, file);
}

wint_t hook_putwchar(wchar_t wc)
{
    return hook_fputwc(wc, stdout);
}

int hook_fputws(const wchar_t *text, FILE *file)
{
    if (!is_ours(file))
        return REAL(fputws)(text, file);
    for (; *text; text++)
        if (stream_putwc(*text, file) == WEOF)
            return -1;
    return 1;
}

wint_t hook_ungetwc(wint_t wc, FILE *file)
{
    return is_ours(file) ? stream_ungetwc(wc, file) : REAL(ungetwc)(wc, file);
}

int hook_fwide(FILE *file, int mode)
{
    return is_ours(file) ? stream_wide(file, mode) : REAL(fwide)(file, mode);
}

/* ---- printf ------------------------------------------------------------ */

/* vswprintf does not say how much room it wants, so that is found by trying. */
int hook_vfwprintf(FILE *file, const wchar_t *format, va_list args)
{
    const size_t most = 1 << 24;
    int len = -1;

    if (!is_ours(file))
        return REAL(vfwprintf)(file, format, args);
    for (size_t room = 256; len < 0 && room <= most; room *= 4) {
        wchar_t *text = malloc(room * sizeof(*text));
        va_list again;

        if (!text)
            return -1;
        va_copy(again, args);
        len = vswprintf(text, room, format, again);
        va_end(again);
        if (len >= 0 && hook_fputws(text, file) < 0) {
            free(text);
            return -1;
        }
        free(text);
    }
    return len;
}

int hook_vfwprintf_chk(FILE *file, int level, const wchar_t *format, va_list args)
{
    return is_ours(file) ? hook_vfwprintf(file, format, args)
                         : REAL(__vfwprintf_chk)(file, level, format, args);
}

int hook_vwprintf(const wchar_t *format, va_list args)
{
    return hook_vfwprintf(stdout, format, args);
}

int hook_vwprintf_chk(int level, const wchar_t *format, va_list args)
{
    return hook_vfwprintf_chk(stdout, level, format, args);
}

#define VARIADIC(last, call) ({ \
    va_list args; \
    int len_; \
    va_start(args, last); \
    len_ = call; \
    va_end(args); \
    len_; })

int hook_fwprintf(FILE *file, const wchar_t *format, ...)
{
    return VARIADIC(format, hook_vfwprintf(file, format, args));
}

int hook_fwprintf_chk(FILE *file, int level, const wchar_t *format, ...)
{
    return VARIADIC(format, hook_vfwprintf_chk(file, level, format, args));
}

int hook_wprintf(const wchar_t *format, ...)
{
    return VARIADIC(format, hook_vfwprintf(stdout, format, args));
}

int hook_wprintf_chk(int level, const wchar_t *format, ...)
{
    return VARIADIC(format, hook_vfwprintf_chk(stdout, level, format, args));
}

/* ---- scanf ------------------------------------------------------------- */

typedef int scanner(FILE *file, const wchar_t *format, va_list args);

/* A stream of libc's own on a copy of the next `room` bytes, or of as many as there are. */
static FILE *copy_of(FILE *file, size_t room, bool *whole)
{
    char *text = malloc(room);
    size_t len = text ? fread(text, 1, room, file) : 0;
    int fd = text ? memfd_create("addcow-scanf", MFD_CLOEXEC) : -1;
    FILE *copy = fd < 0 ? NULL : REAL(fdopen)(fd, "r");

    *whole = len < room;
    if (copy && REAL(pwrite64)(fd, text, len, 0) != (ssize_t)len) {
        REAL(fclose)(copy);
        copy = NULL;
    } else if (!copy && fd >= 0) {
        REAL(close)(fd);
    }
    free(text);
    return copy;
}

/*
 * How much a format takes is found by trying: libc reads it from a copy of what comes next, and
 * where that ends too soon, from a longer one.
 */
static int scan(FILE *file, const wchar_t *format, va_list args, scanner *real)
{
    int64_t start = ftello64(file), used = 0;
    bool whole = false, ended = true;
    int n = EOF;

    if (start < 0) {
        errno = -report_unserved("fwscanf", "a stream that cannot seek");
        return EOF;
    }
    stream_wide(file, 1);
    for (size_t room = 4096; ended && !whole; room *= 8) {
        FILE *copy = copy_of(file, room, &whole);
        va_list again;

        if (!copy) {
            fseeko64(file, start, SEEK_SET);
            return EOF;
        }
        va_copy(again, args);
        n = real(copy, format, again);
        va_end(again);
        used = ftello64(copy);
        ended = feof(copy);
        REAL(fclose)(copy);
        fseeko64(file, start + (used > 0 ? used : 0), SEEK_SET);
        if (ended && !whole)
            fseeko64(file, start, SEEK_SET);
    }
    if (ended)
        file->_flags |= _IO_EOF_SEEN;
    return n;
}

int hook_vfwscanf(FILE *file, const wchar_t *format, va_list args)
{
    return is_ours(file) ? scan(file, format, args, REAL(vfwscanf)) : REAL(vfwscanf)(file, format, args);
}

int hook_vfwscanf_c99(FILE *file, const wchar_t *format, va_list args)
{
    return is_ours(file) ? scan(file, format, args, REAL(__isoc99_vfwscanf))
                         : REAL(__isoc99_vfwscanf)(file, format, args);
}

int hook_vwscanf(const wchar_t *format, va_list args)
{
    return hook_vfwscanf(stdin, format, args);
}

int hook_vwscanf_c99(const wchar_t *format, va_list args)
{
    return hook_vfwscanf_c99(stdin, format, args);
}

int hook_fwscanf(FILE *file, const wchar_t *format, ...)
{
    return VARIADIC(format, hook_vfwscanf(file, format, args));
}

int hook_fwscanf_c99(FILE *file, const wchar_t *format, ...)
{
    return VARIADIC(format, hook_vfwscanf_c99(file, format, args));
}

int hook_wscanf(const wchar_t *format, ...)
{
    return VARIADIC(format, hook_vfwscanf(stdin, format, args));
}

int hook_wscanf_c99(const wchar_t *format, ...)
{
    return VARIADIC(format, hook_vfwscanf_c99(stdin, format, args));
}

#define HOOK_wide EXPORT
#include "alias.h"

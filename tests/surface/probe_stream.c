/*
 * Functions on a stream: one that fopen made, and stdin, stdout and stderr with the
 * file on their descriptor.
 */
#include <argp.h>
#include <err.h>
#include <error.h>
#include <fmtmsg.h>
#include <getopt.h>
#include <grp.h>
#include <gshadow.h>
#include <malloc.h>
#include <mntent.h>
#include <netdb.h>
#include <printf.h>
#include <pwd.h>
#include <shadow.h>
#include <signal.h>
#include <stdio_ext.h>
#include <syslog.h>
#include <wchar.h>

#include "probe.h"

static int number;
static char word[64], scratch[4096];
static wchar_t wide[256];
static char *line;
static size_t line_room;
static fpos_t position;
static fpos64_t position64;

extern char *__fgets_chk(char *, size_t, int, FILE *);
extern char *__fgets_unlocked_chk(char *, size_t, int, FILE *);
extern wchar_t *__fgetws_chk(wchar_t *, size_t, int, FILE *);
extern wchar_t *__fgetws_unlocked_chk(wchar_t *, size_t, int, FILE *);
extern size_t __fread_chk(void *, size_t, size_t, size_t, FILE *);
extern size_t __fread_unlocked_chk(void *, size_t, size_t, size_t, FILE *);
extern int __fprintf_chk(FILE *, int, const char *, ...);
extern int __fwprintf_chk(FILE *, int, const wchar_t *, ...);
extern int __vfprintf_chk(FILE *, int, const char *, va_list);
extern int __vfwprintf_chk(FILE *, int, const wchar_t *, va_list);
extern int __printf_chk(int, const char *, ...);
extern int __vprintf_chk(int, const char *, va_list);
extern int __wprintf_chk(int, const wchar_t *, ...);
extern int __vwprintf_chk(int, const wchar_t *, va_list);
extern int __isoc99_fscanf(FILE *, const char *, ...);
extern int __isoc99_vfscanf(FILE *, const char *, va_list);
extern int __isoc99_fwscanf(FILE *, const wchar_t *, ...);
extern int __isoc99_vfwscanf(FILE *, const wchar_t *, va_list);
extern int __isoc99_scanf(const char *, ...);
extern int __isoc99_vscanf(const char *, va_list);
extern int __isoc99_wscanf(const wchar_t *, ...);
extern int __isoc99_vwscanf(const wchar_t *, va_list);
extern int __underflow(FILE *);
extern wint_t __wunderflow(FILE *), __wuflow(FILE *), __woverflow(FILE *, wint_t);
extern int __overflow(FILE *, int), __uflow(FILE *);
extern char *__gets_chk(char *, size_t), *gets(char *);
extern void __vsyslog_chk(int, int, const char *, va_list);
extern void __syslog_chk(int, int, const char *, ...);
extern ssize_t __getdelim(char **, size_t *, int, FILE *);
extern int getw(FILE *), putw(int, FILE *);
extern int __posix_getopt(int, char *const *, const char *);

/* The GNU forms, which the headers hide behind the __isoc99_ ones. */
extern int gnu_fscanf(FILE *, const char *, ...) __asm__("fscanf");
extern int gnu_vfscanf(FILE *, const char *, va_list) __asm__("vfscanf");
extern int gnu_fwscanf(FILE *, const wchar_t *, ...) __asm__("fwscanf");
extern int gnu_vfwscanf(FILE *, const wchar_t *, va_list) __asm__("vfwscanf");
extern int gnu_scanf(const char *, ...) __asm__("scanf");
extern int gnu_vscanf(const char *, va_list) __asm__("vscanf");
extern int gnu_wscanf(const wchar_t *, ...) __asm__("wscanf");
extern int gnu_vwscanf(const wchar_t *, va_list) __asm__("vwscanf");

/* Rows on functions that take a va_list: `call` has it as `args`, made of the rest. */
#define VROW(symbol, mode, number, call, ...) \
    static long JOIN(with_, __LINE__)(int first, ...) \
    { \
        va_list args; \
        long n; \
        va_start(args, first); \
        n = (long)(call); \
        va_end(args); \
        return n; \
    } \
    ROW(symbol, "", mode, number, JOIN(with_, __LINE__)(0, __VA_ARGS__))

#define SCANNED(call) ({ int n_ = call; show("%d %s", number, word); n_; })

#define READ(symbol, ...) FLOW(symbol, "", "r", __VA_ARGS__)
#define WRITE(symbol, ...) FLOW(symbol, "", "r+", __VA_ARGS__)
#define VREAD(symbol, ...) VROW(symbol, "r", -1, __VA_ARGS__)
#define VWRITE(symbol, ...) VROW(symbol, "r+", -1, __VA_ARGS__)

/* ---- bytes ------------------------------------------------------------- */

READ(fgetc, (fgetc(f), fgetc(f)))
READ(getc, (getc(f), getc(f)))
READ(fgetc_unlocked, (fgetc_unlocked)(f))
READ(getc_unlocked, (getc_unlocked)(f))
READ(__uflow, __uflow(f))
READ(__underflow, __underflow(f))
READ(ungetc, (getc(f), ungetc('!', f), fread(buf, 1, 20, f)))
READ(getw, getw(f))
READ(fgets, PTR(fgets(buf, 300, f)))
READ(fgets_unlocked, PTR(fgets_unlocked(buf, 300, f)))
READ(__fgets_chk, PTR(__fgets_chk(buf, sizeof(buf), 300, f)))
READ(__fgets_unlocked_chk, PTR(__fgets_unlocked_chk(buf, sizeof(buf), 300, f)))
READ(fread, fread(buf, 3, 5000, f))
READ(fread_unlocked, fread_unlocked(buf, 3, 5000, f))
READ(__fread_chk, __fread_chk(buf, sizeof(buf), 3, 5000, f))
READ(__fread_unlocked_chk, __fread_unlocked_chk(buf, sizeof(buf), 3, 5000, f))
READ(getline, ({ long n = getline(&line, &line_room, f); show("%s", line); n; }))
READ(getdelim, ({ long n = getdelim(&line, &line_room, ':', f); show("%s", line); n; }))
READ(__getdelim, ({ long n = __getdelim(&line, &line_room, ':', f); show("%s", line); n; }))
WRITE(fputc, fputc('X', f))
WRITE(putc, putc('X', f))
WRITE(fputc_unlocked, (fputc_unlocked)('X', f))
WRITE(putc_unlocked, (putc_unlocked)('X', f))
WRITE(__overflow, __overflow(f, 'X'))
WRITE(putw, putw(0x41424344, f))
WRITE(fputs, fputs("written by fputs", f))
WRITE(fputs_unlocked, fputs_unlocked("written by fputs", f))
WRITE(fwrite, fwrite("written by fwrite", 1, 17, f))
WRITE(fwrite_unlocked, fwrite_unlocked("written by fwrite", 1, 17, f))
FLOW(fwrite, "large", "r+", (memset(buf, 'x', sizeof(buf)), fseek(f, 700, SEEK_SET),
                             fwrite(buf, 1, sizeof(buf), f)))
FLOW(fwrite, "append", "a", fwrite("at the end", 1, 10, f))
FLOW(fwrite, "fresh", "w", fwrite("all there is", 1, 12, f))

/* ---- text -------------------------------------------------------------- */

READ(fscanf, SCANNED(gnu_fscanf(f, "%d %60s", &number, word)))
VREAD(vfscanf, SCANNED(gnu_vfscanf(f, "%d %60s", args)), &number, word)
READ(__isoc99_fscanf, SCANNED(__isoc99_fscanf(f, "%d %60s", &number, word)))
VREAD(__isoc99_vfscanf, SCANNED(__isoc99_vfscanf(f, "%d %60s", args)), &number, word)
WRITE(fprintf, fprintf(f, "%s %d", "text", 5))
VWRITE(vfprintf, vfprintf(f, "%s %d", args), "text", 5)
WRITE(__fprintf_chk, __fprintf_chk(f, 1, "%s %d", "text", 5))
VWRITE(__vfprintf_chk, __vfprintf_chk(f, 1, "%s %d", args), "text", 5)
WRITE(printf_size, ({
    struct printf_info info = { .spec = 'f', .prec = 1 };
    double value = 123456.0;
    printf_size(f, &info, (const void *[]){ &(double *){ &value } }); }))

/* ---- wide characters --------------------------------------------------- */

READ(fgetwc, fgetwc(f))
READ(getwc, getwc(f))
READ(fgetwc_unlocked, fgetwc_unlocked(f))
READ(getwc_unlocked, getwc_unlocked(f))
READ(__wuflow, (fwide(f, 1), __wuflow(f)))
READ(__wunderflow, (fwide(f, 1), __wunderflow(f)))
READ(ungetwc, ungetwc(L'!', f))
READ(fgetws, (fgetws(wide, 100, f), wcslen(wide)))
READ(fgetws_unlocked, (fgetws_unlocked(wide, 100, f), wcslen(wide)))
READ(__fgetws_chk, (__fgetws_chk(wide, 256, 100, f), wcslen(wide)))
READ(__fgetws_unlocked_chk, (__fgetws_unlocked_chk(wide, 256, 100, f), wcslen(wide)))
READ(fwscanf, SCANNED(gnu_fwscanf(f, L"%d %60s", &number, word)))
VREAD(vfwscanf, SCANNED(gnu_vfwscanf(f, L"%d %60s", args)), &number, word)
READ(__isoc99_fwscanf, SCANNED(__isoc99_fwscanf(f, L"%d %60s", &number, word)))
VREAD(__isoc99_vfwscanf, SCANNED(__isoc99_vfwscanf(f, L"%d %60s", args)), &number, word)
WRITE(fputwc, fputwc(L'X', f))
WRITE(putwc, putwc(L'X', f))
WRITE(fputwc_unlocked, fputwc_unlocked(L'X', f))
WRITE(putwc_unlocked, putwc_unlocked(L'X', f))
WRITE(__woverflow, (fwide(f, 1), __woverflow(f, L'X')))
WRITE(fputws, fputws(L"wide", f))
WRITE(fputws_unlocked, fputws_unlocked(L"wide", f))
WRITE(fwprintf, fwprintf(f, L"%s %d", "text", 5))
VWRITE(vfwprintf, vfwprintf(f, L"%s %d", args), "text", 5)
WRITE(__fwprintf_chk, __fwprintf_chk(f, 1, L"%s %d", "text", 5))
VWRITE(__vfwprintf_chk, __vfwprintf_chk(f, 1, L"%s %d", args), "text", 5)
READ(fwide, fwide(f, 0))

/* ---- positions and buffers --------------------------------------------- */

READ(fseek, (fseek(f, 700, SEEK_SET), fgetc(f)))
FLOW(fseek, "end", "r", (fseek(f, -20, SEEK_END), fread(buf, 1, 100, f)))
READ(fseeko, (fseeko(f, 700, SEEK_SET), fgetc(f)))
READ(fseeko64, (fseeko64(f, 700, SEEK_SET), fgetc(f)))
READ(ftell, (fgetc(f), ftell(f)))
FLOW(ftell, "append", "a", ftell(f))
READ(ftello, (fgetc(f), ftello(f)))
READ(ftello64, (fgetc(f), ftello64(f)))
READ(rewind, (fgetc(f), rewind(f), fgetc(f)))
READ(fgetpos, (fgetc(f), fgetpos(f, &position)))
READ(fgetpos64, (fgetc(f), fgetpos64(f, &position64)))
READ(fsetpos, (fgetpos(f, &position), fgetc(f), fsetpos(f, &position), fgetc(f)))
READ(fsetpos64, (fgetpos64(f, &position64), fgetc(f), fsetpos64(f, &position64), fgetc(f)))
WRITE(fflush, (fputc('X', f), fflush(f), show_bytes(fileno(f), 0)))
FLOW(fflush, "all", "r+", (fputc('X', f), fflush(NULL), show_bytes(fileno(f), 0)))
WRITE(fflush_unlocked, (fputc('X', f), fflush_unlocked(f), show_bytes(fileno(f), 0)))
WRITE(_flushlbf, (setvbuf(f, NULL, _IOLBF, 0), fputs("X", f), _flushlbf(), show_bytes(fileno(f), 0)))
WRITE(setbuf, (setbuf(f, NULL), fputc('X', f), show_bytes(fileno(f), 0)))
WRITE(setbuffer, (setbuffer(f, NULL, 0), fputc('X', f), show_bytes(fileno(f), 0)))
WRITE(setlinebuf, (setlinebuf(f), fputs("X\n", f), show_bytes(fileno(f), 0)))
WRITE(setvbuf, (setvbuf(f, NULL, _IONBF, 0), fputc('X', f), show_bytes(fileno(f), 0)))
READ(feof, (fseek(f, 0, SEEK_END), fgetc(f), feof(f)))
READ(feof_unlocked, (fseek(f, 0, SEEK_END), fgetc(f), (feof_unlocked)(f)))
READ(ferror, (fputc('X', f), ferror(f)))
READ(ferror_unlocked, (fputc('X', f), (ferror_unlocked)(f)))
READ(clearerr, (fputc('X', f), clearerr(f), ferror(f)))
READ(clearerr_unlocked, (fputc('X', f), clearerr_unlocked(f), ferror(f)))
READ(fileno, fileno(f) == fd)
READ(fileno_unlocked, fileno_unlocked(f) == fd)
READ(flockfile, (flockfile(f), funlockfile(f), fgetc(f)))
READ(funlockfile, (flockfile(f), funlockfile(f), fgetc(f)))
READ(ftrylockfile, ftrylockfile(f))
READ(__fbufsize, (fgetc(f), __fbufsize(f) > 0))
READ(__flbf, __flbf(f))
WRITE(__fpending, (fputs("abc", f), __fpending(f)))
WRITE(__fpurge, (fputs("abc", f), __fpurge(f), 0))
READ(__freadable, __freadable(f))
READ(__fwritable, __fwritable(f))
READ(__freading, (fgetc(f), __freading(f)))
WRITE(__fwriting, (fputc('X', f), __fwriting(f)))
READ(__fsetlocking, __fsetlocking(f, FSETLOCKING_QUERY))
WRITE(fclose, ({ fputs("at fclose", f); int r = fclose(f); f = NULL; show_bytes(fd, 0); r; }))
WRITE(fcloseall, ({ fputs("at fcloseall", f); int r = fcloseall(); f = NULL; r; }))
READ(pclose, ({ int r = pclose(f); f = NULL; r; }))
WRITE(malloc_info, (malloc_info(0, f), show("wrote: %d", ftell(f) > 100), rewind(f),
                    ftruncate(fd, 0)))

/* ---- records ----------------------------------------------------------- */

static struct passwd pw, *pw_found;
static struct group gr, *gr_found;
static struct spwd sp, *sp_found;
static struct sgrp sg, *sg_found;
static struct mntent mnt = { "device", "/mnt", "ext4", "rw", 0, 0 };

extern struct mntent *__getmntent_r(FILE *, struct mntent *, char *, int);
extern int __endmntent(FILE *);

#define NAMED(found, field) ({ \
    __typeof__(found) e_ = found; \
    show("%s", e_ ? e_->field : "none"); \
    0; })

READ(fgetpwent, NAMED(fgetpwent(f), pw_name))
READ(fgetpwent_r, (fgetpwent_r(f, &pw, scratch, sizeof(scratch), &pw_found),
                  NAMED(pw_found, pw_name)))
READ(fgetgrent, NAMED(fgetgrent(f), gr_name))
READ(fgetgrent_r, (fgetgrent_r(f, &gr, scratch, sizeof(scratch), &gr_found),
                  NAMED(gr_found, gr_name)))
READ(fgetspent, NAMED(fgetspent(f), sp_namp))
READ(fgetspent_r, (fgetspent_r(f, &sp, scratch, sizeof(scratch), &sp_found),
                  NAMED(sp_found, sp_namp)))
READ(fgetsgent, NAMED(fgetsgent(f), sg_namp))
READ(fgetsgent_r, (fgetsgent_r(f, &sg, scratch, sizeof(scratch), &sg_found),
                  NAMED(sg_found, sg_namp)))
READ(getmntent, NAMED(getmntent(f), mnt_dir))
READ(getmntent_r, NAMED(getmntent_r(f, &mnt, buf, sizeof(buf)), mnt_dir))
READ(__getmntent_r, NAMED(__getmntent_r(f, &mnt, buf, sizeof(buf)), mnt_dir))
WRITE(addmntent, addmntent(f, &mnt))
READ(endmntent, ({ int r = endmntent(f); f = NULL; r; }))
READ(__endmntent, ({ int r = __endmntent(f); f = NULL; r; }))
WRITE(putpwent, putpwent(&(struct passwd){ "new", "x", 1, 2, "gecos", "/", "/bin/sh" }, f))
WRITE(putgrent, putgrent(&(struct group){ "new", "x", 1, (char *[]){ NULL } }, f))
WRITE(putspent, putspent(&(struct spwd){ .sp_namp = "new", .sp_pwdp = "x" }, f))
WRITE(putsgent, putsgent(&(struct sgrp){ "new", "x", (char *[]){ NULL }, (char *[]){ NULL } }, f))

/* ---- standard streams -------------------------------------------------- */

#define FROM(symbol, ...) OVER(symbol, "", 0, __VA_ARGS__)
#define ONTO(symbol, ...) OVER(symbol, "", 1, __VA_ARGS__)
#define TOLD(symbol, ...) OVER(symbol, "", 2, __VA_ARGS__)
#define VFROM(symbol, ...) VROW(symbol, "fd", 0, __VA_ARGS__)
#define VONTO(symbol, ...) VROW(symbol, "fd", 1, __VA_ARGS__)
#define VTOLD(symbol, ...) VROW(symbol, "fd", 2, __VA_ARGS__)

FROM(getchar, getchar())
FROM(getchar_unlocked, (getchar_unlocked)())
FROM(getwchar, getwchar())
FROM(getwchar_unlocked, getwchar_unlocked())
FROM(gets, PTR(gets(buf)))
FROM(__gets_chk, PTR(__gets_chk(buf, sizeof(buf))))
FROM(scanf, SCANNED(gnu_scanf("%d", &number)))
VFROM(vscanf, SCANNED(gnu_vscanf("%d", args)), &number)
FROM(wscanf, SCANNED(gnu_wscanf(L"%d", &number)))
VFROM(vwscanf, SCANNED(gnu_vwscanf(L"%d", args)), &number)
FROM(__isoc99_scanf, SCANNED(__isoc99_scanf("%d", &number)))
VFROM(__isoc99_vscanf, SCANNED(__isoc99_vscanf("%d", args)), &number)
FROM(__isoc99_wscanf, SCANNED(__isoc99_wscanf(L"%d", &number)))
VFROM(__isoc99_vwscanf, SCANNED(__isoc99_vwscanf(L"%d", args)), &number)
ONTO(putchar, putchar('X'))
ONTO(putchar_unlocked, (putchar_unlocked)('X'))
ONTO(putwchar, putwchar(L'X'))
ONTO(putwchar_unlocked, putwchar_unlocked(L'X'))
ONTO(puts, puts("a line"))
ONTO(printf, printf("%s %d", "text", 5))
VONTO(vprintf, vprintf("%s %d", args), "text", 5)
ONTO(__printf_chk, __printf_chk(1, "%s %d", "text", 5))
VONTO(__vprintf_chk, __vprintf_chk(1, "%s %d", args), "text", 5)
ONTO(wprintf, wprintf(L"%s %d", "text", 5))
VONTO(vwprintf, vwprintf(L"%s %d", args), "text", 5)
ONTO(__wprintf_chk, __wprintf_chk(1, L"%s %d", "text", 5))
VONTO(__vwprintf_chk, __vwprintf_chk(1, L"%s %d", args), "text", 5)

static const struct argp argp = { .doc = "documentation" };
static char *bad_option[] = { "program", "-z", NULL };
static const struct option no_options[] = { { 0 } };

TOLD(perror, (errno = ENOENT, perror("perror"), 0))
TOLD(psignal, (psignal(SIGINT, "psignal"), 0))
TOLD(psiginfo, (psiginfo(&(siginfo_t){ .si_signo = SIGINT }, "psiginfo"), 0))
TOLD(herror, (herror("herror"), 0))
TOLD(warn, (warn("warn"), 0))
TOLD(warnx, (warnx("warnx"), 0))
VTOLD(vwarn, (vwarn("%s", args), 0), "vwarn")
VTOLD(vwarnx, (vwarnx("%s", args), 0), "vwarnx")
TOLD(error, (error(0, 0, "error"), 0))
TOLD(error_at_line, (error_at_line(0, 0, "file", 7, "error"), 0))
TOLD(err, (err(0, "err"), 0))
TOLD(errx, (errx(0, "errx"), 0))
VTOLD(verr, (verr(0, "%s", args), 0), "verr")
VTOLD(verrx, (verrx(0, "%s", args), 0), "verrx")
TOLD(fmtmsg, fmtmsg(MM_PRINT, "addcow:probe", MM_ERROR, "text", "action", "tag"))
TOLD(getopt, getopt(2, bad_option, "a"))
TOLD(getopt_long, getopt_long(2, bad_option, "a", no_options, NULL))
TOLD(getopt_long_only, getopt_long_only(2, bad_option, "a", no_options, NULL))
TOLD(__posix_getopt, __posix_getopt(2, bad_option, "a"))
TOLD(argp_help, (argp_help(&argp, stderr, ARGP_HELP_STD_HELP, "program"), 0))
TOLD(argp_parse, argp_parse(&argp, 2, bad_option, ARGP_NO_EXIT, NULL, NULL))
TOLD(malloc_stats, (malloc_stats(), show("wrote: %d", lseek(2, 0, SEEK_CUR) > 50),
                    lseek(2, 0, SEEK_SET), ftruncate(2, 0)))
TOLD(syslog, (openlog("probe", LOG_PERROR, LOG_USER), syslog(LOG_INFO, "syslog"), 0))
VTOLD(vsyslog, (openlog("probe", LOG_PERROR, LOG_USER), vsyslog(LOG_INFO, "%s", args), 0), "v")
TOLD(__syslog_chk, (openlog("probe", LOG_PERROR, LOG_USER), __syslog_chk(LOG_INFO, 1, "syslog"), 0))
VTOLD(__vsyslog_chk, (openlog("probe", LOG_PERROR, LOG_USER),
                      __vsyslog_chk(LOG_INFO, 1, "%s", args), 0), "v")

/* ---- what stdio is made of --------------------------------------------- */

extern ssize_t _IO_file_read(FILE *, void *, ssize_t), _IO_file_write(FILE *, const void *, ssize_t);
extern FILE *_IO_fdopen(int, const char *);
extern size_t _IO_sgetn(FILE *, void *, size_t), _IO_getline(FILE *, char *, size_t, int, int);
extern ssize_t _IO_padn(FILE *, int, ssize_t);
extern int _IO_vfprintf(FILE *, const char *, va_list);
extern int _IO_peekc_locked(FILE *);
extern void _IO_flush_all_linebuffered(void);
extern int _IO_flush_all(void);

READ(_IO_file_read, _IO_file_read(f, buf, 100))
WRITE(_IO_file_write, _IO_file_write(f, "text", 4) == 4 ? 4 : -1)
CALL(_IO_fdopen, "", ({ FILE *made = _IO_fdopen(fd, "r+"); setbuf(made, NULL); getc(made); }))
READ(_IO_sgetn, _IO_sgetn(f, buf, 100))
READ(_IO_getline, _IO_getline(f, buf, 100, '\n', 0))
WRITE(_IO_padn, _IO_padn(f, 'p', 20))
VWRITE(_IO_vfprintf, _IO_vfprintf(f, "%s %d", args), "text", 5)
READ(_IO_peekc_locked, _IO_peekc_locked(f))
WRITE(_IO_flush_all, (fputc('X', f), _IO_flush_all(), show_bytes(fileno(f), 0)))
WRITE(_IO_flush_all_linebuffered, (setlinebuf(f), fputc('X', f), _IO_flush_all_linebuffered(),
                                   show_bytes(fileno(f), 0)))

typedef int (*xdr_fn)(void *, void *);

CALL(xdrstdio_create, "", ({
    long xdr[16] = { 0 }, value = 0;
    FILE *made = fdopen(fd, "r");
    OLD(void (*)(void *, FILE *, int), "xdrstdio_create", "GLIBC_2.2.5")(xdr, made, 1);
    int r = OLD(xdr_fn, "xdr_int", "GLIBC_2.2.5")(xdr, &value);
    show("%lx", value);
    fflush(made);
    r; }))

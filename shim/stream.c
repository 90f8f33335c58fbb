/*
 * FILE streams on disks. libc's stdio does its input and output within libc,
 * past every hook; so a stream on a disk is one of fopencookie's, whose functions
 * are ours. It is told its descriptor number, for fileno.
 */
#include "stream.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>

#include "fdtable.h"
#include "hooks.h"

struct stream {
    int fd;
    FILE *file;
    mbstate_t in, out;          /* of wide characters */
    int wide;                   /* as fwide tells it */
    struct stream *next;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct stream *list;

/*
 * A shell's builtins write to stdout after a dup2 onto 1, and a program's stdin
 * may be a disk from the start. Streams made for that are kept: the program may
 * have noted the pointer.
 */
static struct standard {
    FILE *libc, *ours;
} standards[3];

static ssize_t read_cookie(void *cookie, char *buf, size_t len)
{
    return hook_read(((struct stream *)cookie)->fd, buf, len);
}

/* A write that fails is 0 to fopencookie, not -1. */
static ssize_t write_cookie(void *cookie, const char *buf, size_t len)
{
    size_t done = 0;

    while (done < len) {
        ssize_t n = hook_write(((struct stream *)cookie)->fd, buf + done, len - done);

        if (n <= 0)
            break;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

static int seek_cookie(void *cookie, off64_t *off, int whence)
{
    int64_t r = hook_lseek(((struct stream *)cookie)->fd, *off, whence);

    if (r < 0)
        return -1;
    *off = r;
    return 0;
}

static int close_cookie(void *cookie)
{
    struct stream *stream = cookie, **at;
    int r;

    if (!stream)
        return 0;
    r = hook_close(stream->fd);
    pthread_mutex_lock(&lock);
    for (at = &list; *at && *at != stream; at = &(*at)->next)
        ;
    if (*at)
        *at = stream->next;
    pthread_mutex_unlock(&lock);
    for (int fd = 0; fd < 3; fd++)
        if (standards[fd].ours == stream->file)
            standards[fd].ours = NULL;
    free(stream);
    return r;
}

int stream_flags(const char *mode)
{
    int flags = mode[0] == 'r' ? O_RDONLY
              : mode[0] == 'w' ? O_WRONLY | O_CREAT | O_TRUNC
              : mode[0] == 'a' ? O_WRONLY | O_CREAT | O_APPEND : -1;

    if (flags < 0)
        return -1;
    for (const char *at = mode + 1; *at && *at != ','; at++) {
        if (*at == '+')
            flags = (flags & ~O_ACCMODE) | O_RDWR;
        else if (*at == 'x')
            flags |= O_EXCL;
        else if (*at == 'e')
            flags |= O_CLOEXEC;
    }
    return flags;
}

static struct stream *find(FILE *file)
{
    struct stream *at;

    pthread_mutex_lock(&lock);
    for (at = list; at && at->file != file; at = at->next)
        ;
    pthread_mutex_unlock(&lock);
    return at;
}

static const cookie_io_functions_t functions = {
    read_cookie, write_cookie, seek_cookie, close_cookie,
};

/* libc puts a stream that only appends at the end from the start on. */
static void begin(struct stream *stream, const char *mode)
{
    stream->file->_fileno = stream->fd;
    if (stream_flags(mode) & O_CLOEXEC)
        stream->file->_flags2 |= STREAM_CLOEXEC;
    if (mode[0] == 'a' && !strchr(mode, '+'))
        fseeko(stream->file, 0, SEEK_END);
}

static void enlist(struct stream *stream)
{
    pthread_mutex_lock(&lock);
    stream->next = list;
    list = stream;
    pthread_mutex_unlock(&lock);
}

FILE *stream_make(int fd, const char *mode)
{
    struct stream *stream = calloc(1, sizeof(*stream));
    char plain[3] = { mode[0], strchr(mode, '+') ? '+' : '\0', '\0' };

    if (!stream)
        return NULL;
    stream->fd = fd;
    stream->file = fopencookie(stream, plain, functions);
    if (!stream->file) {
        free(stream);
        return NULL;
    }
    begin(stream, mode);
    enlist(stream);
    return stream->file;
}

/*
 * What fopencookie makes, and what of it lies in the room that fopen's streams have for their lock and
 * for wide characters.
 */
struct cookie_file {
    FILE file;
    const void *calls;
    struct stream *stream;
    cookie_io_functions_t functions;
    struct { int state, count; void *owner; } lock;
};

/*
 * One of ours with no descriptor: libc hides the pointers to functions that it keeps, so they are copied.
 * NULL if it is not as libc makes it: the library behind this one may have wrapped it.
 */
static const struct cookie_file *model(void)
{
    static struct stream nothing;
    static struct cookie_file *made;

    if (!__atomic_load_n(&made, __ATOMIC_ACQUIRE))
        __atomic_store_n(&made, (void *)fopencookie(&nothing, "r", functions), __ATOMIC_RELEASE);
    return made && malloc_usable_size(made) >= sizeof(*made) && made->stream == &nothing ? made : NULL;
}

int stream_convert(FILE *file, int fd, const char *mode)
{
    struct cookie_file *to = (struct cookie_file *)file;
    struct stream *stream;

    /* Its lock lies right behind it if it is fopen's or fdopen's, and nobody holds it. */
    if ((char *)file->_lock != (char *)&to->stream || malloc_usable_size(file) < sizeof(*to)
        || !model())
        return -ENOTSUP;
    stream = calloc(1, sizeof(*stream));
    if (!stream)
        return -ENOMEM;
    stream->fd = fd;
    stream->file = file;
    memset(&to->lock, 0, sizeof(to->lock));
    file->_lock = (void *)&to->lock;
    to->stream = stream;
    to->functions = model()->functions;
    to->calls = model()->calls;
    file->_mode = -1;
    file->_wide_data = (void *)-1;      /* as libc has it for a stream without */
    file->_offset = -1;
    begin(stream, mode);
    enlist(stream);
    return 0;
}

void stream_renew(FILE *file, int fd, const char *mode)
{
    enum { NO_READS = 4, NO_WRITES = 8, PUTTING = 0x800, APPENDING = 0x1000 };
    struct stream *stream = find(file);

    flockfile(file);
    __fpurge(file);
    file->_flags &= ~(NO_READS | NO_WRITES | PUTTING | APPENDING | _IO_EOF_SEEN | _IO_ERR_SEEN);
    if (!strchr(mode, '+'))
        file->_flags |= mode[0] == 'r' ? NO_WRITES : NO_READS;
    if (mode[0] == 'a')
        file->_flags |= APPENDING;
    file->_IO_read_base = file->_IO_read_ptr = file->_IO_read_end = file->_IO_buf_base;
    file->_IO_write_base = file->_IO_write_ptr = file->_IO_write_end = file->_IO_buf_base;
    file->_offset = -1;
    stream->fd = fd;
    stream->wide = 0;
    memset(&stream->in, 0, sizeof(stream->in));
    memset(&stream->out, 0, sizeof(stream->out));
    begin(stream, mode);
    for (int i = 0; i < 3; i++)
        if (standards[i].ours == file)
            standards[i].ours = NULL;
    funlockfile(file);
}

bool stream_is_ours(FILE *file)
{
    return find(file) != NULL;
}

bool stream_any(void)
{
    return __atomic_load_n(&list, __ATOMIC_RELAXED) != NULL;
}

/* ---- wide characters --------------------------------------------------- */

static wint_t bad_sequence(FILE *file)
{
    file->_flags |= _IO_ERR_SEEN;
    errno = EILSEQ;
    return WEOF;
}

wint_t stream_getwc(FILE *file)
{
    struct stream *stream = find(file);
    bool begun = false;
    int c;

    stream->wide = 1;
    while ((c = getc(file)) != EOF) {
        char byte = (char)c;
        wchar_t wc;
        size_t n = mbrtowc(&wc, &byte, 1, &stream->in);

        if (n == (size_t)-1)
            return bad_sequence(file);
        if (n != (size_t)-2)
            return (wint_t)wc;
        begun = true;
    }
    return begun ? bad_sequence(file) : WEOF;
}

wint_t stream_putwc(wchar_t wc, FILE *file)
{
    struct stream *stream = find(file);
    char bytes[MB_LEN_MAX];
    size_t n = wcrtomb(bytes, wc, &stream->out);

    stream->wide = 1;
    if (n == (size_t)-1)
        return bad_sequence(file);
    return fwrite(bytes, 1, n, file) == n ? (wint_t)wc : WEOF;
}

wint_t stream_ungetwc(wint_t wc, FILE *file)
{
    char bytes[MB_LEN_MAX];
    mbstate_t state = { 0 };
    size_t n = wc == WEOF ? (size_t)-1 : wcrtomb(bytes, (wchar_t)wc, &state);

    if (n == (size_t)-1)
        return WEOF;
    while (n > 0)
        if (ungetc((unsigned char)bytes[--n], file) == EOF)
            return WEOF;
    return wc;
}

int stream_wide(FILE *file, int mode)
{
    struct stream *stream = find(file);

    if (stream->wide == 0 && mode != 0)
        stream->wide = mode > 0 ? 1 : -1;
    return stream->wide;
}

static FILE **standard_name(int fd)
{
    return fd == 0 ? &stdin : fd == 1 ? &stdout : &stderr;
}

void stream_before(int fd, bool disk)
{
    if ((unsigned)fd > 2)
        return;
    if (standards[fd].ours && *standard_name(fd) == standards[fd].ours)
        fflush(standards[fd].ours);
    else if (disk && fd > 0)
        fflush(*standard_name(fd));
}

static void use_ours(int fd)
{
    struct standard *standard = &standards[fd];
    FILE **name = standard_name(fd);

    if (!standard->ours) {
        standard->ours = stream_make(fd, fd == 0 ? "r" : "w");
        if (!standard->ours)
            return;
        if (fd == 2)
            setvbuf(standard->ours, NULL, _IONBF, 0);
    } else {
        /* What was read ahead belongs to the disk that was here before. */
        __fpurge(standard->ours);
        clearerr(standard->ours);
    }
    standard->libc = *name;
    *name = standard->ours;
}

void stream_follow(int fd)
{
    FILE **name;

    if ((unsigned)fd > 2)
        return;
    name = standard_name(fd);
    if (!fdtable_is_disk(fd)) {
        if (standards[fd].ours && *name == standards[fd].ours)
            *name = standards[fd].libc;
    } else if (!stream_is_ours(*name)) {
        use_ours(fd);
    }
}

void stream_after_fork(void)
{
    pthread_mutex_init(&lock, NULL);
}

void stream_flush(void)
{
    pthread_mutex_lock(&lock);
    for (struct stream *at = list; at; at = at->next) {
        /* One that a thread is using is left to libc, which comes after this. */
        if (ftrylockfile(at->file) == 0) {
            fflush_unlocked(at->file);
            funlockfile(at->file);
        }
    }
    pthread_mutex_unlock(&lock);
}

/*
 * Messages. They go to descriptor 2 as it is at that moment, unless that is a
 * disk (then there is nowhere to say it), or to the file that ADDCOW_LOG names.
 *
 * A call that is not served is said with the program's call chain, by libunwind.
 * That is loaded at that moment: at start it would cost every program some 100 µs.
 */
#define UNW_LOCAL_ONLY
#include "report.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if __has_include(<libunwind.h>)
#include <libunwind.h>
#else   /* a 32-bit build, mostly: Debian has the 64-bit one alone */
#include <execinfo.h>
#endif

#include "fdtable.h"
#include "hidden.h"
#include "real.h"

static int log_fd = -1;         /* -1: stderr */

void report_write(int fd, const char *text, unsigned long len)
{
    int saved = errno;

    while (fd >= 0 && len > 0) {
        ssize_t n = REAL(write)(fd, text, len);

        if (n <= 0 && errno != EINTR)
            break;
        if (n > 0) {
            text += n;
            len -= (unsigned long)n;
        }
    }
    errno = saved;
}

static void say(const char *text, size_t len)
{
    if (log_fd >= 0)
        report_write(log_fd, text, len);
    else if (!fdtable_is_disk(2))
        report_write(2, text, len);
}

void report_line(const char *line)
{
    char text[4400];
    int len = snprintf(text, sizeof(text), "addcow: %s\n", line);

    say(text, len < (int)sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

void report(const char *format, ...)
{
    char line[4300];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    report_line(line);
}

#ifdef UNW_TARGET

#define TEXT_(x) #x
#define TEXT(x) TEXT_(x)

struct walker {
    int (*getcontext)(unw_context_t *context);
    int (*init)(unw_cursor_t *cursor, unw_context_t *context);
    int (*step)(unw_cursor_t *cursor);
    int (*get_reg)(unw_cursor_t *cursor, int reg, unw_word_t *value);
    int (*get_name)(unw_cursor_t *cursor, char *out, size_t len, unw_word_t *offset);
};

static bool load_walker(struct walker *walker)
{
    void *lib = dlopen("libunwind.so.8", RTLD_NOW | RTLD_LOCAL);

    if (!lib)
        return false;
    /* unw_getcontext is code of its own on x86-64, and a name like the others elsewhere. */
    walker->getcontext = (int (*)(unw_context_t *))dlsym(lib, TEXT(UNW_ARCH_OBJ(getcontext)));
    walker->init = (int (*)(unw_cursor_t *, unw_context_t *))dlsym(lib, TEXT(UNW_OBJ(init_local)));
    walker->step = (int (*)(unw_cursor_t *))dlsym(lib, TEXT(UNW_OBJ(step)));
    walker->get_reg = (int (*)(unw_cursor_t *, int, unw_word_t *))dlsym(lib, TEXT(UNW_OBJ(get_reg)));
    walker->get_name = (int (*)(unw_cursor_t *, char *, size_t, unw_word_t *))
        dlsym(lib, TEXT(UNW_OBJ(get_proc_name)));
    return walker->getcontext && walker->init && walker->step && walker->get_reg && walker->get_name;
}

static void say_frame(struct walker *walker, unw_cursor_t *cursor, int depth)
{
    char name[256] = "", text[900];
    unw_word_t pc = 0, offset = 0;
    Dl_info info = { 0 };
    int len;

    walker->get_reg(cursor, UNW_REG_IP, &pc);
    dladdr((void *)pc, &info);
    if (walker->get_name(cursor, name, sizeof(name), &offset) < 0)
        name[0] = '\0';
    len = snprintf(text, sizeof(text), "addcow:   #%d %s+0x%lx in %s+0x%lx\n", depth,
                   name[0] ? name : "?", (unsigned long)offset,
                   info.dli_fname ? info.dli_fname : "?",
                   (unsigned long)(pc - (unw_word_t)info.dli_fbase));
    say(text, len < (int)sizeof(text) ? (size_t)len : sizeof(text) - 1);
}

/* Frames of this library are left out: the reader wants to know who called it. */
static bool is_ours(struct walker *walker, unw_cursor_t *cursor)
{
    unw_word_t pc = 0;
    Dl_info frame, self;

    walker->get_reg(cursor, UNW_REG_IP, &pc);
    return dladdr((void *)pc, &frame) && dladdr((void *)report_line, &self)
           && frame.dli_fbase == self.dli_fbase;
}

static void say_chain(void)
{
    struct walker walker;
    unw_context_t context;
    unw_cursor_t cursor;

    if (!load_walker(&walker)) {
        report_line("(install libunwind8 to see the program's call chain here)");
        return;
    }
    if (walker.getcontext(&context) < 0 || walker.init(&cursor, &context) < 0)
        return;
    for (int depth = 0; depth < 32;) {
        if (!is_ours(&walker, &cursor))
            say_frame(&walker, &cursor, depth++);
        if (walker.step(&cursor) <= 0)
            break;
    }
}

#else

static void say_chain(void)
{
    void *frames[40];
    int count = backtrace(frames, 40);
    Dl_info info, self;

    if (!dladdr((void *)report_line, &self))
        return;
    for (int i = 0, depth = 0; i < count; i++) {
        char text[900];
        int len;

        memset(&info, 0, sizeof(info));
        dladdr(frames[i], &info);
        if (info.dli_fbase == self.dli_fbase)
            continue;
        len = snprintf(text, sizeof(text), "addcow:   #%d %s+0x%lx in %s+0x%lx\n", depth++,
                       info.dli_sname ? info.dli_sname : "?",
                       info.dli_sname ? (unsigned long)((char *)frames[i] - (char *)info.dli_saddr) : 0,
                       info.dli_fname ? info.dli_fname : "?",
                       (unsigned long)((char *)frames[i] - (char *)info.dli_fbase));
        say(text, len < (int)sizeof(text) ? (size_t)len : sizeof(text) - 1);
    }
}

#endif

int report_unserved(const char *call, const char *disk)
{
    static const char *said[64];
    int saved = errno;

    for (size_t i = 0; i < sizeof(said) / sizeof(said[0]); i++) {
        const char *empty = NULL;

        if (__atomic_compare_exchange_n(&said[i], &empty, call, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            report("%s: %s is not served on a disk, and fails with EBADF; called by:", disk, call);
            say_chain();
            break;
        }
        if (strcmp(empty, call) == 0)
            break;
    }
    errno = saved;
    return -EBADF;
}

int report_target(const char *variable)
{
    const char *value = secure_getenv(variable);

    if (!value || !value[0] || strcmp(value, "0") == 0)
        return -1;
    if (strcmp(value, "1") == 0)
        return 2;
    return hidden_move(REAL(open64)(value, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
}

void report_init(void)
{
    log_fd = report_target("ADDCOW_LOG");
}

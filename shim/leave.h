/* The end of a hook that met a disk. */
#ifndef SHIM_LEAVE_H
#define SHIM_LEAVE_H

#include <errno.h>

#include "fdtable.h"
#include "trace.h"

/* The value of a hook whose call was not traced: see LEAVE. */
#define FINISH(ofd, result) ({ \
    __typeof__(result) result_ = (result); \
    fdtable_put(ofd); \
    if (__builtin_expect(result_ < 0, 0)) { \
        errno = (int)-result_; \
        result_ = -1; \
    } \
    result_; })

/*
 * The value of a hook: gives the ofd back, traces the call if that is wanted, and
 * turns a negative errno into -1 and errno. The arguments after `result` are the
 * call's name and a printf format of its other arguments.
 */
#define LEAVE(ofd, fd, result, ...) ({ \
    __typeof__(result) left_ = (result); \
    if (__builtin_expect((ofd)->traced, 0)) \
        trace_call(ofd, fd, left_, __VA_ARGS__); \
    FINISH(ofd, left_); })

/* The same for a call that is made on the image descriptor: -1 and errno as it is. */
#define NATIVE(call) ({ __typeof__(call) native_ = (call); native_ < 0 ? -errno : native_; })

#endif

/*
 * Messages for people. A function that fails fills the caller's acow_msg where
 * the facts are known (file, call, reason) and returns the errno; nothing above
 * it adds to the line.
 */
#include "msg.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A name may hold anything; a message stays one line, and sends a terminal no commands. */
static void make_plain(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

int msg_set(struct acow_msg *msg, int err, const char *format, ...)
{
    va_list args;

    if (msg) {
        va_start(args, format);
        vsnprintf(msg->text, sizeof(msg->text), format, args);
        va_end(args);
        make_plain(msg->text);
    }
    return err;
}

const char *msg_why(int err)
{
    const char *text = strerrordesc_np(-err);

    return text ? text : "unknown error";
}

void msg_log(const struct acow_sys *sys, const char *format, ...)
{
    char line[4096];
    va_list args;

    if (!sys->log)
        return;
    va_start(args, format);
    vsnprintf(line, sizeof(line), format, args);
    va_end(args);
    make_plain(line);
    sys->log(line);
}

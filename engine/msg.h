/* One-line messages: "FILE: what failed: why". */
#ifndef ACOW_MSG_H
#define ACOW_MSG_H

#include "addcow.h"

/* Writes the line into msg (which may be NULL) and returns err, so that a failure is one statement. */
int msg_set(struct acow_msg *msg, int err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The words for -err, never NULL; thread-safe, no locale. */
const char *msg_why(int err);

/* Sends a line to sys->log, if there is one. */
void msg_log(const struct acow_sys *sys, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif

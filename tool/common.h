/*
 * What all commands of addcow-img share: messages, option parsing, opening a
 * disk to look at it.
 */
#ifndef TOOL_COMMON_H
#define TOOL_COMMON_H

#include <getopt.h>

#include "addcow.h"
#include "cmd.h"

#define COMMON_PROGRAM "addcow-img"
#define COMMON_FORMAT "add-cow"

enum common_output { COMMON_HUMAN, COMMON_JSON };

/* Values for long options without a letter; above every character. */
enum {
    COMMON_OPT_OUTPUT = 256,
    COMMON_OPT_BACKING_CHAIN,
    COMMON_OPT_FORCE,
};

/* What common_getopt returns besides an option: stop, with this exit status. */
enum { COMMON_STOP_OK = 1000, COMMON_STOP_BAD };

/* One line on stderr: "addcow-img: FILE: …", or without "FILE: " if it is NULL. */
void common_error(const char *file, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* The same line for a wrong command line, then where to find help. Returns 1. */
int common_usage_error(const struct cmd *cmd, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Usage and help of one command, on stdout. */
void common_help(const struct cmd *cmd);

/*
 * getopt_long with this program's messages. `shorts` begins with ":"; "h" and
 * --help belong in both lists. -1 at the end of the options; COMMON_STOP_OK
 * when help was printed, COMMON_STOP_BAD when an error was.
 */
int common_getopt(const struct cmd *cmd, int argc, char **argv,
                  const char *shorts, const struct option *longs);

/* The argument of --output. 0, or -EINVAL with a message printed. */
int common_parse_output(const char *arg, enum common_output *output);

/* -f: NULL or "add-cow". 0, or -EINVAL, message printed. */
int common_check_format(const char *file, const char *fmt);

/*
 * A number of bytes from the command line; `what` names it in the message.
 * 0, or -EINVAL, -ERANGE with a message printed.
 */
int common_parse_size(const char *file, const char *what, const char *text, uint64_t *bytes);

/* acow_open to look only (ACOW_INSPECT), message printed on failure. */
int common_inspect(const char *path, struct acow_disk **disk);

#endif

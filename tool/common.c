/*
 * What all commands of addcow-img share.
 *
 * Messages are one line, "addcow-img: FILE: what failed: why". The engine's
 * messages already begin with the file, so they are printed as they are. The
 * wording for a wrong command line is qemu-img's, as scripts may look for it.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common.h"
#include "bytes.h"

static void print_line(const char *file, const char *fmt, va_list args)
{
    fflush(stdout);
    fprintf(stderr, "%s: ", COMMON_PROGRAM);
    if (file)
        fprintf(stderr, "%s: ", file);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
}

void common_error(const char *file, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    print_line(file, fmt, args);
    va_end(args);
}

int common_usage_error(const struct cmd *cmd, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    print_line(NULL, fmt, args);
    va_end(args);
    fprintf(stderr, "Try '%s%s%s --help' for more information\n", COMMON_PROGRAM,
            cmd ? " " : "", cmd ? cmd->name : "");
    return 1;
}

void common_help(const struct cmd *cmd)
{
    printf("usage: %s %s %s\n%s.\n\n%s", COMMON_PROGRAM, cmd->name, cmd->synopsis,
           cmd->summary, cmd->help);
}

int common_getopt(const struct cmd *cmd, int argc, char **argv,
                  const char *shorts, const struct option *longs)
{
    int got = getopt_long(argc, argv, shorts, longs, NULL);
    const char *word;
    char letter[3] = { '-', 0, 0 };

    if (got == 'h') {
        common_help(cmd);
        return COMMON_STOP_OK;
    }
    if (got != '?' && got != ':')
        return got;

    /* A letter may stand inside a word such as -qx; name the letter alone then. */
    word = argv[optind - 1];
    if (optopt > 0 && optopt < 256 && strncmp(word, "--", 2) != 0) {
        letter[1] = (char)optopt;
        word = letter;
    }
    if (got == ':')
        common_usage_error(cmd, "missing argument for option '%s'", word);
    else
        common_usage_error(cmd, "unrecognized option '%s'", word);
    return COMMON_STOP_BAD;
}

int common_parse_output(const char *arg, enum common_output *output)
{
    if (!strcmp(arg, "human"))
        *output = COMMON_HUMAN;
    else if (!strcmp(arg, "json"))
        *output = COMMON_JSON;
    else {
        common_error(NULL, "--output must be used with human or json as argument.");
        return -EINVAL;
    }
    return 0;
}

int common_check_format(const char *file, const char *fmt)
{
    if (!fmt || !strcmp(fmt, COMMON_FORMAT))
        return 0;
    common_error(file, "Unknown file format '%s': the only format supported here is "
                 COMMON_FORMAT "; use qemu-img for others", fmt);
    return -EINVAL;
}

int common_parse_size(const char *file, const char *what, const char *text, uint64_t *bytes)
{
    int err = bytes_parse(text, bytes);

    if (err == -ERANGE)
        common_error(file, "Invalid %s specified: '%s' is not between 0 and %lld",
                     what, text, (long long)INT64_MAX);
    else if (err < 0)
        common_error(file, "Invalid %s specified: '%s' is no number of bytes; "
                     "k, M, G, T, P or E may follow the number", what, text);
    return err;
}

int common_inspect(const char *path, struct acow_disk **disk)
{
    struct acow_msg msg = { .text = "" };
    int err = acow_open(&acow_sys_libc, path, ACOW_RDONLY | ACOW_INSPECT, disk, &msg);

    if (err < 0 && msg.text[0])
        common_error(NULL, "%s", msg.text);
    else if (err < 0)
        common_error(path, "cannot open the disk: %s", strerror(-err));
    return err;
}

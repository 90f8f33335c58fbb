/* addcow-img: dispatch, help, version. The table is made from CMD_LIST in cmd.h. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cmd.h"
#include "common.h"

#ifndef ADDCOW_VERSION
#define ADDCOW_VERSION "0.1"
#endif

#define ROW(name) &cmd_##name,
static const struct cmd *const table[] = { CMD_LIST(ROW) };
#undef ROW

enum { COMMANDS = sizeof(table) / sizeof(table[0]) };

static void print_help(void)
{
    printf("%s version %s\n"
           "usage: %s [-h | --help] [-V | --version] COMMAND [OPTION | OPERAND]...\n"
           "Make and look at add-cow disks: copy-on-write in three plain files.\n\n"
           "Commands:\n", COMMON_PROGRAM, ADDCOW_VERSION, COMMON_PROGRAM);
    for (int i = 0; i < COMMANDS; i++)
        printf("  %-8s  %s\n", table[i]->name, table[i]->summary);
    printf("\nUsage:\n");
    for (int i = 0; i < COMMANDS; i++)
        printf("  %s %s\n", table[i]->name, table[i]->synopsis);
    printf("\n'%s COMMAND --help' tells the options of a command.\n", COMMON_PROGRAM);
}

static int dispatch(int argc, char **argv)
{
    static const struct option longs[] = {
        { "help", no_argument, NULL, 'h' },
        { "version", no_argument, NULL, 'V' },
        { NULL, 0, NULL, 0 },
    };
    int got;

    while ((got = getopt_long(argc, argv, "+:hV", longs, NULL)) != -1) {
        switch (got) {
        case 'h':
            print_help();
            return 0;
        case 'V':
            printf("%s version %s\n", COMMON_PROGRAM, ADDCOW_VERSION);
            return 0;
        default:
            return common_usage_error(NULL, "unrecognized option '%s'", argv[optind - 1]);
        }
    }
    if (optind == argc)
        return common_usage_error(NULL, "Not enough arguments");

    argc -= optind;
    argv += optind;
    optind = 0;     /* getopt begins anew */
    for (int i = 0; i < COMMANDS; i++)
        if (!strcmp(argv[0], table[i]->name))
            return table[i]->run(table[i], argc, argv);
    return common_usage_error(NULL, "Command not found: %s", argv[0]);
}

int main(int argc, char **argv)
{
    int status;

    /* A file-size limit is an error to report, not a reason to die half-way. */
    signal(SIGXFSZ, SIG_IGN);
    status = dispatch(argc, argv);
    if (fflush(stdout) || ferror(stdout)) {
        common_error(NULL, "standard output: cannot write: %s", strerror(errno));
        status = status ? status : 1;
    }
    return status;
}

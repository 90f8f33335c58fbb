/*
 * The commands of addcow-img: one file each, and one row each in CMD_LIST.
 *
 * main.c makes the table, the dispatch and the help from that list, so a new
 * command is a row here and a file cmd_NAME.c that defines `cmd_NAME`.
 */
#ifndef TOOL_CMD_H
#define TOOL_CMD_H

struct cmd {
    const char *name;
    const char *synopsis;   /* what stands behind the name on the usage line */
    const char *summary;    /* one line for the list of commands */
    const char *help;       /* each operand and option; ends with a newline */
    /* argv[0] is the command's name. Returns the exit status. */
    int (*run)(const struct cmd *cmd, int argc, char **argv);
};

#define CMD_LIST(row) \
    row(check) \
    row(create) \
    row(info) \
    row(map)

#define CMD_DECLARE(name) extern const struct cmd cmd_##name;
CMD_LIST(CMD_DECLARE)
#undef CMD_DECLARE

#endif

/* Option lists, key=value,key=value, with ",," for a comma in a value. Pure. */
#ifndef TOOL_OPTLIST_H
#define TOOL_OPTLIST_H

#include <stdio.h>

/* 0, or -EINVAL: empty, or an empty item, or an item without a key. */
int optlist_check(const char *list);

/*
 * Takes the first item off *list, which must have passed optlist_check and is
 * overwritten; *list becomes NULL behind the last item. *value is NULL for an
 * item without "=". Both point into the list.
 */
void optlist_next(char **list, char **key, char **value);

/* Prints a value so that optlist_next would read it back. */
void optlist_print_value(FILE *out, const char *value);

#endif

/*
 * Option lists as qemu-img has them: key=value,key=value with ",," for a comma
 * in a value, so that every file name can be given. A key has no escapes.
 */
#include <errno.h>
#include <string.h>

#include "optlist.h"

/* The end of the value at `p`: its comma, or its NUL. */
static const char *value_end(const char *p)
{
    while (*p && !(p[0] == ',' && p[1] != ','))
        p += *p == ',' ? 2 : 1;
    return p;
}

int optlist_check(const char *list)
{
    for (;;) {
        size_t key = strcspn(list, "=,");

        if (key == 0)
            return -EINVAL;
        list += key;
        if (*list == '=')
            list = value_end(list + 1);
        if (!*list)
            return 0;
        list++;
    }
}

void optlist_next(char **list, char **key, char **value)
{
    char *p = *list, *out, *end;

    *key = p;
    *value = NULL;
    p += strcspn(p, "=,");
    end = p;
    if (*p == '=') {
        *p++ = 0;
        *value = p;
        end = (char *)value_end(p);
    }
    *list = *end ? end + 1 : NULL;
    *end = 0;
    if (!*value)
        return;
    for (out = p; p < end; *out++ = *p++)
        if (*p == ',')
            p++;
    *out = 0;
}

void optlist_print_value(FILE *out, const char *value)
{
    for (; *value; value++) {
        if (*value == ',')
            fputc(',', out);
        fputc(*value, out);
    }
}

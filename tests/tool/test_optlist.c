/* Option lists: which are refused, what the items are, and printing as the inverse. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "optlist.h"

/* The items as "key=<value> key ...", or "invalid". */
static void expect_items(const char *list, const char *items)
{
    char copy[256], got[512] = "";
    char *next = copy, *key, *value;
    int err = optlist_check(list);

    cr_assert(err == 0 || err == -EINVAL);
    if (err < 0) {
        cr_expect_str_eq("invalid", items, "'%s' was refused", list);
        return;
    }
    strcpy(copy, list);
    while (next) {
        optlist_next(&next, &key, &value);
        strcat(got, got[0] ? " " : "");
        strcat(got, key);
        if (value) {
            strcat(got, "=<");
            strcat(got, value);
            strcat(got, ">");
        }
    }
    cr_expect_str_eq(got, items, "'%s' gave %s, not %s", list, got, items);
}

Test(optlist, items)
{
    expect_items("a=1", "a=<1>");
    expect_items("a=1,b=2", "a=<1> b=<2>");
    expect_items("a", "a");
    expect_items("a,b=2,c", "a b=<2> c");
    expect_items("a=", "a=<>");
    expect_items("a=,b=", "a=<> b=<>");
    expect_items("a=b=c", "a=<b=c>");
    expect_items("a= x ,b=1", "a=< x > b=<1>");
    expect_items("help", "help");
}

Test(optlist, commas_in_values)
{
    expect_items("a=1,,2", "a=<1,2>");
    expect_items("a=,,", "a=<,>");
    expect_items("a=,,,b=1", "a=<,> b=<1>");
    expect_items("a=x,,,,y", "a=<x,,y>");
    expect_items("a=x,,,,,b=2", "a=<x,,> b=<2>");
    expect_items("a=1,,b=2", "a=<1,b=2>");
}

Test(optlist, refused)
{
    expect_items("", "invalid");
    expect_items(",", "invalid");
    expect_items(",a=1", "invalid");
    expect_items("a=1,", "invalid");
    expect_items("a=1,,,", "invalid");
    expect_items("a,", "invalid");
    expect_items("a,,b", "invalid");
    expect_items("=1", "invalid");
    expect_items("a=1,=2", "invalid");
}

Test(optlist, print_is_inverse)
{
    static const char *const values[] = { "", "a", ",", ",,", "a,b", ",a,", "a=b,c", "\xff,\xfe" };

    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        char *text, *next, *key, *value;
        size_t len;
        FILE *out = open_memstream(&text, &len);

        cr_assert_not_null(out);
        fputs("k=", out);
        optlist_print_value(out, values[i]);
        fputs(",z=1", out);
        fclose(out);
        cr_assert_eq(optlist_check(text), 0, "%s", text);
        next = text;
        optlist_next(&next, &key, &value);
        cr_expect_str_eq(key, "k");
        cr_expect_str_eq(value, values[i]);
        optlist_next(&next, &key, &value);
        cr_expect_str_eq(key, "z");
        cr_expect_null(next);
        free(text);
    }
}

/*
 * The JSON writer. Strings are compared with what qemu-img 7.2 prints for a file
 * of that name, but for "\300\200", which is no UTF-8 here.
 */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "json.h"

static void expect_string(const char *bytes, const char *want)
{
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);

    cr_assert_not_null(out);
    json_print_string(out, bytes);
    fclose(out);
    cr_expect_str_eq(text, want, "got %s, not %s", text, want);
    free(text);
}

Test(json, ascii)
{
    expect_string("", "\"\"");
    expect_string("abc XYZ 09 ~", "\"abc XYZ 09 ~\"");
    expect_string("'<&>/", "\"'<&>/\"");
    expect_string("a\"b\\c", "\"a\\\"b\\\\c\"");
    expect_string("\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"");
    expect_string("\001\013\033\037\177", "\"\\u0001\\u000B\\u001B\\u001F\\u007F\"");
}

Test(json, utf8)
{
    expect_string("\302\200", "\"\\u0080\"");
    expect_string("\303\251", "\"\\u00E9\"");
    expect_string("\337\277", "\"\\u07FF\"");
    expect_string("\340\240\200", "\"\\u0800\"");
    expect_string("\342\202\254", "\"\\u20AC\"");
    expect_string("\355\237\277", "\"\\uD7FF\"");
    expect_string("\356\200\200", "\"\\uE000\"");
    expect_string("\357\277\275", "\"\\uFFFD\"");
    expect_string("\360\220\200\200", "\"\\uD800\\uDC00\"");
    expect_string("\360\237\230\200", "\"\\uD83D\\uDE00\"");
    expect_string("\364\217\277\275", "\"\\uDBFF\\uDFFD\"");
}

Test(json, not_utf8)
{
    expect_string("x\377y", "\"x\\uFFFDy\"");
    expect_string("\376", "\"\\uFFFD\"");
    expect_string("\200", "\"\\uFFFD\"");
    expect_string("\200\200", "\"\\uFFFD\\uFFFD\"");
    expect_string("\303", "\"\\uFFFD\"");
    expect_string("a\342\202b", "\"a\\uFFFDb\"");
    expect_string("\342\202\342\202\254", "\"\\uFFFD\\u20AC\"");
    expect_string("\360\220\200c", "\"\\uFFFDc\"");
    expect_string("\370\210\200\200\200", "\"\\uFFFD\"");
    expect_string("\375\277\277\277\277\277z", "\"\\uFFFDz\"");
}

Test(json, overlong_surrogates_and_noncharacters)
{
    expect_string("\300\200", "\"\\uFFFD\"");
    expect_string("\301\277", "\"\\uFFFD\"");
    expect_string("\340\237\277", "\"\\uFFFD\"");
    expect_string("\360\217\277\277", "\"\\uFFFD\"");
    expect_string("\355\240\200", "\"\\uFFFD\"");
    expect_string("\355\277\277", "\"\\uFFFD\"");
    expect_string("\357\267\220", "\"\\uFFFD\"");
    expect_string("\357\277\276", "\"\\uFFFD\"");
    expect_string("\357\277\277", "\"\\uFFFD\"");
    expect_string("\364\217\277\277", "\"\\uFFFD\"");
    expect_string("\364\220\200\200", "\"\\uFFFD\"");
}

/* Every byte alone and before "a": plain ASCII comes out, quoted, and the "a" is not lost. */
Test(json, every_byte)
{
    for (int byte = 1; byte < 256; byte++) {
        char name[] = { (char)byte, 'a', 0 };
        char *text;
        size_t len;
        FILE *out = open_memstream(&text, &len);

        cr_assert_not_null(out);
        json_print_string(out, name);
        fclose(out);
        cr_assert(len >= 4);
        cr_expect(text[0] == '"' && text[len - 1] == '"' && text[len - 2] == 'a', "%s", text);
        for (size_t i = 0; i < len; i++)
            cr_expect(text[i] >= 0x20 && text[i] < 0x7f, "byte %d gave %s", byte, text);
        free(text);
    }
}

Test(json, layout)
{
    char *text;
    size_t len;
    struct json json = { .out = open_memstream(&text, &len) };

    cr_assert_not_null(json.out);
    json_open(&json, NULL, '[');
    json_open(&json, NULL, '{');
    json_number(&json, "n", UINT64_MAX);
    json_open(&json, "in", '{');
    json_string(&json, "s", "a\"b");
    json_close(&json, '}');
    json_bool(&json, "yes", 2);
    json_bool(&json, "no", 0);
    json_close(&json, '}');
    json_open(&json, NULL, '{');
    json_close(&json, '}');
    json_close(&json, ']');
    fclose(json.out);
    cr_expect_str_eq(text,
        "[\n"
        "    {\n"
        "        \"n\": 18446744073709551615,\n"
        "        \"in\": {\n"
        "            \"s\": \"a\\\"b\"\n"
        "        },\n"
        "        \"yes\": true,\n"
        "        \"no\": false\n"
        "    },\n"
        "    {}\n"
        "]\n", "%s", text);
    free(text);
}

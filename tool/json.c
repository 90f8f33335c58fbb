/*
 * A small JSON writer.
 *
 * File names are bytes, JSON is Unicode. As qemu-img does, a byte sequence that
 * is no UTF-8 becomes one U+FFFD, so that the text stays JSON whatever the name
 * is; the output is ASCII, so that it does not depend on the reader's locale.
 */
#include <inttypes.h>
#include <string.h>

#include "json.h"

#define REPLACEMENT 0xfffdu

static void begin_item(struct json *json, const char *key)
{
    if (json->behind_item)
        fputc(',', json->out);
    if (json->level > 0)
        fprintf(json->out, "\n%*s", (int)json->level * 4, "");
    if (key)
        fprintf(json->out, "\"%s\": ", key);
    json->behind_item = 1;
}

void json_open(struct json *json, const char *key, char bracket)
{
    begin_item(json, key);
    fputc(bracket, json->out);
    json->level++;
    json->behind_item = 0;
}

void json_close(struct json *json, char bracket)
{
    json->level--;
    if (json->behind_item)
        fprintf(json->out, "\n%*s", (int)json->level * 4, "");
    fputc(bracket, json->out);
    if (json->level == 0)
        fputc('\n', json->out);
    json->behind_item = 1;
}

void json_string(struct json *json, const char *key, const char *value)
{
    begin_item(json, key);
    json_print_string(json->out, value);
}

void json_number(struct json *json, const char *key, uint64_t value)
{
    begin_item(json, key);
    fprintf(json->out, "%" PRIu64, value);
}

void json_bool(struct json *json, const char *key, int value)
{
    begin_item(json, key);
    fputs(value ? "true" : "false", json->out);
}

static int is_character(uint32_t code, unsigned bytes)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };

    return bytes >= 2 && bytes <= 4 && code >= least[bytes] && code <= 0x10ffff &&
           (code < 0xd800 || code > 0xdfff) &&  /* halves of a pair */
           (code < 0xfdd0 || code > 0xfdef) && (code & 0xfffe) != 0xfffe; /* never characters */
}

/* The code point of the sequence at *p, which begins with a byte >= 0x80. */
static uint32_t decode_sequence(const unsigned char **p)
{
    unsigned lead = *(*p)++;
    unsigned announced = lead < 0xc0 ? 1 : lead >= 0xfe ? 1 : (unsigned)__builtin_clz(~(lead << 24));
    unsigned bytes = 1;
    uint32_t code = lead & (0x7fu >> announced);

    while (bytes < announced && (**p & 0xc0) == 0x80) {
        code = code << 6 | (*(*p)++ & 0x3f);
        bytes++;
    }
    return bytes == announced && is_character(code, bytes) ? code : REPLACEMENT;
}

static void print_escaped(FILE *out, uint32_t code)
{
    static const char named[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const char *found = code && code < 0x80 ? strchr(named, (int)code) : NULL;

    if (found)
        fprintf(out, "\\%c", letters[found - named]);
    else if (code >= 0x20 && code < 0x7f)
        fputc((int)code, out);
    else if (code < 0x10000)
        fprintf(out, "\\u%04X", code);
    else
        fprintf(out, "\\u%04X\\u%04X", 0xd800 + ((code - 0x10000) >> 10),
                0xdc00 + ((code - 0x10000) & 0x3ff));
}

void json_print_string(FILE *out, const char *bytes)
{
    const unsigned char *p = (const unsigned char *)bytes;

    fputc('"', out);
    while (*p)
        print_escaped(out, *p < 0x80 ? *p++ : decode_sequence(&p));
    fputc('"', out);
}

/*
 * The header of a metadata file, to and from bytes. Everything here works on
 * memory alone and trusts nothing: a header comes from a file that anybody may
 * have written, so each field is checked before it is used.
 */
#include "format.h"

#include <errno.h>
#include <string.h>

static const uint8_t magic[8] = { 'A', 'D', 'D', '_', 'C', 'O', 'W', 0xff };

enum { AT_VERSION = 8, AT_BACKING = 12, AT_IMAGE = 1036 };

void format_encode(const struct format_header *header, uint8_t out[FORMAT_HEADER])
{
    memset(out, 0, FORMAT_HEADER);
    memcpy(out, magic, sizeof(magic));
    out[AT_VERSION + 3] = FORMAT_VERSION;
    memcpy(out + AT_BACKING, header->backing, strlen(header->backing));
    memcpy(out + AT_IMAGE, header->image, strlen(header->image));
}

static uint32_t be32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static int decode_name(const uint8_t *field, char *out)
{
    size_t len = strnlen((const char *)field, ACOW_NAME_MAX + 1);

    if (len > ACOW_NAME_MAX)
        return -ENAMETOOLONG;
    memcpy(out, field, len);
    memset(out + len, 0, ACOW_NAME_MAX + 1 - len);
    return 0;
}

int format_decode(const uint8_t *buf, size_t len, struct format_header *header, const char **why)
{
    if (len < sizeof(magic) || memcmp(buf, magic, sizeof(magic)) != 0) {
        *why = "not an add-cow metadata file (bad magic)";
        return -EINVAL;
    }
    if (len < FORMAT_HEADER) {
        *why = "the header is cut short (it has 2560 bytes)";
        return -EINVAL;
    }
    if (be32(buf + AT_VERSION) != FORMAT_VERSION) {
        *why = "the header's version is not 1";
        return -ENOTSUP;
    }
    if (decode_name(buf + AT_BACKING, header->backing) < 0) {
        *why = "the backing file's name has no end (at most 1023 bytes)";
        return -ENAMETOOLONG;
    }
    if (decode_name(buf + AT_IMAGE, header->image) < 0) {
        *why = "the image file's name has no end (at most 1023 bytes)";
        return -ENAMETOOLONG;
    }
    return 0;
}

size_t format_stray(const uint8_t buf[FORMAT_HEADER])
{
    uint8_t plain[FORMAT_HEADER];
    struct format_header header;
    const char *why;
    size_t at = 0;

    if (format_decode(buf, FORMAT_HEADER, &header, &why) < 0)
        return 0;
    format_encode(&header, plain);
    while (at < FORMAT_HEADER && buf[at] == plain[at])
        at++;
    return at < FORMAT_HEADER ? at : 0;
}

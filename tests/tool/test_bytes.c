/* Sizes: what qemu-img 7.2 reads and prints for the same words and numbers. */
#include <criterion/criterion.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "bytes.h"

static const struct {
    const char *text;
    int err;
    uint64_t bytes;
} parsed[] = {
    { "0", 0, 0 },
    { "1", 0, 1 },
    { "1b", 0, 1 },
    { "1B", 0, 1 },
    { "512b", 0, 512 },
    { "1k", 0, 1024 },
    { "1K", 0, 1024 },
    { "3M", 0, 3145728 },
    { "3m", 0, 3145728 },
    { "1G", 0, 1073741824 },
    { "2T", 0, 2199023255552 },
    { "1p", 0, 1125899906842624 },
    { "1e", 0, 1152921504606846976 },
    { "7E", 0, 8070450532247928832 },
    { "1.5G", 0, 1610612736 },
    { "1.0001k", 0, 1024 },
    { "1.k", 0, 1024 },
    { "1.", 0, 1 },
    { "1.0", 0, 1 },
    { "0.5k", 0, 512 },
    { "0.3M", 0, 314573 },
    { "0.9k", 0, 922 },
    { "0.9999k", 0, 1024 },
    { "0.000488k", 0, 0 },
    { "0.00048828125k", 0, 1 },
    { "0.00146484375k", 0, 2 },
    { "0.001T", 0, 1099511628 },
    { "1.5e", 0, 1729382256910270464 },
    { "7.99E", 0, 9211842821808707328 },
    { " 1", 0, 1 },
    { "+5", 0, 5 },
    { "010", 0, 10 },
    { "0x10", 0, 16 },
    { "0X1f", 0, 31 },
    { "0x1E", 0, 30 },
    { "0x1k", 0, 1024 },
    { "9223372036854775807", 0, INT64_MAX },

    { "", -EINVAL, 0 },
    { " ", -EINVAL, 0 },
    { "k", -EINVAL, 0 },
    { "-1", -EINVAL, 0 },
    { "-0", -EINVAL, 0 },
    { "+-1", -EINVAL, 0 },
    { "1x", -EINVAL, 0 },
    { "1KB", -EINVAL, 0 },
    { "1KiB", -EINVAL, 0 },
    { "1kk", -EINVAL, 0 },
    { "1 ", -EINVAL, 0 },
    { "1 k", -EINVAL, 0 },
    { "1.5", -EINVAL, 0 },
    { "1.5b", -EINVAL, 0 },
    { "0.5", -EINVAL, 0 },
    { ".5k", -EINVAL, 0 },
    { "1.5.5k", -EINVAL, 0 },
    { "1,5k", -EINVAL, 0 },
    { "1e3", -EINVAL, 0 },
    { "1.5e3k", -EINVAL, 0 },
    { "0x", -EINVAL, 0 },
    { "0x1.8k", -EINVAL, 0 },
    { "x10", -EINVAL, 0 },
    { "nan", -EINVAL, 0 },
    { "inf", -EINVAL, 0 },

    { "8E", -ERANGE, 0 },
    { "9223372036854775808", -ERANGE, 0 },
    { "18446744073709551615", -ERANGE, 0 },
    { "18446744073709551616", -ERANGE, 0 },
    { "99999999999999999999999", -ERANGE, 0 },
    { "99999999999E", -ERANGE, 0 },
    { "16E", -ERANGE, 0 },
    { "0xffffffffffffffff", -ERANGE, 0 },
    { "0x10000000000000000", -ERANGE, 0 },
};

Test(bytes, parse)
{
    for (size_t i = 0; i < sizeof(parsed) / sizeof(parsed[0]); i++) {
        uint64_t bytes = 4711;
        int err = bytes_parse(parsed[i].text, &bytes);

        cr_expect_eq(err, parsed[i].err, "'%s' returned %d", parsed[i].text, err);
        cr_expect_eq(bytes, parsed[i].err ? 4711 : parsed[i].bytes,
                     "'%s' gave %" PRIu64, parsed[i].text, bytes);
    }
}

static const struct {
    uint64_t bytes;
    const char *text;
} printed[] = {
    { 0, "0 B" },
    { 1, "1 B" },
    { 512, "512 B" },
    { 999, "999 B" },
    { 1000, "0.977 KiB" },
    { 1024, "1 KiB" },
    { 1536, "1.5 KiB" },
    { 10240, "10 KiB" },
    { 331776, "324 KiB" },
    { 1000448, "977 KiB" },
    { 1023999, "1e+03 KiB" },
    { 1024000, "0.977 MiB" },
    { 1048576, "1 MiB" },
    { 1572864, "1.5 MiB" },
    { 104857600, "100 MiB" },
    { 123457024, "118 MiB" },
    { 1047527424, "999 MiB" },
    { 1048051712, "1e+03 MiB" },
    { 1048576000, "0.977 GiB" },
    { 1072693248, "0.999 GiB" },
    { 1073741824, "1 GiB" },
    { 12345679360, "11.5 GiB" },
    { 1000000000000, "931 GiB" },
    { 1098437885952, "0.999 TiB" },
    { 1099511627776, "1 TiB" },
    { 17592186040320, "16 TiB" },
    { 1125899906842624, "1 PiB" },
    { 1729382256910270464, "1.5 EiB" },
    { INT64_MAX, "8 EiB" },
    { UINT64_MAX, "16 EiB" },
};

Test(bytes, human)
{
    for (size_t i = 0; i < sizeof(printed) / sizeof(printed[0]); i++) {
        char out[BYTES_HUMAN_MAX];

        cr_expect_str_eq(bytes_human(printed[i].bytes, out), printed[i].text,
                         "%" PRIu64 " gave %s, not %s", printed[i].bytes, out, printed[i].text);
        cr_expect_eq(bytes_human(printed[i].bytes, out), out);
    }
}

/* What is printed without a fraction can be read back. */
Test(bytes, units_agree)
{
    static const char letters[] = "bkMGTPE";

    for (unsigned i = 0; letters[i]; i++) {
        char text[BYTES_HUMAN_MAX], out[BYTES_HUMAN_MAX];
        uint64_t bytes;

        snprintf(text, sizeof(text), "3%c", letters[i]);
        cr_assert_eq(bytes_parse(text, &bytes), 0);
        bytes_human(bytes, out);
        cr_expect_eq(out[0], '3');
        cr_expect_eq(out[2] | 0x20, letters[i] | 0x20, "%s became %s", text, out);
    }
}

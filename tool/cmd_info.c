/*
 * addcow-img info: what a disk is made of, in qemu-img's layout.
 *
 * qemu-img's words keep their meaning: "disk size" is what the files of this one
 * disk take on the filesystem (metadata and image, not the backing file), and the
 * unit of copy-on-write, one sector, is its cluster size. A disk is dirty while
 * some bits are only in its run-time file: a writer has it open, or was killed.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "levels.h"
#include "common.h"
#include "json.h"

struct bits {
    uint64_t sectors, allocated, pending;
};

static int count_bits(const struct level *level, struct bits *bits)
{
    bits->sectors = level->size / ACOW_SECTOR + (level->size % ACOW_SECTOR != 0);
    return acow_count_allocated(level->disk, &bits->allocated, &bits->pending);
}

static const char *backing_format(const struct level *level)
{
    return level->facts.backing ? COMMON_FORMAT : "raw";
}

static void print_path(const char *label, const char *name, const char *actual)
{
    printf("%s: %s", label, name);
    if (strcmp(name, actual) != 0)
        printf(" (actual path: %s)", actual);
    printf("\n");
}

static int print_human(const struct level *level)
{
    char size[BYTES_HUMAN_MAX], actual[BYTES_HUMAN_MAX];
    struct bits bits = { 0 };
    int err = level->disk ? count_bits(level, &bits) : 0;

    if (err < 0)
        return err;
    printf("image: %s\n"
           "file format: %s\n"
           "virtual size: %s (%" PRIu64 " bytes)\n"
           "disk size: %s\n",
           level->filename, level->disk ? COMMON_FORMAT : "raw",
           bytes_human(level->size, size), level->size,
           bytes_human(level->actual_size, actual));
    if (!level->disk)
        return 0;
    printf("cluster_size: %u\n", ACOW_SECTOR);
    if (bits.pending)
        printf("cleanly shut down: no\n");
    if (level->backing) {
        print_path("backing file", level->facts.backing_name, level->backing);
        printf("backing file format: %s\n", backing_format(level));
    }
    printf("Format specific information:\n");
    print_path("    image file", level->facts.image_name, level->image);
    printf("    sectors: %" PRIu64 "\n"
           "    allocated sectors: %" PRIu64 "\n"
           "    pending sectors: %" PRIu64 "\n",
           bits.sectors, bits.allocated, bits.pending);
    return 0;
}

static int print_json(struct json *json, const struct level *level)
{
    struct bits bits = { 0 };
    int err = level->disk ? count_bits(level, &bits) : 0;

    if (err < 0)
        return err;
    json_open(json, NULL, '{');
    if (level->backing)
        json_string(json, "backing-filename-format", backing_format(level));
    json_number(json, "virtual-size", level->size);
    json_string(json, "filename", level->filename);
    if (level->disk)
        json_number(json, "cluster-size", ACOW_SECTOR);
    json_string(json, "format", level->disk ? COMMON_FORMAT : "raw");
    json_number(json, "actual-size", level->actual_size);
    if (level->disk) {
        json_open(json, "format-specific", '{');
        json_string(json, "type", COMMON_FORMAT);
        json_open(json, "data", '{');
        json_string(json, "image-filename", level->facts.image_name);
        json_string(json, "full-image-filename", level->image);
        json_number(json, "sectors", bits.sectors);
        json_number(json, "allocated-sectors", bits.allocated);
        json_number(json, "pending-sectors", bits.pending);
        json_close(json, '}');
        json_close(json, '}');
    }
    if (level->backing) {
        json_string(json, "full-backing-filename", level->backing);
        json_string(json, "backing-filename", level->facts.backing_name);
    }
    json_bool(json, "dirty-flag", bits.pending != 0);
    json_close(json, '}');
    return 0;
}

static int print_levels(const struct levels *levels, enum common_output output, int whole)
{
    struct json json = { .out = stdout };
    int nlevels = whole ? levels->nlevels : 1;
    int err = 0;

    if (output == COMMON_JSON && whole)
        json_open(&json, NULL, '[');
    for (int i = 0; i < nlevels && err == 0; i++) {
        if (output == COMMON_JSON) {
            err = print_json(&json, &levels->level[i]);
            continue;
        }
        if (i > 0)
            printf("\n");
        err = print_human(&levels->level[i]);
    }
    if (output == COMMON_JSON && whole)
        json_close(&json, ']');
    return err;
}

static int info(const char *path, enum common_output output, int whole)
{
    struct acow_disk *disk;
    struct levels levels;
    int err = common_inspect(path, &disk);

    if (err < 0)
        return err;
    err = levels_load(&levels, disk, path);
    if (err == 0)
        err = print_levels(&levels, output, whole);
    if (err < 0)
        common_error(path, "cannot get information: %s", strerror(-err));
    levels_free(&levels);
    acow_close(disk, NULL);
    return err;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
    static const struct option longs[] = {
        { "help", no_argument, NULL, 'h' },
        { "format", required_argument, NULL, 'f' },
        { "output", required_argument, NULL, COMMON_OPT_OUTPUT },
        { "backing-chain", no_argument, NULL, COMMON_OPT_BACKING_CHAIN },
        { "force-share", no_argument, NULL, 'U' },
        { NULL, 0, NULL, 0 },
    };
    enum common_output output = COMMON_HUMAN;
    const char *fmt = NULL;
    int whole = 0, got;

    while ((got = common_getopt(cmd, argc, argv, ":hf:U", longs)) != -1) {
        switch (got) {
        case 'f':
            fmt = optarg;
            break;
        case 'U':
            break;
        case COMMON_OPT_OUTPUT:
            if (common_parse_output(optarg, &output) < 0)
                return 1;
            break;
        case COMMON_OPT_BACKING_CHAIN:
            whole = 1;
            break;
        default:
            return got == COMMON_STOP_OK ? 0 : 1;
        }
    }
    if (optind != argc - 1)
        return common_usage_error(cmd, "Expecting one image file name");
    if (common_check_format(argv[optind], fmt) < 0)
        return 1;
    return info(argv[optind], output, whole) < 0 ? 1 : 0;
}

const struct cmd cmd_info = {
    .name = "info",
    .synopsis = "[-f add-cow] [--output=human|json] [--backing-chain] [-U] FILE",
    .summary = "Show what a disk is made of",
    .help =
        "  FILE                  the disk's metadata file\n"
        "  --output=human|json   lines for people (the default), or JSON\n"
        "  --backing-chain       show every file below the disk too, top first\n"
        "  -f add-cow            the format of FILE; there is no other\n"
        "  -U, --force-share     accepted, and needless: a disk in use can always be looked at\n"
        "  -h, --help            print this\n\n"
        "Pending sectors are those whose bit is not yet in the metadata file, because a program\n"
        "has the disk open for writing or was killed. Nothing is locked or changed.\n",
    .run = run,
};

/*
 * addcow-img map: which file each part of a disk is read from, in qemu-img's
 * layout: a table of the data for people, every extent in JSON.
 *
 * The engine may cut extents where nothing changes (at a page of its bitmap,
 * at a limit of the filesystem); neighbours that say the same are put together.
 * "present" is false where no file of the chain has the bytes: beyond the end of
 * the backing file, and without one. All files of a chain have the same offsets.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "levels.h"
#include "common.h"

struct entry {
    uint64_t start, length;
    int depth;
    int present, zero, data;
    const char *file;       /* of data; as the engine knows it */
};

struct map {
    struct acow_disk *disk;
    struct levels levels;
    enum common_output output;
    uint64_t start, end;
    int printed;
};

/* How people are shown a path that the engine knows. */
static const char *shown_file(const struct levels *levels, const char *file)
{
    for (int i = 0; i < levels->nlevels && levels->level[i].disk; i++) {
        const struct level *level = &levels->level[i];

        if (!strcmp(file, level->facts.image_path))
            return level->image;
        if (level->backing && !strcmp(file, level->facts.backing_path))
            return level->backing;
    }
    return file;
}

static void print_entry(struct map *map, const struct entry *entry)
{
    if (map->output == COMMON_HUMAN) {
        if (entry->data)
            printf("%#-16" PRIx64 "%#-16" PRIx64 "%#-16" PRIx64 "%s\n", entry->start,
                   entry->length, entry->start, shown_file(&map->levels, entry->file));
        return;
    }
    printf("%s{ \"start\": %" PRIu64 ", \"length\": %" PRIu64 ", \"depth\": %d, "
           "\"present\": %s, \"zero\": %s, \"data\": %s",
           map->printed++ ? ",\n" : "", entry->start, entry->length, entry->depth,
           entry->present ? "true" : "false", entry->zero ? "true" : "false",
           entry->data ? "true" : "false");
    if (entry->present)
        printf(", \"offset\": %" PRIu64, entry->start);
    printf("}");
}

/*
 * Zeros are either a hole in a file of that level, or in no file at all because
 * the level below ends earlier. Only the level's own disk knows which.
 */
static int place_zeros(struct map *map, struct entry *entry, int allocated)
{
    const struct level *level = &map->levels.level[entry->depth];
    struct acow_extent own = { .len = entry->length, .allocated = allocated };
    int err = 0;

    if (level->disk && entry->depth > 0)
        err = acow_next_extent(level->disk, entry->start, entry->length, &own);
    if (err < 0)
        return err;
    entry->length = own.len;
    entry->present = !level->disk || own.allocated;
    return 0;
}

static int next_entry(struct map *map, uint64_t off, struct entry *entry)
{
    struct acow_extent extent;
    int err = acow_next_extent(map->disk, off, map->end - off, &extent);

    if (err < 0)
        return err;
    if (extent.len == 0 || extent.depth >= map->levels.nlevels)
        return -EIO;
    *entry = (struct entry) {
        .start = off,
        .length = extent.len,
        .depth = extent.depth,
        .data = extent.kind == ACOW_DATA,
        .zero = extent.kind == ACOW_HOLE,
    };
    if (entry->zero)
        return place_zeros(map, entry, extent.allocated);
    entry->present = 1;
    entry->file = extent.file;
    return 0;
}

static int mergeable(const struct entry *entry, const struct entry *next)
{
    return entry->depth == next->depth && entry->present == next->present &&
           entry->zero == next->zero && entry->data == next->data &&
           (entry->file == next->file ||
            (entry->file && next->file && !strcmp(entry->file, next->file)));
}

static int print_map(struct map *map)
{
    struct entry entry = { .start = map->start }, next;
    uint64_t off = map->start;
    int err;

    while (off < map->end) {
        err = next_entry(map, off, &next);
        if (err == -ENXIO)      /* the disk has become smaller meanwhile */
            break;
        if (err < 0)
            return err;
        off += next.length;
        if (entry.length && mergeable(&entry, &next)) {
            entry.length += next.length;
            continue;
        }
        if (entry.length)
            print_entry(map, &entry);
        entry = next;
    }
    print_entry(map, &entry);
    return 0;
}

static int map_disk(struct map *map, const char *path, uint64_t length)
{
    int err = common_inspect(path, &map->disk);

    if (err < 0)
        return err;
    err = levels_load(&map->levels, map->disk, path);
    if (err < 0)
        goto out;
    map->end = map->levels.level[0].size;
    if (map->start < map->end && length < map->end - map->start)
        map->end = map->start + length;
    if (map->output == COMMON_JSON)
        printf("[");
    else
        printf("%-16s%-16s%-16s%s\n", "Offset", "Length", "Mapped to", "File");
    err = print_map(map);
    if (err == 0 && map->output == COMMON_JSON)
        printf("]\n");
out:
    if (err < 0)
        common_error(path, "cannot read the map: %s", strerror(-err));
    levels_free(&map->levels);
    acow_close(map->disk, NULL);
    return err;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
    static const struct option longs[] = {
        { "help", no_argument, NULL, 'h' },
        { "format", required_argument, NULL, 'f' },
        { "output", required_argument, NULL, COMMON_OPT_OUTPUT },
        { "start-offset", required_argument, NULL, 's' },
        { "max-length", required_argument, NULL, 'l' },
        { "force-share", no_argument, NULL, 'U' },
        { NULL, 0, NULL, 0 },
    };
    struct map map = { .output = COMMON_HUMAN };
    uint64_t length = UINT64_MAX;
    const char *fmt = NULL;
    int got;

    while ((got = common_getopt(cmd, argc, argv, ":hf:s:l:U", longs)) != -1) {
        switch (got) {
        case 'f':
            fmt = optarg;
            break;
        case 's':
            if (common_parse_size(NULL, "start offset", optarg, &map.start) < 0)
                return 1;
            break;
        case 'l':
            if (common_parse_size(NULL, "max length", optarg, &length) < 0)
                return 1;
            break;
        case 'U':
            break;
        case COMMON_OPT_OUTPUT:
            if (common_parse_output(optarg, &map.output) < 0)
                return 1;
            break;
        default:
            return got == COMMON_STOP_OK ? 0 : 1;
        }
    }
    if (optind != argc - 1)
        return common_usage_error(cmd, "Expecting one image file name");
    if (common_check_format(argv[optind], fmt) < 0)
        return 1;
    return map_disk(&map, argv[optind], length) < 0 ? 1 : 0;
}

const struct cmd cmd_map = {
    .name = "map",
    .synopsis = "[-f add-cow] [-s OFFSET] [-l LENGTH] [--output=human|json] [-U] FILE",
    .summary = "Show which file each part of a disk is read from",
    .help =
        "  FILE                  the disk's metadata file\n"
        "  -s, --start-offset=OFFSET  begin there (default 0)\n"
        "  -l, --max-length=LENGTH    show so many bytes (default: all)\n"
        "  --output=human|json   a table of the data (the default), or all extents as JSON\n"
        "  -f add-cow            the format of FILE; there is no other\n"
        "  -U, --force-share     accepted, and needless: a disk in use can always be looked at\n"
        "  -h, --help            print this\n\n"
        "Parts that read as zeros are in the JSON only. depth is 0 for the disk's own image file,\n"
        "1 for its backing file, and so on down. Nothing is locked or changed.\n",
    .run = run,
};

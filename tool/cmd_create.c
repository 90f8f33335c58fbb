/*
 * addcow-img create: a new disk over a backing file.
 *
 * Names are stored as the user typed them; the engine finds the files from the
 * metadata file's directory, here as at every later open. All checks of files
 * are the engine's, which also takes back what it made when it fails; this file
 * checks the command line alone.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common.h"
#include "optlist.h"

struct create_args {
    struct acow_create what;
    const char *fmt;
    const char *size;
    int quiet, unsafe;
};

struct create_option {
    const char *key, *help;
    size_t field;       /* of struct create_args: a const char * */
};

#define FIELD(name) offsetof(struct create_args, name)
static const struct create_option create_options[] = {
    { "backing_file", "File name of a base image", FIELD(what.backing_name) },
    { "backing_fmt", "Image format of the base image: raw or add-cow", FIELD(what.backing_fmt) },
    { "image_file", "File name of the raw image that takes the writes", FIELD(what.image_name) },
    { "size", "Virtual disk size", FIELD(size) },
};
#undef FIELD

enum { CREATE_OPTIONS = sizeof(create_options) / sizeof(create_options[0]) };

static void print_option_help(void)
{
    printf("Supported " COMMON_FORMAT " options:\n");
    for (int i = 0; i < CREATE_OPTIONS; i++) {
        char left[32];

        snprintf(left, sizeof(left), "%s=<%s>", create_options[i].key,
                 !strcmp(create_options[i].key, "size") ? "size" : "str");
        printf("  %-20s - %s\n", left, create_options[i].help);
    }
}

/* One -o; the list is overwritten. */
static int take_options(struct create_args *args, const char *file, char *list)
{
    char *key, *value;
    int i;

    while (list) {
        optlist_next(&list, &key, &value);
        for (i = 0; i < CREATE_OPTIONS; i++)
            if (!strcmp(key, create_options[i].key))
                break;
        if (i == CREATE_OPTIONS) {
            common_error(file, "Invalid parameter '%s'; -o help lists the supported ones", key);
            return -EINVAL;
        }
        if (!value) {
            common_error(file, "Parameter '%s' needs a value: %s=...", key, key);
            return -EINVAL;
        }
        *(const char **)((char *)args + create_options[i].field) = value;
    }
    return 0;
}

static int is_option_help(const char *list)
{
    return !strcmp(list, "help") || !strcmp(list, "?");
}

static int check_size(struct create_args *args, const char *operand)
{
    uint64_t bytes;
    int err;

    args->what.size = -1;
    if (args->size && operand) {
        common_error(args->what.path, "The image size must be specified only once");
        return -EINVAL;
    }
    if (operand)
        args->size = operand;
    if (!args->size)
        return 0;
    err = common_parse_size(args->what.path, "image size", args->size, &bytes);
    if (err < 0)
        return err;
    args->what.size = (int64_t)bytes;
    return 0;
}

/* What the engine would say less well, or cannot know. */
static int check_names(const struct create_args *args)
{
    const struct acow_create *what = &args->what;
    const char *fmt = what->backing_fmt;

    if (common_check_format(what->path, args->fmt) < 0)
        return -EINVAL;
    if (fmt && strcmp(fmt, "raw") != 0 && strcmp(fmt, COMMON_FORMAT) != 0) {
        common_error(what->path, "Unknown backing format '%s': the formats supported are raw and "
                     COMMON_FORMAT, fmt);
        return -EINVAL;
    }
    if (!what->backing_name) {
        common_error(what->path, "both backing_file and image_file are needed: "
                     "no backing file given; use -b FILE or -o backing_file=FILE");
        return -EINVAL;
    }
    if (!what->backing_name[0] || (what->image_name && !what->image_name[0])) {
        common_error(what->path, "both backing_file and image_file are needed: "
                     "expected a %s file name, got empty string",
                     what->backing_name[0] ? "image" : "backing");
        return -EINVAL;
    }
    if (args->unsafe) {
        common_error(what->path, "-u is not supported: the backing file must be there, "
                     "as its size and its name are checked");
        return -EINVAL;
    }
    if (!acow_name_is_disk(what->path)) {
        common_error(what->path, "not a name for a disk: programs see a disk only "
                     "if the name ends in " ACOW_SUFFIX);
        return -EINVAL;
    }
    return 0;
}

static void print_made(const struct acow_create *what, uint64_t size)
{
    printf("Formatting '%s', fmt=" COMMON_FORMAT " size=%" PRIu64 " backing_file=",
           what->path, size);
    optlist_print_value(stdout, what->backing_name);
    if (what->backing_fmt)
        printf(" backing_fmt=%s", what->backing_fmt);
    printf(" image_file=");
    optlist_print_value(stdout, what->image_name);
    printf("\n");
}

static int create(struct create_args *args)
{
    struct acow_create *what = &args->what;
    struct acow_msg msg = { .text = "" };
    const char *slash = strrchr(what->path, '/');
    char *default_image = NULL;
    uint64_t size = 0;
    int err;

    if (!what->image_name) {
        if (asprintf(&default_image, "%s.raw", slash ? slash + 1 : what->path) < 0) {
            common_error(what->path, "cannot create the disk: %s", strerror(ENOMEM));
            return -ENOMEM;
        }
        what->image_name = default_image;
    }
    err = acow_create(&acow_sys_libc, what, &size, &msg);
    if (err < 0 && msg.text[0])
        common_error(NULL, "%s", msg.text);
    else if (err < 0)
        common_error(what->path, "cannot create the disk: %s", strerror(-err));
    else if (!args->quiet)
        print_made(what, size);
    free(default_image);
    return err;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
    static const struct option longs[] = {
        { "help", no_argument, NULL, 'h' },
        { "force", no_argument, NULL, COMMON_OPT_FORCE },
        { NULL, 0, NULL, 0 },
    };
    struct create_args args = { .fmt = NULL };
    const char *backing = NULL, *backing_fmt = NULL;
    char **lists;
    int nlists = 0, status = 1, got;

    lists = calloc((size_t)argc, sizeof(*lists));
    if (!lists) {
        common_error(NULL, "cannot read the command line: %s", strerror(ENOMEM));
        return 1;
    }
    while ((got = common_getopt(cmd, argc, argv, ":hf:b:F:o:qu", longs)) != -1) {
        switch (got) {
        case 'f':
            args.fmt = optarg;
            break;
        case 'b':
            backing = optarg;
            break;
        case 'F':
            backing_fmt = optarg;
            break;
        case 'o':
            if (optlist_check(optarg) < 0) {
                common_error(NULL, "Invalid option list: %s", optarg);
                goto out;
            }
            if (is_option_help(optarg)) {
                print_option_help();
                status = 0;
                goto out;
            }
            lists[nlists++] = optarg;
            break;
        case 'q':
            args.quiet = 1;
            break;
        case 'u':
            args.unsafe = 1;
            break;
        case COMMON_OPT_FORCE:
            args.what.force = 1;
            break;
        default:
            status = got == COMMON_STOP_OK ? 0 : 1;
            goto out;
        }
    }
    if (optind == argc) {
        common_usage_error(cmd, "Expecting image file name");
        goto out;
    }
    if (argc - optind > 2) {
        common_usage_error(cmd, "Unexpected argument: %s", argv[optind + 2]);
        goto out;
    }
    args.what.path = argv[optind];
    for (int i = 0; i < nlists; i++)
        if (take_options(&args, args.what.path, lists[i]) < 0)
            goto out;
    if (backing)
        args.what.backing_name = backing;
    if (backing_fmt)
        args.what.backing_fmt = backing_fmt;
    if (check_names(&args) < 0 || check_size(&args, argv[optind + 1]) < 0 || create(&args) < 0)
        goto out;
    status = 0;
out:
    free(lists);
    return status;
}

const struct cmd cmd_create = {
    .name = "create",
    .synopsis = "[-q] [-f add-cow] [-b BACKING [-F BACKING_FMT]] [-o OPTIONS] [--force] FILE [SIZE]",
    .summary = "Make a disk over a backing file",
    .help =
        "  FILE                  the metadata file to make; its name ends in .add-cow\n"
        "  SIZE                  bytes, or with k, M, G, T, P, E behind; without it the\n"
        "                        image's if that exists, else the backing file's\n"
        "  -b BACKING            the backing file; the same as -o backing_file=BACKING\n"
        "  -F raw|add-cow        its format, checked: a name ending in .add-cow is a disk,\n"
        "                        any other is raw; the same as -o backing_fmt=\n"
        "  -o KEY=VALUE,...      backing_file, image_file, backing_fmt, size; \",,\" stands\n"
        "                        for a comma in a value; -o help lists them\n"
        "  --force               replace FILE if it exists\n"
        "  -f add-cow            the format to make; there is no other\n"
        "  -q                    print nothing but errors\n"
        "  -h, --help            print this\n\n"
        "The image file is FILE's last component with \".raw\" behind it unless given. One that\n"
        "does not exist is made, sparse; one that exists keeps its size and content. A relative\n"
        "name of image or backing is relative to the directory of FILE.\n",
    .run = run,
};

/*
 * addcow-img check: whether a disk is whole, in qemu-img's layout and with its exit statuses.
 *
 * The engine finds and judges; here it is printed. As with qemu-img, each error and leak is a
 * line on stderr, -q or not; the summary is on stdout, and so are notes, which are no fault.
 * A cluster is a sector. After repairs the disk is checked again, and that is what the summary
 * and the status are of.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common.h"
#include "json.h"

enum { CLEAN, FAILED, CORRUPT, LEAKY, UNSUPPORTED = 63 };

struct options {
    const char *path, *fmt;
    enum common_output output;
    int repair, quiet;
};

/* Both rounds: what was found, and, if anything was repaired, what there is now. */
struct rounds {
    struct acow_check first, second;
    const struct acow_check *last;
};

static int is_repaired(const struct acow_check *check)
{
    return check->notes_repaired || check->leaks_repaired || check->corruptions_repaired;
}

/* ---- lines ----------------------------------------------------------------------- */

static void print_findings(const struct acow_check *check, int human)
{
    for (size_t i = 0; i < check->nfindings; i++) {
        const struct acow_finding *finding = &check->findings[i];

        if (finding->severity != ACOW_NOTE)
            common_error(NULL, "%s", finding->text);
        else if (human)
            printf("Note: %s\n", finding->text);
        if (finding->repaired && human)
            printf("Repaired: %s\n", finding->repaired);
    }
}

static void print_repaired(const struct acow_check *check)
{
    if (check->leaks_repaired || check->corruptions_repaired)
        printf("The following inconsistencies were found and repaired:\n\n"
               "    %" PRIu64 " leaks\n"
               "    %" PRIu64 " corruptions\n\n", check->leaks_repaired,
               check->corruptions_repaired);
    printf("Double checking the fixed image now...\n");
}

static double percent(uint64_t part, uint64_t whole)
{
    return (double)part * 100 / (double)whole;
}

static void print_summary(const struct acow_check *check)
{
    if (!check->corruptions && !check->leaks && !check->unchecked)
        printf("No errors were found on the image.\n");
    if (check->corruptions)
        printf("\n%" PRIu64 " errors were found on the image.\n"
               "Data may be corrupted, or further writes to the image may corrupt it.\n",
               check->corruptions);
    if (check->leaks)
        printf("\n%" PRIu64 " leaks were found on the image.\n"
               "This means something left over, but no harm to data.\n", check->leaks);
    if (check->unchecked)
        printf("\n%" PRIu64 " internal errors have occurred during the check.\n",
               check->unchecked);
    if (check->allocated)
        printf("%" PRIu64 "/%" PRIu64 " = %.2f%% allocated, 0.00%% fragmented, "
               "0.00%% compressed clusters\n", check->allocated, check->sectors,
               percent(check->allocated, check->sectors));
    if (check->end)
        printf("Image end offset: %" PRIu64 "\n", check->end);
}

/* ---- JSON -------------------------------------------------------------------------- */

static void json_findings(struct json *json, const struct acow_check *check, int repaired_alone)
{
    static const char *const severities[] = { "note", "leak", "corruption", "check-error" };

    for (size_t i = 0; i < check->nfindings; i++) {
        const struct acow_finding *finding = &check->findings[i];

        if (repaired_alone && !finding->repaired)
            continue;
        json_open(json, NULL, '{');
        json_string(json, "kind", acow_found_name(finding->kind));
        json_string(json, "severity", severities[finding->severity]);
        json_number(json, "depth", (uint64_t)finding->depth);
        json_string(json, "filename", finding->file);
        json_string(json, "description", finding->text);
        if (finding->repaired)
            json_string(json, "repaired", finding->repaired);
        json_close(json, '}');
    }
}

/* As in qemu-img's, a number that is 0 is left out, but for the errors of the check itself. */
static void json_count(struct json *json, const char *key, uint64_t value)
{
    if (value)
        json_number(json, key, value);
}

static void print_json(const struct options *options, const struct rounds *rounds)
{
    const struct acow_check *last = rounds->last;
    struct json json = { .out = stdout };

    json_open(&json, NULL, '{');
    json_count(&json, "image-end-offset", last->end);
    json_count(&json, "total-clusters", last->sectors);
    json_count(&json, "corruptions", last->corruptions);
    json_count(&json, "corruptions-fixed", rounds->first.corruptions_repaired);
    json_number(&json, "check-errors", last->unchecked);
    json_count(&json, "leaks", last->leaks);
    json_count(&json, "leaks-fixed", rounds->first.leaks_repaired);
    json_count(&json, "allocated-clusters", last->allocated);
    json_count(&json, "pending-clusters", last->pending);
    json_string(&json, "filename", options->path);
    json_string(&json, "format", COMMON_FORMAT);
    json_open(&json, "findings", '[');
    if (last != &rounds->first)
        json_findings(&json, &rounds->first, 1);
    json_findings(&json, last, 0);
    json_close(&json, ']');
    json_close(&json, '}');
}

/* ---- the check -------------------------------------------------------------------------- */

static int check_once(const char *path, int repair, struct acow_check *check)
{
    struct acow_sys sys = acow_sys_libc;
    struct acow_msg msg = { .text = "" };
    int err;

    /* What is dropped on the way is among the findings. */
    sys.log = NULL;
    err = acow_check(&sys, path, repair, check, &msg);
    if (err < 0 && msg.text[0])
        common_error(NULL, "%s", msg.text);
    else if (err < 0)
        common_error(path, "cannot be checked: %s", strerror(-err));
    return err;
}

static int check_twice(const struct options *options, struct rounds *rounds)
{
    int human = options->output == COMMON_HUMAN && !options->quiet;
    int err = check_once(options->path, options->repair, &rounds->first);

    rounds->last = &rounds->first;
    print_findings(&rounds->first, human && err == 0);
    if (err < 0 || !is_repaired(&rounds->first))
        return err;
    if (human)
        print_repaired(&rounds->first);
    err = check_once(options->path, 0, &rounds->second);
    rounds->last = &rounds->second;
    print_findings(&rounds->second, human && err == 0);
    return err;
}

static int check_disk(const struct options *options)
{
    struct rounds rounds = { 0 };
    int status = FAILED;

    if (check_twice(options, &rounds) == 0) {
        if (options->output == COMMON_JSON && !options->quiet)
            print_json(options, &rounds);
        else if (!options->quiet)
            print_summary(rounds.last);
        if (rounds.last->unchecked)
            common_error(options->path, "Check failed: not everything could be looked at");
        else
            status = rounds.last->corruptions ? CORRUPT : rounds.last->leaks ? LEAKY : CLEAN;
    }
    acow_check_free(&rounds.first);
    acow_check_free(&rounds.second);
    return status;
}

/* Formats are told by names, and content is never looked at to find one. */
static int is_raw(const struct options *options)
{
    return options->fmt ? !strcmp(options->fmt, "raw") : !acow_name_is_disk(options->path);
}

static int refuse_raw(const struct options *options)
{
    struct stat st;

    if (stat(options->path, &st) < 0) {
        common_error(options->path, "cannot open: %s", strerror(errno));
        return FAILED;
    }
    common_error(options->path, "This image format does not support checks: raw, as %s",
                 options->fmt ? "-f says" : "its name does not end in " ACOW_SUFFIX);
    return UNSUPPORTED;
}

/*
 * qemu-img wants a word behind -r; here it may be left out. Where it stands alone, getopt
 * has not gone past it yet, and does so from where it is told to be.
 */
static int parse_repair(int argc, char **argv)
{
    const char *word = optarg;

    if (!word && optind < argc && (!strcmp(argv[optind], "leaks") || !strcmp(argv[optind], "all")))
        word = argv[optind++];
    if (!word || !strcmp(word, "all"))
        return ACOW_REPAIR_ALL;
    return strcmp(word, "leaks") ? 0 : ACOW_REPAIR_LEAKS;
}

static int run(const struct cmd *cmd, int argc, char **argv)
{
    static const struct option longs[] = {
        { "help", no_argument, NULL, 'h' },
        { "format", required_argument, NULL, 'f' },
        { "output", required_argument, NULL, COMMON_OPT_OUTPUT },
        { "repair", optional_argument, NULL, 'r' },
        { "quiet", no_argument, NULL, 'q' },
        { "force-share", no_argument, NULL, 'U' },
        { NULL, 0, NULL, 0 },
    };
    struct options options = { .output = COMMON_HUMAN };
    int got;

    while ((got = common_getopt(cmd, argc, argv, ":hf:r::qU", longs)) != -1) {
        switch (got) {
        case 'f':
            options.fmt = optarg;
            break;
        case 'r':
            options.repair = parse_repair(argc, argv);
            if (!options.repair)
                return common_usage_error(cmd, "Unknown option value for -r (expecting 'leaks' or "
                                          "'all'): %s", optarg);
            break;
        case 'q':
            options.quiet = 1;
            break;
        case 'U':
            break;
        case COMMON_OPT_OUTPUT:
            if (common_parse_output(optarg, &options.output) < 0)
                return FAILED;
            break;
        default:
            return got == COMMON_STOP_OK ? CLEAN : FAILED;
        }
    }
    if (optind != argc - 1)
        return common_usage_error(cmd, "Expecting one image file name");
    options.path = argv[optind];
    if (is_raw(&options))
        return refuse_raw(&options);
    if (common_check_format(options.path, options.fmt) < 0)
        return FAILED;
    return check_disk(&options);
}

const struct cmd cmd_check = {
    .name = "check",
    .synopsis = "[-f add-cow] [-r [leaks | all]] [--output=human|json] [-q] [-U] FILE",
    .summary = "Check whether a disk is whole, and repair it",
    .help =
        "  FILE                  the disk's metadata file\n"
        "  -r, --repair [leaks | all]  repair what can be without losing data: only what is left\n"
        "                        over, or everything (the default)\n"
        "  --output=human|json   a summary for people (the default), or JSON\n"
        "  -q, --quiet           print errors and leaks alone\n"
        "  -f add-cow            the format of FILE, if its name does not say so\n"
        "  -U, --force-share     accepted, and needless: a disk in use can always be looked at\n"
        "  -h, --help            print this\n\n"
        "The chain below is looked at too, but never repaired. Without -r nothing is locked or\n"
        "changed; with it nobody may have the disk open. The exit status is qemu-img's:\n"
        "  0   no errors (any more)\n"
        "  1   the check or a repair could not be done\n"
        "  2   corruption: the disk cannot be opened, or writes may have been lost\n"
        "  3   leaks alone: a run-time file that a killed program or a power cut left\n"
        "  63  FILE is of a format that has no checks\n",
    .run = run,
};

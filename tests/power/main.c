/*
 * The power-cut checker's command line.
 *
 *   power [--states N] [--seed S]          the tests; at least N different states
 *   power --script TEXT [--lie N] [--same-boot]     all states of one script
 *   power --script TEXT --at PART:EVENT --kept LIST --run N     one of them, and how it came about
 *
 * A test that fails prints a command of the last kind.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "explore.h"
#include "generate.h"
#include "scripts.h"
#include "selftest.h"

static struct options {
    uint64_t states, seed;
    const char *script, *at, *kept;
    unsigned run;
} options = { .states = 100000, .seed = 1, .kept = "none" };

static struct explore explore = {
    .choices = 8192, .draws = 60, .every_run = true, .files_every = 1000,
};

static char dir[4096];
static int passed, failed;

/* ---- a directory for real files ------------------------------------------ */

static void make_dir(void)
{
    const char *base = getenv("TMPDIR");

    if (access("/dev/shm", W_OK) == 0)
        base = "/dev/shm";
    else if (!base || !base[0])
        base = "/tmp";
    snprintf(dir, sizeof(dir), "%s/addcow-power-XXXXXX", base);
    if (!mkdtemp(dir))
        fatal("%s: %s", dir, strerror(errno));
    explore.dir = dir;
}

static void remove_dir(void)
{
    if (dir[0] && rmdir(dir) < 0 && errno != ENOENT)
        fprintf(stderr, "power: %s cannot be removed: %s\n", dir, strerror(errno));
}

/* A crash of the engine, or a lock that it waits for for ever, has a state too. */
static void die(int number)
{
    fprintf(stderr, "power: %s; seed %llu\n    %s\n", strsignal(number),
            (unsigned long long)options.seed, explore_where());
    remove_dir();
    _exit(1);
}

/* ---- tests --------------------------------------------------------------- */

static void report(bool ok, const char *name)
{
    printf("[%s] %s\n", ok ? "PASS" : "FAIL", name);
    fflush(stdout);
    passed += ok;
    failed += !ok;
}

static bool try_script(const struct script *script)
{
    char where[4096];
    bool ok;

    alarm(EXPLORE_HANGS_AFTER);
    ok = explore_script(&explore, script, where);
    alarm(0);
    if (!ok)
        printf("    %s\n    seed %llu\n    %s\n", breach_found(), (unsigned long long)options.seed,
               where);
    breach_forget();
    return ok;
}

static bool try_text(const char *text)
{
    struct script script;

    script_parse(&script, text);
    return try_script(&script);
}

static bool try_short(int length)
{
    struct script script;
    bool ok = true;

    for (uint64_t i = 0; ok && i < generate_count(length); i++) {
        generate_short(&script, length, i);
        ok = try_script(&script);
    }
    return ok;
}

static bool try_long(void)
{
    struct rng rng = { options.seed };
    struct script script;
    bool ok = true;

    /* Many scripts rather than much of each. */
    explore.choices = 512;
    explore.every_run = false;
    for (int i = 0; ok && (i < 100 || explore.totals.distinct_disks < options.states); i++) {
        generate_long(&script, rng_next(&rng));
        explore.seed = rng_next(&rng);
        ok = try_script(&script);
    }
    return ok;
}

static void print_totals(void)
{
    const struct explore_totals *totals = &explore.totals;

    printf("%llu scripts, cut at %llu moments (%llu with more choices than were tried): "
           "%llu states, %llu different, %llu of them without regard to the run-time file; "
           "%llu on real files; seed %llu\n",
           (unsigned long long)totals->scripts, (unsigned long long)totals->cuts,
           (unsigned long long)totals->drawn_cuts, (unsigned long long)totals->judged,
           (unsigned long long)totals->distinct, (unsigned long long)totals->distinct_disks,
           (unsigned long long)totals->on_files, (unsigned long long)options.seed);
}

static void run_all(void)
{
    int longest = options.states >= 500000 ? 3 : 2;
    char name[128];

    for (int i = 0; i < nselftests; i++) {
        snprintf(name, sizeof(name), "finds out: %s", selftests[i].name);
        alarm(EXPLORE_HANGS_AFTER);
        report(selftest_run(&selftests[i], &explore), name);
    }
    alarm(0);
    for (int i = 0; i < nscripts; i++)
        report(try_text(scripts[i].text), scripts[i].name);
    for (int length = 1; length <= longest; length++) {
        snprintf(name, sizeof(name), "all scripts of %d operations of each kind", length);
        report(try_short(length), name);
    }
    report(try_long(), "long scripts at random");
    report(explore.totals.distinct_disks >= options.states,
           "as many different states as were asked for");
    print_totals();
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
}

/* ---- one script ---------------------------------------------------------- */

static int run_one(void)
{
    struct script script;
    bool ok;

    script_parse(&script, options.script);
    if (options.at) {
        ok = explore_replay(&explore, &script, options.at, options.kept, options.run, true);
        printf("%s\n", ok ? "nothing is wrong" : breach_found());
        return !ok;
    }
    ok = try_script(&script);
    print_totals();
    return !ok;
}

static void parse_options(int argc, char **argv)
{
    static const struct option known[] = {
        { "states", required_argument, NULL, 'n' }, { "seed", required_argument, NULL, 's' },
        { "script", required_argument, NULL, 't' }, { "at", required_argument, NULL, 'a' },
        { "kept", required_argument, NULL, 'k' },   { "run", required_argument, NULL, 'r' },
        { "lie", required_argument, NULL, 'l' },    { "same-boot", no_argument, NULL, 'b' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (option) {
        case 'n':
            options.states = strtoull(optarg, NULL, 10);
            break;
        case 's':
            options.seed = strtoull(optarg, NULL, 10);
            break;
        case 't':
            options.script = optarg;
            break;
        case 'a':
            options.at = optarg;
            break;
        case 'k':
            options.kept = optarg;
            break;
        case 'r':
            options.run = (unsigned)strtoul(optarg, NULL, 10);
            break;
        case 'l':
            explore.lie = (enum log_lie)strtol(optarg, NULL, 10);
            break;
        case 'b':
            explore.same_boot = true;
            break;
        default:
            exit(2);
        }
    }
    if (optind < argc)
        fatal("what is %s?", argv[optind]);
}

int main(int argc, char **argv)
{
    static const int deadly[] = { SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGALRM, SIGINT, SIGTERM };

    parse_options(argc, argv);
    explore.seed = options.seed;
    for (size_t i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++)
        signal(deadly[i], die);
    make_dir();
    atexit(remove_dir);
    if (options.script)
        return run_one();
    run_all();
    return failed > 0;
}

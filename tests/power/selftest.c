/*
 * Each of these has a machine that does one thing wrong which the engine cannot notice, so
 * that the disk is as it would be if the engine did it wrong: that must be found.
 */
#include "selftest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "generate.h"

const struct selftest selftests[] = {
    { "the image is synced after the metadata", "4096/6000: write 512+1024, flush",
      LOG_IMAGE_SYNC_LATE, false, "(I1)" },
    { "… in a history at random", NULL, LOG_IMAGE_SYNC_LATE, false, "(I1)" },
    { "a bit is set before its data", "4096/6000: write 512+1024, flush", LOG_DATA_LATE, false,
      "(I1)" },
    { "… in a history at random", NULL, LOG_DATA_LATE, false, "(I1)" },
    { "a sync of the metadata is a lie", "4096/6000: write 512+1024, flush", LOG_META_SYNC_NEVER,
      false, "(I4)" },
    { "a sync of the image is a lie", "4096/6000: write 512+1024, flush", LOG_IMAGE_SYNC_NEVER,
      false, "(I1)" },
    { "a sync does not take the size along", "4096/4096: write 4000+1024, flush",
      LOG_SIZE_NEVER_SYNCED, false, "(I4, I5)" },
    { "a sync of the directory is a lie", "4096/4096 fresh: create", LOG_DIRECTORY_SYNC_NEVER,
      false, "is not there" },
    { "a sync fails and says nothing", "4096/6000: write 512+1024, failimage, flush",
      LOG_FAILURE_HIDDEN, false, "(I1)" },
    { "a run-time file is believed after another boot", "4096/6000: write 512+1024, flush",
      LOG_HONEST, true, "recovery: at 512 the disk reads other than its files are" },
};

const int nselftests = sizeof(selftests) / sizeof(selftests[0]);

static bool finds(struct explore *explore, const struct script *script, char where[4096])
{
    bool found;

    breach_forget();
    explore_forget();
    found = !explore_script(explore, script, where);
    return found;
}

/* Whether the command that was printed shows the same. */
static bool shows_again(struct explore *explore, const char *where)
{
    char text[4096], at[32], kept[4096], found[512];
    const char *options = strstr(where, " --at ");
    struct script script;
    unsigned run;
    bool same;

    snprintf(found, sizeof(found), "%s", breach_found());
    if (sscanf(where, "build/tests/power --script '%4095[^']'", text) != 1 || !options
        || sscanf(options, " --at %31s --kept %4095s --run %u", at, kept, &run) != 3)
        return false;
    breach_forget();
    explore_forget();
    script_parse(&script, text);
    same = !explore_replay(explore, &script, at, kept, run, false)
           && strcmp(breach_found(), found) == 0;
    if (!same)
        printf("    %s shows: %s\n", where, breach_found() ? breach_found() : "nothing");
    return same;
}

/* A part of what is found may be something else that the lie breaks too. */
static bool run_one(const struct selftest *test, const struct explore *how,
                    const struct script *script)
{
    struct explore honest = *how, lying = *how;
    char where[4096];

    lying.lie = test->lie;
    lying.same_boot = test->same_boot;
    honest.dir = lying.dir = NULL;
    if (finds(&honest, script, where)) {
        printf("    without the lie: %s\n    %s\n", breach_found(), where);
        return false;
    }
    return finds(&lying, script, where) && strstr(breach_found(), test->says)
           && shows_again(&lying, where);
}

bool selftest_run(const struct selftest *test, const struct explore *explore)
{
    struct script script;
    bool found = false;

    if (test->script) {
        script_parse(&script, test->script);
        found = run_one(test, explore, &script);
    }
    for (uint64_t seed = 1; !test->script && !found && seed < 200; seed++) {
        generate_long(&script, mix(seed));
        found = run_one(test, explore, &script);
    }
    if (!found)
        printf("    what was found: %s\n", breach_found() ? breach_found() : "nothing");
    breach_forget();
    explore_forget();
    return found;
}

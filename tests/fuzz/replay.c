/*
 * A fuzz target without libFuzzer: runs each seed given, and then so many inputs
 * made from them by chance. Each input depends on the seed number and its own
 * number alone, so any of them can be had again.
 *
 *   TARGET [-n INPUTS] [-s SEED] [-o DIR] FILE.hex...
 *
 * A child runs the inputs one after another; when it dies, the parent knows which
 * one it was, keeps it in DIR as a file that can be given as a seed, and goes on with
 * the next in a new child. The last line is the total: each seed is one, and all the
 * others together are one.
 */
#include <signal.h>
#include <stdlib.h>

#include "replay.h"

#define DEADLINE 120            /* seconds; for an input that hangs, not one that is slow */
#define ENOUGH 5                /* failures */

static struct shared {
    uint64_t input;             /* being run: a seed, or beyond them one made by chance */
    size_t len;
    uint8_t data[FUZZ_INPUT_MAX];
} *shared;

static struct seed *seeds;
static uint64_t nseeds, inputs, seed_number = 1;
static const char *program, *out_dir = ".";

static void make_input(uint64_t number)
{
    struct rnd rnd = { seed_number * 1000003 + number + 1 };

    shared->input = number;
    if (number < nseeds) {
        shared->len = seeds[number].len;
        memcpy(shared->data, seeds[number].data, shared->len);
        return;
    }
    /* Neighbouring states of this generator begin alike. */
    for (int i = 0; i < 4; i++)
        rnd_next(&rnd);
    shared->len = mutate(&rnd, seeds, (int)nseeds, shared->data);
}

/* In memory of its own, exactly as large, so that a look beyond its end is seen. */
static void run_input(void)
{
    uint8_t *data = malloc(shared->len + !shared->len);

    memcpy(data, shared->data, shared->len);
    alarm(DEADLINE);
    LLVMFuzzerTestOneInput(data, shared->len);
    alarm(0);
    free(data);
}

static int run_from(void *arg)
{
    for (uint64_t number = *(uint64_t *)arg; number < nseeds + inputs; number++) {
        make_input(number);
        run_input();
    }
    shared->input = nseeds + inputs;
    /* Not _exit: leaks are looked for on the way. */
    exit(0);
}

static void report(int status)
{
    char path[4096];
    FILE *out;

    snprintf(path, sizeof(path), "%s/%s-%llu-%llu.hex", out_dir, program,
             (unsigned long long)seed_number, (unsigned long long)shared->input);
    out = fopen(path, "w");
    if (out) {
        fprintf(out, "# %s -s %llu, input %llu\n", program, (unsigned long long)seed_number,
                (unsigned long long)shared->input);
        seed_print(out, shared->data, shared->len);
        fclose(out);
    }
    if (shared->input < nseeds)
        printf("FAIL: %s: %s", program, seeds[shared->input].path);
    else if (shared->input < nseeds + inputs)
        printf("FAIL: %s: seed %llu, input %llu", program, (unsigned long long)seed_number,
               (unsigned long long)shared->input);
    else
        printf("FAIL: %s: at its end", program);
    printf(" (%s %d); kept as %s\n", status >= 256 ? "signal" : "status", status & 255, path);
}

static void usage(void)
{
    fprintf(stderr, "usage: %s [-n INPUTS] [-s SEED] [-o DIR] FILE.hex...\n", program);
    exit(2);
}

static void read_arguments(int argc, char **argv)
{
    int option;

    program = strrchr(argv[0], '/') ? strrchr(argv[0], '/') + 1 : argv[0];
    while ((option = getopt(argc, argv, "n:s:o:")) != -1) {
        if (option == 'n')
            inputs = strtoull(optarg, NULL, 0);
        else if (option == 's')
            seed_number = strtoull(optarg, NULL, 0);
        else if (option == 'o')
            out_dir = optarg;
        else
            usage();
    }
    nseeds = (uint64_t)(argc - optind);
    if (nseeds == 0)
        usage();
    seeds = calloc(nseeds, sizeof(*seeds));
    for (uint64_t i = 0; i < nseeds; i++)
        seeds[i] = seed_read(argv[optind + (int)i]);
}

int main(int argc, char **argv)
{
    uint64_t at = 0, bad_seeds = 0, bad_inputs = 0;
    int status;

    read_arguments(argc, argv);
    check_begin();
    shared = shared_memory(sizeof(*shared));
    setvbuf(stdout, NULL, _IOLBF, 0);
    while (at < nseeds + inputs && bad_seeds + bad_inputs < ENOUGH) {
        status = in_child(run_from, &at);
        if (status != 0) {
            report(status);
            *(shared->input < nseeds ? &bad_seeds : &bad_inputs) += 1;
        }
        at = shared->input + (status != 0);
    }
    printf("%s: %llu seeds, %llu inputs from seed %llu\n", program, (unsigned long long)nseeds,
           (unsigned long long)inputs, (unsigned long long)seed_number);
    printf("%llu passed, %llu failed, 0 skipped\n",
           (unsigned long long)(nseeds - bad_seeds + (inputs > 0 && bad_inputs == 0)),
           (unsigned long long)(bad_seeds + bad_inputs));
    return bad_seeds + bad_inputs > 0;
}

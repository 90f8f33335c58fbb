/*
 * The script in a process that is killed before its first, second, third …
 * system call, and after it, until it is no longer killed. What it had finished
 * is there; what it was at is there in whole sectors, or not; nobody waits for a
 * lock that it held; and the next to open takes over. Each place is tried with
 * nobody else there, and with another writer that stays. Without ADDCOW_FAULTS=all it is
 * some places each time.
 */
#include <fcntl.h>
#include <linux/falloc.h>
#include <signal.h>
#include <stdlib.h>

#include "peer.h"
#include "script.h"
#include "sys_hook.h"

static struct progress {
    unsigned nth, seen;         /* the call at which to die; 0: not */
    bool after;
    int done;                   /* steps */
} *progress;

static int die_before(struct sys_call *call)
{
    (void)call;
    if (++progress->seen == progress->nth && !progress->after)
        raise(SIGKILL);
    return 0;
}

static void die_after(const struct sys_call *call, int64_t result)
{
    (void)call;
    (void)result;
    if (progress->seen == progress->nth)
        raise(SIGKILL);
}

static int run_script(void *arg)
{
    static const struct sys_hook hook = { .before = die_before, .after = die_after };
    struct script *known = arg, script;

    /* A model of its own: the parent's is for the parent. */
    script_load(&script, known->what);
    sys_hook(&hook);
    script.disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    for (int i = 0; i < script_steps(); i++) {
        check(script_do(&script, i) >= 0);
        script_apply_all(&script, i);
        progress->done = i + 1;
    }
    must_close(script.disk);
    return 0;
}

static bool same_sector(const struct model *model, const uint8_t *data, uint64_t off, size_t len)
{
    return memcmp(model->data + off, data + off, len) == 0;
}

/* Each sector is as it was before the step that was under way, or as it is after it. */
static void check_content(struct acow_disk *disk, const struct model *old, const struct model *new,
                          const char *what)
{
    struct blob all = read_all(disk);
    uint64_t least = old->size < new->size ? old->size : new->size;
    uint64_t most = old->size > new->size ? old->size : new->size;

    check(all.len >= least && all.len <= most, "%s: size %zu, not %llu to %llu", what, all.len,
          (unsigned long long)least, (unsigned long long)most);
    for (uint64_t off = 0; off < all.len; off += 512) {
        size_t len = all.len - off < 512 ? all.len - off : 512;

        check(same_sector(old, all.data, off, len) || same_sector(new, all.data, off, len),
              "%s: sector %llu", what, (unsigned long long)off / 512);
    }
    free(all.data);
}

/* Every lock is to be had; who takes that of the size sets right what was half done. */
static void use_all(struct acow_disk *disk)
{
    uint8_t buf[SCRIPT_CAP];

    check(acow_fallocate(disk, FALLOC_FL_KEEP_SIZE, 0, 1) == 0);
    check(acow_size(disk) == file_len("d.img"), "the disk has %lld bytes, its image %lld",
          (long long)acow_size(disk), (long long)file_len("d.img"));
    pattern(buf, 0, sizeof(buf), 99);
    check(acow_truncate(disk, 4000) == 0);
    must_write(disk, buf, sizeof(buf), 0);
    must_flush(disk);
}

static void check_all_used(void)
{
    struct blob flat = decode("d.add-cow");
    uint8_t want[SCRIPT_CAP];

    pattern(want, 0, sizeof(want), 99);
    check(flat.len == sizeof(want) && file_len("d.add-cow.run") == -1);
    assert_same(flat.data, want, sizeof(want), "in the end");
    free(flat.data);
}

/* True if it was killed. */
static bool run_once(unsigned nth, bool after, bool company)
{
    struct acow_disk *other = NULL;
    struct script script, next;
    char what[100];
    int status;

    snprintf(what, sizeof(what), "killed %s call %u%s", after ? "after" : "before", nth,
             company ? ", not alone" : "");
    script_begin(&script, what);
    script_load(&next, what);
    *progress = (struct progress){ .nth = nth, .after = after };
    if (company)
        other = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    status = in_child(run_script, &script);
    check(status == 0 || status == 256 + SIGKILL, "%s: %d", what, status);
    for (int i = 0; i < progress->done; i++) {
        script_apply_all(&script, i);
        script_apply_all(&next, i);
    }
    if (progress->done < script_steps())
        script_apply_all(&next, progress->done);
    if (!company)
        other = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    check_content(other, &script.model, &next.model, what);
    use_all(other);
    must_close(other);
    check_all_used();
    script_end(&script);
    script_end(&next);
    return status != 0;
}

static void run_all(bool after, bool company)
{
    unsigned step = test_all_faults() ? 1 : 4, nth = 1 + (after + 2 * company) % step;

    progress = shared_memory(sizeof(*progress));
    while (run_once(nth, after, company))
        nth += step;
    check(nth > 100, "only %u calls", nth);
}

/* ---- growth that needs more room for bits --------------------------------------- */

static int grow(void *arg)
{
    static const struct sys_hook hook = { .before = die_before, .after = die_after };
    struct acow_disk *disk;

    (void)arg;
    sys_hook(&hook);
    disk = must_open(&sys_hooked, "d.add-cow", ACOW_RDWR);
    check(acow_truncate(disk, 40 * MIB) == 0);
    must_write(disk, "far", 3, 36 * MIB);
    must_close(disk);
    return 0;
}

/* True if it was killed. */
static bool grow_once(unsigned nth, bool after)
{
    struct acow_disk *other;
    int status;
    char buf[3];

    usual_disk(6000, 6000);
    file_size("d.img", 6000);
    *progress = (struct progress){ .nth = nth, .after = after };
    other = must_open(&acow_sys_libc, "d.add-cow", ACOW_RDWR);
    status = in_child(grow, NULL);
    check(status == 0 || status == 256 + SIGKILL, "call %u: %d", nth, status);
    if (acow_size(other) == 6000)
        check(acow_truncate(other, 40 * MIB) == 0);
    check(acow_size(other) == (int64_t)(40 * MIB), "call %u: %lld", nth,
          (long long)acow_size(other));
    must_write(other, "new", 3, 35 * MIB);
    must_read(other, buf, 3, 35 * MIB);
    check(memcmp(buf, "new", 3) == 0, "call %u", nth);
    must_close(other);
    check(truncate("d.img", 0) == 0);
    return status != 0;
}

Test(kill, growing, .init = tmp_begin, .fini = tmp_end, .timeout = 120)
{
    progress = shared_memory(sizeof(*progress));
    for (int after = 0; after <= 1; after++) {
        unsigned step = test_all_faults() ? 1 : 2, nth = 1 + after % step;

        while (grow_once(nth, after))
            nth += step;
        check(nth > 30, "only %u calls", nth);
    }
}

Test(kill, before, .init = tmp_begin, .fini = tmp_end, .timeout = 120)
{
    run_all(false, false);
}

Test(kill, after, .init = tmp_begin, .fini = tmp_end, .timeout = 120)
{
    run_all(true, false);
}

Test(kill, before_not_alone, .init = tmp_begin, .fini = tmp_end, .timeout = 120)
{
    run_all(false, true);
}

Test(kill, after_not_alone, .init = tmp_begin, .fini = tmp_end, .timeout = 120)
{
    run_all(true, true);
}

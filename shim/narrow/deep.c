/*
 * ADDCOW_DEEP in 32-bit programs, in the place of ../deep.c, ../deep_trap.c and ../hook_signal.c: what
 * serves a call that traps goes by the registers, the frames and the numbers of 64-bit ones.
 */
#include "../deep.h"

#include <stdlib.h>
#include <string.h>

#include "../report.h"

void deep_init(void)
{
    const char *wanted = secure_getenv("ADDCOW_DEEP");

    if (wanted && *wanted && strcmp(wanted, "0") != 0)
        report("ADDCOW_DEEP: not for 32-bit programs: system calls that this one makes by itself fail "
               "on disks with EBADF");
}

void deep_arm(void)
{
}

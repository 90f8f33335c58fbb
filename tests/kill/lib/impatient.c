/*
 * Linked into a preload library that is otherwise the one that is installed: it gives a stopped
 * process's lock up soon, so that many can be stopped with one held.
 */
#include "wait.h"

__attribute__((constructor)) static void be_impatient(void)
{
    wait_patience = 100;
}

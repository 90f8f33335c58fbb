/* Whether a recovered disk is in good order. */
#ifndef ORACLE_CLEAN_H
#define ORACLE_CLEAN_H

#include "addcow.h"
#include "power.h"

/*
 * After a recovery and a close: the disk at `path` is in order, and has nothing left to repair.
 * False, and a breach, if not. This is the one place where that is asked.
 */
bool oracle_check_clean(const struct acow_sys *sys, const char *path);

#endif

/*
 * Cutting the power. What reaches the image and the metadata file is logged;
 * afterwards every state that a power cut could have left is made from the log and looked at.
 */
#ifndef POWER_H
#define POWER_H

#include "support.h"

#define POWER_CAP (24 * KIB)       /* the largest disk */

/* Syncs that the log is to take no notice of, as of a disk that lies. */
enum power_lie { POWER_HONEST, POWER_IMAGE_LIES, POWER_META_LIES };

/* Logs what sys_hooked does with d.img and d.add-cow from now on; both are durable as they are. */
void power_begin(enum power_lie lie);

/* An operation is over: the disk now is `size` bytes of `data`, all of it safe if `flushed`. */
void power_done(const uint8_t *data, uint64_t size, bool flushed);

/* The log is complete. */
void power_end(void);

/*
 * Tries each state: every beginning of the log, with every choice of what was
 * not yet synced (a choice at random where there are too many). Returns how many
 * were tried; *breach says what was wrong with the first bad one, or is empty.
 */
uint64_t power_try(struct rnd *rnd, char breach[200]);

#endif

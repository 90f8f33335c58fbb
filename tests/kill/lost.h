/* Wake-ups that are lost, made on purpose. */
#ifndef LOST_H
#define LOST_H

#include "herd.h"

/* The program that reads once the test is ready. */
int lost_reader(struct ledger *ledger, const char *disk);

/* Starts it, and takes from it the wake-up for the lock of its file offset. */
void lost_wake_up(struct herd *herd);

#endif

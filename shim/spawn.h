/*
 * What a program has asked posix_spawn to do in the child, kept beside libc's own list, whose form is
 * libc's secret.
 */
#ifndef SHIM_SPAWN_H
#define SHIM_SPAWN_H

#include <spawn.h>
#include <stdbool.h>
#include <sys/types.h>

enum spawn_kind { SPAWN_CLOSE, SPAWN_DUP2, SPAWN_OPEN, SPAWN_CHDIR, SPAWN_FCHDIR, SPAWN_CLOSEFROM,
                  SPAWN_TCSETPGRP };

struct spawn_action {
    enum spawn_kind kind;
    int fd, to;                 /* to: of SPAWN_DUP2 */
    const char *path;           /* of SPAWN_OPEN and SPAWN_CHDIR; copied when it is added */
    int flags;
    mode_t mode;
    struct spawn_action *next;
};

/* Begins, or ends, the list that belongs to libc's at that address. */
void spawn_forget(const void *actions);

/* Adds a copy. Returns 0 or ENOMEM. */
int spawn_add(const void *actions, const struct spawn_action *action);

/* True if one of them may open a disk. */
bool spawn_may_open_disk(const void *actions);

/* As posix_spawn and, with `search`, posix_spawnp: returns 0 or an errno. */
int spawn_run(pid_t *pid, const char *path, bool search, const void *actions,
              const posix_spawnattr_t *attributes, char *const argv[], char *const envp[]);

/* In the child of a fork. */
void spawn_after_fork(void);

#endif

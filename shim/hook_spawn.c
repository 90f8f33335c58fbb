/*
 * posix_spawn and its lists of actions. Each list is kept twice, as libc's and as one that can be read
 * (spawn.h); a spawn that may open a disk is done by the second.
 */
#include <errno.h>

#include "fdtable.h"
#include "hooks.h"
#include "process.h"
#include "real.h"
#include "spawn.h"

/* After a spawn this program goes on. */
static int after(int result)
{
    int saved = errno;

    fdtable_bequeath_end();
    errno = saved;
    return result;
}

int hook_posix_spawn(pid_t *pid, const char *path, const void *actions, const void *attributes,
                     char *const argv[], char *const envp[])
{
    if (spawn_may_open_disk(actions))
        return spawn_run(pid, path, false, actions, attributes, argv, envp);
    fdtable_bequeath(true);
    return after(REAL(posix_spawn)(pid, path, actions, attributes, argv, envp));
}

int hook_posix_spawnp(pid_t *pid, const char *file, const void *actions, const void *attributes,
                      char *const argv[], char *const envp[])
{
    if (spawn_may_open_disk(actions))
        return spawn_run(pid, file, true, actions, attributes, argv, envp);
    fdtable_bequeath(true);
    return after(REAL(posix_spawnp)(pid, file, actions, attributes, argv, envp));
}

int hook_actions_init(void *actions)
{
    spawn_forget(actions);
    return REAL(posix_spawn_file_actions_init)(actions);
}

int hook_actions_destroy(void *actions)
{
    spawn_forget(actions);
    return REAL(posix_spawn_file_actions_destroy)(actions);
}

/* libc has the last word on what an action may be. */
static int added(int result, void *actions, struct spawn_action action)
{
    return result ? result : spawn_add(actions, &action);
}

int hook_addopen(void *actions, int fd, const char *path, int flags, mode_t mode)
{
    return added(REAL(posix_spawn_file_actions_addopen)(actions, fd, path, flags, mode), actions,
                 (struct spawn_action){ SPAWN_OPEN, .fd = fd, .path = path, .flags = flags, .mode = mode });
}

int hook_addclose(void *actions, int fd)
{
    return added(REAL(posix_spawn_file_actions_addclose)(actions, fd), actions,
                 (struct spawn_action){ SPAWN_CLOSE, .fd = fd });
}

int hook_adddup2(void *actions, int fd, int to)
{
    return added(REAL(posix_spawn_file_actions_adddup2)(actions, fd, to), actions,
                 (struct spawn_action){ SPAWN_DUP2, .fd = fd, .to = to });
}

int hook_addchdir(void *actions, const char *path)
{
    return added(REAL(posix_spawn_file_actions_addchdir_np)(actions, path), actions,
                 (struct spawn_action){ SPAWN_CHDIR, .path = path });
}

int hook_addfchdir(void *actions, int fd)
{
    return added(REAL(posix_spawn_file_actions_addfchdir_np)(actions, fd), actions,
                 (struct spawn_action){ SPAWN_FCHDIR, .fd = fd });
}

int hook_addclosefrom(void *actions, int from)
{
    return added(REAL(posix_spawn_file_actions_addclosefrom_np)(actions, from), actions,
                 (struct spawn_action){ SPAWN_CLOSEFROM, .fd = from });
}

int hook_addtcsetpgrp(void *actions, int fd)
{
    return added(REAL(posix_spawn_file_actions_addtcsetpgrp_np)(actions, fd), actions,
                 (struct spawn_action){ SPAWN_TCSETPGRP, .fd = fd });
}

#define HOOK_spawn EXPORT
#include "alias.h"

/*
 * A disk and the program that follows by an exec, by each of libc's functions for that:
 * `exec_ops MODE FILE`. The lock that comes with the descriptor shows that the first program has left the
 * disk in order, and the second one has taken it over.
 */
#define _GNU_SOURCE
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops.h"

#define SELF "/proc/self/exe"

extern char **environ;

enum { HELD = 30, OTHER };

static void do_heir(const char *path)
{
    (void)path;
    said(" other", flock(OTHER, LOCK_SH | LOCK_NB));
    said(" held", flock(HELD, LOCK_EX | LOCK_NB));
    got(" read", pread(HELD, buf, 1000, 0));
    said(" write", write(HELD, "heir", 4));
    printf(" environment %s\n", getenv("GIVEN"));
}

static int call(int way, const char *path)
{
    char *args[] = { "exec_ops", "heir", (char *)path, NULL };

    switch (way) {
    case 0:
        return execve(SELF, args, environ);
    case 1:
        return execv(SELF, args);
    case 2:
        return execvp(SELF, args);
    case 3:
        return execvpe(SELF, args, environ);
    case 4:
        return execl(SELF, args[0], args[1], path, (char *)NULL);
    case 5:
        return execlp(SELF, args[0], args[1], path, (char *)NULL);
    case 6:
        return execle(SELF, args[0], args[1], path, (char *)NULL, environ);
    case 7:
        return fexecve(open(SELF, O_RDONLY | O_CLOEXEC), args, environ);
    default:
        return execveat(open(SELF, O_PATH | O_CLOEXEC), "", args, environ, AT_EMPTY_PATH);
    }
}

static void do_all(const char *path)
{
    setenv("GIVEN", "as it was", 1);
    for (int way = 0; way < 9; way++) {
        int status = -1;

        printf("way %d\n", way);
        fflush(stdout);
        if (fork() == 0) {
            dup2(must_open(path, O_RDWR), HELD);
            dup2(must_open(path, O_RDWR), OTHER);
            closefrom(OTHER + 1);
            if (flock(HELD, LOCK_EX) < 0 || lseek(HELD, 5000 * way + 100, SEEK_SET) < 0
                || write(HELD, "first", 5) != 5)
                _exit(9);
            call(way, path);
            _exit(8);
        }
        wait(&status);
        printf("status %x\n", (unsigned)status);
    }
}

static const struct mode modes[] = { { "heir", do_heir }, { "all", do_all } };

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}

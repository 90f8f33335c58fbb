/*
 * posix_spawn whose file actions open files: `spawn_ops MODE FILE`. What the child has on its
 * descriptors a shell shows.
 */
#define _GNU_SOURCE
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ops.h"

extern char **environ;

static posix_spawn_file_actions_t actions;
static posix_spawnattr_t attributes;

static void begin(void)
{
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
}

static void add_open(int fd, const char *path, int flags)
{
    said("addopen", posix_spawn_file_actions_addopen(&actions, fd, path, flags, 0644));
}

static void add_dup(int fd, int to)
{
    said("adddup2", posix_spawn_file_actions_adddup2(&actions, fd, to));
}

static void add_close(int fd)
{
    said("addclose", posix_spawn_file_actions_addclose(&actions, fd));
}

/* Runs a shell with the actions, by the one call or the other, and ends them. */
static void run(const char *script)
{
    static int times;
    char *args[] = { "sh", "-c", (char *)script, NULL };
    int status = -1, r;
    pid_t pid = -5;

    fflush(stdout);
    r = times++ % 2 ? posix_spawn(&pid, "/bin/sh", &actions, &attributes, args, environ)
                    : posix_spawnp(&pid, "sh", &actions, &attributes, args, environ);
    printf("spawn: %s\n", strerror(r));
    if (r == 0)
        waitpid(pid, &status, 0);
    else
        said("no child", waitpid(-1, &status, 0));
    printf("status %x\n", (unsigned)status);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attributes);
    fflush(stdout);
}

static void do_read(const char *path)
{
    int fd = must_open(path, O_RDONLY);

    lseek(fd, 100, SEEK_SET);
    begin();
    add_open(9, path, O_RDONLY);
    add_open(fd, path, O_RDONLY);
    run("cksum <&9; head -c 5 <&3 | cksum");
    said("own offset", lseek(fd, 0, SEEK_CUR));
    got("own", read(fd, buf, 100));
    close(fd);
    begin();
    add_open(0, path, O_RDONLY);
    add_open(7, "in/text", O_RDONLY);
    run("head -c 700 | cksum; head -c 7 | cksum; cksum <&7");
}

static void do_write(const char *path)
{
    begin();
    add_open(1, path, O_WRONLY);
    run("echo one; echo two");
    begin();
    add_open(1, path, O_WRONLY | O_APPEND);
    run("echo the end");
    begin();
    add_open(1, path, O_RDWR | O_CREAT);
    add_dup(1, 2);
    run("echo to 1; echo to 2 >&2; echo and 1");
    for (int i = 0; i < 2; i++) {
        begin();
        add_open(8, path, O_RDWR | O_TRUNC);
        run("wc -c <&8; printf short >&8");
    }
}

static void do_order(const char *path)
{
    int fd = must_open(path, O_RDONLY);

    begin();
    add_open(20, path, O_RDONLY);
    add_dup(20, 0);
    add_close(20);
    add_open(4, "in/text", O_RDONLY);
    add_dup(4, 6);
    add_open(4, path, O_RDONLY);
    run("head -c 30 | cksum; head -c 30 <&6 | cksum; head -c 30 <&4 | cksum; "
        "test -e /proc/self/fd/20 && echo left");
    begin();
    add_open(5, path, O_RDONLY);
    said("addclosefrom", posix_spawn_file_actions_addclosefrom_np(&actions, 3));
    add_open(6, path, O_RDONLY);
    run("test -e /proc/$$/fd/5 && echo left; cksum <&6; ls /proc/self/fd | grep -c '^[0-9]$'");
    begin();
    add_close(fd);
    add_open(0, path, O_RDONLY);
    add_dup(0, 0);
    run("cksum; test -e /proc/$$/fd/3 && echo left");
    close(fd);
}

static void do_chdir(const char *path)
{
    char name[300];
    int dir = open("/", O_RDONLY | O_DIRECTORY);

    getcwd(buf, sizeof(buf));
    snprintf(name, sizeof(name), "../%s", path);
    begin();
    said("addchdir", posix_spawn_file_actions_addchdir_np(&actions, "in"));
    add_open(9, name, O_RDONLY);
    run("cksum <&9; pwd | sed 's:.*/::'");
    begin();
    said("addchdir", posix_spawn_file_actions_addchdir_np(&actions, "in"));
    add_open(9, path, O_RDONLY);
    run("cksum <&9");
    begin();
    said("addfchdir", posix_spawn_file_actions_addfchdir_np(&actions, dir));
    add_open(9, path, O_RDONLY);
    run("cksum <&9");
    begin();
    add_open(30, ".", O_RDONLY | O_DIRECTORY);
    said("addchdir", posix_spawn_file_actions_addchdir_np(&actions, "/"));
    said("addfchdir", posix_spawn_file_actions_addfchdir_np(&actions, 30));
    add_open(9, path, O_RDONLY);
    run("cksum <&9");
}

static void do_flags(const char *path)
{
    begin();
    add_open(3, path, O_RDONLY | O_CLOEXEC);
    add_open(9, path, O_RDONLY | O_CLOEXEC);
    run("test -e /proc/$$/fd/3 && echo 3; test -e /proc/$$/fd/9 && echo 9; true");
    begin();
    add_open(3, path, O_RDONLY | O_CLOEXEC);
    add_dup(3, 3);
    run("cksum <&3");
    begin();
    add_open(3, path, O_RDWR | O_EXCL | O_CREAT);
    run("echo no");
    begin();
    add_open(3, path, O_RDONLY | O_DIRECTORY);
    run("echo no");
    begin();
    add_open(3, "absent/disk.add-cow", O_RDONLY);
    run("echo no");
    begin();
    add_open(3, "new.add-cow", O_RDWR | O_CREAT);
    run("echo text >&3; echo $?");
    unlink("new.add-cow");
    begin();
    add_open(3, path, O_RDONLY);
    said("bad number", posix_spawn_file_actions_addopen(&actions, -1, path, O_RDONLY, 0));
    said("bad number", posix_spawn_file_actions_addclose(&actions, 1 << 30));
    run("cksum <&3");
    begin();
    add_open(3, path, O_RDONLY);
    add_dup(777, 4);
    run("echo no");
}

/* A list that is begun again is empty, also where nobody has ended it. */
static void do_again(const char *path)
{
    static posix_spawn_file_actions_t lost;

    begin();
    add_open(9, path, O_RDONLY);
    lost = actions;
    begin();
    run("test -e /proc/$$/fd/9 && echo left; true");
    posix_spawn_file_actions_destroy(&lost);
    begin();
    add_open(9, path, O_RDONLY);
    said("addtcsetpgrp", posix_spawn_file_actions_addtcsetpgrp_np(&actions, 9));
    run("echo no");
}

static void on_signal(int number)
{
    (void)number;
}

static void do_attributes(const char *path)
{
    sigset_t set, now;

    signal(SIGUSR1, SIG_IGN);
    signal(SIGUSR2, SIG_IGN);
    signal(SIGTERM, on_signal);
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 2; i++) {
        begin();
        add_open(9, path, O_RDONLY);
        if (i) {
            sigemptyset(&set);
            sigaddset(&set, SIGUSR1);
            posix_spawnattr_setsigdefault(&attributes, &set);
            sigaddset(&set, SIGALRM);
            posix_spawnattr_setsigmask(&attributes, &set);
            posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSIGMASK
                                                  | POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_RESETIDS);
        }
        /* libc has made signals 32 and 33 its own. */
        run("cksum <&9; sed -n 's/^\\(Sig[BIC].*\\):.*\\(.......\\)$/\\1 \\2/p' /proc/self/status; "
            "test $(cut -d' ' -f5 /proc/$$/stat) = $$ && echo leads");
    }
    sigprocmask(SIG_BLOCK, NULL, &now);
    said("own mask", sigismember(&now, SIGHUP) + 2 * sigismember(&now, SIGALRM));
}

static void do_programs(const char *path)
{
    char *args[] = { "x", NULL };
    const char *names[] = { "./script", "script", "absent", "./absent", "in", "./in" };
    int fd = open("script", O_WRONLY | O_CREAT, 0755), status = 0;

    if (write(fd, "echo no first line\n", 19) != 19)
        exit(1);
    close(fd);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        pid_t pid;

        setenv("PATH", i % 2 ? ".:/bin" : "/bin:", 1);
        begin();
        add_open(9, path, O_RDONLY);
        fflush(stdout);
        printf("%s: %s\n", names[i], strerror(posix_spawnp(&pid, names[i], &actions, NULL, args, environ)));
        printf("%s: %s\n", names[i], strerror(posix_spawn(&pid, names[i], &actions, NULL, args, environ)));
        said("no child", waitpid(-1, &status, 0));
        posix_spawn_file_actions_destroy(&actions);
    }
    unlink("script");
}

static const struct mode modes[] = {
    { "read", do_read }, { "write", do_write }, { "order", do_order }, { "chdir", do_chdir },
    { "flags", do_flags }, { "attributes", do_attributes }, { "programs", do_programs },
    { "again", do_again },
};

int main(int argc, char **argv)
{
    return run_mode(modes, sizeof(modes) / sizeof(modes[0]), argc, argv);
}

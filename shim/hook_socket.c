/*
 * Descriptors that come from another process: over a Unix socket, or taken by pidfd_getfd. A placeholder
 * among them is adopted as one that came by exec is. A metadata file that a process without the
 * shim has sent becomes the disk too, if it is this user's; another user's could have us open what only we may
 * open, and becomes a descriptor that fails every read and write.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "fdtable.h"
#include "hooks.h"
#include "process.h"
#include "real.h"
#include "stream.h"

static void arrived(int fd)
{
    int flags = REAL(fcntl64)(fd, F_GETFD);
    struct ofd *ofd;

    if (flags < 0 || fd >= FD_LIMIT || process_is_vfork_child())
        return;
    fdtable_is_other(fd);
    ofd = ofd_adopt(fd);
    if (!ofd)
        ofd = ofd_adopt_file(fd, flags & FD_CLOEXEC ? O_CLOEXEC : 0, true);
    if (ofd)
        fdtable_set(fd, ofd);
    stream_follow(fd);
}

/* Calls each(fd) for every descriptor that goes along with a message. */
static void for_descriptors(const struct msghdr *msg, void (*each)(int fd))
{
    for (struct cmsghdr *part = CMSG_FIRSTHDR(msg); part;
         part = CMSG_NXTHDR((struct msghdr *)msg, part)) {
        const unsigned char *at = CMSG_DATA(part);
        size_t len = part->cmsg_len < CMSG_LEN(0) ? 0 : part->cmsg_len - CMSG_LEN(0);

        if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS)
            continue;
        for (; len >= sizeof(int); len -= sizeof(int), at += sizeof(int)) {
            int fd;

            memcpy(&fd, at, sizeof(fd));
            each(fd);
        }
    }
}

void hook_socket_received(const struct msghdr *msg)
{
    int saved = errno;

    for_descriptors(msg, arrived);
    errno = saved;
}

ssize_t hook_recvmsg(int fd, struct msghdr *msg, int flags)
{
    ssize_t n = REAL(recvmsg)(fd, msg, flags);

    if (n >= 0 && msg->msg_controllen)
        hook_socket_received(msg);
    return n;
}

int hook_recvmmsg(int fd, struct mmsghdr *msgs, unsigned count, int flags, struct timespec *timeout)
{
    int n = REAL(recvmmsg)(fd, msgs, count, flags, timeout);

    for (int i = 0; i < n; i++)
        if (msgs[i].msg_hdr.msg_controllen)
            hook_socket_received(&msgs[i].msg_hdr);
    return n;
}

int hook_pidfd_getfd(int pidfd, int target, unsigned flags)
{
    int fd = REAL(pidfd_getfd)(pidfd, target, flags);
    int saved = errno;

    if (fd >= 0)
        arrived(fd);
    errno = saved;
    return fd;
}

/*
 * The receiver takes the offset's lock, and so must this process from here on. Not before the call: what the
 * program points to is known to be memory only after it.
 */
static void share(int fd)
{
    struct ofd *ofd = fdtable_get(fd);

    if (!ofd)
        return;
    ofd_share(ofd);
    fdtable_put(ofd);
}

ssize_t hook_sendmsg(int fd, const struct msghdr *msg, int flags)
{
    ssize_t n = REAL(sendmsg)(fd, msg, flags);

    if (n >= 0 && msg->msg_controllen)
        for_descriptors(msg, share);
    return n;
}

int hook_sendmmsg(int fd, struct mmsghdr *msgs, unsigned count, int flags)
{
    int n = REAL(sendmmsg)(fd, msgs, count, flags);

    for (int i = 0; i < n; i++)
        if (msgs[i].msg_hdr.msg_controllen)
            for_descriptors(&msgs[i].msg_hdr, share);
    return n;
}

#define HOOK_socket EXPORT
#include "alias.h"

/*
 * The system calls by number that are the same for 64-bit and 32-bit programs: cases of the switch of
 * hook_syscall.c and of narrow/hook_narrow_syscall.c, with the names that both define.
 */
    case SYS_open_by_handle_at:
        return hook_open_by_handle_at(FD, (struct file_handle *)a[1], (int)a[2]);
    case SYS_close: return hook_close(FD);
    case SYS_close_range: return hook_close_range((unsigned)a[0], (unsigned)a[1], (int)a[2]);
    case SYS_dup: return hook_dup(FD);
    case SYS_dup2: return hook_dup2(FD, (int)a[1]);
    case SYS_dup3: return hook_dup3(FD, (int)a[1], (int)a[2]);
    case SYS_ioctl: return hook_ioctl(FD, (unsigned long)a[1], a[2]);
    case SYS_flock: return hook_flock(FD, (int)a[1]);
    case SYS_read: return hook_read(FD, BUF, (size_t)a[2]);
    case SYS_write: return hook_write(FD, BUF, (size_t)a[2]);
    case SYS_readv: return hook_readv(FD, IOV);
    case SYS_writev: return hook_writev(FD, IOV);
    case SYS_ftruncate: return hook_ftruncate(FD, a[1]);
    case SYS_truncate: return hook_truncate(PATH, a[1]);
    case SYS_fsync: return hook_fsync(FD);
    case SYS_fdatasync: return hook_fdatasync(FD);
    case SYS_syncfs: return hook_syncfs(FD);
    case SYS_statx:
        return hook_statx(FD, AT_PATH, (int)a[2], (unsigned)a[3], (struct statx *)a[4]);
    case SYS_fchmod: return hook_fchmod(FD, (mode_t)a[1]);
    case SYS_utimensat:
        return hook_utimensat(FD, AT_PATH, (const struct timespec *)a[2], (int)a[3]);
    case SYS_fgetxattr: return hook_fgetxattr(FD, AT_PATH, (void *)a[2], (size_t)a[3]);
    case SYS_flistxattr: return hook_flistxattr(FD, BUF, (size_t)a[2]);
    case SYS_fsetxattr:
        return hook_fsetxattr(FD, AT_PATH, (const void *)a[2], (size_t)a[3], (int)a[4]);
    case SYS_fremovexattr: return hook_fremovexattr(FD, AT_PATH);
    case SYS_tee: return hook_tee(FD, (int)a[1], (size_t)a[2], (unsigned)a[3]);
    case SYS_munmap: return hook_munmap((void *)a[0], (size_t)a[1]);
    case SYS_mremap:
        return (long)hook_mremap((void *)a[0], (size_t)a[1], (size_t)a[2], (int)a[3], (void *)a[4]);
    case SYS_msync: return hook_msync((void *)a[0], (size_t)a[1], (int)a[2]);
    case SYS_execve: return hook_execve(PATH, (char *const *)a[1], (char *const *)a[2]);
    case SYS_execveat:
        return hook_execveat(FD, AT_PATH, (char *const *)a[2], (char *const *)a[3], (int)a[4]);
    case SYS_io_submit: return by_value(-hook_io_submit((void *)a[0], a[1], (struct iocb **)a[2]));
    case SYS_io_uring_setup:
        return by_value(-hook_ring_setup((unsigned)a[0], (struct io_uring_params *)a[1]));
    case SYS_io_uring_enter:
        return by_value(-hook_ring_enter2((unsigned)a[0], (unsigned)a[1], (unsigned)a[2],
                                          (unsigned)a[3], (void *)a[4], (size_t)a[5]));
    case SYS_io_uring_register:
        return by_value(-hook_ring_register((unsigned)a[0], (unsigned)a[1], (const void *)a[2],
                                            (unsigned)a[3]));
    case SYS_sendmsg: return hook_sendmsg(FD, (const struct msghdr *)a[1], (int)a[2]);
    case SYS_recvmsg: return hook_recvmsg(FD, (struct msghdr *)a[1], (int)a[2]);
    case SYS_sendmmsg:
        return hook_sendmmsg(FD, (struct mmsghdr *)a[1], (unsigned)a[2], (int)a[3]);
    case SYS_recvmmsg:
        return hook_recvmmsg(FD, (struct mmsghdr *)a[1], (unsigned)a[2], (int)a[3],
                             (struct timespec *)a[4]);
    case SYS_pidfd_getfd: return hook_pidfd_getfd(FD, (int)a[1], (unsigned)a[2]);
    case SYS_utime: return hook_utime(PATH, (const struct utimbuf *)a[1]);
    case SYS_utimes: return hook_utimes(PATH, (const struct timeval *)a[1]);
    case SYS_futimesat: return hook_futimesat(FD, AT_PATH, (const struct timeval *)a[2]);
    case SYS_faccessat2: return hook_faccessat(FD, AT_PATH, (int)a[2], (int)a[3]);
    case SYS_remap_file_pages:
        return hook_remap_file_pages((void *)a[0], (size_t)a[1], (int)a[2], (size_t)a[3], (int)a[4]);
    case SYS_fchownat: return hook_fchownat(FD, AT_PATH, (uid_t)a[2], (gid_t)a[3], (int)a[4]);
    case SYS_sync: return hook_sync(), 0;
    case SYS_exit_group: hook_exit((int)a[0]);

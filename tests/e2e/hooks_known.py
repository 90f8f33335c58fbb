"""
What hooks.py takes as it is, each with the reason. SILENT: without this hook something else comes of a
call, and nothing says so. UNSEEN: no program can see on a plain file and on a disk whether the hook is there.
"""

# Rows to be tried first, where many others use the function and do not need its hook.
ROWS = {
    "fd/dup": "stdio/dup",
    "stdio/fclose": "stream/dup_over",
}

# What root alone may do.
ROOT = ("open/open_by_handle_at",)

NAME = "the metadata file is a file like any other to who opens it by its name"
CUT = "what libc opens in the child becomes the disk when that has the library, but with O_TRUNC it is cut before"
SIZE = "a path's size is the metadata file's; whoever reads what is there does so through a hook"
WALK = "libc's walks show what libc's own stat does: the metadata file's size"
TIMES = "the image keeps its own time, and of both the later is shown"
ATTRIBUTES = "tells or changes the placeholder's, which nobody else sees"
NUMBER = ("the number stays the disk's for the library, and another file's for libc; to know better would "
          "take a system call for each read and write")
DURABLE = "the kernel has nothing to sync in a placeholder, and says success; seen after a power cut alone"
IMAGE = "the kernel shows other pages of the image by itself, and those were not brought up; mappings cannot refuse"
OPEN = "the disk stays open until the process ends"

SILENT = {
    "open/open": NAME,
    "open/open_2": NAME,
    "open/openat": NAME,
    "open/openat_2": NAME,
    "open/open_by_handle_at": NAME,
    "stdio/fopen": NAME,
    "stdio/setmntent": NAME,
    "spawn/addopen": CUT,
    "spawn/posix_spawnp": CUT,
    "utmp/utmpname": NAME,
    "utmp/updwtmp": NAME,
    "dl/dlopen": NAME + ", as a library bound to libc first does",
    "dl/dlmopen": NAME + ", as a library bound to libc first does",
    "stat/stat": SIZE,
    "stat/lstat": SIZE,
    "stat/fstatat": SIZE,
    "stat/statx": SIZE,
    "stat/xstat": SIZE,
    "stat/lxstat": SIZE,
    "stat/fxstatat": SIZE,
    "walk/ftw": WALK,
    "walk/nftw": WALK,
    "walk/fts_read": WALK,
    "walk/fts_children": WALK,
    "stat/fstat": ATTRIBUTES + "; its size is the disk's when that was opened",
    "stat/fxstat": ATTRIBUTES + "; its size is the disk's when that was opened",
    "attr/fstatfs": ATTRIBUTES,
    "attr/fstatvfs": ATTRIBUTES,
    "attr/fpathconf": ATTRIBUTES,
    "attr/fchown": ATTRIBUTES,
    "attr/fchownat": ATTRIBUTES,
    "attr/faccessat": ATTRIBUTES,
    "attr/flistxattr": ATTRIBUTES,
    "attr/futimens": ATTRIBUTES,
    "attr/futimes": ATTRIBUTES,
    "attr/utimensat": TIMES,
    "attr/utimes": TIMES,
    "attr/utime": TIMES,
    "attr/lutimes": TIMES,
    "attr/futimesat": TIMES,
    "fd/dup2": NUMBER,
    "fd/close_range": NUMBER,
    "stdio/fclose": NUMBER,
    "proc/daemon": NUMBER,
    "proc/login_tty": NUMBER,
    "proc/forkpty": NUMBER,
    "fd/fcntl": ATTRIBUTES + ": locks and flags, O_APPEND too",
    "size/lseek": "moves the placeholder's own offset, as a regular file has to have one: reads and writes "
                  "go on from where they were",
    "sync/fsync": DURABLE,
    "sync/fdatasync": DURABLE,
    "sync/syncfs": DURABLE,
    "sync/sync": "knows of no disk; seen after a power cut alone",
    "map/msync": "the image's pages are synced, and the bits over them are not; seen after a power cut alone",
    "aio/aio_fsync": DURABLE,
    "aio/aio_suspend": "libc knows nothing of our requests, and does not wait; aio_error still says EINPROGRESS",
    "map/munmap": OPEN,
    "map/mremap": IMAGE,
    "map/remap_file_pages": IMAGE,
    "uring/ring_queue_mmap": "what was registered with a ring that ended by inline system calls is still "
                             "known of one at the same place: a request that should fail is done on the disk",
    "uring/ring_queue_exit": OPEN,
    "uring/ring_unregister_files": "a request on a slot that is empty now is done on the disk that was there",
    "signal/sigaction": "the program's handler gets the traps in the place of ours, as it asked for",
    "proc/exit": "ends as a killed process does: the run-time file is left for the next one",
    "proc/quick_exit": "ends as a killed process does: the run-time file is left for the next one",
}

UNSEEN = {
    "sync/posix_fadvise": "is advice, of which only the result can be seen (attr/advice)",
    "sync/sync_file_range": "promises nothing, and its result is the same (attr/advice)",
    "uring/ring_queue_init": "liburing 2.3 calls io_uring_queue_mmap within it, by its hook",
    "uring/ring_queue_init_params": "liburing 2.3 calls io_uring_queue_mmap within it, by its hook",
    "uring/ring_queue_init_mem": "is not in liburing 2.3, and the row's stand-in is made of io_uring_queue_mmap",
    "uring/ring_register_sync_cancel": "no request on a regular file waits for long enough to be found",
    "spawn/actions_destroy": "frees memory; a list begun anew at the same place is forgotten then, too",
    "socket/sendmsg": "closes the moment until the receiver has taken the descriptor over, and says so itself",
    "socket/sendmmsg": "closes the moment until the receiver has taken the descriptor over, and says so itself",
}

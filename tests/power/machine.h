/*
 * The machine that the engine runs on here: one directory of files in memory, behind the
 * engine's table of system calls. It is simulated because a real one takes a hundred times as
 * long over mappings, and each state that a power cut leaves is opened several times; recover
 * tries some of the states on real files too, so that this machine is held to the real one.
 *
 * A mapping is a real one of the memory that the file is in, so stores through it are in the file
 * at once. It is longer than the file, however: there is no SIGBUS behind a file's end.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include "addcow.h"
#include "power.h"

#define MACHINE_DIR "/disk/"

extern const struct acow_sys machine_sys;

/* Where an inode stands with the log. */
enum machine_role {
    MACHINE_PLAIN,      /* image or metadata file: what reaches it is logged */
    MACHINE_RUN,        /* the run-time file of POWER_DISK */
    MACHINE_FIXED,      /* below the disk: never to be written (I3) */
    MACHINE_OTHER,
};

struct inode;

/* No files; the first boot. */
void machine_reset(void);

/* Another boot id, until the next reset. */
void machine_boot(unsigned number);

/* While refused, no run-time file can be made: the directory is not writable. */
void machine_refuse_run(bool refused);

/* ---- files, past the table ----------------------------------------------- */

struct inode *machine_file(const char *name);       /* NULL: there is none */
struct inode *machine_make(const char *name, enum machine_role role);

/* Gives the inode the name, alone (another that had it loses it); NULL takes the name away. */
void machine_name(const char *name, struct inode *inode);

/* Calls fn for every name. */
void machine_each(void (*fn)(const char *name, struct inode *inode, void *arg), void *arg);

/* The file's memory, zeros from its size on. */
uint8_t *machine_bytes(struct inode *inode);
uint64_t machine_size(const struct inode *inode);
enum machine_role machine_role(const struct inode *inode);
void machine_set_role(struct inode *inode, enum machine_role role);
void machine_resize(struct inode *inode, uint64_t size);
void machine_store(struct inode *inode, uint64_t off, const void *bytes, uint64_t len);

/* Keeps an inode that has no name any more from being used again. */
void machine_hold(struct inode *inode);
void machine_drop(struct inode *inode);

/* True if written, resized or zeroed since this was last asked. */
bool machine_touched(struct inode *inode);

/* ---- who calls ----------------------------------------------------------- */

/* From now on the calls are made by process `owner`; returns who made them before. */
int machine_as(int owner);

/* Ends a process as SIGKILL does: its descriptors and mappings are gone. */
void machine_kill(int owner);

/* Descriptors and mappings that are open. */
int machine_open_things(void);

/* ---- who listens --------------------------------------------------------- */

/* All may be NULL; the log is the one that listens. */
struct machine_listener {
    void (*data)(struct inode *inode, uint64_t off, uint64_t len);
    void (*size)(struct inode *inode, uint64_t size);
    /* A name now leads to an inode, or to none; `from`, if not NULL, is a name that it had. */
    void (*name)(const char *name, struct inode *inode, const char *from);
    /* inode is NULL for the directory. What fdatasync returns: 0 or a negative errno. */
    int (*sync)(struct inode *inode);
    /* Before a write, before an fdatasync and after one that succeeded (`sync`): others may do
     * something now. */
    void (*pause)(struct inode *inode, bool sync);
};

void machine_listen(const struct machine_listener *listener);

#endif

/* What the shim has to say to people, on stderr or in ADDCOW_LOG. */
#ifndef SHIM_REPORT_H
#define SHIM_REPORT_H

struct ofd;

/* "addcow: <line>\n". errno is kept. */
void report_line(const char *line);
void report(const char *format, ...) __attribute__((format(printf, 1, 2)));

/*
 * Says once for each `call` that it was made on a disk and is not served, with
 * the program's call chain. Returns -EBADF, which is what the call then fails with.
 */
int report_unserved(const char *call, const char *disk);

/* Opens what ADDCOW_LOG, ADDCOW_TRACE and ADDCOW_STATS name. */
void report_init(void);

/* Where a text goes: writes it whole, and does nothing if fd is negative. */
void report_write(int fd, const char *text, unsigned long len);

/* "1" is stderr, anything else a file to append to; -1 if unset or not to be opened. */
int report_target(const char *variable);

#endif

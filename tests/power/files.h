/* The files that a script begins with, made by hand. */
#ifndef FILES_H
#define FILES_H

#include "oracle.h"
#include "script.h"

#define FILES_IMAGE "d.img"
#define FILES_OTHER_IMAGE "e.img"       /* of a disk that is created */

/* Tags of patterns; those of what a script writes are larger. */
enum files_tag { FILES_BACKING = 1, FILES_LEFTOVERS, FILES_LOWER, FILES_LOST, FILES_WRITES = 10 };

/* Which sectors of the image of a disk of this size are watched. */
const struct layout *files_layout(uint64_t size);

/* Makes the files on an empty machine, and tells the oracle. */
void files_make(const struct script *script);

/* The name of the backing file, as in a header; "" if there is none. */
const char *files_backing(const struct script *script);

/* What a new disk reads as. */
void files_new_disk(const struct script *script, struct flat *flat);

#endif

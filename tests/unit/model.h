/*
 * What a disk must be: a flat array, and for each sector whether its bit must be
 * set. Its memory is shared with children, so that they may write and tell.
 */
#ifndef MODEL_H
#define MODEL_H

#include "support.h"

struct model {
    uint64_t cap;               /* no operation goes beyond */
    uint64_t size, backing_size;
    uint64_t meta_len;          /* of the metadata file to begin with */
    uint64_t largest;
    bool grown;
    uint8_t *data;              /* zeros from size on */
    uint8_t *bits;              /* a byte for each sector */
};

/* From the files of the disk, decoded by hand. */
void model_load(struct model *model, const char *meta, uint64_t cap, uint64_t backing_size);
void model_free(struct model *model);

void model_write(struct model *model, const void *buf, size_t len, uint64_t off);
void model_truncate(struct model *model, uint64_t size);
/* Within the disk. */
void model_copy_up(struct model *model, uint64_t off, uint64_t len);
/* `len` of `want` bytes: within the disk, or from its end on. */
void model_move(struct model *model, const void *buf, size_t len, size_t want, uint64_t off);
void model_zero(struct model *model, uint64_t off, uint64_t len, bool keep_size);

/* The files on disk are this model: content, bits, lengths, and no run-time file. */
void model_check_files(const struct model *model, const char *meta, const char *what);

/* The open disk shows this model, and its extents tell the truth. */
void model_check_disk(const struct model *model, struct acow_disk *disk, const char *what);

#endif

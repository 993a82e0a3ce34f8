/* SPDX-License-Identifier: MIT */
/* Steps of a copy that the kernel makes. */
#ifndef CORI_IO_SPLICE_H
#define CORI_IO_SPLICE_H

#include <coracle/net.h>

/* One step of a copy. */
typedef struct cori_step {
    cor_conn *target, *source;
    size_t max;     /* bytes to move at most; > 0 */
    size_t moved;   /* out: bytes that the target took, also before an error */
    bool by_target; /* out, with an error: it is the target that failed */
} cori_step;

/* What a step may return besides 0 and errors. */
enum {
    CORI_STEP_DONE = 1,  /* bytes were moved */
    CORI_STEP_LATER = 2, /* there is no duct now, or bytes are received ahead still; nothing was taken */
    CORI_STEP_UNFIT = 3, /* these two cannot be copied in this way; nothing was taken */
};

/* Waits for bytes from a socket and moves them to another: one of these, 0 at end of stream, or an error. */
int cori_splice_step(cori_step *step);
/* The same from a file. The target is looked at first: nothing is taken for one that is closed or past its deadline. */
int cori_sendfile_step(cori_step *step);
/* After splice steps: the source's bytes may be received ahead again, where that is done. */
void cori_splice_end(cor_conn *source);

#endif

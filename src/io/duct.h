/* SPDX-License-Identifier: MIT */
/* Ducts: kernel pipes that lead spliced bytes from one descriptor to another. */
#ifndef CORI_IO_DUCT_H
#define CORI_IO_DUCT_H

/* One duct, and what is in it; belongs to one copy at a time. */
typedef struct cori_duct {
    int out, in; /* the pipe's ends: bytes come out of the first */
} cori_duct;

/* Takes an empty duct; NULL: no descriptors left, or too many are in use. */
cori_duct *cori_duct_take(void);
/* Gives an empty duct back, to be used again. */
void cori_duct_give(cori_duct *duct);
/* Closes one, with what is in it. */
void cori_duct_drop(cori_duct *duct);

#endif

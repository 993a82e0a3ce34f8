/* SPDX-License-Identifier: MIT */
/* Several addresses and one connection: see race.c. */
#ifndef CORI_NET_RACE_H
#define CORI_NET_RACE_H

#include "net/attempt.h"

/* Which attempt's error is told. */
typedef struct cori_race_error {
    int index;        /* of the address; -1: none was tried */
    const char *call; /* the system call that failed; NULL: none */
} cori_race_error;

/*
 * Connects to one of `candidates` (which suit), or over unix to `path`; the connected slot, unpublished, in *out. 0, or
 * the first address's error, with *error; COR_EMISSING_ADDRESS if there are none. Parks until the dial's deadline.
 */
int cori_race(const cori_dialing *dialing, const cori_candidates *candidates, const char *path, cori_slot **out,
              cori_race_error *error);

#endif

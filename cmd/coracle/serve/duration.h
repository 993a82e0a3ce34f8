/* SPDX-License-Identifier: MIT */
/* The bounds of histograms: how long something took, in steps of ten and of minutes. */
#ifndef CORACLE_CMD_SERVE_DURATION_H
#define CORACLE_CMD_SERVE_DURATION_H

#include <stdint.h>

enum { DURATION_BOUNDS = 8, DURATION_FIELDS };

/* What something took at most, in ns, to be counted in each of the first fields; the last one: longer than all. */
extern const int64_t duration_bounds[DURATION_BOUNDS];

/* In which field that is. */
int duration_field(int64_t ns);

#endif

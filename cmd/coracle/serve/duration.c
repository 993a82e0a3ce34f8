/* SPDX-License-Identifier: MIT */
/* The bounds of histograms. */
#include "serve/duration.h"

#include <coracle/time.h>

const int64_t duration_bounds[DURATION_BOUNDS] = {
    COR_MILLISECOND, 10 * COR_MILLISECOND, 100 * COR_MILLISECOND, COR_SECOND,
    10 * COR_SECOND, 60 * COR_SECOND,      600 * COR_SECOND,      3600 * COR_SECOND,
};

int duration_field(int64_t ns)
{
    int field = 0;
    while (field < DURATION_BOUNDS && ns > duration_bounds[field]) {
        field++;
    }
    return field;
}

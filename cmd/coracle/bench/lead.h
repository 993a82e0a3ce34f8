/* SPDX-License-Identifier: MIT */
/* Leads a run from its first connection to its result. */
#ifndef CORACLE_CMD_BENCH_LEAD_H
#define CORACLE_CMD_BENCH_LEAD_H

#include "bench/plan.h"
#include "bench/result.h"

/* Carries the plan out. Returns EXIT_OK with a *result that result_free frees, or another code after saying why. */
int lead_plan(const struct plan *plan, struct result *out);

#endif

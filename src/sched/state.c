/* SPDX-License-Identifier: MIT */
/* The run-time's own variables. */
#include "sched/state.h"

cori_runtime cori_rt;
__thread cori_worker *cori_self_worker;
uint32_t cori_foreign_inside;
uint32_t cori_foreign_open;

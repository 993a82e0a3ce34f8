/* SPDX-License-Identifier: MIT */
/* The run-time's own variables. */
#include "sched/state.h"

cori_runtime cori_rt;
uint32_t cori_foreign_inside;
uint32_t cori_foreign_open;

#ifndef cori_self_worker
__thread cori_worker *cori_self_worker;
#else
static __thread cori_worker *self_worker;

cori_worker **cori_self_place(void)
{
    return &self_worker;
}
#endif

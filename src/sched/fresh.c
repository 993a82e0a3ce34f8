/* SPDX-License-Identifier: MIT */
/* Memory for records of tasks that never ran: slots of the stack pool. */
#include "sched/fresh.h"

bool cori_fresh_provide(cori_fresh_block **spare)
{
    cori_stack stack;
    if (*spare == NULL && cori_stack_take(&stack, CORI_FRESH_BLOCK_BYTES) == 0) {
        *spare = (cori_fresh_block *)(void *)stack.low;
        (*spare)->stack = stack;
    }
    return *spare != NULL;
}

void cori_fresh_give_back(cori_fresh_block *block)
{
    if (block != NULL) {
        cori_stack_retire(&block->stack);
    }
}

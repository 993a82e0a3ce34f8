/* SPDX-License-Identifier: MIT */
/* Memory for records of tasks that never ran. */
#include "sched/fresh.h"

#include "ctx/stack.h"

bool cori_fresh_provide(cori_fresh_block **spare)
{
    if (*spare == NULL) {
        *spare = cori_pages_map(CORI_FRESH_BLOCK_BYTES);
    }
    return *spare != NULL;
}

void cori_fresh_give_back(cori_fresh_block *block)
{
    if (block != NULL) {
        cori_pages_unmap(block, CORI_FRESH_BLOCK_BYTES);
    }
}

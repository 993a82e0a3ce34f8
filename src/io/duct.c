/* SPDX-License-Identifier: MIT */
/*
 * The pool of ducts. A copy holds one only from the splice that fills it to the one that has emptied it; who waits for
 * bytes to come holds none. So there are about as many as there are copies to receivers that do not keep up.
 *
 * All ducts are in one table, so that those of abandoned tasks are closed at the end of cor_run. Free ones that are
 * open are on a stack: the one used last still has its pages in the cache. Only empty ones are there; one with bytes
 * left in it, whose target has failed, is closed and never used again.
 *
 * A place in the table is `open` (on the stack or lent) or closed; those that are not lent are all on one of two
 * stacks. Guard: table.spin, held for a few instructions. Nobody waits for a duct: whoever gets none goes without.
 */
#include "io/duct.h"

#include "base/limits.h"
#include "base/lock.h"
#include "base/sys.h"
#include "sched/here.h"

#include <string.h>

static struct {
    uint32_t spin;
    bool ready;                        /* the table is filled in */
    unsigned open_count, closed_count; /* places on each stack */
    cori_duct *open[CORI_DUCTS_KEPT];
    cori_duct *closed[CORI_DUCTS_MAX];
    cori_duct all[CORI_DUCTS_MAX]; /* out < 0: closed */
} table;

/* At the end of cor_run, when no task runs any more. */
static void close_all_at_end(void)
{
    for (unsigned i = 0; i < CORI_DUCTS_MAX; i++) {
        if (table.all[i].out >= 0) {
            cori_sys_close(table.all[i].out);
            cori_sys_close(table.all[i].in);
        }
    }
    table.ready = false;
    table.spin = 0;
    cori_run_at_end_of_io = NULL;
}

/* Guard: table.spin. */
static void make_ready(void)
{
    for (unsigned i = 0; i < CORI_DUCTS_MAX; i++) {
        table.all[i] = (cori_duct){-1, -1};
        table.closed[i] = &table.all[i];
    }
    table.closed_count = CORI_DUCTS_MAX;
    table.open_count = 0;
    table.ready = true;
    cori_run_at_end_of_io = close_all_at_end;
}

/* Guard: table.spin. */
static cori_duct *pop(void)
{
    if (cori_unlikely(!table.ready)) {
        make_ready();
    }
    if (table.open_count > 0) {
        return table.open[--table.open_count];
    }
    return table.closed_count > 0 ? table.closed[--table.closed_count] : NULL;
}

static void push_closed(cori_duct *duct)
{
    cori_spin_lock(&table.spin);
    table.closed[table.closed_count++] = duct;
    cori_spin_unlock(&table.spin);
}

cori_duct *cori_duct_take(void)
{
    int fds[2];
    cori_spin_lock(&table.spin);
    cori_duct *duct = pop();
    cori_spin_unlock(&table.spin);
    if (duct == NULL || duct->out >= 0) {
        return duct;
    }
    if (cori_sys_pipe(fds, CORI_DUCT_BYTES) < 0) {
        push_closed(duct);
        return NULL;
    }
    *duct = (cori_duct){.out = fds[0], .in = fds[1]};
    return duct;
}

void cori_duct_give(cori_duct *duct)
{
    cori_spin_lock(&table.spin);
    bool kept = table.open_count < CORI_DUCTS_KEPT;
    if (kept) {
        table.open[table.open_count++] = duct;
    }
    cori_spin_unlock(&table.spin);
    if (!kept) {
        cori_duct_drop(duct);
    }
}

void cori_duct_drop(cori_duct *duct)
{
    cori_duct gone = *duct;
    *duct = (cori_duct){-1, -1};
    cori_sys_close(gone.out);
    cori_sys_close(gone.in);
    push_closed(duct);
}

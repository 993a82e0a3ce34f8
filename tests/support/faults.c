/* SPDX-License-Identifier: MIT */
/* The countdown behind cori_sys_fault. */
#include "support/faults.h"

static int wanted_call;
static int wanted_code;
static unsigned first_failing, last_failing;
static unsigned seen; /* atomic */
static unsigned hits; /* atomic */

static int on_call(enum cori_sys_call call)
{
    if (wanted_call != FAULTS_ANY && (int)call != wanted_call) {
        return 0;
    }
    unsigned number = __atomic_add_fetch(&seen, 1, __ATOMIC_RELAXED);
    if (number < first_failing || number > last_failing) {
        return 0;
    }
    __atomic_add_fetch(&hits, 1, __ATOMIC_RELAXED);
    return wanted_code;
}

void faults_set_run(int call, unsigned nth, unsigned count, int code)
{
    wanted_call = call;
    wanted_code = code;
    first_failing = nth;
    last_failing = nth + count - 1;
    __atomic_store_n(&seen, 0, __ATOMIC_RELAXED);
    __atomic_store_n(&hits, 0, __ATOMIC_RELAXED);
    cori_sys_fault = on_call;
}

void faults_set(int call, unsigned nth, int code)
{
    faults_set_run(call, nth, 1, code);
}

bool faults_hit(void)
{
    return __atomic_load_n(&hits, __ATOMIC_RELAXED) != 0;
}

unsigned faults_seen(void)
{
    return __atomic_load_n(&seen, __ATOMIC_RELAXED);
}

void faults_clear(void)
{
    cori_sys_fault = NULL;
}

/* SPDX-License-Identifier: MIT */
/* Checks and reports of verdict.h. */
#include "sim/verdict.h"

#include "sched/virtual.h"
#include "sim/event.h"
#include "sim/report.h"
#include "sim/socket.h"

#include <coracle/error.h>
#include <coracle/time.h>
#include <errno.h>
#include <stddef.h>

enum { CHECKS_MAX = 64 };

typedef struct known_check {
    int (*function)(void *arg);
    void *arg;
} known_check;

static known_check checks[CHECKS_MAX];
static int check_count, verdict;
static uint64_t run_seed;

void cori_sim_verdict_begin(uint64_t seed)
{
    check_count = 0;
    verdict = 0;
    run_seed = seed;
}

int cori_sim_verdict_add(int (*check)(void *arg), void *arg)
{
    if (check_count == CHECKS_MAX) {
        return -ENOSPC;
    }
    checks[check_count++] = (known_check){check, arg};
    return 0;
}

bool cori_sim_verdict_holds(void)
{
    for (int i = 0; i < check_count && verdict == 0; i++) {
        verdict = checks[i].function(checks[i].arg);
    }
    return verdict == 0;
}

void cori_sim_verdict_set(int code)
{
    verdict = verdict == 0 ? code : verdict;
}

static void title(const char *what)
{
    cori_sim_print("simulation: seed %llu, at %.6f s: %s\n", (unsigned long long)run_seed,
                   (double)(cori_sim_now() - CORI_SIM_BEGIN_NS) / (double)COR_SECOND, what);
}

static const char *text_of(int code)
{
    return code == COR_ELEAK ? cor_strerror(code) : "a check failed";
}

int cori_sim_verdict_report(void)
{
    if (verdict != 0 && cori_sim_report_fd() >= 0) {
        title(text_of(verdict));
        cori_virtual_dump(cori_sim_report_fd());
        cori_sim_fds_print();
    }
    return cori_sim_report_fd();
}

int cori_sim_verdict_end(int rc, bool must_end)
{
    bool reported = verdict != 0 || rc != 0;
    if (rc == 0 && cori_sim_verdict_holds() && must_end && cori_sim_fds_open() > 0) {
        verdict = COR_ELEAK; /* a descriptor that no connection knows any more */
    }
    if (!reported && verdict != 0) {
        title(text_of(verdict));
        cori_sim_fds_print();
    }
    return verdict != 0 ? verdict : rc;
}

/* SPDX-License-Identifier: MIT */
/*
 * Names in a simulated run: those of its hosts, and localhost. It answers at the level of the resolver; there is no
 * server of names, and no packet of DNS: what a program sees of DNS are addresses, errors and time, and each is chosen
 * here. Our own resolver on c-ares reads the real clock and real random numbers, so it could not repeat.
 *
 * A lookup takes up to a millisecond, as of a server nearby. What else comes of it says cor_sim_name, or, for other
 * names in a hostile run, the seed: an answer that is late, one that says that there is no such host, none at all, and
 * a server that fails. These draw from a generator of their own, so that a run without names goes as it did without
 * this file.
 */
#include "sim/names.h"

#include "base/rand.h"
#include "sched/here.h"
#include "sched/virtual.h"
#include "sim/address.h"
#include "sim/event.h"

#include <coracle/error.h>
#include <coracle/sim.h>
#include <coracle/time.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PLANS_MAX = 256, NAME_BYTES = 64, RAREST = 5 };
#define USUAL_NS COR_MILLISECOND
#define SLOW_NS (8 * COR_SECOND)
#define SILENCE_NS (10 * COR_SECOND) /* two attempts of 5 s at one server, as without options in resolv.conf */

/* What cor_sim_name has said of a name. */
typedef struct plan {
    char name[NAME_BYTES];
    int code;
    int64_t after_ns;
} plan;

static plan plans[PLANS_MAX];
static int plan_count;
static cori_rand chance;
static uint32_t once_in; /* lookups that go wrong by the seed; 0: none */

void cori_sim_names_begin(uint64_t seed, bool hostile)
{
    plan_count = 0;
    cori_rand_init(&chance, seed, UINT64_C(0x4e));
    bool on = cori_rand_below(&chance, 2) == 0;
    once_in = hostile && on ? 2U << cori_rand_below(&chance, RAREST) : 0;
}

static plan *plan_of(const char *name)
{
    plan *one = plans;
    while (one < plans + plan_count && !cori_sim_same_name(one->name, name)) {
        one++;
    }
    return one < plans + plan_count ? one : NULL;
}

int cor_sim_name(const char *name, int code, int64_t after_ns)
{
    bool known = code == 0 || code == COR_ENO_SUCH_HOST || code == COR_ETIMEOUT || code == COR_ESERVER_MISBEHAVING ||
                 code == COR_EBAD_ANSWER;
    if (cori_virtual_driver == NULL || cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    if (!known || after_ns < 0) {
        return -EINVAL;
    }
    plan *one = plan_of(name);
    if (one == NULL && (plan_count == PLANS_MAX || strlen(name) >= NAME_BYTES)) {
        return -ENOSPC;
    }
    one = one != NULL ? one : &plans[plan_count++];
    (void)snprintf(one->name, sizeof(one->name), "%s", name);
    one->code = code;
    one->after_ns = after_ns;
    return 0;
}

/* What goes wrong with a lookup: an error, or 0 if it is only late. */
static int go_wrong(int64_t *after_ns)
{
    switch (cori_rand_below(&chance, 4)) {
    case 0:
        *after_ns += cori_rand_below(&chance, SLOW_NS / COR_MILLISECOND) * COR_MILLISECOND;
        return 0;
    case 1:
        *after_ns = SILENCE_NS;
        return COR_ETIMEOUT;
    case 2:
        return COR_ENO_SUCH_HOST;
    default:
        return COR_ESERVER_MISBEHAVING;
    }
}

int cori_sim_look_up(const char *name, struct in6_addr *list, int max, int64_t *after_ns)
{
    static const struct in6_addr here4 = {.s6_addr = {[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    int code = 0;
    if (cori_sim_same_name("localhost", name) && max >= 2) { /* no server is asked */
        *after_ns = 0;
        list[0] = here4;
        list[1] = in6addr_loopback;
        return 2;
    }
    const plan *planned = plan_of(name);
    *after_ns = 1 + (int64_t)cori_rand_below(&chance, USUAL_NS);
    if (planned != NULL) {
        *after_ns = planned->after_ns;
        code = planned->code;
    } else if (once_in != 0 && cori_rand_below(&chance, once_in) == 0) {
        code = go_wrong(after_ns);
    }
    int count = code == 0 ? cori_sim_hosts_named(name, list, max) : 0;
    cori_sim_note((uint64_t)*after_ns << 8U | (uint64_t)(count + (code != 0) * 128));
    return code != 0 ? code : count > 0 ? count : COR_ENO_SUCH_HOST;
}

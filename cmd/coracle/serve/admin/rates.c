/* SPDX-License-Identifier: MIT */
/*
 * How fast it goes: the difference to an earlier look. Nothing is sampled while nobody looks, and the answer says over
 * which time it was taken: the first one since the start, with --watch the last second.
 */
#include "serve/admin/views.h"

#if COR_HAVE_ADMIN

#include "serve/admin/census.h"
#include "serve/admin/process.h"

static struct view_sample sample(struct admin *admin)
{
    conns_counts counts;
    struct process_facts facts;
    process_look(&facts);
    census_traffic(admin->serve, &admin->traffic);
    conns_count(&admin->serve->conns, &counts);
    return (struct view_sample){
        .at = cor_now(),
        .accepted = counts.accepted,
        .closed = counts.closed,
        .bytes_in = admin->traffic.bytes_in,
        .bytes_out = admin->traffic.bytes_out,
        .cpu_ns = facts.cpu_ns,
    };
}

void view_rates(struct admin *admin, struct view_rates *out)
{
    struct view_sample now = sample(admin);
    if (now.at - admin->last.at >= VIEW_SAMPLE_NS) {
        admin->before = admin->last;
        admin->last = now;
    }
    const struct view_sample *since = &admin->before;
    double seconds = (double)(now.at - since->at) / (double)COR_SECOND;
    seconds = seconds > 0 ? seconds : 1;
    *out = (struct view_rates){
        .seconds = seconds,
        .accepted = (double)(now.accepted - since->accepted) / seconds,
        .closed = (double)(now.closed - since->closed) / seconds,
        .bytes_in = (double)(now.bytes_in - since->bytes_in) / seconds,
        .bytes_out = (double)(now.bytes_out - since->bytes_out) / seconds,
        .cpu = (double)(now.cpu_ns - since->cpu_ns) / (double)COR_SECOND / seconds,
    };
}

#endif

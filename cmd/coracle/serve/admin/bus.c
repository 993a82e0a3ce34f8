/* SPDX-License-Identifier: MIT */
/* What the links of rooms to other nodes have done, together. */
#include "serve/admin/views.h"

#if COR_HAVE_ADMIN

static void add_link(link_counts *sum, const link_counts *one)
{
    sum->connected = sum->connected && one->connected;
    sum->since = one->since > sum->since ? one->since : sum->since;
    sum->nodes = one->nodes > sum->nodes ? one->nodes : sum->nodes;
    sum->members = one->members > sum->members ? one->members : sum->members;
    sum->connects += one->connects;
    sum->sent += one->sent;
    sum->received += one->received;
    sum->lost_backlog += one->lost_backlog;
    sum->lost_too_long += one->lost_too_long;
    sum->missed += one->missed;
    sum->repeated += one->repeated;
    sum->slow_frames += one->slow_frames;
    sum->bad_frames += one->bad_frames;
}

bool view_bus(const struct serve *serve, link_counts *out)
{
    bool any = false;
    for (size_t i = 0; i < serve->service_count; i++) {
        const struct service *service = &serve->services[i];
        link_counts one;
        if (service->def->count_link == NULL || !service->def->count_link(service, &one)) {
            continue;
        }
        if (any) {
            add_link(out, &one);
        } else {
            *out = one;
        }
        any = true;
    }
    return any;
}

#endif

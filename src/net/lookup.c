/* SPDX-License-Identifier: MIT */
/* The public lookups, with Go's words for what comes of them. */
#include "net/addr.h"
#include "net/slot.h"

#include <coracle/addr.h>
#include <coracle/lookup.h>
#include <stdio.h>
#include <string.h>

enum { ADDRS_MAX = 15 };

/* The text of an address without a port. */
static void host_text(const cor_addr *addr, char text[COR_ADDR_TEXT])
{
    char whole[COR_ADDR_TEXT], port[8];
    cor_addr_text(*addr, whole, sizeof(whole));
    if (cor_split_host_port(whole, text, COR_ADDR_TEXT, port, sizeof(port)) < 0) {
        text[0] = '\0';
    }
}

int cor_lookup_port(const char *network, const char *service, cor_error *error)
{
    cor_error unseen;
    cor_error *filled = error != NULL ? error : &unseen;
    *filled = (cor_error){0};
    int rc = cori_lookup_port(network, service, filled);
    filled->code = rc < 0 ? rc : 0;
    return rc;
}

int cor_lookup_host(char (*out)[COR_ADDR_TEXT], int max, const char *name, int64_t deadline, cor_error *error)
{
    cor_addr list[ADDRS_MAX];
    if (cori_self() == NULL) {
        return COR_ENOT_TASK;
    }
    if (max > 0 && cori_addr_parse_ip(name, &list[0]) && strlen(name) < COR_ADDR_TEXT) {
        memcpy(out[0], name, strlen(name) + 1);
        return 1;
    }
    int rc = cori_interrupted(cori_here_task(), cori_slot_deadline(deadline));
    int count = rc < 0 ? rc : cori_resolve_host(&cori_networks[CORI_NETWORK_TCP], name, deadline, list, ADDRS_MAX);
    if (count < 0 && error != NULL) {
        *error = (cor_error){.code = count};
        (void)snprintf(error->where, sizeof(error->where), "lookup %s", name);
    }
    count = count > max ? max : count;
    for (int i = 0; i < count; i++) {
        host_text(&list[i], out[i]);
    }
    return count;
}

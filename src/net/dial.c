/* SPDX-License-Identifier: MIT */
/*
 * Dialing: the options, the way from an address text to candidates, and what is told when none connects. One attempt is
 * in attempt.c, their order in race.c.
 */
#include "base/clock.h"
#include "net/race.h"

#include <coracle/time.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const cor_dialer plain = COR_DIALER_INIT;

/* Keeps the candidates that can be reached from the local address. */
static int keep_suitable(const cori_dialing *dialing, cori_candidates *candidates, cor_error *error)
{
    int kept = 0;
    for (int i = 0; i < candidates->count; i++) {
        if (cori_attempt_suits(dialing, &candidates->list[i])) {
            candidates->list[kept++] = candidates->list[i];
        }
    }
    candidates->count = kept;
    if (kept == 0) {
        (void)snprintf(error->where, sizeof(error->where), "address %s", error->source);
    }
    return kept > 0 ? 0 : COR_ENO_SUITABLE_ADDRESS;
}

static int find_candidates(const cori_dialing *dialing, const char *address, cori_candidates *candidates,
                           cor_error *error)
{
    const cori_network *network = dialing->network;
    int rc = cori_resolve_until(network, address, dialing->deadline, candidates, error);
    if (rc < 0) {
        return rc;
    }
    if (candidates->any) { /* this host, over the family of the local address */
        bool v6 = !network->v4 || (network->v6 && dialing->with->local.ip.family == AF_INET6);
        candidates->list[0] = (cor_addr){.ip.family = v6 ? AF_INET6 : AF_INET, .port = candidates->port};
        candidates->count = 1;
    }
    return keep_suitable(dialing, candidates, error);
}

/* The address that was tried, as it was given. */
static void tell_address(const cori_network *network, const cori_candidates *candidates, int index, cor_error *error)
{
    const cor_addr *addr = &candidates->list[index];
    if (candidates->any && !network->raw) {
        (void)snprintf(error->address, sizeof(error->address), ":%u", addr->port);
    } else {
        (void)cori_network_text(network, *addr, error->address, sizeof(error->address));
    }
}

static int dial_ip(const cori_dialing *dialing, const char *address, cori_slot **out, cor_error *error)
{
    cori_candidates candidates;
    cori_race_error told;
    if (cori_has_local(dialing->with)) {
        (void)cori_network_text(dialing->network, dialing->with->local, error->source, sizeof(error->source));
    }
    int rc = find_candidates(dialing, address, &candidates, error);
    if (rc < 0) {
        error->source[0] = '\0'; /* Go's: what was not tried has no source */
        return rc;
    }
    rc = cori_race(dialing, &candidates, NULL, out, &told);
    if (rc < 0) {
        tell_address(dialing->network, &candidates, told.index, error);
        (void)snprintf(error->where, sizeof(error->where), "%s", told.call != NULL ? told.call : "");
    }
    return rc;
}

static int dial_unix(const cori_dialing *dialing, const char *path, cori_slot **out, cor_error *error)
{
    cori_race_error told;
    const char *source = dialing->with->local_path;
    (void)snprintf(error->address, sizeof(error->address), "%s", path);
    (void)snprintf(error->source, sizeof(error->source), "%s", source != NULL ? source : "");
    int rc = cori_race(dialing, NULL, path, out, &told);
    if (rc < 0) {
        (void)snprintf(error->where, sizeof(error->where), "%s", told.call != NULL ? told.call : "");
    }
    return rc;
}

/* The earlier of the dialer's deadline and timeout, 0: none; what is past is 1, whatever the coarse clock says. */
static int64_t deadline_of(const cor_dialer *dialer)
{
    int64_t deadline = dialer->deadline;
    if (dialer->timeout_ns != 0) {
        int64_t end = cor_after(dialer->timeout_ns);
        deadline = deadline == 0 || end < deadline ? end : deadline;
    }
    return deadline == 0 || deadline > cori_clock_now() ? deadline : 1;
}

static int dial(const cori_dialing *dialing, const char *address, cori_slot **out, cor_error *error)
{
    bool local = dialing->network->local;
    if (address[0] == '\0') {
        return COR_EMISSING_ADDRESS;
    }
    if (local ? cori_has_local(dialing->with) : dialing->with->local_path != NULL) {
        return -EINVAL;
    }
    return local ? dial_unix(dialing, address, out, error) : dial_ip(dialing, address, out, error);
}

static int dial_complete(cor_conn **out, const cor_dialer *with, const char *network, const char *address,
                         cor_error *error)
{
    cor_error unused;
    error = error != NULL ? error : &unused;
    *error = (cor_error){0};
    if (cori_self() == NULL) {
        return cori_error_fill(error, "dial", network, address, COR_ENOT_TASK);
    }
    cori_dialing dialing = {.with = with, .deadline = deadline_of(with)};
    int rc = cori_network_parse(network, &dialing.network, &dialing.protocol, error);
    if (rc < 0) {
        return cori_error_fill(error, "dial", network, "", rc);
    }
    cori_slot *slot = NULL;
    rc = dial(&dialing, address, &slot, error);
    if (rc < 0) {
        char shown[COR_ADDR_TEXT];
        memcpy(shown, error->address, sizeof(shown));
        return cori_in_vain(cori_error_fill(error, "dial", network, shown, rc));
    }
    error->source[0] = error->address[0] = '\0';
    *out = cori_slot_publish(slot);
    return 0;
}

int cor_dial_with(cor_conn **out, const cor_dialer *dialer, const char *network, const char *address, cor_error *error)
{
    cor_dialer complete = {0};
    if (dialer->size == 0 || dialer->size > sizeof(complete)) {
        if (error != NULL) {
            *error = (cor_error){0};
        }
        return cori_error_fill(error, "dial", network, address, -EINVAL);
    }
    memcpy(&complete, dialer, dialer->size);
    return dial_complete(out, &complete, network, address, error);
}

int cor_dial_until(cor_conn **out, const char *network, const char *address, int64_t deadline, cor_error *error)
{
    cor_dialer with = plain;
    with.deadline = deadline;
    return dial_complete(out, &with, network, address, error);
}

int cor_dial(cor_conn **out, const char *network, const char *address, cor_error *error)
{
    return dial_complete(out, &plain, network, address, error);
}

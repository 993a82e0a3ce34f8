/* SPDX-License-Identifier: MIT */
/*
 * One attempt of a dial: a socket made, set up, bound, and a connect on it, which its owner looks at until it has
 * ended. The socket is in an unpublished slot from the start, which the end of cor_run knows: whoever drops an attempt,
 * or is abandoned in it, leaves no descriptor open.
 */
#ifndef CORI_NET_ATTEMPT_H
#define CORI_NET_ATTEMPT_H

#include "net/conn.h"

/* What all attempts of a dial share. */
typedef struct cori_dialing {
    const cori_network *network;
    int protocol;           /* bare IP: which; else 0 */
    const cor_dialer *with; /* complete */
    int64_t deadline;       /* absolute; 0: none */
} cori_dialing;

enum { CORI_CONNECTED = 0, CORI_CONNECTING = 1 };

typedef struct cori_attempt {
    cori_slot *slot;  /* owned; NULL: none under way */
    const char *call; /* the system call that failed; NULL: none */
    bool again;       /* its end is of a kind that another attempt may not have: EADDRNOTAVAIL, connected to itself */
} cori_attempt;

static inline bool cori_has_local(const cor_dialer *with)
{
    return with->local.ip.family != AF_UNSPEC || with->local.port != 0;
}

/* Tells whether tcp or udp may go from the dialer's local address, if it has one, to `target`. */
bool cori_attempt_suits(const cori_dialing *dialing, const cor_addr *target);

/* Begins: CORI_CONNECTED, CORI_CONNECTING, or the error, after which there is no slot. */
int cori_attempt_ip(cori_attempt *attempt, const cori_dialing *dialing, const cor_addr *target);
int cori_attempt_unix(cori_attempt *attempt, const cori_dialing *dialing, const char *path);

/* What has become of it, as above; while it is CORI_CONNECTING it is armed: an event will tell when to look again. */
int cori_attempt_look(cori_attempt *attempt, const cori_dialing *dialing);

/* Ends it without a connection. */
void cori_attempt_drop(cori_attempt *attempt);

#endif

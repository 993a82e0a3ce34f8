/* SPDX-License-Identifier: MIT */
/*
 * getaddrinfo(3) in place of our own resolver, for what /etc/nsswitch.conf names besides files and DNS: mDNS, LDAP,
 * containers. It stops its thread, for as long as its plug-ins like, and cannot be ended. So it runs on a thread of
 * its own kind (cori_blocking_leave), of which there are half as many as cor_blocking may have; other lookups queue. A
 * cancel or a deadline ends the wait at once, and what the call gives later is freed by whoever comes last.
 *
 * The thread works on a question of its own, allocated, and touches nothing of the task's. It reads its answers into
 * our form, so that the task gets an array and no more.
 */
#include "net/libc_names.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/sys.h"
#include "net/slot.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>

typedef struct question {
    int family, result; /* the number of addresses, or an error */
    cor_addr *list;
    char host[];
} question;

bool cori_libc_wanted(void)
{
    const char *wanted = getenv("COR_RESOLVER");
    return wanted != NULL && strcmp(wanted, "libc") == 0;
}

/* Go's classes: what may be otherwise the next time is a server that misbehaves. */
static int code_of(int status, int system)
{
    switch (status) {
    case EAI_NONAME:
    case EAI_NODATA:
    case EAI_ADDRFAMILY:
        return COR_ENO_SUCH_HOST;
    case EAI_AGAIN:
    case EAI_FAIL:
        return COR_ESERVER_MISBEHAVING;
    case EAI_MEMORY:
        return -ENOMEM;
    case EAI_SYSTEM:
        return system > 0 ? -system : -EMFILE; /* some versions forget to say that there were no descriptors */
    default:
        return COR_EBAD_ANSWER;
    }
}

static int keep(question *of, const struct addrinfo *found)
{
    int most = 0, count = 0;
    for (const struct addrinfo *one = found; one != NULL; one = one->ai_next) {
        most += most < CORI_LOOKUP_ADDRS_MAX;
    }
    of->list = cori_malloc((size_t)(most + 1) * sizeof(*of->list));
    if (of->list == NULL) {
        return -ENOMEM;
    }
    for (const struct addrinfo *one = found; one != NULL && count < most; one = one->ai_next) {
        cori_sockaddr kernel = {0};
        if (one->ai_addrlen <= sizeof(kernel)) {
            memcpy(&kernel, one->ai_addr, one->ai_addrlen);
            of->list[count] = cori_addr_of(&kernel);
            count += of->list[count].ip.family != 0;
        }
    }
    return count > 0 ? count : COR_ENO_SUCH_HOST;
}

/* On a thread that is no worker. */
static int ask(void *arg)
{
    question *of = arg;
    const struct addrinfo hints = {.ai_family = of->family, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    int before = cori_errno_keep();
    int status = getaddrinfo(of->host, NULL, &hints, &found);
    of->result = status == 0 ? keep(of, found) : code_of(status, cori_errno_keep());
    cori_errno_restore(before);
    if (found != NULL) {
        freeaddrinfo(found);
    }
    return 0;
}

static void drop(void *arg)
{
    question *of = arg;
    free(of->list);
    free(of);
}

int cori_libc_lookup(const char *host, int family, int64_t deadline, cor_addr **list)
{
    size_t size = strlen(host) + 1;
    question *of = cori_calloc(1, sizeof(*of) + size);
    if (of == NULL) {
        return -ENOMEM;
    }
    of->family = family;
    memcpy(of->host, host, size);
    int rc = cori_blocking_leave(ask, of, drop, cori_slot_deadline(deadline));
    if (rc < 0) {
        return rc;
    }
    rc = of->result;
    if (rc > 0) {
        *list = of->list;
        of->list = NULL;
    }
    drop(of);
    return rc;
}

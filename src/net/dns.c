/* SPDX-License-Identifier: MIT */
/*
 * Asking name servers, through c-ares. c-ares has no threads and never waits: it has sockets and says when it wants to
 * be called. Each worker has a resolver of its own, with a c-ares channel, while lookups are under way there; only that
 * worker's tasks touch it, so there is no lock, and no lookup costs a thread.
 *
 * There is no resolver task either. Of the tasks that wait for an answer one drives: it waits until a socket is ready
 * or c-ares' next time-out is due, has c-ares process what came, and so finishes lookups, its own and others'; the
 * others are parked. A driver that leaves (its answer came, its deadline passed, it was cancelled) wakes another
 * waiter, which drives from then on. The last one to leave cancels what c-ares still asks, and ends the resolver: a
 * lookup nobody waits for holds no descriptor. resolv.conf is read when a resolver begins. While lookups keep it busy
 * the file is looked at every 5 s, as in Go; where it has changed, the next lookup begins a new resolver, and the old
 * one ends with the last of its own.
 *
 *   no wake-up is lost   a waiter looks at `done` and at `driver` before it parks. All that changes them runs on this
 *                        worker, and wakes it afterwards. An answer wakes the first of its waiters, and each that
 *                        leaves the next, so that no event costs more for more waiters. A driver is parked on the wait
 *                        word, which is marked ready for it
 *   sockets              are members of one epoll instance, level-triggered, which is registered with the worker's
 *                        poller. The sign is consumed before c-ares looks; what is left to read then marks it anew
 *   time-outs            the driver is told of a new query that is due before all earlier ones
 *   merged               lookups of the same name and type share one query; each waiter has its own deadline
 *   bounds               CORI_DNS_WANTED_MAX lookups that somebody waits for are with c-ares at a time: more answers
 *                        than that could overflow a socket's buffer. Those that were left count until c-ares is done
 *                        with them, CORI_DNS_ASKED_MAX in all, since a query needs a number of 16 bits. The others
 *                        queue, one per task at most
 *   floating tasks       stay on their worker for the length of a lookup
 *   errno                is the task's: c-ares changes it, and its one entry here puts it back
 *   the end of cor_run   the resolver is a slot, which is destroyed then. Abandoned waiters are on stacks that are
 *                        gone: `ending` keeps the callbacks from looking at them
 *
 * Questions for addresses get a list of them, all others the message as it came (see message.c). Which server that came
 * from c-ares does not tell, but it is called by the function that receives: dns_socket.c has that noted.
 *
 * What c-ares does in a callback is bounded by the size of an answer, 64 KiB over TCP: 4,000 addresses. All are kept,
 * in the order that order.c gives them.
 *
 * With single-request c-ares, which would ask for both families at once, is asked for IPv4, and in the callback
 * for IPv6; the search list is gone through for each of them.
 */
#include "net/dns.h"

#include "base/limits.h"
#include "base/list.h"
#include "base/memory.h"
#include "base/sys.h"
#include "base/sys_other.h"
#include "net/dns_channel.h"
#include "net/fd.h"
#include "net/hosts.h"
#include "net/order.h"

#include <ares.h>
#include <coracle/time.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/time.h>

enum { NAME_MAX_BYTES = 256, EDNS_BYTES = 1232, BUCKETS = 256 };
#define RESOLV_CONF "/etc/resolv.conf"

/* A task that waits for a lookup; on its stack. */
typedef struct waiter {
    cori_task *task;
    struct waiter *next, *prev;
} waiter;

/* One question. Freed when the last waiter has left and c-ares or the queue has let go of it. */
typedef struct lookup {
    struct resolver *at;
    struct lookup *next, *prev;   /* in `waited` or `unwaited` */
    struct lookup *same, *before; /* in its bucket, until it is done */
    struct lookup *after;         /* in the queue, until it is asked */
    waiter *waiters;
    enum cori_dns_type type;
    unsigned bucket;
    bool whole, asked, done;
    int result;             /* the number of addresses, 1 with a message, or an error */
    int count;              /* of the answer's list; of that of IPv4, while IPv6 is asked for after it */
    bool then_v6;           /* single-request, and IPv4 is being asked for */
    cori_dns_answer answer; /* with a list or message of its own */
    char name[NAME_MAX_BYTES];
} lookup;

typedef struct resolver {
    ares_channel channel;
    cori_slot *slot;            /* whose descriptor is the epoll instance */
    lookup *waited, *unwaited;  /* all there are: with and without waiters */
    lookup *buckets[BUCKETS];   /* those that are not done, by name */
    lookup *queue, *queue_tail; /* those that are not asked yet */
    int number;                 /* its worker's */
    cori_file_stamp conf;       /* resolv.conf, when it was read */
    int64_t looked;             /* when it was looked at last */
    int asked, wanted;          /* how many c-ares has; and of these, how many somebody waits for */
    cori_dns_wire wire;         /* its source: of what c-ares is processing */
    cori_task *driver;
    cori_resolv_conf says;
    bool ending; /* waiters are gone, if there are any */
} resolver;

static resolver *resolvers[CORI_WORKERS_MAX]; /* each its worker's */

/* Adds addresses to those that the lookup has. 0, or why there are none. */
static int keep_addresses(lookup *of, const struct ares_addrinfo *found)
{
    int most = of->count;
    for (const struct ares_addrinfo_node *node = found->nodes; node != NULL; node = node->ai_next) {
        most += most < CORI_LOOKUP_ADDRS_MAX;
    }
    cor_addr *list = most > 0 ? cori_realloc(of->answer.list, (size_t)most * sizeof(*list)) : NULL;
    if (list == NULL) {
        return most > 0 ? -ENOMEM : COR_ENO_SUCH_HOST;
    }
    of->answer.list = list;
    for (const struct ares_addrinfo_node *node = found->nodes; node != NULL && of->count < most; node = node->ai_next) {
        cori_sockaddr kernel = {0};
        if (node->ai_addrlen <= sizeof(kernel)) {
            memcpy(&kernel, node->ai_addr, node->ai_addrlen);
            list[of->count] = cori_addr_of(&kernel);
            of->count += list[of->count].ip.family != 0;
        }
    }
    return of->count > 0 ? 0 : COR_ENO_SUCH_HOST;
}

static void drop(lookup *of)
{
    free(of->answer.list);
    free(of->answer.message);
    free(of);
}

/* Nobody needs it any more. */
static void forget(lookup *of)
{
    cori_list_remove(of->waiters != NULL ? &of->at->waited : &of->at->unwaited, of, next, prev);
    drop(of);
}

static void set_done(lookup *of, int result)
{
    of->result = result;
    of->done = true;
    cori_list_remove(&of->at->buckets[of->bucket], of, same, before);
}

/* Has a waiter look at how things stand. The driver waits for a sign, the others for a wake. */
static void rouse(resolver *at, cori_task *task)
{
    void *parked = task == at->driver ? cori_pollfd_ready(&at->slot->pollfd, CORI_READ) : task;
    if (parked != NULL && task != cori_self()) {
        cori_wake(parked);
    }
}

/* c-ares is done with a lookup. Called while a task asks, drives or cancels, or at the end of cor_run. */
static void finish(lookup *of, int result)
{
    of->at->asked--;
    of->at->wanted -= of->waiters != NULL;
    of->answer.server = cori_addr_of(&of->at->wire.source);
    set_done(of, result);
    if (of->at->ending) {
        return;
    }
    if (of->waiters != NULL) {
        rouse(of->at, of->waiters->task);
    } else {
        forget(of);
    }
}

static void answered(void *arg, int status, int timeouts, struct ares_addrinfo *found);

static void ask_addresses(lookup *of, int family)
{
    const struct ares_addrinfo_hints hints = {
        .ai_flags = ARES_AI_NOSORT, .ai_family = family, .ai_socktype = SOCK_STREAM};
    ares_getaddrinfo(of->at->channel, of->name, NULL, &hints, answered, of);
}

static void answered(void *arg, int status, int timeouts, struct ares_addrinfo *found)
{
    lookup *of = arg;
    (void)timeouts;
    int rc = status == ARES_SUCCESS ? keep_addresses(of, found) : cori_dns_code(status);
    if (found != NULL) {
        ares_freeaddrinfo(found);
    }
    if (of->then_v6 && of->waiters != NULL && !of->at->ending && rc != -ENOMEM) {
        of->then_v6 = false;
        ask_addresses(of, AF_INET6);
        return;
    }
    if (of->count > 0 && rc != -ENOMEM) {
        cori_order(of->answer.list, of->count);
        rc = of->count;
    }
    finish(of, rc);
}

static int keep_message(lookup *of, const unsigned char *message, size_t size)
{
    of->answer.message = cori_malloc(size);
    if (of->answer.message == NULL) {
        return -ENOMEM;
    }
    memcpy(of->answer.message, message, size);
    of->answer.size_bytes = size;
    return 1;
}

static void answered_whole(void *arg, int status, int timeouts, unsigned char *message, int size)
{
    (void)timeouts;
    finish(arg, status == ARES_SUCCESS && size > 0 ? keep_message(arg, message, (size_t)size) : cori_dns_code(status));
}

/* c-ares wants to hear of a socket, or no longer. */
static void socket_wanted(void *arg, ares_socket_t fd, int readable, int writable)
{
    resolver *at = arg;
    short events = (short)((readable ? POLLIN : 0) | (writable ? POLLOUT : 0));
    (void)cori_sys_set_want(at->slot->pollfd.fd, fd, events); /* if it fails, a time-out ends what waits for it */
}

static void forget_all(lookup *first)
{
    while (first != NULL) {
        lookup *next = first->next;
        drop(first);
        first = next;
    }
}

/* The slot's end: the last waiter has left, or cor_run ends. */
static void destroy(cori_slot *slot)
{
    resolver *at = slot->is.impl;
    at->ending = true;
    if (at->channel != NULL) {
        ares_destroy(at->channel);
    }
    if (resolvers[at->number] == at) {
        resolvers[at->number] = NULL;
    }
    cori_fd_close(slot);
    forget_all(at->waited);
    forget_all(at->unwaited);
    free(at);
}

static const cori_conn_ops resolver_ops = {.detach = cori_fd_detach, .destroy = destroy};

/* Ends a resolver of this worker. First nobody may find it: the end of a registration may park. */
static void end(resolver *at)
{
    if (resolvers[at->number] == at) {
        resolvers[at->number] = NULL;
    }
    cori_slot_discard(at->slot);
}

/* Whether resolv.conf is no longer the one that the resolver has read. */
static bool outdated(resolver *at, const char *path)
{
    int64_t now = cori_here_now();
    if (at->says.no_reload || now - at->looked < cori_files_check_ns) {
        return false;
    }
    at->looked = now;
    cori_file_stamp stamp = cori_file_stamp_of(path);
    return !cori_file_stamp_same(&stamp, &at->conf);
}

/* This worker's resolver; made if there is none. */
static int resolver_here(resolver **out, const char *path)
{
    resolver **here = &resolvers[cori_here_id()];
    if (*here != NULL && !outdated(*here, path)) {
        *out = *here;
        return 0;
    }
    resolver *at = cori_calloc(1, sizeof(*at));
    cori_slot *slot = at != NULL ? cori_slot_new(CORI_KIND_CONN, &resolver_ops) : NULL;
    if (slot == NULL) {
        free(at);
        return -ENOMEM;
    }
    at->slot = slot;
    at->number = cori_here_id();
    slot->is.impl = at;
    at->looked = cori_here_now();
    at->conf = cori_file_stamp_of(path);
    int set = cori_sys_set_new();
    cori_fd_open(slot, set, CORI_FD_PLAIN);
    cori_resolv_take(path, &at->says);
    at->wire.trust_ad = at->says.trust_ad;
    int rc = set < 0 ? set : cori_dns_channel_open(&at->channel, &at->says, socket_wanted, at, &at->wire);
    if (rc < 0) {
        cori_slot_discard(slot);
        return rc;
    }
    *here = *out = at;
    return 0;
}

static unsigned bucket_of(const char *name)
{
    unsigned hash = 2166136261; /* FNV-1a; what a peer can choose names for is bounded by the lookups under way */
    for (; *name != '\0'; name++) {
        hash = (hash ^ (unsigned char)(*name | 0x20)) * 16777619;
    }
    return hash % BUCKETS;
}

/* The lookup of this question that is under way; NULL: none. */
static lookup *find(resolver *at, const cori_dns_question *question)
{
    lookup *of = at->buckets[bucket_of(question->name)];
    while (of != NULL &&
           (of->type != question->type || of->whole != question->whole || strcasecmp(of->name, question->name) != 0)) {
        of = of->same;
    }
    return of;
}

/* A new lookup, with its first waiter, which is not asked yet. NULL: no memory. */
static lookup *add(resolver *at, const cori_dns_question *question)
{
    const char *name = question->name;
    lookup *of = cori_calloc(1, sizeof(*of));
    if (of != NULL) {
        *of = (lookup){.at = at, .type = question->type, .whole = question->whole, .bucket = bucket_of(name)};
        memcpy(of->name, name, strlen(name) + 1);
        cori_list_add(&at->buckets[of->bucket], of, same, before);
        cori_list_add(&at->unwaited, of, next, prev);
        *(at->queue == NULL ? &at->queue : &at->queue_tail->after) = of;
        at->queue_tail = of;
    }
    return of;
}

static bool can_ask(const resolver *at)
{
    return at->queue != NULL && at->wanted < CORI_DNS_WANTED_MAX && at->asked < CORI_DNS_ASKED_MAX;
}

static void ask(resolver *at, lookup *of)
{
    enum { CLASS_INTERNET = 1 };
    at->wire.source = (cori_sockaddr){0};
    if (of->whole) {
        ares_search(at->channel, of->name, CLASS_INTERNET, (int)of->type, answered_whole, of);
        return;
    }
    of->then_v6 = of->type == CORI_DNS_ANY && at->says.single_request;
    ask_addresses(of, of->type == CORI_DNS_A || of->then_v6 ? AF_INET
                      : of->type == CORI_DNS_AAAA           ? AF_INET6
                                                            : AF_UNSPEC);
}

/* Hands c-ares what waits for it, as far as there is room. Lookups may be done at once. */
static void ask_queued(resolver *at)
{
    for (int i = 0; i < CORI_DNS_WANTED_MAX && can_ask(at); i++) {
        lookup *of = at->queue;
        at->queue = of->after;
        if (of->waiters == NULL) {
            set_done(of, COR_ECANCELED);
            forget(of);
            continue;
        }
        of->asked = true;
        at->asked++;
        at->wanted++;
        ask(at, of);
    }
}

static void join(lookup *of, waiter *own)
{
    if (of->waiters == NULL) {
        cori_list_remove(&of->at->unwaited, of, next, prev);
        cori_list_add(&of->at->waited, of, next, prev);
        of->at->wanted += of->asked;
    }
    cori_list_add(&of->waiters, own, next, prev);
}

/* Has c-ares process what came, and what is due. */
static void process(resolver *at)
{
    ares_socket_t sockets[ARES_GETSOCK_MAXNUM];
    unsigned wanted = (unsigned)ares_getsock(at->channel, sockets, ARES_GETSOCK_MAXNUM); /* its macros overflow */
    bool any = false;
    for (int i = 0; i < ARES_GETSOCK_MAXNUM; i++) {
        bool reads = (wanted >> i & 1) != 0, writes = (wanted >> (i + ARES_GETSOCK_MAXNUM) & 1) != 0;
        int found =
            reads || writes ? cori_sys_poll(sockets[i], (short)((reads ? POLLIN : 0) | (writes ? POLLOUT : 0))) : 0;
        bool ended = found < 0 || (found & (POLLERR | POLLHUP | POLLNVAL)) != 0;
        if (found != 0) {
            any = true;
            at->wire.source = (cori_sockaddr){0};
            ares_process_fd(at->channel, reads && (ended || (found & POLLIN) != 0) ? sockets[i] : ARES_SOCKET_BAD,
                            writes && (ended || (found & POLLOUT) != 0) ? sockets[i] : ARES_SOCKET_BAD);
        }
    }
    if (!any) {
        at->wire.source = (cori_sockaddr){0};
        ares_process_fd(at->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    }
}

/* When c-ares wants to be called though nothing has come, or `deadline` if that is earlier. */
static int64_t next_due(resolver *at, int64_t deadline)
{
    struct timeval due;
    if (ares_timeout(at->channel, NULL, &due) == NULL) {
        return deadline;
    }
    int64_t next = cor_after(due.tv_sec * COR_SECOND + due.tv_usec * COR_MICROSECOND + COR_MILLISECOND);
    return deadline == 0 || next < deadline ? next : deadline;
}

/* Waits, as the driver, until there is something for c-ares to do, and has it done. 0, or why this task must stop. */
static int drive(resolver *at, cori_task *self, int64_t deadline)
{
    cori_slot *slot = at->slot;
    cori_store(&slot->deadline[CORI_READ], next_due(at, deadline));
    int rc = cori_fd_wait(slot, CORI_READ, "IO wait (lookup)");
    if (rc == COR_ETIMEOUT) {
        rc = cori_interrupted(self, deadline); /* else it was c-ares' own time */
    }
    if (rc < 0) {
        return rc;
    }
    (void)cori_swap(&slot->pollfd.wait[CORI_READ], CORI_IDLE);
    process(at);
    ask_queued(at);
    if (can_ask(at) || cori_sys_poll(slot->pollfd.fd, POLLIN) != 0) {
        (void)cori_pollfd_ready(&slot->pollfd, CORI_READ);
    }
    cori_charge(self);
    return 0;
}

static int await(resolver *at, lookup *of, int64_t deadline)
{
    cori_task *self = cori_self();
    int rc = 0;
    while (rc == 0 && !of->done) {
        rc = cori_interrupted(self, deadline);
        if (rc == 0 && (at->driver == NULL || at->driver == self)) {
            at->driver = self;
            rc = drive(at, self, deadline);
        } else if (rc == 0) {
            cori_park_external(self, deadline, "lookup");
        }
    }
    return of->done ? of->result : rc;
}

/* Takes the waiter out. Others hear of what it knew: that the lookup is done, that nobody drives. */
static void leave(lookup *of, waiter *own)
{
    resolver *at = of->at;
    if (at->driver == own->task) {
        at->driver = NULL;
    }
    cori_list_remove(&of->waiters, own, next, prev);
    if (of->waiters == NULL) {
        cori_list_remove(&at->waited, of, next, prev);
        cori_list_add(&at->unwaited, of, next, prev);
        at->wanted -= of->asked && !of->done;
        if (of->done) {
            forget(of);
        }
    } else if (of->done) {
        rouse(at, of->waiters->task);
    }
    if (at->waited == NULL) {
        end(at);
    } else if (at->driver == NULL) {
        cori_wake(at->waited->waiters->task);
    }
}

/* Gives a waiter what it asked for: a copy of its own. */
static int copy_out(const lookup *of, cori_dns_answer *answer)
{
    size_t size = of->whole ? of->answer.size_bytes : (size_t)of->count * sizeof(cor_addr);
    void *copy = of->result > 0 ? cori_malloc(size) : NULL;
    answer->server = of->answer.server;
    if (copy == NULL) {
        return of->result > 0 ? -ENOMEM : of->result;
    }
    memcpy(copy, of->whole ? (const void *)of->answer.message : of->answer.list, size);
    if (of->whole) {
        answer->message = copy;
        answer->size_bytes = size;
    } else {
        answer->list = copy;
    }
    return of->result;
}

static int look_up(const char *path, const cori_dns_question *question, cori_dns_answer *answer)
{
    resolver *at = NULL;
    int rc = resolver_here(&at, path);
    if (rc < 0) {
        return rc;
    }
    lookup *of = find(at, question);
    of = of != NULL ? of : add(at, question);
    if (of == NULL) {
        if (at->waited == NULL) {
            end(at);
        }
        return -ENOMEM;
    }
    waiter own = {.task = cori_self()};
    join(of, &own);
    ask_queued(at);
    if (at->driver != NULL && next_due(at, 0) < cori_load(&at->slot->deadline[CORI_READ])) {
        rouse(at, at->driver);
    }
    rc = await(at, of, cori_slot_deadline(question->deadline));
    if (of->done) {
        rc = copy_out(of, answer);
    }
    leave(of, &own);
    return rc;
}

int cori_dns_lookup(const cori_dns_question *question, cori_dns_answer *answer)
{
    *answer = (cori_dns_answer){0};
    const char *path = getenv("COR_RESOLV_CONF");
    path = path != NULL ? path : RESOLV_CONF;
    bool simulated = cori_sys_other != NULL; /* that network has no servers of names yet */
    if (*path == '\0' || simulated || strlen(question->name) >= NAME_MAX_BYTES) {
        return COR_ENO_SUCH_HOST;
    }
    bool floats = cori_here_stay();
    int before = cori_errno_keep();
    int rc = look_up(path, question, answer);
    cori_errno_restore(before);
    cori_here_float(floats);
    return rc;
}

/* SPDX-License-Identifier: MIT */
/* What a service is, what all services of a `coracle serve` share, and the table of those there are. */
#ifndef CORACLE_CMD_SERVE_SERVICE_H
#define CORACLE_CMD_SERVE_SERVICE_H

#include "address.h"
#include "log.h"
#include "serve/access.h"
#include "serve/bus/bus.h"
#include "serve/conns.h"
#include "serve/duration.h"
#include "serve/life/sockets.h"
#include "serve/owner.h"
#include "serve/room/name.h"

#include <coracle.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <sys/types.h>

struct rooms;
struct session;
struct service;
struct peers;
struct admin;
struct recent;

/* What happens when a member of the broadcast room reads slower than the others talk. */
typedef enum slow_policy { SLOW_CUT, SLOW_DROP_OLDEST, SLOW_DROP_NEWEST, SLOW_BLOCK } slow_policy;

/* The command line of serve. */
typedef struct serve_options {
    uint64_t workers;           /* 0: one per usable core */
    int poller;                 /* index in serve's poller names; -1: not given */
    uint64_t max_conns;         /* 0: as many as there are descriptors */
    uint64_t per_ip;            /* connections of one address; 0: any number */
    uint64_t accept_rate;       /* new connections of one address a second; 0: any number */
    const char *unix_mode;      /* as given: octal; NULL: what the umask leaves */
    const char *unix_owner;     /* as given: see owner.h; NULL: whoever runs the program */
    const char *allow, *deny;   /* lists of access.h; NULL: none */
    const char *proxy_from;     /* a list of access.h; NULL: nobody */
    size_t max_memory;          /* bytes of the process; 0: any number */
    size_t max_line;            /* bytes of a line or message */
    int64_t idle_timeout;       /* ns; 0: none */
    int64_t write_timeout;      /* ns; 0: none */
    int64_t first_byte_timeout; /* ns; 0: none */
    size_t outbox;              /* bytes of the room's log; how far a member may be behind */
    int64_t slow_after;         /* ns in which a member of the room must take something; 0: any time */
    int slow_policy;            /* a slow_policy */
    uint64_t rooms;             /* rooms that clients may make at a time */
    bool presence;              /* members may hear who comes and goes */
    uint64_t history;           /* messages that a new member of the room hears first */
    int64_t ping;               /* ns after which a silent WebSocket client is asked; 0: never */
    const char *origin;         /* sites whose pages may connect, with commas; NULL: each host's own */
    int64_t grace;              /* ns */
    int64_t lame_duck;          /* ns before that, over which idle clients are closed */
    bus_options bus;            /* to other nodes; no servers: there are none */
    uint64_t exec_max;          /* processes at a time */
    int64_t exec_grace;         /* ns from SIGTERM to SIGKILL */
    int64_t spin;               /* ns; 0: not, unless the environment says so */
    int64_t stall_after;        /* ns; 0: any time */
    bool quiet;
    bool no_limits;
    bool dump_config;
    int sandbox; /* SANDBOX_OFF, SANDBOX_ON or SANDBOX_STRICT of sandbox/sandbox.h */
    bool per_ip_given, accept_rate_given, idle_given, first_byte_given; /* by limits_settle */
    const char *user, *group;                                           /* to become when listening; NULL: as it is */
    const char *admin;                                                  /* where operators look; NULL: nowhere */
    const char *reply;                                                  /* what ack answers */
    const char *log_file;                                               /* diagnostics; NULL: stderr */
    int log_format;                                                     /* a log_format */
    int log_level;                                                      /* a log_level */
} serve_options;

enum { RELOAD_DONE, RELOAD_FAILED, RELOAD_RESULTS };

/* A successor that takes over the sockets; see life/restart.h. */
struct restart {
    char *program;         /* this program's file */
    char **argv;           /* as it was given */
    atomic_bool under_way; /* a successor is being started, or serves */
    atomic_int successor;  /* the process that has taken over; 0: none; RESTART_NEVER: this one ends without */
    atomic_uint obeyed;    /* bit n: signal n, since the successor began; it has not heard of it */
};
enum { RESTART_NEVER = -1 };

/* Whom the program becomes when it listens; see life/privileges.h. */
struct become {
    bool wanted;
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* group_count of them */
    size_t group_count;
};

/* What the process may not do any more; see sandbox/sandbox.h. */
struct sandbox {
    int landlock; /* the version that is in force; 0: none */
    int self;     /* /proc/self, held open; 0: not */
    bool calls;   /* system calls are filtered */
};

/* What members of rooms have been told: acknowledgements, refusals, who is here, and how long each message took. */
struct hub_counts {
    alignas(64) _Atomic uint64_t acknowledged, refused, answered; /* alone in their lines: each write counts */
    _Atomic uint64_t delivered[DURATION_FIELDS];                  /* by how long it took */
    _Atomic int64_t delivered_ns;                                 /* together */
};

/* One run of `coracle serve`. */
struct serve {
    serve_options options;
    struct service *services;
    size_t service_count;
    char **program;        /* what exec runs, and its arguments; NULL: nothing */
    const bus_ops *bus;    /* to other nodes; NULL: there are none */
    struct rooms *rooms;   /* of broadcast; NULL: there are none */
    struct admin *admin;   /* the status server; NULL: none */
    struct recent *recent; /* what it says of closed connections; NULL: nothing is kept */
    struct hub_counts hub;
    cor_group sessions;                            /* all session tasks */
    struct conns conns;                            /* all connections */
    struct access access;                          /* who may come in */
    struct access proxies;                         /* whom we believe for whom they come: proxy_header.h */
    struct owner owner;                            /* of unix sockets' files */
    struct peers *peers;                           /* addresses of clients; NULL: they are not limited */
    atomic_bool short_of_memory;                   /* nobody else is let in */
    cor_waitgroup memory_look;                     /* these four are of memory.h: 1 while the watch waits, else 0 */
    _Atomic uint64_t memory_grown, memory_look_at; /* bytes kept, ever; at how many to wake it, 0: do not */
    _Atomic uint64_t memory_piped;                 /* bytes in pipes of processes */
    atomic_int telling;                            /* refused clients that are told why, and waited for */
    cor_group helpers;                             /* tasks that end when the sessions have */
    cor_waitgroup acceptors;                       /* the accept loops */
    atomic_bool failed;                            /* a service had to give up */
    _Atomic int64_t served_until;   /* set before `stopping`; when clients are not served on that go on sending */
    atomic_bool stopping;           /* the server ends: no new clients, and idle sessions end */
    atomic_int accepting;           /* services whose accept loop still runs */
    _Atomic uint64_t accept_pauses; /* of all listeners */
    _Atomic uint64_t reloads[RELOAD_RESULTS];
    _Atomic int64_t reloaded; /* cor_now() of the last one; 0: none */

    struct inheritance inheritance; /* sockets that it was started with */
    struct restart restart;
    struct become become;
    struct sandbox sandbox;
    bool admin_owns_file;         /* the status server's socket file is to be removed in the end */
    int64_t ends_from, ends_over; /* set before `stopping`; the time over which idle sessions end */
};

/* A kind of service. */
typedef struct service_def {
    const char *name;
    const char *address; /* default, as on the command line */
    const char *summary; /* for the help */
    const char *dial;    /* arguments of `coracle dial` that suit it */
    /* Talks to one client; returns when the session is over. The caller closes the connection. */
    void (*handle)(struct session *session);
    /*
     * Makes the answer to a datagram in its place. `name` is a unixgram sender's, NULL where packet->addr is it.
     * Returns false if there is none. Never parks. NULL: streams only.
     */
    bool (*answer)(cor_packet *packet, const char *name);
    const char *streams_only; /* then: why, as the end of a sentence */
    bool needs_program;       /* it runs only with one after `--` */
    bool may_listen;          /* clients may just listen: see limits.h */
    bool tells_refusal;       /* there is a place for a line that says why a client is refused */
    bool has_websocket;       /* it has an entry for WebSocket */
    bool has_rooms;           /* its entries may lead to rooms by name */
    /* Prepares what the sessions share (service.state) and says what the tutorial says at start. NULL: nothing. */
    int (*start)(struct service *service);
    /* The server has begun to end. NULL: nothing. */
    void (*stopping)(struct service *service);
    /* Undoes start after the last session. NULL: nothing. */
    void (*stop)(struct service *service);
    /* How many bytes a member of the room is behind. Any thread. NULL: there is no room. */
    uint64_t (*behind)(const struct member *member);
    /* Memory is short: gives up what is kept for nobody. Returns how many bytes. Tasks only. NULL: nothing is. */
    uint64_t (*forget)(const struct service *service);
} service_def;

/* One service of this run. */
struct service {
    const service_def *def;
    struct serve *serve;
    address address;           /* as asked for */
    char room[ROOM_NAME_SIZE]; /* the name of the room it leads to; "": the one without a name, or there are none */
    bool websocket;            /* its clients speak WebSocket over that network */
    int inherited;             /* its socket, if the program was started with it; 0: it makes its own */
    bool owns_file;            /* its socket file is to be removed in the end */
    cor_listener *listener;    /* NULL: not listening */
    cor_conn *packets;         /* in its place for datagrams */
    char bound[COR_ADDR_TEXT]; /* where it listens */
    uint64_t open;             /* guard: the lock of serve->conns; its connections */
    void *state;               /* the service's own; entries of a room share it */
};

/* The network as people know it: what is on the command line. */
static inline const char *service_network(const struct service *service)
{
    return service->websocket ? "ws" : service->address.network;
}

/* How many bytes wait for a connection's peer. Under the lock of the list, as in conns_each. Any thread. */
static inline uint64_t session_queued(const struct connection *one)
{
    uint64_t queued = atomic_load_explicit(&one->queued, memory_order_relaxed);
    if (one->member != NULL && one->service->def->behind != NULL) {
        queued = one->service->def->behind(one->member);
    }
    return queued;
}

extern const service_def *const service_table[]; /* ends with NULL */

extern const service_def ack_service, print_service, greet_service, echo_service, random_service, exec_service;
#if COR_HAVE_JSON
extern const service_def broadcast_service;
#endif

#endif

/* SPDX-License-Identifier: MIT */
/*
 * The room under simulation: `coracle serve` as it is, between simulated clients that talk, flood, dawdle, send garbage
 * and leave, over a network that fails. All that is not the library's choice comes from a plan, and the plan from the
 * seed. What is to hold is looked at while it runs; the first thing that does not hold ends the run.
 *
 *     plan.c     what a seed has in store
 *     program.c  what the program meets here in place of its log, its signals, its memory
 *     heard.c    what members may hear
 *     client.c   what clients do
 *     room.c     one run from its beginning to its end, and the command line
 *
 * Everything is on one thread, in turns: no lock is needed, and counters that change in one turn are never seen apart.
 */
#ifndef TEST_SIM_WORLD_H
#define TEST_SIM_WORLD_H

#include "serve/serve.h"

#include <coracle.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CLIENTS_MAX = 1000, HOSTS_MAX = 4, TEXT_MAX = 4096, ROOMS_MAX = 3 };

/* The services, in the order of the program's table. */
enum service_number { ACK, PRINT, GREET, BROADCAST, ECHO, RANDOM, SERVICES };

/* After them: the entries of rooms that have a name. */
enum { ENTRIES = SERVICES + ROOMS_MAX - 1 };

enum role {
    TALKS,   /* says something, waits until it is acknowledged: it must not wait long */
    FLOODS,  /* says much and waits for nothing */
    LISTENS, /* says nothing */
    LIES,    /* sends what is no message, among what is */
    ELSEWHERE
};
enum reading { READS, READS_SLOWLY, READS_NOT };
enum leaving { LEAVES_POLITELY, LEAVES, LEAVES_BY_RESET, STAYS };

/* What a client will do. */
typedef struct sim_script {
    enum role role;
    enum service_number service;
    int room; /* index of run.rooms */
    enum reading reading;
    enum leaving leaving;
    int host;     /* index of run.hosts */
    int messages; /* at most */
    size_t text_most;
    int64_t start_ns, think_ns;
    size_t sip_bytes; /* READS_SLOWLY: so many at a time */
    int64_t sip_ns;   /* and so long between them */
    uint64_t chance;  /* state of its own generator */
} sim_script;

typedef struct sim_client {
    sim_script does;
    int id;
    cor_conn *conn;
    char address[COR_ADDR_TEXT];
    bool member;  /* connected to the room: has an address */
    int sent;     /* whole messages */
    int odd;      /* lies that are taken for messages */
    int said;     /* of those, in the room's log */
    int acked;    /* acknowledgements heard */
    int refused;  /* heard that there is no memory for one */
    int last_seq; /* the newest in the log */
    size_t next;  /* the index in its room's log that it hears next */
    bool placed;  /* `next` is known; else it is where the log ended when it dialed */
    bool ended;   /* its stream has come to its end, in order */
    char *line;   /* the one under way */
    size_t line_size, line_room;
} sim_client;

/* A message. */
typedef struct said {
    int by;      /* a client's id */
    size_t size; /* of the line, without its LF */
    char *text;
    uint64_t place; /* in the program's log */
} said;

/* Somebody has come into a room: it is to hear the log from there. */
typedef struct entered {
    char address[COR_ADDR_TEXT];
    size_t from;
} entered;

/* What was said in a room, in the order in which it was handed to all its members; and who has come in. */
typedef struct sim_room {
    said *log;
    size_t log_count, log_room;
    entered *entered;
    size_t entered_count, entered_room;
} sim_room;

/* What a seed has in store. */
typedef struct sim_plan {
    serve_options options;
    int clients, hosts, workers, rooms;
    bool hostile;               /* the network breaks what it likes */
    bool cuts;                  /* hosts are cut off and healed */
    bool reloads;               /* SIGHUP comes now and then */
    unsigned no_memory_once_in; /* of the program's allocations; 0: never */
    bool stops_early;           /* the signal comes while clients talk */
    int64_t stop_ns;            /* then: when */
    int stalled, slow;          /* members that take nothing, or little */
    int flooding;               /* members that wait for nothing */
} sim_plan;

struct run {
    uint64_t seed;
    sim_plan plan;
    sim_client *clients;
    struct serve serve;
    struct service services[ENTRIES];
    char bound_at[ENTRIES][32];
    int server, hosts[HOSTS_MAX];
    int64_t cut_until[HOSTS_MAX]; /* cor_now() at the end of its last cut; INT64_MAX: it is cut */
    sim_room rooms[ROOMS_MAX];
    uint64_t closed_told; /* `closed` events */
    size_t program_bytes; /* allocated by the program now */
    bool stopping, serving;
    bool reload; /* SIGHUP has come and is not obeyed yet */
    cor_waitgroup listening, stop, served, over, busy, alive, failed;
    char violation[512];   /* the first; empty: none */
    const char *failed_as; /* its format */
    uint64_t chance;       /* of the program: random numbers, memory that runs out */
    uint64_t lines, checks;
};

extern struct run run;

/* The seed's plan: options, clients and what each will do. */
void plan_make(uint64_t seed);
/*
 * For figures: nothing goes wrong, all come in the first ten seconds, and if it is busy each speaks every ten seconds.
 */
void plan_make_plain(int members, bool busy);

/* Something does not hold. The first one counts, and ends the run. */
void violated(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* A number below `limit`, from the generator `state`. */
uint64_t below(uint64_t *state, uint64_t limit);
bool once_in(uint64_t *state, unsigned times);

/* Whether a host's clients may come in. */
bool is_let_in(int host);

/* Bytes heard by a member of the room. */
void heard(sim_client *client, const char *bytes, size_t size);
/* A whole line that was handed to all members of a room, and its place in the program's log. */
void log_line(sim_room *room, const char *line, size_t size, uint64_t place);
/* Somebody comes into a room, to hear from a place in the program's log on; `block`: the longest of its blocks. */
void log_enter(sim_room *room, const char *who, uint64_t place, uint64_t end, size_t block);

/* What holds at any time: accepted = open + closed. */
void check_always(void);

/* The task of a client. */
void client_main(void *arg);

#endif

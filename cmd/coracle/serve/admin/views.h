/* SPDX-License-Identifier: MIT */
/* What the files of this folder share: the state of the status server, and its pages. */
#ifndef CORACLE_CMD_SERVE_ADMIN_VIEWS_H
#define CORACLE_CMD_SERVE_ADMIN_VIEWS_H

#include "serve/admin/ask.h"
#include "serve/admin/http.h"
#include "serve/room/rooms.h"
#include "serve/service.h"

#define VIEW_SAMPLE_NS (500 * COR_MILLISECOND)

/* Counters at a moment, for rates. */
struct view_sample {
    int64_t at; /* cor_now() */
    uint64_t accepted, closed, bytes_in, bytes_out;
    int64_t cpu_ns;
};

struct admin {
    struct serve *serve;
    address at;                /* as asked for */
    cor_listener *listener;    /* `http` accepts from a copy of its descriptor; this one has the socket's file */
    char text[COR_ADDR_TEXT];  /* what `at` points to, if it is not the command line */
    char host[COR_ADDR_TEXT];  /* the host asked for */
    char bound[COR_ADDR_TEXT]; /* where it listens */
    bool names_host;           /* there is one */
    http_server *http;
    struct asker asker;
    conns_traffic traffic;           /* as told last */
    struct view_sample before, last; /* at looks, VIEW_SAMPLE_NS apart or more; the first: at the start */
    int64_t waited;                  /* ns that the last question waited for a worker */
    int64_t dumped;                  /* cor_now() of the last dump of the tasks; 0: none */
    int64_t started;                 /* cor_now() */
    int64_t born;                    /* the time of day then, ns since 1970 */
};

/* The handlers of routes; `arg` is the struct admin. */
void metrics_view(void *arg, const http_request *request, http_reply *reply);
void livez_view(void *arg, const http_request *request, http_reply *reply);
void readyz_view(void *arg, const http_request *request, http_reply *reply);
void tasks_view(void *arg, const http_request *request, http_reply *reply);
void status_view(void *arg, const http_request *request, http_reply *reply);
void kick_view(void *arg, const http_request *request, http_reply *reply);
void page_html_view(void *arg, const http_request *request, http_reply *reply);
void page_css_view(void *arg, const http_request *request, http_reply *reply);
void page_js_view(void *arg, const http_request *request, http_reply *reply);

/* What the links to other nodes have done, together. False: there are none. */
static inline bool view_bus(const struct serve *serve, link_counts *out)
{
    return serve->rooms != NULL && rooms_count_links(serve->rooms, out);
}

/* The status as text, with at most so many connections and so many closed ones. */
void report_text(struct admin *admin, FILE *to, size_t most);

/* What has changed per second, in the last `seconds`. */
struct view_rates {
    double seconds, accepted, closed, bytes_in, bytes_out, cpu;
};

/* Looks, and compares with an earlier look, VIEW_SAMPLE_NS ago or more; if there was none, with the start. */
void view_rates(struct admin *admin, struct view_rates *out);

/* The run-time's counters, asked of a task. Returns 0, or -EAGAIN when no worker has answered. */
int view_stats(struct admin *admin, cor_runtime_stats *stats);

/* Task states, and their names in metrics and status. */
enum { TASKS_NEW, TASKS_READY, TASKS_RUNNING, TASKS_PARKED, TASKS_STATES };
extern const char *const view_task_states[TASKS_STATES];

/* What is told of the run-time. */
struct view_runtime {
    cor_runtime_stats stats;
    uint64_t states[TASKS_STATES]; /* tasks; the one that has asked runs, and one on each worker that is silent */
    int workers;                   /* how many of: */
    uint64_t queued[256];          /* tasks that wait for their turn on that worker */
};

/* The same with a look at each worker: one that computes makes it last somewhat longer. Returns as view_stats. */
int view_runtime(struct admin *admin, struct view_runtime *out);

#endif

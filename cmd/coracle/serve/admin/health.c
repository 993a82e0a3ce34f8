/* SPDX-License-Identifier: MIT */
/* What is asked of tasks: whether they run at all (/livez, /readyz), and what each does (/tasks). */
#include "serve/admin/views.h"

#if COR_HAVE_ADMIN

#include <microhttpd.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* No worker has run a new task for so long: the process does not live any more. */
#define DEAD_NS (10 * COR_SECOND)
#define DUMP_EVERY_NS COR_SECOND

/* How long a look at the workers waits for those that compute. */
#define WORKERS_WAIT_NS (50 * COR_MILLISECOND)
enum { WORKERS_MOST = 256 };

const char *const view_task_states[TASKS_STATES] = {
    [TASKS_NEW] = "new", [TASKS_READY] = "ready", [TASKS_RUNNING] = "running", [TASKS_PARKED] = "parked"};

struct stats_question {
    cor_runtime_stats stats;
    int64_t asked, begun; /* cor_now() */
    int code;
    bool each;   /* each worker is asked */
    int workers; /* how many have been */
    cor_worker_stats of_worker[WORKERS_MOST];
};

static void fill_stats(void *arg)
{
    struct stats_question *of = arg;
    of->begun = cor_now();
    of->code = cor_stats(&of->stats);
    if (of->each && of->code == 0) {
        int workers = cor_stats_workers(of->of_worker, WORKERS_MOST, cor_after(WORKERS_WAIT_NS));
        of->workers = workers > 0 ? workers : 0;
    }
}

/* Asks, with an answer that is the caller's to free. NULL: none came. */
static struct stats_question *ask_stats(struct admin *admin, int64_t wait_ns, bool each)
{
    struct stats_question *of = calloc(1, sizeof(*of));
    if (of == NULL) {
        return NULL;
    }
    of->asked = cor_now();
    of->each = each;
    if (ask_task(&admin->asker, wait_ns, fill_stats, free, of) != 0) {
        return NULL;
    }
    admin->waited = of->begun - of->asked;
    if (of->code != 0) {
        free(of);
        return NULL;
    }
    return of;
}

int view_stats(struct admin *admin, cor_runtime_stats *stats)
{
    struct stats_question *of = ask_stats(admin, ASK_WAIT_NS, false);
    if (of == NULL) {
        return -EAGAIN;
    }
    *stats = of->stats;
    free(of);
    return 0;
}

static void add_up(const struct stats_question *of, struct view_runtime *out)
{
    uint64_t all = 0;
    *out = (struct view_runtime){.stats = of->stats, .workers = of->workers};
    out->states[TASKS_RUNNING] = 1;
    for (int i = 0; i < of->workers; i++) {
        const cor_worker_stats *worker = &of->of_worker[i];
        out->queued[i] = worker->fresh + worker->ready;
        out->states[TASKS_NEW] += worker->fresh;
        out->states[TASKS_READY] += worker->ready;
        out->states[TASKS_RUNNING] += worker->silent;
        all += worker->tasks;
    }
    uint64_t active = out->states[TASKS_NEW] + out->states[TASKS_READY] + out->states[TASKS_RUNNING];
    out->states[TASKS_PARKED] = all > active ? all - active : 0; /* they are counted one worker after the other */
}

int view_runtime(struct admin *admin, struct view_runtime *out)
{
    struct stats_question *of = ask_stats(admin, ASK_WAIT_NS, true);
    if (of == NULL) {
        return -EAGAIN;
    }
    add_up(of, out);
    free(of);
    return 0;
}

static void fail(http_reply *reply, const char *why)
{
    reply->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    fprintf(reply->body, "%s\n", why);
}

void livez_view(void *arg, const http_request *request, http_reply *reply)
{
    struct admin *admin = arg;
    (void)request;
    free(ask_stats(admin, ASK_WAIT_LIVE_NS, false));
    if (ask_late_for(&admin->asker) > DEAD_NS) {
        fail(reply, "no worker has run a new task for 10 s");
    } else {
        fputs("ok\n", reply->body);
    }
}

void readyz_view(void *arg, const http_request *request, http_reply *reply)
{
    const struct admin *admin = arg;
    (void)request;
    if (atomic_load(&admin->serve->stopping)) {
        fail(reply, "draining");
    } else {
        link_counts bus;
        fputs("ok\n", reply->body);
        if (view_bus(admin->serve, &bus) && !bus.connected) { /* clients are served all the same */
            fprintf(reply->body, "degraded: no bus for %.0f s\n", (double)(cor_now() - bus.since) / (double)COR_SECOND);
        }
    }
}

struct dump_question {
    int fd;
};

static void fill_dump(void *arg)
{
    struct dump_question *of = arg;
    (void)cor_dump(of->fd);
}

static void drop_dump(void *arg)
{
    struct dump_question *of = arg;
    close(of->fd);
    free(of);
}

void tasks_view(void *arg, const http_request *request, http_reply *reply)
{
    struct admin *admin = arg;
    (void)request;
    if (admin->dumped != 0 && cor_now() - admin->dumped < DUMP_EVERY_NS) {
        reply->status = MHD_HTTP_TOO_MANY_REQUESTS;
        reply->retry_after = 1;
        fputs("once a second: each worker stops to print its tasks\n", reply->body);
        return;
    }
    struct dump_question *of = malloc(sizeof(*of));
    if (of == NULL || (of->fd = memfd_create("tasks", MFD_CLOEXEC)) < 0) {
        free(of);
        fail(reply, "out of memory or descriptors");
    } else if (ask_task(&admin->asker, ASK_WAIT_NS, fill_dump, drop_dump, of) == 0) {
        reply->fd = of->fd;
        free(of);
    } else {
        fail(reply, "no worker has answered in time; SIGQUIT prints all tasks on stderr");
    }
    admin->dumped = cor_now();
}

#endif

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

struct stats_question {
    cor_runtime_stats stats;
    int64_t asked, begun; /* cor_now() */
    int code;
};

static void fill_stats(void *arg)
{
    struct stats_question *of = arg;
    of->begun = cor_now();
    of->code = cor_stats(&of->stats);
}

static int ask_stats(struct admin *admin, int64_t wait_ns, cor_runtime_stats *stats)
{
    struct stats_question *of = calloc(1, sizeof(*of));
    int code = -ENOMEM;
    if (of != NULL) {
        of->asked = cor_now();
        code = ask_task(&admin->asker, wait_ns, fill_stats, free, of);
    }
    if (code == 0) {
        admin->waited = of->begun - of->asked;
        code = of->code;
        *stats = of->stats;
        free(of);
    }
    return code;
}

int view_stats(struct admin *admin, cor_runtime_stats *stats)
{
    return ask_stats(admin, ASK_WAIT_NS, stats);
}

static void fail(http_reply *reply, const char *why)
{
    reply->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    fprintf(reply->body, "%s\n", why);
}

void livez_view(void *arg, const http_request *request, http_reply *reply)
{
    struct admin *admin = arg;
    cor_runtime_stats stats;
    (void)request;
    (void)ask_stats(admin, ASK_WAIT_LIVE_NS, &stats);
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
        fputs("ok\n", reply->body);
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

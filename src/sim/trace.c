/* SPDX-License-Identifier: MIT */
/* The lines of trace.h, and the kernel that writes them. */
#include "sim/trace.h"

#include "sched/here.h"
#include "sched/text.h"
#include "sim/address.h"
#include "sim/event.h"
#include "sim/report.h"
#include "sim/socket.h"

#include <coracle/time.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool cori_sim_traces;

static const cori_sys_other_ops *traced;
static uint64_t main_id;
static int64_t begun;

/* Who: "server: task 3 serve", or the network. */
static void add_actor(cori_text *text)
{
    const cori_task *self = cori_self();
    if (self == NULL) {
        cori_text_add(text, "network");
        return;
    }
    cori_text_add(text, cori_sim_host_name(self->host));
    cori_text_add(text, ": task ");
    cori_text_number(text, self->id - main_id + 1);
    cori_text_add(text, " ");
    if (self->name != NULL) {
        cori_text_add(text, self->name);
    } else {
        cori_text_symbol(text, (const void *)(uintptr_t)self->function);
    }
}

void cori_sim_trace(const char *format, ...)
{
    char line[256];
    va_list values;
    cori_text actor = {0};
    add_actor(&actor);
    actor.line[actor.used] = '\0';
    va_start(values, format);
    (void)vsnprintf(line, sizeof(line), format, values);
    va_end(values);
    int64_t now = cori_sim_now() - begun;
    cori_sim_print("%6lld.%09lld %s: %s\n", (long long)(now / COR_SECOND), (long long)(now % COR_SECOND), actor.line,
                   line);
}

/* "10.0.0.1:80 -> 10.0.0.2:32768" */
static const char *ends_of(int fd, char *text, size_t size)
{
    char local[128], peer[128];
    const cori_sim_fd *found = cori_sim_fd_find(fd);
    if (found == NULL) {
        return "no socket";
    }
    cori_sim_address_text(&found->to->local, local, sizeof(local));
    cori_sim_address_text(&found->to->peer, peer, sizeof(peer));
    bool has_peer = found->to->peer.family != 0;
    (void)snprintf(text, size, "%s%s%s", local, has_peer ? " -> " : "", has_peer ? peer : "");
    return text;
}

static void trace_call(const char *call, int fd, ssize_t rc)
{
    char ends[300];
    if (rc == -EAGAIN) {
        return;
    }
    const char *error = rc < 0 ? strerrorname_np((int)-rc) : NULL;
    if (error != NULL) {
        cori_sim_trace("%s %s = %s", call, ends_of(fd, ends, sizeof(ends)), error);
    } else {
        cori_sim_trace("%s %s = %zd", call, ends_of(fd, ends, sizeof(ends)), rc);
    }
}

static int trace_socket(int family, int type, int protocol)
{
    int fd = traced->socket(family, type, protocol);
    if (fd < 0) {
        cori_sim_trace("socket = %s", strerrorname_np(-fd));
    }
    return fd;
}

static int trace_bind(int fd, const struct sockaddr *addr, socklen_t len)
{
    int rc = traced->bind(fd, addr, len);
    trace_call("bind", fd, rc);
    return rc;
}

static int trace_listen(int fd, int backlog)
{
    int rc = traced->listen(fd, backlog);
    trace_call("listen", fd, rc);
    return rc;
}

static int trace_accept(int fd, struct sockaddr *addr, socklen_t *len)
{
    int rc = traced->accept(fd, addr, len);
    trace_call("accept", rc >= 0 ? rc : fd, rc >= 0 ? 0 : rc);
    return rc;
}

static int trace_connect(int fd, const struct sockaddr *addr, socklen_t len)
{
    int rc = traced->connect(fd, addr, len);
    trace_call("connect", fd, rc);
    return rc;
}

static ssize_t trace_send(int fd, const struct msghdr *message)
{
    ssize_t rc = traced->send(fd, message);
    trace_call("send", fd, rc);
    return rc;
}

static ssize_t trace_receive(int fd, struct msghdr *message)
{
    ssize_t rc = traced->receive(fd, message);
    trace_call("receive", fd, rc);
    return rc;
}

static int trace_shutdown(int fd, int how)
{
    int rc = traced->shutdown(fd, how);
    trace_call("shutdown", fd, rc);
    return rc;
}

static void trace_close(int fd)
{
    trace_call("close", fd, 0);
    traced->close(fd);
}

const cori_sys_other_ops *cori_sim_trace_begin(bool asked, const cori_sys_other_ops *kernel)
{
    static cori_sys_other_ops tracing;
    const char *text = getenv("COR_SIM_TRACE");
    cori_sim_traces = (asked || (text != NULL && text[0] == '1')) && cori_sim_report_fd() >= 0;
    traced = kernel;
    main_id = 0;
    begun = cori_sim_now();
    tracing = *kernel;
    tracing.socket = trace_socket;
    tracing.bind = trace_bind;
    tracing.listen = trace_listen;
    tracing.accept = trace_accept;
    tracing.connect = trace_connect;
    tracing.send = trace_send;
    tracing.receive = trace_receive;
    tracing.shutdown = trace_shutdown;
    tracing.close = trace_close;
    return cori_sim_traces ? &tracing : kernel;
}

void cori_sim_trace_main(void)
{
    main_id = cor_task_id();
}

/* SPDX-License-Identifier: MIT */
/* /metrics: every counter, from the first look on, at 0 if need be. */
#include "serve/admin/views.h"

#if COR_HAVE_ADMIN

#include "serve/admin/census.h"
#include "serve/admin/exposition.h"
#include "serve/admin/process.h"
#include "serve/admin/recent.h"
#include "serve/exec/children.h"
#include "serve/room/rooms.h"
#include "serve/sandbox/denied.h"

#include <stdlib.h>
#include <string.h>

static void put_build(const exposition *out)
{
    char poller[16];
    const char *info = cor_poller_info(); /* a name, then why */
    snprintf(poller, sizeof(poller), "%.*s", (int)strcspn(info, " "), info);
    exposition_gauge(out, "coracle_build_info", "The version and the poller that runs; always 1.");
    fprintf(out->to, "coracle_build_info{version=\"%s\",backend=\"%s\"} 1\n", cor_version(), poller);
}

/* A service may be there several times, on several addresses; it is one in a label. */
static void put_open(const exposition *out, const struct serve *serve, const uint64_t *open)
{
    exposition_gauge(out, "coracle_connections", "Connections open now.");
    for (size_t i = 0; i < serve->service_count; i++) {
        const service_def *def = serve->services[i].def;
        uint64_t sum = 0;
        bool first = true;
        for (size_t j = 0; j < serve->service_count; j++) {
            bool same = serve->services[j].def == def;
            first = first && !(same && j < i);
            sum += same ? open[j] : 0;
        }
        if (first) {
            exposition_put(out, "coracle_connections", "service", def->name, sum);
        }
    }
}

/* What a limit kept out. */
static bool is_refusal(close_reason reason)
{
    return reason == REASON_MAX_CONNS || reason == REASON_PER_IP || reason == REASON_RATE || reason == REASON_DENIED ||
           reason == REASON_MAX_ROOMS;
}

static void put_reasons(const exposition *out, const conns_counts *counts)
{
    exposition_counter(out, "coracle_connections_closed", "Connections closed, including refused ones, by reason.");
    for (int i = REASON_NONE + 1; i < REASON_COUNT; i++) {
        exposition_put(out, "coracle_connections_closed_total", "reason", reason_names[i], counts->by_reason[i]);
    }
    exposition_counter(out, "coracle_connections_refused", "Connections refused by a limit, by reason.");
    for (int i = REASON_NONE + 1; i < REASON_COUNT; i++) {
        if (is_refusal((close_reason)i)) {
            exposition_put(out, "coracle_connections_refused_total", "reason", reason_names[i], counts->by_reason[i]);
        }
    }
}

/* What is copied under the lock. */
struct copied {
    const struct serve *serve;
    uint64_t *open; /* of each service */
};

static void copy_open(void *arg)
{
    struct copied *to = arg;
    for (size_t i = 0; i < to->serve->service_count; i++) {
        to->open[i] = to->serve->services[i].open;
    }
}

static void put_connections(const exposition *out, struct admin *admin)
{
    struct serve *serve = admin->serve;
    conns_counts counts;
    uint64_t *open = calloc(serve->service_count + 1, sizeof(*open));
    if (open == NULL) {
        return;
    }
    census_traffic(serve, &admin->traffic);
    conns_count_with(&serve->conns, &counts, copy_open, &(struct copied){.serve = serve, .open = open});
    exposition_one_gauge(out, "coracle_connections_limit", "The most connections at a time.", serve->options.max_conns);
    put_open(out, serve, open);
    exposition_one_counter(out, "coracle_connections_accepted", "Connections accepted, refused ones too.",
                           counts.accepted);
    exposition_one_counter(out, "coracle_accept_pauses",
                           "Times that a listener, the status server's too, waited for descriptors or memory.",
                           atomic_load(&serve->accept_pauses));
    put_reasons(out, &counts);
    exposition_one_counter(out, "coracle_received_bytes", "Bytes received and looked at.", admin->traffic.bytes_in);
    exposition_one_counter(out, "coracle_sent_bytes", "Bytes given to the kernel.", admin->traffic.bytes_out);
    exposition_one_counter(out, "coracle_messages_received", "Whole messages of members of rooms, lines for random.",
                           admin->traffic.messages_in);
    exposition_one_counter(out, "coracle_messages_sent", "Messages to members of rooms, numbers of random.",
                           admin->traffic.messages_out);
    free(open);
}

static void put_processes(const exposition *out)
{
    children_counts counts;
    children_count(&counts);
    exposition_one_gauge(out, "coracle_exec_running", "Processes that serve a connection now.", counts.running);
    exposition_counter(out, "coracle_exec_exits", "Processes that have ended, or could not be started, by how.");
    for (int i = 0; i < CHILD_END_COUNT; i++) {
        exposition_put(out, "coracle_exec_exits_total", "kind", child_end_names[i], counts.ends[i]);
    }
}

/* What waits for the members of rooms. */
struct queues {
    uint64_t sum, longest;
};

static bool add_queue(struct connection *one, void *arg)
{
    struct queues *queues = arg;
    if (one->member != NULL) {
        uint64_t queued = session_queued(one);
        queues->sum += queued;
        queues->longest = queued > queues->longest ? queued : queues->longest;
    }
    return true;
}

static void put_rooms(const exposition *out, struct serve *serve, const recent_totals *totals)
{
    struct queues queues = {0};
    conns_each(&serve->conns, add_queue, &queues);
    rooms_counts rooms = {0};
    if (serve->rooms != NULL) {
        rooms_count(serve->rooms, &rooms);
    }
    exposition_one_gauge(out, "coracle_rooms", "Rooms open now.", rooms.rooms);
    exposition_one_gauge(out, "coracle_rooms_made", "Rooms open now that clients have made.", rooms.made);
    exposition_one_gauge(out, "coracle_rooms_limit", "The most rooms that clients may make.", serve->options.rooms);
    exposition_one_counter(out, "coracle_rooms_opened", "Rooms that clients have made since the start.",
                           rooms.ever_made);
    exposition_one_gauge(out, "coracle_room_members", "Members of all rooms.", rooms.members);
    exposition_one_gauge(out, "coracle_largest_room_members", "Members of the largest room.", rooms.largest);
    exposition_one_gauge(out, "coracle_hub_queue_bytes", "Bytes that members of rooms have not taken yet, in all.",
                         queues.sum);
    exposition_one_gauge(out, "coracle_hub_slowest_queue_bytes",
                         "Bytes that the member farthest behind has not taken yet.", queues.longest);
    exposition_counter(out, "coracle_messages_dropped", "Messages that members missed, counted when they leave.");
    exposition_put(out, "coracle_messages_dropped_total", "reason", "slow_consumer", totals->dropped);
}

/* Only with a bus: without one there is nothing to be told of. */
static void put_bus(const exposition *out, const struct serve *serve)
{
    static const char lost[] = "coracle_bus_messages_lost_total", dropped[] = "coracle_bus_frames_dropped_total";
    link_counts of;
    if (!view_bus(serve, &of)) {
        return;
    }
    exposition_one_gauge(out, "coracle_bus_connected", "1 while the rooms are joined with those of other nodes.",
                         of.connected);
    exposition_one_counter(out, "coracle_bus_connects", "Connections made to the bus.", of.connects);
    exposition_one_gauge(out, "coracle_bus_nodes", "Nodes that have been heard of lately, in the room with the most.",
                         of.nodes);
    exposition_one_gauge(out, "coracle_bus_members", "Members of the rooms that this node has, on all nodes.",
                         of.members);
    exposition_one_counter(out, "coracle_bus_messages_sent", "Messages given to the bus.", of.sent);
    exposition_one_counter(out, "coracle_bus_messages_received", "Messages of other nodes.", of.received);
    exposition_one_counter(out, "coracle_bus_messages_repeated", "Messages that had come before, or came too late.",
                           of.repeated);
    exposition_counter(out, "coracle_bus_messages_lost",
                       "Messages that other nodes miss (backlog, too_long), or this one does (missed).");
    exposition_put(out, lost, "reason", "backlog", of.lost_backlog);
    exposition_put(out, lost, "reason", "too_long", of.lost_too_long);
    exposition_put(out, lost, "reason", "missed", of.missed);
    exposition_counter(out, "coracle_bus_frames_dropped", "Frames from the bus that were dropped, by reason.");
    exposition_put(out, dropped, "reason", "slow_consumer", of.slow_frames);
    exposition_put(out, dropped, "reason", "malformed", of.bad_frames);
}

static void put_deliveries(const exposition *out, struct hub_counts *hub)
{
    uint64_t delivered[DURATION_FIELDS];
    for (int i = 0; i < DURATION_FIELDS; i++) {
        delivered[i] = atomic_load(&hub->delivered[i]);
    }
    exposition_histogram(out, "coracle_hub_delivery_seconds",
                         "How long messages took from their sender to the socket of each member.", duration_bounds,
                         delivered, DURATION_BOUNDS, atomic_load(&hub->delivered_ns));
    exposition_counter(out, "coracle_hub_acks", "Answers to senders in rooms: acknowledgements, refusals, presence.");
    exposition_put(out, "coracle_hub_acks_total", "result", "ok", atomic_load(&hub->acknowledged));
    exposition_put(out, "coracle_hub_acks_total", "result", "refused", atomic_load(&hub->refused));
    exposition_put(out, "coracle_hub_acks_total", "result", "presence", atomic_load(&hub->answered));
}

static void put_closed(const exposition *out, struct serve *serve)
{
    recent_totals totals;
    recent_sums(serve->recent, &totals);
    exposition_histogram(out, "coracle_connection_duration_seconds", "How long closed connections had lasted.",
                         duration_bounds, totals.lasted, DURATION_BOUNDS, totals.lasted_ns);
    put_rooms(out, serve, &totals);
    put_deliveries(out, &serve->hub);
}

static void put_operation(const exposition *out, struct serve *serve)
{
    static const char *const results[RELOAD_RESULTS] = {[RELOAD_DONE] = "ok", [RELOAD_FAILED] = "failed"};
    exposition_counter(out, "coracle_reloads", "Reloads by SIGHUP, by result.");
    for (int i = 0; i < RELOAD_RESULTS; i++) {
        exposition_put(out, "coracle_reloads_total", "result", results[i], atomic_load(&serve->reloads[i]));
    }
    exposition_one_counter(out, "coracle_log_lines_dropped", "Lines dropped because stderr did not take them in time.",
                           log_dropped());
    exposition_one_counter(out, "coracle_log_lines_suppressed",
                           "Events left out because too many of their kind came in a second.", log_suppressed());
    exposition_one_counter(out, "coracle_sandbox_denied", "System calls that --sandbox has denied.", denied_count());
}

static void put_workers(const exposition *out, const struct view_runtime *of)
{
    exposition_gauge(out, "rt_tasks", "Tasks alive now.");
    for (int i = 0; i < TASKS_STATES; i++) {
        exposition_put(out, "rt_tasks", "state", view_task_states[i], of->states[i]);
    }
    exposition_gauge(out, "rt_run_queue_length", "Tasks that wait for their turn.");
    for (int i = 0; i < of->workers; i++) {
        char number[12];
        snprintf(number, sizeof(number), "%d", i);
        exposition_put(out, "rt_run_queue_length", "worker", number, of->queued[i]);
    }
}

static void put_runtime(const exposition *out, const struct admin *admin, const struct view_runtime *of)
{
    const cor_runtime_stats *stats = &of->stats;
    exposition_gauge(out, "rt_sched_delay_seconds", "How long a new task has just waited for a worker.");
    exposition_seconds(out, "rt_sched_delay_seconds", admin->waited);
    exposition_one_gauge(out, "rt_workers", "Worker threads.", (uint64_t)stats->workers);
    put_workers(out, of);
    exposition_one_counter(out, "rt_tasks_spawned", "Tasks started.", stats->spawned);
    exposition_one_counter(out, "rt_steals", "Times that a worker without work took tasks from another.",
                           stats->steals);
    exposition_one_counter(out, "rt_stalls", "Times that a task held its worker for longer than --stall-after.",
                           stats->stalls);
    exposition_one_gauge(out, "rt_stack_bytes", "Stacks of tasks, and those kept for the next; touched or not.",
                         stats->stack_bytes);
    exposition_one_counter(out, "rt_ring_overflow", "Times that io_uring had more events than its ring holds.",
                           stats->ring_overflows);
}

static void put_process(const exposition *out, const struct admin *admin)
{
    struct process_facts facts;
    process_look(&facts);
    exposition_counter(out, "process_cpu_seconds", "CPU time, user and system.");
    exposition_seconds(out, "process_cpu_seconds_total", facts.cpu_ns);
    exposition_gauge(out, "process_start_time_seconds", "When the process began, since 1970.");
    exposition_seconds(out, "process_start_time_seconds", admin->born);
    exposition_one_gauge(out, "process_resident_memory_bytes", "Resident memory.", facts.resident_bytes);
    exposition_one_gauge(out, "process_open_fds", "Descriptors open now.", facts.open_fds);
    exposition_one_gauge(out, "process_max_fds", "The most descriptors at a time.", facts.max_fds);
}

void metrics_view(void *arg, const http_request *request, http_reply *reply)
{
    struct admin *admin = arg;
    const exposition out = {.to = reply->body, .open = exposition_wants_open(request->accept)};
    struct view_runtime runtime;
    bool answered = view_runtime(admin, &runtime) == 0;
    reply->type = exposition_type(out.open);
    put_build(&out);
    exposition_one_gauge(&out, "coracle_ready", "1 while new connections are welcome.",
                         !atomic_load(&admin->serve->stopping));
    put_connections(&out, admin);
    put_closed(&out, admin->serve);
    put_bus(&out, admin->serve);
    put_operation(&out, admin->serve);
    put_processes(&out);
    if (answered) { /* else no worker has: what is not known is left out */
        put_runtime(&out, admin, &runtime);
    }
    put_process(&out, admin);
    exposition_end(&out);
}

#endif

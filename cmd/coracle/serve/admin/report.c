/* SPDX-License-Identifier: MIT */
/*
 * /status: everything on one page, as JSON. Names of peers are quoted by the library's own rules; all other texts are
 * ours. Times are seconds with decimals, sizes are bytes.
 */
#include "serve/admin/views.h"

#if COR_HAVE_ADMIN

#include "serve/admin/census.h"
#include "serve/admin/process.h"
#include "serve/admin/recent.h"
#include "serve/sandbox/denied.h"
#include "serve/sandbox/sandbox.h"
#include "serve/serve.h"

#include <inttypes.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LISTED = 1000 };

/* Seconds from ns. */
#define SECONDS "%.3f"
static double seconds(int64_t ns)
{
    return (double)ns / (double)COR_SECOND;
}

/* A name, at most COR_ADDR_TEXT bytes. */
static void put_text(FILE *to, const char *text)
{
    char quoted[COR_JSON_QUOTE_MAX(COR_ADDR_TEXT)];
    size_t size = strnlen(text, COR_ADDR_TEXT);
    fwrite(quoted, 1, (size_t)(cor_json_quote(quoted, text, size) - quoted), to);
}

/* A moment of cor_now() as a time of day. */
static void put_time(const struct admin *admin, FILE *to, int64_t moment)
{
    int64_t ns = admin->born + (moment - admin->started);
    time_t whole = (time_t)(ns / COR_SECOND);
    struct tm parts;
    gmtime_r(&whole, &parts);
    char text[32];
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &parts);
    fprintf(to, "\"%s.%03dZ\"", text, (int)(ns % COR_SECOND / COR_MILLISECOND));
}

static void put_runtime(const struct admin *admin, const struct view_runtime *of, FILE *to)
{
    const cor_runtime_stats *stats = &of->stats;
    fprintf(to,
            "\"runtime\":{\"workers\":%d,\"tasks\":%" PRIu64 ",\"spawned\":%" PRIu64
            ",\"delay\":%.6f,\"steals\":%" PRIu64 ",\"stalls\":%" PRIu64 ",\"stack_bytes\":%" PRIu64
            ",\"ring_overflows\":%" PRIu64 ",\n\"states\":{",
            stats->workers, stats->tasks, stats->spawned, seconds(admin->waited), stats->steals, stats->stalls,
            stats->stack_bytes, stats->ring_overflows);
    for (int i = 0; i < TASKS_STATES; i++) {
        fprintf(to, "%s\"%s\":%" PRIu64, i > 0 ? "," : "", view_task_states[i], of->states[i]);
    }
    fputs("},\"queued\":[", to);
    for (int i = 0; i < of->workers; i++) {
        fprintf(to, "%s%" PRIu64, i > 0 ? "," : "", of->queued[i]);
    }
    fputs("]},\n", to);
}

static void put_process(struct admin *admin, FILE *to)
{
    struct process_facts facts;
    struct view_runtime runtime;
    process_look(&facts);
    fprintf(to,
            "\"process\":{\"cpu\":" SECONDS ",\"resident_bytes\":%" PRIu64 ",\"open_fds\":%" PRIu64
            ",\"max_fds\":%" PRIu64 "},\n",
            seconds(facts.cpu_ns), facts.resident_bytes, facts.open_fds, facts.max_fds);
    if (view_runtime(admin, &runtime) == 0) {
        put_runtime(admin, &runtime, to);
    } else {
        fprintf(to, "\"runtime\":{\"silent\":" SECONDS "},\n", seconds(ask_late_for(&admin->asker)));
    }
}

/* What has changed since when, and what was lost. */
static void put_operation(struct admin *admin, FILE *to)
{
    struct serve *serve = admin->serve;
    struct view_rates rates;
    view_rates(admin, &rates);
    fprintf(to,
            "\"rates\":{\"seconds\":%.3f,\"accepted\":%.3f,\"closed\":%.3f,\"received_bytes\":%.0f,"
            "\"sent_bytes\":%.0f,\"cpu\":%.4f},\n",
            rates.seconds, rates.accepted, rates.closed, rates.bytes_in, rates.bytes_out, rates.cpu);
    fprintf(to, "\"reloads\":{\"ok\":%" PRIu64 ",\"failed\":%" PRIu64 ",\"last\":",
            atomic_load(&serve->reloads[RELOAD_DONE]), atomic_load(&serve->reloads[RELOAD_FAILED]));
    if (atomic_load(&serve->reloaded) != 0) {
        put_time(admin, to, atomic_load(&serve->reloaded));
    } else {
        fputs("null", to);
    }
    fprintf(to, "},\"log_lines_dropped\":%" PRIu64 ",\n", log_dropped());
    if (serve->options.sandbox != SANDBOX_OFF) {
        fprintf(to, "\"sandbox\":{\"landlock\":%d,\"seccomp\":%s,\"denied\":%" PRIu64 "},\n", serve->sandbox.landlock,
                serve->sandbox.calls ? "true" : "false", denied_count());
    } else {
        fputs("\"sandbox\":null,\n", to);
    }
}

static void put_head(struct admin *admin, FILE *to)
{
    char poller[16];
    const char *info = cor_poller_info();
    snprintf(poller, sizeof(poller), "%.*s", (int)strcspn(info, " "), info);
    fprintf(to, "{\"version\":\"%s\",\"poller\":\"%s\",\"state\":\"%s\",\n\"now\":", cor_version(), poller,
            atomic_load(&admin->serve->stopping) ? "draining" : "ready");
    put_time(admin, to, cor_now());
    fputs(",\"started\":", to);
    put_time(admin, to, admin->started);
    fprintf(to, ",\"uptime\":" SECONDS ",\n", seconds(cor_now() - admin->started));
    put_process(admin, to);
    fputs("\"limits\":", to);
    options_put_json(&serve_table, &admin->serve->options, to);
    fputs(",\n", to);
}

static void put_services(const struct serve *serve, FILE *to)
{
    fputs("\"services\":[", to);
    for (size_t i = 0; i < serve->service_count; i++) {
        const struct service *service = &serve->services[i];
        fprintf(to, "%s{\"service\":\"%s\",\"network\":\"%s\",\"local\":", i > 0 ? "," : "", service->def->name,
                service_network(service));
        put_text(to, service->bound);
        if (*service->room != '\0') {
            fputs(",\"room\":", to);
            put_text(to, service->room);
        }
        fputc('}', to);
    }
    fputs("],\n", to);
}

/* How many rooms there are, and the largest of them. */
static void put_rooms(const struct serve *serve, FILE *to, size_t most)
{
    rooms_counts counts;
    rooms_row *rows;
    if (serve->rooms == NULL) {
        fputs("\"rooms\":null,\n", to);
        return;
    }
    rooms_count(serve->rooms, &counts);
    size_t count = rooms_list(serve->rooms, &rows, most);
    fprintf(to,
            "\"rooms\":{\"count\":%" PRIu64 ",\"made\":%" PRIu64 ",\"limit\":%" PRIu64 ",\"members\":%" PRIu64
            ",\"list\":[",
            counts.rooms, counts.made, serve->options.rooms, counts.members);
    for (size_t i = 0; i < count; i++) {
        fputs(i > 0 ? ",\n{\"room\":" : "\n{\"room\":", to);
        put_text(to, rows[i].name);
        fprintf(to, ",\"members\":%" PRIu64 ",\"made\":%s}", rows[i].members, rows[i].made ? "true" : "false");
    }
    fputs("]},\n", to);
    free(rows);
}

/* With a bus: what it has carried. */
static void put_bus(const struct serve *serve, FILE *to)
{
    link_counts of;
    if (!view_bus(serve, &of)) {
        fputs("\"bus\":null,\n", to);
        return;
    }
    fprintf(to,
            "\"bus\":{\"state\":\"%s\",\"for\":" SECONDS ",\"connects\":%" PRIu64 ",\"nodes\":%" PRIu64
            ",\"members\":%" PRIu64 ",\"sent\":%" PRIu64 ",\"received\":%" PRIu64 ",\"repeated\":%" PRIu64
            ",\n\"lost\":{\"backlog\":%" PRIu64 ",\"too_long\":%" PRIu64 ",\"missed\":%" PRIu64
            "},\"frames_dropped\":{\"slow_consumer\":%" PRIu64 ",\"malformed\":%" PRIu64 "}},\n",
            of.connected ? "connected" : "degraded", seconds(cor_now() - of.since), of.connects, of.nodes, of.members,
            of.sent, of.received, of.repeated, of.lost_backlog, of.lost_too_long, of.missed, of.slow_frames,
            of.bad_frames);
}

static void put_counters(struct admin *admin, FILE *to)
{
    conns_counts counts;
    census_traffic(admin->serve, &admin->traffic);
    conns_count(&admin->serve->conns, &counts);
    fprintf(to,
            "\"counters\":{\"accepted\":%" PRIu64 ",\"open\":%" PRIu64 ",\"closed\":%" PRIu64
            ",\"received_bytes\":%" PRIu64 ",\"sent_bytes\":%" PRIu64 ",\n\"closed_by_reason\":{",
            counts.accepted, counts.open, counts.closed, admin->traffic.bytes_in, admin->traffic.bytes_out);
    for (int i = REASON_NONE + 1; i < REASON_COUNT; i++) {
        fprintf(to, "%s\"%s\":%" PRIu64, i > REASON_NONE + 1 ? "," : "", reason_names[i], counts.by_reason[i]);
    }
    fputs("}},\n", to);
}

static void put_row(FILE *to, const census_row *row, int64_t now)
{
    fprintf(to, "{\"id\":%" PRIu64 ",\"service\":\"%s\",\"peer\":", row->id, row->service->def->name);
    if (row->looked_at) {
        put_text(to, row->peer);
    } else {
        fputs("null", to);
    }
    fprintf(to,
            ",\"age\":" SECONDS ",\"received_bytes\":%" PRIu64 ",\"sent_bytes\":%" PRIu64 ",\"pending_bytes\":%" PRIu64
            ",\"unsent_bytes\":%" PRIu64 ",\"stuck\":" SECONDS,
            seconds(now - row->since), row->bytes_in, row->bytes_out, row->waiting + row->unsent, row->unsent,
            seconds(row->stuck != 0 ? now - row->stuck : 0));
    if (row->has_tcp) {
        fprintf(to, ",\"idle\":%.3f,\"rtt\":%.6f,\"retransmits\":%" PRIu32, row->idle_ms / 1e3, row->rtt_us / 1e6,
                row->retransmits);
    }
    fputc('}', to);
}

static void put_connections(struct admin *admin, FILE *to, size_t most)
{
    census of;
    fputs("\"connections\":[", to);
    if (census_take(admin, &of)) {
        int64_t now = cor_now();
        for (size_t i = 0; i < of.count && i < most; i++) {
            fputs(i > 0 ? ",\n" : "\n", to);
            put_row(to, &of.rows[i], now);
        }
        census_free(&of);
    }
    fputs("],\n", to);
}

static void put_recent(const struct admin *admin, FILE *to)
{
    recent_entry *entries = calloc(RECENT_COUNT, sizeof(*entries));
    size_t count = entries != NULL ? recent_copy(admin->serve->recent, entries, RECENT_COUNT) : 0;
    fputs("\"recently_closed\":[", to);
    for (size_t i = 0; i < count; i++) {
        const recent_entry *one = &entries[i];
        fprintf(to, "%s{\"id\":%" PRIu64 ",\"service\":\"%s\",\"peer\":", i > 0 ? ",\n" : "\n", one->id, one->service);
        put_text(to, one->peer);
        fprintf(to,
                ",\"reason\":\"%s\",\"age\":" SECONDS ",\"received_bytes\":%" PRIu64 ",\"sent_bytes\":%" PRIu64
                ",\"closed\":",
                reason_names[one->reason], seconds(one->closed_at - one->since), one->bytes_in, one->bytes_out);
        put_time(admin, to, one->closed_at);
        fputc('}', to);
    }
    free(entries);
    fputs("]}\n", to);
}

/* Reads a number of the query. False: it is none, or above `most`. */
static bool read_number(const char *text, uint64_t most, uint64_t *out)
{
    uint64_t number = 0;
    size_t size = strspn(text, "0123456789");
    if (size == 0 || text[size] != '\0' || size > 18) {
        return false;
    }
    for (size_t i = 0; i < size; i++) {
        number = number * 10 + (uint64_t)(text[i] - '0');
    }
    *out = number;
    return number <= most;
}

void status_view(void *arg, const http_request *request, http_reply *reply)
{
    struct admin *admin = arg;
    const char *limit = http_argument(request, "limit");
    uint64_t most = LISTED;
    if (limit != NULL && !read_number(limit, CENSUS_LOOKED_AT, &most)) {
        reply->status = MHD_HTTP_BAD_REQUEST;
        fprintf(reply->body, "limit: a number up to %d\n", CENSUS_LOOKED_AT);
        return;
    }
    const char *format = http_argument(request, "format");
    if (format != NULL && strcmp(format, "text") == 0) {
        report_text(admin, reply->body, most);
        return;
    }
    reply->type = "application/json";
    put_head(admin, reply->body);
    put_operation(admin, reply->body);
    put_services(admin->serve, reply->body);
    put_rooms(admin->serve, reply->body, most);
    put_bus(admin->serve, reply->body);
    put_counters(admin, reply->body);
    put_connections(admin, reply->body, most);
    put_recent(admin, reply->body);
}

struct kick_question {
    struct conns *conns;
    uint64_t id;
    bool done;
};

static void kick(void *arg)
{
    struct kick_question *of = arg;
    of->done = conns_kick(of->conns, of->id);
}

void kick_view(void *arg, const http_request *request, http_reply *reply)
{
    struct admin *admin = arg;
    const char *text = http_argument(request, "id");
    struct kick_question *of = calloc(1, sizeof(*of));
    reply->status = MHD_HTTP_SERVICE_UNAVAILABLE;
    if (of == NULL) {
        return;
    }
    of->conns = &admin->serve->conns;
    if (text == NULL || !read_number(text, UINT64_MAX, &of->id)) {
        reply->status = MHD_HTTP_BAD_REQUEST;
        fputs("id: the number of a connection\n", reply->body);
    } else if (ask_task(&admin->asker, ASK_WAIT_NS, kick, free, of) < 0) {
        fputs("no worker has answered in time\n", reply->body);
        return;
    } else if (of->done) {
        LOG(LEVEL_INFO, "kick", {"conn", NULL, (int64_t)of->id});
        reply->status = MHD_HTTP_OK;
        fprintf(reply->body, "kicked %" PRIu64 "\n", of->id);
    } else {
        reply->status = MHD_HTTP_NOT_FOUND;
        fprintf(reply->body, "%" PRIu64 " is not open\n", of->id);
    }
    free(of);
}

#endif

/* SPDX-License-Identifier: MIT */
/* /status?format=text: the same for a terminal. Names of peers are escaped. */
#include "serve/admin/views.h"

#if COR_HAVE_ADMIN

#include "escape.h"
#include "serve/admin/census.h"
#include "serve/admin/process.h"
#include "serve/admin/recent.h"
#include "serve/sandbox/denied.h"
#include "serve/sandbox/sandbox.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The width of a peer's column; longer names push the others aside. */
#define PEER_WIDTH 22

static double seconds(int64_t ns)
{
    return (double)ns / (double)COR_SECOND;
}

/* A number of bytes in four digits or fewer. */
static void put_bytes(FILE *to, int width, uint64_t bytes)
{
    static const char units[] = " kMGTPE";
    double number = (double)bytes;
    int unit = 0;
    for (; number >= 1000; unit++) {
        number /= 1024;
    }
    fprintf(to, unit == 0 ? "%*.0f%c" : "%*.1f%c", width - 1, number, units[unit]);
}

/* How much of a limit is used, and a word if that is much. */
static void put_limit(FILE *to, uint64_t used, uint64_t limit)
{
    if (limit > 0 && used >= limit) {
        fputs(" (FULL)", to);
    } else if (limit > 0 && (double)used >= 0.8 * (double)limit) {
        fputs(" (NEAR)", to);
    }
}

static void put_peer(FILE *to, const char *peer)
{
    size_t size = strnlen(peer, COR_ADDR_TEXT);
    char *shown = malloc(escape_size(peer, size, 0) + 1);
    if (shown != NULL) {
        *escape_copy(shown, peer, size, 0) = '\0';
    }
    fprintf(to, " %-*s", PEER_WIDTH, shown == NULL || *peer == '\0' ? "-" : shown);
    free(shown);
}

static void put_head(struct admin *admin, FILE *to)
{
    const char *info = cor_poller_info();
    cor_runtime_stats stats;
    fprintf(to, "coracle %s, %s, up %.0f s, %.*s", cor_version(),
            atomic_load(&admin->serve->stopping) ? "draining" : "ready", seconds(cor_now() - admin->started),
            (int)strcspn(info, " "), info);
    if (view_stats(admin, &stats) == 0) {
        fprintf(to, ", %d worker%s, %" PRIu64 " tasks", stats.workers, stats.workers == 1 ? "" : "s", stats.tasks);
        if (stats.stalls > 0) {
            fprintf(to, ", %" PRIu64 " STALLS (event=stall in the log)", stats.stalls);
        }
        fputc('\n', to);
    } else {
        fprintf(to, ", NO WORKER ANSWERS (%.0f s)\n", seconds(ask_late_for(&admin->asker)));
    }
}

static void put_counters(struct admin *admin, FILE *to)
{
    struct process_facts facts;
    conns_counts counts;
    process_look(&facts);
    census_traffic(admin->serve, &admin->traffic);
    conns_count(&admin->serve->conns, &counts);
    const serve_options *options = &admin->serve->options;
    fprintf(to, "connections %" PRIu64 " of %" PRIu64, counts.open, options->max_conns);
    put_limit(to, counts.open, options->max_conns);
    fprintf(to, ", descriptors %" PRIu64 " of %" PRIu64, facts.open_fds, facts.max_fds);
    put_limit(to, facts.open_fds, facts.max_fds);
    fputs(", memory", to);
    put_bytes(to, 7, facts.resident_bytes);
    if (options->max_memory > 0) {
        fputs(" of", to);
        put_bytes(to, 7, options->max_memory);
        put_limit(to, facts.resident_bytes, options->max_memory);
    }
    fprintf(to, ", cpu %.2f s\naccepted %" PRIu64 ", received", seconds(facts.cpu_ns), counts.accepted);
    put_bytes(to, 7, admin->traffic.bytes_in);
    fputs(", sent", to);
    put_bytes(to, 7, admin->traffic.bytes_out);
    fprintf(to, "\nclosed %" PRIu64, counts.closed);
    const char *before = ": ";
    for (int i = REASON_NONE + 1; i < REASON_COUNT; i++) {
        if (counts.by_reason[i] > 0) {
            fprintf(to, "%s%s %" PRIu64, before, reason_names[i], counts.by_reason[i]);
            before = ", ";
        }
    }
    fputc('\n', to);
}

/* How fast it goes, and what an operator has done or has lost. */
static void put_operation(struct admin *admin, FILE *to)
{
    struct serve *serve = admin->serve;
    struct view_rates rates;
    view_rates(admin, &rates);
    fprintf(to, "in the last %.1f s: accepted %.1f/s, closed %.1f/s, received", rates.seconds, rates.accepted,
            rates.closed);
    put_bytes(to, 7, (uint64_t)rates.bytes_in);
    fputs("/s, sent", to);
    put_bytes(to, 7, (uint64_t)rates.bytes_out);
    fprintf(to, "/s, cpu %.0f %%, a task waits %.3f ms\n", 100 * rates.cpu,
            (double)admin->waited / (double)COR_MILLISECOND);
    int64_t reloaded = atomic_load(&serve->reloaded);
    if (reloaded != 0) {
        fprintf(to, "reloaded %" PRIu64 " times, failed %" PRIu64 ", last %.0f s ago\n",
                atomic_load(&serve->reloads[RELOAD_DONE]), atomic_load(&serve->reloads[RELOAD_FAILED]),
                seconds(cor_now() - reloaded));
    }
    uint64_t dropped = log_dropped();
    if (dropped > 0) {
        fprintf(to, "LOG LINES LOST: %" PRIu64 "\n", dropped);
    }
    const struct sandbox *sandbox = &serve->sandbox;
    if (serve->options.sandbox != SANDBOX_OFF) {
        fprintf(to, "sandbox: Landlock %d, seccomp %s", sandbox->landlock, sandbox->calls ? "on" : "off");
        fprintf(to, denied_count() > 0 ? ", %" PRIu64 " DENIED (event=sandbox_denied in the log)\n" : "\n",
                denied_count());
    }
}

/* Where there are several rooms: how many, and the largest. */
static void put_rooms(const struct serve *serve, FILE *to)
{
    enum { SHOWN = 8 };
    rooms_counts counts = {0};
    if (serve->rooms != NULL) {
        rooms_count(serve->rooms, &counts);
    }
    if (counts.rooms < 2) {
        return;
    }
    rooms_row *rows;
    size_t count = rooms_list(serve->rooms, &rows, SHOWN);
    fprintf(to, "rooms %" PRIu64 ", made by clients %" PRIu64 " of %" PRIu64, counts.rooms, counts.made,
            serve->options.rooms);
    put_limit(to, counts.made, serve->options.rooms);
    fprintf(to, ", %" PRIu64 " members", counts.members);
    for (size_t i = 0; i < count; i++) {
        fprintf(to, "%s%s %" PRIu64, i == 0 ? ": " : ", ", *rows[i].name != '\0' ? rows[i].name : "(no name)",
                rows[i].members);
    }
    fputs(counts.rooms > count ? ", ...\n" : "\n", to);
    free(rows);
}

static void put_bus(const struct serve *serve, FILE *to)
{
    link_counts of;
    if (view_bus(serve, &of)) {
        fprintf(to, "bus %s for %.0f s, %" PRIu64 " node%s, %" PRIu64 " members, sent %" PRIu64 ", received %" PRIu64,
                of.connected ? "connected" : "DEGRADED", seconds(cor_now() - of.since), of.nodes,
                of.nodes == 1 ? "" : "s", of.members, of.sent, of.received);
        uint64_t lost = of.lost_backlog + of.lost_too_long + of.missed;
        if (lost > 0) {
            fprintf(to, ", LOST %" PRIu64, lost);
        }
        fputc('\n', to);
    }
}

static void put_row(FILE *to, const census_row *row, int64_t now)
{
    fprintf(to, "%8" PRIu64 " %-9s", row->id, row->service->def->name);
    put_peer(to, row->peer);
    fprintf(to, "%8.0fs", seconds(now - row->since));
    put_bytes(to, 9, row->bytes_in);
    put_bytes(to, 9, row->bytes_out);
    put_bytes(to, 9, row->waiting + row->unsent);
    if (row->has_tcp) {
        fprintf(to, "%8.1fs", row->idle_ms / 1e3);
    } else {
        fputs("        -", to);
    }
    fprintf(to, "%8.1fs\n", seconds(row->stuck != 0 ? now - row->stuck : 0));
}

static void put_connections(struct admin *admin, FILE *to, size_t most)
{
    census of;
    if (!census_take(admin, &of)) {
        return;
    }
    int64_t now = cor_now();
    fprintf(to, "\n%8s %-9s %-*s%9s%9s%9s%9s%9s%9s\n", "ID", "SERVICE", PEER_WIDTH, "PEER", "AGE", "IN ", "OUT ",
            "PENDING ", "IDLE", "STUCK");
    for (size_t i = 0; i < of.count && i < most; i++) {
        put_row(to, &of.rows[i], now);
    }
    if (of.count > most) {
        fprintf(to, "%8s %zu more\n", "...", of.count - most);
    }
    census_free(&of);
}

static void put_recent(const struct admin *admin, FILE *to, size_t most)
{
    recent_entry *entries = calloc(RECENT_COUNT, sizeof(*entries));
    most = most < RECENT_COUNT ? most : RECENT_COUNT;
    size_t count = entries != NULL ? recent_copy(admin->serve->recent, entries, most) : 0;
    int64_t now = cor_now();
    if (count > 0) {
        fprintf(to, "\n%8s %-9s %-*s%9s%9s%9s  %s\n", "CLOSED", "SERVICE", PEER_WIDTH, "PEER", "AGO", "IN ", "OUT ",
                "REASON");
    }
    for (size_t i = 0; i < count; i++) {
        const recent_entry *one = &entries[i];
        fprintf(to, "%8" PRIu64 " %-9s", one->id, one->service);
        put_peer(to, one->peer);
        fprintf(to, "%8.0fs", seconds(now - one->closed_at));
        put_bytes(to, 9, one->bytes_in);
        put_bytes(to, 9, one->bytes_out);
        fprintf(to, "  %s\n", reason_names[one->reason]);
    }
    free(entries);
}

void report_text(struct admin *admin, FILE *to, size_t most)
{
    put_head(admin, to);
    put_counters(admin, to);
    put_operation(admin, to);
    put_rooms(admin->serve, to);
    put_bus(admin->serve, to);
    put_connections(admin, to, most);
    put_recent(admin, to, most);
}

#endif

/* SPDX-License-Identifier: MIT */
/*
 * From a seed to a plan. Each seed switches on about half of what can go wrong, with a strength of its own: so some
 * runs have much of one thing, and two things meet often. Most rooms are small, because a small one shows nearly all
 * and costs little; one in five hundred has up to a thousand members.
 */
#include "world.h"

#include <stdlib.h>
#include <string.h>

uint64_t below(uint64_t *state, uint64_t limit)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ z >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ z >> 27) * UINT64_C(0x94D049BB133111EB);
    z ^= z >> 31;
    return (uint64_t)(((unsigned __int128)z * limit) >> 64);
}

bool once_in(uint64_t *state, unsigned times)
{
    return below(state, times) == 0;
}

/* A number from `least` to `most`, small ones as likely as large ones by their order of magnitude. */
static uint64_t about(uint64_t *state, uint64_t least, uint64_t most)
{
    uint64_t range = most - least + 1;
    while (range > 1 && once_in(state, 2)) {
        range = (range + 1) / 2;
    }
    return least + below(state, range);
}

static int count_of_clients(uint64_t *chance)
{
    uint64_t kind = below(chance, 500);
    if (kind == 0) {
        return (int)about(chance, 100, CLIENTS_MAX);
    }
    return (int)(kind < 25 ? about(chance, 10, 60) : 1 + below(chance, 10));
}

static void choose_limits(uint64_t *chance, serve_options *options)
{
    if (once_in(chance, 4)) {
        options->idle_timeout = (int64_t)about(chance, 20, 5000) * COR_MILLISECOND;
    }
    if (once_in(chance, 4)) {
        options->first_byte_timeout = (int64_t)about(chance, 20, 5000) * COR_MILLISECOND;
    }
    if (once_in(chance, 2)) {
        options->write_timeout = (int64_t)about(chance, 50, 20000) * COR_MILLISECOND;
    }
    if (once_in(chance, 2)) {
        options->slow_after = (int64_t)about(chance, 50, 10000) * COR_MILLISECOND;
    }
    if (once_in(chance, 8)) {
        options->max_conns = about(chance, 1, 8);
    }
    if (once_in(chance, 8)) {
        options->per_ip = about(chance, 1, 8);
        options->per_ip_given = true;
    }
    if (once_in(chance, 8)) {
        options->accept_rate = about(chance, 1, 20);
        options->accept_rate_given = true;
    }
    if (once_in(chance, 2)) {
        options->max_line = (size_t)about(chance, 128, 2 * TEXT_MAX);
    }
}

/* As `coracle serve` has them without options, but quiet. */
static serve_options usual_options(void)
{
    return (serve_options){
        .poller = -1,
        .max_line = (size_t)64 * 1024,
        .write_timeout = 30 * COR_SECOND,
        .outbox = (size_t)16 << 20,
        .slow_after = 10 * COR_SECOND,
        .grace = 5 * COR_SECOND,
        .reply = "Sua mensagem foi recebida com sucesso",
        .log_level = LEVEL_INFO,
        .quiet = true,
    };
}

/* Some hosts of clients stay outside: those of one list, or all but those of the other. */
static void choose_lists(uint64_t *chance, serve_options *options)
{
    static const char *const lists[] = {"10.0.1.1", "10.0.1.2", "10.0.1.0/31", "10.0.1.0/24", ""};
    if (once_in(chance, 8)) {
        options->deny = lists[below(chance, 3)];
    }
    if (once_in(chance, 16)) {
        options->allow = lists[below(chance, sizeof(lists) / sizeof(lists[0]))];
    }
    run.plan.reloads = once_in(chance, 4);
}

/* History and presence, or neither. */
static void choose_extras(uint64_t *chance, serve_options *options)
{
    options->history = once_in(chance, 2) ? about(chance, 1, 300) : 0;
    options->presence = once_in(chance, 4);
}

static void choose_options(uint64_t *chance, serve_options *options)
{
    *options = usual_options();
    options->grace = (int64_t)about(chance, 1, 5000) * COR_MILLISECOND;
    options->quiet = !once_in(chance, 4);
    if (!once_in(chance, 3)) { /* so small that what is said here fills it */
        options->outbox = (size_t)about(chance, 4096, 65536);
    }
    options->slow_policy = once_in(chance, 2) ? SLOW_CUT : (int)below(chance, SLOW_BLOCK + 1);
    choose_limits(chance, options);
    choose_extras(chance, options);
    choose_lists(chance, options);
}

/* What may be switched on for the clients of a run. */
struct swarm {
    bool stalls, dawdles, lies, leaves, resets, elsewhere, hurries, torrent;
    size_t text_most;
    int messages;
};

static void choose_role(uint64_t *chance, const struct swarm *swarm, sim_script *does)
{
    does->role = once_in(chance, swarm->torrent ? 2 : 4) ? FLOODS : once_in(chance, 5) ? LISTENS : TALKS;
    does->service = BROADCAST;
    if (swarm->lies && once_in(chance, 3)) {
        does->role = LIES;
    } else if (swarm->elsewhere && once_in(chance, 3)) {
        static const enum service_number others[] = {ACK, PRINT, GREET, ECHO, RANDOM};
        does->role = ELSEWHERE;
        does->service = others[below(chance, sizeof(others) / sizeof(others[0]))];
    }
}

static void choose_script(uint64_t *chance, const struct swarm *swarm, sim_script *does)
{
    choose_role(chance, swarm, does);
    run.plan.flooding += does->role == FLOODS;
    if (does->role != TALKS && swarm->stalls && once_in(chance, 3)) {
        does->reading = READS_NOT;
        run.plan.stalled++;
    } else if (does->role != TALKS && swarm->dawdles && once_in(chance, 3)) {
        does->reading = READS_SLOWLY;
        run.plan.slow++;
    }
    does->room = does->role != ELSEWHERE ? (int)below(chance, (uint64_t)run.plan.rooms) : 0;
    does->host = (int)below(chance, (uint64_t)run.plan.hosts);
    does->messages = (int)about(chance, 0, (uint64_t)swarm->messages);
    does->text_most = swarm->text_most;
    if (swarm->torrent && does->role == FLOODS) { /* so much that who does not read is left behind */
        does->messages = (int)about(chance, 20, 150);
    }
    does->start_ns = (int64_t)about(chance, 0, 1000) * COR_MILLISECOND;
    does->think_ns = swarm->hurries ? 0 : (int64_t)about(chance, 0, 300) * COR_MILLISECOND;
    does->sip_bytes = (size_t)about(chance, 1, 4096);
    does->sip_ns = (int64_t)about(chance, 1, 500) * COR_MILLISECOND;
    does->leaving = once_in(chance, 2) ? LEAVES_POLITELY : once_in(chance, 2) ? LEAVES : STAYS;
    if (swarm->resets && once_in(chance, 3)) {
        does->leaving = LEAVES_BY_RESET;
    }
    if (swarm->leaves && once_in(chance, 3)) { /* in the middle of it */
        does->messages = (int)below(chance, 3);
    }
    does->chance = below(chance, UINT64_MAX);
}

static void make_clients(void)
{
    run.clients = calloc((size_t)run.plan.clients, sizeof(*run.clients));
    if (run.clients == NULL) {
        abort();
    }
    for (int i = 0; i < run.plan.clients; i++) {
        run.clients[i] = (sim_client){.id = i, .last_seq = -1};
    }
}

void plan_make_plain(int members, bool busy)
{
    run.plan = (sim_plan){.options = usual_options(), .clients = members, .hosts = HOSTS_MAX, .workers = 1, .rooms = 1};
    run.plan.stops_early = true;
    run.plan.stop_ns = busy ? COR_MINUTE : 60 * COR_MINUTE;
    make_clients();
    uint64_t chance = 1;
    for (int i = 0; i < members; i++) {
        run.clients[i].does = (sim_script){
            .role = busy ? TALKS : LISTENS,
            .service = BROADCAST,
            .leaving = STAYS,
            .host = i % HOSTS_MAX,
            .messages = busy ? 6 : 0,
            .text_most = 64,
            .start_ns = (int64_t)below(&chance, (uint64_t)(10 * COR_SECOND)),
            .think_ns = 10 * COR_SECOND,
            .chance = (uint64_t)i,
        };
    }
}

void plan_make(uint64_t seed)
{
    uint64_t state = seed ^ UINT64_C(0xC0AC1E), *chance = &state;
    sim_plan *plan = &run.plan;
    choose_options(chance, &plan->options);
    plan->clients = count_of_clients(chance);
    plan->hosts = 1 + (int)below(chance, HOSTS_MAX);
    plan->workers = 1 + (int)below(chance, 4);
    plan->rooms = once_in(chance, 2) ? 1 : 1 + (int)below(chance, ROOMS_MAX);
    plan->hostile = once_in(chance, 2);
    plan->cuts = once_in(chance, 3);
    plan->no_memory_once_in = once_in(chance, 8) ? 1u << (3 + below(chance, 6)) : 0;
    plan->stops_early = once_in(chance, 3);
    plan->stop_ns = (int64_t)about(chance, 1, 4000) * COR_MILLISECOND;
    struct swarm swarm = {
        .stalls = once_in(chance, 2),
        .dawdles = once_in(chance, 2),
        .lies = once_in(chance, 2),
        .leaves = once_in(chance, 2),
        .resets = once_in(chance, 2),
        .elsewhere = once_in(chance, 2),
        .hurries = once_in(chance, 2),
        .torrent = plan->clients <= 60 && once_in(chance, 6),
        .text_most = (size_t)about(chance, 1, TEXT_MAX),
        .messages = plan->clients > 60 ? 3 : (int)about(chance, 1, 60),
    };
    size_t line = plan->options.max_line - 64; /* of an object with that text */
    swarm.text_most = swarm.torrent ? TEXT_MAX : swarm.text_most;
    swarm.text_most = swarm.text_most < line ? swarm.text_most : line;
    make_clients();
    for (int i = 0; i < plan->clients; i++) {
        choose_script(chance, &swarm, &run.clients[i].does);
    }
}

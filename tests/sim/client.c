/* SPDX-License-Identifier: MIT */
/*
 * The clients. One that talks waits for each acknowledgement, and not for long. All others write from a task of their
 * own while the client's task reads, at its pace or not at all, until the stream ends. Whoever is done leaves:
 * politely, with a half-close and reading to the end, at once, with a reset, or not at all.
 */
#include "world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DIAL_NS (20 * COR_SECOND)

/*
 * How long a client that reads may wait for its acknowledgement. Somebody who stops reading delays the room by a
 * second; somebody who reads slowly, or whom the policy has the room wait for, by as long as he likes within his own
 * limits. Those who flood fill the log, and whoever has something to say waits for room in it: all get their turns, but
 * nothing promises the order in which they came, so each of them costs a little.
 */
static int64_t patience(const sim_client *client)
{
    const sim_plan *plan = &run.plan;
    int64_t others = plan->stalled + plan->slow + (plan->cuts ? plan->clients : 0);
    if (client->does.service != BROADCAST) {
        return 2 * COR_SECOND;
    }
    if (others == 0) {
        return 2 * COR_SECOND + plan->flooding * 100 * COR_MILLISECOND;
    }
    bool waits = plan->slow > 0 || plan->options.slow_policy == SLOW_BLOCK;
    return waits ? 24 * 60 * COR_MINUTE : (2 + 2 * others) * COR_SECOND;
}

/* Whether nothing but the server can be the reason for a wait since `since`. */
static bool is_to_blame(const sim_client *client, int64_t since)
{
    return !run.stopping && run.plan.no_memory_once_in == 0 && run.cut_until[client->does.host] < since;
}

static void late(const sim_client *client, int64_t since)
{
    if (is_to_blame(client, since)) {
        violated("client %d has waited %.3f s, with %d of %d acknowledged", client->id,
                 (double)(cor_now() - since) / (double)COR_SECOND, client->acked, client->sent);
    }
}

static bool write_all(sim_client *client, const char *bytes, size_t size)
{
    size_t first = size > 1 && once_in(&client->does.chance, 4) ? 1 + (size_t)below(&client->does.chance, size - 1) : 0;
    if (first > 0 && (cor_write(client->conn, bytes, first) < 0 || cor_sleep(COR_MILLISECOND) < 0)) {
        return false;
    }
    return cor_write(client->conn, bytes + first, size - first) >= 0;
}

/* A message as an object, in one of the forms that clients send it. */
static bool say(sim_client *client)
{
    static const char *const forms[] = {"{\"message\":\"%s\"}", "{\"message\":\"%s\"}\n", " {\"Message\" : \"%s\"}\r\n",
                                        "{\"client_ip\":\"10.0.1.1:32768\",\"message\":\"%s\"}"};
    char text[TEXT_MAX + 32], object[TEXT_MAX + 96];
    uint64_t *chance = &client->does.chance;
    int size = snprintf(text, sizeof(text), "%d %d ", client->id, client->sent);
    size_t wanted = 1 + (size_t)below(chance, client->does.text_most);
    while ((size_t)size < wanted && (size_t)size < TEXT_MAX) {
        text[size] = (char)('a' + size % 26);
        size++;
    }
    text[size] = '\0';
    size_t form = (size_t)below(chance, sizeof(forms) / sizeof(forms[0]));
    if (run.plan.options.max_line < (size_t)size + 96) {
        form = 0;
    }
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    size = snprintf(object, sizeof(object), forms[form], text);
#pragma GCC diagnostic pop
    client->sent++; /* before it is: it may be heard before the write returns */
    return write_all(client, object, (size_t)size);
}

static bool lie_too_long(sim_client *client)
{
    char bytes[1024];
    size_t left = run.plan.options.max_line + 1 + (size_t)below(&client->does.chance, 2000);
    memset(bytes, once_in(&client->does.chance, 2) ? '[' : 'x', sizeof(bytes));
    bool fine = cor_write(client->conn, "{\"message\":\"", 12) >= 0;
    while (fine && left > 0) {
        size_t part = left < sizeof(bytes) ? left : sizeof(bytes);
        fine = cor_write(client->conn, bytes, part) >= 0;
        left -= part;
    }
    return fine;
}

static bool lie(sim_client *client)
{
    static const char *const lies[] = {"{\"message\":\"half a",
                                       "{\"message\":1}\n",
                                       "{}",
                                       "{\"message\":\"\"}",
                                       "}{][",
                                       "\n\n\r\n",
                                       "[1,2,3]\n",
                                       "\"text\"",
                                       "{\"presence\":true}",
                                       "{\"presence\":false}",
                                       "1e999 ",
                                       "{\"a\":{\"message\":[[[[[[[[[[[[[[[[[",
                                       "\xef\xbb\xbf{"};
    uint64_t *chance = &client->does.chance;
    uint64_t kind = below(chance, sizeof(lies) / sizeof(lies[0]) + 3);
    if (kind == 0) {
        return lie_too_long(client);
    }
    if (kind == 1) {
        char noise[256];
        size_t size = 1 + (size_t)below(chance, sizeof(noise));
        for (size_t i = 0; i < size; i++) {
            noise[i] = (char)below(chance, 256);
        }
        return write_all(client, noise, size);
    }
    char odd[64]; /* taken for a message, each another: where a member came in is found by what it hears first */
    const char *text = kind == 2 ? odd : lies[kind - 3];
    (void)snprintf(odd, sizeof(odd), "{\"message\":\"odd \\ud800 %d of %d\"}", client->odd++, client->id);
    return write_all(client, text, strlen(text));
}

/* Reads once into the member's ears; 0 and less: the stream is over. */
static ssize_t listen_once(sim_client *client, size_t most)
{
    static char bytes[4096]; /* one for all: nobody else runs between the read and the look at what it gave */
    ssize_t count = cor_read(client->conn, bytes, most < sizeof(bytes) ? most : sizeof(bytes));
    if (count > 0) {
        heard(client, bytes, (size_t)count);
    } else if (count == 0) {
        client->ended = true;
    }
    return count;
}

static void leave(sim_client *client)
{
    switch (client->does.leaving) {
    case LEAVES_POLITELY:
        (void)cor_close_write(client->conn);
        break;
    case LEAVES_BY_RESET:
        (void)cor_set_linger(client->conn, 0);
        (void)cor_close(client->conn);
        break;
    case LEAVES:
        (void)cor_close(client->conn);
        break;
    case STAYS:
        break;
    }
}

static void talk(sim_client *client)
{
    bool fine = true;
    for (int i = 0; i < client->does.messages && fine; i++) {
        fine = cor_sleep(client->does.think_ns) == 0 && say(client);
        int64_t since = cor_now();
        (void)cor_set_read_deadline(client->conn, cor_after(patience(client)));
        while (fine && client->acked + client->refused < client->sent) {
            ssize_t count = listen_once(client, 4096);
            if (count == COR_ETIMEOUT) {
                late(client, since);
            }
            fine = count > 0;
        }
    }
    (void)cor_set_read_deadline(client->conn, 0);
    leave(client);
}

static void write_task(void *arg)
{
    sim_client *client = arg;
    bool fine = true;
    for (int i = 0; i < client->does.messages && fine; i++) {
        if (client->does.think_ns > 0) {
            fine = cor_sleep((int64_t)below(&client->does.chance, (uint64_t)client->does.think_ns)) == 0;
        }
        bool lies = client->does.role == LIES && once_in(&client->does.chance, 2);
        fine = fine && client->does.role != LISTENS && (lies ? lie(client) : say(client));
    }
    leave(client);
    cor_waitgroup_done(&run.busy);
}

/* Reads to the end, as the client reads. */
static void listen_to_end(sim_client *client)
{
    const sim_script *does = &client->does;
    if (does->reading == READS_NOT) {
        int64_t pause = COR_MILLISECOND << below(&client->does.chance, 17);
        (void)cor_waitgroup_wait(&run.over, cor_after(pause));
    }
    bool sips = does->reading == READS_SLOWLY;
    while (listen_once(client, sips ? does->sip_bytes : 4096) > 0) {
        if (sips && cor_waitgroup_wait(&run.over, cor_after(does->sip_ns)) == 0) {
            sips = false;
        }
    }
}

/* By then what one has written has come, been acknowledged and made room, even if each packet for that was late. */
#define NETWORK_NS (300 * COR_MILLISECOND)

/* Who has half-closed and read to the end has heard all that it said, unless something came between. */
static void check_end(const sim_client *client, bool stopped)
{
    const sim_plan *plan = &run.plan;
    const serve_options *options = &plan->options;
    bool alone = !plan->hostile && !plan->cuts && plan->no_memory_once_in == 0 && options->idle_timeout == 0 &&
                 options->first_byte_timeout == 0 && options->max_conns == 0 && options->per_ip == 0 &&
                 options->accept_rate == 0 && is_let_in(client->does.host) &&
                 (options->slow_policy != SLOW_CUT || options->slow_after == 0 || options->slow_after >= NETWORK_NS);
    bool honest = (client->does.role == TALKS || client->does.role == FLOODS) && client->does.reading == READS;
    if (alone && honest && !stopped && client->ended && client->does.leaving == LEAVES_POLITELY &&
        client->acked != client->sent) {
        violated("client %d hears the end with %d of %d acknowledged", client->id, client->acked, client->sent);
    }
}

static void be_a_member(sim_client *client)
{
    cor_local_addr(client->conn, client->address, sizeof(client->address));
    client->member = true;
    bool stopped = run.stopping;
    if (client->does.role == TALKS) {
        talk(client);
        stopped = run.stopping;
        cor_waitgroup_done(&run.busy);
        listen_to_end(client);
    } else if (cor_go(write_task, client) < 0) {
        abort();
    } else {
        listen_to_end(client);
        stopped = run.stopping;
    }
    check_end(client, stopped || run.stopping);
}

/* The other services, whose answers are known: all of them must go on, whatever happens in the room. */
static bool ask(sim_client *client, const char *question, size_t size, char *answer, size_t room)
{
    int64_t since = cor_now();
    enum service_number service = client->does.service;
    bool silent = service == PRINT || (service == GREET && client->acked > 0); /* greet speaks once */
    size_t got = 0, wanted = service == ECHO ? size : !silent;
    if (cor_write(client->conn, question, size) < 0) {
        return false;
    }
    (void)cor_set_read_deadline(client->conn, cor_after(patience(client)));
    while (got < wanted) {
        ssize_t count = cor_read(client->conn, answer + got, room - got);
        if (count == COR_ETIMEOUT) {
            late(client, since);
        }
        if (count <= 0) {
            return false;
        }
        got += (size_t)count;
    }
    client->acked++;
    if (client->does.service == ECHO && (got != size || memcmp(question, answer, size) != 0)) {
        violated("client %d: the echo of %zu bytes is another", client->id, size);
    }
    return true;
}

static void be_elsewhere(sim_client *client)
{
    char question[512], answer[512];
    bool fine = true;
    for (int i = 0; i < client->does.messages && fine; i++) {
        size_t size = 1 + (size_t)below(&client->does.chance, sizeof(question));
        memset(question, 'a' + i % 26, size);
        question[size - 1] = '\n';
        fine = cor_sleep(client->does.think_ns) == 0 && ask(client, question, size, answer, sizeof(answer));
    }
    leave(client);
    cor_waitgroup_done(&run.busy);
    (void)cor_set_read_deadline(client->conn, 0);
    while (cor_read(client->conn, answer, sizeof(answer)) > 0) {}
}

void client_main(void *arg)
{
    sim_client *client = arg;
    int code = cor_sleep(client->does.start_ns);
    client->next = run.rooms[client->does.room].log_count;
    if (code == 0) {
        int entry = client->does.room == 0 ? (int)client->does.service : (int)SERVICES + client->does.room - 1;
        code = cor_dial_until(&client->conn, "tcp", run.bound_at[entry], cor_after(DIAL_NS), NULL);
    }
    if (code < 0) {
        cor_waitgroup_done(&run.busy);
    } else if (client->does.role == ELSEWHERE) {
        be_elsewhere(client);
    } else {
        be_a_member(client);
    }
    (void)cor_close(client->conn);
    cor_waitgroup_done(&run.alive);
}

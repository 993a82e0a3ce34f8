/* SPDX-License-Identifier: MIT */
/*
 * Floating tasks among pinned ones, one in three floats. Each does at random what tasks do: it computes, sleeps, locks,
 * sends and receives with deadlines, speaks to an echo server over a connection of its own, has a group of children
 * that it cancels, and calls what stops a thread. Nothing may be lost or counted twice, errno is the task's throughout,
 * and pinned tasks stay where they were. A round takes about two seconds; COR_STRESS_ROUNDS is how many (1).
 */
/* test: workers=1,2,8 timeout=120 serial no-valgrind */
#include "net/netcase.h"

#include "sched/here.h"

#include <coracle/blocking.h>
#include <coracle/io.h>

enum { ACTORS = 48, CHILDREN = 3, BYTES_MAX = 6000, ERRNO_FIRST = 1000, PUT_IN = 8 };
#define ROUND (2 * COR_SECOND)

static int64_t end;
static cor_group actors, servers;
static cor_listener *listener;
static char address[COR_ADDR_TEXT];
static cor_chan *buffered, *direct, *never;
static cor_mutex mutex;
static uint64_t counter, locks;          /* guard: mutex */
static uint64_t sent, received;          /* atomic; sums of what went through the channels */
static uint64_t moves, serves_elsewhere; /* atomic */

static const cor_task_options floating = {.name = "floats", .floats = true}, pinned = {.name = "pinned"};

typedef struct actor {
    int number, worker;
    cor_conn *conn;
    uint32_t random;
    uint64_t sum_sent, sum_received, locks;
} actor;

static actor all[ACTORS];

static const cor_task_options *every_third(int number)
{
    return number % 3 == 0 ? &floating : &pinned;
}

static bool floats(const actor *self)
{
    return self->number % 3 == 0;
}

static uint32_t roll(actor *self, uint32_t sides)
{
    self->random ^= self->random << 13;
    self->random ^= self->random >> 17;
    self->random ^= self->random << 5;
    return self->random % sides;
}

static int64_t some_time(actor *self)
{
    return (int64_t)roll(self, 300) * COR_MICROSECOND;
}

static void compute(actor *self)
{
    int64_t until = cor_after(some_time(self) * (roll(self, 4) == 0 ? 20 : 1)); /* long enough to be taken meanwhile */
    while (cor_now() < until) {}
    cor_yield();
}

static void sleep_a_while(actor *self)
{
    T_CODE(cor_sleep(some_time(self)), 0);
}

static void lock(actor *self)
{
    cor_mutex_lock(&mutex);
    uint64_t seen = counter;
    if (roll(self, 4) == 0) {
        cor_yield();
    }
    counter = seen + 1;
    cor_mutex_unlock(&mutex);
    self->locks++;
}

static void send_some(actor *self)
{
    uint64_t value = 1 + roll(self, 1000);
    int rc = cor_chan_send(roll(self, 2) == 0 ? buffered : direct, &value, cor_after(some_time(self)));
    T_REQUIRE(rc == 0 || rc == COR_ETIMEOUT, "%d", rc);
    self->sum_sent += rc == 0 ? value : 0;
}

static void receive_some(actor *self)
{
    uint64_t value = 0;
    int rc = cor_chan_recv(roll(self, 2) == 0 ? buffered : direct, &value, cor_after(some_time(self)));
    T_REQUIRE(rc == 1 || rc == COR_ETIMEOUT, "%d", rc);
    self->sum_received += value;
}

static void select_some(actor *self)
{
    uint64_t out = 1 + roll(self, 1000), in = 0;
    cor_case cases[] = {{.dir = COR_SEND, .chan = direct, .elem = &out}, {.chan = buffered, .elem = &in}};
    int rc = cor_select(cases, 2, cor_after(some_time(self)));
    T_REQUIRE(rc == 0 || rc == 1 || rc == COR_ETIMEOUT, "%d", rc);
    self->sum_sent += rc == 0 ? out : 0;
    self->sum_received += in;
}

/* The answer comes whole, though deadlines pass meanwhile. */
static void echo(actor *self)
{
    char out[BYTES_MAX], in[BYTES_MAX];
    size_t size = 1 + roll(self, BYTES_MAX), got = 0;
    memset(out, (int)roll(self, 256), size);
    T_EQ(cor_write(self->conn, out, size), size);
    while (got < size) {
        bool limited = roll(self, 2) == 0;
        T_CODE(cor_set_read_deadline(self->conn, limited ? cor_after(some_time(self)) : 0), 0);
        ssize_t count = cor_read(self->conn, in + got, size - got);
        T_REQUIRE(count > 0 || (limited && count == COR_ETIMEOUT), "%zd", count);
        got += count > 0 ? (size_t)count : 0;
    }
    T_MEM(in, out, size);
}

static void wait_for_cancel(void *unused)
{
    uint64_t value;
    (void)unused;
    T_CODE(cor_chan_recv(never, &value, cor_after(600 * COR_SECOND)), COR_ECANCELED);
}

static void have_children(actor *self)
{
    cor_group group = {0};
    for (int i = 0; i < CHILDREN; i++) {
        T_CODE(cor_group_go_with(&group, every_third(i), wait_for_cancel, NULL), 0);
    }
    if (roll(self, 2) == 0) {
        compute(self);
    }
    cor_group_cancel(&group);
    T_CODE(cor_group_wait(&group, 0), 0);
}

static int give(void *number)
{
    return *(int *)number;
}

static void call_blocking(actor *self)
{
    T_EQ(cor_blocking(give, &self->number), self->number);
}

static void (*const deeds[])(actor *self) = {compute,      sleep_a_while, lock,        send_some,     receive_some,
                                             select_some,  send_some,     echo,        have_children, compute,
                                             receive_some, call_blocking, select_some, lock,          echo};

static void act(void *arg)
{
    actor *self = arg;
    self->random = 1 + (uint32_t)self->number * UINT32_C(2654435761);
    self->worker = cor_worker_id();
    T_CODE(cor_dial(&self->conn, "tcp", address, NULL), 0);
    while (cor_now() < end) {
        errno = ERRNO_FIRST + self->number;
        deeds[roll(self, sizeof(deeds) / sizeof(deeds[0]))](self);
        T_EQ(errno, ERRNO_FIRST + self->number);
        int here = cor_worker_id();
        T_REQUIRE(here == self->worker || floats(self), "a pinned task has moved");
        __atomic_add_fetch(&moves, here != self->worker, __ATOMIC_RELAXED);
        self->worker = here;
    }
    T_CODE(cor_close(self->conn), 0);
    __atomic_add_fetch(&sent, self->sum_sent, __ATOMIC_RELAXED);
    __atomic_add_fetch(&received, self->sum_received, __ATOMIC_RELAXED);
    __atomic_add_fetch(&locks, self->locks, __ATOMIC_RELAXED);
}

static void answer(void *arg)
{
    cor_conn *conn = arg;
    char data[BYTES_MAX / 2];
    ssize_t count;
    int worker = cor_worker_id();
    while ((count = cor_read(conn, data, sizeof(data))) > 0 && cor_write(conn, data, (size_t)count) == count) {
        __atomic_add_fetch(&serves_elsewhere, worker != cor_worker_id(), __ATOMIC_RELAXED);
    }
    T_CODE(count, 0);
    T_CODE(cor_close(conn), 0);
}

static void accept_all(void *unused)
{
    (void)unused;
    for (int i = 0; i < ACTORS; i++) {
        cor_conn *conn = NULL;
        T_CODE(cor_accept(listener, &conn), 0);
        T_CODE(cor_group_go_with(&servers, every_third(i), answer, conn), 0);
    }
}

/* What was left in the buffered channel. */
static uint64_t drain(void)
{
    uint64_t sum = 0, value;
    while (cor_chan_try_recv(buffered, &value) == 1) {
        sum += value;
    }
    return sum;
}

static void play_round(void)
{
    actors = servers = (cor_group){0};
    counter = locks = sent = received = 0;
    end = cor_after(ROUND);
    T_CODE(cor_listen(&listener, "tcp", "127.0.0.1:0", NULL), 0);
    (void)cor_listener_addr(listener, address, sizeof(address));
    T_CODE(cor_group_go(&servers, accept_all, NULL), 0);
    for (int i = 0; i < ACTORS; i++) {
        all[i] = (actor){.number = i};
        T_CODE(cor_group_go_with(&actors, every_third(i), act, &all[i]), 0);
    }
    T_CODE(cor_group_wait(&actors, 0), 0);
    T_CODE(cor_group_wait(&servers, 0), 0);
    T_CODE(cor_listener_close(listener), 0);
    T_EQ(sent, received + drain());
    T_EQ(counter, locks);
}

/* Tasks that wait outside have come and gone on all workers; with the main task alone nothing is left of that. */
static void expect_even_counts(void)
{
    uint64_t external = 0;
    uint32_t queued = 0;
    for (int i = 0; i < cori_rt.worker_count; i++) {
        external += cori_load(&cori_rt.workers[i].external);
        queued += cori_load(&cori_rt.workers[i].floating_count);
    }
    T_EQ(external, 0);
    T_EQ(queued, 0);
}

TASK_TEST(one_in_three_floats)
{
    int rounds = taskcase_rounds();
    buffered = cor_chan_new(sizeof(uint64_t), PUT_IN);
    direct = cor_chan_new(sizeof(uint64_t), 0);
    never = cor_chan_new(sizeof(uint64_t), 0);
    for (int i = 0; i < rounds; i++) {
        play_round();
    }
    T_REQUIRE(cori_solo() == (moves == 0), "%ju moves", (uintmax_t)moves);
    print_message("%ju moves, %ju answers after one\n", (uintmax_t)moves, (uintmax_t)serves_elsewhere);
    expect_even_counts();
    cor_chan_free(buffered);
    cor_chan_free(direct);
    cor_chan_free(never);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_in_three_floats),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

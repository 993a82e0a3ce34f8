/* SPDX-License-Identifier: MIT */
/*
 * Two ends, every order: all cases of two_ends.h on connections of this library, over TCP and unix streams. No call may
 * last, and the outcome must be one that threads on plain sockets can have: N141, N142, N162, N167, N175; N306 with one
 * worker.
 *
 * One driver task per worker plays its share of the cases; the caller of a case runs on the driver's worker or another,
 * the far end is a plain socket or a connection of this library, and this end has dialed or was accepted: by chance,
 * from COR_STRESS_SEED. COR_STRESS_ROUNDS is how often all cases are played (1).
 */
/* test: workers=1,2,8 timeout=240 no-valgrind */
/* sources: tests/stress/two_ends_play.c tests/stress/two_ends_kernel.c */
#include "net/netcase.h"
#include "stress/two_ends.h"

#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>

enum { DRIVERS_MAX = 8, KNOWN_MAX = 8, FREE_RUNS = 400, STUCK_S = 90, TEXT = 256 };

typedef struct driver driver;

/* A caller's task. */
typedef struct near_caller {
    driver *of;
    int who;
} near_caller;

struct driver {
    ends_stage stage;
    ends_case script;
    char label[TEXT]; /* of the case, for a report out of a signal handler */
    int number, worker;
    uint32_t luck;
    bool unix_stream;
    ends_listener plain;
    cor_listener *ours;
    char ours_address[COR_ADDR_TEXT];
    cor_conn *near, *far; /* far: NULL if it is a plain socket */
    cor_group callers, above, helpers;
    near_caller caller[ENDS_CALLERS];
    bool quit;     /* atomic */
    int64_t begun; /* when the case began; 0 once all are played; atomic */
};

/* What the threads have shown. */
typedef struct knowledge {
    int count;
    ends_outcome outcomes[KNOWN_MAX];
} knowledge;

static driver drivers[DRIVERS_MAX];
static knowledge *known[2]; /* by kind, by case; guard: reference_lock */
static ends_kernel *reference[2];
static pthread_mutex_t reference_lock = PTHREAD_MUTEX_INITIALIZER; /* nobody parks with it */
static uint32_t seed, step = 1;
static int rounds = 1;
static int runs, hangs, strange, looked_up; /* atomic */

static bool reads_ahead(void)
{
    return strcmp(cor_poller_info(), "io_uring") == 0;
}

static uint32_t next_luck(driver *of)
{
    of->luck = of->luck * 1664525u + 1013904223u;
    return of->luck >> 8;
}

static void near_caller_main(void *arg)
{
    near_caller *me = arg;
    ends_stage *stage = &me->of->stage;
    for (unsigned round = 0; !__atomic_load_n(&me->of->quit, __ATOMIC_ACQUIRE);) {
        if (__atomic_load_n(&stage->running[me->who], __ATOMIC_ACQUIRE)) {
            ends_call_now(stage, me->who);
            round = 0;
        } else {
            taskcase_pause(round++);
        }
    }
}

/* The group above the callers': one task, from which theirs is first used and which waits for it. */
static void keeper(void *arg)
{
    driver *of = arg;
    go_in(&of->callers, near_caller_main, &of->caller[ENDS_MAIN]);
    T_CODE(cor_group_wait(&of->callers, 0), 0);
}

static void open_plain_far(driver *of, bool dials)
{
    if (dials) {
        T_CODE(cor_dial(&of->near, of->unix_stream ? "unix" : "tcp", of->plain.address, NULL), 0);
        of->stage.far = accept4(of->plain.fd, NULL, NULL, SOCK_CLOEXEC);
    } else {
        of->stage.far = ends_connect(of->ours_address, of->unix_stream);
        T_ASSERT(of->stage.far >= 0);
        T_CODE(cor_accept(of->ours, &of->near), 0);
    }
    of->far = NULL;
    T_ASSERT(of->stage.far >= 0);
}

static bool near_open(ends_stage *stage)
{
    driver *of = stage->own;
    uint32_t luck = next_luck(of);
    if (luck % 2 == 0) {
        open_plain_far(of, luck / 2 % 2 == 0);
    } else {
        cor_conn *ends[2];
        T_CODE(cor_dial(&ends[0], of->unix_stream ? "unix" : "tcp", of->ours_address, NULL), 0);
        T_CODE(cor_accept(of->ours, &ends[1]), 0);
        of->near = ends[luck / 2 % 2];
        of->far = ends[1 - luck / 2 % 2];
        stage->far = raw_fd(of->far);
    }
    stage->near_fd = raw_fd(of->near);
    ends_small_buffers(stage->near_fd);
    ends_small_buffers(stage->far);
    of->callers = of->above = of->helpers = (cor_group){0};
    __atomic_store_n(&of->quit, false, __ATOMIC_RELEASE);
    int worker = of->worker + (int)(luck / 4 % 2);
    if (ends_has(stage->script, ENDS_GROUP_END)) {
        go_on(worker, &of->above, keeper, of);
    } else {
        go_on(worker, &of->callers, near_caller_main, &of->caller[ENDS_MAIN]);
    }
    if (ends_has(stage->script, ENDS_OPPOSITE)) {
        go_on(of->worker + (int)(luck / 8 % 2), &of->helpers, near_caller_main, &of->caller[ENDS_OTHER]);
    }
    return true;
}

static void near_begin(ends_stage *stage, int who, ends_call call)
{
    stage->command[who] = call;
    __atomic_store_n(&stage->running[who], true, __ATOMIC_RELEASE);
}

static bool near_parked(ends_stage *stage, int who)
{
    driver *of = stage->own;
    ends_call call = stage->command[who];
    return !stage->near_closed && somebody_waits(of->near, CORI_KIND_CONN, call == ENDS_READ ? CORI_READ : CORI_WRITE);
}

static void near_act(ends_stage *stage, ends_event event)
{
    driver *of = stage->own;
    if (event == ENDS_CLOSE && !stage->near_closed) {
        stage->near_fd = -1;
        T_CODE(cor_close(of->near), 0);
        stage->near_closed = true;
    } else if (event == ENDS_HALF) {
        (void)cor_close_write(of->near);
    } else if (event == ENDS_HALF_READ) {
        (void)cor_close_read(of->near);
    } else if (event == ENDS_DEADLINE || event == ENDS_LATER) {
        (void)cor_set_deadline(of->near, event == ENDS_DEADLINE ? LONG_AGO : cor_after(FAR_AWAY));
    } else if (event == ENDS_CANCEL) {
        cor_group_cancel(&of->callers);
    } else if (event == ENDS_GROUP_DEADLINE) {
        cor_group_set_deadline(&of->callers, LONG_AGO);
    } else if (event == ENDS_GROUP_END) {
        cor_group_cancel(&of->above); /* near_finish waits for it */
    }
}

static void near_end_call(ends_stage *stage, int64_t deadline)
{
    driver *of = stage->own;
    (void)cor_set_deadline(of->near, deadline);
}

static void near_close_far(ends_stage *stage, bool reset)
{
    driver *of = stage->own;
    struct linger at_once = {.l_onoff = 1};
    if (of->far != NULL) {
        (void)(reset ? cor_set_linger(of->far, 0) : 0);
        T_CODE(cor_close(of->far), 0);
    } else {
        (void)(reset ? setsockopt(stage->far, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) : 0);
        (void)close(stage->far);
    }
}

static void near_hold(ends_stage *stage, bool on)
{
    (void)stage, (void)on;
}

static int64_t near_read(ends_stage *stage, int who, void *buf, size_t size)
{
    (void)who;
    driver *of = stage->own;
    return cor_read(of->near, buf, size);
}

static int64_t near_write(ends_stage *stage, int who, const void *buf, size_t size)
{
    (void)who;
    driver *of = stage->own;
    return cor_write(of->near, buf, size);
}

static void near_finish(ends_stage *stage)
{
    driver *of = stage->own;
    int64_t deadline = cor_after(SOON * taskcase_patience());
    __atomic_store_n(&of->quit, true, __ATOMIC_RELEASE);
    near_act(stage, ENDS_CLOSE);
    if (stage->far >= 0) { /* reset, so that no port waits */
        near_close_far(stage, true);
        stage->far = -1;
    }
    cor_group *groups[] = {&of->above, &of->callers, &of->helpers};
    for (int i = 0; i < 3; i++) {
        T_REQUIRE(cor_group_wait(groups[i], deadline) == 0, "a task stays in a call: %s", of->label);
    }
}

static const ends_side near_side = {
    .open = near_open,
    .begin = near_begin,
    .parked = near_parked,
    .act = near_act,
    .end_call = near_end_call,
    .close_far = near_close_far,
    .hold = near_hold,
    .pause = taskcase_pause,
    .read = near_read,
    .write = near_write,
    .finish = near_finish,
};

/* The threads play a case; a new outcome is added to what is known. */
static void ask(const ends_case *script, int number, unsigned way)
{
    knowledge *of = &known[script->unix_stream][number];
    ends_outcome outcome;
    char text[TEXT];
    if (!ends_kernel_play(reference[script->unix_stream], script, way, &outcome)) {
        (void)fprintf(stderr, "the threads hang: %s\n", ends_case_text(script, text, sizeof(text)));
        abort();
    }
    for (int i = 0; i < of->count; i++) {
        if (memcmp(&of->outcomes[i], &outcome, sizeof(outcome)) == 0) {
            return;
        }
    }
    if (of->count < KNOWN_MAX) {
        of->outcomes[of->count++] = outcome;
    }
}

static bool is_known(const driver *of)
{
    const knowledge *seen = &known[of->unix_stream][of->number];
    for (int i = 0; i < seen->count; i++) {
        if (ends_same(&of->script, reads_ahead(), &of->stage.outcome, &seen->outcomes[i])) {
            return true;
        }
    }
    return false;
}

/* Compares the outcome with what the threads have, or else can have. */
static void compare(driver *of)
{
    char text[TEXT];
    bool right = false;
    for (unsigned i = 0; i <= FREE_RUNS && !right; i++) {
        (void)(i == 1 ? add(&looked_up, 1) : 0);
        pthread_mutex_lock(&reference_lock);
        if (i > 0) {
            ask(&of->script, of->number, i % ENDS_WAYS);
        }
        right = is_known(of);
        pthread_mutex_unlock(&reference_lock);
        cor_yield();
    }
    knowledge seen = known[of->unix_stream][of->number];
    if (!right) {
        (void)add(&strange, 1);
        print_message("%s (%s)\n    is: %s\n", of->label, of->far != NULL ? "ours" : "plain",
                      ends_outcome_text(&of->stage.outcome, text, sizeof(text)));
        for (int i = 0; i < seen.count; i++) {
            print_message("    may be: %s\n", ends_outcome_text(&seen.outcomes[i], text, sizeof(text)));
        }
    }
}

static void play(driver *of, int number)
{
    char text[TEXT];
    of->number = number;
    of->script = ends_case_at(number, of->unix_stream);
    uint32_t luck = next_luck(of);
    (void)snprintf(of->label, sizeof(of->label), "%s, case %d, seed %u, driver on worker %d",
                   ends_case_text(&of->script, text, sizeof(text)), number, seed, of->worker);
    of->stage = (ends_stage){.side = &near_side,
                             .script = &of->script,
                             .own = of,
                             .holds = luck % 4 == 0,
                             .settles = luck % 4 == 1,
                             .luck = luck / 4};
    __atomic_store_n(&of->begun, cor_now(), __ATOMIC_RELAXED);
    bool played = near_side.open(&of->stage) && ends_play(&of->stage);
    if (!played) {
        (void)add(&hangs, 1);
        print_message("HANG: %s\n    in: %s; so far: %s\n", of->label, of->stage.phase,
                      ends_outcome_text(&of->stage.outcome, text, sizeof(text)));
    }
    near_finish(&of->stage);
    (void)add(&runs, 1);
    if (played) {
        compare(of);
    }
}

/* Another driver that has not come on for long: its worker, or all of them, may have stopped. */
static void look_after_others(int count)
{
    for (int i = 0; i < count; i++) {
        int64_t begun = __atomic_load_n(&drivers[i].begun, __ATOMIC_RELAXED);
        T_REQUIRE(begun == 0 || cor_now() - begun < STUCK_S * COR_SECOND, "stuck: %s", drivers[i].label);
    }
    (void)alarm(STUCK_S);
}

static void drive(void *arg)
{
    driver *of = arg;
    cor_runtime_stats stats = {0};
    T_CODE(cor_stats(&stats), 0);
    int count = stats.workers < DRIVERS_MAX ? stats.workers : DRIVERS_MAX;
    const char *network;
    T_ASSERT(ends_listen(&of->plain, of->unix_stream));
    of->ours = listen_kind(of->unix_stream ? KIND_UNIX : KIND_TCP, &network, of->ours_address);
    for (int round = 0; round < rounds; round++) {
        for (int i = of->worker; i < ends_case_count(); i += count) {
            if (((uint32_t)i + (uint32_t)round + seed) % step == 0) {
                play(of, i);
                look_after_others(count);
            }
        }
    }
    __atomic_store_n(&of->begun, 0, __ATOMIC_RELAXED);
    T_CODE(cor_listener_close(of->ours), 0);
    T_EQ(close(of->plain.fd), 0);
}

/* Says what is played where all stands still. */
static void on_alarm(int signal_number)
{
    (void)signal_number;
    for (int i = 0; i < DRIVERS_MAX; i++) {
        ssize_t ignored = write(STDERR_FILENO, drivers[i].label, strlen(drivers[i].label));
        ignored = write(STDERR_FILENO, "\n", 1);
        (void)ignored;
    }
    static const char text[] = "two ends: nothing moves any more\n";
    ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
    (void)ignored;
    _exit(124);
}

static void play_all(bool unix_stream)
{
    cor_group all = {0};
    cor_runtime_stats stats = {0};
    T_CODE(cor_stats(&stats), 0);
    (void)signal(SIGALRM, on_alarm);
    reference[unix_stream] = ends_kernel_new(unix_stream);
    T_ASSERT(reference[unix_stream] != NULL);
    for (int i = 0; i < stats.workers && i < DRIVERS_MAX; i++) {
        drivers[i] = (driver){.worker = i, .luck = seed + (uint32_t)i, .unix_stream = unix_stream};
        for (int who = 0; who < ENDS_CALLERS; who++) {
            drivers[i].caller[who] = (near_caller){&drivers[i], who};
        }
    }
    for (int i = 0; i < stats.workers && i < DRIVERS_MAX; i++) { /* each looks at all */
        go_on(i, &all, drive, &drivers[i]);
    }
    T_CODE(cor_group_wait(&all, 0), 0);
    ends_kernel_free(reference[unix_stream]);
    print_message("two ends, %s, %s, %d workers, seed %u: %d cases, %d runs, %d hangs, %d not as the kernel's "
                  "(which was asked again for %d)\n",
                  unix_stream ? "unix" : "tcp", reads_ahead() ? "io_uring" : "epoll", stats.workers, seed,
                  ends_case_count(), runs, hangs, strange, looked_up);
    T_EQ(hangs, 0);
    T_EQ(strange, 0);
}

TASK_TEST(two_ends_of_tcp)
{
    play_all(false);
}

TASK_TEST(two_ends_of_unix)
{
    play_all(true);
}

/* The threads play what will be played, before there are tasks. */
static int learn(void **state)
{
    (void)state;
    for (int kind = 0; kind < 2; kind++) {
        known[kind] = calloc((size_t)ends_case_count(), sizeof(knowledge));
        reference[kind] = ends_kernel_new(kind != 0);
        assert_true(known[kind] != NULL && reference[kind] != NULL);
        for (int i = 0; i < ends_case_count(); i++) {
            ends_case script = ends_case_at(i, kind != 0);
            if (((uint32_t)i + seed) % step == 0) {
                ask(&script, i, ENDS_HELD);
                ask(&script, i, ENDS_SETTLED);
            }
        }
        ends_kernel_free(reference[kind]);
    }
    return 0;
}

int main(void)
{
    const char *wanted = getenv("COR_STRESS_SEED");
    seed = wanted != NULL ? (uint32_t)strtoul(wanted, NULL, 10) : (uint32_t)time(NULL);
    rounds = taskcase_rounds();
    /* Where all is slow, some cases of each round; an odd step, because reads and writes take turns. */
    step = (uint32_t)ends_case_count() / taskcase_scale((uint32_t)ends_case_count()) | 1u;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_ends_of_tcp),
        cmocka_unit_test(two_ends_of_unix),
    };
    return cmocka_run_group_tests(tests, learn, NULL);
}

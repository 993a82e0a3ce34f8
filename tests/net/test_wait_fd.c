/* SPDX-License-Identifier: MIT */
/* Waiting for descriptors that are not the library's: what is told, to how many, and what an owner may do meanwhile. */
#include "net/netcase.h"
#include "support/faults.h"

#include <coracle/io.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { EITHER = COR_READABLE | COR_WRITABLE, WAITERS = 8, TURNS = 200, ROUNDS = 300 };

/* A wait in a task of its own. */
typedef struct waiting {
    int fd;
    unsigned events;
    int64_t deadline;
    int result;
} waiting;

static void wait_task(void *arg)
{
    waiting *call = arg;
    call->result = cor_wait_fd(call->fd, call->events, call->deadline);
}

static uint64_t waits_under_way(void)
{
    cor_runtime_stats stats = {0};
    T_CODE(cor_stats(&stats), 0);
    return stats.connections;
}

static void start(int worker, cor_group *group, waiting *call)
{
    uint64_t before = waits_under_way();
    go_on(worker, group, wait_task, call);
    T_EVENTUALLY(waits_under_way() > before, SOON);
}

static void make_sockets(int fds[2])
{
    T_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds), 0);
}

static void close_both(const int fds[2])
{
    T_EQ(close(fds[0]), 0);
    T_EQ(close(fds[1]), 0);
}

static void put(int fd, char byte)
{
    T_EQ(write(fd, &byte, 1), 1);
}

static char take(int fd)
{
    char byte = 0;
    T_EQ(read(fd, &byte, 1), 1);
    return byte;
}

static void fill(int fd)
{
    static const char zeros[4096];
    while (write(fd, zeros, sizeof(zeros)) > 0) {}
    while (write(fd, zeros, 1) > 0) {}
    T_EQ(errno, EAGAIN);
}

static void empty(int fd)
{
    char bytes[4096];
    while (read(fd, bytes, sizeof(bytes)) > 0) {}
}

/* What is there already is told at once, and only what was asked for. */
TASK_TEST(what_is_ready_is_told_at_once)
{
    int fds[2];
    make_sockets(fds);
    T_EQ(cor_wait_fd(fds[0], EITHER, 0), COR_WRITABLE);
    put(fds[1], 'x');
    T_EQ(cor_wait_fd(fds[0], EITHER, 0), EITHER);
    T_EQ(cor_wait_fd(fds[0], COR_READABLE, 0), COR_READABLE);
    T_EQ(cor_wait_fd(fds[0], COR_WRITABLE, 0), COR_WRITABLE);
    fill(fds[0]);
    T_EQ(cor_wait_fd(fds[0], EITHER, 0), COR_READABLE);
    close_both(fds);
}

/* What comes later wakes the task, whichever worker it waits on. */
TASK_TEST(what_comes_later_wakes)
{
    int fds[2];
    make_sockets(fds);
    for (int round = 0; round < 3; round++) {
        cor_group tasks = {0};
        waiting reads = {.fd = fds[0], .events = COR_READABLE}, writes = {.fd = fds[1], .events = COR_WRITABLE};
        fill(fds[1]);
        empty(fds[0]);
        fill(fds[1]);
        start(round, &tasks, &writes);
        empty(fds[0]);
        wait_for(&tasks);
        T_EQ(writes.result, COR_WRITABLE);
        tasks = (cor_group){0};
        start(round + 1, &tasks, &reads);
        put(fds[1], 'x');
        wait_for(&tasks);
        T_EQ(reads.result, COR_READABLE);
    }
    close_both(fds);
}

/* One wait for either direction hears of the one that comes. */
TASK_TEST(either_direction)
{
    int fds[2];
    make_sockets(fds);
    for (int round = 0; round < 4; round++) {
        cor_group tasks = {0};
        waiting either = {.fd = fds[0], .events = EITHER};
        fill(fds[0]);
        start(round, &tasks, &either);
        if (round % 2 == 0) {
            put(fds[1], 'x');
        } else {
            empty(fds[1]);
        }
        wait_for(&tasks);
        T_EQ(either.result, round % 2 == 0 ? COR_READABLE : COR_WRITABLE);
        empty(fds[0]);
    }
    close_both(fds);
}

/* An end, or an error, is all that was asked for. */
TASK_TEST(an_end_is_told)
{
    int fds[2];
    cor_group tasks = {0};
    make_sockets(fds);
    waiting reads = {.fd = fds[0], .events = COR_READABLE};
    waiting writes = {.fd = fds[0], .events = COR_WRITABLE};
    fill(fds[0]);
    start(0, &tasks, &reads);
    start(1, &tasks, &writes);
    T_EQ(close(fds[1]), 0);
    wait_for(&tasks);
    T_EQ(reads.result, COR_READABLE);
    T_EQ(writes.result, COR_WRITABLE);
    T_EQ(close(fds[0]), 0);
    T_EQ(pipe(fds), 0);
    T_EQ(close(fds[0]), 0);
    T_EQ(cor_wait_fd(fds[1], EITHER, 0), EITHER);
    T_EQ(close(fds[1]), 0);
}

/* A deadline ends the wait; one that has passed wins over what is there. */
TASK_TEST(deadlines)
{
    int fds[2];
    make_sockets(fds);
    int64_t until = cor_after(BRIEFLY);
    T_CODE(cor_wait_fd(fds[0], COR_READABLE, until), COR_ETIMEOUT);
    T_ASSERT(cor_now() >= until);
    T_CODE(cor_wait_fd(fds[0], COR_READABLE, LONG_AGO), COR_ETIMEOUT);
    put(fds[1], 'x');
    T_CODE(cor_wait_fd(fds[0], COR_READABLE, LONG_AGO), COR_ETIMEOUT);
    T_EQ(cor_wait_fd(fds[0], COR_READABLE, cor_after(FAR_AWAY)), COR_READABLE);
    close_both(fds);
}

/* Cancelling a group ends the waits of its tasks, also those that begin later. */
TASK_TEST(cancel)
{
    int fds[2];
    cor_group tasks = {0};
    waiting calls[3] = {0};
    make_sockets(fds);
    for (int i = 0; i < 3; i++) {
        calls[i] = (waiting){.fd = fds[0], .events = COR_READABLE, .deadline = i == 0 ? 0 : cor_after(FAR_AWAY)};
    }
    start(0, &tasks, &calls[0]);
    start(1, &tasks, &calls[1]);
    cor_group_cancel(&tasks);
    (void)cor_group_wait(&tasks, cor_after(SOON));
    T_CODE(calls[0].result, COR_ECANCELED);
    T_CODE(calls[1].result, COR_ECANCELED);
    close_both(fds);
}

/* Any number of tasks wait for one descriptor, in either direction, on one worker or on several: each is told. */
TASK_TEST(many_wait_for_one)
{
    int fds[2];
    cor_group tasks = {0};
    waiting reads[WAITERS], writes[WAITERS];
    make_sockets(fds);
    fill(fds[0]);
    for (int i = 0; i < WAITERS; i++) {
        reads[i] = (waiting){.fd = fds[0], .events = i == 0 ? COR_READABLE | COR_WRITABLE : COR_READABLE};
        writes[i] = (waiting){.fd = fds[0], .events = COR_WRITABLE};
        start(i / 2, &tasks, &reads[i]);
        start(i / 2, &tasks, &writes[i]);
    }
    put(fds[1], 'x');
    T_EVENTUALLY(waits_under_way() == WAITERS, SOON);
    empty(fds[1]);
    wait_for(&tasks);
    for (int i = 0; i < WAITERS; i++) {
        T_EQ(reads[i].result, COR_READABLE);
        T_EQ(writes[i].result, COR_WRITABLE);
    }
    close_both(fds);
}

/* What somebody else has read meanwhile is not there: the wait goes on. */
TASK_TEST(what_others_took_is_not_told)
{
    int fds[2];
    cor_group tasks = {0};
    make_sockets(fds);
    waiting reads = {.fd = fds[0], .events = COR_READABLE};
    start(0, &tasks, &reads);
    for (int i = 0; i < TURNS; i++) {
        put(fds[1], 'x');
        (void)take(fds[0]);
        cor_yield();
    }
    T_CODE(cor_group_wait(&tasks, cor_after(BRIEFLY)), COR_ETIMEOUT);
    put(fds[1], 'y');
    wait_for(&tasks);
    T_EQ(reads.result, COR_READABLE);
    T_EQ(take(fds[0]), 'y');
    close_both(fds);
}

/*
 * The owner closes what is waited for, and its number goes to a connection of the library's: the wait hears nothing of
 * that one's, and its end does not take that one's registration along.
 */
TASK_TEST(closed_and_used_again)
{
    int fds[2];
    cor_group tasks = {0};
    cor_conn *conn;
    make_sockets(fds);
    waiting reads = {.fd = fds[0], .events = COR_READABLE};
    start(0, &tasks, &reads);
    int other[2], reused = fds[0];
    make_sockets(other);
    T_EQ(dup2(other[0], reused), reused); /* closes it and takes its number in one step */
    T_EQ(close(other[0]), 0);
    T_CODE(cor_open_fd(&conn, reused), 0);
    put(other[1], 'x');
    T_EQ(cor_wait_readable(conn), 0); /* registered, on the worker of this test */
    cor_group_cancel(&tasks);
    wait_for(&tasks);
    T_CODE(reads.result, COR_ECANCELED);
    char byte;
    T_EQ(cor_read(conn, &byte, 1), 1);
    T_CODE(cor_set_read_deadline(conn, cor_after(BRIEFLY)), 0);
    T_CODE(cor_read(conn, &byte, 1), COR_ETIMEOUT);
    T_CODE(cor_set_read_deadline(conn, cor_after(SOON)), 0);
    waiting again = {.fd = fds[1], .events = COR_READABLE, .deadline = cor_after(BRIEFLY)};
    tasks = (cor_group){0};
    go_on(0, &tasks, wait_task, &again);
    wait_for(&tasks);
    put(other[1], 'y');
    T_EQ(cor_read(conn, &byte, 1), 1);
    T_CODE(cor_close(conn), 0);
    T_EQ(close(other[1]), 0);
    T_EQ(close(fds[1]), 0);
}

/* A close meanwhile ends nothing: what the peer sends still ends the wait. The peer hears of the close after it. */
TASK_TEST(closed_meanwhile)
{
    int fds[2];
    char byte;
    cor_group tasks = {0};
    make_sockets(fds);
    waiting reads = {.fd = fds[0], .events = COR_READABLE};
    start(1, &tasks, &reads);
    T_EQ(close(fds[0]), 0);
    T_EQ(read(fds[1], &byte, 1), -1);
    T_EQ(errno, EAGAIN);
    put(fds[1], 'x');
    wait_for(&tasks);
    T_EQ(reads.result, COR_READABLE);
    T_ASSERT(read(fds[1], &byte, 1) <= 0 && errno != EAGAIN);
    T_EQ(close(fds[1]), 0);
}

/* Files and devices are always ready; another library's epoll is something to wait for. */
TASK_TEST(other_kinds)
{
    int fds[2];
    FILE *file = tmpfile();
    T_ASSERT(file != NULL);
    T_EQ(cor_wait_fd(fileno(file), EITHER, 0), EITHER);
    T_EQ(fclose(file), 0);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    T_EQ(cor_wait_fd(null, EITHER, 0), EITHER);
    T_EQ(close(null), 0);
    make_sockets(fds);
    int loop = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN};
    T_EQ(epoll_ctl(loop, EPOLL_CTL_ADD, fds[0], &event), 0);
    cor_group tasks = {0};
    waiting reads = {.fd = loop, .events = COR_READABLE};
    start(0, &tasks, &reads);
    put(fds[1], 'x');
    wait_for(&tasks);
    T_EQ(reads.result, COR_READABLE);
    T_EQ(close(loop), 0);
    close_both(fds);
}

TASK_TEST(wrong_arguments)
{
    int fds[2];
    make_sockets(fds);
    T_CODE(cor_wait_fd(fds[0], 0, 0), -EINVAL);
    T_CODE(cor_wait_fd(fds[0], 4 | COR_READABLE, 0), -EINVAL);
    T_CODE(cor_wait_fd(-1, COR_READABLE, 0), -EBADF);
    close_both(fds);
    T_CODE(cor_wait_fd(fds[0], COR_READABLE, 0), -EBADF);
}

static void outside_of_tasks(void **state)
{
    (void)state;
    assert_int_equal(cor_wait_fd(0, COR_READABLE, 0), COR_ENOT_TASK);
}

/* One end of a conversation over a descriptor; errno is the task's own. */
static void bounce(void *arg)
{
    int fd = *(int *)arg;
    for (int turn = 0; turn < TURNS; turn++) {
        errno = fd + 1000;
        T_EQ(cor_wait_fd(fd, COR_READABLE, cor_after(SOON)), COR_READABLE);
        T_EQ(errno, fd + 1000);
        put(fd, take(fd));
    }
}

/* Tasks on all workers talk over sockets of their own; nothing is lost and nobody is mistaken. */
TASK_TEST(conversations)
{
    int fds[WAITERS][2];
    cor_group tasks = {0};
    for (int i = 0; i < WAITERS; i++) {
        make_sockets(fds[i]);
        go_on(i, &tasks, bounce, &fds[i][0]);
    }
    for (int turn = 0; turn < TURNS; turn++) {
        for (int i = 0; i < WAITERS; i++) {
            put(fds[i][1], (char)('a' + (turn + i) % 26));
        }
        for (int i = 0; i < WAITERS; i++) {
            T_EQ(cor_wait_fd(fds[i][1], COR_READABLE, cor_after(SOON)), COR_READABLE);
            T_EQ(take(fds[i][1]), 'a' + (turn + i) % 26);
        }
    }
    wait_for(&tasks);
    for (int i = 0; i < WAITERS; i++) {
        close_both(fds[i]);
    }
}

/* Deadlines and bytes that come at about the same time: each wait tells the truth, and no descriptor is left. */
TASK_TEST(deadline_against_data)
{
    int fds[2];
    make_sockets(fds);
    for (int round = 0; round < ROUNDS; round++) {
        cor_group tasks = {0};
        waiting reads = {.fd = fds[0], .events = COR_READABLE};
        reads.deadline = cor_after(round % 7 * 20 * COR_MICROSECOND);
        go_on(round, &tasks, wait_task, &reads);
        for (int i = 0; i < round % 5; i++) {
            cor_yield();
        }
        put(fds[1], 'x');
        wait_for(&tasks);
        T_REQUIRE(reads.result == COR_READABLE || reads.result == COR_ETIMEOUT, "wait gave %d", reads.result);
        (void)take(fds[0]);
    }
    close_both(fds);
}

/* Tasks that still wait when the program's main task returns leave no descriptor. */
TASK_TEST(abandoned)
{
    static int fds[2];
    static waiting reads;
    make_sockets(fds);
    reads = (waiting){.fd = fds[0], .events = COR_READABLE};
    uint64_t before = waits_under_way();
    T_CODE(cor_go(wait_task, &reads), 0);
    T_EVENTUALLY(waits_under_way() > before, SOON);
    taskcase_leaves_tasks();
    close_both(fds);
}

static int wait_result;

static int wait_briefly(void *arg)
{
    wait_result = cor_wait_fd(*(int *)arg, COR_READABLE, cor_after(BRIEFLY));
    return 0;
}

/* Each call of the kernel that fails is the wait's error, and no descriptor is left. */
static void failures(void **state)
{
    static const int calls[] = {CORI_SYS_POLL, CORI_SYS_EPOLL_CTL};
    int fds[2];
    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        faults_set(calls[i], 1, -ENOSPC);
        assert_int_equal(cor_run(wait_briefly, &fds[0], NULL), 0);
        assert_true(faults_hit());
        faults_clear();
        assert_int_equal(wait_result, -ENOSPC);
        int next = dup(0);
        assert_int_equal(next, fds[1] + 1);
        assert_int_equal(close(next), 0);
    }
    assert_int_equal(close(fds[0]), 0);
    assert_int_equal(close(fds[1]), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_ready_is_told_at_once),
        cmocka_unit_test(what_comes_later_wakes),
        cmocka_unit_test(either_direction),
        cmocka_unit_test(an_end_is_told),
        cmocka_unit_test(deadlines),
        cmocka_unit_test(cancel),
        cmocka_unit_test(many_wait_for_one),
        cmocka_unit_test(what_others_took_is_not_told),
        cmocka_unit_test(closed_and_used_again),
        cmocka_unit_test(closed_meanwhile),
        cmocka_unit_test(other_kinds),
        cmocka_unit_test(wrong_arguments),
        cmocka_unit_test(outside_of_tasks),
        cmocka_unit_test(conversations),
        cmocka_unit_test(deadline_against_data),
        cmocka_unit_test(abandoned),
        cmocka_unit_test(failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

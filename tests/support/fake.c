/* SPDX-License-Identifier: MIT */
/* Script, clock and poller of fake.h. One poller at a time; everything but `kick` is used by one thread. */
#include "support/fake.h"

#include "base/clock.h"
#include "poll/poll_pick.h"

#include <errno.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { FDS_MAX = 256, SCRIPT_MAX = 4096, INBOX_BYTES = 65536, CONNS_MAX = 64, PATIENCE_S = 20 };

typedef struct fake_fd {
    int wire;            /* the other end of the socket pair; -1: not a fake descriptor */
    cori_pollfd *pollfd; /* NULL: not added */
    uint16_t generation;
    unsigned pending; /* edges not yet reported */
    bool writable, ended;
    int error;
    size_t head, tail;
    char inbox[INBOX_BYTES];
    int conns[CONNS_MAX];
    size_t conn_head, conn_tail;
} fake_fd;

typedef struct script_item {
    int64_t when;
    void (*fn)(void *arg);
    void *arg;
} script_item;

static int64_t now_ns;
static fake_counts counts;
static fake_fd *fds[FDS_MAX];          /* by descriptor number */
static script_item script[SCRIPT_MAX]; /* sorted by time */
static size_t script_count;
static sem_t kicked;
static struct cori_poller the_poller = {.ops = &fake_poll_ops};

static int64_t read_clock(void *arg)
{
    (void)arg;
    return __atomic_load_n(&now_ns, __ATOMIC_RELAXED);
}

void fake_install_poller(void)
{
    counts = (fake_counts){0};
    script_count = 0;
    (void)sem_init(&kicked, 0, 0);
    cori_poll_override(&fake_poll_ops);
}

void fake_install(void)
{
    __atomic_store_n(&now_ns, FAKE_START_NS, __ATOMIC_RELAXED);
    fake_install_poller();
    cori_clock_set(read_clock, NULL);
}

void fake_uninstall(void)
{
    cori_poll_override(NULL);
    cori_clock_set(NULL, NULL);
    for (int fd = 0; fd < FDS_MAX; fd++) {
        if (fds[fd] != NULL) {
            (void)close(fds[fd]->wire);
            free(fds[fd]);
            fds[fd] = NULL;
        }
    }
}

cor_options fake_options(uint64_t seed)
{
    return (cor_options){.workers = 1, .seed = seed};
}

int64_t fake_now(void)
{
    return read_clock(NULL);
}

void fake_advance(int64_t duration_ns)
{
    __atomic_fetch_add(&now_ns, duration_ns, __ATOMIC_RELAXED);
}

fake_counts fake_count(void)
{
    fake_counts copy = {.opens = counts.opens, .adds = counts.adds, .removes = counts.removes};
    copy.waits = __atomic_load_n(&counts.waits, __ATOMIC_RELAXED);
    copy.jumps = __atomic_load_n(&counts.jumps, __ATOMIC_RELAXED);
    copy.kicks = __atomic_load_n(&counts.kicks, __ATOMIC_RELAXED);
    return copy;
}

static _Noreturn void give_up(const char *why)
{
    (void)fprintf(stderr, "fake poller: %s\n", why);
    abort();
}

void fake_at(int64_t when, void (*fn)(void *arg), void *arg)
{
    if (script_count == SCRIPT_MAX) {
        give_up("the script is full");
    }
    size_t place = script_count++;
    while (place > 0 && script[place - 1].when > when) {
        script[place] = script[place - 1];
        place--;
    }
    script[place] = (script_item){.when = when, .fn = fn, .arg = arg};
}

static fake_fd *find(int fd)
{
    if (fd < 0 || fd >= FDS_MAX || fds[fd] == NULL) {
        give_up("not a fake descriptor");
    }
    return fds[fd];
}

int fake_open(void)
{
    int ends[2];
    fake_fd *made = calloc(1, sizeof(*made));
    if (made == NULL || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) < 0 ||
        ends[0] >= FDS_MAX) {
        give_up("no descriptor");
    }
    if (fds[ends[0]] != NULL) { /* the number was closed by its user and is used again */
        (void)close(fds[ends[0]]->wire);
        free(fds[ends[0]]);
    }
    made->wire = ends[1];
    made->writable = true;
    fds[ends[0]] = made;
    return ends[0];
}

void fake_feed(int fd, const void *bytes, size_t size)
{
    fake_fd *to = find(fd);
    if (to->tail + size > INBOX_BYTES) {
        give_up("the inbox is full");
    }
    memcpy(to->inbox + to->tail, bytes, size);
    to->tail += size;
    to->pending |= 1u << CORI_READ;
}

static void make_sticky(fake_fd *of)
{
    if (of->pollfd != NULL) {
        __atomic_store_n(&of->pollfd->sticky, 1, __ATOMIC_RELEASE);
    }
}

void fake_feed_end(int fd)
{
    fake_fd *to = find(fd);
    to->ended = true;
    to->pending |= 1u << CORI_READ;
    make_sticky(to);
}

void fake_feed_error(int fd, int code)
{
    fake_fd *to = find(fd);
    to->error = code;
    to->pending |= 1u << CORI_READ | 1u << CORI_WRITE;
    make_sticky(to);
}

void fake_feed_conn(int fd, int conn_fd)
{
    fake_fd *to = find(fd);
    if (to->conn_tail == CONNS_MAX) {
        give_up("the backlog is full");
    }
    to->conns[to->conn_tail++] = conn_fd;
    to->pending |= 1u << CORI_READ;
}

void fake_set_writable(int fd, bool writable)
{
    fake_fd *to = find(fd);
    to->writable = writable;
    to->pending = writable ? to->pending | 1u << CORI_WRITE : to->pending & ~(1u << CORI_WRITE);
}

size_t fake_sent(int fd, void *buf, size_t size)
{
    ssize_t count = recv(find(fd)->wire, buf, size, MSG_DONTWAIT);
    return count > 0 ? (size_t)count : 0;
}

static int fake_poll_open(cori_poller **out)
{
    counts.opens++;
    *out = &the_poller;
    return 0;
}

static void fake_poll_close(cori_poller *poller)
{
    (void)poller;
}

/* A descriptor that is no fake one can be registered and never becomes ready, as a silent peer would. */
static int fake_poll_add(cori_poller *poller, cori_pollfd *pollfd)
{
    (void)poller;
    counts.adds++;
    if (pollfd->fd >= FDS_MAX || fds[pollfd->fd] == NULL) {
        return 0;
    }
    fake_fd *added = fds[pollfd->fd];
    bool readable =
        added->head < added->tail || added->ended || added->error != 0 || added->conn_head < added->conn_tail;
    added->pollfd = pollfd;
    added->generation = pollfd->generation;
    added->pending = (readable ? 1u << CORI_READ : 0) | (added->writable ? 1u << CORI_WRITE : 0);
    if (added->ended || added->error != 0) {
        make_sticky(added);
    }
    return 0;
}

static bool fake_poll_remove(cori_poller *poller, cori_pollfd *pollfd, bool closing)
{
    (void)poller;
    (void)closing;
    counts.removes++;
    if (pollfd->fd < FDS_MAX && fds[pollfd->fd] != NULL) {
        fds[pollfd->fd]->pollfd = NULL;
    }
    return true;
}

static void run_script(void)
{
    while (script_count > 0 && script[0].when <= fake_now()) {
        script_item item = script[0];
        script_count--;
        memmove(script, script + 1, script_count * sizeof(script[0]));
        item.fn(item.arg);
    }
}

static int take_events(cori_event *events, int max)
{
    int count = 0;
    for (int fd = 0; fd < FDS_MAX && count < max; fd++) {
        fake_fd *from = fds[fd];
        if (from == NULL || from->pollfd == NULL || from->pending == 0) {
            continue;
        }
        unsigned mask = from->pending;
        from->pending = 0;
        if (__atomic_load_n(&from->pollfd->generation, __ATOMIC_ACQUIRE) == from->generation) {
            events[count].pollfd = from->pollfd;
            events[count].mask = mask;
            count++;
        }
    }
    return count;
}

/* Waits in real time for a kick; nothing else can happen any more. */
static void wait_for_kick(void)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_S;
    while (sem_timedwait(&kicked, &until) < 0) {
        if (errno == ETIMEDOUT) {
            give_up("the scheduler sleeps for ever and nobody wakes it");
        }
    }
}

static int fake_poll_wait(cori_poller *poller, int64_t timeout_ns, cori_event *events, int max)
{
    (void)poller;
    __atomic_add_fetch(&counts.waits, 1, __ATOMIC_RELAXED);
    int64_t until = timeout_ns < 0 ? INT64_MAX : fake_now() + timeout_ns;
    for (;;) {
        run_script();
        int count = take_events(events, max);
        if (count > 0 || timeout_ns == 0 || fake_now() >= until || sem_trywait(&kicked) == 0) {
            return count;
        }
        int64_t next = script_count > 0 && script[0].when < until ? script[0].when : until;
        if (next == INT64_MAX) {
            wait_for_kick();
            return 0;
        }
        __atomic_add_fetch(&counts.jumps, 1, __ATOMIC_RELAXED);
        __atomic_store_n(&now_ns, next, __ATOMIC_RELAXED);
    }
}

static void fake_poll_kick(cori_poller *poller)
{
    (void)poller;
    __atomic_add_fetch(&counts.kicks, 1, __ATOMIC_RELAXED);
    (void)sem_post(&kicked);
}

static ssize_t fake_poll_receive(cori_poller *poller, cori_pollfd *pollfd, void *buf, size_t size)
{
    (void)poller;
    fake_fd *from = find(pollfd->fd);
    if (from->head < from->tail) {
        size_t left = from->tail - from->head;
        size_t count = left < size ? left : size;
        memcpy(buf, from->inbox + from->head, count);
        from->head += count;
        from->head = from->head == from->tail ? (from->tail = 0) : from->head;
        return (ssize_t)count;
    }
    int error = from->error;
    from->error = 0;
    return error != 0 ? error : from->ended ? 0 : -EAGAIN;
}

static int fake_poll_accept(cori_poller *poller, cori_pollfd *pollfd, struct sockaddr *addr, socklen_t *len)
{
    (void)poller;
    fake_fd *from = find(pollfd->fd);
    int error = from->error;
    if (error != 0) {
        from->error = 0;
        return error;
    }
    if (from->conn_head == from->conn_tail) {
        return -EAGAIN;
    }
    if (addr != NULL && len != NULL && *len >= sizeof(addr->sa_family)) {
        addr->sa_family = AF_UNIX;
        *len = sizeof(addr->sa_family);
    }
    return from->conns[from->conn_head++];
}

static int fake_poll_arm(cori_poller *poller, cori_pollfd *pollfd, int direction)
{
    (void)poller;
    (void)pollfd;
    (void)direction;
    return 0;
}

static bool fake_poll_holds(cori_pollfd *pollfd)
{
    const fake_fd *from = find(pollfd->fd);
    return from->head < from->tail;
}

static bool fake_poll_give(cori_poller *poller, cori_pollfd *pollfd)
{
    (void)poller;
    (void)pollfd;
    return false;
}

static const cori_poll_ahead fake_poll_ahead = {
    .arm = fake_poll_arm,
    .receive = fake_poll_receive,
    .accept = fake_poll_accept,
    .holds = fake_poll_holds,
    .give = fake_poll_give,
};

const cori_poll_ops fake_poll_ops = {
    .name = "fake",
    .open = fake_poll_open,
    .close = fake_poll_close,
    .add = fake_poll_add,
    .remove = fake_poll_remove,
    .wait = fake_poll_wait,
    .kick = fake_poll_kick,
    .ahead = &fake_poll_ahead,
};

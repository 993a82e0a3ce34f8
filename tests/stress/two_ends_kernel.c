/* SPDX-License-Identifier: MIT */
/*
 * Two ends: the near end as threads on plain sockets. See two_ends.h.
 *
 * A caller looks (flags, then the system call) with the gate locked and waits in poll(2) without it, on its socket and
 * on an eventfd that says "look again". Whoever changes a flag writes to the eventfd after it, and poll is level-
 * triggered, so nothing is missed. The socket is closed once no caller is inside.
 */
#include "stress/two_ends.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BUFFER_BYTES = 32 * 1024, SPINS = 200 };

typedef struct caller {
    ends_kernel *kernel;
    int who;
    pthread_t thread;
    int wake_fd;
    bool parked; /* atomic */
} caller;

struct ends_kernel {
    ends_stage stage;
    ends_listener listener;
    caller callers[ENDS_CALLERS];
    pthread_mutex_t gate, turn;
    pthread_cond_t begin; /* with turn: a command, or quit */
    bool held;            /* the script's: it has the gate */
    unsigned way;
    bool has_looked; /* the caller to be first, since the last hold; guard: gate */
    bool quit;       /* guard: turn */
    int fd;
    bool closed, cancelled, group_expired; /* guard: gate, as the next */
    int64_t deadline;
};

static socklen_t address_of(const char *text, bool unix_stream, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof(*out));
    if (unix_stream) { /* abstract: the name's first byte is NUL */
        struct sockaddr_un *un = (struct sockaddr_un *)out;
        un->sun_family = AF_UNIX;
        memcpy(un->sun_path + 1, text + 1, strlen(text + 1));
        return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(text));
    }
    struct sockaddr_in *in = (struct sockaddr_in *)out;
    const char *port = strrchr(text, ':');
    in->sin_family = AF_INET;
    in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    in->sin_port = htons((uint16_t)strtoul(port != NULL ? port + 1 : "0", NULL, 10));
    return sizeof(*in);
}

static int new_socket(bool unix_stream)
{
    return socket(unix_stream ? AF_UNIX : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

bool ends_listen(ends_listener *listener, bool unix_stream)
{
    static unsigned number;
    struct sockaddr_storage address;
    struct sockaddr_in bound;
    socklen_t size = sizeof(bound);
    listener->unix_stream = unix_stream;
    listener->fd = new_socket(unix_stream);
    (void)snprintf(listener->address, sizeof(listener->address), unix_stream ? "@cor-ends-%d-%u" : "127.0.0.1:0",
                   (int)getpid(), __atomic_add_fetch(&number, 1, __ATOMIC_RELAXED));
    socklen_t length = address_of(listener->address, unix_stream, &address);
    if (listener->fd < 0 || bind(listener->fd, (struct sockaddr *)&address, length) < 0 ||
        listen(listener->fd, 16) < 0) {
        return false;
    }
    if (!unix_stream && getsockname(listener->fd, (struct sockaddr *)&bound, &size) == 0) {
        (void)snprintf(listener->address, sizeof(listener->address), "127.0.0.1:%u", ntohs(bound.sin_port));
    }
    return true;
}

int ends_connect(const char *text, bool unix_stream)
{
    struct sockaddr_storage address;
    socklen_t length = address_of(text, unix_stream, &address);
    int fd = new_socket(unix_stream);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, length) < 0) {
        (void)close(fd);
        fd = -1;
    }
    return fd;
}

void ends_small_buffers(int fd)
{
    int size = BUFFER_BYTES;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
}

static void reset_close(int fd)
{
    struct linger at_once = {.l_onoff = 1};
    (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    (void)close(fd);
}

/* Why a call must not go on; guard: gate. `who` < 0 is in no group. */
static int why_not(const ends_kernel *kernel, int who)
{
    if (kernel->closed) {
        return COR_ECLOSED;
    }
    if (who == ENDS_MAIN && (kernel->cancelled || kernel->group_expired)) {
        return kernel->cancelled ? COR_ECANCELED : COR_ETIMEOUT;
    }
    return kernel->deadline != 0 && kernel->deadline <= cor_now() ? COR_ETIMEOUT : 0;
}

static void wait_for_socket(ends_kernel *kernel, int who, bool reads, int64_t deadline)
{
    uint64_t ignored;
    caller *me = who >= 0 ? &kernel->callers[who] : NULL;
    struct pollfd fds[2] = {{.fd = kernel->fd, .events = reads ? POLLIN | POLLRDHUP : POLLOUT},
                            {.fd = me != NULL ? me->wake_fd : -1, .events = POLLIN}};
    int64_t left = (deadline - cor_now()) / COR_MILLISECOND + 1;
    (void)poll(fds, 2, deadline == 0 || left > 1000000 ? -1 : left < 0 ? 0 : (int)left);
    if (me != NULL) {
        __atomic_store_n(&me->parked, false, __ATOMIC_RELEASE);
        ssize_t unused = read(me->wake_fd, &ignored, sizeof(ignored));
        (void)unused;
    }
}

/* True if this way wants the other caller to look first after a hold, and it calls and has not; guard: gate. */
static bool gives_way(const ends_kernel *kernel, int who)
{
    int first = (kernel->way & ENDS_OTHER_FIRST) != 0 ? ENDS_OTHER : ENDS_MAIN;
    return who >= 0 && (kernel->way & (ENDS_MAIN_FIRST | ENDS_OTHER_FIRST)) != 0 && who != first &&
           !kernel->has_looked && __atomic_load_n(&kernel->stage.running[first], __ATOMIC_ACQUIRE);
}

/* Locks the gate in its turn; the other one may have nothing to look for, so it is waited for a moment only. */
static void lock_gate(ends_kernel *kernel, int who)
{
    int64_t deadline = cor_after(3 * COR_MILLISECOND);
    pthread_mutex_lock(&kernel->gate);
    while (gives_way(kernel, who) && cor_now() < deadline) {
        pthread_mutex_unlock(&kernel->gate);
        (void)sched_yield();
        pthread_mutex_lock(&kernel->gate);
    }
    kernel->has_looked = kernel->has_looked || who == ((kernel->way & ENDS_OTHER_FIRST) != 0 ? ENDS_OTHER : ENDS_MAIN);
}

/* One read, or a write of all. */
static int64_t call(ends_stage *stage, int who, bool reads, void *buf, size_t size)
{
    ends_kernel *kernel = stage->own;
    size_t done = 0;
    for (;;) {
        lock_gate(kernel, who);
        int64_t deadline = kernel->deadline;
        int64_t rc = why_not(kernel, who);
        if (rc == 0) {
            ssize_t count = reads ? recv(kernel->fd, buf, size, MSG_DONTWAIT)
                                  : send(kernel->fd, (char *)buf + done, size - done, MSG_DONTWAIT | MSG_NOSIGNAL);
            rc = count >= 0 ? count : -errno;
        }
        done += !reads && rc > 0 ? (size_t)rc : 0;
        if (rc == -EAGAIN && who >= 0) {
            __atomic_store_n(&kernel->callers[who].parked, true, __ATOMIC_RELEASE);
        }
        pthread_mutex_unlock(&kernel->gate);
        if (rc == -EAGAIN) {
            wait_for_socket(kernel, who, reads, deadline);
        } else if (reads || rc < 0 || done == size) {
            return reads || rc < 0 ? rc : (int64_t)done;
        }
    }
}

static int64_t kernel_read(ends_stage *stage, int who, void *buf, size_t size)
{
    return call(stage, who, true, buf, size);
}

static int64_t kernel_write(ends_stage *stage, int who, const void *buf, size_t size)
{
    return call(stage, who, false, (void *)(uintptr_t)buf, size);
}

static void *caller_main(void *arg)
{
    caller *me = arg;
    ends_kernel *kernel = me->kernel;
    pthread_mutex_lock(&kernel->turn);
    while (!kernel->quit) {
        if (__atomic_load_n(&kernel->stage.running[me->who], __ATOMIC_ACQUIRE)) {
            pthread_mutex_unlock(&kernel->turn);
            ends_call_now(&kernel->stage, me->who);
            pthread_mutex_lock(&kernel->turn);
        } else {
            pthread_cond_wait(&kernel->begin, &kernel->turn);
        }
    }
    pthread_mutex_unlock(&kernel->turn);
    return NULL;
}

static void kernel_begin(ends_stage *stage, int who, ends_call what)
{
    ends_kernel *kernel = stage->own;
    stage->command[who] = what;
    pthread_mutex_lock(&kernel->turn);
    __atomic_store_n(&stage->running[who], true, __ATOMIC_RELEASE);
    pthread_cond_broadcast(&kernel->begin);
    pthread_mutex_unlock(&kernel->turn);
}

static bool kernel_parked(ends_stage *stage, int who)
{
    ends_kernel *kernel = stage->own;
    return __atomic_load_n(&kernel->callers[who].parked, __ATOMIC_ACQUIRE);
}

static void kernel_hold(ends_stage *stage, bool on)
{
    ends_kernel *kernel = stage->own;
    if (on != kernel->held) {
        (void)(on ? pthread_mutex_lock : pthread_mutex_unlock)(&kernel->gate);
        kernel->held = on;
        if (on) {
            kernel->has_looked = false;
        }
    }
}

static void kernel_pause(unsigned round)
{
    if (round < SPINS) {
        (void)sched_yield();
    } else {
        (void)poll(NULL, 0, 1);
    }
}

static void look_again(ends_kernel *kernel)
{
    uint64_t one = 1;
    for (int who = 0; who < ENDS_CALLERS; who++) {
        ssize_t unused = write(kernel->callers[who].wake_fd, &one, sizeof(one));
        (void)unused;
    }
}

/* Changes a flag as the script's thread, which may have the gate already. */
static void set_flag(ends_kernel *kernel, bool *flag)
{
    bool held = kernel->held;
    kernel_hold(&kernel->stage, true);
    *flag = true;
    kernel_hold(&kernel->stage, held);
    look_again(kernel);
}

static void set_deadline(ends_stage *stage, int64_t deadline)
{
    ends_kernel *kernel = stage->own;
    bool held = kernel->held;
    kernel_hold(stage, true);
    kernel->deadline = deadline;
    kernel_hold(stage, held);
    look_again(kernel);
}

static void close_near(ends_kernel *kernel)
{
    ends_stage *stage = &kernel->stage;
    if (stage->near_closed) {
        return;
    }
    set_flag(kernel, &kernel->closed);
    kernel_hold(stage, false);
    stage->near_closed = true;
    stage->near_fd = -1;
    for (unsigned round = 0; __atomic_load_n(&stage->running[ENDS_MAIN], __ATOMIC_ACQUIRE) ||
                             __atomic_load_n(&stage->running[ENDS_OTHER], __ATOMIC_ACQUIRE);
         round++) {
        kernel_pause(round); /* both see the flag */
    }
    (void)close(kernel->fd);
}

static void kernel_act(ends_stage *stage, ends_event event)
{
    ends_kernel *kernel = stage->own;
    if (event == ENDS_CLOSE) {
        close_near(kernel);
    } else if (event == ENDS_HALF || event == ENDS_HALF_READ) {
        (void)(stage->near_closed ? 0 : shutdown(kernel->fd, event == ENDS_HALF ? SHUT_WR : SHUT_RD));
        look_again(kernel); /* a thread may look for no reason, and one that comes to wait only now does */
    } else if (event == ENDS_DEADLINE || event == ENDS_LATER) {
        set_deadline(stage, event == ENDS_DEADLINE ? 1 : cor_after(3600 * COR_SECOND));
    } else {
        set_flag(kernel, event == ENDS_GROUP_DEADLINE ? &kernel->group_expired : &kernel->cancelled);
    }
}

static void kernel_close_far(ends_stage *stage, bool reset)
{
    if (reset) {
        reset_close(stage->far);
    } else {
        (void)close(stage->far);
    }
}

static bool kernel_open(ends_stage *stage)
{
    ends_kernel *kernel = stage->own;
    kernel->closed = kernel->cancelled = kernel->group_expired = false;
    kernel->deadline = 0;
    kernel->fd = ends_connect(kernel->listener.address, kernel->listener.unix_stream);
    stage->far = accept4(kernel->listener.fd, NULL, NULL, SOCK_CLOEXEC);
    stage->near_fd = kernel->fd;
    ends_small_buffers(kernel->fd);
    ends_small_buffers(stage->far);
    return kernel->fd >= 0 && stage->far >= 0;
}

static void kernel_finish(ends_stage *stage)
{
    kernel_hold(stage, false);
    close_near(stage->own);
    if (stage->far >= 0) {
        reset_close(stage->far);
        stage->far = -1;
    }
}

static const ends_side kernel_side = {
    .open = kernel_open,
    .begin = kernel_begin,
    .parked = kernel_parked,
    .act = kernel_act,
    .end_call = set_deadline,
    .close_far = kernel_close_far,
    .hold = kernel_hold,
    .pause = kernel_pause,
    .read = kernel_read,
    .write = kernel_write,
    .finish = kernel_finish,
};

ends_kernel *ends_kernel_new(bool unix_stream)
{
    ends_kernel *kernel = calloc(1, sizeof(*kernel));
    if (kernel == NULL || !ends_listen(&kernel->listener, unix_stream)) {
        free(kernel);
        return NULL;
    }
    (void)pthread_mutex_init(&kernel->gate, NULL);
    (void)pthread_mutex_init(&kernel->turn, NULL);
    (void)pthread_cond_init(&kernel->begin, NULL);
    for (int who = 0; who < ENDS_CALLERS; who++) {
        kernel->callers[who] =
            (caller){.kernel = kernel, .who = who, .wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
        if (pthread_create(&kernel->callers[who].thread, NULL, caller_main, &kernel->callers[who]) != 0) {
            abort();
        }
    }
    return kernel;
}

bool ends_kernel_play(ends_kernel *kernel, const ends_case *script, unsigned way, ends_outcome *out)
{
    ends_stage *stage = &kernel->stage;
    pthread_mutex_lock(&kernel->turn); /* the callers look for a command with it */
    kernel->way = way;
    kernel->has_looked = false;
    *stage = (ends_stage){.side = &kernel_side,
                          .script = script,
                          .holds = (way & ENDS_HELD) != 0,
                          .settles = (way & ENDS_SETTLED) != 0,
                          .late = {(way & ENDS_LATE) != 0, (way & ENDS_LATE_AFTER) != 0},
                          .own = kernel,
                          .luck = stage->luck + 1};
    pthread_mutex_unlock(&kernel->turn);
    bool played = kernel_side.open(stage) && ends_play(stage);
    *out = stage->outcome;
    kernel_finish(stage);
    return played;
}

void ends_kernel_free(ends_kernel *kernel)
{
    pthread_mutex_lock(&kernel->turn);
    kernel->quit = true;
    pthread_cond_broadcast(&kernel->begin);
    pthread_mutex_unlock(&kernel->turn);
    for (int who = 0; who < ENDS_CALLERS; who++) {
        (void)pthread_join(kernel->callers[who].thread, NULL);
        (void)close(kernel->callers[who].wake_fd);
    }
    (void)close(kernel->listener.fd);
    free(kernel);
}

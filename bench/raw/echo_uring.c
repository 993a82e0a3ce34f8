/* SPDX-License-Identifier: MIT */
/*
 * The measure on io_uring: an echo server as one writes it by hand. One thread, one ring that only this thread enters;
 * a multishot accept, a multishot receive per connection into a small ring of buffers, and the sends in the ring too,
 * so that one call to the kernel submits and fetches for many connections. (Measured against: send(2) at once, which
 * is dearer from 1,000 connections on; closes in the ring and receives that try before they wait, both dearer for short
 * connections.) TCP_NODELAY is inherited from the listener. A connection has one send under way at a time, so its bytes
 * stay in order; what comes meanwhile waits in its queue. A receive that met no buffer is armed again when one comes
 * back: peers that do not read can keep them all, which a measure may risk.
 * usage: raw_echo_uring [PORT]
 */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    BUFFERS = 128, /* a power of two; few, so that they stay in the cache */
    BUFFER_BYTES = 16384,
    STRIDE = BUFFER_BYTES + 192, /* not all in the same sets of the cache */
    PAGE_BYTES = 4096,
    BACKLOG = 4096,
    SQ_ENTRIES = 1024,
    CQ_ENTRIES = 16384,
    NONE = -1,
    FD_SHIFT = 8, /* user data: descriptor and operation */
};

enum op { ACCEPT, RECEIVE, SEND };

/* By descriptor. */
typedef struct client {
    int head, tail; /* buffers to send, NONE: no more; the first is being sent */
    bool over;      /* nothing is received any more: close when all is sent */
    bool starved;   /* waits for a buffer to receive again */
} client;

static struct io_uring ring;
static struct io_uring_buf_ring *provided;
static char *buffers;
static uint32_t from[BUFFERS], to[BUFFERS]; /* the part of each that is to be sent */
static int next[BUFFERS];
static client *clients;
static int *starved, starved_count;
static int listener;

static int fail(const char *what)
{
    perror(what);
    exit(1);
}

static struct io_uring_sqe *entry(void)
{
    struct io_uring_sqe *sqe;
    while ((sqe = io_uring_get_sqe(&ring)) == NULL) {
        io_uring_submit(&ring);
    }
    return sqe;
}

static void label(struct io_uring_sqe *sqe, int fd, enum op op)
{
    sqe->user_data = (uint64_t)fd << FD_SHIFT | op;
}

static void arm_accept(void)
{
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, SOCK_CLOEXEC);
    label(sqe, listener, ACCEPT);
}

static void arm_receive(int fd)
{
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->ioprio |= IORING_RECVSEND_POLL_FIRST;
    label(sqe, fd, RECEIVE);
}

static void send_first(int fd)
{
    int id = clients[fd].head;
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_send(sqe, fd, buffers + (size_t)id * STRIDE + from[id], to[id] - from[id], MSG_NOSIGNAL);
    label(sqe, fd, SEND);
}

static void give_back(int id)
{
    io_uring_buf_ring_add(provided, buffers + (size_t)id * STRIDE, BUFFER_BYTES, (unsigned short)id,
                          io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(provided, 1);
    if (starved_count > 0) {
        int fd = starved[--starved_count];
        clients[fd].starved = false;
        arm_receive(fd);
    }
}

static void close_when_done(int fd)
{
    if (clients[fd].over && clients[fd].head == NONE) {
        close(fd);
    }
}

static void on_accept(const struct io_uring_cqe *cqe)
{
    if (cqe->res >= 0) {
        clients[cqe->res] = (client){.head = NONE, .tail = NONE};
        arm_receive(cqe->res);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0) {
        arm_accept();
    }
}

static void on_receive(int fd, const struct io_uring_cqe *cqe)
{
    client *of = &clients[fd];
    if (cqe->res > 0) {
        int id = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        bool idle = of->head == NONE;
        from[id] = 0;
        to[id] = (uint32_t)cqe->res;
        next[id] = NONE;
        *(idle ? &of->head : &next[of->tail]) = id;
        of->tail = id;
        if (idle) {
            send_first(fd);
        }
    } else if (cqe->res != -ENOBUFS) {
        of->over = true;
        close_when_done(fd);
        return;
    }
    if ((cqe->flags & IORING_CQE_F_MORE) == 0 && !of->starved) {
        of->starved = true;
        starved[starved_count++] = fd;
    }
}

static void on_send(int fd, const struct io_uring_cqe *cqe)
{
    client *of = &clients[fd];
    int id = of->head;
    from[id] += cqe->res > 0 ? (uint32_t)cqe->res : 0;
    if (cqe->res > 0 && from[id] < to[id]) {
        send_first(fd);
        return;
    }
    of->head = next[id];
    give_back(id);
    if (of->head != NONE) {
        send_first(fd); /* after an error it fails, too, until the queue is empty; the receive tells of the error */
    } else {
        close_when_done(fd);
    }
}

static void handle(const struct io_uring_cqe *cqe)
{
    int fd = (int)(cqe->user_data >> FD_SHIFT);
    switch ((enum op)(cqe->user_data & ((1 << FD_SHIFT) - 1))) {
    case ACCEPT:
        on_accept(cqe);
        break;
    case RECEIVE:
        on_receive(fd, cqe);
        break;
    case SEND:
        on_send(fd, cqe);
        break;
    }
}

static int listen_on(int port)
{
    int on = 1;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    socklen_t len = sizeof(addr);
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&addr, &len) < 0) {
        return fail("listen");
    }
    printf("listening echo tcp 127.0.0.1:%d\n", ntohs(addr.sin_port));
    fflush(stdout);
    return fd;
}

static void set_up(void)
{
    struct rlimit files;
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN |
                                              IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
                                     .cq_entries = CQ_ENTRIES};
    int rc = io_uring_queue_init_params(SQ_ENTRIES, &ring, &params);
    if (rc < 0 || getrlimit(RLIMIT_NOFILE, &files) < 0) {
        errno = rc < 0 ? -rc : errno;
        (void)fail("io_uring");
    }
    clients = calloc(files.rlim_cur, sizeof(*clients));
    starved = calloc(files.rlim_cur, sizeof(*starved));
    buffers = aligned_alloc(PAGE_BYTES, (size_t)BUFFERS * STRIDE);
    provided = aligned_alloc(PAGE_BYTES, PAGE_BYTES);
    if (clients == NULL || starved == NULL || buffers == NULL || provided == NULL) {
        (void)fail("set-up");
    }
    struct io_uring_buf_reg registration = {.ring_addr = (uint64_t)(uintptr_t)provided, .ring_entries = BUFFERS};
    io_uring_buf_ring_init(provided);
    rc = io_uring_register_buf_ring(&ring, &registration, 0);
    if (rc < 0) {
        errno = -rc;
        (void)fail("buffer ring");
    }
    for (int id = 0; id < BUFFERS; id++) {
        give_back(id);
    }
}

int main(int argc, char **argv)
{
    set_up();
    listener = listen_on(argc > 1 ? atoi(argv[1]) : 0);
    arm_accept();
    for (;;) {
        struct io_uring_cqe *cqe;
        unsigned head, count = 0;
        int rc = io_uring_submit_and_wait(&ring, 1);
        if (rc < 0 && rc != -EINTR) {
            errno = -rc;
            return fail("io_uring_enter");
        }
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            handle(cqe);
            count++;
        }
        io_uring_cq_advance(&ring, count);
    }
}

/* SPDX-License-Identifier: MIT */
/*
 * Load generator for UDP echo servers: one thread, one epoll, N sockets. All sockets send `depth` datagrams each, and
 * again when all have their answers: a step. Each answer must be byte for byte one of those that its socket has under
 * way; one that has not come after a second counts as lost, and the step goes on without it.
 *
 * How many datagrams a server finds at once decides what each costs, and a server that is slower finds more. With
 * --stop the server (--pid) is therefore stopped, by SIGSTOP, while a step is sent, and then has all of it before it,
 * whatever its speed. The generator polls without sleeping, or servers would pay for waking it. The CPU time that the
 * server uses is reported per datagram: on one machine the rate is limited by the generator too, the server's cost is
 * not.
 *
 * usage: raw_load_udp [--connections N] [--size BYTES] [--depth N] [--stop] [--seconds S] [--warmup S] [--pid PID]
 *                     IPV4:PORT[,IPV4:PORT]...
 * Sockets are spread over the addresses in turn. Prints one line of key=value pairs. Exit 1 if a byte was wrong.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 64, SIZE_MAX_BYTES = 65507, ADDRESSES_MAX = 1024, EVENTS = 256 };
static const int64_t patience_ns = INT64_C(1000000000);

/* What a datagram begins with; the rest is the pattern. */
typedef struct stamp {
    uint64_t step;
    uint32_t socket, number;
} stamp;

typedef struct client {
    int fd;
    uint64_t seen;     /* datagrams of this step that were answered, a bit each */
    uint64_t answered; /* while measuring */
} client;

static struct {
    uint64_t connections, size, depth;
    bool stop;
    double seconds, warmup;
    long pid;
    struct sockaddr_in addresses[ADDRESSES_MAX];
    size_t address_count;
} options = {.connections = 100, .size = 64, .depth = 1, .seconds = 2, .warmup = 0.4};

static client *clients;
static char data[BATCH][SIZE_MAX_BYTES + 1];
static struct iovec parts[BATCH];
static struct mmsghdr messages[BATCH];
static uint64_t step, awaited, answered, lost, duplicates;
static bool measuring;
static int epoll;

static void fail(const char *what)
{
    fprintf(stderr, "raw_load_udp: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    return clock_gettime(clock, &now) == 0 ? (int64_t)now.tv_sec * 1000000000 + now.tv_nsec : 0;
}

static void prepare(size_t part_bytes)
{
    for (int i = 0; i < BATCH; i++) {
        parts[i] = (struct iovec){.iov_base = data[i], .iov_len = part_bytes};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
}

static void send_one(const client *of, int fd)
{
    for (uint64_t i = 0; i < options.depth; i++) {
        stamp mark = {.step = step, .socket = (uint32_t)(of - clients), .number = (uint32_t)i};
        memcpy(data[i], &mark, sizeof(mark));
    }
    for (uint64_t sent = 0; sent < options.depth;) {
        int now = sendmmsg(fd, messages + sent, (unsigned)(options.depth - sent), MSG_NOSIGNAL);
        if (now <= 0) {
            fail("sendmmsg");
        }
        sent += (uint64_t)now;
    }
}

static void signal_server(int number)
{
    if (options.stop && kill((pid_t)options.pid, number) < 0) {
        fail("kill");
    }
}

/* All sockets send, before a stopped server sees the first datagram. */
static void send_all(void)
{
    step++;
    awaited = options.connections * options.depth;
    prepare(options.size);
    signal_server(SIGSTOP);
    for (uint64_t i = 0; i < options.connections; i++) {
        clients[i].seen = 0;
        send_one(&clients[i], clients[i].fd);
    }
    signal_server(SIGCONT);
    prepare(SIZE_MAX_BYTES + 1);
}

static void take(client *of, const char *bytes, size_t size)
{
    stamp mark;
    memcpy(&mark, bytes, sizeof(mark));
    bool right = size == options.size && mark.socket == of - clients && mark.number < options.depth;
    for (size_t i = sizeof(mark); right && i < size; i++) {
        right = bytes[i] == (char)i;
    }
    if (!right) {
        fprintf(stderr, "raw_load_udp: socket %td got other bytes than it sent\n", of - clients);
        exit(1);
    }
    uint64_t bit = UINT64_C(1) << mark.number;
    if (mark.step != step || (of->seen & bit) != 0) {
        duplicates++; /* or it was given up */
        return;
    }
    of->seen |= bit;
    awaited--;
    answered += measuring;
    of->answered += measuring;
}

static void receive(client *of)
{
    int count;
    do {
        count = recvmmsg(of->fd, messages, BATCH, MSG_DONTWAIT, NULL);
        if (count < 0 && errno != EAGAIN) {
            fail("recvmmsg");
        }
        for (int i = 0; i < count; i++) {
            take(of, data[i], messages[i].msg_len);
        }
    } while (count == BATCH);
}

/* One step, from the first datagram to the last answer. */
static void run_step(void)
{
    send_all();
    int64_t end = clock_ns(CLOCK_MONOTONIC) + patience_ns;
    while (awaited > 0) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(epoll, events, EVENTS, 0);
        for (int i = 0; i < count; i++) {
            receive(events[i].data.ptr);
        }
        if (count == 0 && clock_ns(CLOCK_MONOTONIC) > end) {
            lost += awaited;
            return;
        }
    }
}

static void run_for(double seconds)
{
    int64_t end = clock_ns(CLOCK_MONOTONIC) + (int64_t)(seconds * 1e9);
    do {
        run_step();
    } while (clock_ns(CLOCK_MONOTONIC) < end);
}

static void open_all(void)
{
    for (uint64_t i = 0; i < options.connections; i++) {
        client *of = &clients[i];
        struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = of};
        const struct sockaddr_in *to = &options.addresses[i % options.address_count];
        of->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (of->fd < 0 || connect(of->fd, (const struct sockaddr *)to, sizeof(*to)) < 0 ||
            epoll_ctl(epoll, EPOLL_CTL_ADD, of->fd, &event) < 0) {
            fail("connect");
        }
    }
    for (int i = 0; i < BATCH; i++) {
        for (size_t at = sizeof(stamp); at < options.size; at++) {
            data[i][at] = (char)at;
        }
    }
}

static void measure(clockid_t server)
{
    uint64_t starved = 0;
    run_for(options.warmup);
    int64_t start = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), server_cpu = clock_ns(server);
    measuring = true;
    run_for(options.seconds);
    double took = (double)(clock_ns(CLOCK_MONOTONIC) - start);
    double used = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    double server_used = (double)(clock_ns(server) - server_cpu);
    for (uint64_t i = 0; i < options.connections; i++) {
        starved += clients[i].answered == 0;
    }
    printf("messages=%llu per_s=%.0f lost=%llu duplicates=%llu starved=%llu client_cpu=%.3f client_us=%.3f",
           (unsigned long long)answered, (double)answered * 1e9 / took, (unsigned long long)lost,
           (unsigned long long)duplicates, (unsigned long long)starved, used / took, used / 1000 / (double)answered);
    if (options.pid != 0) {
        printf(" server_cpu=%.3f server_us=%.4f", server_used / took, server_used / 1000 / (double)answered);
    }
    printf("\n");
}

static void usage(const char *program)
{
    fprintf(stderr,
            "usage: %s [--connections N] [--size BYTES] [--depth N] [--stop] [--seconds S] [--warmup S] [--pid PID] "
            "IPV4:PORT[,IPV4:PORT]...\n",
            program);
    exit(2);
}

static void parse_addresses(char *program, char *text)
{
    char *rest = NULL;
    for (char *one = strtok_r(text, ",", &rest); one != NULL; one = strtok_r(NULL, ",", &rest)) {
        char *port = strrchr(one, ':');
        if (port == NULL || options.address_count == ADDRESSES_MAX) {
            usage(program);
        }
        *port++ = '\0';
        struct sockaddr_in *to = &options.addresses[options.address_count++];
        *to = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
        if (inet_pton(AF_INET, one, &to->sin_addr) != 1) {
            usage(program);
        }
    }
}

static void set_option(char *program, int option)
{
    switch (option) {
    case 'c':
        options.connections = strtoull(optarg, NULL, 10);
        break;
    case 's':
        options.size = strtoull(optarg, NULL, 10);
        break;
    case 'd':
        options.depth = strtoull(optarg, NULL, 10);
        break;
    case 'o':
        options.stop = true;
        break;
    case 't':
        options.seconds = atof(optarg);
        break;
    case 'w':
        options.warmup = atof(optarg);
        break;
    case 'p':
        options.pid = atol(optarg);
        break;
    default:
        usage(program);
    }
}

static void parse(int argc, char **argv)
{
    static const struct option known[] = {
        {"connections", required_argument, NULL, 'c'}, {"size", required_argument, NULL, 's'},
        {"depth", required_argument, NULL, 'd'},       {"stop", no_argument, NULL, 'o'},
        {"seconds", required_argument, NULL, 't'},     {"warmup", required_argument, NULL, 'w'},
        {"pid", required_argument, NULL, 'p'},         {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "c:s:d:ot:w:p:", known, NULL)) != -1) {
        set_option(argv[0], option);
    }
    if (optind < argc) {
        parse_addresses(argv[0], argv[optind]);
    }
    if (options.address_count == 0 || options.connections == 0 || options.size < sizeof(stamp) ||
        options.size > SIZE_MAX_BYTES || options.depth == 0 || options.depth > BATCH || options.seconds <= 0 ||
        (options.stop && options.pid == 0)) {
        usage(argv[0]);
    }
}

int main(int argc, char **argv)
{
    clockid_t server = CLOCK_PROCESS_CPUTIME_ID;
    parse(argc, argv);
    if (options.pid != 0 && clock_getcpuclockid((pid_t)options.pid, &server) != 0) {
        errno = ESRCH;
        fail("--pid");
    }
    clients = calloc(options.connections, sizeof(*clients));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (clients == NULL || epoll < 0) {
        fail("set-up");
    }
    open_all();
    measure(server);
    return 0;
}

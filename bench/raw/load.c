/* SPDX-License-Identifier: MIT */
/*
 * Load generator for echo servers: one thread, one epoll, N connections, each with `depth` messages under way at any
 * time. Every byte that comes back is compared with what was sent; connections that get nothing in the measured window
 * are counted. With --pid the CPU time that this process (the server) uses in the window is reported per message: on
 * one machine the rate is limited by the generator too, the server's cost is not.
 *
 * Without --step each connection sends again as soon as it has its answer. Then whoever of server and generator is
 * slower has the messages queue up before it and takes them in full batches, and the other waits, wakes up for one or
 * two at a time, and so needs more for each: a server that is faster than the generator has its cost hidden. With
 * --step all connections send at once, and again when all have their answers. Sending is half of the generator's work,
 * so every server has a queue before it until the step is over, whoever is the faster, and waits once per step. And the
 * generator never sleeps then, or servers would pay for waking it, the slower the more often.
 *
 * With --close each connection makes one echo, is closed by this side (fin: in order; rst: at once, SO_LINGER 0), and
 * another is opened in its place; a "message" is then a connection's whole life. Connections come from several source
 * addresses in turn, because one address has some 28,000 ports only, and each port rests a minute after a FIN. Opening
 * costs the generator more than serving costs the server; with --step the server (--pid) is therefore stopped, by
 * SIGSTOP, while all connections are opened and their messages sent, and then has them all before it.
 *
 * usage: raw_load [--connections N] [--size BYTES] [--depth N] [--close fin|rst] [--step] [--sources N]
 *                 [--seconds S] [--warmup S] [--pid PID] IPV4:PORT
 * Prints one line of key=value pairs. Exit 1 if a byte was wrong or a connection was lost.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

enum { BUFFER_BYTES = 65536, PERIOD = 251, EVENTS = 256 };
/* Source addresses when --sources does not say: for connections that stay, and for those that are closed. */
enum { CONNECTIONS_PER_SOURCE = 4096, SOURCES_CLOSE = 200 };
/* How long the end of a step, or the first message, may outlast the measured time. */
static const int64_t patience_ns = INT64_C(5000000000);
/* The histogram: 2^SUB_BITS buckets per power of two, so figures are within 1.6 %. */
enum { SUB_BITS = 6, SUBS = 1 << SUB_BITS, BUCKETS = (64 - SUB_BITS) * SUBS };

/* One connection. Its streams are the repeated pattern, from a place of its own on. */
typedef struct client {
    int fd;
    bool sticky;       /* the kernel told of an end or an error: read until it shows */
    uint64_t sent;     /* bytes, as a place in the pattern */
    uint64_t pending;  /* bytes to send that the kernel has not taken yet */
    uint64_t received; /* bytes, as a place in the pattern */
    uint64_t first;    /* where both began */
    uint64_t done;     /* messages that came back */
    uint64_t in_window;
    int64_t *sent_at; /* of message m at m % depth */
} client;

static struct {
    uint64_t connections, size, depth;
    uint64_t sources; /* 0: as many as are needed */
    enum { STAY, CLOSE_FIN, CLOSE_RST } close;
    bool step;
    double seconds, warmup;
    long pid;
    struct sockaddr_in addr;
} options = {.connections = 100, .size = 64, .depth = 1, .seconds = 2, .warmup = 0.4};

static client *clients;
static char pattern[PERIOD + BUFFER_BYTES];
static char buffer[BUFFER_BYTES];
static uint64_t histogram[BUCKETS];
static uint64_t messages;
static uint64_t opened;  /* connections so far */
static uint64_t awaited; /* messages under way in this step */
static int64_t longest_ns;
static bool measuring;
static int epoll;

static void fail(const char *what)
{
    fprintf(stderr, "raw_load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    return clock_gettime(clock, &now) == 0 ? (int64_t)now.tv_sec * 1000000000 + now.tv_nsec : 0;
}

static unsigned bucket_of(uint64_t value)
{
    if (value < SUBS) {
        return (unsigned)value;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(value) - SUB_BITS;
    return (shift + 1) * SUBS + (unsigned)(value >> shift) - SUBS;
}

/* The value in the middle of a bucket. */
static double value_of(unsigned bucket)
{
    if (bucket < SUBS) {
        return bucket;
    }
    unsigned shift = bucket / SUBS - 1;
    return ((double)(bucket % SUBS + SUBS) + 0.5) * (double)(UINT64_C(1) << shift);
}

/* The latency, us, that the given part of the messages kept. */
static double quantile_us(double part)
{
    uint64_t rank = (uint64_t)(part * (double)messages);
    for (unsigned i = 0; i < BUCKETS; i++) {
        if (rank < histogram[i]) {
            double value = value_of(i);
            return (value < (double)longest_ns ? value : (double)longest_ns) / 1000;
        }
        rank -= histogram[i];
    }
    return 0;
}

/* Sends what is pending, as much as the kernel takes. */
static void flush_pending(client *of)
{
    while (of->pending > 0) {
        size_t size = of->pending < BUFFER_BYTES ? of->pending : BUFFER_BYTES;
        ssize_t sent = send(of->fd, pattern + of->sent % PERIOD, size, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN) {
                return;
            }
            fail("send");
        }
        of->sent += (uint64_t)sent;
        of->pending -= (uint64_t)sent;
    }
}

static int open_socket(int flags)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(INADDR_LOOPBACK + (uint32_t)(opened++ % options.sources));
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) {
        fail("socket");
    }
    /* The port is chosen by connect(), when the other end is known: only the four together must be unique. */
    if (options.sources > 1 && (setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
                                bind(fd, (struct sockaddr *)&source, sizeof(source)) < 0)) {
        fail("bind");
    }
    return fd;
}

/* Connects and sends the first messages. Connections that stay are made one by one, so that no backlog overflows. */
static void open_client(client *of)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.ptr = of};
    of->sticky = false;
    of->first = of->sent = of->received = opened * 7;
    of->done = 0;
    of->pending = 0;
    of->sent_at[0] = clock_ns(CLOCK_MONOTONIC);
    of->fd = open_socket(options.close != STAY ? SOCK_NONBLOCK : 0);
    if (connect(of->fd, (struct sockaddr *)&options.addr, sizeof(options.addr)) < 0 && errno != EINPROGRESS) {
        fail("connect");
    }
    if (fcntl(of->fd, F_SETFL, O_NONBLOCK) < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, of->fd, &event) < 0) {
        fail("connect");
    }
    if (options.close != STAY) {
        of->pending = options.size;
        flush_pending(of);
    }
}

static void close_client(client *of)
{
    struct linger at_once = {.l_onoff = 1};
    if (options.close == CLOSE_RST) {
        (void)setsockopt(of->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    (void)close(of->fd);
}

static void count(client *of, int64_t took_ns)
{
    if (measuring) {
        histogram[bucket_of((uint64_t)took_ns)]++;
        longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
        messages++;
        of->in_window++;
    }
}

/* Counts the messages that are complete by now and, if it is time, sends as many new ones. False: the connection is
 * another now. */
static bool count_messages(client *of)
{
    uint64_t complete = (of->received - of->first) / options.size;
    int64_t now = clock_ns(CLOCK_MONOTONIC);
    if (options.close != STAY && complete > 0) {
        count(of, now - of->sent_at[0]);
        close_client(of);
        awaited--;
        if (!options.step) {
            open_client(of);
        }
        return false;
    }
    for (; of->done < complete; of->done++) {
        int64_t *sent_at = &of->sent_at[of->done % options.depth];
        count(of, now - *sent_at);
        *sent_at = now;
        of->pending += options.step ? 0 : options.size;
        awaited--;
    }
    flush_pending(of);
    return true;
}

static void receive(client *of)
{
    ssize_t count;
    do {
        count = recv(of->fd, buffer, sizeof(buffer), 0);
        if (count < 0 && errno == EAGAIN) {
            return;
        }
        if (count <= 0) {
            errno = count == 0 ? EPIPE : errno;
            fail("recv");
        }
        if (memcmp(buffer, pattern + of->received % PERIOD, (size_t)count) != 0) {
            fprintf(stderr, "raw_load: connection %td got other bytes than it sent\n", of - clients);
            exit(1);
        }
        of->received += (uint64_t)count;
        if (!count_messages(of)) {
            return;
        }
    } while (count == sizeof(buffer) || of->sticky);
}

/* Opens all connections before the server sees the first. */
static void open_all(void)
{
    awaited = options.connections;
    bool stop = options.step && options.close != STAY;
    if (stop && kill((pid_t)options.pid, SIGSTOP) < 0) {
        fail("SIGSTOP");
    }
    for (uint64_t i = 0; i < options.connections; i++) {
        open_client(&clients[i]);
    }
    if (stop && kill((pid_t)options.pid, SIGCONT) < 0) {
        fail("SIGCONT");
    }
}

/* Each connection sends its messages. */
static void send_all(void)
{
    int64_t now = clock_ns(CLOCK_MONOTONIC);
    awaited = options.connections * options.depth;
    for (uint64_t i = 0; i < options.connections; i++) {
        for (uint64_t m = 0; m < options.depth; m++) {
            clients[i].sent_at[m] = now;
        }
        clients[i].pending += options.size * options.depth;
        flush_pending(&clients[i]);
    }
}

/* True when measuring may begin or end: with --step, when a step is over. */
static bool poll_once(void)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, options.step ? 0 : 100);
    for (int i = 0; i < count; i++) {
        client *of = events[i].data.ptr;
        of->sticky = (events[i].events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0;
        if (of->pending > 0) {
            flush_pending(of);
        }
        if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0) {
            receive(of);
        }
    }
    if (!options.step || awaited > 0) {
        return !options.step;
    }
    if (options.close != STAY) {
        open_all();
    } else {
        send_all();
    }
    return true;
}

static void run_for(double seconds)
{
    int64_t now, end = clock_ns(CLOCK_MONOTONIC) + (int64_t)(seconds * 1e9);
    bool over;
    do {
        over = poll_once() && (!measuring || messages > 0);
        now = clock_ns(CLOCK_MONOTONIC);
    } while (now < end || (!over && now < end + patience_ns));
}

static void start_all(void)
{
    for (uint64_t i = 0; i < options.connections; i++) {
        clients[i].sent_at = calloc(options.depth, sizeof(*clients[i].sent_at));
        if (clients[i].sent_at == NULL) {
            fail("calloc");
        }
    }
    open_all();
    if (options.close == STAY) {
        send_all();
    }
}

static uint64_t count_starved(void)
{
    uint64_t starved = 0;
    for (uint64_t i = 0; i < options.connections; i++) {
        starved += clients[i].in_window == 0;
    }
    return starved;
}

static void measure(clockid_t server)
{
    run_for(options.warmup);
    int64_t start = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), server_cpu = clock_ns(server);
    measuring = true;
    run_for(options.seconds);
    double took = (double)(clock_ns(CLOCK_MONOTONIC) - start);
    double used = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    double server_used = (double)(clock_ns(server) - server_cpu);
    printf("messages=%llu per_s=%.0f p50_us=%.1f p90_us=%.1f p99_us=%.1f p999_us=%.1f max_us=%.1f starved=%llu "
           "client_cpu=%.3f client_us=%.3f",
           (unsigned long long)messages, (double)messages * 1e9 / took, quantile_us(0.5), quantile_us(0.9),
           quantile_us(0.99), quantile_us(0.999), (double)longest_ns / 1000, (unsigned long long)count_starved(),
           used / took, used / 1000 / (double)messages);
    if (options.pid != 0) {
        printf(" server_cpu=%.3f server_us=%.4f", server_used / took, server_used / 1000 / (double)messages);
    }
    printf("\n");
}

static void usage(const char *program)
{
    fprintf(
        stderr,
        "usage: %s [--connections N] [--size BYTES] [--depth N] [--close fin|rst] [--step] [--sources N] [--seconds S] "
        "[--warmup S] [--pid PID] IPV4:PORT\n",
        program);
    exit(2);
}

static void parse_address(char *program, char *text)
{
    char *port = text != NULL ? strrchr(text, ':') : NULL;
    if (port == NULL) {
        usage(program);
    }
    *port++ = '\0';
    options.addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    if (inet_pton(AF_INET, text, &options.addr.sin_addr) != 1) {
        usage(program);
    }
}

static void set_option(char *program, int option)
{
    uint64_t number = strtoull(optarg != NULL ? optarg : "0", NULL, 10);
    switch (option) {
    case 'c':
        options.connections = number;
        break;
    case 's':
        options.size = number;
        break;
    case 'd':
        options.depth = number;
        break;
    case 'e':
        options.close = strcmp(optarg, "fin") == 0 ? CLOSE_FIN : strcmp(optarg, "rst") == 0 ? CLOSE_RST : STAY;
        if (options.close == STAY) {
            usage(program);
        }
        break;
    case 'o':
        options.sources = number;
        break;
    case 't':
        options.seconds = atof(optarg);
        break;
    case 'w':
        options.warmup = atof(optarg);
        break;
    case 'a':
        options.step = true;
        break;
    case 'p':
        options.pid = (long)number;
        break;
    default:
        usage(program);
    }
}

static void parse(int argc, char **argv)
{
    static const struct option known[] = {
        {"connections", required_argument, NULL, 'c'},
        {"size", required_argument, NULL, 's'},
        {"depth", required_argument, NULL, 'd'},
        {"close", required_argument, NULL, 'e'},
        {"step", no_argument, NULL, 'a'},
        {"sources", required_argument, NULL, 'o'},
        {"seconds", required_argument, NULL, 't'},
        {"warmup", required_argument, NULL, 'w'},
        {"pid", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "c:s:d:e:ao:t:w:p:", known, NULL)) != -1) {
        set_option(argv[0], option);
    }
    parse_address(argv[0], argv[optind]);
    if (options.connections == 0 || options.size == 0 || options.depth == 0 || options.seconds <= 0 ||
        (options.close != STAY && (options.depth != 1 || (options.step && options.pid == 0)))) {
        usage(argv[0]);
    }
    if (options.sources == 0) {
        options.sources = options.close != STAY ? SOURCES_CLOSE : 1 + options.connections / CONNECTIONS_PER_SOURCE;
    }
}

int main(int argc, char **argv)
{
    clockid_t server = CLOCK_PROCESS_CPUTIME_ID;
    struct rlimit files;
    parse(argc, argv);
    if (options.pid != 0 && clock_getcpuclockid((pid_t)options.pid, &server) != 0) {
        errno = ESRCH;
        fail("--pid");
    }
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (char)(i % PERIOD);
    }
    clients = calloc(options.connections, sizeof(*clients));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (clients == NULL || epoll < 0) {
        fail("set-up");
    }
    start_all();
    measure(server);
    return 0;
}

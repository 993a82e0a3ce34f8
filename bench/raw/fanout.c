/* SPDX-License-Identifier: MIT */
/*
 * Load generator for fan-out: one thread, one epoll, one publisher and N receivers. The publisher keeps up to `window`
 * messages ahead of the slowest receiver that reads. Every byte that a receiver gets is compared with what it must be:
 * what is published repeats after a period, so a receiver is at some place of one known stream. With --pid the CPU time
 * that this process (the server) uses in the measured time is reported per delivery, and by how much its memory has
 * grown at most.
 *
 * Servers: "room" is `coracle serve broadcast` and whatever speaks as it does (JSON objects in, lines out); "redis" and
 * "nats" are publish and subscribe of these. With --stalled K, K receivers stop reading for good after the measured
 * time, and the same time is measured again: `kept` says how much of the first rate the others keep.
 *
 * Joining takes every server its own time. So probes are published until all receivers have heard one, then a mark;
 * what comes after the mark is the stream.
 *
 * usage: raw_fanout [--protocol room|redis|nats] [--receivers N] [--window W] [--size BYTES] [--stalled N]
 * [--seconds S] [--warmup S] [--pid PID] IPV4:PORT
 * Prints one line of key=value pairs. Exit 1 if a byte was wrong or a receiver that reads was lost.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
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

enum { BUFFER_BYTES = 65536, PERIOD_BYTES = 32768, PERIOD_LEAST = 8, EVENTS = 256, AROUND_BYTES = 256 };
enum { PROBE_MS = 20, PROBES = 1000, SIZE_LEAST = 16 };
enum { PROBE = 'p', MARK = 'g' };

typedef enum protocol { ROOM, REDIS, NATS } protocol;
static const char *const protocol_names[] = {"room", "redis", "nats"};

/* A message on the wire: the same bytes before and after every payload. */
typedef struct framing {
    char before[AROUND_BYTES], after[AROUND_BYTES];
    size_t size; /* of all of it */
} framing;

/* Framed messages, one period and then so much again that any read or batch can be compared or sent in one piece. */
typedef struct stream {
    framing framing;
    char *bytes;
    size_t period;
} stream;

typedef struct receiver {
    int fd;
    bool heard;        /* a probe */
    bool started;      /* the mark has gone by: `position` counts */
    unsigned ping;     /* bytes of a server's question taken so far */
    size_t run;        /* before the mark: equal bytes in a row */
    char last;         /* and which */
    uint64_t position; /* bytes of the stream */
    uint64_t before;   /* the position when measuring began */
} receiver;

static struct {
    protocol protocol;
    uint64_t receivers, window, size, stalled;
    double seconds, warmup;
    long pid;
    struct sockaddr_in addr;
} options = {.receivers = 100, .window = 64, .size = 64, .seconds = 2, .warmup = 0.4};

static receiver *receivers;
static uint64_t first_reading; /* receivers before this one have stalled */
static uint64_t heard_count, started_count;
static stream published, delivered;
static uint64_t published_bytes;
static int publisher, epoll;
static char buffer[BUFFER_BYTES];

static void fail(const char *what)
{
    fprintf(stderr, "raw_fanout: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *allocate(size_t count, size_t size)
{
    void *memory = calloc(count, size);
    if (memory == NULL) {
        fail("memory");
    }
    return memory;
}

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    return clock_gettime(clock, &now) == 0 ? (int64_t)now.tv_sec * 1000000000 + now.tv_nsec : 0;
}

/* A figure in KiB from the server's /proc entry. */
static long server_kib(const char *field)
{
    char path[64], line[256];
    long kib = 0;
    snprintf(path, sizeof(path), "/proc/%ld/status", options.pid);
    FILE *status = fopen(path, "re");
    while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
        if (strncmp(line, field, strlen(field)) == 0) {
            kib = strtol(line + strlen(field) + 1, NULL, 10);
        }
    }
    if (status != NULL) {
        fclose(status);
    }
    return kib;
}

static void choose_framing(const char *publisher_name)
{
    framing *in = &published.framing, *out = &delivered.framing;
    size_t size = options.size;
    switch (options.protocol) {
    case ROOM:
        snprintf(in->before, AROUND_BYTES, "{\"message\":\"");
        snprintf(in->after, AROUND_BYTES, "\"}");
        snprintf(out->before, AROUND_BYTES, "%s 地址发送了请求消息：", publisher_name);
        snprintf(out->after, AROUND_BYTES, "\n");
        break;
    case REDIS:
        snprintf(in->before, AROUND_BYTES, "*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$%zu\r\n", size);
        snprintf(in->after, AROUND_BYTES, "\r\n");
        snprintf(out->before, AROUND_BYTES, "*3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$%zu\r\n", size);
        snprintf(out->after, AROUND_BYTES, "\r\n");
        break;
    case NATS:
        snprintf(in->before, AROUND_BYTES, "PUB room %zu\r\n", size);
        snprintf(in->after, AROUND_BYTES, "\r\n");
        snprintf(out->before, AROUND_BYTES, "MSG room 1 %zu\r\n", size);
        snprintf(out->after, AROUND_BYTES, "\r\n");
        break;
    }
}

static const char *hello(bool receives)
{
    switch (options.protocol) {
    case REDIS:
        return receives ? "SUBSCRIBE room\r\n" : "";
    case NATS:
        return receives ? "CONNECT {\"verbose\":false}\r\nSUB room 1\r\n" : "CONNECT {\"verbose\":false}\r\n";
    default:
        return "";
    }
}

/* Frames one payload; returns where the next begins. */
static char *frame(const framing *of, char *to, const char *payload)
{
    to = stpcpy(to, of->before);
    to = mempcpy(to, payload, options.size);
    return stpcpy(to, of->after);
}

static void fill_stream(stream *to, size_t count)
{
    char *payload = allocate(options.size, 1);
    to->framing.size = strlen(to->framing.before) + options.size + strlen(to->framing.after);
    to->period = count * to->framing.size;
    size_t again = BUFFER_BYTES + options.window * to->framing.size;
    to->bytes = allocate(to->period + again + 1, 1);
    char *end = to->bytes;
    for (size_t number = 0; number < count; number++) {
        for (size_t i = 0; i < options.size; i++) {
            payload[i] = (char)('A' + (i + number) % 26);
        }
        char digits[16];
        int length = snprintf(digits, sizeof(digits), "%06zu ", number);
        memcpy(payload, digits, (size_t)length);
        end = frame(&to->framing, end, payload);
    }
    for (size_t i = 0; i < again; i++) {
        to->bytes[to->period + i] = to->bytes[i % to->period];
    }
    free(payload);
}

static void send_text(int fd, const char *text, size_t size)
{
    if (send(fd, text, size, MSG_NOSIGNAL) != (ssize_t)size) {
        fail("send");
    }
}

/* Publishes a message of one letter, outside the stream. */
static void publish_letter(char letter)
{
    char *text = allocate(published.framing.size + 1, 1);
    char *payload = allocate(options.size, 1);
    memset(payload, letter, options.size);
    char *end = frame(&published.framing, text, payload);
    send_text(publisher, text, (size_t)(end - text));
    free(payload);
    free(text);
}

static void answer_ping(int fd)
{
    send_text(fd, "PONG\r\n", 6);
}

/* Looks for probes and the mark in what comes before the stream. Returns how many bytes belong to that. */
static size_t look_for_mark(receiver *of, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        of->run = bytes[i] == of->last ? of->run + 1 : 1;
        of->last = bytes[i];
        if (of->run >= SIZE_LEAST && of->last == PROBE && !of->heard) {
            of->heard = true;
            heard_count++;
        }
        if (of->run == options.size && of->last == MARK) {
            of->started = true;
            started_count++;
            of->position = delivered.period - strlen(delivered.framing.after); /* its end is still to come */
            return i + 1;
        }
    }
    return size;
}

/* Compares byte by byte and takes out the questions that a server puts between messages. */
static void compare_slowly(receiver *of, const char *bytes, size_t size)
{
    static const char ping[] = "PING\r\n";
    for (size_t i = 0; i < size; i++) {
        size_t place = of->position % delivered.period;
        if (of->ping == 0 && bytes[i] == delivered.bytes[place]) {
            of->position++;
            continue;
        }
        if (options.protocol != NATS || place % delivered.framing.size != 0 || bytes[i] != ping[of->ping]) {
            fprintf(stderr, "raw_fanout: receiver %td got a wrong byte at %llu\n", of - receivers,
                    (unsigned long long)of->position);
            exit(1);
        }
        of->ping = (of->ping + 1) % (sizeof(ping) - 1);
        if (of->ping == 0) {
            answer_ping(of->fd);
        }
    }
}

static void take(receiver *of, const char *bytes, size_t size)
{
    if (!of->started) {
        size_t before = look_for_mark(of, bytes, size);
        bytes += before;
        size -= before;
    }
    if (of->ping == 0 && memcmp(bytes, delivered.bytes + of->position % delivered.period, size) == 0) {
        of->position += size;
    } else {
        compare_slowly(of, bytes, size);
    }
}

static ssize_t receive(int fd)
{
    ssize_t count = recv(fd, buffer, sizeof(buffer), 0);
    if (count == 0 || (count < 0 && errno != EAGAIN)) {
        errno = count == 0 ? EPIPE : errno;
        fail("recv");
    }
    return count;
}

/* What a server answers to the publisher is of no interest, but for questions. */
static void read_answers(void)
{
    ssize_t count;
    do {
        count = receive(publisher);
        if (options.protocol == NATS && count > 0 && memmem(buffer, (size_t)count, "PING\r\n", 6) != NULL) {
            answer_ping(publisher);
        }
    } while (count == sizeof(buffer));
}

static void poll_once(int timeout_ms)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, timeout_ms);
    for (int i = 0; i < count; i++) {
        receiver *of = events[i].data.ptr;
        if (of == NULL) {
            read_answers();
            continue;
        }
        ssize_t size = receive(of->fd);
        if (size > 0) {
            take(of, buffer, (size_t)size);
        }
    }
}

/* The number of messages that all receivers have got that still read. */
static uint64_t slowest(void)
{
    uint64_t position = UINT64_MAX;
    for (uint64_t i = first_reading; i < options.receivers; i++) {
        position = receivers[i].position < position ? receivers[i].position : position;
    }
    return position / delivered.framing.size - delivered.period / delivered.framing.size;
}

/* Publishes what the window leaves room for, as much as the kernel takes. */
static void publish(void)
{
    uint64_t allowed = (slowest() + options.window) * published.framing.size;
    while (published_bytes < allowed) {
        const char *bytes = published.bytes + published_bytes % published.period;
        ssize_t sent = send(publisher, bytes, allowed - published_bytes, MSG_NOSIGNAL);
        if (sent < 0) {
            if (errno == EAGAIN) {
                return;
            }
            fail("publish");
        }
        published_bytes += (uint64_t)sent;
    }
}

static void run_for(double seconds)
{
    int64_t end = clock_ns(CLOCK_MONOTONIC) + (int64_t)(seconds * 1e9);
    while (clock_ns(CLOCK_MONOTONIC) < end) {
        publish();
        poll_once(10);
    }
}

static int open_socket(receiver *of)
{
    int on = 1;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = of};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&options.addr, sizeof(options.addr)) < 0) {
        fail("connect");
    }
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) < 0 ||
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
        fail("connect");
    }
    const char *first = hello(of != NULL);
    send_text(fd, first, strlen(first));
    return fd;
}

static void open_publisher(void)
{
    struct sockaddr_in own;
    socklen_t size = sizeof(own);
    char host[INET_ADDRSTRLEN], name[64];
    publisher = open_socket(NULL);
    if (getsockname(publisher, (struct sockaddr *)&own, &size) < 0 ||
        inet_ntop(AF_INET, &own.sin_addr, host, sizeof(host)) == NULL) {
        fail("getsockname");
    }
    snprintf(name, sizeof(name), "%s:%u", host, ntohs(own.sin_port));
    choose_framing(name);
    size_t frame_bytes = options.size + 64;
    size_t count = PERIOD_BYTES / frame_bytes > PERIOD_LEAST ? PERIOD_BYTES / frame_bytes : PERIOD_LEAST;
    fill_stream(&published, count);
    fill_stream(&delivered, count);
}

/* Probes until all receivers take part, then publishes the mark. */
static void start_all(void)
{
    open_publisher();
    for (uint64_t i = 0; i < options.receivers; i++) {
        receivers[i].fd = open_socket(&receivers[i]);
    }
    for (int probes = 0; heard_count < options.receivers && probes < PROBES; probes++) {
        publish_letter(PROBE);
        int64_t end = clock_ns(CLOCK_MONOTONIC) + PROBE_MS * 1000000;
        while (heard_count < options.receivers && clock_ns(CLOCK_MONOTONIC) < end) {
            poll_once(1);
        }
    }
    publish_letter(MARK);
    for (int turns = 0; started_count < options.receivers && turns < PROBES * PROBE_MS; turns++) {
        poll_once(1);
    }
    if (started_count < options.receivers) {
        fprintf(stderr, "raw_fanout: only %llu of %llu receivers heard the publisher\n",
                (unsigned long long)started_count, (unsigned long long)options.receivers);
        exit(1);
    }
    while (receivers[0].position % delivered.period != 0) {
        poll_once(10); /* the end of the mark */
    }
}

static void stall_some(void)
{
    for (; first_reading < options.stalled; first_reading++) {
        epoll_ctl(epoll, EPOLL_CTL_DEL, receivers[first_reading].fd, NULL);
    }
}

/* What one measured time gave. */
typedef struct sample {
    double deliveries, took_ns, client_ns, server_ns;
    uint64_t starved;
} sample;

static sample measure(clockid_t server)
{
    for (uint64_t i = first_reading; i < options.receivers; i++) {
        receivers[i].before = receivers[i].position;
    }
    int64_t start = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID), server_cpu = clock_ns(server);
    run_for(options.seconds);
    sample result = {
        .took_ns = (double)(clock_ns(CLOCK_MONOTONIC) - start),
        .client_ns = (double)(clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu),
        .server_ns = (double)(clock_ns(server) - server_cpu),
    };
    for (uint64_t i = first_reading; i < options.receivers; i++) {
        uint64_t bytes = receivers[i].position - receivers[i].before;
        result.deliveries += (double)bytes / (double)delivered.framing.size;
        result.starved += bytes == 0;
    }
    return result;
}

static void report(const sample *of)
{
    printf("deliveries=%.0f per_s=%.0f starved=%llu client_cpu=%.3f client_us=%.4f", of->deliveries,
           of->deliveries * 1e9 / of->took_ns, (unsigned long long)of->starved, of->client_ns / of->took_ns,
           of->client_ns / 1000 / of->deliveries);
    if (options.pid != 0) {
        printf(" server_cpu=%.3f server_us=%.4f per_cpu_s=%.0f", of->server_ns / of->took_ns,
               of->server_ns / 1000 / of->deliveries, of->deliveries * 1e9 / of->server_ns);
    }
}

static void run(clockid_t server)
{
    long kib = options.pid != 0 ? server_kib("VmRSS") : 0;
    start_all();
    run_for(options.warmup);
    sample result = measure(server);
    if (options.stalled > 0) {
        double rate = result.deliveries / (double)options.receivers / result.took_ns;
        stall_some();
        result = measure(server);
        printf("kept=%.3f ", result.deliveries / (double)(options.receivers - options.stalled) / result.took_ns / rate);
    }
    report(&result);
    if (options.pid != 0) {
        printf(" grew_kib=%ld", server_kib("VmHWM") - kib);
    }
    printf("\n");
}

static void usage(const char *program)
{
    fprintf(stderr,
            "usage: %s [--protocol room|redis|nats] [--receivers N] [--window W] [--size BYTES] [--stalled N] "
            "[--seconds S] [--warmup S] [--pid PID] IPV4:PORT\n",
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

static void set_protocol(char *program, const char *name)
{
    for (unsigned i = 0; i < sizeof(protocol_names) / sizeof(protocol_names[0]); i++) {
        if (strcmp(name, protocol_names[i]) == 0) {
            options.protocol = (protocol)i;
            return;
        }
    }
    usage(program);
}

static void set_option(char *program, int option)
{
    uint64_t number = strtoull(optarg != NULL ? optarg : "0", NULL, 10);
    switch (option) {
    case 'P':
        set_protocol(program, optarg);
        break;
    case 'r':
        options.receivers = number;
        break;
    case 'W':
        options.window = number;
        break;
    case 's':
        options.size = number;
        break;
    case 'k':
        options.stalled = number;
        break;
    case 't':
        options.seconds = atof(optarg);
        break;
    case 'w':
        options.warmup = atof(optarg);
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
        {"protocol", required_argument, NULL, 'P'},
        {"receivers", required_argument, NULL, 'r'},
        {"window", required_argument, NULL, 'W'},
        {"size", required_argument, NULL, 's'},
        {"stalled", required_argument, NULL, 'k'},
        {"seconds", required_argument, NULL, 't'},
        {"warmup", required_argument, NULL, 'w'},
        {"pid", required_argument, NULL, 'p'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "P:r:W:s:k:t:w:p:", known, NULL)) != -1) {
        set_option(argv[0], option);
    }
    parse_address(argv[0], argv[optind]);
    if (options.receivers <= options.stalled || options.window == 0 || options.size < SIZE_LEAST ||
        options.seconds <= 0) {
        usage(argv[0]);
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
    receivers = allocate(options.receivers, sizeof(*receivers));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0) {
        fail("epoll");
    }
    run(server);
    return 0;
}

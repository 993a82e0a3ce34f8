/* SPDX-License-Identifier: MIT */
/*
 * Clients of an echo server, to see what becomes of them while it is reloaded, replaced, stopped or killed. One thread,
 * one epoll, and nothing of the library: what it counts is what the kernel shows to a client.
 *
 * usage: churn [--rate N] [--lasting N] [--messages N] [--pause MS] [--staying N] [--patience S] IPV4:PORT
 *
 *   passing  N of them begin each second, at their time, however long those before took. Each has two echoes.
 *   lasting  N at any time. Each has MESSAGES echoes with a PAUSE after each, then another one takes its place.
 *   staying  N that never leave. One that loses its connection, or cannot have one, comes back after a random time of
 *            up to 100 ms, twice as much after each time in vain, up to 2 s.
 *
 * The first two leave in turn by RST, and by FIN, and then they wait for the server's. They come from several source
 * addresses, because one has some 28,000 ports only, and each port rests a minute after a FIN.
 *
 * Says "ready" when it begins, and "together" whenever all that stay are there, with how often one has come, or come
 * back, and the longest time that one of them was away since the last time. When standard input ends no more begin and
 * those that are there finish. Then it prints one line of key=value: how many have `begun`, had their dialogue
 * (passing, lasting), were away and came `back`, and what happened to the others:
 *   refused       nobody listens
 *   reset_early   RST before the first byte of an answer, as from a listener that is closed with clients in its queue
 *   reset_late    RST after that
 *   cut_early, cut_late   the same by FIN, with less than was sent
 *   late          no answer within PATIENCE
 *   wrong         other bytes than were sent
 *   other         other errors, which are shown
 *   skipped       could not begin: this process has no descriptors left
 * slowest_ms is the longest time of a passing client, from its connect to its last echo.
 */
#include <arpa/inet.h>
#include <errno.h>
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

enum { SIZE = 64, PERIOD = 251, SOURCES = 100, EVENTS = 256, AT_ONCE = 64, OWN_FDS = 16, PASSING_MESSAGES = 2 };
static const int64_t ms_ns = 1000000, second_ns = 1000000000;
static const int64_t tick_ns = 5000000, retry_ns = 100000000, retry_most_ns = 2000000000;

enum kind { PASSING, LASTING, STAYING };
enum state { FREE, AWAY, PAUSING, LISTENING, LEAVING };
enum count { REFUSED, RESET_EARLY, RESET_LATE, CUT_EARLY, CUT_LATE, LATE, WRONG, OTHER, SKIPPED, COUNTS };
static const char *const count_names[COUNTS] = {"refused", "reset_early", "reset_late", "cut_early", "cut_late",
                                                "late",    "wrong",       "other",      "skipped"};

typedef struct client {
    enum kind kind;
    enum state state;
    int fd;
    uint64_t number;   /* of its connection: begins its bytes */
    unsigned left;     /* messages, the present one included */
    size_t sent, got;  /* bytes of the present message */
    bool heard;        /* of this connection: the server has answered something */
    bool wants_to_say; /* epoll is asked for EPOLLOUT */
    unsigned tries;    /* in vain */
    int64_t began_ns;
    int64_t due_ns;  /* when it acts, or has waited for too long */
    int64_t lost_ns; /* STAYING: 0 while it is there */
} client;

static struct {
    double rate;
    unsigned lasting, messages, staying;
    int64_t pause_ns, patience_ns;
    struct sockaddr_in address;
} options = {.messages = 20, .pause_ns = 100000000, .patience_ns = 20000000000};

static client *clients;
static size_t most, used;         /* clients that fit, and that were ever in use */
static size_t *vacant, vacancies; /* indices below `used` */
static char pattern[PERIOD + SIZE];
static uint64_t counts[COUNTS], begun, done[3], open_now, open_most, present, back;
static int64_t slowest_ns, longest_away_ns;
static int epoll;
static bool over; /* standard input has ended */

static void fail(const char *what)
{
    fprintf(stderr, "churn: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * second_ns + now.tv_nsec;
}

/* From 0 to just below `limit`. */
static int64_t random_below(int64_t limit)
{
    static uint64_t state = 88172645463325252;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (int64_t)(state % (uint64_t)limit);
}

static const char *text_of(const client *of)
{
    return pattern + (of->number * 7 + of->left) % PERIOD;
}

static void hang_up(client *of)
{
    close(of->fd);
    open_now--;
}

/* It has had its dialogue, or something else has happened to it; its connection is closed. */
static void retire(client *of)
{
    int64_t now = now_ns();
    if (of->kind == STAYING && !over) {
        if (of->lost_ns == 0) {
            of->lost_ns = now;
            present--;
        }
        int64_t within = retry_ns << (of->tries < 8 ? of->tries++ : 8);
        of->state = AWAY;
        of->due_ns = now + random_below(within < retry_most_ns ? within : retry_most_ns);
    } else if (of->kind == LASTING && !over) {
        of->state = AWAY;
        of->due_ns = now;
    } else {
        of->state = FREE;
        vacant[vacancies++] = (size_t)(of - clients);
    }
}

/* Its connection has ended too soon. 0: by FIN. */
static void lose(client *of, int error)
{
    enum count what = OTHER;
    if (error == 0) {
        what = of->heard ? CUT_LATE : CUT_EARLY;
    } else if (error == ECONNREFUSED) {
        what = REFUSED;
    } else if (error == ECONNRESET || error == EPIPE) {
        what = of->heard ? RESET_LATE : RESET_EARLY;
    } else if (error == ETIMEDOUT) {
        what = LATE;
    } else if (error == EBADMSG) {
        what = WRONG;
    } else {
        fprintf(stderr, "churn: %s\n", strerror(error));
    }
    counts[what]++;
    hang_up(of);
    retire(of);
}

static void watch(client *of, int how)
{
    of->wants_to_say = of->sent < SIZE;
    struct epoll_event event = {.events = EPOLLIN | (of->wants_to_say ? EPOLLOUT : 0), .data.ptr = of};
    if (epoll_ctl(epoll, how, of->fd, &event) < 0) {
        fail("epoll_ctl");
    }
}

/* Sends what is left of the message. False: the connection is lost. */
static bool say(client *of)
{
    while (of->sent < SIZE) {
        ssize_t sent = send(of->fd, text_of(of) + of->sent, SIZE - of->sent, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            break;
        }
        if (sent < 0) {
            lose(of, errno);
            return false;
        }
        of->sent += (size_t)sent;
    }
    return true;
}

static void say_next(client *of)
{
    of->state = LISTENING;
    of->sent = of->got = 0;
    of->due_ns = now_ns() + options.patience_ns;
    if (say(of) && of->sent < SIZE) {
        watch(of, EPOLL_CTL_MOD);
    }
}

/* A socket that has a source address of its own; its port is chosen by connect(), when the other end is known. */
static int new_socket(uint64_t number)
{
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    struct sockaddr_in source = {.sin_family = AF_INET};
    source.sin_addr.s_addr = htonl(0x7f000201 + (uint32_t)(number % SOURCES)); /* 127.0.2.1 and so on */
    if (fd < 0 && errno == EMFILE) {
        return -1;
    }
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof(on)) < 0 ||
        bind(fd, (struct sockaddr *)&source, sizeof(source)) < 0) {
        fail("socket");
    }
    return fd;
}

/* Connects and says its first words. */
static void begin(client *of)
{
    of->number = begun++;
    of->fd = new_socket(of->number);
    if (of->fd < 0) {
        counts[SKIPPED]++;
        retire(of);
        return;
    }
    open_now++;
    open_most = open_now > open_most ? open_now : open_most;
    of->state = LISTENING;
    of->left = of->kind == PASSING ? PASSING_MESSAGES : options.messages;
    of->sent = of->got = 0;
    of->heard = false;
    of->began_ns = now_ns();
    of->due_ns = of->began_ns + options.patience_ns;
    if (connect(of->fd, (struct sockaddr *)&options.address, sizeof(options.address)) < 0 && errno != EINPROGRESS) {
        lose(of, errno);
    } else if (say(of)) {
        watch(of, EPOLL_CTL_ADD);
    }
}

static void begin_new(enum kind kind)
{
    size_t index = vacancies > 0 ? vacant[--vacancies] : used < most ? used++ : most;
    if (index == most) {
        begun++;
        counts[SKIPPED]++;
        return;
    }
    clients[index] = (client){.kind = kind, .lost_ns = kind == STAYING ? now_ns() : 0};
    begin(&clients[index]);
}

static void finish(client *of)
{
    hang_up(of);
    done[of->kind]++;
    retire(of);
}

/* All that it wanted to say has been answered. */
static void leave(client *of)
{
    struct linger at_once = {.l_onoff = 1};
    if (of->number % 2 == 0 && shutdown(of->fd, SHUT_WR) == 0) {
        of->state = LEAVING;
        of->due_ns = now_ns() + options.patience_ns;
    } else {
        setsockopt(of->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        finish(of);
    }
}

static void is_back(client *of, int64_t now)
{
    int64_t away = now - of->lost_ns;
    of->lost_ns = 0;
    of->tries = 0;
    back++;
    longest_away_ns = away > longest_away_ns ? away : longest_away_ns;
    if (++present == options.staying) {
        printf("together back=%llu ms=%lld\n", (unsigned long long)back, (long long)(longest_away_ns / ms_ns));
        fflush(stdout);
        longest_away_ns = 0;
    }
}

static void answered(client *of)
{
    int64_t now = now_ns();
    if (of->kind == STAYING && of->lost_ns != 0) {
        is_back(of, now);
    }
    if (of->kind != STAYING && --of->left == 0) {
        if (of->kind == PASSING && now - of->began_ns > slowest_ns) {
            slowest_ns = now - of->began_ns;
        }
        leave(of);
    } else if (of->kind == PASSING) {
        say_next(of);
    } else {
        of->state = PAUSING;
        of->due_ns = now + options.pause_ns / 2 + random_below(options.pause_ns + 1);
    }
}

static void hear(client *of)
{
    char bytes[SIZE + 1];
    ssize_t count = recv(of->fd, bytes, sizeof(bytes), 0);
    if (count < 0 && errno == EAGAIN) {
        return;
    }
    if (count == 0 && of->state == LEAVING) {
        finish(of);
    } else if (count <= 0) {
        lose(of, count < 0 ? errno : 0);
    } else if (of->state != LISTENING || (size_t)count > of->sent - of->got ||
               memcmp(bytes, text_of(of) + of->got, (size_t)count) != 0) {
        lose(of, EBADMSG);
    } else {
        of->heard = true;
        of->got += (size_t)count;
        if (of->got == SIZE) {
            answered(of);
        }
    }
}

static void happened(client *of, uint32_t events)
{
    if (of->wants_to_say && (events & EPOLLOUT) != 0) {
        if (!say(of)) {
            return;
        }
        if (of->sent == SIZE) {
            watch(of, EPOLL_CTL_MOD);
        }
    }
    if ((events & ~(uint32_t)EPOLLOUT) != 0) {
        hear(of);
    }
}

/* Its time has come. */
static void act(client *of)
{
    if (of->state == AWAY && !over) {
        begin(of);
    } else if (of->state == AWAY) {
        retire(of);
    } else if (of->state != PAUSING) {
        lose(of, ETIMEDOUT);
    } else if (of->kind == STAYING && over) {
        leave(of);
    } else {
        say_next(of);
    }
}

static void act_all(int64_t now)
{
    for (size_t i = 0; i < used; i++) {
        if (clients[i].state != FREE && clients[i].due_ns <= now) {
            act(&clients[i]);
        }
    }
}

static void wait_once(void)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll, events, EVENTS, 1);
    for (int i = 0; i < count; i++) {
        if (events[i].data.ptr != NULL) {
            happened(events[i].data.ptr, events[i].events);
        } else if (read(STDIN_FILENO, (char[64]){0}, 64) <= 0) {
            over = true;
            epoll_ctl(epoll, EPOLL_CTL_DEL, STDIN_FILENO, NULL);
        }
    }
}

/* Until the end of standard input, and then of all clients. Returns how long clients have begun. */
static int64_t run(void)
{
    int64_t from = now_ns(), ticked = from, ended = 0;
    uint64_t passed = 0;
    for (unsigned i = 0; i < options.lasting + options.staying; i++) {
        begin_new(i < options.lasting ? LASTING : STAYING);
        wait_once();
    }
    while (!over || used > vacancies) {
        int64_t now = now_ns();
        uint64_t due = (uint64_t)((double)(now - from) / 1e9 * options.rate);
        for (int i = 0; i < AT_ONCE && !over && passed < due; i++, passed++) {
            begin_new(PASSING);
        }
        wait_once();
        if (now - ticked >= tick_ns) {
            ticked = now;
            act_all(now);
        }
        ended = over && ended == 0 ? now : ended;
    }
    return ended - from;
}

static void usage(void)
{
    fprintf(stderr, "usage: churn [--rate N] [--lasting N] [--messages N] [--pause MS] [--staying N] [--patience S] "
                    "IPV4:PORT\n");
    exit(2);
}

static void parse_address(char *text)
{
    char *port = text != NULL ? strrchr(text, ':') : NULL;
    if (port == NULL) {
        usage();
    }
    *port++ = '\0';
    options.address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    if (inet_pton(AF_INET, text, &options.address.sin_addr) != 1) {
        usage();
    }
}

static void parse(int argc, char **argv)
{
    static const struct option known[] = {
        {"rate", required_argument, NULL, 'r'},
        {"lasting", required_argument, NULL, 'l'},
        {"messages", required_argument, NULL, 'm'},
        {"pause", required_argument, NULL, 'p'},
        {"staying", required_argument, NULL, 's'},
        {"patience", required_argument, NULL, 't'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        double number = optarg != NULL ? atof(optarg) : -1;
        switch (number < 0 ? '?' : option) {
        case 'r':
            options.rate = number;
            break;
        case 'l':
            options.lasting = (unsigned)number;
            break;
        case 'm':
            options.messages = number < 1 ? 1 : (unsigned)number;
            break;
        case 'p':
            options.pause_ns = (int64_t)(number * 1e6);
            break;
        case 's':
            options.staying = (unsigned)number;
            break;
        case 't':
            options.patience_ns = (int64_t)(number * 1e9);
            break;
        default:
            usage();
        }
    }
    parse_address(argv[optind]);
}

static void set_up(void)
{
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) < 0) {
        fail("getrlimit");
    }
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
    most = (files.rlim_cur < 65536 ? files.rlim_cur : 65536) - OWN_FDS;
    clients = calloc(most, sizeof(*clients));
    vacant = calloc(most, sizeof(*vacant));
    epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event input = {.events = EPOLLIN};
    if (clients == NULL || vacant == NULL || epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) < 0) {
        fail("set-up");
    }
    for (size_t i = 0; i < sizeof(pattern); i++) {
        pattern[i] = (char)(i % PERIOD);
    }
}

int main(int argc, char **argv)
{
    parse(argc, argv);
    set_up();
    printf("ready\n");
    fflush(stdout);
    double seconds = (double)run() / 1e9;
    printf("begun=%llu passing=%llu lasting=%llu back=%llu", (unsigned long long)begun,
           (unsigned long long)done[PASSING], (unsigned long long)done[LASTING], (unsigned long long)back);
    for (int i = 0; i < COUNTS; i++) {
        printf(" %s=%llu", count_names[i], (unsigned long long)counts[i]);
    }
    printf(" open_most=%llu slowest_ms=%lld seconds=%.3f\n", (unsigned long long)open_most,
           (long long)(slowest_ns / ms_ns), seconds);
    return 0;
}

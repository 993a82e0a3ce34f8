/* SPDX-License-Identifier: MIT */
/* Defaults and admission. */
#include "serve/limits.h"

#include "serve/peers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/*
 * Descriptors for anything but sessions: standard streams, listeners, pollers, what libraries open in passing. Half of
 * them all where that is less: so that there is one left for a client to be told that there are too many, and for the
 * status server.
 */
#define OTHER_DESCRIPTORS 64
/* What one address may have open, and open within a second. */
#define PER_IP 256
#define ACCEPT_RATE 256
#define FIRST_BYTE_NS (60 * COR_SECOND)
#define IDLE_NS (5 * 60 * COR_SECOND)
#define WRITE_NS (30 * COR_SECOND)
#define SLOW_NS (10 * COR_SECOND)

static void set_count(uint64_t *value, uint64_t standard)
{
    if (*value == NOT_GIVEN_COUNT) {
        *value = standard;
    }
}

static void set_time(int64_t *value, int64_t standard)
{
    if (*value == NOT_GIVEN_TIME) {
        *value = standard;
    }
}

/* Reads the first number of a file; 0 if there is none. */
static uint64_t number_in(const char *path, const char *after)
{
    char text[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0) {
        close(fd);
    }
    if (size <= 0) {
        return 0;
    }
    text[size] = '\0';
    const char *found = strstr(text, after);
    return found == NULL ? 0 : strtoull(found + strlen(after), NULL, 10);
}

/* Three quarters of what the host or the container has. */
static size_t standard_memory(void)
{
    uint64_t most = number_in("/proc/meminfo", "MemTotal:") * 1024;
    uint64_t container = number_in("/sys/fs/cgroup/memory.max", "");
    if (container == 0) {
        container = number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes", "");
    }
    if (container > 0 && container < most) {
        most = container;
    }
    return most / 4 * 3;
}

/* Allows as many descriptors as the system lets us have, and as many connections as those carry. */
static void fit_to_descriptors(serve_options *options)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) {
        return;
    }
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    if (options->max_conns == 0 && getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        rlim_t half = limit.rlim_cur / 2, others = half < OTHER_DESCRIPTORS ? half : OTHER_DESCRIPTORS;
        options->max_conns = limit.rlim_cur - others;
    }
}

void limits_settle(serve_options *options)
{
    bool on = !options->no_limits;
    options->per_ip_given = options->per_ip != NOT_GIVEN_COUNT;
    options->accept_rate_given = options->accept_rate != NOT_GIVEN_COUNT;
    options->first_byte_given = options->first_byte_timeout != NOT_GIVEN_TIME;
    options->idle_given = options->idle_timeout != NOT_GIVEN_TIME;
    set_count(&options->per_ip, on ? PER_IP : 0);
    set_count(&options->accept_rate, on ? ACCEPT_RATE : 0);
    set_time(&options->idle_timeout, on ? IDLE_NS : 0);
    /* Nobody who sets a shorter idle limit wants to wait longer for the first byte. */
    bool shorter = options->idle_timeout > 0 && options->idle_timeout < FIRST_BYTE_NS;
    set_time(&options->first_byte_timeout, !on ? 0 : shorter ? options->idle_timeout : FIRST_BYTE_NS);
    set_time(&options->write_timeout, on ? WRITE_NS : 0);
    set_time(&options->slow_after, on ? SLOW_NS : 0);
    if (options->max_memory == NOT_GIVEN_SIZE) {
        options->max_memory = on ? standard_memory() : 0;
    }
    fit_to_descriptors(options);
}

int limits_start(struct serve *serve)
{
    const serve_options *options = &serve->options;
    if (options->per_ip == 0 && options->accept_rate == 0) {
        return 0;
    }
    serve->peers = peers_new(options->max_conns);
    return serve->peers == NULL ? -ENOMEM : 0;
}

void limits_stop(struct serve *serve)
{
    peers_free(serve->peers);
    serve->peers = NULL;
}

close_reason limits_admit(struct serve *serve, cor_ip ip, struct peer **of)
{
    const serve_options *options = &serve->options;
    *of = NULL;
    if (atomic_load_explicit(&serve->short_of_memory, memory_order_relaxed)) {
        return REASON_OOM;
    }
    if (ip.family == 0) {
        return REASON_NONE; /* a unix socket */
    }
    if (!access_allows(&serve->access, ip)) {
        return REASON_DENIED;
    }
    bool here = (cor_ip_traits(ip) & COR_IP_LOOPBACK) != 0;
    uint64_t most = here && !options->per_ip_given ? 0 : options->per_ip;
    uint64_t rate = here && !options->accept_rate_given ? 0 : options->accept_rate;
    if (most == 0 && rate == 0) {
        return REASON_NONE;
    }
    struct peer *peer;
    close_reason reason = peers_enter(serve->peers, ip, most, rate, cor_now(), &peer);
    *of = reason == REASON_NONE ? peer : NULL;
    return reason;
}

void limits_left(struct serve *serve, struct peer *of)
{
    if (of != NULL) {
        peers_leave(serve->peers, of);
    }
}

const char *limits_words(close_reason reason)
{
    switch (reason) {
    case REASON_MAX_CONNS:
        return "too many connections";
    case REASON_DENIED:
        return "your address may not connect";
    case REASON_PER_IP:
        return "too many connections from your address";
    case REASON_MAX_ROOMS:
        return "too many rooms";
    case REASON_RATE:
        return "too many new connections from your address, try again later";
    default:
        return "out of memory, try again later";
    }
}

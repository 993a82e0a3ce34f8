/* SPDX-License-Identifier: MIT */
/* The rules, and the hooks of base/sys.h that follow them. All is set up before main. */
#include "faults/faults.h"

#if COR_HAVE_URING
#include "poll/uring_ring.h"
#endif
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* The calls by name, with the error that is usual, and others that they may fail with. */
static const struct {
    const char *name;
    int code;
    const char *others;
} calls[FAULT_RULES] = {
    [CORI_SYS_SOCKET] = {"socket", EMFILE, "ENFILE ENOBUFS"},
    [CORI_SYS_BIND] = {"bind", EADDRINUSE, NULL},
    [CORI_SYS_LISTEN] = {"listen", EADDRINUSE, NULL},
    [CORI_SYS_ACCEPT] = {"accept", EMFILE, "ENFILE ENOMEM ENOBUFS ECONNABORTED EPROTO EPERM"},
    [CORI_SYS_CONNECT] = {"connect", ENETUNREACH, NULL},
    [CORI_SYS_RECV] = {"recv", ENOMEM, "ECONNRESET ETIMEDOUT"},
    [CORI_SYS_TAKE] = {"take", ENOMEM, "ECONNRESET ETIMEDOUT"},
    [CORI_SYS_SEND] = {"send", EPIPE, "ECONNRESET ENOBUFS ENOMEM"},
    [CORI_SYS_READ] = {"read", EIO, "EINTR"},
    [CORI_SYS_WRITE] = {"write", EIO, "ENOSPC"},
    [CORI_SYS_SHUTDOWN] = {"shutdown", ENOTCONN, NULL},
    [CORI_SYS_SETSOCKOPT] = {"setsockopt", ENOMEM, NULL},
    [CORI_SYS_GETSOCKOPT] = {"getsockopt", ENOBUFS, NULL},
    [CORI_SYS_GETSOCKNAME] = {"getsockname", ENOBUFS, NULL},
    [CORI_SYS_POLL] = {"poll", ENOMEM, NULL},
    [CORI_SYS_EPOLL_CTL] = {"epoll_ctl", ENOSPC, "ENOMEM"},
    [CORI_SYS_EPOLL_WAIT] = {"epoll_wait", EINTR, NULL},
    [CORI_SYS_URING_SETUP] = {"uring_setup", ENOMEM, NULL},
    [CORI_SYS_URING_ENTRY] = {"uring_entry", EBUSY, NULL},
    [CORI_SYS_MMAP] = {"mmap", ENOMEM, "EAGAIN"},
    [CORI_SYS_PIPE] = {"pipe", EMFILE, NULL},
    [CORI_SYS_SPLICE] = {"splice", ENOMEM, "EINVAL"},
    [CORI_SYS_SENDFILE] = {"sendfile", EIO, NULL},
    [CORI_SYS_DUP] = {"dup", EMFILE, NULL},
    [CORI_SYS_NEVER_WAIT] = {"never_wait", EBADF, NULL},
    [CORI_SYS_ALLOC] = {"alloc", ENOMEM, NULL},
    [FAULT_ANY] = {"any", 0, NULL},
};

static fault_rule own_rules[FAULT_RULES];
static fault_rule *rules = own_rules;

/* Counts a call for one rule; whether it befalls this one. */
static bool befalls(fault_rule *rule)
{
    uint32_t number = __atomic_add_fetch(&rule->seen, 1, __ATOMIC_RELAXED);
    uint32_t first = __atomic_load_n(&rule->first, __ATOMIC_RELAXED);
    uint32_t step = __atomic_load_n(&rule->step, __ATOMIC_RELAXED);
    bool hit = first != 0 && number >= first && (number == first || (step != 0 && (number - first) % step == 0));
    if (hit) {
        __atomic_add_fetch(&rule->hits, 1, __ATOMIC_RELAXED);
    }
    return hit;
}

int fault_due(int call)
{
    fault_rule *rule = &rules[call];
    bool one = rule->limit == 0 && befalls(rule);
    bool any = call != CORI_SYS_ALLOC && befalls(&rules[FAULT_ANY]);
    uint32_t code = one ? __atomic_load_n(&rule->code, __ATOMIC_RELAXED) : 0;
    return !one && !any ? 0 : code != 0 ? -(int)code : -calls[call].code;
}

static int on_call(enum cori_sys_call call)
{
    /* Those of the library are among all allocations of the process: alloc.c counts them. */
    return call == CORI_SYS_ALLOC || call == CORI_SYS_CLOSE ? 0 : fault_due((int)call);
}

static size_t on_bytes(enum cori_sys_call call, size_t size)
{
    fault_rule *rule = &rules[call];
    uint32_t limit = __atomic_load_n(&rule->limit, __ATOMIC_RELAXED);
    return limit != 0 && size > limit && befalls(rule) ? limit : size;
}

static _Noreturn void refuse(const char *rule)
{
    fprintf(stderr, "COR_FAULT: cannot read \"%s\"; COR_FAULT=help shows the calls\n", rule);
    exit(2);
}

/* For people, and for whoever drives the program: lines that begin with "#" are for the former only. */
static _Noreturn void help(void)
{
    printf("# COR_FAULT=CALL:WHAT[@FIRST[+STEP]],...    WHAT: an error, fail (the call's usual one) or short=BYTES\n"
           "# COR_FAULT_PAGE=FILE: a row for each call; its bytes, and where its words of 4 bytes begin:\n");
    printf("row %zu seen %zu hits %zu first %zu step %zu code %zu limit %zu\n", sizeof(fault_rule),
           offsetof(fault_rule, seen), offsetof(fault_rule, hits), offsetof(fault_rule, first),
           offsetof(fault_rule, step), offsetof(fault_rule, code), offsetof(fault_rule, limit));
    printf("# number, call, the usual error, others\n");
    for (int call = 0; call < FAULT_RULES; call++) {
        const char *usual = call != FAULT_ANY ? strerrorname_np(calls[call].code) : "each";
        const char *others = calls[call].others;
        printf("%d %s %s %s\n", call, calls[call].name, usual, others != NULL ? others : "");
    }
    exit(0);
}

static bool read_number(const char **text, uint32_t *out)
{
    char *end;
    unsigned long value = strtoul(*text, &end, 10);
    bool good = end != *text && value > 0 && value <= UINT32_MAX && **text != '-';
    *text = end;
    *out = (uint32_t)value;
    return good;
}

static bool read_what(const char **text, fault_rule *rule)
{
    size_t size = strcspn(*text, "@,");
    if (strncmp(*text, "short=", 6) == 0) {
        *text += 6;
        return read_number(text, &rule->limit);
    }
    bool found = size == 4 && strncmp(*text, "fail", 4) == 0;
    for (uint32_t code = 1; code < 200 && !found; code++) {
        const char *name = strerrorname_np((int)code);
        found = name != NULL && strlen(name) == size && strncmp(*text, name, size) == 0;
        rule->code = found ? code : 0;
    }
    *text += size;
    return found;
}

/* Reads one rule, and its comma. */
static const char *read_rule(const char *text)
{
    const char *begin = text;
    size_t size = strcspn(text, ":");
    for (int call = 0; call < FAULT_RULES && text[size] == ':'; call++) {
        if (strlen(calls[call].name) != size || strncmp(text, calls[call].name, size) != 0) {
            continue;
        }
        fault_rule rule = {.first = 1, .step = 1};
        text += size + 1;
        bool good = read_what(&text, &rule);
        if (good && *text == '@') {
            text++;
            rule.step = 0;
            good = read_number(&text, &rule.first);
            if (good && *text == '+') {
                text++;
                good = read_number(&text, &rule.step);
            }
        }
        if (!good || (*text != ',' && *text != '\0')) {
            refuse(begin);
        }
        rules[call] = rule;
        return *text == ',' ? text + 1 : text;
    }
    refuse(begin);
}

static void map_page(const char *path)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    void *page = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(own_rules), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        perror(path);
        exit(2);
    }
    (void)close(fd);
    rules = page;
}

/* Rings of `text` entries, and of little else. */
static void make_rings_small(const char *text)
{
    uint32_t entries;
    if (!read_number(&text, &entries) || *text != '\0' || entries > 64) {
        refuse("COR_FAULT_RING");
    }
#if COR_HAVE_URING
    cori_uring_size_now = (cori_uring_size){entries, 2 * entries, (uint16_t)entries};
#endif
}

__attribute__((constructor)) static void set_up(void)
{
    const char *ring = getenv("COR_FAULT_RING");
    const char *path = getenv("COR_FAULT_PAGE"), *text = getenv("COR_FAULT");
    if (text != NULL && strcmp(text, "help") == 0) {
        help();
    }
    if (path != NULL) {
        map_page(path);
    }
    while (text != NULL && *text != '\0') {
        text = read_rule(text);
    }
    if (ring != NULL) {
        make_rings_small(ring);
    }
    cori_sys_fault = on_call;
    cori_sys_short = on_bytes;
}

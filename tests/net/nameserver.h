/* SPDX-License-Identifier: MIT */
/* A scripted name server on loopback, in tasks of the test; no packet leaves this machine. */
#ifndef COR_TEST_NAMESERVER_H
#define COR_TEST_NAMESERVER_H

#include "net/netcase.h"

#include <coracle/io.h>
#include <coracle/lookup.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>

enum { MOST = 16, PACKET = 2048, HEADER = 12, TYPE_A = 1, TYPE_CNAME = 5, RECORDS = 4000, TCP_PACKET = 65536 + 2 };

/* What the server does with a question. */
typedef struct server {
    int fd;
    int questions;     /* atomic */
    int trusting;      /* how many of them have the AD bit; atomic */
    bool silent, ends; /* atomic */
    cor_listener *tcp;
    size_t (*records)(unsigned char *packet, size_t end, int type); /* instead of the script below */
    char file[64], address[32];
} server;

/* The offset after the question's name; the name itself, dotted, in `name`. */
static inline size_t read_name(const unsigned char *packet, size_t size, char *name)
{
    size_t at = HEADER;
    while (at < size && packet[at] != 0) {
        size_t length = packet[at];
        memcpy(name, packet + at + 1, length);
        name[length] = '.';
        name += length + 1;
        at += length + 1;
    }
    *name = '\0';
    return at + 1;
}

/* Appends an answer for the question's name. */
static inline size_t put_record(unsigned char *to, int type, const unsigned char *data, int size)
{
    const unsigned char head[] = {0xc0, HEADER, 0, (unsigned char)type, 0, 1, 0, 0, 0, 60, size >> 8, size & 0xff};
    memcpy(to, head, sizeof(head));
    memcpy(to + sizeof(head), data, (size_t)size);
    return sizeof(head) + (size_t)size;
}

/* Many addresses, for an answer over TCP; over UDP it is cut. */
static inline size_t put_many(unsigned char *packet, size_t end, bool over_tcp)
{
    if (!over_tcp) {
        packet[2] |= 2;
        return end;
    }
    packet[6] = RECORDS >> 8;
    packet[7] = RECORDS & 0xff;
    for (int i = 0; i < RECORDS; i++) {
        const unsigned char v4[4] = {192, 0, (unsigned char)(i >> 8), (unsigned char)i};
        end += put_record(packet + end, TYPE_A, v4, 4);
    }
    return end;
}

/* Answers that are none, by the first label. */
static inline size_t hostile(unsigned char *packet, size_t end, const char *name)
{
    static const unsigned char v4[4] = {192, 0, 2, 1}, itself[2] = {0xc0, HEADER};
    packet[7] = 1;
    if (strncmp(name, "loop.", 5) == 0) {
        return end + put_record(packet + end, TYPE_CNAME, itself, sizeof(itself));
    }
    end += put_record(packet + end, TYPE_A, v4, sizeof(v4));
    if (strncmp(name, "forged.", 7) == 0) {
        packet[0] ^= 0x55;
    } else if (strncmp(name, "other.", 6) == 0) {
        packet[HEADER + 1] = 'u';
    } else if (strncmp(name, "junk.", 5) == 0) {
        memset(packet, 0xc0, end);
    } else if (strncmp(name, "cut.", 4) == 0) {
        return HEADER - 1;
    } else { /* "torn.": the record says that it is longer than it is */
        packet[end - 5] = 200;
    }
    return end;
}

static inline bool begins(const char *name, const char *label)
{
    size_t length = strlen(label);
    return strncmp(name, label, length) == 0 && name[length] == '.';
}

/* The script: the first label of the name says what is answered. Gives the size, 0 for no answer. */
static inline size_t answer(unsigned char *packet, size_t size, bool over_tcp)
{
    static const unsigned char v4[4] = {192, 0, 2, 1}, v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 6};
    static const unsigned char here[4] = {127, 0, 0, 1};
    char name[PACKET];
    size_t end = read_name(packet, size, name) + 4;
    int type = packet[end - 3];
    bool v4_only = begins(name, "four") || begins(name, "here") || begins(name, "big");
    if (begins(name, "mute")) {
        return 0;
    }
    packet[2] |= 0x80;
    packet[3] = 0x80;
    memset(packet + 6, 0, 6); /* no answers, and nothing additional */
    if (begins(name, "fails") || begins(name, "refused")) {
        packet[3] |= begins(name, "fails") ? 2 : 5;
    } else if (type == TYPE_A && begins(name, "big")) {
        end = put_many(packet, end, over_tcp);
    } else if (begins(name, "both") || (type == TYPE_A && (v4_only || strcmp(name, "short.found.test.") == 0)) ||
               (type != TYPE_A && begins(name, "six"))) {
        packet[7] = 1;
        end += type != TYPE_A ? put_record(packet + end, type, v6, 16)
                              : put_record(packet + end, type, begins(name, "here") ? here : v4, 4);
    } else if (begins(name, "forged") || begins(name, "other") || begins(name, "junk") || begins(name, "cut") ||
               begins(name, "torn") || begins(name, "loop")) {
        end = hostile(packet, end, name);
    } else if (!v4_only && !begins(name, "six")) {
        packet[3] |= 3;
    }
    return end;
}

static inline void count_question(server *own, const unsigned char *packet)
{
    (void)add(&own->questions, 1);
    (void)add(&own->trusting, packet[3] >> 5 & 1);
}

/* Questions over TCP, one connection after the other, and their answers. */
static inline void serve_tcp(void *arg)
{
    server *own = arg;
    cor_conn *conn;
    while (cor_accept(own->tcp, &conn) == 0) {
        unsigned char *packet = malloc(TCP_PACKET);
        T_ASSERT(packet != NULL);
        while (cor_read_full(conn, packet, 2) == 2) {
            size_t size = (size_t)(packet[0] << 8 | packet[1]);
            T_EQ(cor_read_full(conn, packet + 2, size), (ssize_t)size);
            count_question(own, packet + 2);
            size = answer(packet + 2, size, true);
            packet[0] = (unsigned char)(size >> 8);
            packet[1] = (unsigned char)size;
            T_EQ(cor_write(conn, packet, size + 2), (ssize_t)size + 2);
        }
        free(packet);
        T_CODE(cor_close(conn), 0);
    }
}

static inline size_t reply_to(const server *own, unsigned char *packet, size_t size)
{
    char name[PACKET];
    if (own->records == NULL) {
        return answer(packet, size, false);
    }
    size_t end = read_name(packet, size, name) + 4;
    packet[2] |= 0x80;
    packet[3] = 0x80;
    memset(packet + 6, 0, 6);
    return own->records(packet, end, packet[end - 3]);
}

static inline void serve(void *arg)
{
    server *own = arg;
    unsigned char packet[PACKET];
    while (!__atomic_load_n(&own->ends, __ATOMIC_ACQUIRE)) {
        struct sockaddr_in peer;
        socklen_t len = sizeof(peer);
        int rc = cor_wait_fd(own->fd, COR_READABLE, cor_after(SOON));
        ssize_t size = rc < 0 ? -1 : recvfrom(own->fd, packet, sizeof(packet) / 2, MSG_DONTWAIT, (void *)&peer, &len);
        if (size > HEADER) {
            count_question(own, packet);
            size_t reply = __atomic_load_n(&own->silent, __ATOMIC_ACQUIRE) ? 0 : reply_to(own, packet, (size_t)size);
            T_ASSERT(reply == 0 || sendto(own->fd, packet, reply, 0, (void *)&peer, len) == (ssize_t)reply);
        } else if (rc == COR_ECANCELED) {
            return;
        }
    }
}

/* Starts a name server and has the library ask it. */
static inline void begin(server *own, cor_group *group, const char *options)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(here);
    own->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    T_EQ(bind(own->fd, (void *)&here, len), 0);
    T_EQ(getsockname(own->fd, (void *)&here, &len), 0);
    (void)snprintf(own->file, sizeof(own->file), "/tmp/cor-resolv-XXXXXX");
    int file = mkstemp(own->file);
    (void)snprintf(own->address, sizeof(own->address), "127.0.0.1:%d", ntohs(here.sin_port));
    T_ASSERT(dprintf(file, "# made by a test\nnameserver %s\n%s\n", own->address, options) > 0);
    T_EQ(close(file), 0);
    T_EQ(setenv("COR_RESOLV_CONF", own->file, 1), 0);
    go_on(1, group, serve, own);
}

static inline void end(server *own, cor_group *group)
{
    __atomic_store_n(&own->ends, true, __ATOMIC_RELEASE);
    cor_group_cancel(group);
    (void)cor_group_wait(group, cor_after(SOON));
    T_EQ(close(own->fd), 0);
    T_EQ(unlink(own->file), 0);
}

/* Takes " on SERVER" out of an error's text: its port is another each time. */
static inline char *without_server(char *text)
{
    char *on = strstr(text, " on 127.0.0.1:");
    char *after = on != NULL ? strstr(on, ": ") : NULL;
    if (after != NULL) {
        memmove(on, after, strlen(after) + 1);
    }
    return text;
}

/* Looks up a name that must fail; the whole text but the server is compared. */
static inline void expect_error(const char *name, int64_t deadline, int code, const char *text)
{
    char out[MOST][COR_ADDR_TEXT], shown[COR_ERROR_TEXT];
    cor_error error = {0};
    T_CODE(cor_lookup_host(out, MOST, name, deadline, &error), code);
    T_STR(without_server(cor_error_text(&error, shown, sizeof(shown))), text);
}

#endif

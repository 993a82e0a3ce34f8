/* SPDX-License-Identifier: MIT */
/*
 * What carries a room's messages to other nodes: frames of bytes, opaque to it, to all who listen on one subject. The
 * room asks for little. A bus may lose frames, give one twice or in another order, and give a node its own back: frames
 * are numbered (serve/room/frame.h). It is away at times; when to try again is the room's business (serve/room/link.h).
 *
 * A room without a bus is a node alone, and its log is all the bus it has. nats.c is the one that the program has;
 * tests/unit/cmd/test_link.c has another.
 */
#ifndef CORACLE_CMD_SERVE_BUS_BUS_H
#define CORACLE_CMD_SERVE_BUS_BUS_H

#include <stddef.h>
#include <stdint.h>

/* What the command line says of it. NULL: not given. */
typedef struct bus_options {
    const char *servers; /* URLs, with commas between them */
    const char *subject;
    const char *ca;    /* file: who may have signed the server's certificate */
    const char *cert;  /* file: our certificate, and those that lead to it */
    const char *key;   /* file: its key; NULL: in the same */
    const char *creds; /* file: who we are to the server */
} bus_options;

struct bus;

/* What a bus tells whoever has opened it. On a thread that runs no tasks; it may stop that thread. */
typedef struct bus_events {
    void (*frame)(void *arg, const char *bytes, size_t size);
    void (*lost)(void *arg); /* the connection is gone; once after each connect */
} bus_events;

/* All but `open`, `max_size` and `close` may stop their thread. One call at a time. */
typedef struct bus_ops {
    /* The options must outlive it. NULL: memory ran out. */
    struct bus *(*open)(const bus_options *options, const bus_events *events, void *arg);
    /* Returns 0, or a negative code with the cause in `why`, of BUS_WHY bytes. */
    int (*connect)(struct bus *bus, char *why);
    /* Sends a frame. Returns 0, or -EMSGSIZE: it never will; or another negative code: the connection is gone. */
    int (*publish)(struct bus *bus, const char *bytes, size_t size);
    /* The longest frame that publish takes, while connected. */
    size_t (*max_size)(const struct bus *bus);
    /*
     * Ends the connection, be it lost or not: no event comes from it any more. Returns how many frames were dropped,
     * because they were not taken in time; in `why`, of BUS_WHY bytes, why the connection was lost.
     */
    uint64_t (*disconnect)(struct bus *bus, char *why);
    /* Not while connected. */
    void (*close)(struct bus *bus);
} bus_ops;

enum { BUS_WHY = 160 };

#endif

/* SPDX-License-Identifier: MIT */
/*
 * What carries messages of rooms to other nodes: frames of bytes, opaque to it, to all who listen on one subject. Over
 * one connection go any number of subjects, one for each room. The rooms ask for little. A bus may lose frames, give
 * one twice or in another order, and give a node its own back: frames are numbered (serve/room/frame.h). It is away at
 * times; when to try again is the rooms' business (serve/room/uplink.h). That it is gone is known when it takes
 * nothing any more.
 *
 * A room without a bus is a node alone, and its log is all the bus it has. nats.c is the one that the program has;
 * tests/unit/cmd/linkcase.h has another.
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
struct bus_topic;

/*
 * Gives a frame to whoever listens. On a thread that runs no tasks, one frame of a subject after the other. The thread
 * is that of all subjects: it is not to be stopped.
 */
typedef void (*bus_frame)(void *listener, const char *bytes, size_t size);

/* All but `open`, `max_size` and `close` may stop their thread, `connect` for ever. One call at a time. */
typedef struct bus_ops {
    /* The options must outlive it. NULL: memory ran out. */
    struct bus *(*open)(const bus_options *options, bus_frame frame);
    /* Returns 0, or a negative code with the cause in `why`, of BUS_WHY bytes. */
    int (*connect)(struct bus *bus, char *why);
    /*
     * Hears a subject: what is published there from now on is given to `listener`. While connected. NULL: memory ran
     * out, or the connection is gone.
     */
    struct bus_topic *(*listen)(struct bus *bus, const char *subject, void *listener);
    /*
     * Undoes it, while connected or after disconnect; then no frame comes any more. Returns how many frames were
     * dropped, because they were not taken in time.
     */
    uint64_t (*unlisten)(struct bus *bus, struct bus_topic *topic);
    /* Sends a frame. Returns 0, or -EMSGSIZE: it never will; or another negative code: the connection is gone. */
    int (*publish)(struct bus *bus, const char *subject, const char *bytes, size_t size);
    /* The longest frame that publish takes, while connected. */
    size_t (*max_size)(const struct bus *bus);
    /*
     * Ends the connection, be it lost or not. Topics are still to be undone, and may get frames until then. In `why`,
     * of BUS_WHY bytes, why the connection was lost.
     */
    void (*disconnect)(struct bus *bus, char *why);
    /* Not while connected. */
    void (*close)(struct bus *bus);
} bus_ops;

enum { BUS_WHY = 160 };

#endif

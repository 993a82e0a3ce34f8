/* SPDX-License-Identifier: MIT */
/*
 * NATS as a bus, by libnats, which is loaded when it is asked for: with it come libssl and libcrypto (ADR 0028).
 *
 * A connection that is lost stays lost: the library's own reconnecting is off. It would keep what is published
 * meanwhile in a buffer of its own, and give a server up for good that has refused us twice. The rooms' uplink does it
 * instead, with a new connection, and files of certificates and credentials are read anew.
 *
 * Threads. The library has a few, however many subjects there are: one that reads, one that delivers all frames, and
 * those for timers and for the end of connections. disconnect waits until all have called for the last time.
 */
#ifndef CORACLE_CMD_SERVE_BUS_NATS_H
#define CORACLE_CMD_SERVE_BUS_NATS_H

#include "serve/bus/bus.h"

#include <stdbool.h>

/*
 * Loads the library for good, and looks whether the options make sense and their files can be read. Returns NULL, or
 * why not. Not for tasks: loading needs more stack than they have.
 */
const char *nats_load(const bus_options *options);

/* NULL: built without it. */
extern const bus_ops *const nats_ops;

#endif

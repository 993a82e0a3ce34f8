/* SPDX-License-Identifier: MIT */
/*
 * Services over datagrams: a datagram comes, its answer goes back to its sender, and that is all. There is no
 * connection and no session: nothing is kept about a sender, so that a flood from a million made-up addresses costs the
 * time that answering takes and leaves nothing, and the limits on connections have no meaning.
 *
 * A sender's address proves nothing: anybody can write another's into it and have the answer sent there. Therefore no
 * answer is longer than what it answers. And two services could be set to answer each other for ever by one datagram
 * in the name of the other: what comes from the service's own port, where other hosts have the same service, or from a
 * port below 1024, where the system's old services are, is not answered.
 *
 * Over unixgram the sender's address is the name that its socket is bound to, a path or an abstract name. The kernel
 * tells the truth there, but a path can be made to lead elsewhere before the answer goes to it. What comes without a
 * name, or from the service's own, is not answered.
 *
 * Each service has one task, which takes up to PACKETS_AT_ONCE datagrams with a system call and sends the answers with
 * another. What comes faster than it can answer is dropped by the kernel when the socket's buffer is full.
 */
#ifndef CORACLE_CMD_SERVE_PACKETS_H
#define CORACLE_CMD_SERVE_PACKETS_H

#include "serve/service.h"

/*
 * Answers datagrams until packets_end_all and then for a short while, or until reading fails for good. Writes one event
 * `packets` at its end, with the counts. Returns 0 or an error code. The caller closes the socket.
 */
int packets_serve(struct service *service);

/* Ends all services over datagrams: what has arrived is still answered. */
void packets_end_all(struct serve *serve);

#endif

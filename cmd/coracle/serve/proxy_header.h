/* SPDX-License-Identifier: MIT */
/*
 * What a proxy says before its client's first byte: who the client is, in version 1 or 2 of the PROXY protocol
 * (HAProxy's proxy-protocol.txt). Only parsed here, byte by byte as it comes, and never further than the header
 * reaches: what follows is the client's.
 */
#ifndef CORACLE_CMD_SERVE_PROXY_HEADER_H
#define CORACLE_CMD_SERVE_PROXY_HEADER_H

#include <coracle.h>

/* The longest line of version 1 (107), and more than the fixed parts of version 2. */
enum { PROXY_HEADER_BYTES = 107 };

/* All zero at first. */
struct proxy_header {
    unsigned char bytes[PROXY_HEADER_BYTES];
    size_t size;
    size_t skip;   /* once it is whole: bytes of extensions that follow and belong to it */
    cor_addr from; /* then: the client; family 0: the proxy speaks for itself, or does not know */
};

/*
 * Looks at what has come. Returns how many bytes are to be added at least, all of which belong to the header; 0: it is
 * whole; -1: it is none.
 */
int proxy_header_look(struct proxy_header *of);

/*
 * Reads the whole header by `read`, which gives a count, 0 at the end of the stream, or an error code. Returns 1; 0 at
 * the end; the error code; or -EPROTO: it is none.
 */
int proxy_header_read(struct proxy_header *of, ssize_t (*read)(void *arg, void *buf, size_t size), void *arg);

#endif

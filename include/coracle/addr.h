/* SPDX-License-Identifier: MIT */
/*
 * Address texts: "host:port", "[v6]:port", ":port".
 *
 * Unless a call says otherwise: Threads: any thread. Parks: never.
 */
#ifndef CORACLE_ADDR_H
#define CORACLE_ADDR_H

#include <coracle/base.h>

COR_BEGIN

/*
 * Splits "host:port", "[v6%zone]:port" or ":port". `host` and `port` get NUL-terminated copies without brackets.
 * Returns: 0; COR_EMISSING_PORT, COR_ETOO_MANY_COLONS, COR_EMISSING_BRACKET, COR_EUNEXPECTED_OPEN,
 * COR_EUNEXPECTED_CLOSE; -ENAMETOOLONG if a part does not fit. Nothing is written on failure.
 * Owns: borrows all until return. Go: net.SplitHostPort.
 */
COR_API COR_CHECK int cor_split_host_port(const char *address, char *host, size_t host_size, char *port,
                                          size_t port_size);

/*
 * Joins host and port, with brackets if and only if the host has a colon. Cut at `size`, always NUL-terminated.
 * Returns: `text`. Owns: borrows all until return. Go: net.JoinHostPort.
 */
COR_API char *cor_join_host_port(const char *host, const char *port, char *text, size_t size);

COR_END

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Networks, the kernel's form of endpoints, and the way from texts to candidates: network name, host:port, service
 * names, the hosts file. A connection keeps its peer as a cor_addr.
 */
#ifndef CORI_NET_ADDR_H
#define CORI_NET_ADDR_H

#include "base/limits.h"
#include "net/ip.h"

#include <coracle/error.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

/* As a zone: the text named none that exists. */
#define CORI_NO_SUCH_ZONE UINT32_MAX

/* The networks there are, as bits of what they allow. */
typedef struct cori_network {
    const char *name; /* as in Go, static */
    bool v4, v6;      /* IP */
    bool local;       /* unix */
    bool datagram;
    bool raw;     /* bare IP, a datagram too: no ports */
    bool records; /* a stream whose writes keep their edges */
} cori_network;

/* Those that can be dialed and listened on come between; a slot keeps the index only. */
enum cori_network_index {
    CORI_NETWORK_NONE,
    CORI_NETWORK_TCP,
    CORI_NETWORK_UNIX = 4,
    CORI_NETWORK_UDP,
    CORI_NETWORK_UNIXGRAM = 8,
    CORI_NETWORK_UNIXPACKET,
    CORI_NETWORK_IP,
    CORI_NETWORK_IP6 = 12,
    CORI_NETWORK_PIPE
};
extern const cori_network cori_networks[];

/* Room for any socket address that occurs. */
typedef union cori_sockaddr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un local;
} cori_sockaddr;

/* Finds a network by its exact name, but none of bare IP; NULL if there is none. */
const cori_network *cori_network_find(const char *name);
/*
 * protocol.c: what a user's network name says, with the protocol for socket(2). 0, or COR_EUNKNOWN_NETWORK or
 * COR_EUNKNOWN_PROTOCOL with error->where filled.
 */
int cori_network_parse(const char *name, const cori_network **network, int *protocol, cor_error *error);
/* The text of an endpoint of this network: without a port on bare IP. */
char *cori_network_text(const cori_network *network, cor_addr addr, char *text, size_t size);
/* The network's exact name for a socket of this family: "udp4" or "udp6" for udp; unix names are exact. */
const char *cori_network_exact(const cori_network *network, int family);
/* The type of its sockets, for socket(2). */
int cori_network_type(const cori_network *network);

/* Kernel form to compact form and back. to_sockaddr: `family` says which of the two the socket speaks. */
cor_addr cori_addr_of(const cori_sockaddr *kernel);
socklen_t cori_addr_to_sockaddr(const cor_addr *addr, int family, cori_sockaddr *out);

/* Text of a unix address: the path, "@name" for an abstract one, "@" for an unnamed one. */
void cori_unix_text(const cori_sockaddr *kernel, socklen_t len, char *text, size_t size);
/* Kernel form of a unix path or "@name" ("" binds to a name the kernel chooses). 0 or -EINVAL (too long). */
int cori_unix_sockaddr(const char *path, cori_sockaddr *out, socklen_t *len);

/* Parses an IP literal, "%zone" included; false if it is none. Port stays 0. */
bool cori_addr_parse_ip(const char *text, cor_addr *out);
bool cori_addr_is_wildcard(const cor_addr *addr);

/* What resolving "host:port" gives. */
typedef struct cori_candidates {
    cor_addr list[CORI_DIAL_ADDRS_MAX + 1];
    int count;
    bool any; /* empty host: the wildcard when listening, this host when dialing */
    uint16_t port;
} cori_candidates;

/*
 * Resolves an address text for `network`. On failure the negative code, with error->where set to what stands before
 * the cause ("address -10", "lookup tcp4/12a", "lookup nohost"). Parks while name servers are asked for a host that no
 * file knows, until the absolute `deadline` (0: none) or a cancel of the task; outside a task only files are asked.
 */
int cori_resolve_until(const cori_network *network, const char *address, int64_t deadline, cori_candidates *out,
                       cor_error *error);
/* The same without a deadline. */
int cori_resolve(const cori_network *network, const char *address, cori_candidates *out, cor_error *error);

/*
 * resolve.c: the addresses of a host of `network`, by files and name servers, in the order to try; their number and the
 * caller's own *list, to be freed, or an error of cor_lookup_host. *server is the name server that answered, if one
 * did. Parks.
 */
int cori_resolve_host(const cori_network *network, const char *host, int64_t deadline, cor_addr **list,
                      cor_addr *server);
/* "lookup NAME on SERVER", as what stands before the cause; the server only if there is one. */
void cori_set_lookup_where(cor_error *error, const char *name, const cor_addr *server);

/* hosts.c: the port of a service for "tcp" or "udp", or -ENOENT; the addresses of a host from the hosts file. */
int cori_service_port(const char *protocol, const char *service);
int cori_lookup_port(const char *network, const char *service, cor_error *error);
int cori_hosts_lookup(const char *file, const char *name, cor_addr *list, int max);
#define CORI_HOSTS_FILE "/etc/hosts"

#endif

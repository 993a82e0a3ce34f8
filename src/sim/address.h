/* SPDX-License-Identifier: MIT */
/* Addresses of simulated sockets, and the hosts that have them, with the links between them. */
#ifndef CORI_SIM_ADDRESS_H
#define CORI_SIM_ADDRESS_H

#include <coracle/sim.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

enum { CORI_SIM_HOSTS_MAX = 256 };

/* IPv4 addresses are kept in IPv6's mapped form. */
typedef struct cori_sim_address {
    int family; /* AF_INET, AF_INET6, AF_UNIX; 0: none */
    uint16_t port;
    struct in6_addr ip;
    socklen_t path_len;
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
} cori_sim_address;

/* From what a system call is given; false: not an address. */
bool cori_sim_address_from(cori_sim_address *out, const struct sockaddr *addr, socklen_t len);
/* To what a system call gives; `family`: of the socket. */
void cori_sim_address_to(const cori_sim_address *from, int family, struct sockaddr *addr, socklen_t *len);
/* As Go writes it: "10.0.0.1:80", "[::1]:80", a path. */
void cori_sim_address_text(const cori_sim_address *address, char *text, size_t size);
bool cori_sim_address_is_any(const cori_sim_address *address);
/* The same address; ports aside. */
bool cori_sim_address_same_ip(const cori_sim_address *a, const cori_sim_address *b);

/* How what is sent from one host reaches another. */
typedef struct cori_sim_link {
    cor_sim_link is;
    bool cut;
    int64_t free_at; /* when the last byte sent has left */
} cori_sim_link;

/* Begins with one host, number 0, which has the loopback addresses only. */
void cori_sim_hosts_begin(void);
/* Adds one: its number, or -ENOSPC, -EEXIST. */
int cori_sim_host_add(const char *name, const cori_sim_address *address);
int cori_sim_host_count(void);
const char *cori_sim_host_name(uint16_t host);
/* It has crashed, or has been started again. */
void cori_sim_host_set_down(uint16_t host, bool down);
bool cori_sim_host_is_down(uint16_t host);
/* Accepts that are to fail there: the next `count`, with `code`. Taking one gives the code; 0: none is left. */
void cori_sim_host_fail_accepts(uint16_t host, int code, int count);
int cori_sim_host_take_accept(uint16_t host);
/* Nothing gets from one to the other now. */
bool cori_sim_is_cut(uint16_t from, uint16_t to);
/* The addresses of the hosts with a name, in the order in which they were added: their number, `max` at most. */
int cori_sim_hosts_named(const char *name, struct in6_addr *list, int max);
/* Whether two names are one: whatever the case, and with a last dot or without. */
bool cori_sim_same_name(const char *a, const char *b);
/* Which host has the address, seen from `from`; < 0: none. */
int cori_sim_host_of(uint16_t from, const cori_sim_address *address);
/* What a socket on `host` is bound to that dials `to`. */
cori_sim_address cori_sim_host_address(uint16_t host, const cori_sim_address *to);
cori_sim_link *cori_sim_link_of(uint16_t from, uint16_t to);
/* A datagram sent now is lost, by the link's chance or since too much waits for the link. */
bool cori_sim_link_loses(uint16_t from, uint16_t to);
/* How much later a part of a stream arrives, since it has been lost and is sent again. */
int64_t cori_sim_link_stall(uint16_t from, uint16_t to);
/* When `size` bytes sent now arrive. */
int64_t cori_sim_link_arrival(uint16_t from, uint16_t to, size_t size);

#endif

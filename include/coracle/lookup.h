/* SPDX-License-Identifier: MIT */
/*
 * Names of hosts. Literals are taken as they are, then /etc/hosts is asked, then the name servers of /etc/resolv.conf,
 * which may say search, domain, and the options ndots, timeout, attempts, rotate, use-vc, single-request (IPv6 is asked
 * for when the answer about IPv4 is there), trust-ad (questions have the AD bit) and no-reload. The variable
 * COR_RESOLV_CONF names another file, in which a server may have a port, "127.0.0.1:5353"; if it is empty, no server is
 * asked. Both files are looked at again every 5 s, resolv.conf not if it says no-reload. No lookup stops a worker, and
 * none needs a thread: c-ares does the protocol. Where Coracle was built without it, only files are asked.
 *
 * With COR_RESOLVER=libc in the environment addresses of hosts, those for a dial included, come from getaddrinfo: for
 * mDNS, LDAP and whatever else nsswitch.conf has. It runs on threads of its own, half as many as cor_blocking has; its
 * lookups are not merged and cannot be stopped: a deadline or a cancel ends the wait, while the thread goes on. Other
 * records still come by DNS.
 *
 * Simultaneous lookups of one name ask once. A deadline is absolute, 0 for none: then the servers' time-outs end the
 * lookup; so do a cancel and the deadline of the task's group. A name that ends in a dot is taken as it is, others go
 * through the search list.
 *
 * An error is a negative code, with *error filled if error is not NULL ("lookup nowhere.invalid on 192.0.2.53:53: no
 * such host"): COR_ENO_SUCH_HOST (also if there is a host, but no such record), COR_ETIMEOUT, COR_ECANCELED,
 * COR_ESERVER_MISBEHAVING (temporary: no server runs there, or all say that they fail), COR_EBAD_ANSWER, -ENOMEM,
 * COR_ENOT_TASK. Texts are borrowed until return; records are returned owned, for cor_records_free.
 *
 * Unless a call says otherwise: Threads: tasks only. Parks: until deadline.
 */
#ifndef CORACLE_LOOKUP_H
#define CORACLE_LOOKUP_H

#include <coracle/addr.h>
#include <coracle/error.h>

COR_BEGIN

/* Room for the longest name of a host, with its last dot. */
#define COR_NAME_TEXT 256

/* One answer. What a lookup has no use for is 0 or "". */
typedef struct cor_record {
    const char *text;  /* NUL-terminated: the address; the name of a host, with its last dot; the text of TXT */
    size_t size_bytes; /* of `text`: that of a TXT record may have NULs */
    cor_addr addr;     /* cor_lookup_ip; its port is 0 */
    uint16_t priority; /* MX, SRV: the lowest comes first */
    uint16_t weight;   /* SRV: the share among those of one priority */
    uint16_t port;     /* SRV */
} cor_record;

/* What a lookup has found; one allocation. */
typedef struct cor_records {
    int count;                  /* of `list`; at least 1, but see `dropped` */
    int dropped;                /* records left out, because the name in them is not valid */
    char server[COR_ADDR_TEXT]; /* who answered: a name server, "/etc/hosts", "libc"; "": nobody had to be asked */
    char name[COR_NAME_TEXT];   /* the name that has the records: after search list and aliases, with its last dot */
    cor_record *list;
} cor_records;

/*
 * Frees what a lookup has given; NULL is allowed.
 * Threads: any thread. Parks: never. Owns: takes `records`.
 */
COR_API void cor_records_free(cor_records *records);

/*
 * Looks up the addresses of a host, IPv4 and IPv6, in the order in which they should be tried (RFC 6724). cor_lookup_ip
 * gives them all, however many there are.
 * Returns: their number, at most `max`, and as many in `out`; an error. Go: net.LookupHost.
 */
COR_API COR_CHECK int cor_lookup_host(char (*out)[COR_ADDR_TEXT], int max, const char *name, int64_t deadline,
                                      cor_error *error);

/*
 * Looks up the port of a service of `network`, by its name in /etc/services and among those that Go knows without:
 * "https". "ip" and "" stand for tcp, then udp. A number is its own port, whatever the network.
 * Returns: the port; or a negative code, with *error filled if error is not NULL ("lookup tcp/nothing: unknown port"):
 * COR_EUNKNOWN_PORT, COR_EINVALID_PORT, COR_EUNKNOWN_NETWORK.
 * Parks: never. Threads: any thread. Owns: borrows all until return. Go: net.LookupPort.
 */
COR_API COR_CHECK int cor_lookup_port(const char *network, const char *service, cor_error *error);

/*
 * Looks up the addresses of a host as values with their zones, in the order in which they should be tried: all that two
 * answers (IPv4 and IPv6) of 64 KiB have, 6,400, or the first 8,192 of the hosts file. `network` is "ip", "ip4" or
 * "ip6".
 * Returns: 0 and *out; an error, COR_EUNKNOWN_NETWORK. Go: (*net.Resolver).LookupIP, LookupIPAddr.
 */
COR_API COR_CHECK int cor_lookup_ip(cor_records **out, const char *network, const char *name, int64_t deadline,
                                    cor_error *error);

/*
 * Looks up the names of an address: those of /etc/hosts, else by DNS (PTR).
 * Returns: 0 and *out; an error, COR_EUNRECOGNIZED_ADDRESS. Go: net.LookupAddr.
 */
COR_API COR_CHECK int cor_lookup_addr(cor_records **out, const char *address, int64_t deadline, cor_error *error);

/*
 * Looks up the name that a host's aliases (CNAME) lead to, the host's own if there are none.
 * Returns: its length, and it in `out` with its last dot, cut at `size`; an error. Go: net.LookupCNAME.
 */
COR_API COR_CHECK int cor_lookup_cname(char *out, size_t size, const char *name, int64_t deadline, cor_error *error);

/*
 * Looks up the mail servers of a domain (MX), by priority, in random order within one. A single record ".": none.
 * Returns: 0 and *out; an error. Go: net.LookupMX.
 */
COR_API COR_CHECK int cor_lookup_mx(cor_records **out, const char *name, int64_t deadline, cor_error *error);

/*
 * Looks up a name's texts (TXT); the strings of one record are joined.
 * Returns: 0 and *out; an error. Go: net.LookupTXT.
 */
COR_API COR_CHECK int cor_lookup_txt(cor_records **out, const char *name, int64_t deadline, cor_error *error);

/*
 * Looks up where a service runs (SRV): "_service._proto.name", or `name` if both are "". The records are in the order
 * in which to try them: by priority, then at random by weight.
 * Returns: 0 and *out; an error. Go: net.LookupSRV.
 */
COR_API COR_CHECK int cor_lookup_srv(cor_records **out, const char *service, const char *proto, const char *name,
                                     int64_t deadline, cor_error *error);

/*
 * Looks up a domain's name servers (NS).
 * Returns: 0 and *out; an error. Go: net.LookupNS.
 */
COR_API COR_CHECK int cor_lookup_ns(cor_records **out, const char *name, int64_t deadline, cor_error *error);

COR_END

#endif

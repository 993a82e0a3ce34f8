/* SPDX-License-Identifier: MIT */
/*
 * Names of hosts. Literals are taken as they are, then /etc/hosts is asked, then the name servers of /etc/resolv.conf,
 * which may say search, domain, and the options ndots, timeout, attempts, rotate and use-vc. The variable
 * COR_RESOLV_CONF names another file, in which a server may have a port, "127.0.0.1:5353"; if it is empty, no server is
 * asked. No lookup stops a worker, and
 * none needs a thread: c-ares does the protocol. Where Coracle was built without it, only files are asked.
 *
 * Unless a call says otherwise: Threads: tasks only.
 */
#ifndef CORACLE_LOOKUP_H
#define CORACLE_LOOKUP_H

#include <coracle/error.h>

COR_BEGIN

/*
 * Looks up the addresses of a host, IPv4 and IPv6, in the order in which they should be tried (RFC 6724). Lookups of
 * one name at the same time ask once. `deadline` is absolute, 0 for none: then the servers' time-outs end it.
 * Returns: their number, at most `max` of them in `out`; or a negative code, with *error filled if error is not NULL
 * ("lookup nowhere.invalid: no such host"): COR_ENO_SUCH_HOST, COR_ETIMEOUT, COR_ECANCELED, COR_ESERVER_MISBEHAVING
 * (temporary: no server runs there, or all say that they fail), COR_EBAD_ANSWER, -ENOMEM;
 * COR_ENOT_TASK.
 * Parks: until deadline. Owns: borrows all until return. Go: net.LookupHost.
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

COR_END

#endif

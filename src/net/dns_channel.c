/* SPDX-License-Identifier: MIT */
/* What c-ares is told when a channel is opened, and what its answers mean. It reads no file itself. */
#include "net/dns_channel.h"

#include <coracle/error.h>
#include <errno.h>

enum { EDNS_BYTES = 1232 };

int cori_dns_code(int status)
{
    switch (status) {
    case ARES_ENOTFOUND:
    case ARES_ENODATA:
    case ARES_EBADNAME:
        return COR_ENO_SUCH_HOST;
    case ARES_ETIMEOUT:
        return COR_ETIMEOUT;
    case ARES_ECANCELLED:
    case ARES_EDESTRUCTION:
        return COR_ECANCELED;
    case ARES_ENOMEM:
        return -ENOMEM;
    case ARES_ECONNREFUSED: /* c-ares says this too when the last server has said that it fails */
    case ARES_ESERVFAIL:
    case ARES_ENOTIMP:
    case ARES_EREFUSED:
        return COR_ESERVER_MISBEHAVING;
    default:
        return COR_EBAD_ANSWER;
    }
}

int cori_dns_channel_open(ares_channel *out, cori_resolv_conf *says, ares_sock_state_cb wanted, void *arg,
                          cori_dns_wire *wire)
{
    struct ares_options options = {
        .flags = ARES_FLAG_EDNS | (says->use_tcp ? ARES_FLAG_USEVC : 0),
        .timeout = says->timeout_s * 1000,
        .tries = says->attempts,
        .ndots = says->ndots,
        .domains = says->domains,
        .ndomains = says->domain_count,
        .lookups = (char[]){"b"}, /* the hosts file is read by resolve.c */
        .sock_state_cb = wanted,
        .sock_state_cb_data = arg,
        .ednspsz = EDNS_BYTES,
        .resolvconf_path = (char[]){"/dev/null"},
    };
    int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_NDOTS | ARES_OPT_DOMAINS |
               ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB | ARES_OPT_EDNSPSZ | ARES_OPT_RESOLVCONF |
               (says->rotate ? ARES_OPT_ROTATE : ARES_OPT_NOROTATE);
    int status = ares_init_options(out, &options, mask);
    if (status != ARES_SUCCESS) {
        *out = NULL;
        return cori_dns_code(status);
    }
    ares_set_socket_functions(*out, &cori_dns_sockets, wire);
    status = ares_set_servers_ports_csv(*out, says->servers);
    if (status != ARES_SUCCESS) {
        ares_destroy(*out);
        *out = NULL;
    }
    return status == ARES_SUCCESS ? 0 : cori_dns_code(status);
}

/* SPDX-License-Identifier: MIT */
/* Splitting addresses of the command line, and turning a bound address into one to dial. */
#include "address.h"

#include <stdio.h>
#include <string.h>

address address_split(const char *text)
{
    address result = {.network = "tcp", .text = text};
    const char *mark = strstr(text, "://");
    if (mark != NULL) {
        /* An over-long network is cut: it is unknown either way, and the error shows what is left of it. */
        snprintf(result.network, sizeof(result.network), "%.*s", (int)(mark - text), text);
        result.text = mark + 3;
    }
    return result;
}

address address_of_admin(const char *given, char *text, size_t size)
{
    address at = address_split(given);
    const char *port = at.text[0] == ':' ? at.text + 1 : at.text;
    bool bare = port != at.text || port[strspn(port, "0123456789")] == '\0';
    if (strncmp(at.network, "tcp", 3) == 0 && bare) {
        snprintf(text, size, "%s:%s", strcmp(at.network, "tcp6") == 0 ? "[::1]" : "127.0.0.1", port);
        at.text = text;
    }
    return at;
}

bool address_is_packets(const address *of)
{
    const char *network = of->network;
    return strncmp(network, "udp", 3) == 0 || strcmp(network, "unixgram") == 0 || address_is_raw_ip(of);
}

bool address_is_public(cor_listener *listener)
{
    cor_addr bound = cor_listener_endpoint(listener); /* without a port for unix */
    return bound.port != 0 && (cor_ip_traits(bound.ip) & COR_IP_LOOPBACK) == 0;
}

bool address_is_raw_ip(const address *of)
{
    static const char *const names[] = {"ip", "ip4", "ip6"};
    size_t size = strcspn(of->network, ":");
    bool found = false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        found |= strlen(names[i]) == size && memcmp(of->network, names[i], size) == 0;
    }
    return found;
}

int address_dial(cor_conn **out, const address *to, int64_t deadline, cor_error *error)
{
    if (!address_is_packets(to)) {
        return cor_dial_until(out, to->network, to->text, deadline, error);
    }
    *error = (cor_error){.code = COR_EUNEXPECTED_TYPE, .op = "dial"};
    snprintf(error->network, sizeof(error->network), "%s", to->network);
    snprintf(error->address, sizeof(error->address), "%s", to->text);
    return error->code;
}

char *address_to_dial(const char *network, const char *bound, char *text, size_t size)
{
    static const char *const wildcards[][2] = {{"0.0.0.0:", "127.0.0.1:"}, {"[::]:", "127.0.0.1:"}};
    const char *host = "", *rest = bound;
    for (size_t i = 0; i < sizeof(wildcards) / sizeof(wildcards[0]); i++) {
        size_t length = strlen(wildcards[i][0]);
        if (strncmp(bound, wildcards[i][0], length) == 0) {
            host = strlen(network) == 4 && network[3] == '6' ? "[::1]:" : wildcards[i][1];
            rest = bound + length;
        }
    }
    const char *prefix = strncmp(network, "tcp", 3) == 0 ? "" : network;
    snprintf(text, size, "%s%s%s%s", prefix, *prefix ? "://" : "", host, rest);
    return text;
}

char *address_for_nc(const char *network, const char *bound, char *text, size_t size)
{
    char target[128];
    address_to_dial(network, bound, target, sizeof(target));
    const char *mark = strstr(target, "://"), *host = mark != NULL ? mark + 3 : target;
    bool udp = strncmp(network, "udp", 3) == 0;
    char *colon = strrchr(target, ':');
    if ((strncmp(network, "tcp", 3) != 0 && !udp) || colon == NULL) {
        snprintf(text, size, "%s %s", strcmp(network, "unixgram") == 0 ? "-uU" : "-U", bound);
    } else {
        *colon = '\0';
        bool bracket = host[0] == '[';
        snprintf(text, size, "%s%.*s %s", udp ? "-u " : "", (int)(strlen(host) - (bracket ? 2 : 0)), host + bracket,
                 colon + 1);
    }
    return text;
}

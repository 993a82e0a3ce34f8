/* SPDX-License-Identifier: MIT */
/* Names in Host and Origin. */
#include "serve/guard.h"

#include <coracle/addr.h>
#include <string.h>
#include <strings.h>

enum { HOST_BYTES = 256, PORT_DIGITS = 5 };

/* Whether `text` is the rest of a host after its name: nothing, or a port. */
static bool is_port(const char *text)
{
    size_t digits = *text == ':' ? strspn(text + 1, "0123456789") : 0;
    return *text == '\0' || (digits >= 1 && digits <= PORT_DIGITS && text[1 + digits] == '\0');
}

bool guard_host(const char *host, const char *own)
{
    char name[HOST_BYTES];
    cor_ip ip;
    bool brackets = *host == '[';
    size_t size = brackets ? strcspn(host + 1, "]") : strcspn(host, ":");
    const char *rest = host + size + (brackets ? 1 : 0);
    if (size == 0 || size >= sizeof(name) || (brackets && *rest++ != ']') || !is_port(rest)) {
        return false;
    }
    memcpy(name, host + (brackets ? 1 : 0), size);
    name[size] = '\0';
    if (cor_ip_parse(&ip, name) == 0) {
        return brackets == (strchr(name, ':') != NULL);
    }
    return !brackets && (strcasecmp(name, "localhost") == 0 || (own != NULL && strcasecmp(name, own) == 0));
}

bool guard_origin(const char *origin, const char *host)
{
    static const char scheme[] = "http://";
    size_t size = sizeof(scheme) - 1;
    return origin == NULL || (strncasecmp(origin, scheme, size) == 0 && strcasecmp(origin + size, host) == 0);
}

bool guard_site(const char *site, bool is_page)
{
    return site == NULL || is_page || strcmp(site, "same-origin") == 0 || strcmp(site, "none") == 0;
}

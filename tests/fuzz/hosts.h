/* SPDX-License-Identifier: MIT */
/* The second way to know a host of ours, for the targets that look at Host. */
#ifndef CORACLE_TESTS_FUZZ_HOSTS_H
#define CORACLE_TESTS_FUZZ_HOSTS_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* A word is a name of this server's if it is localhost or `own`, or an address as inet_pton(3) has it; then a port. */
static inline bool is_host_of(const char *word, const char *own)
{
    char name[256], address[16];
    const char *bracket = word[0] == '[' ? strchr(word, ']') : NULL;
    const char *begin = word + (word[0] == '['), *end = bracket != NULL ? bracket : begin + strcspn(begin, ":");
    const char *port = end + (bracket != NULL);
    if ((word[0] == '[' && bracket == NULL) || end == begin || (size_t)(end - begin) >= sizeof(name)) {
        return false;
    }
    size_t digits = *port == ':' ? strlen(port + 1) : 1;
    if ((*port != '\0' && *port != ':') || digits < 1 || digits > 5 ||
        (*port == ':' && strspn(port + 1, "0123456789") != digits)) {
        return false;
    }
    snprintf(name, sizeof(name), "%.*s", (int)(end - begin), begin);
    if (bracket != NULL) {
        return inet_pton(AF_INET6, name, address) == 1;
    }
    return strcasecmp(name, "localhost") == 0 || strcasecmp(name, own) == 0 || inet_pton(AF_INET, name, address) == 1;
}

#endif

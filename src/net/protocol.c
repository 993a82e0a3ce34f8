/* SPDX-License-Identifier: MIT */
/*
 * Networks by name. Those of bare IP carry a protocol after their last colon, a number or a name: "ip4:icmp", "ip6:58".
 * Names are Go's few, then those of /etc/protocols; a number is taken as it is, and the kernel judges it.
 */
#include "base/sys.h"
#include "net/addr.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PROTOCOLS_FILE "/etc/protocols"
#define BLANKS " \t\r\n"
enum { DIGITS_MAX = 7 }; /* more are no number for Go */

static int number_of(const char *text)
{
    size_t size = strlen(text);
    return size <= DIGITS_MAX && strspn(text, "0123456789") == size ? atoi(text) : COR_EUNKNOWN_PROTOCOL;
}

/* A line is "name number alias...", with a comment after '#'. */
static int find_in_line(char *line, const char *name)
{
    char *state, *number;
    line[strcspn(line, "#")] = '\0';
    char *word = strtok_r(line, BLANKS, &state);
    number = word != NULL ? strtok_r(NULL, BLANKS, &state) : NULL;
    while (number != NULL && word != NULL) {
        if (strcasecmp(word, name) == 0) {
            return number_of(number);
        }
        word = strtok_r(NULL, BLANKS, &state);
    }
    return COR_EUNKNOWN_PROTOCOL;
}

static int find_in_file(const char *name)
{
    char line[512];
    int found = COR_EUNKNOWN_PROTOCOL, before = cori_errno_keep();
    FILE *file = fopen(PROTOCOLS_FILE, "re");
    while (file != NULL && found < 0 && fgets(line, sizeof(line), file) != NULL) {
        found = find_in_line(line, name);
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    cori_errno_restore(before);
    return found;
}

static int protocol_of(const char *text)
{
    static const struct {
        const char *name;
        int number;
    } known[] = {{"icmp", 1}, {"igmp", 2}, {"tcp", 6}, {"udp", 17}, {"ipv6-icmp", 58}};
    if (text[0] == '\0') {
        return COR_EUNKNOWN_PROTOCOL;
    }
    if (strspn(text, "0123456789") == strlen(text)) {
        return number_of(text);
    }
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (strcasecmp(known[i].name, text) == 0) {
            return known[i].number;
        }
    }
    return find_in_file(text);
}

/* The network of bare IP that `name` begins with, which is followed by a colon; NULL: none. */
static const cori_network *find_raw(const char *name, const char *colon)
{
    for (int i = CORI_NETWORK_IP; i <= CORI_NETWORK_IP6; i++) {
        size_t size = strlen(cori_networks[i].name);
        if ((size_t)(colon - name) == size && memcmp(name, cori_networks[i].name, size) == 0) {
            return &cori_networks[i];
        }
    }
    return NULL;
}

int cori_network_parse(const char *name, const cori_network **network, int *protocol, cor_error *error)
{
    const char *colon = strrchr(name, ':');
    const cori_network *found = colon != NULL ? find_raw(name, colon) : cori_network_find(name);
    *protocol = 0;
    if (found == NULL) {
        (void)snprintf(error->where, sizeof(error->where), "%s", name);
        return COR_EUNKNOWN_NETWORK;
    }
    if (found->raw) {
        *protocol = protocol_of(colon + 1);
        if (*protocol < 0 && colon[1] != '\0') {
            (void)snprintf(error->where, sizeof(error->where), "address %s", colon + 1);
        }
    }
    *network = found;
    return *protocol < 0 ? *protocol : 0;
}

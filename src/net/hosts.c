/* SPDX-License-Identifier: MIT */
/*
 * What files say about names: /etc/hosts and /etc/services. Lines are read with stdio: its buffer is on the heap, so a
 * task stack is enough. errno is put back where stdio may have changed it: it is the task's.
 */
#include "net/hosts.h"

#include "base/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Services of TCP that Go knows even without /etc/services; of UDP it knows the first only. */
static const struct {
    const char *name;
    int port;
} known_services[] = {{"domain", 53}, {"ftp", 21},    {"ftps", 990},        {"gopher", 70}, {"http", 80},
                      {"https", 443}, {"imap2", 143}, {"imap3", 220},       {"imaps", 993}, {"pop3", 110},
                      {"pop3s", 995}, {"smtp", 25},   {"submissions", 465}, {"ssh", 22},    {"telnet", 23}};

/* Gives the next word and moves *rest after it. */
static char *next_word(char **rest)
{
    char *word = *rest + strspn(*rest, " \t\r\n");
    size_t length = strcspn(word, " \t\r\n");
    if (length == 0) {
        return NULL;
    }
    *rest = word + length + (word[length] != '\0');
    word[length] = '\0';
    return word;
}

/* A file read line by line, each of any length. */
typedef struct line_file {
    FILE *file;
    char *line;
    size_t room;
    int errno_before;
} line_file;

static line_file open_lines(const char *path)
{
    int before = cori_errno_keep();
    return (line_file){.errno_before = before, .file = fopen(path, "re")};
}

/* The next line without its comment; NULL: there is none. */
static char *next_line(line_file *reading)
{
    if (reading->file == NULL || getline(&reading->line, &reading->room, reading->file) < 0) {
        return NULL;
    }
    reading->line[strcspn(reading->line, "#")] = '\0';
    return reading->line;
}

static void close_lines(line_file *reading)
{
    free(reading->line);
    if (reading->file != NULL) {
        (void)fclose(reading->file);
    }
    cori_errno_restore(reading->errno_before);
}

/* The port of a "name 80/tcp alias..." line if it names `service` of `protocol`, else -ENOENT. */
static int service_line(char *line, const char *protocol, const char *service)
{
    char *rest = line;
    char *name = next_word(&rest);
    char *port = name != NULL ? next_word(&rest) : NULL;
    char *slash = port != NULL ? strchr(port, '/') : NULL;
    if (slash == NULL || strcmp(slash + 1, protocol) != 0) {
        return -ENOENT;
    }
    for (char *alias = name; alias != NULL; alias = next_word(&rest)) {
        if (strcasecmp(alias, service) == 0) {
            return (int)strtol(port, NULL, 10);
        }
    }
    return -ENOENT;
}

int cori_service_port(const char *protocol, const char *service)
{
    size_t known = strcmp(protocol, "udp") == 0 ? 1 : sizeof(known_services) / sizeof(known_services[0]);
    for (size_t i = 0; i < known; i++) {
        if (strcasecmp(known_services[i].name, service) == 0) {
            return known_services[i].port;
        }
    }
    line_file services = open_lines("/etc/services");
    int port = -ENOENT;
    for (char *line = next_line(&services); line != NULL && port < 0; line = next_line(&services)) {
        port = service_line(line, protocol, service);
    }
    close_lines(&services);
    return port;
}

bool cori_same_host(const char *word, const char *name)
{
    size_t length = strlen(name);
    if (length > 1 && name[length - 1] == '.') {
        length--;
    }
    return strncasecmp(word, name, length) == 0 && (word[length] == '\0' || strcmp(word + length, ".") == 0);
}

/* The address of a "1.2.3.4 name alias..." line in *out if it names `name`. */
static bool hosts_line(char *line, const char *name, cor_addr *out)
{
    char *rest = line;
    char *ip = next_word(&rest);
    for (char *word = ip != NULL ? next_word(&rest) : NULL; word != NULL; word = next_word(&rest)) {
        if (cori_same_host(word, name)) {
            return cori_addr_parse_ip(ip, out) && out->zone != CORI_NO_SUCH_ZONE;
        }
    }
    return false;
}

int cori_hosts_lookup(const char *file, const char *name, cor_addr *list, int max)
{
    line_file hosts = open_lines(file);
    int count = 0;
    for (char *line = next_line(&hosts); line != NULL && count < max; line = next_line(&hosts)) {
        count += hosts_line(line, name, &list[count]);
    }
    close_lines(&hosts);
    return count;
}

/* The names of a line if its address is this one. */
static bool names_of(char *line, const cor_addr *addr, char **rest)
{
    cor_addr own = {0};
    *rest = line;
    char *ip = next_word(rest);
    return ip != NULL && cori_addr_parse_ip(ip, &own) && cor_addr_compare(own, *addr) == 0;
}

int cori_hosts_names(const char *file, const cor_addr *addr, char *text, size_t size)
{
    line_file hosts = open_lines(file);
    size_t used = 0;
    int count = 0;
    for (char *line = next_line(&hosts); line != NULL; line = next_line(&hosts)) {
        char *rest = NULL;
        bool wanted = names_of(line, addr, &rest);
        for (char *word = wanted ? next_word(&rest) : NULL; word != NULL; word = next_word(&rest)) {
            size_t length = strlen(word);
            bool dot =
                strchr(word, '.') != NULL && word[length - 1] != '.'; /* as Go: a name with dots is a whole one */
            if (used + length + dot + 1 > size) {
                break;
            }
            used += (size_t)snprintf(text + used, size - used, "%s%s", word, dot ? "." : "") + 1;
            count++;
        }
    }
    close_lines(&hosts);
    return count;
}

bool cori_hosts_canonical(const char *file, const char *name, char *text, size_t size)
{
    line_file hosts = open_lines(file);
    bool found = false;
    for (char *line = next_line(&hosts); line != NULL && !found; line = next_line(&hosts)) {
        char *rest = line, *first = NULL;
        cor_addr own = {0};
        char *ip = next_word(&rest);
        bool good = ip != NULL && cori_addr_parse_ip(ip, &own);
        for (char *word = good ? next_word(&rest) : NULL; word != NULL && !found; word = next_word(&rest)) {
            first = first == NULL ? word : first;
            found = cori_same_host(word, name);
        }
        if (found) {
            size_t length = strlen(first);
            (void)snprintf(text, size, "%s%s", first, first[length - 1] == '.' ? "" : ".");
        }
    }
    close_lines(&hosts);
    return found;
}

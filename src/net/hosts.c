/* SPDX-License-Identifier: MIT */
/*
 * What files say about names: /etc/hosts and /etc/services. Lines are read with stdio: its buffer is on the heap, so a
 * task stack is enough. errno is put back where stdio may have changed it: it is the task's.
 *
 * The hosts file is kept as a table, sorted by name, that all threads share. As in Go the first lookup after 5 s looks
 * whether the file is another (time, size, inode), and reads it anew then. Tables do not change; each user holds a
 * reference. The lock is held to take one or to exchange the table, never for reading: one thread reads, the others go
 * on with the table that there is. Those that come while the very first is being read read for themselves.
 */
#include "net/hosts.h"

#include "base/clock.h"
#include "base/lock.h"
#include "base/memory.h"
#include "base/sys.h"

#include <coracle/time.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

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

/* The number that is all of "80/tcp" up to its slash; -ENOENT: there is no such port. */
static int port_before(const char *text, const char *slash)
{
    int port = 0;
    for (; text < slash && *text >= '0' && *text <= '9' && port <= UINT16_MAX; text++) {
        port = port * 10 + (*text - '0');
    }
    return text == slash && port > 0 && port <= UINT16_MAX ? port : -ENOENT;
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
            return port_before(port, slash);
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

enum { NAMES_MAX = 1 << 20 }; /* of the hosts file: what comes after is not looked at */

/* A name and its address, in the file's order. */
typedef struct host {
    cor_addr addr;
    char *name; /* the table's; as it is written */
    int first;  /* where its line's names begin */
} host;

typedef struct hosts {
    unsigned uses; /* atomic */
    cori_file_stamp stamp;
    host *list;
    int *by_name; /* places in the list, by name, then in its order */
    int count, room;
} hosts;

int64_t cori_files_check_ns = 5 * COR_SECOND;

static struct {
    uint32_t lock;
    hosts *now;
    int64_t looked; /* when the file was looked at */
    bool reading;   /* somebody does */
} cache;

cori_file_stamp cori_file_stamp_of(const char *path)
{
    struct stat found;
    int before = cori_errno_keep();
    cori_file_stamp stamp = {0};
    if (stat(path, &found) == 0) {
        stamp = (cori_file_stamp){.inode = (uint64_t)found.st_ino,
                                  .size = (int64_t)found.st_size,
                                  .changed_ns = found.st_mtim.tv_sec * COR_SECOND + found.st_mtim.tv_nsec};
    }
    cori_errno_restore(before);
    return stamp;
}

bool cori_file_stamp_same(const cori_file_stamp *a, const cori_file_stamp *b)
{
    return a->inode == b->inode && a->size == b->size && a->changed_ns == b->changed_ns;
}

bool cori_same_host(const char *word, const char *name)
{
    size_t length = strlen(name);
    if (length > 1 && name[length - 1] == '.') {
        length--;
    }
    return strncasecmp(word, name, length) == 0 && (word[length] == '\0' || strcmp(word + length, ".") == 0);
}

/* The length of a name without its last dot. */
static size_t bare_length(const char *name)
{
    size_t length = strlen(name);
    return length > 1 && name[length - 1] == '.' ? length - 1 : length;
}

static int compare_names(const char *a, const char *b)
{
    size_t length = bare_length(a), other = bare_length(b);
    int order = strncasecmp(a, b, length < other ? length : other);
    return order != 0 ? order : (length > other) - (length < other);
}

static int by_name(const void *a, const void *b, void *list)
{
    int left = *(const int *)a, right = *(const int *)b;
    int order = compare_names(((host *)list)[left].name, ((host *)list)[right].name);
    return order != 0 ? order : left - right;
}

static void release(hosts *of)
{
    if (of != NULL && cori_fetch_sub(&of->uses, 1) == 1) {
        for (int i = 0; i < of->count; i++) {
            free(of->list[i].name);
        }
        free(of->list);
        free(of->by_name);
        free(of);
    }
}

/* Adds a name; false: no memory. */
static bool add_name(hosts *to, const cor_addr *addr, const char *word, int first)
{
    if (to->count == to->room) {
        int room = to->room > 0 ? 2 * to->room : 16;
        host *list = cori_realloc(to->list, (size_t)room * sizeof(*list));
        if (list == NULL) {
            return false;
        }
        to->list = list;
        to->room = room;
    }
    char *name = cori_strdup(word);
    if (name == NULL) {
        return false;
    }
    to->list[to->count++] = (host){.addr = *addr, .name = name, .first = first};
    return true;
}

/* Adds the names of a "1.2.3.4 name alias..." line. */
static bool add_line(hosts *to, char *line)
{
    char *rest = line;
    char *ip = next_word(&rest);
    cor_addr addr = {0};
    int first = to->count;
    bool good = ip != NULL && cori_addr_parse_ip(ip, &addr) && addr.zone != CORI_NO_SUCH_ZONE;
    for (char *word = good ? next_word(&rest) : NULL; word != NULL; word = next_word(&rest)) {
        if (!add_name(to, &addr, word, first)) {
            return false;
        }
    }
    return true;
}

/* Reads a file, with one use; NULL: no memory. */
static hosts *read_hosts(const char *path)
{
    hosts *made = cori_calloc(1, sizeof(*made));
    if (made == NULL) {
        return NULL;
    }
    made->uses = 1;
    made->stamp = cori_file_stamp_of(path); /* before: a change while it is read is seen the next time */
    line_file reading = open_lines(path);
    bool good = true;
    for (char *line = next_line(&reading); good && line != NULL && made->count < NAMES_MAX;
         line = next_line(&reading)) {
        good = add_line(made, line);
    }
    close_lines(&reading);
    made->by_name = good ? cori_calloc((size_t)made->count + 1, sizeof(int)) : NULL;
    if (made->by_name == NULL) {
        release(made);
        return NULL;
    }
    for (int i = 0; i < made->count; i++) {
        made->by_name[i] = i;
    }
    qsort_r(made->by_name, (size_t)made->count, sizeof(int), by_name, made->list);
    return made;
}

/* The table there is, with one more use, or NULL; *reads: the caller must look whether the file is another. */
static hosts *take_kept(bool *reads)
{
    int64_t now = cori_clock_now();
    cori_spin_lock(&cache.lock);
    *reads = !cache.reading && (cache.now == NULL || now - cache.looked >= cori_files_check_ns);
    cache.reading |= *reads;
    cache.looked = *reads ? now : cache.looked;
    hosts *kept = cache.now;
    if (kept != NULL) {
        (void)cori_fetch_add(&kept->uses, 1);
    }
    cori_spin_unlock(&cache.lock);
    return kept;
}

/* The table of the hosts file as it is, or was 5 s ago; NULL: no memory. */
static hosts *take_hosts(const char *path)
{
    bool reads = false;
    if (strcmp(path, CORI_HOSTS_FILE) != 0) {
        return read_hosts(path);
    }
    hosts *kept = take_kept(&reads);
    if (!reads) {
        return kept != NULL ? kept : read_hosts(path);
    }
    cori_file_stamp stamp = cori_file_stamp_of(path);
    hosts *fresh = kept != NULL && cori_file_stamp_same(&stamp, &kept->stamp) ? NULL : read_hosts(path);
    hosts *old = NULL;
    cori_spin_lock(&cache.lock);
    cache.reading = false;
    if (fresh != NULL) {
        old = cache.now;
        cache.now = fresh;
        (void)cori_fetch_add(&fresh->uses, 1);
    }
    cori_spin_unlock(&cache.lock);
    release(old);
    if (fresh != NULL) {
        release(kept);
        return fresh;
    }
    return kept;
}

/* The first place in by_name that is not before `name`. */
static int find_name(const hosts *in, const char *name)
{
    int low = 0, high = in->count;
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (compare_names(in->list[in->by_name[middle]].name, name) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The next name in by_name from `at` on, if it is this one. */
static const host *named(const hosts *in, int at, const char *name)
{
    const host *found = at < in->count ? &in->list[in->by_name[at]] : NULL;
    return found != NULL && cori_same_host(found->name, name) ? found : NULL;
}

int cori_hosts_lookup(const char *file, const char *name, cor_addr *list, int max)
{
    hosts *of = take_hosts(file);
    int count = 0, line = -1;
    if (of == NULL || name[0] == '\0') {
        release(of);
        return 0;
    }
    const host *found = NULL;
    for (int at = find_name(of, name); count < max && (found = named(of, at, name)) != NULL; at++) {
        if (found->first != line) { /* a name that is twice on a line has its address once */
            list[count++] = found->addr;
        }
        line = found->first;
    }
    release(of);
    return count;
}

int cori_hosts_names(const char *file, const cor_addr *addr, char *text, size_t size)
{
    hosts *of = take_hosts(file);
    size_t used = 0;
    int count = 0;
    for (int i = 0; of != NULL && i < of->count; i++) {
        const char *name = of->list[i].name;
        size_t length = strlen(name);
        bool dot = strchr(name, '.') != NULL && name[length - 1] != '.'; /* as Go: one with dots is a whole one */
        if (cor_addr_compare(of->list[i].addr, *addr) == 0 && used + length + dot + 1 <= size) {
            used += (size_t)snprintf(text + used, size - used, "%s%s", name, dot ? "." : "") + 1;
            count++;
        }
    }
    release(of);
    return count;
}

bool cori_hosts_canonical(const char *file, const char *name, char *text, size_t size)
{
    hosts *of = take_hosts(file);
    if (of == NULL || name[0] == '\0') {
        release(of);
        return false;
    }
    const host *found = named(of, find_name(of, name), name);
    if (found != NULL) {
        const char *first = of->list[found->first].name;
        (void)snprintf(text, size, "%.*s.", (int)bare_length(first), first);
    }
    release(of);
    return found != NULL;
}

/* SPDX-License-Identifier: MIT */
/* Lists of addresses: read, sorted by length of block and address, searched. */
#include "serve/access.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The longest word of a list: a block of IPv6, or a path. */
enum { WORD_MAX = 4096 };

typedef struct rule {
    cor_prefix block; /* masked */
    bool allow;
} rule;

/* Blocks of one length and family: rules first..first+count-1. */
typedef struct run {
    uint8_t family, bits;
    size_t first, count;
} run;

struct access_rules {
    rule *rules; /* sorted: see order */
    size_t count, room;
    run *runs; /* the longest first */
    size_t run_count;
    bool has_allow; /* whoever is in no block stays outside */
};

static void rules_free(struct access_rules *rules)
{
    if (rules != NULL) {
        free(rules->rules);
        free(rules->runs);
        free(rules);
    }
}

/* The longest first, then by address; of equal ones the one that denies. */
static int order(const void *left, const void *right)
{
    const rule *a = left, *b = right;
    if (a->block.bits != b->block.bits) {
        return a->block.bits > b->block.bits ? -1 : 1;
    }
    int by_address = cor_ip_compare(a->block.ip, b->block.ip);
    return by_address != 0 ? by_address : (int)a->allow - (int)b->allow;
}

static bool add(struct access_rules *rules, cor_prefix block, bool allow)
{
    if (rules->count == rules->room) {
        size_t room = rules->room == 0 ? 16 : 2 * rules->room;
        rule *grown = reallocarray(rules->rules, room, sizeof(*grown));
        if (grown == NULL) {
            return false;
        }
        rules->rules = grown;
        rules->room = room;
    }
    rules->rules[rules->count++] = (rule){cor_prefix_masked(block), allow};
    return true;
}

/* An address alone is the block that has nothing else in it. */
static bool parse_block(const char *word, cor_prefix *block)
{
    char whole[WORD_MAX + 8];
    if (strlen(word) >= WORD_MAX) { /* a line of a file */
        return false;
    }
    if (strchr(word, '/') != NULL) {
        return cor_prefix_parse(block, word) == 0;
    }
    snprintf(whole, sizeof(whole), "%s/%d", word, strchr(word, ':') != NULL ? 128 : 32);
    return cor_prefix_parse(block, whole) == 0;
}

static bool take_block(struct access_rules *rules, const char *word, bool allow, const char *where, char *trouble)
{
    cor_prefix block;
    if (!parse_block(word, &block)) {
        snprintf(trouble, ACCESS_TROUBLE, "%s: '%.60s' is not an address or a block such as 192.0.2.0/24", where, word);
        return false;
    }
    if (!add(rules, block, allow)) {
        snprintf(trouble, ACCESS_TROUBLE, "%s: out of memory", where);
        return false;
    }
    return true;
}

/* Cuts a comment and white space at both ends off; returns where the rest begins. */
static char *trim(char *line)
{
    static const char white[] = " \t\r\n";
    line[strcspn(line, "#")] = '\0';
    line += strspn(line, white);
    size_t size = strlen(line);
    while (size > 0 && strchr(white, line[size - 1]) != NULL) {
        size--;
    }
    line[size] = '\0';
    return line;
}

static bool take_file(struct access_rules *rules, const char *path, bool allow, const char *name, char *trouble)
{
    char *line = NULL, where[ACCESS_TROUBLE / 2];
    size_t room = 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        snprintf(trouble, ACCESS_TROUBLE, "%s: %.100s: %s", name, path, cor_strerror(-errno));
        return false;
    }
    bool good = true;
    for (unsigned number = 1; good && getline(&line, &room, file) >= 0; number++) {
        const char *word = trim(line);
        if (*word != '\0') {
            snprintf(where, sizeof(where), "%.100s:%u", path, number);
            good = take_block(rules, word, allow, where, trouble);
        }
    }
    if (good && !feof(file)) {
        snprintf(trouble, ACCESS_TROUBLE, "%s: %.100s: %s", name, path, cor_strerror(-errno));
        good = false;
    }
    free(line);
    fclose(file);
    return good;
}

/*
 * Takes the next word off a list with commas; it is in `word`, of WORD_MAX bytes. One that does not fit is none: its
 * beginning may say something else. Returns where it begins.
 */
static char *next_word(const char **list, char *word)
{
    size_t size = strcspn(*list, ",");
    snprintf(word, WORD_MAX, "%.*s", size < WORD_MAX ? (int)size : 0, *list);
    *list += size + ((*list)[size] == ',');
    return trim(word);
}

void access_each_file(const char *list, void (*each)(const char *path, void *arg), void *arg)
{
    while (list != NULL && *list != '\0') {
        char word[WORD_MAX];
        const char *begin = next_word(&list, word);
        if (begin[0] == '@') {
            each(begin + 1, arg);
        }
    }
}

/* Takes the words of a list with commas. */
static bool take_list(struct access_rules *rules, const char *list, bool allow, const char *name, char *trouble)
{
    bool good = true;
    while (good && *list != '\0') {
        char word[WORD_MAX];
        const char *begin = next_word(&list, word);
        if (begin[0] == '@') {
            good = take_file(rules, begin + 1, allow, name, trouble);
        } else {
            good = take_block(rules, begin, allow, name, trouble);
        }
    }
    return good;
}

/* Sorts the rules and notes where each length begins. */
static bool arrange(struct access_rules *rules)
{
    if (rules->count == 0) {
        return true;
    }
    qsort(rules->rules, rules->count, sizeof(rule), order);
    rules->runs = calloc(rules->count, sizeof(run));
    if (rules->runs == NULL) {
        return false;
    }
    for (size_t i = 0; i < rules->count; i++) {
        const cor_prefix *block = &rules->rules[i].block;
        run *last = rules->run_count > 0 ? &rules->runs[rules->run_count - 1] : NULL;
        if (last == NULL || last->bits != block->bits || last->family != block->ip.family) {
            last = &rules->runs[rules->run_count++];
            *last = (run){.family = block->ip.family, .bits = block->bits, .first = i};
        }
        last->count++;
    }
    return true;
}

bool access_read(struct access *access, const char *allow, const char *deny, char *trouble)
{
    const char *option = access->option != NULL ? access->option : "--allow";
    struct access_rules *rules = calloc(1, sizeof(*rules));
    snprintf(trouble, ACCESS_TROUBLE, "out of memory");
    if (rules == NULL || (allow != NULL && !take_list(rules, allow, true, option, trouble)) ||
        (deny != NULL && !take_list(rules, deny, false, "--deny", trouble)) || !arrange(rules)) {
        rules_free(rules);
        return false;
    }
    rules->has_allow = allow != NULL; /* an empty allow list lets nobody in */
    pthread_mutex_lock(&access->lock);
    struct access_rules *old = access->rules;
    access->rules = rules;
    pthread_mutex_unlock(&access->lock);
    rules_free(old);
    return true;
}

/* Finds the block of this run that the address is in: the first of equal ones. NULL: none. */
static const rule *find(const struct access_rules *rules, const run *among, cor_ip ip)
{
    cor_prefix wanted = cor_prefix_masked((cor_prefix){ip, among->bits});
    size_t low = among->first, high = among->first + among->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (cor_ip_compare(rules->rules[middle].block.ip, wanted.ip) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool found = low < among->first + among->count && cor_ip_compare(rules->rules[low].block.ip, wanted.ip) == 0;
    return found ? &rules->rules[low] : NULL;
}

static bool allows(const struct access_rules *rules, cor_ip ip)
{
    for (size_t i = 0; i < rules->run_count; i++) {
        const rule *found = rules->runs[i].family == ip.family ? find(rules, &rules->runs[i], ip) : NULL;
        if (found != NULL) {
            return found->allow;
        }
    }
    return !rules->has_allow;
}

bool access_allows(struct access *access, cor_ip ip)
{
    pthread_mutex_lock(&access->lock);
    bool allowed = access->rules == NULL || allows(access->rules, ip);
    pthread_mutex_unlock(&access->lock);
    return allowed;
}

size_t access_count(struct access *access)
{
    pthread_mutex_lock(&access->lock);
    size_t count = access->rules == NULL ? 0 : access->rules->count;
    pthread_mutex_unlock(&access->lock);
    return count;
}

void access_clear(struct access *access)
{
    pthread_mutex_lock(&access->lock);
    struct access_rules *old = access->rules;
    access->rules = NULL;
    pthread_mutex_unlock(&access->lock);
    rules_free(old);
}

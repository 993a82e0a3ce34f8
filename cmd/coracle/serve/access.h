/* SPDX-License-Identifier: MIT */
/*
 * Who may come in, by address. Of all blocks of --allow and --deny that an address is in the longest one decides; if it
 * is in both lists, it is denied. An address in none may come in, unless there is an allow list.
 *
 * A list is words with commas in between: an address, a block such as 192.0.2.0/24, or @FILE with one of these a line
 * and comments after '#'. Reading again is all or nothing: a mistake anywhere leaves what was. A lookup is a binary
 * search for each length of block that occurs, however many blocks there are.
 */
#ifndef CORACLE_CMD_SERVE_ACCESS_H
#define CORACLE_CMD_SERVE_ACCESS_H

#include <coracle.h>
#include <pthread.h>

struct access_rules;

/* The rules in force; {.lock = PTHREAD_MUTEX_INITIALIZER} lets everybody in. */
struct access {
    pthread_mutex_t lock;
    struct access_rules *rules; /* guard: the lock; NULL: everybody may come in */
    const char *option;         /* what the allow list is called where it is wrong; NULL: --allow */
};

/* Bytes that say what is wrong with a list. */
enum { ACCESS_TROUBLE = 256 };

/*
 * Reads both lists, either may be NULL, and puts them in force. Reads files, so it stops its thread. Returns true; or
 * false and what is wrong in `trouble`, and nothing has changed.
 */
bool access_read(struct access *access, const char *allow, const char *deny, char *trouble);

/* Calls `each` with the path of every @FILE in a list; NULL: there is none. */
void access_each_file(const char *list, void (*each)(const char *path, void *arg), void *arg);

/* Tells whether an address may come in. Any thread. */
bool access_allows(struct access *access, cor_ip ip);

/* Counts the blocks in force. */
size_t access_count(struct access *access);

/* Takes the rules out of force and frees them. */
void access_clear(struct access *access);

#endif

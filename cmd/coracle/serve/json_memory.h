/* SPDX-License-Identifier: MIT */
/* What json-c allocates with: see json_memory.c. */
#ifndef CORACLE_CMD_SERVE_JSON_MEMORY_H
#define CORACLE_CMD_SERVE_JSON_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

/* Whether an allocation of json-c's has failed on this thread since the last question. No parking call in between. */
bool json_memory_failed(void);

/* Each as the C library's of its name; a copy of a text is never NULL. */
void *json_memory_malloc(size_t size);
void *json_memory_calloc(size_t count, size_t size);
void *json_memory_realloc(void *old, size_t size);
char *json_memory_strdup(const char *text);
void json_memory_free(void *memory);

/* The last copy of a text that this thread has made since the last question; NULL: none. */
char *json_memory_last_copy(void);

#endif

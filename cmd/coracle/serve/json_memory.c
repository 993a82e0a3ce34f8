/* SPDX-License-Identifier: MIT */
/*
 * json-c's allocations. The build renames those of the json-c that is linked to the program (cmd/CMakeLists.txt), so
 * that they come here.
 *
 * json-c 0.16 does not see all that fails: it goes on with a text cut short, and takes the copy of a key for granted,
 * which ends in the middle of looking one up. Here each failure is noted, for the thread. A copy of a text that there
 * is no memory for is an empty one that is nobody's, which free knows. So parsing comes to an end whatever fails, and
 * whoever parses asks afterwards. Nothing is held ready: what is noted needs no memory.
 */
#include "serve/json_memory.h"

#include <stdlib.h>
#include <string.h>

static char nothing[1];
static _Thread_local char *last_copy;
static _Thread_local bool failed;

static void *noted(void *memory)
{
    failed = failed || memory == NULL;
    return memory;
}

bool json_memory_failed(void)
{
    bool now = failed;
    failed = false;
    return now;
}

void *json_memory_malloc(size_t size)
{
    return noted(malloc(size));
}

void *json_memory_calloc(size_t count, size_t size)
{
    return noted(calloc(count, size));
}

void *json_memory_realloc(void *old, size_t size)
{
    return noted(realloc(old, size));
}

char *json_memory_strdup(const char *text)
{
    char *copy = noted(strdup(text));
    last_copy = copy != NULL ? copy : nothing;
    return last_copy;
}

void json_memory_free(void *memory)
{
    if (memory != nothing) {
        free(memory);
    }
}

char *json_memory_last_copy(void)
{
    char *copy = last_copy;
    last_copy = NULL;
    return copy;
}

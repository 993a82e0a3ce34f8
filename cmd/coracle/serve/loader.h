/* SPDX-License-Identifier: MIT */
/* Libraries that are loaded when an option asks for them: linked in, they would cost every start of the program. */
#ifndef CORACLE_CMD_SERVE_LOADER_H
#define CORACLE_CMD_SERVE_LOADER_H

#include <stddef.h>

/* A function of the library, and where its pointer lies in a table of them. */
typedef struct loader_call {
    const char *name;
    size_t offset;
} loader_call;

/*
 * Loads a library for good and fills `table`. Returns NULL, or why it cannot be. Not for tasks: loading needs more
 * stack than they have.
 */
const char *loader_load(const char *library, const loader_call *calls, size_t count, void *table);

#endif

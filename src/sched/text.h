/* SPDX-License-Identifier: MIT */
/* Building lines of text inside signal handlers: no locks, no memory, no stdio. */
#ifndef CORI_SCHED_TEXT_H
#define CORI_SCHED_TEXT_H

#include <stddef.h>
#include <stdint.h>

/* A line under construction; what does not fit is left out. */
typedef struct cori_text {
    int fd;
    size_t used;
    char line[400];
} cori_text;

void cori_text_add(cori_text *text, const char *piece);
void cori_text_number(cori_text *text, uint64_t number);
void cori_text_hex(cori_text *text, uint64_t number);
/* Adds "function+0x1c (module)" or the bare address. */
void cori_text_symbol(cori_text *text, const void *address);
/* Writes the line and its LF, and starts a new one. */
void cori_text_end(cori_text *text);

#endif

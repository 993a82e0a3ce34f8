/* SPDX-License-Identifier: MIT */
/* A table with an option of each kind, for the tests of the command line (cmd/coracle/options.h). */
#ifndef TEST_SUPPORT_OPTION_TABLE_H
#define TEST_SUPPORT_OPTION_TABLE_H

#include "options.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct values {
    bool quiet;
    const char *text;
    uint64_t count;
    size_t size;
    int64_t wait;
    int colour;
} values;

static const char *const colours[] = {"red", "green", NULL};
static const option_def defs[] = {
    {"quiet", 'q', OPTION_FLAG, offsetof(values, quiet), NULL, "say nothing", NULL, 0, 0},
    {"text", 't', OPTION_TEXT, offsetof(values, text), "TEXT", "a text", NULL, 0, 0},
    {"count", 'c', OPTION_COUNT, offsetof(values, count), "N", "a number", NULL, 1, 900},
    {"size", 0, OPTION_SIZE, offsetof(values, size), "BYTES", "a size", NULL, 16, 1 << 20},
    {"wait", 0, OPTION_DURATION, offsetof(values, wait), "D", "a duration", NULL, 0, 0},
    {"colour", 0, OPTION_CHOICE, offsetof(values, colour), "C", "a choice", colours, 0, 0},
    {"colour-depth", 0, OPTION_COUNT, offsetof(values, count), "N", "begins like another", NULL, 1, 900},
};
static const option_table table = {"program verb", defs, sizeof(defs) / sizeof(defs[0])};

#endif

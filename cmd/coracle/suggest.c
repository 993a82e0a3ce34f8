/* SPDX-License-Identifier: MIT */
/* Nearest match by optimal string alignment: insert, delete, replace, and swap of neighbours count one each. */
#include "suggest.h"

#include <string.h>

/* Longer words are no typing errors of ours. */
#define WORD_MAX 32

static size_t min2(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t edit_distance(const char *a, size_t a_size, const char *b, size_t b_size)
{
    size_t rows[3][WORD_MAX + 1];
    for (size_t j = 0; j <= b_size; j++) {
        rows[0][j] = j;
    }
    for (size_t i = 1; i <= a_size; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_size; j++) {
            size_t replace = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = min2(replace, min2(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1]) {
                row[j] = min2(row[j], two_above[j - 2] + 1);
            }
        }
    }
    return rows[a_size % 3][b_size];
}

void suggest_consider(suggestion *best, const char *typed, size_t size, const char *candidate)
{
    size_t length = strlen(candidate);
    if (size == 0 || size > WORD_MAX || length > WORD_MAX) {
        return;
    }
    size_t distance = edit_distance(typed, size, candidate, length);
    size_t allowed = length < 4 ? 1 : length / 3 + 1;
    if (distance <= allowed && distance < length && (best->word == NULL || distance < best->distance)) {
        best->word = candidate;
        best->distance = distance;
    }
}

/* SPDX-License-Identifier: MIT */
/* Values of options: durations, sizes, counts. Each function returns false, and writes nothing, for a bad text. */
#ifndef CORACLE_CMD_PARSE_H
#define CORACLE_CMD_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A duration as Go writes it: "500ms", "1.5s", "1m30s", units ns us ms s m h; "0" needs none. In nanoseconds. */
bool parse_duration(const char *text, int64_t *duration_ns);

/* A size: "4096", "64k", "1MiB". k M G (also KiB MiB GiB) are powers of 1024, kB MB GB powers of 1000. In bytes. */
bool parse_size(const char *text, size_t *size_bytes);

/* A decimal number within low..high. */
bool parse_count(const char *text, uint64_t low, uint64_t high, uint64_t *count);

/* A number that may have decimals and a unit: "1000", "2.5k", "10M". k M G are powers of 1000. */
bool parse_number(const char *text, double *number);

#endif

/* SPDX-License-Identifier: MIT */
/* Values of options. Numbers are read by strtoull; what it would let through (signs, blanks, hex) is refused before. */
#include "parse.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* Reads digits; *end is after them. */
static bool parse_digits(const char *text, uint64_t *value, const char **end)
{
    if (!isdigit((unsigned char)*text)) {
        return false;
    }
    char *stop;
    errno = 0;
    unsigned long long number = strtoull(text, &stop, 10);
    if (errno != 0) {
        return false;
    }
    *value = number;
    *end = stop;
    return true;
}

bool parse_count(const char *text, uint64_t low, uint64_t high, uint64_t *count)
{
    uint64_t value;
    const char *end;
    if (!parse_digits(text, &value, &end) || *end != '\0' || value < low || value > high) {
        return false;
    }
    *count = value;
    return true;
}

static const struct {
    const char *name;
    int64_t ns;
} duration_units[] = {
    {"ns", 1},
    {"us", 1000},
    {"µs", 1000},
    {"ms", 1000000},
    {"s", 1000000000},
    {"m", 60 * INT64_C(1000000000)},
    {"h", 3600 * INT64_C(1000000000)},
};

/* Finds the unit that the letters up to the next digit name, and moves *text past it. 0: none. */
static int64_t take_duration_unit(const char **text)
{
    size_t length = strcspn(*text, "0123456789.");
    for (size_t i = 0; i < sizeof(duration_units) / sizeof(duration_units[0]); i++) {
        if (strlen(duration_units[i].name) == length && strncmp(duration_units[i].name, *text, length) == 0) {
            *text += length;
            return duration_units[i].ns;
        }
    }
    return 0;
}

/* Reads one "12.5ms" and moves *text past it. At most nine decimals count: more cannot be seen in nanoseconds. */
static bool take_duration_part(const char **text, int64_t *part_ns)
{
    uint64_t whole;
    const char *next;
    if (!parse_digits(*text, &whole, &next)) {
        return false;
    }
    uint64_t fraction = 0, scale = 1;
    if (*next == '.') {
        for (next++; isdigit((unsigned char)*next); next++) {
            if (scale < 1000000000) {
                fraction = fraction * 10 + (uint64_t)(*next - '0');
                scale *= 10;
            }
        }
    }
    int64_t unit = take_duration_unit(&next);
    int64_t result;
    if (unit == 0 || whole > INT64_MAX || __builtin_mul_overflow((int64_t)whole, unit, &result)) {
        return false;
    }
    /* fraction < 10^9 and a unit of up to 3.6 * 10^12: their product needs more than 64 bits. */
    int64_t extra = (int64_t)((unsigned __int128)fraction * (uint64_t)unit / scale);
    if (__builtin_add_overflow(result, extra, part_ns)) {
        return false;
    }
    *text = next;
    return true;
}

bool parse_duration(const char *text, int64_t *duration_ns)
{
    if (strcmp(text, "0") == 0) {
        *duration_ns = 0;
        return true;
    }
    int64_t total = 0;
    do {
        int64_t part;
        if (!take_duration_part(&text, &part) || __builtin_add_overflow(total, part, &total)) {
            return false;
        }
    } while (*text != '\0');
    *duration_ns = total;
    return true;
}

static const struct {
    const char *name;
    uint64_t bytes;
} size_units[] = {
    {"", 1},
    {"b", 1},
    {"k", 1024},
    {"kib", 1024},
    {"kb", 1000},
    {"m", 1024 * 1024},
    {"mib", 1024 * 1024},
    {"mb", 1000 * 1000},
    {"g", 1024 * 1024 * 1024},
    {"gib", 1024 * 1024 * 1024},
    {"gb", 1000 * 1000 * 1000},
};

bool parse_size(const char *text, size_t *size_bytes)
{
    uint64_t number;
    const char *unit;
    if (!parse_digits(text, &number, &unit)) {
        return false;
    }
    for (size_t i = 0; i < sizeof(size_units) / sizeof(size_units[0]); i++) {
        uint64_t bytes;
        if (strcasecmp(unit, size_units[i].name) == 0) {
            if (__builtin_mul_overflow(number, size_units[i].bytes, &bytes)) {
                return false;
            }
            *size_bytes = bytes;
            return true;
        }
    }
    return false;
}

bool parse_number(const char *text, double *number)
{
    uint64_t whole;
    const char *next;
    if (!parse_digits(text, &whole, &next)) {
        return false;
    }
    double value = (double)whole, scale = 1;
    if (*next == '.') {
        for (next++; isdigit((unsigned char)*next); next++) {
            scale /= 10;
            value += scale * (*next - '0');
        }
    }
    static const char units[] = "kMG";
    const char *unit = *next != '\0' ? strchr(units, *next) : NULL;
    for (const char *each = units; unit != NULL && each <= unit; each++) {
        value *= 1000;
    }
    if (next[unit != NULL] != '\0') {
        return false;
    }
    *number = value;
    return true;
}

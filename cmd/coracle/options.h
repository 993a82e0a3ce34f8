/* SPDX-License-Identifier: MIT */
/*
 * Options of a command as a table: getopt_long reads the command line by it, values are checked and stored by it, and
 * the help text is printed from it, so that the three cannot disagree.
 */
#ifndef CORACLE_CMD_OPTIONS_H
#define CORACLE_CMD_OPTIONS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* What an option takes, and the type of the field it is stored in. */
typedef enum option_kind {
    OPTION_FLAG,     /* bool; takes no value */
    OPTION_TEXT,     /* const char * */
    OPTION_COUNT,    /* uint64_t, low..high */
    OPTION_SIZE,     /* size_t in bytes, low..high */
    OPTION_DURATION, /* int64_t in nanoseconds */
    OPTION_CHOICE    /* int: the index in choices */
} option_kind;

typedef struct option_def {
    const char *name;           /* long name without dashes */
    char letter;                /* short name, 0: none */
    option_kind kind;           /* */
    size_t offset;              /* of the field in the command's struct */
    const char *value;          /* name of the value in the help, NULL for a flag */
    const char *help;           /* one line */
    const char *const *choices; /* OPTION_CHOICE: the words, NULL-terminated */
    uint64_t low, high;         /* OPTION_COUNT and OPTION_SIZE */
} option_def;

typedef struct option_table {
    const char *command; /* "coracle serve": begins error messages */
    const option_def *defs;
    size_t count;
} option_table;

enum { OPTIONS_HELP = -1, OPTIONS_BAD = -2 };

/*
 * Reads the options of argv (argv[0] is the command's name) into the struct at `target`. Operands are moved to the end.
 * Returns the index of the first operand; OPTIONS_HELP if help was asked for; OPTIONS_BAD after one line on stderr.
 */
int options_read(const option_table *table, int argc, char **argv, void *target);

/* Prints name=value for each option, as it is in the struct at `target`. */
void options_dump(const option_table *table, const void *target, FILE *to);

/* Writes the options' values in the struct at `of` as a JSON object: sizes in bytes, durations in seconds. */
void options_put_json(const option_table *table, const void *of, FILE *to);

/* Prints the options, one per line. */
void options_print(const option_table *table, FILE *to);

#endif

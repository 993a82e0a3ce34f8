/* SPDX-License-Identifier: MIT */
/* The table-driven face of getopt_long. */
#include "options.h"

#include "parse.h"
#include "suggest.h"

#include <coracle/io.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define DEFS_MAX 64
/* What getopt_long returns for def number i is FIRST_VALUE + i: above every letter. */
#define FIRST_VALUE 256
#define HELP_VALUE 255

/* One command line being read. */
typedef struct reading {
    const option_table *table;
    struct option longs[DEFS_MAX + 2];
    char letters[2 * DEFS_MAX + 4];
} reading;

static void fill_tables(reading *state)
{
    const option_table *table = state->table;
    char *letter = state->letters;
    /* A leading colon: a missing value is told apart from an unknown option. */
    *letter++ = ':';
    *letter++ = 'h';
    for (size_t i = 0; i < table->count; i++) {
        const option_def *def = &table->defs[i];
        int has_value = def->kind == OPTION_FLAG ? no_argument : required_argument;
        state->longs[i] = (struct option){def->name, has_value, NULL, FIRST_VALUE + (int)i};
        if (def->letter != 0) {
            *letter++ = def->letter;
            if (has_value == required_argument) {
                *letter++ = ':';
            }
        }
    }
    *letter = '\0';
    state->longs[table->count] = (struct option){"help", no_argument, NULL, HELP_VALUE};
    state->longs[table->count + 1] = (struct option){0};
}

static const option_def *find_def(const option_table *table, int value)
{
    for (size_t i = 0; i < table->count; i++) {
        if (value == FIRST_VALUE + (int)i || (value > 0 && value == table->defs[i].letter)) {
            return &table->defs[i];
        }
    }
    return NULL;
}

static bool set_choice(const option_def *def, int *field, const char *value)
{
    for (int i = 0; def->choices[i] != NULL; i++) {
        if (strcmp(def->choices[i], value) == 0) {
            *field = i;
            return true;
        }
    }
    return false;
}

static bool set_value(const option_def *def, void *target, const char *value)
{
    void *field = (char *)target + def->offset;
    size_t size;
    switch (def->kind) {
    case OPTION_FLAG:
        *(bool *)field = true;
        return true;
    case OPTION_TEXT:
        *(const char **)field = value;
        return true;
    case OPTION_COUNT:
        return parse_count(value, def->low, def->high, field);
    case OPTION_SIZE:
        if (!parse_size(value, &size) || size < def->low || size > def->high) {
            return false;
        }
        *(size_t *)field = size;
        return true;
    case OPTION_DURATION:
        return parse_duration(value, field);
    case OPTION_CHOICE:
        return set_choice(def, field, value);
    }
    return false;
}

static void print_choices(const option_def *def, FILE *to)
{
    for (int i = 0; def->choices[i] != NULL; i++) {
        fprintf(to, "%s%s", i == 0 ? "" : def->choices[i + 1] == NULL ? " or " : ", ", def->choices[i]);
    }
}

static void complain_value(const option_table *table, const option_def *def, const char *value)
{
    fprintf(stderr, "%s: --%s: '%s' is not ", table->command, def->name, value);
    switch (def->kind) {
    case OPTION_COUNT:
        fprintf(stderr, "a number from %llu to %llu", (unsigned long long)def->low, (unsigned long long)def->high);
        break;
    case OPTION_SIZE:
        fprintf(stderr, "a size such as 4096, 64k or 1MiB (%llu to %llu bytes)", (unsigned long long)def->low,
                (unsigned long long)def->high);
        break;
    case OPTION_DURATION:
        fprintf(stderr, "a duration such as 500ms, 2s or 1m30s");
        break;
    default:
        print_choices(def, stderr);
        break;
    }
    fprintf(stderr, "\n");
}

/* Says what is wrong with a long option that getopt_long does not know: `word` begins with two dashes. */
static void complain_long(const reading *state, const char *word)
{
    const char *command = state->table->command;
    const char *name = word + 2;
    size_t size = strcspn(name, "=");
    suggestion best = {0};
    int begin_so = 0;
    for (const struct option *option = state->longs; option->name != NULL; option++) {
        suggest_consider(&best, name, size, option->name);
        begin_so += strncmp(option->name, name, size) == 0;
    }
    if (begin_so > 1) {
        fprintf(stderr, "%s: option '--%.*s' is ambiguous:", command, (int)size, name);
        for (const struct option *option = state->longs; option->name != NULL; option++) {
            if (strncmp(option->name, name, size) == 0) {
                fprintf(stderr, " --%s", option->name);
            }
        }
        fprintf(stderr, "\n");
    } else if (best.word != NULL) {
        fprintf(stderr, "%s: unknown option '--%.*s'; did you mean '--%s'?\n", command, (int)size, name, best.word);
    } else {
        fprintf(stderr, "%s: unknown option '--%.*s'; see '%s --help'\n", command, (int)size, name, command);
    }
}

static void complain(const reading *state, int found, char **argv)
{
    const char *command = state->table->command;
    const option_def *def = find_def(state->table, optopt);
    if (found == ':') {
        fprintf(stderr, "%s: option '%s' needs a value: %s\n", command, argv[optind - 1], def->value);
    } else if (def != NULL || optopt == HELP_VALUE) {
        fprintf(stderr, "%s: option '--%s' takes no value\n", command, def != NULL ? def->name : "help");
    } else if (optopt != 0) {
        fprintf(stderr, "%s: unknown option '-%c'; see '%s --help'\n", command, optopt, command);
    } else {
        complain_long(state, argv[optind - 1]);
    }
}

int options_read(const option_table *table, int argc, char **argv, void *target)
{
    reading state = {.table = table};
    fill_tables(&state);
    opterr = 0;
    optind = 0; /* glibc: start anew */
    int found;
    while ((found = getopt_long(argc, argv, state.letters, state.longs, NULL)) != -1) {
        if (found == HELP_VALUE || found == 'h') {
            return OPTIONS_HELP;
        }
        const option_def *def = found == ':' || found == '?' ? NULL : find_def(table, found);
        if (def == NULL) {
            complain(&state, found, argv);
            return OPTIONS_BAD;
        }
        if (!set_value(def, target, optarg)) {
            complain_value(table, def, optarg);
            return OPTIONS_BAD;
        }
    }
    return optind;
}

static void dump_size(size_t size, FILE *to)
{
    static const char *const units[] = {"", "k", "M", "G"};
    int unit = 0;
    while (unit < 3 && size > 0 && size % 1024 == 0) {
        size /= 1024;
        unit++;
    }
    fprintf(to, "%zu%s\n", size, units[unit]);
}

static void dump_duration(int64_t ns, FILE *to)
{
    static const struct {
        int64_t ns;
        const char *name;
    } units[] = {{INT64_C(3600000000000), "h"},
                 {INT64_C(60000000000), "m"},
                 {1000000000, "s"},
                 {1000000, "ms"},
                 {1000, "us"},
                 {1, "ns"}};
    const size_t last = sizeof(units) / sizeof(units[0]) - 1;
    size_t unit = 0;
    while (unit < last && ns % units[unit].ns != 0) {
        unit++;
    }
    if (ns == 0) {
        fprintf(to, "0\n");
    } else {
        fprintf(to, "%lld%s\n", (long long)(ns / units[unit].ns), units[unit].name);
    }
}

void options_dump(const option_table *table, const void *target, FILE *to)
{
    for (size_t i = 0; i < table->count; i++) {
        const option_def *def = &table->defs[i];
        const void *field = (const char *)target + def->offset;
        fprintf(to, "%s=", def->name);
        switch (def->kind) {
        case OPTION_FLAG:
            fprintf(to, "%s\n", *(const bool *)field ? "yes" : "no");
            break;
        case OPTION_TEXT:
            fprintf(to, "%s\n", *(const char *const *)field != NULL ? *(const char *const *)field : "");
            break;
        case OPTION_COUNT:
            fprintf(to, "%llu\n", (unsigned long long)*(const uint64_t *)field);
            break;
        case OPTION_SIZE:
            dump_size(*(const size_t *)field, to);
            break;
        case OPTION_DURATION:
            dump_duration(*(const int64_t *)field, to);
            break;
        case OPTION_CHOICE:
            fprintf(to, "%s\n", def->choices[*(const int *)field < 0 ? 0 : *(const int *)field]);
            break;
        }
    }
}

void options_print(const option_table *table, FILE *to)
{
    for (size_t i = 0; i <= table->count; i++) {
        static const option_def help = {.name = "help", .letter = 'h', .help = "show this text"};
        const option_def *def = i < table->count ? &table->defs[i] : &help;
        char name[64];
        snprintf(name, sizeof(name), "--%s%s%s", def->name, def->value != NULL ? " " : "",
                 def->value != NULL ? def->value : "");
        char letter[8] = "    ";
        if (def->letter != 0) {
            snprintf(letter, sizeof(letter), "-%c, ", def->letter);
        }
        fprintf(to, "  %s%-25s %s", letter, name, def->help);
        if (def->kind == OPTION_CHOICE) {
            fprintf(to, ": ");
            print_choices(def, to);
        }
        fprintf(to, "\n");
    }
}

static void put_text(const char *text, FILE *to)
{
    size_t size = strlen(text);
    char *quoted = malloc(COR_JSON_QUOTE_MAX(size));
    if (quoted != NULL) {
        fwrite(quoted, 1, (size_t)(cor_json_quote(quoted, text, size) - quoted), to);
    } else {
        fputs("null", to);
    }
    free(quoted);
}

static void put_value(const option_def *def, const void *field, FILE *to)
{
    const char *text = def->kind == OPTION_TEXT ? *(const char *const *)field : NULL;
    int choice = def->kind == OPTION_CHOICE ? *(const int *)field : -1;
    switch (def->kind) {
    case OPTION_FLAG:
        fputs(*(const bool *)field ? "true" : "false", to);
        break;
    case OPTION_COUNT:
        fprintf(to, "%llu", (unsigned long long)*(const uint64_t *)field);
        break;
    case OPTION_SIZE:
        fprintf(to, "%zu", *(const size_t *)field);
        break;
    case OPTION_DURATION:
        fprintf(to, "%.9g", (double)*(const int64_t *)field / 1e9);
        break;
    default:
        text = choice >= 0 ? def->choices[choice] : text;
        if (text != NULL) {
            put_text(text, to);
        } else {
            fputs("null", to);
        }
        break;
    }
}

void options_put_json(const option_table *table, const void *of, FILE *to)
{
    for (size_t i = 0; i < table->count; i++) {
        const option_def *def = &table->defs[i];
        fprintf(to, "%s\"%s\":", i == 0 ? "{" : ",", def->name);
        put_value(def, (const char *)of + def->offset, to);
    }
    fputc('}', to);
}

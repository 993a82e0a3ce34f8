/* SPDX-License-Identifier: MIT */
/*
 * The command line, by a table with an option of each kind. What is stored is within its bounds, and reads back to the
 * same values from the text that --dump-config prints.
 *
 * Input: words up to a NUL each, sixteen at most.
 */
/* sources: cmd/coracle/options.c cmd/coracle/parse.c cmd/coracle/suggest.c */
#include "input.h"
#include "support/option_table.h"

enum { WORDS = 16, DUMP_BYTES = 1 << 16 };

static const values untouched = {.text = "none", .count = 1, .size = 16, .colour = 0};

/* The text that a function writes; owned by the caller. */
static char *text_of(void (*print)(const option_table *table, const void *of, FILE *to), const values *of)
{
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    CHECK(to != NULL);
    print(&table, of, to);
    CHECK(fclose(to) == 0 && size > 0);
    return text;
}

static bool same(const values *a, const values *b)
{
    return a->quiet == b->quiet && strcmp(a->text, b->text) == 0 && a->count == b->count && a->size == b->size &&
           a->wait == b->wait && a->colour == b->colour;
}

/* The values again, from name=value lines given as options. Texts with an LF are left as they are. */
static void check_way_back(const values *of)
{
    char *dump = text_of(options_dump, of), *rest = dump, *argv[WORDS + 2] = {dump};
    values again = untouched;
    int argc = 1;
    for (char *line = strsep(&rest, "\n"); line != NULL && *line != '\0'; line = strsep(&rest, "\n")) {
        bool is_flag = strncmp(line, "quiet=", 6) == 0;
        char *word = malloc(strlen(line) + 3);
        CHECK(word != NULL && argc < WORDS);
        sprintf(word, "--%s", is_flag ? "quiet" : line);
        if (is_flag && strcmp(line, "quiet=no") == 0) {
            free(word);
        } else {
            argv[argc++] = word;
        }
    }
    CHECK(options_read(&table, argc, argv, &again) == argc && same(of, &again));
    for (int i = 1; i < argc; i++) {
        free(argv[i]);
    }
    free(dump);
}

static void check_values(const values *of)
{
    CHECK(of->text != NULL && of->count >= 1 && of->count <= 900 && of->size >= 16 && of->size <= 1 << 20);
    CHECK(of->wait >= 0 && (of->colour == 0 || of->colour == 1));
    if (strchr(of->text, '\n') == NULL) {
        check_way_back(of);
    }
    char *json = text_of(options_put_json, of);
    CHECK(json[0] == '{' && json[strlen(json) - 1] == '}' && strpbrk(json, "\n\r\t\033") == NULL);
    free(json);
}

/* As options_read does: dashes begin options up to "--", the others are operands, which are moved to the end. */
static void check_operands(char **argv, int first, int argc, const char *const *given)
{
    for (int i = first; i < argc; i++) {
        bool found = false;
        for (int j = 1; j < argc; j++) {
            found |= argv[i] == given[j];
        }
        CHECK(found);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static FILE *nowhere;
    static char name[] = "verb";
    input in = {data, size};
    char *argv[WORDS + 2] = {name};
    const char *given[WORDS + 2] = {name};
    int argc = 1;
    if (nowhere == NULL) {
        nowhere = fopen("/dev/null", "we");
        CHECK(nowhere != NULL);
    }
    while (in.left > 0 && argc <= WORDS) {
        given[argc] = argv[argc] = input_text(&in);
        argc++;
    }
    values got = untouched;
    FILE *kept = stderr;
    stderr = nowhere;
    int first = options_read(&table, argc, argv, &got);
    stderr = kept;
    CHECK(first == OPTIONS_HELP || first == OPTIONS_BAD || (first >= 1 && first <= argc));
    check_values(&got);
    if (first > 0) {
        check_operands(argv, first, argc, given);
    }
    for (int i = 1; i < argc; i++) {
        free((char *)(uintptr_t)given[i]);
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * `coracle resolve`: asks for names as the library's dial does, and shows the answers, who gave them and how long it
 * took. All names are asked for at once, each by a task; what came is printed in their order at the end.
 */
#include "command.h"

#include "escape.h"
#include "exits.h"
#include "options.h"

#include <coracle.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { TYPE_IP, TYPE_IP4, TYPE_IP6, TYPE_ADDR, TYPE_CNAME, TYPE_MX, TYPE_TXT, TYPE_SRV, TYPE_NS };
enum { FORMAT_TEXT, FORMAT_JSON, AT_ONCE = 200 };

static const char *const type_names[] = {"ip", "ip4", "ip6", "addr", "cname", "mx", "txt", "srv", "ns", NULL};
static const char *const format_names[] = {"text", "json", NULL};

typedef struct resolve_options {
    int type, format;
    int64_t timeout;
} resolve_options;

/* One operand and what came of it. */
typedef struct question {
    const resolve_options *options;
    const char *text;
    int code, port; /* port: -1 where the operand has none */
    int64_t took_ns;
    cor_error error;
    cor_records *found;
    char canonical[COR_NAME_TEXT];
} question;

typedef struct resolve_run {
    resolve_options options;
    question *questions;
    int count;
} resolve_run;

#define FIELD(name) offsetof(resolve_options, name)

static const option_def defs[] = {
    {"type", 'a', OPTION_CHOICE, FIELD(type), "TYPE", "what to ask for (default ip)", type_names, 0, 0},
    {"timeout", 't', OPTION_DURATION, FIELD(timeout), "D", "time limit for each name (default 10s; 0: the servers')",
     NULL, 0, 0},
    {"format", 'f', OPTION_CHOICE, FIELD(format), "FORMAT", "format of the answers (default text)", format_names, 0, 0},
};

static const option_table table = {"coracle resolve", defs, sizeof(defs) / sizeof(defs[0])};

void resolve_help(FILE *to)
{
    fprintf(to,
            "Usage: coracle resolve [OPTIONS] NAME|HOST:PORT...\n"
            "Looks names up as dial does: in /etc/hosts, then by DNS. Shows each answer, the server and the time.\n\n"
            "Types:\n"
            "  ip ip4 ip6  addresses, in the order in which dial tries them; HOST:PORT also finds the port\n"
            "  addr        the names of an address\n"
            "  cname       the name that aliases lead to\n"
            "  mx          mail servers: PRIORITY HOST\n"
            "  txt         texts\n"
            "  srv         where a service runs, such as _xmpp._tcp.example.org: PRIORITY WEIGHT HOST:PORT\n"
            "  ns          name servers\n\n"
            "Options:\n");
    options_print(&table, to);
    fprintf(to, "\nExits with 0 if every name has an answer, 69 if one has none or no server answered.\n");
}

/* Splits "HOST:PORT" where the operand is that; gives the host. */
static const char *split(question *of, char host[COR_NAME_TEXT])
{
    char port[COR_ADDR_TEXT];
    of->port = -1;
    if (of->options->type > TYPE_IP6 || cor_split_host_port(of->text, host, COR_NAME_TEXT, port, sizeof(port)) < 0) {
        return of->text;
    }
    of->port = cor_lookup_port("tcp", port, &of->error);
    of->code = of->port < 0 ? of->port : 0;
    return host;
}

static void look_up(void *arg)
{
    question *of = arg;
    char host[COR_NAME_TEXT];
    int64_t begun = cor_now(), limit = of->options->timeout, deadline = limit > 0 ? cor_after(limit) : 0;
    const char *name = split(of, host);
    if (of->code < 0) {
        return;
    }
    switch (of->options->type) {
    case TYPE_ADDR:
        of->code = cor_lookup_addr(&of->found, name, deadline, &of->error);
        break;
    case TYPE_CNAME:
        of->code = cor_lookup_cname(of->canonical, sizeof(of->canonical), name, deadline, &of->error);
        break;
    case TYPE_MX:
        of->code = cor_lookup_mx(&of->found, name, deadline, &of->error);
        break;
    case TYPE_TXT:
        of->code = cor_lookup_txt(&of->found, name, deadline, &of->error);
        break;
    case TYPE_SRV:
        of->code = cor_lookup_srv(&of->found, "", "", name, deadline, &of->error);
        break;
    case TYPE_NS:
        of->code = cor_lookup_ns(&of->found, name, deadline, &of->error);
        break;
    default:
        of->code = cor_lookup_ip(&of->found, type_names[of->options->type], name, deadline, &of->error);
        break;
    }
    of->took_ns = cor_now() - begun;
}

static bool memory_lacked; /* something that was to be printed is missing */

static int say_no_memory(void)
{
    fprintf(stderr, "coracle resolve: %s\n", cor_strerror(-ENOMEM));
    return EXIT_TRY_AGAIN;
}

/* One answer as text, escaped; the caller's. NULL: no memory. */
static char *answer_text(const question *of, int index)
{
    const char *text = of->canonical;
    size_t size = strlen(text);
    char head[32] = "", tail[16] = "";
    if (of->found != NULL) {
        const cor_record *record = &of->found->list[index];
        bool brackets = of->port >= 0 && strchr(record->text, ':') != NULL;
        text = record->text;
        size = record->size_bytes;
        if (of->options->type == TYPE_MX) {
            (void)snprintf(head, sizeof(head), "%u ", record->priority);
        } else if (of->options->type == TYPE_SRV) {
            (void)snprintf(head, sizeof(head), "%u %u ", record->priority, record->weight);
            (void)snprintf(tail, sizeof(tail), ":%u", record->port);
        } else if (of->port >= 0) {
            (void)snprintf(head, sizeof(head), "%s", brackets ? "[" : "");
            (void)snprintf(tail, sizeof(tail), "%s:%d", brackets ? "]" : "", of->port);
        }
    }
    char *made = malloc(strlen(head) + escape_size(text, size, 0) + strlen(tail) + 1);
    if (made != NULL) {
        char *end = escape_copy(stpcpy(made, head), text, size, 0);
        (void)stpcpy(end, tail);
    }
    memory_lacked |= made == NULL;
    return made;
}

static int answer_count(const question *of)
{
    return of->code < 0 ? 0 : of->found != NULL ? of->found->count : 1;
}

/* Prints a text of the command line or of an answer. */
static void print_escaped(const char *text)
{
    char *shown = malloc(escape_size(text, strlen(text), 0) + 1);
    if (shown != NULL) {
        *escape_copy(shown, text, strlen(text), 0) = '\0';
        fputs(shown, stdout);
    }
    memory_lacked |= shown == NULL;
    free(shown);
}

static void print_text(const question *of)
{
    for (int i = 0; i < answer_count(of); i++) {
        char *answer = answer_text(of, i);
        print_escaped(of->text);
        printf("\t%s\t%s", type_names[of->options->type], answer != NULL ? answer : "");
        if (of->found != NULL && of->found->server[0] != '\0') {
            printf("\tfrom %s", of->found->server);
        }
        printf("\tin %.3f ms\n", (double)of->took_ns / 1e6);
        free(answer);
    }
}

static void print_quoted(const char *text, size_t size)
{
    char *quoted = malloc(COR_JSON_QUOTE_MAX(size));
    if (quoted != NULL) {
        fwrite(quoted, 1, (size_t)(cor_json_quote(quoted, text, size) - quoted), stdout);
    } else {
        fputs("null", stdout);
        memory_lacked = true;
    }
    free(quoted);
}

static void print_json_answer(const question *of, int index)
{
    int type = of->options->type;
    if (of->found == NULL) {
        print_quoted(of->canonical, strlen(of->canonical));
        return;
    }
    const cor_record *record = &of->found->list[index];
    printf("{\"text\":");
    print_quoted(record->text, record->size_bytes);
    if (type == TYPE_MX || type == TYPE_SRV) {
        printf(",\"priority\":%u", record->priority);
    }
    if (type == TYPE_SRV) {
        printf(",\"weight\":%u,\"port\":%u", record->weight, record->port);
    } else if (of->port >= 0) {
        printf(",\"port\":%d", of->port);
    }
    putchar('}');
}

/* One line: an object. */
static void print_json(const question *of)
{
    char text[COR_ERROR_TEXT];
    printf("{\"name\":");
    print_quoted(of->text, strlen(of->text));
    printf(",\"type\":\"%s\",\"time_ns\":%lld", type_names[of->options->type], (long long)of->took_ns);
    if (of->found != NULL && of->found->server[0] != '\0') {
        printf(",\"server\":\"%s\"", of->found->server);
    }
    if (of->code < 0) {
        printf(",\"error\":");
        cor_error_text(&of->error, text, sizeof(text));
        print_quoted(text, strlen(text));
    }
    printf(",\"answers\":[");
    for (int i = 0; i < answer_count(of); i++) {
        fputs(i > 0 ? "," : "", stdout);
        print_json_answer(of, i);
    }
    printf("]}\n");
}

/* Prints what came of one name; its exit code. */
static int print(const question *of)
{
    char text[COR_ERROR_TEXT];
    if (of->options->format == FORMAT_JSON) {
        print_json(of);
    } else {
        print_text(of);
    }
    if (memory_lacked) {
        return say_no_memory();
    }
    if (of->code < 0) {
        fprintf(stderr, "coracle resolve: %s\n", cor_error_text(&of->error, text, sizeof(text)));
        return exit_code_of(of->code);
    }
    if (of->found != NULL && of->found->dropped > 0) {
        fprintf(stderr, "coracle resolve: %s: %d records left out, whose names are not valid\n", of->text,
                of->found->dropped);
    }
    return EXIT_OK;
}

static int resolve_main(void *arg)
{
    resolve_run *run = arg;
    cor_group group = {0};
    int code = EXIT_OK;
    cor_group_set_limit(&group, AT_ONCE);
    for (int i = 0; i < run->count; i++) {
        question *of = &run->questions[i];
        int rc = cor_group_go(&group, look_up, of);
        if (rc < 0) {
            of->code = of->error.code = rc;
        }
    }
    (void)cor_group_wait(&group, 0);
    for (int i = 0; i < run->count; i++) {
        int one = print(&run->questions[i]);
        code = code == EXIT_OK ? one : code;
        cor_records_free(run->questions[i].found);
    }
    return code;
}

int resolve_command(int argc, char **argv)
{
    resolve_run run = {.options = {.timeout = 10 * COR_SECOND}};
    int first = options_read(&table, argc, argv, &run.options);
    if (first == OPTIONS_HELP) {
        resolve_help(stdout);
        return EXIT_OK;
    }
    if (first == OPTIONS_BAD) {
        return EXIT_USAGE;
    }
    if (first == argc) {
        fprintf(stderr, "coracle resolve: no NAME given; see 'coracle resolve --help'\n");
        return EXIT_USAGE;
    }
    run.count = argc - first;
    run.questions = calloc((size_t)run.count, sizeof(question));
    if (run.questions == NULL) {
        return say_no_memory();
    }
    for (int i = 0; i < run.count; i++) {
        run.questions[i] = (question){.options = &run.options, .text = argv[first + i], .port = -1};
    }
    int code = cor_run(resolve_main, &run, &(cor_options){.workers = 1});
    free(run.questions);
    if (code < 0) {
        fprintf(stderr, "coracle resolve: cannot start: %s\n", cor_strerror(code));
        return exit_code_of(code);
    }
    return code;
}

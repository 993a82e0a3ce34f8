/* SPDX-License-Identifier: MIT */
/* The program `coracle`: finds the command and runs it. */
#include "command.h"
#include "exits.h"
#include "suggest.h"

#include <coracle.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

static int help_command(int argc, char **argv);
static void help_help(FILE *to);

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    void (*help)(FILE *to);
    const char *line;
} commands[] = {
    {"serve", serve_command, serve_help, "run ready-made services"},
    {"dial", dial_command, dial_help, "connect to a service"},
    {"bench", bench_command, bench_help, "load a server and measure it"},
    {"resolve", resolve_command, resolve_help, "look up names"},
    {"status", status_command, status_help, "show what a running 'serve --admin' does"},
    {"help", help_command, help_help, "explain a command"},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void print_usage(FILE *to)
{
    fprintf(to, "Usage: coracle COMMAND [OPTIONS] [ARGUMENTS]...\n"
                "Small TCP services and clients on light tasks, one per connection.\n\n"
                "Commands:\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        fprintf(to, "  %-10s %s\n", commands[i].name, commands[i].line);
    }
    fprintf(to, "\nOptions:\n"
                "  -h, --help      show this text\n"
                "  -V, --version   show the version and what it was built with\n\n"
                "'coracle help COMMAND' explains a command. Try 'coracle serve', then in another terminal\n"
                "'coracle dial --as echo'.\n");
}

static void help_help(FILE *to)
{
    fprintf(to, "Usage: coracle help [COMMAND]\nExplains a command.\n");
}

static void print_version(void)
{
    printf("coracle %s\n", cor_version());
    printf("poller: %s\n", cor_poller_info());
    printf("json: %s\n", COR_HAVE_JSON ? "on" : "off (built without json-c: no broadcast service)");
    printf("dns: %s\n", COR_HAVE_CARES ? "on" : "off (built without c-ares: names of files only)");
    printf("systemd: %s\n", COR_HAVE_SYSTEMD ? "on" : "off (built without libsystemd: no socket activation)");
    printf("sandbox: %s\n",
           COR_HAVE_SECCOMP ? "on" : "files only (built without libseccomp: no filter of system calls)");
    printf("bus: %s\n", COR_HAVE_NATS ? "on" : "off (built without libnats: a broadcast room has one node)");
    printf("websocket: %s\n", COR_HAVE_WEBSOCKET ? "on" : "off (built without libwslay or nettle: no ws:// addresses)");
    printf("admin: %s\n", COR_HAVE_ADMIN ? "on" : "off (built without libmicrohttpd: no status over HTTP)");
}

/* Finds a command by name; on failure says so and suggests. Returns its index or COMMAND_COUNT. */
static size_t find_command(const char *name)
{
    suggestion best = {0};
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return i;
        }
        suggest_consider(&best, name, strlen(name), commands[i].name);
    }
    if (best.word != NULL) {
        fprintf(stderr, "coracle: unknown command '%s'; did you mean '%s'?\n", name, best.word);
    } else {
        fprintf(stderr, "coracle: unknown command '%s'; see 'coracle --help'\n", name);
    }
    return COMMAND_COUNT;
}

static int help_command(int argc, char **argv)
{
    if (argc < 2 || argv[1][0] == '-') {
        print_usage(stdout);
        return EXIT_OK;
    }
    size_t found = find_command(argv[1]);
    if (found == COMMAND_COUNT) {
        return EXIT_USAGE;
    }
    commands[found].help(stdout);
    return EXIT_OK;
}

static bool is_one_of(const char *word, const char *a, const char *b)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

/* Runs what argv asks for and returns the exit code. */
static int run(int argc, char **argv)
{
    if (argc < 2) {
        print_usage(stderr);
        return EXIT_USAGE;
    }
    if (is_one_of(argv[1], "--help", "-h")) {
        print_usage(stdout);
        return EXIT_OK;
    }
    if (is_one_of(argv[1], "--version", "-V")) {
        print_version();
        return EXIT_OK;
    }
    if (argv[1][0] == '-') {
        suggestion best = {0};
        suggest_consider(&best, argv[1], strlen(argv[1]), "--help");
        suggest_consider(&best, argv[1], strlen(argv[1]), "--version");
        fprintf(stderr, "coracle: unknown option '%s'; %s '%s'%s\n", argv[1], best.word ? "did you mean" : "see",
                best.word ? best.word : "coracle --help", best.word ? "?" : "");
        return EXIT_USAGE;
    }
    size_t found = find_command(argv[1]);
    return found == COMMAND_COUNT ? EXIT_USAGE : commands[found].run(argc - 1, argv + 1);
}

/*
 * Standard streams that are closed would become the first sockets opened, and output would go to a client. They are
 * opened the wrong way round instead, so that using one still is an error.
 */
static bool hold_standard_streams(void)
{
    for (int fd = 0; fd <= 2; fd++) {
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY) < 0) {
            return false;
        }
    }
    return true;
}

int main(int argc, char **argv)
{
    if (!hold_standard_streams()) {
        return EXIT_FAILED;
    }
    /* A pipe whose reader has gone is an error of the write, not the end of the program. */
    signal(SIGPIPE, SIG_IGN);
    int code = run(argc, argv);
    bool flushed = fflush(stdout) == 0;
    if ((!flushed || ferror(stdout) != 0) && code == EXIT_OK) { /* an earlier part may be lost, and the end not */
        fprintf(stderr, "coracle: standard output: %s\n", flushed ? "a part was not taken" : cor_strerror(-errno));
        code = EXIT_FAILED;
    }
    return code;
}

/* SPDX-License-Identifier: MIT */
/* `coracle dial`: its command line; connects, opens the terminal and runs the kind of client asked for. */
#include "command.h"

#include "dial/dialog.h"
#include "exits.h"
#include "options.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const dialog_kind *const kinds[] = {&raw_kind, &echo_kind, &name_kind, &broadcast_kind, &get_kind};
static const char *const kind_names[] = {"raw", "echo", "name", "broadcast", "get", NULL};

#define FIELD(name) offsetof(dialog_options, name)

static const option_def defs[] = {
    {"as", 'a', OPTION_CHOICE, FIELD(kind), "KIND", "kind of client (default raw)", kind_names, 0, 0},
    {"timeout", 't', OPTION_DURATION, FIELD(timeout), "D", "time limit for connecting (default 10s; 0: the system's)",
     NULL, 0, 0},
    {"send-only", 0, OPTION_FLAG, FIELD(send_only), NULL, "raw: ignore what the server sends", NULL, 0, 0},
    {"recv-only", 0, OPTION_FLAG, FIELD(recv_only), NULL, "raw: do not read standard input", NULL, 0, 0},
    {"no-shutdown", 0, OPTION_FLAG, FIELD(no_shutdown), NULL, "raw: keep the connection open when input ends", NULL, 0,
     0},
    {"crlf", 0, OPTION_FLAG, FIELD(crlf), NULL, "raw: send LF as CR LF", NULL, 0, 0},
};

static const option_table table = {"coracle dial", defs, sizeof(defs) / sizeof(defs[0])};

void dial_help(FILE *to)
{
    fprintf(to,
            "Usage: coracle dial [OPTIONS] [--as KIND] [ADDRESS]\n"
            "Connects to ADDRESS and talks to the server there.\n\n"
            "Kinds:\n"
            "  raw        copies standard input to the server and the server to standard output, unchanged\n"
            "  echo       sends each line and shows what comes back; Q quits   (default 127.0.0.1:9999)\n"
            "  name       asks for a name, sends 'NAME says: LINE'; Q quits    (default localhost:50000)\n"
            "  broadcast  sends lines to the room, shows its messages; /q quits (default 127.0.0.1:1253)\n"
            "  get        sends 'GET / ' and shows everything that comes back\n\n"
            "ADDRESS is host:port, :port or [::1]:port, or NETWORK://... for a network of tcp, tcp4, tcp6 and unix.\n"
            "raw also takes udp, udp4, udp6, unixgram and ip4:PROTOCOL, ip6:PROTOCOL: each read of standard input, or "
            "line\n"
            "of a terminal, is a datagram.\n\n"
            "Options:\n");
    options_print(&table, to);
    fprintf(to, "\nExits with 0 if all went well, 69 if nobody answers at ADDRESS, 1 if the connection was lost.\n");
}

/* Opens a standard stream through a copy of its descriptor, so that closing it here closes nothing of others. */
static cor_conn *open_stream(int fd)
{
    cor_conn *stream = NULL;
    int copy = dup(fd);
    if (copy >= 0 && cor_open_fd(&stream, copy) < 0) {
        close(copy);
        stream = NULL;
    }
    return stream;
}

/* A socket of unixgram has no name unless it is given one, and without a name there is no answer. */
static int connect_to(cor_conn **out, const address *to, int64_t deadline, cor_error *error)
{
    cor_dialer with = COR_DIALER_INIT;
    with.deadline = deadline;
    with.local_path = strcmp(to->network, "unixgram") == 0 ? "" : NULL; /* one that the kernel chooses */
    return cor_dial_with(out, &with, to->network, to->text, error);
}

static int dial_main(void *arg)
{
    struct dialog *dialog = arg;
    const dialog_kind *kind = kinds[dialog->options.kind];
    cor_error error;
    int64_t deadline = dialog->options.timeout > 0 ? cor_after(dialog->options.timeout) : 0;
    const address *to = &dialog->address;
    int code = connect_to(&dialog->conn, to, deadline, &error);
    if (code < 0) {
        char text[COR_ERROR_TEXT];
        fprintf(stderr, "%s%s\n", kind->failure, cor_error_text(&error, text, sizeof(text)));
        return exit_code_of(code);
    }
    dialog->in = dialog->options.recv_only ? NULL : open_stream(STDIN_FILENO);
    dialog->out = open_stream(STDOUT_FILENO);
    if (address_is_packets(to)) {
        dialog_packets(dialog);
    } else {
        kind->run(dialog);
    }
    cor_close(dialog->conn);
    dialog_stop_input(dialog);
    if (dialog->out != NULL) {
        cor_close(dialog->out);
    }
    return atomic_load(&dialog->exit_code);
}

int dial_command(int argc, char **argv)
{
    struct dialog dialog = {.options = {.timeout = 10 * COR_SECOND}};
    int first = options_read(&table, argc, argv, &dialog.options);
    if (first == OPTIONS_HELP) {
        dial_help(stdout);
        return EXIT_OK;
    }
    if (first == OPTIONS_BAD) {
        return EXIT_USAGE;
    }
    const char *text = first < argc ? argv[first] : kinds[dialog.options.kind]->address;
    if (text == NULL || argc - first > 1) {
        fprintf(stderr, "coracle dial: %s; see 'coracle dial --help'\n",
                text == NULL ? "no ADDRESS given" : "more than one ADDRESS");
        return EXIT_USAGE;
    }
    if (dialog.options.send_only && dialog.options.recv_only) {
        fprintf(stderr, "coracle dial: --send-only and --recv-only cannot be used together\n");
        return EXIT_USAGE;
    }
    dialog.address = address_split(text);
    if (address_is_packets(&dialog.address) && kinds[dialog.options.kind] != &raw_kind) {
        fprintf(stderr, "coracle dial: --as %s reads a stream, and %s has datagrams; use --as raw\n",
                kind_names[dialog.options.kind], dialog.address.network);
        return EXIT_USAGE;
    }
    /* One worker: a client is two tasks that mostly wait. */
    int code = cor_run(dial_main, &dialog, &(cor_options){.workers = 1});
    if (code < 0) {
        fprintf(stderr, "coracle dial: cannot start: %s\n", cor_strerror(code));
        return exit_code_of(code);
    }
    return code;
}

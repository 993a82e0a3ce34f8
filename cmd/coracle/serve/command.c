/* SPDX-License-Identifier: MIT */
/* `coracle serve`: its options, its help, and from the command line to a run. */
#include "command.h"

#include "exits.h"
#include "options.h"
#include "serve/admin/admin.h"
#include "serve/bus/nats.h"
#include "serve/check.h"
#include "serve/exec/exec.h"
#include "serve/life/inherit.h"
#include "serve/life/privileges.h"
#include "serve/life/restart.h"
#include "serve/limits.h"
#include "serve/sandbox/sandbox.h"
#include "serve/serve.h"
#include "suggest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define KIB ((size_t)1024)
#define GIB (KIB * KIB * KIB)

static const char *const poller_names[] = {"auto", "epoll", "io_uring", NULL};
static const char *const sandbox_names[] = {"off", "on", "strict", NULL}; /* as SANDBOX_OFF ... */
static const char *const slow_policy_names[] = {"cut", "drop-oldest", "drop-newest", "block", NULL};

#define FIELD(name) offsetof(serve_options, name)

static const option_def defs[] = {
    {"workers", 'w', OPTION_COUNT, FIELD(workers), "N", "worker threads (default: COR_WORKERS, or one per usable core)",
     NULL, 1, 256},
    {"poller", 'p', OPTION_CHOICE, FIELD(poller), "NAME", "how to wait for events", poller_names, 0, 0},
    {"spin", 0, OPTION_DURATION, FIELD(spin), "D",
     "poll in a busy loop this long before sleeping (default: COR_SPIN_US, or 0)", NULL, 0, 0},
    {"stall-after", 0, OPTION_DURATION, FIELD(stall_after), "D",
     "log a task that computes this long without letting others run (default 100ms; 0: never)", NULL, 0, 0},
    {"max-conns", 'c', OPTION_COUNT, FIELD(max_conns), "N",
     "maximum number of connections (default: what the descriptor limit allows)", NULL, 1, UINT32_MAX},
    {"per-ip", 0, OPTION_COUNT, FIELD(per_ip), "N",
     "maximum per address (default 256, unlimited for this host; 0: unlimited)", NULL, 0, UINT32_MAX},
    {"accept-rate", 0, OPTION_COUNT, FIELD(accept_rate), "N",
     "new ones per second and address (default 256, unlimited for this host; 0: unlimited)", NULL, 0, 1000000},
    {"allow", 0, OPTION_TEXT, FIELD(allow), "LIST", "only these may connect: addresses, blocks, @FILEs", NULL, 0, 0},
    {"deny", 0, OPTION_TEXT, FIELD(deny), "LIST", "these may not; the longest prefix in both lists decides", NULL, 0,
     0},
    {"proxy-from", 0, OPTION_TEXT, FIELD(proxy_from), "LIST",
     "proxies whose connections begin with a PROXY header, version 1 or 2", NULL, 0, 0},
    {"user", 0, OPTION_TEXT, FIELD(user), "NAME", "switch to this user once all sockets are open", NULL, 0, 0},
    {"group", 0, OPTION_TEXT, FIELD(group), "NAME", "and to this group (default: the user's)", NULL, 0, 0},
    {"sandbox", 0, OPTION_CHOICE, FIELD(sandbox), "MODE", "give up files, programs and calls that no service needs",
     sandbox_names, 0, 0},
    {"unix-mode", 0, OPTION_TEXT, FIELD(unix_mode), "MODE", "permissions of unix sockets, octal, such as 660", NULL, 0,
     0},
    {"unix-owner", 0, OPTION_TEXT, FIELD(unix_owner), "USER[:GROUP]", "owner of unix sockets; or just :GROUP", NULL, 0,
     0},
    {"max-memory", 0, OPTION_SIZE, FIELD(max_memory), "BYTES",
     "near it refuse new clients, above it cut the largest (default 3/4 of all; 0: no limit)", NULL, 0, SIZE_MAX / 2},
    {"max-line", 'l', OPTION_SIZE, FIELD(max_line), "BYTES", "longest line or JSON message (default 64k)", NULL, 16,
     GIB},
    {"idle-timeout", 'i', OPTION_DURATION, FIELD(idle_timeout), "D",
     "close clients that send nothing complete for this long (default 5m; 0: never)", NULL, 0, 0},
    {"write-timeout", 0, OPTION_DURATION, FIELD(write_timeout), "D",
     "close clients that accept no data for this long (default 30s; 0: never)", NULL, 0, 0},
    {"first-byte-timeout", 0, OPTION_DURATION, FIELD(first_byte_timeout), "D",
     "close clients that send nothing this long after connecting (default 60s; 0: never)", NULL, 0, 0},
    {"outbox", 0, OPTION_SIZE, FIELD(outbox), "BYTES", "broadcast: how far a member may fall behind (default 16M)",
     NULL, 4 * KIB, GIB},
    {"slow-after", 0, OPTION_DURATION, FIELD(slow_after), "D",
     "broadcast: cut members that read nothing for this long (default 10s; 0: never)", NULL, 0, 0},
    {"slow-policy", 0, OPTION_CHOICE, FIELD(slow_policy), "P", "broadcast: what to do with slow members",
     slow_policy_names, 0, 0},
    {"rooms", 0, OPTION_COUNT, FIELD(rooms), "N",
     "broadcast: rooms that clients may create at ws://HOST/room/NAME (default 64; 0: none)", NULL, 0, 4096},
    {"history", 0, OPTION_COUNT, FIELD(history), "N",
     "broadcast: new members first get the last N messages (default 0)", NULL, 0, 1000000},
    {"presence", 0, OPTION_FLAG, FIELD(presence), NULL,
     "broadcast: tell members who send {\"presence\":true} who comes and goes", NULL, 0, 0},
    {"bus", 0, OPTION_TEXT, FIELD(bus.servers), "URLS",
     "broadcast: share the room with other nodes over NATS: nats://host:4222, tls://host, ...", NULL, 0, 0},
    {"subject", 0, OPTION_TEXT, FIELD(bus.subject), "NAME", "bus: the room's subject (default coracle.room)", NULL, 0,
     0},
    {"bus-creds", 0, OPTION_TEXT, FIELD(bus.creds), "FILE",
     "bus: file with USER:PASSWORD, a token, or NATS credentials", NULL, 0, 0},
    {"bus-ca", 0, OPTION_TEXT, FIELD(bus.ca), "FILE",
     "bus: trusted certificate authorities, PEM (default: the system's)", NULL, 0, 0},
    {"bus-cert", 0, OPTION_TEXT, FIELD(bus.cert), "FILE", "bus: this node's certificate, PEM", NULL, 0, 0},
    {"bus-key", 0, OPTION_TEXT, FIELD(bus.key), "FILE", "bus: its key (default: in the same file)", NULL, 0, 0},
    {"ping", 0, OPTION_DURATION, FIELD(ping), "D",
     "ws: ping members silent for this long, cut them after twice that (default 30s; 0: never)", NULL, 0, 0},
    {"origin", 0, OPTION_TEXT, FIELD(origin), "LIST",
     "ws: sites whose pages may connect: https://a.example,...; * for all (default: the host)", NULL, 0, 0},
    {"no-limits", 0, OPTION_FLAG, FIELD(no_limits), NULL,
     "no default limits of time, per address or of memory, as in the tutorials", NULL, 0, 0},
    {"dump-config", 0, OPTION_FLAG, FIELD(dump_config), NULL, "print the value that each option would have, and exit",
     NULL, 0, 0},
    {"grace", 'g', OPTION_DURATION, FIELD(grace), "D",
     "time for clients to finish after SIGTERM or SIGINT (default 5s)", NULL, 0, 0},
    {"lame-duck", 0, OPTION_DURATION, FIELD(lame_duck), "D",
     "before that, time over which idle clients are closed one by one (default 0: at once)", NULL, 0, 0},
    {"exec-max", 0, OPTION_COUNT, FIELD(exec_max), "N", "exec: maximum number of processes (default 64)", NULL, 1,
     65536},
    {"exec-grace", 0, OPTION_DURATION, FIELD(exec_grace), "D",
     "exec: time for a process between SIGTERM and SIGKILL (default 5s)", NULL, 0, 0},
    {"admin", 0, OPTION_TEXT, FIELD(admin), "ADDRESS",
     "status over HTTP: a port (on the loopback) or an address (default: none)", NULL, 0, 0},
    {"quiet", 'q', OPTION_FLAG, FIELD(quiet), NULL, "do not show what clients send", NULL, 0, 0},
    {"reply", 'r', OPTION_TEXT, FIELD(reply), "TEXT", "ack: the reply", NULL, 0, 0},
    {"log-file", 0, OPTION_TEXT, FIELD(log_file), "FILE", "write diagnostics to it; SIGUSR1 opens it again", NULL, 0,
     0},
    {"log-format", 0, OPTION_CHOICE, FIELD(log_format), "F", "format of diagnostics on stderr", log_format_names, 0, 0},
    {"log-level", 0, OPTION_CHOICE, FIELD(log_level), "L", "lowest level of diagnostics to show (default info)",
     log_level_names, 0, 0},
};

const option_table serve_table = {"coracle serve", defs, sizeof(defs) / sizeof(defs[0])};

void serve_help(FILE *to)
{
    fprintf(to, "Usage: coracle serve [OPTIONS] [SERVICE[=ADDRESS]]... [-- PROGRAM [ARGUMENT]...]\n"
                "Runs services. Without SERVICE it runs all but exec, each on its default address.\n\n"
                "Services:\n");
    for (size_t i = 0; service_table[i] != NULL; i++) {
        const service_def *def = service_table[i];
        fprintf(to, "  %-10s %-17s %s\n", def->name, def->address, def->summary);
    }
    fprintf(to,
            "\nADDRESS is host:port, :port or [::1]:port, or NETWORK://... for a network of tcp, tcp4, tcp6 and unix,\n"
            "as in tcp4://:8001, unix:///run/x.sock, unix://@name. Port 0 picks a free port.\n"
            "echo and random also serve datagrams: udp, udp4, udp6, as in echo=udp://:9999, and unixgram.\n"
            "All addresses of broadcast lead to one room; broadcast/NAME=:7003 leads to the room of that name.\n"
            "broadcast=ws://:8080 is for WebSocket, with a page for browsers, and has more rooms at /room/NAME.\n\n"
            "Options:\n");
    options_print(&serve_table, to);
    fprintf(to, "\nDurations are written as 500ms, 2s or 1m30s, sizes as 4096, 64k or 1MiB.\n");
}

/*
 * Finds the service named by the first `size` bytes of `name`; NULL after one line on stderr. `for_exec`: a word that
 * names none is likely meant as a program.
 */
static const service_def *find_service(const char *name, size_t size, bool for_exec)
{
    suggestion best = {0};
    for (size_t i = 0; service_table[i] != NULL; i++) {
        const char *candidate = service_table[i]->name;
        if (strlen(candidate) == size && memcmp(candidate, name, size) == 0) {
            return service_table[i];
        }
        suggest_consider(&best, name, size, candidate);
    }
    if (!COR_HAVE_JSON && size == strlen("broadcast") && memcmp(name, "broadcast", size) == 0) {
        fprintf(stderr, "coracle serve: broadcast: built without json-c; install libjson-c-dev and build again\n");
    } else if (for_exec) {
        fprintf(stderr, "coracle serve: unknown service '%s'; to run it for each connection: exec=ADDRESS -- %s\n",
                name, name);
    } else if (best.word != NULL) {
        fprintf(stderr, "coracle serve: unknown service '%.*s'; did you mean '%s'?\n", (int)size, name, best.word);
    } else {
        fprintf(stderr, "coracle serve: unknown service '%.*s'; see 'coracle serve --help'\n", (int)size, name);
    }
    return NULL;
}

/* Adds a service. Returns an exit code, after one line on stderr if it has no meaning on that network. */
static int add_service(struct serve *serve, const service_def *def, const char *text)
{
    address where = address_split(text);
    const char *why = NULL;
    bool websocket = strcmp(where.network, "ws") == 0;
    if (*where.text == '\0' && strncmp(where.network, "unix", 4) != 0) { /* a variable that is not set, most likely */
        fprintf(stderr, "coracle serve: %s has an empty address; :0 is any free port on all interfaces\n", def->name);
        return EXIT_BAD_CONFIG;
    }
    if (websocket && !def->has_websocket) {
        fprintf(stderr, "coracle serve: %s does not serve ws: %s\n", def->name,
                COR_HAVE_WEBSOCKET ? "only broadcast does"
                                   : "built without libwslay and nettle; install libwslay-dev and nettle-dev and build "
                                     "again");
        return EXIT_BAD_CONFIG;
    }
    if (websocket) {
        snprintf(where.network, sizeof(where.network), "tcp"); /* what carries it */
    }
    if (address_is_raw_ip(&where)) {
        why = "IP without ports has no place for a service";
    } else if (def->answer == NULL) {
        why = def->streams_only;
    }
    if (address_is_packets(&where) && why != NULL) {
        fprintf(stderr, "coracle serve: %s does not serve %s: %s\n", def->name, where.network, why);
        return EXIT_BAD_CONFIG;
    }
    serve->services[serve->service_count++] =
        (struct service){.def = def, .serve = serve, .address = where, .websocket = websocket};
    return EXIT_OK;
}

/* Has a service lead to a room. Returns as add_service. */
static int name_room(struct service *service, const char *name, size_t size)
{
    if (!service->def->has_rooms) {
        fprintf(stderr, "coracle serve: %s has no rooms: only broadcast does\n", service->def->name);
        return EXIT_BAD_CONFIG;
    }
    if (!room_name_is_good(name, size)) {
        fprintf(
            stderr,
            "coracle serve: '%.*s' is not a name for a room: up to %d bytes, letters, digits, - _ ., no . in front\n",
            (int)size, name, ROOM_NAME_MAX);
        return EXIT_BAD_CONFIG;
    }
    memcpy(service->room, name, size);
    return EXIT_OK;
}

/* Without services on the command line those that sockets are named after are what is wanted. */
static void add_inherited(struct serve *serve)
{
    const struct inheritance *found = &serve->inheritance;
    for (size_t i = 0; i < found->count; i++) {
        for (size_t at = 0; service_table[at] != NULL; at++) {
            if (strcmp(service_table[at]->name, found->sockets[i].name) == 0) {
                (void)add_service(serve, service_table[at], service_table[at]->address);
            }
        }
    }
}

/*
 * Fills serve->services from words "name" and "name=address", "name/room" and "name/room=address". From number
 * `programs` on they may be meant as a program. As add_service.
 */
static int choose_services(struct serve *serve, int count, char **words, int programs)
{
    size_t all = 0;
    while (service_table[all] != NULL) {
        all++;
    }
    serve->services = calloc((size_t)count + all + serve->inheritance.count, sizeof(*serve->services));
    if (serve->services == NULL) {
        return EXIT_TRY_AGAIN;
    }
    if (count == 0) {
        add_inherited(serve);
        all = serve->service_count > 0 ? 0 : all;
    }
    for (size_t i = 0; count == 0 && i < all; i++) {
        if (!service_table[i]->needs_program) {
            (void)add_service(serve, service_table[i], service_table[i]->address);
        }
    }
    int code = EXIT_OK;
    for (int i = 0; i < count && code == EXIT_OK; i++) {
        size_t size = strcspn(words[i], "="), name_size = strcspn(words[i], "/=");
        const service_def *def = find_service(words[i], name_size, i >= programs);
        if (def == NULL) {
            return EXIT_USAGE;
        }
        code = add_service(serve, def, words[i][size] == '=' ? words[i] + size + 1 : def->address);
        if (code == EXIT_OK && name_size < size) {
            struct service *service = &serve->services[serve->service_count - 1];
            code = name_room(service, words[i] + name_size + 1, size - name_size - 1);
        }
    }
    return code;
}

/* How many words follow the first `--`; -1 if there is none. Reading the options moves them all to the end. */
static int count_last_words(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--") == 0) {
            return argc - i - 1;
        }
    }
    return -1;
}

/*
 * Chooses from the operands, of which `last` stood after a `--`: they are the program if a service needs one, else
 * services as well.
 */
static int choose_words(struct serve *serve, int count, char **words, int last)
{
    bool needs_program = false;
    int after = last > 0 && last < count ? last : 0;
    for (int i = 0; i < count - after; i++) {
        size_t size = strcspn(words[i], "=");
        needs_program = needs_program || (size == 4 && memcmp(words[i], "exec", size) == 0);
    }
    int programs = needs_program ? (after > 0 ? count : 0) : count - (last > 0 ? last : 0);
    int code = choose_services(serve, needs_program ? count - after : count, words, programs);
    return code == EXIT_OK && needs_program ? exec_set_program(serve, after, words + count - after) : code;
}

/* The first task: says so if the poller is not the one that was asked for. */
static int start(void *arg)
{
    const struct serve *serve = arg;
    const char *asked = serve->options.poller < 0 ? getenv("COR_POLLER") : poller_names[serve->options.poller];
    if (asked != NULL && strcmp(asked, "io_uring") == 0 && strcmp(cor_poller_info(), asked) != 0) {
        fprintf(stderr, "coracle serve: poller: %s\n", cor_poller_info());
    }
    return serve_main(arg);
}

/* Any thread: the library has one for this. */
static void on_stall(const cor_stall *stall)
{
    LOG(LEVEL_WARN, "stall", {"task", stall->name, 0}, {"id", NULL, (int64_t)stall->task_id},
        {"worker", NULL, stall->worker}, {"ms", NULL, stall->held_ns / COR_MILLISECOND}, {"at", stall->backtrace, 0});
}

/* What --stall-after means to the library, which knows 1 ms to 1 h, and has the environment for 0. */
static int64_t stall_limit(int64_t after)
{
    int64_t most = after < 3600 * COR_SECOND ? after : 3600 * COR_SECOND;
    return after == 0 ? -1 : most > COR_MILLISECOND ? most : COR_MILLISECOND;
}

/* Runs the tasks; says what kept them from starting. */
static int run_tasks(struct serve *serve)
{
    const serve_options *options = &serve->options;
    cor_options runtime = {
        .workers = (int)options->workers,
        .poller = options->poller < 0 ? NULL : poller_names[options->poller],
        /* The status server's thread asks tasks, and those of a bus bring something. */
        .foreign_wakeups = options->admin != NULL || serve->bus != NULL,
        .spin_ns = options->spin < COR_SECOND ? options->spin : COR_SECOND,
        .stall_ns = stall_limit(options->stall_after),
        .on_stall = on_stall,
    };
    int code = cor_run(start, serve, &runtime);
    if (code >= 0) {
        return code;
    }
    fprintf(stderr, "coracle serve: cannot start: %s%s\n", cor_strerror(code),
            code == -EMFILE ? "; raise the limit of descriptors (ulimit -n)" : "");
    return exit_code_of(code);
}

/* Reads the lists of addresses, if there are any. Returns an exit code, after one line on stderr. */
static int read_access(struct serve *serve)
{
    char trouble[ACCESS_TROUBLE];
    const serve_options *options = &serve->options;
    bool has_lists = options->allow != NULL || options->deny != NULL;
    if ((!has_lists || access_read(&serve->access, options->allow, options->deny, trouble)) &&
        (options->proxy_from == NULL || access_read(&serve->proxies, options->proxy_from, NULL, trouble))) {
        return EXIT_OK;
    }
    fprintf(stderr, "coracle serve: %s\n", trouble);
    return EXIT_BAD_CONFIG;
}

/*
 * Sets the permissions that unix sockets are made with. By the umask, so that there is no moment in which somebody
 * finds them open; this program makes no other files. Returns an exit code, after one line on stderr.
 */
static int set_unix_mode(const char *mode)
{
    char *end;
    unsigned long bits = mode != NULL ? strtoul(mode, &end, 8) : 0;
    if (mode == NULL) {
        return EXIT_OK;
    }
    if (*mode < '0' || *mode > '7' || *end != '\0' || bits > 0777) {
        fprintf(stderr, "coracle serve: --unix-mode: '%s' is not an octal number up to 777\n", mode);
        return EXIT_USAGE;
    }
    umask((mode_t)(~bits & 0777));
    return EXIT_OK;
}

/* Runs with the log open. Returns an exit code. */
static int run_logged(struct serve *serve)
{
    const log_options log = {.level = (log_level)serve->options.log_level,
                             .format = (log_format)serve->options.log_format,
                             .quiet = serve->options.quiet,
                             .file = serve->options.log_file};
    int opened = log_open(&log);
    if (opened < 0 && opened != -EAGAIN) {
        fprintf(stderr, "coracle serve: --log-file: %s: %s\n", log.file, cor_strerror(opened));
        return EXIT_BAD_CONFIG;
    }
    if (opened < 0 || limits_start(serve) < 0) {
        fprintf(stderr, "coracle serve: cannot start: %s\n", cor_strerror(-EAGAIN));
        return EXIT_TRY_AGAIN;
    }
    int code = run_tasks(serve);
    limits_stop(serve);
    log_close();
    return code;
}

/* Loads what the options need. False after one line on stderr. */
static bool load_libraries(struct serve *serve)
{
    const serve_options *options = &serve->options;
    const char *option = "admin", *trouble = options->admin != NULL ? admin_load() : NULL;
    if (trouble == NULL && options->bus.servers != NULL) {
        option = "bus";
        trouble = nats_load(&options->bus);
        serve->bus = nats_ops;
    }
    if (trouble != NULL) {
        fprintf(stderr, "coracle serve: --%s: %s\n", option, trouble);
    }
    return trouble == NULL;
}

/* What holds unless the command line says otherwise; limits.h settles what is not given here. */
static const serve_options defaults = {
    .poller = -1,
    .max_line = 64 * KIB,
    .per_ip = NOT_GIVEN_COUNT,
    .accept_rate = NOT_GIVEN_COUNT,
    .max_memory = NOT_GIVEN_SIZE,
    .idle_timeout = NOT_GIVEN_TIME,
    .first_byte_timeout = NOT_GIVEN_TIME,
    .write_timeout = NOT_GIVEN_TIME,
    .outbox = 16 * KIB * KIB,
    .rooms = 64,
    .slow_after = NOT_GIVEN_TIME,
    .stall_after = 100 * COR_MILLISECOND,
    .grace = 5 * COR_SECOND,
    .bus = {.subject = "coracle.room"},
    .ping = 30 * COR_SECOND,
    .exec_max = 64,
    .exec_grace = 5 * COR_SECOND,
    .reply = "Sua mensagem foi recebida com sucesso",
    .log_level = LEVEL_INFO,
};

/* From options to what is to be served: `words` are the operands, of which `last` stood after a `--`. */
static int prepare(struct serve *serve, int count, char **words, int last)
{
    int code = check_options(&serve->options);
    if (code != EXIT_OK || !load_libraries(serve)) {
        return code != EXIT_OK ? code : EXIT_BAD_CONFIG;
    }
    limits_settle(&serve->options);
    code = inherit_find(&serve->inheritance);
    code = code == EXIT_OK ? choose_words(serve, count, words, last) : code;
    code = code == EXIT_OK ? check_services(serve) : code;
    code = code == EXIT_OK ? inherit_assign(serve) : code;
    code = code == EXIT_OK ? read_access(serve) : code;
    code = code == EXIT_OK ? set_unix_mode(serve->options.unix_mode) : code;
    return code == EXIT_OK ? owner_read(&serve->owner, serve->options.unix_owner) : code;
}

static int run_prepared(struct serve *serve)
{
    if (serve->options.dump_config) {
        options_dump(&serve_table, &serve->options, stdout);
        return EXIT_OK;
    }
    int code = privileges_prepare(serve);
    code = code == EXIT_OK ? sandbox_files(serve) : code;
    return code == EXIT_OK ? run_logged(serve) : code;
}

int serve_command(int argc, char **argv)
{
    struct serve serve = {.options = defaults};
    conns_init(&serve.conns);
    pthread_mutex_init(&serve.access.lock, NULL);
    pthread_mutex_init(&serve.proxies.lock, NULL);
    serve.proxies.option = "--proxy-from";
    restart_remember(&serve.restart, argv);
    const int last = count_last_words(argc, argv);
    int first = options_read(&serve_table, argc, argv, &serve.options);
    int code = first == OPTIONS_HELP ? EXIT_OK : EXIT_USAGE;
    if (first == OPTIONS_HELP) {
        serve_help(stdout);
    } else if (first != OPTIONS_BAD) {
        code = prepare(&serve, argc - first, argv + first, last);
        code = code == EXIT_OK ? run_prepared(&serve) : code;
    }
    free(serve.become.groups);
    access_clear(&serve.access);
    access_clear(&serve.proxies);
    exec_clear(&serve);
    inherit_clear(&serve.inheritance);
    restart_forget(&serve.restart);
    free(serve.services);
    return code;
}

/* SPDX-License-Identifier: MIT */
/*
 * The service exec: a process per connection, its standard input and output the client's stream, its standard error
 * the log's. See child.h for the process, talk.h for the copies and for why they go by pipes.
 *
 * The session's task decides. It takes a place (or refuses the client: there are at most --exec-max processes), starts
 * the process and the four tasks, and then obeys events:
 *
 *      the process ended             what it has left is ended; the conversation is over when its output is delivered
 *      the client ended its stream   nothing: an answer may come. It must within the idle limit
 *      a direction failed            that is the reason (reset, idle, write_timeout, ...). The process is told to end
 *      the operator or the memory    have decided the reason, and the socket is shut both ways. The process is told to
 *      limit ended the connection    end; it may neither read nor write, and then neither direction would notice
 *      the server ends               children_end_all tells all processes to end, exec_stopping; later ones when they
 *                                    have started
 *
 * Told to end means: SIGTERM to its group, and SIGKILL when --exec-grace is over, or when the sessions are cancelled at
 * the end of the server's own grace. The reason of an end by the process itself is exec_exit, and the event says with
 * what status or by which signal; it is eof if the client's stream had ended and the status is 0.
 *
 * The order at the end: nobody signals the group any more (children_is_over), the process is reaped, the place is given
 * back. All of it happens also when the task is cancelled, since cor_blocking and cor_group_wait are not.
 */
#include "serve/exec/exec.h"

#include "exits.h"
#include "log.h"
#include "serve/exec/children.h"
#include "serve/exec/environment.h"
#include "serve/exec/talk.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How often those that are left are looked at. */
#define LOOK_FIRST_MS 1
#define LOOK_LAST_MS 64
/* How long they may take to be gone when they have been killed. */
#define GONE_NS (5 * COR_SECOND)

/* Tells the process to end. Returns the deadline after which it is killed. */
static int64_t end_process(struct talk *talk, int64_t before)
{
    if (talk->ending || talk->process_ended) {
        return before;
    }
    talk->ending = true;
    child_signal(&talk->child, SIGTERM);
    return cor_after(session_options(talk->session)->exec_grace);
}

static int pause_in_pool(void *milliseconds)
{
    return poll(NULL, 0, *(int *)milliseconds);
}

/*
 * Ends what the process has left: by SIGTERM, then by SIGKILL. There is no event for it: they are nobody's but the
 * kernel's to name, so they are looked for, less and less often. Mostly there is none, and the first look is the last.
 */
static void end_the_rest(struct talk *talk)
{
    struct child *child = &talk->child;
    int64_t killed_at = cor_after(session_options(talk->session)->exec_grace);
    int64_t gone_at = killed_at + GONE_NS;
    int pause = LOOK_FIRST_MS;
    child_signal(child, SIGTERM);
    child->sweep = SIGTERM;
    while (cor_blocking(child_sweep, child) > 0 && cor_now() < gone_at) {
        if (cor_sleep(pause * COR_MILLISECOND) < 0) { /* cancelled: the server ends */
            killed_at = 0;
            (void)cor_blocking(pause_in_pool, &pause);
        }
        if (cor_now() >= killed_at) {
            child->sweep = SIGKILL;
            child_signal(child, SIGKILL);
        }
        pause = pause < LOOK_LAST_MS ? pause * 2 : pause;
    }
}

/* For how long a process whose client has ended its stream may yet say nothing, ns. */
static int64_t quiet_left(const struct talk *talk)
{
    int64_t last = atomic_load_explicit(&talk->moved_at, memory_order_relaxed);
    int64_t since = last > talk->quiet_since ? last : talk->quiet_since;
    return session_options(talk->session)->idle_timeout - (cor_now() - since);
}

/* Until when the session's task waits if nothing has been told to end: no read has the idle limit any more. */
static int64_t idle_at(const struct talk *talk)
{
    bool limited = talk->client_ended && session_options(talk->session)->idle_timeout > 0;
    int64_t left = limited ? quiet_left(talk) : 0;
    return !limited ? 0 : cor_after(left > 0 ? left : 0);
}

/* The wait until then is over. Returns when the process is killed, 0: not. */
static int64_t end_if_idle(struct talk *talk)
{
    struct connection *seen = talk->session->seen;
    if (atomic_load_explicit(&seen->queued, memory_order_relaxed) > 0) {
        talk->quiet_since = cor_now(); /* the client is to take something: that is the write limit's business */
    }
    if (quiet_left(talk) > 0) {
        return 0;
    }
    connection_decide(seen, REASON_IDLE);
    return end_process(talk, 0);
}

/* A direction has ended, or failed, or others have ended the connection. Returns when the process is killed, 0: not. */
static int64_t direction_ended(struct talk *talk, const talk_event *event, int64_t kill_at)
{
    struct session *session = talk->session;
    if (event->part == PART_IN) {
        talk->client_ended = true;
        talk->quiet_since = cor_now();
    }
    talk->out_ended |= event->part == PART_OUT;
    if (event->code < 0) {
        session_ended(session, event->part == PART_IN ? "read" : "write", event->code);
    }
    return connection_reason(session->seen) == REASON_NONE ? kill_at : end_process(talk, kill_at);
}

/*
 * Whether output is still on its way to the client though the process has ended: it takes it slowly, or it was written
 * a moment ago. Nobody else should have the pipe, but somebody who has left the session and the mark may.
 */
static bool is_delivering(const struct talk *talk)
{
    int64_t last = atomic_load_explicit(&talk->moved_at, memory_order_relaxed);
    return atomic_load_explicit(&talk->session->seen->queued, memory_order_relaxed) > 0 ||
           (last != 0 && cor_now() - last < COR_SECOND);
}

/* Obeys events until the process has ended and its output is delivered. */
static void converse(struct talk *talk)
{
    int64_t kill_at = 0;
    talk_event event;
    while (!talk->process_ended || !talk->out_ended) {
        int got = cor_chan_recv(talk->events, &event, kill_at != 0 ? kill_at : idle_at(talk));
        if (got == COR_ETIMEOUT && kill_at == 0) {
            kill_at = end_if_idle(talk);
            continue;
        }
        if (got == COR_ETIMEOUT && !talk->process_ended) {
            child_signal(&talk->child, SIGKILL);
            kill_at = cor_after(GONE_NS);
        } else if (got == COR_ETIMEOUT && is_delivering(talk)) {
            kill_at = cor_after(COR_SECOND);
        }
        if (got < 0 && (got != COR_ETIMEOUT || kill_at < cor_now())) {
            return; /* the server ends, or nothing helps */
        }
        if (got > 0 && event.part != PART_PROCESS) {
            kill_at = direction_ended(talk, &event, kill_at);
        } else if (got > 0 && event.code < 0) {
            session_ended(talk->session, "exec", event.code); /* there is no waiting for it, for want of a descriptor */
            return;
        } else if (got > 0) {
            talk->process_ended = true;
            end_the_rest(talk);
            kill_at = cor_after(COR_SECOND);
        }
    }
}

/* Why the session ends, if nobody has decided: the process did. */
static void decide_reason(struct talk *talk)
{
    struct session *session = talk->session;
    const struct child *child = &talk->child;
    bool good = child->status == 0 && child->signal == 0;
    if (atomic_load(&session->service->serve->stopping)) {
        connection_decide(session->seen, REASON_DRAIN);
    }
    connection_decide(session->seen, good && talk->client_ended ? REASON_EOF : REASON_EXEC_EXIT);
    session->note =
        child->signal != 0 ? (log_field){"signal", NULL, child->signal} : (log_field){"exit", NULL, child->status};
}

/* Ends what still runs of it, and reaps the process. */
static void clear_away(struct talk *talk)
{
    struct child *child = &talk->child;
    if (!talk->process_ended) {
        child_signal(child, SIGKILL);
        (void)cor_blocking(child_await, child);
        end_the_rest(talk);
    }
    cor_group_cancel(&talk->parts);
    cor_group_wait(&talk->parts, 0);
    children_is_over(talk->place);
    int code = cor_blocking(child_reap, child);
    if (code < 0) {
        LOG(LEVEL_ERROR, "not_reaped", {"conn", NULL, (int64_t)child->conn}, {"pid", NULL, child->pid},
            {"error", cor_strerror(code), 0});
    }
    close(child->pidfd);
    children_leave(talk->place, child->signal != 0 ? CHILD_KILLED : child->status != 0 ? CHILD_EXITED : CHILD_EXITED_0);
}

/* Makes a connection of one of our ends of the pipes. */
static int take_pipe(cor_conn **out, int *fd)
{
    int code = cor_open_fd(out, *fd);
    if (code == 0) {
        *fd = -1;
    }
    return code;
}

static int start_parts(struct talk *talk)
{
    struct child *child = &talk->child;
    int code = take_pipe(&talk->in, &child->in);
    code = code < 0 ? code : take_pipe(&talk->out, &child->out);
    code = code < 0 ? code : take_pipe(&talk->err, &child->err);
    if (code < 0) {
        return code;
    }
    static void (*const parts[])(void *arg) = {talk_watch, talk_err, talk_out, talk_in};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && code == 0; i++) {
        code = cor_group_go_with(&talk->parts, &(cor_task_options){.stack_now = true}, parts[i], talk);
    }
    return code;
}

/* Closes what the tasks have not been given, after one of them could not be started. */
static void close_pipes(struct talk *talk)
{
    cor_conn *conns[] = {talk->in, talk->out, talk->err};
    const int fds[] = {talk->child.in, talk->child.out, talk->child.err};
    for (size_t i = 0; i < 3; i++) {
        if (conns[i] != NULL) {
            cor_close(conns[i]); /* once more does no harm */
        }
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
}

/* Has whoever ends the connection report it, once, be it ended by now; NULL: no more. */
static void hear_of_end(struct talk *talk, void (*told)(void *arg))
{
    struct conns *conns = &talk->session->service->serve->conns;
    struct connection *seen = talk->session->seen;
    pthread_mutex_lock(&conns->lock);
    bool is_over = connection_reason(seen) != REASON_NONE;
    seen->told = is_over ? NULL : told;
    seen->told_arg = talk;
    pthread_mutex_unlock(&conns->lock);
    if (is_over && told != NULL) {
        told(talk);
    }
}

/* With a process. */
static void run_talk(struct talk *talk)
{
    struct session *session = talk->session;
    hear_of_end(talk, talk_told);
    if (talk->child.unwanted) {
        child_signal(&talk->child, SIGTERM); /* the server ends, and told the others before */
    }
    int code = start_parts(talk);
    if (code < 0) {
        session_ended(session, "exec", code);
    } else {
        converse(talk);
    }
    hear_of_end(talk, NULL);
    clear_away(talk);
    close_pipes(talk);
    decide_reason(talk);
    if (talk->out_ended && connection_reason(session->seen) != REASON_RESET) {
        session_hang_up(session, connection_reason(session->seen));
    }
}

static void exec_handle(struct session *session)
{
    struct serve *serve = session->service->serve;
    struct talk talk = {.session = session, .place = children_enter()};
    if (talk.place < 0) {
        connection_decide(session->seen, REASON_MAX_CONNS);
        session->refused = true;
        return;
    }
    char **environment = environment_for(session->seen, session->service->bound);
    talk.events = cor_chan_new(sizeof(talk_event), PART_COUNT);
    talk.child = (struct child){.program = serve->program,
                                .environment = environment,
                                .conn = session->seen->id,
                                .place = talk.place,
                                .in = -1,
                                .out = -1,
                                .err = -1};
    int code = environment == NULL || talk.events == NULL ? -ENOMEM : cor_blocking(child_start, &talk.child);
    if (code < 0) {
        children_leave(talk.place, CHILD_NOT_STARTED);
        session_ended(session, "exec", code);
    } else {
        run_talk(&talk);
    }
    cor_chan_free(talk.events);
    free(environment);
}

static int exec_start(struct service *service)
{
    if (service->state != NULL) {
        return 0;
    }
    struct serve *serve = service->serve;
    int code = child_adopt();
    code = code < 0 ? code : children_open(serve->options.exec_max);
    for (size_t i = 0; i < serve->service_count && code == 0; i++) { /* it may be served on several addresses */
        if (serve->services[i].def == service->def) {
            serve->services[i].state = serve;
        }
    }
    signal(SIGCHLD, SIG_DFL); /* whoever started this may have had ends of processes forgotten */
    return code;
}

static void exec_stopping(struct service *service)
{
    (void)service;
    children_end_all(SIGTERM);
}

static void exec_stop(struct service *service)
{
    (void)service;
    children_close();
}

void exec_kill_all(void)
{
    children_end_all(SIGKILL);
}

/* Looks for a program as execvp does. Returns its path, to be freed, or NULL. */
static char *find_program(const char *name)
{
    const char *path = strchr(name, '/') != NULL ? "" : getenv("PATH");
    path = path != NULL ? path : "/bin:/usr/bin";
    do {
        size_t size = strcspn(path, ":");
        char *file;
        if (asprintf(&file, "%.*s%s%s", (int)size, path, size > 0 ? "/" : "", name) < 0) {
            return NULL;
        }
        struct stat status;
        if (stat(file, &status) == 0 && S_ISREG(status.st_mode) && access(file, X_OK) == 0) {
            return file;
        }
        free(file);
        path += size + (path[size] == ':');
    } while (*path != '\0');
    return NULL;
}

int exec_set_program(struct serve *serve, int count, char **words)
{
    if (count == 0) {
        fprintf(stderr, "coracle serve: exec needs a program, as in exec=ADDRESS -- PROGRAM [ARGUMENT]...\n");
        return EXIT_USAGE;
    }
    errno = ENOENT;
    serve->program = calloc((size_t)count + 1, sizeof(*serve->program));
    if (serve->program == NULL || (serve->program[0] = find_program(words[0])) == NULL) {
        fprintf(stderr, "coracle serve: exec: %s: %s\n", words[0], cor_strerror(-errno));
        return EXIT_BAD_CONFIG;
    }
    for (int i = 1; i < count; i++) {
        serve->program[i] = words[i];
    }
    return EXIT_OK;
}

void exec_clear(struct serve *serve)
{
    if (serve->program != NULL) {
        free(serve->program[0]);
        free(serve->program);
    }
}

const service_def exec_service = {
    .name = "exec",
    .address = "127.0.0.1:9998",
    .summary = "a process per connection: exec=ADDRESS -- PROGRAM [ARGUMENT]...",
    .dial = "",
    .handle = exec_handle,
    .streams_only = "a process talks in a stream",
    .needs_program = true,
    .tells_refusal = true,
    .start = exec_start,
    .stopping = exec_stopping,
    .stop = exec_stop,
};

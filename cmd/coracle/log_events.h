/* SPDX-License-Identifier: MIT */
/*
 * The table of all events: name, level, how often (EACH: every one is written; RATED: at most LOG_RATE_PER_SECOND lines
 * a second, then an event `suppressed` with the number of the others), keys, meaning. tools/log_events.py generates
 * docs/log-events.md from it; a test compares both with the calls in the code.
 *
 * EACH is for events that only the operator causes. Whatever a client can cause is RATED, the end of a connection
 * included: a flood of clients must not fill the disk. Events with a `reason` are counted by reason when they are left
 * out, so that what is written and what is left out add up to the counter of that reason.
 */
#ifndef CORACLE_CMD_LOG_EVENTS_H
#define CORACLE_CMD_LOG_EVENTS_H

enum { LOG_RATE_PER_SECOND = 100 };

// clang-format off
#define LOG_EVENTS(EVENT)                                                                                              \
    EVENT(accept_failed, ERROR, RATED, "service error", "A service has stopped accepting: its listener is broken.")    \
    EVENT(accept_paused, WARN, RATED, "service error ms",                                                              \
          "Descriptors or memory have run out: new clients wait this long. For admin only the first of several.")      \
    EVENT(accepted, DEBUG, RATED, "service conn peer", "A client has connected and was admitted.")                     \
    EVENT(acceptor_lost, ERROR, RATED, "service error",                                                                \
          "One worker has stopped accepting for a service; the others go on.")                                         \
    EVENT(admin_public, WARN, RATED, "local",                                                                          \
          "The status server can be reached from other hosts, and asks for no password.")                              \
    EVENT(answers_dropped, WARN, RATED, "service error so_far", "Answers to datagrams could not be sent.")             \
    EVENT(bus_backlog_lost, WARN, RATED, "messages",                                                                   \
          "The bus was away or slow for too long: the log had no room for these, and other nodes miss them.")          \
    EVENT(bus_connected, INFO, RATED, "ms",                                                                            \
          "The rooms are joined with those of other nodes, after being alone for this long.")                          \
    EVENT(bus_lost, WARN, RATED, "error", "The rooms go on alone, and the node reconnects as soon as it can.")         \
    EVENT(bus_missed, WARN, RATED, "messages", "Messages of another node have not arrived.")                           \
    EVENT(bus_refused, WARN, RATED, "bytes", "The bus delivered something that no node sends; it was dropped.")        \
    EVENT(bus_too_long, WARN, RATED, "bytes", "A message was too long for the bus: other nodes miss it.")              \
    EVENT(bus_unreachable, WARN, RATED, "error",                                                                       \
          "The bus cannot be reached; logged once, then at level debug until it has been reached.")                    \
    EVENT(closed, INFO, RATED, "service conn peer reason in out ms dropped via proxy error",                           \
          "A connection has ended; each has exactly one reason.")                                                      \
    EVENT(dropped, WARN, RATED, "stream lines", "Lines were dropped because a stream had not yet taken earlier ones.") \
    EVENT(exec_public, WARN, RATED, "local",                                                                           \
          "exec can be reached from other hosts: everybody whom --allow lets in can run the program.")                 \
    EVENT(file_stays, WARN, RATED, "service",                                                                          \
          "Whether the file of a unix socket is removed at the end could not be changed.")                             \
    EVENT(grace_over, INFO, RATED, "open", "The grace period is over: these are ended now.")                           \
    EVENT(history_cut, WARN, RATED, "bytes", "Above --max-memory: the history of all rooms was dropped.")              \
    EVENT(keep_alive_failed, WARN, RATED, "service error", "Vanished clients of a service will not be noticed.")       \
    EVENT(kick, INFO, EACH, "conn", "The operator has ended a connection.")                                            \
    EVENT(log_reopen_failed, ERROR, EACH, "file error", "SIGUSR1: the old file stays the log.")                        \
    EVENT(log_reopened, INFO, EACH, "file", "SIGUSR1: the log continues in this file.")                                \
    EVENT(memory_enough, WARN, RATED, "used limit", "New clients are admitted again.")                                 \
    EVENT(memory_short, WARN, RATED, "used limit", "Near --max-memory: no new client is admitted.")                    \
    EVENT(not_reaped, ERROR, RATED, "conn pid error", "exec: a program has not ended, and nothing waits for it.")      \
    EVENT(notify_failed, WARN, RATED, "error", "A notification to systemd has failed.")                                \
    EVENT(packets, INFO, RATED, "service local received answered refused dropped in out ms",                           \
          "The totals of a datagram service, at its end.")                                                             \
    EVENT(queue_cut, WARN, RATED, "conn queued", "Above --max-memory: the client that holds most memory is closed.")   \
    EVENT(read_failed, ERROR, RATED, "service error", "A datagram service has ended: its socket is broken.")           \
    EVENT(read_paused, WARN, RATED, "service error ms", "Datagrams cannot be read for this long.")                     \
    EVENT(reasons, INFO, EACH, "", "At the end: for each reason, as a key, how many connections it ended.")            \
    EVENT(reload_failed, ERROR, EACH, "error", "SIGHUP: a mistake in a file; the old lists stay in force.")            \
    EVENT(reloaded, INFO, EACH, "blocks", "SIGHUP: the lists of addresses were read again.")                           \
    EVENT(restart_failed, ERROR, EACH, "error", "SIGUSR2: the new program did not come up; this one goes on serving.") \
    EVENT(restarting, INFO, EACH, "pid", "SIGUSR2: a new program has been started and gets the sockets.")              \
    EVENT(room_freed, DEBUG, RATED, "room", "The last member has left a room that a client had made.")                 \
    EVENT(room_made, DEBUG, RATED, "room", "A client has asked for a room that did not exist.")                        \
    EVENT(sandbox_denied, WARN, RATED, "call number",                                                                  \
          "--sandbox: a system call was denied. No part of the server makes one: a bug, or a stranger.")               \
    EVENT(sandbox_partial, WARN, EACH, "landlock seccomp open error",                                                  \
          "--sandbox: this kernel or this build cannot restrict what `open` lists.")                                   \
    EVENT(sandboxed, INFO, EACH, "landlock seccomp", "--sandbox is in force; landlock: its version.")                  \
    EVENT(slow, INFO, RATED, "service conn peer queued stuck_ms", "Half-way to being cut for reading too slowly.")     \
    EVENT(stall, WARN, RATED, "task id worker ms at",                                                                  \
          "A task has held up its worker and all other tasks there; at: its backtrace, innermost call first.")         \
    EVENT(start_failed, ERROR, RATED, "error", "The program could not start something that it needs, and ends.")       \
    EVENT(stderr, INFO, RATED, "service conn line suppressed", "exec: a line of a program's standard error.")          \
    EVENT(stderr_suppressed, WARN, RATED, "service conn suppressed",                                                   \
          "exec: lines of standard error that were left out.")                                                         \
    EVENT(stopped, INFO, EACH, "accepted closed open", "The last line; accepted is the sum of the other two.")         \
    EVENT(stopping, INFO, EACH, "signal open", "A signal ends the program: no new client is admitted.")                \
    EVENT(suppressed, WARN, EACH, "of reason lines",                                                                   \
          "This many lines of that event, for that reason if it has one, were left out in the last second.")           \
    EVENT(taken_over, INFO, EACH, "pid open",                                                                          \
          "The new program serves; connections open here may finish within the grace period.")                         \
    EVENT(worker_stalled, ERROR, RATED, "ms",                                                                          \
          "A worker does not respond: the watchdog of systemd is not notified meanwhile.")
// clang-format on

#endif

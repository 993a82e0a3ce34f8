/* SPDX-License-Identifier: MIT */
/*
 * The table of all events: name, level, how often (EACH: every one is written; RATED: at most LOG_RATE_PER_SECOND lines
 * a second, and then an event `suppressed` with the number of the others), keys, meaning. docs/log-events.md is made
 * from it by tools/log_events.py; a test holds both to the calls in the code.
 *
 * EACH is for what comes once for each wish of the operator. What a client can cause is RATED, also the end of a
 * connection: a flood of clients must not fill the disk. Of an event with a `reason` it is told for each reason how
 * many were left out, so that what is written and what is left out add up to the counters of that reason.
 */
#ifndef CORACLE_CMD_LOG_EVENTS_H
#define CORACLE_CMD_LOG_EVENTS_H

enum { LOG_RATE_PER_SECOND = 100 };

// clang-format off
#define LOG_EVENTS(EVENT)                                                                                              \
    EVENT(accept_failed, ERROR, RATED, "service error", "A service accepts no more: its listener is broken.")          \
    EVENT(accept_paused, WARN, RATED, "service error ms",                                                              \
          "Descriptors or memory have run out: new clients wait this long. For admin only the first of several.")      \
    EVENT(accepted, DEBUG, RATED, "service conn peer", "A client has come and may stay.")                              \
    EVENT(acceptor_lost, ERROR, RATED, "service error", "One worker accepts no more for a service; the others do.")    \
    EVENT(admin_public, WARN, RATED, "local",                                                                          \
          "The status server can be reached from elsewhere, and asks for no password.")                                \
    EVENT(answers_dropped, WARN, RATED, "service error so_far", "Answers to datagrams could not be sent.")             \
    EVENT(bus_backlog_lost, WARN, RATED, "messages",                                                                   \
          "The bus was away or slow for too long: the log had no more place for these, and other nodes miss them.")    \
    EVENT(bus_connected, INFO, RATED, "ms", "The room is one with those of other nodes, after being alone so long.")   \
    EVENT(bus_lost, WARN, RATED, "error", "The room goes on alone, and connects again as soon as it can.")             \
    EVENT(bus_missed, WARN, RATED, "messages", "Messages of another node have not come.")                              \
    EVENT(bus_refused, WARN, RATED, "bytes", "Something came from the bus that no node sends: it was dropped.")        \
    EVENT(bus_too_long, WARN, RATED, "bytes", "The bus takes no message of that length: other nodes miss it.")         \
    EVENT(bus_unreachable, WARN, RATED, "error",                                                                       \
          "The bus cannot be reached; said once, then at level debug, until it has been.")                             \
    EVENT(closed, INFO, RATED, "service conn peer reason in out ms dropped via proxy error",                           \
          "A connection has ended, for the only reason that it has.")                                                  \
    EVENT(dropped, WARN, RATED, "stream lines", "Lines for a stream found no room: it had not taken earlier ones.")    \
    EVENT(exec_public, WARN, RATED, "local",                                                                           \
          "exec can be reached from elsewhere: everybody whom --allow lets in runs the program.")                      \
    EVENT(file_stays, WARN, RATED, "service",                                                                          \
          "Who removes the file of a unix socket at its end could not be changed.")                                    \
    EVENT(grace_over, INFO, RATED, "open", "The time of grace is over: these are ended now.")                          \
    EVENT(history_cut, WARN, RATED, "bytes", "Above --max-memory: the history of all rooms is given up.")              \
    EVENT(keep_alive_failed, WARN, RATED, "service error", "Vanished clients of a service will not be noticed.")       \
    EVENT(kick, INFO, EACH, "conn", "The operator has ended a connection.")                                            \
    EVENT(log_reopen_failed, ERROR, EACH, "file error", "SIGUSR1: the file before stays the log.")                     \
    EVENT(log_reopened, INFO, EACH, "file", "SIGUSR1: the log goes on in this file.")                                  \
    EVENT(memory_enough, WARN, RATED, "used limit", "Clients are let in again.")                                       \
    EVENT(memory_short, WARN, RATED, "used limit", "Near --max-memory: no client is let in.")                          \
    EVENT(not_reaped, ERROR, RATED, "conn pid error", "exec: a program has not ended, and nothing waits for it.")      \
    EVENT(notify_failed, WARN, RATED, "error", "systemd's manager could not be told something.")                       \
    EVENT(packets, INFO, RATED, "service local received answered refused dropped in out ms",                           \
          "What a service for datagrams has done, at its end.")                                                        \
    EVENT(queue_cut, WARN, RATED, "conn queued", "Above --max-memory: the client for which most is held is given up.") \
    EVENT(read_failed, ERROR, RATED, "service error", "A service for datagrams has ended: its socket is broken.")      \
    EVENT(read_paused, WARN, RATED, "service error ms", "Datagrams cannot be read for this long.")                     \
    EVENT(reasons, INFO, EACH, "", "At the end: for each reason, as a key, how many connections it ended.")            \
    EVENT(reload_failed, ERROR, EACH, "error", "SIGHUP: a mistake in a file; the lists before stay in force.")         \
    EVENT(reloaded, INFO, EACH, "blocks", "SIGHUP: the lists of addresses were read again.")                           \
    EVENT(restart_failed, ERROR, EACH, "error", "SIGUSR2: the new program did not come up; this one serves on.")       \
    EVENT(restarting, INFO, EACH, "pid", "SIGUSR2: a new program has been started and gets the sockets.")              \
    EVENT(room_freed, DEBUG, RATED, "room", "The last member has left a room that a client had made.")                 \
    EVENT(room_made, DEBUG, RATED, "room", "A client has asked for a room that was not there.")                        \
    EVENT(sandbox_denied, WARN, RATED, "call number",                                                                  \
          "--sandbox: a system call was denied. No part of the server makes one: a bug, or a stranger.") \
    EVENT(sandbox_partial, WARN, EACH, "landlock seccomp open error",                                                  \
          "--sandbox: this kernel, or this build, cannot restrict what is named as open.")                             \
    EVENT(sandboxed, INFO, EACH, "landlock seccomp", "--sandbox is in force; landlock: its version.") \
    EVENT(slow, INFO, RATED, "service conn peer queued stuck_ms", "Half-way to being cut for reading too slowly.")     \
    EVENT(stall, WARN, RATED, "task id worker ms at",                                                                  \
          "A task has held its worker, and so all others there; at: its calls, innermost first.")                      \
    EVENT(start_failed, ERROR, RATED, "error", "The program could not start all that it needs, and ends.")             \
    EVENT(stderr, INFO, RATED, "service conn line suppressed", "exec: a line of a program's standard error.")          \
    EVENT(stderr_suppressed, WARN, RATED, "service conn suppressed", "exec: lines of it that were left out.")          \
    EVENT(stopped, INFO, EACH, "accepted closed open", "The last line; accepted is the sum of the two others.")        \
    EVENT(stopping, INFO, EACH, "signal open", "A signal ends the program: nobody is let in any more.")                \
    EVENT(suppressed, WARN, EACH, "of reason lines",                                                                   \
          "So many lines of that event, for that reason if it has one, were left out in the second before.")           \
    EVENT(taken_over, INFO, EACH, "pid open",                                                                          \
          "The new program serves; what is open here may finish within the grace.")                                    \
    EVENT(worker_stalled, ERROR, RATED, "ms", "A worker did not come round: systemd gets no sign of life meanwhile.")
// clang-format on

#endif

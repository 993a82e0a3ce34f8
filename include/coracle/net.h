/* SPDX-License-Identifier: MIT */
/*
 * Networking with the semantics of Go's net package: listen, accept, dial, read, write, half-close, deadlines, for the
 * networks tcp tcp4 tcp6, unix and unixpacket (a unix stream that keeps message boundaries: one read takes one write,
 * what does not fit is lost, and an empty write reads as the end). Datagrams are in packet.h. Calls look blocking and
 * park only the task.
 *
 * Handles. A cor_conn or cor_listener is a checked handle, not memory: after cor_close every call on it, from any task,
 * returns COR_ECLOSED, even if another task closes it at that very moment. Closing wakes every task parked in a call on
 * it. The rule is: close it when you are done, from wherever you are; a second close is an error code, not a crash. A
 * NULL handle gives -EINVAL, except where NULL is said to be accepted.
 *
 * Sharing. Any number of tasks on any workers may use one connection at once: reads are serialised, writes are
 * serialised whole, and the two directions are independent.
 *
 * Defaults are Go's: TCP_NODELAY, keep-alive after 15 s every 15 s, SO_REUSEADDR on listeners, backlog from somaxconn,
 * dual-stack wildcard addresses for "tcp". SIGPIPE is never raised.
 *
 * Unless a call says otherwise: Threads: tasks only. Parks: never.
 */
#ifndef CORACLE_NET_H
#define CORACLE_NET_H

#include <coracle/addr.h>
#include <coracle/error.h>
#include <coracle/group.h>

COR_BEGIN

typedef struct cor_conn cor_conn;
typedef struct cor_listener cor_listener;

/*
 * Keep-alive of TCP connections: when an idle one probes its peer, in ns rounded up to whole seconds, and after how
 * many unanswered probes it fails. 0: the default (15 s, 15 s, 9). < 0: the kernel's setting.
 * Go: net.KeepAliveConfig.
 */
typedef struct cor_keep_alive {
    bool off; /* no probes; the other fields are ignored */
    int count;
    int64_t idle_ns;
    int64_t interval_ns;
} cor_keep_alive;

/*
 * Called with a socket before it is bound, connected or listens, to set options that the library has no call for.
 * `network` is exact (tcp4, udp6, ip4, unix), `address` is the one being tried. A negative result ends the attempt and
 * is its error. It borrows everything, closes nothing, and does not park.
 */
typedef int cor_control(int fd, const char *network, const char *address, void *arg);

/*
 * Listens on `address` ("host:port", ":port", "[v6]:port"; a path or "@abstract" for unix). Port 0 or "" picks one.
 * Returns: 0 and *out; or a negative code, with *error filled if error is not NULL: COR_EUNKNOWN_NETWORK, the address
 * errors of coracle/error.h, COR_ENO_SUCH_HOST, -EADDRINUSE, -EACCES, -EMFILE and other errnos; COR_ENOT_TASK.
 * Parks: about 0.1 s while the address is in use, because a killed server's address becomes free only a moment later. A
 * socket file that such a server left behind is replaced, never one that somebody is bound to. Longer while name
 * servers are asked for a host: see coracle/lookup.h.
 * Owns: returns owned; end with cor_listener_close. Go: net.Listen.
 */
COR_API COR_CHECK int cor_listen(cor_listener **out, const char *network, const char *address, cor_error *error);

/* How to listen. Begin with COR_LISTEN_INIT, which is cor_listen's way; packets: packet.h. Go: net.ListenConfig. */
typedef struct cor_listen_options {
    size_t size;               /* of this struct, as the caller's compiler knew it */
    int backlog;               /* connections that may wait to be accepted; 0: as many as the kernel allows */
    bool reuse_port;           /* tcp, udp: others may listen on the same address; the kernel spreads peers over them */
    cor_keep_alive keep_alive; /* of accepted connections */
    cor_control *control;      /* called before the socket is bound; NULL: none */
    void *control_arg;
} cor_listen_options;
#define COR_LISTEN_INIT                                                                                                \
    {                                                                                                                  \
        sizeof(cor_listen_options), 0, false, {false, 0, 0, 0}, NULL, NULL                                             \
    }

/*
 * Listens on `address` as `options` say.
 * Returns: as cor_listen; -EINVAL (size, or a negative backlog); what `control` returned.
 * Parks, Owns: as cor_listen. Go: (*net.ListenConfig).Listen.
 */
COR_API COR_CHECK int cor_listen_with(cor_listener **out, const cor_listen_options *options, const char *network,
                                      const char *address, cor_error *error);

/*
 * Waits for the next connection. -ECONNABORTED and -EINTR are retried inside.
 * Returns: 0 and *out; COR_ECLOSED, COR_ETIMEOUT (listener deadline), COR_ECANCELED, -EMFILE and -ENFILE (temporary:
 * the connection waits in the backlog; see cor_serve), other errnos.
 * Parks: until the listener's deadline. Threads: tasks only, any number at once. Owns: returns owned; end with
 * cor_close.
 * Go: (net.Listener).Accept.
 */
COR_API COR_CHECK int cor_accept(cor_listener *listener, cor_conn **out);

/*
 * Accepts until the listener is closed and runs `handler(conn, arg)` in a new task for each connection, spread evenly
 * over the workers; a worker busy computing delays nobody. On temporary errors (-EMFILE), and on errors of a single
 * connection (-EPERM, -ENETDOWN ...), it pauses for 5 ms, doubling up to 1 s, and goes on; a close or a moved deadline
 * ends a pause. If `group` is not NULL the handlers run in it; at its limit each worker keeps one connection waiting,
 * for which this waits after a close, too.
 * Returns: 0 when the listener was closed, COR_ECANCELED, or the error that ended accepting. Parks: yes.
 * Owns: each handler takes its conn and must close it; `arg` is shared by all.
 * Go: the loop "for { c, err := l.Accept(); go handle(c) }" with net/http's back-off.
 */
COR_API int cor_serve(cor_listener *listener, cor_group *group, void (*handler)(cor_conn *conn, void *arg), void *arg);

/*
 * Sets a function that cor_serve calls before each pause of this listener, so that a server that is out of descriptors
 * or memory can say so: `code` is the error, usually -EMFILE or -ENOMEM. Set it before cor_serve; NULL for none. A
 * `pause_ns` of 0 means that accepting on one worker has ended, or could not begin; the others go on.
 * Returns: 0, COR_ECLOSED, COR_ENOT_TASK. Parks: never; `told` may. Threads: tasks only; `told` runs in the task that
 * pauses, on any worker, perhaps on several at once. Owns: keeps `arg` until the listener is closed.
 * Go: what net/http logs as "Accept error: ...; retrying in ...".
 */
COR_API int cor_listener_on_pause(cor_listener *listener, void (*told)(int code, int64_t pause_ns, void *arg),
                                  void *arg);

/*
 * Sets a function that cor_serve calls for each connection of this listener that it accepted but has no memory to
 * handle: the connection is closed or reset, and a server that counts its connections hears of it only here. `peer` has
 * no address for unix. Set it before cor_serve; NULL for none.
 * Returns: 0, COR_ECLOSED, COR_ENOT_TASK. Parks: never; `told` may. Threads: as cor_listener_on_pause, whose pause
 * follows. Owns: keeps `arg` until the listener is closed. Go: none.
 */
COR_API int cor_listener_on_loss(cor_listener *listener, void (*told)(int code, cor_addr peer, void *arg), void *arg);

/*
 * Serves as cor_serve does until SIGINT or SIGTERM comes, then closes the listener and waits for the handlers. A
 * handler that waits for its client is idle: its read returns COR_ECLOSING, at once if it is parked there, else when it
 * would next park. That happens once: a handler in the middle of a message may read on. Handlers that have not ended
 * after `grace_ns` are cancelled. A second signal has its earlier effect: as a rule it ends the program at once.
 * This is the body of a server's main task.
 * Returns: 0 after a signal (or when the listener was closed), when all handlers have ended; COR_ECANCELED, or the
 * error that ended accepting; -EBUSY if another task waits for signals; -ENOMEM, COR_ENOT_TASK.
 * Parks: yes. Threads: tasks only, one at a time. Owns: takes `listener`, in case of an error too.
 * Go: signal.NotifyContext with (*http.Server).Shutdown.
 */
COR_API int cor_serve_until_signal(cor_listener *listener, void (*handler)(cor_conn *conn, void *arg), void *arg,
                                   int64_t grace_ns);

/*
 * Tells whether cor_serve_until_signal is shutting down: for handlers that do not read, and would go on for ever.
 * Returns: true from the signal (or the listener's close) until cor_serve_until_signal returns. Threads: any thread.
 * Go: asking the Done channel of signal.NotifyContext.
 */
COR_API bool cor_closing(void);

/*
 * Stops listening: waiting accepts return COR_ECLOSED, the descriptor is closed before this returns (over io_uring it
 * waits 50 ms at most for a worker that has to do it and computes), a unix socket file made by cor_listen is removed.
 * Connections already accepted stay open.
 * Returns: 0, COR_ECLOSED if closed before. Parks: until calls in flight have left. Owns: takes the listener.
 * Go: (net.Listener).Close.
 */
COR_API int cor_listener_close(cor_listener *listener);

/*
 * Sets when waiting for connections ends: absolute, 0 for none. It counts for accepts that wait now too, including
 * those of cor_serve on every worker (to cor_serve a passed deadline is a temporary error, as in Go).
 * Returns: 0, COR_ECLOSED. Go: (*net.TCPListener).SetDeadline.
 */
COR_API int cor_listener_set_deadline(cor_listener *listener, int64_t deadline);

/*
 * Gives the bound address as text, e.g. "127.0.0.1:5000" or "[::]:5000"; "" after close. COR_ADDR_TEXT bytes suffice.
 * Returns: `text`. Go: Addr().String().
 */
COR_API char *cor_listener_addr(cor_listener *listener, char *text, size_t size);

/*
 * Gives the bound address of a TCP listener as a value.
 * Returns: the endpoint; one without an address after close, and for unix. Go: Addr().(*net.TCPAddr).
 */
COR_API cor_addr cor_listener_endpoint(cor_listener *listener);

/*
 * Connects to `address` (tcp and udp: a literal, or a name as in lookup.h, whose first 15 addresses are tried; an empty
 * or wildcard host means this host). `deadline` is absolute, 0 for none.
 * Returns: 0 and *out; or a negative code, with *error filled if error is not NULL: -ECONNREFUSED, COR_ETIMEOUT,
 * COR_ECANCELED, COR_EMISSING_ADDRESS, the address errors, those of cor_lookup_host, other errnos; COR_ENOT_TASK.
 * Parks: until deadline. Owns: returns owned; end with cor_close. Go: (*net.Dialer).Dial with a Deadline.
 */
COR_API COR_CHECK int cor_dial_until(cor_conn **out, const char *network, const char *address, int64_t deadline,
                                     cor_error *error);

/*
 * Connects without a deadline of its own (the kernel gives up after about two minutes).
 * Returns, Parks, Threads, Owns: as cor_dial_until. Go: net.Dial.
 */
COR_API COR_CHECK int cor_dial(cor_conn **out, const char *network, const char *address, cor_error *error);

/* How to dial. Begin with COR_DIALER_INIT, which dials as cor_dial does. Go: net.Dialer. */
typedef struct cor_dialer {
    size_t size;               /* of this struct, as the caller's compiler knew it */
    int64_t timeout_ns;        /* from the call on, lookups included; 0: none; < 0: over already */
    int64_t deadline;          /* absolute; 0: none; the earlier of the two counts */
    cor_addr local;            /* tcp, udp: the local end; no address: any; port 0: any */
    const char *local_path;    /* unix: the local end; NULL: unnamed. The file stays */
    int64_t fallback_delay_ns; /* until the other family is tried as well; 0: 300 ms; < 0: one address after another */
    cor_keep_alive keep_alive;
    cor_control *control; /* called for each address that is tried; NULL: none */
    void *control_arg;
} cor_dialer;
#define COR_DIALER_INIT                                                                                                \
    {                                                                                                                  \
        sizeof(cor_dialer), 0, 0, {{0, {0}}, 0, 0}, NULL, 0, {false, 0, 0, 0}, NULL, NULL                              \
    }

/*
 * Connects to `address` as `dialer` says. If "tcp" finds addresses of both families, those of the first one's family
 * are tried in order; if none has answered after the delay, or all have failed, the others join in, and the first
 * connection wins (Happy Eyeballs). The time left is shared evenly among the addresses, but each gets at least 2 s. If
 * all fail the error is the first address's.
 * Returns: as cor_dial_until; COR_ENO_SUITABLE_ADDRESS if no address can be reached from the local one; -EINVAL (size,
 * or a local address of the other kind of network); what `control` returned.
 * Parks: until the deadline. Owns: returns owned; end with cor_close. Go: (*net.Dialer).DialContext.
 */
COR_API COR_CHECK int cor_dial_with(cor_conn **out, const cor_dialer *dialer, const char *network, const char *address,
                                    cor_error *error);

/*
 * Reads what is there, at least one byte, at most `size_bytes`. Size 0 returns 0 at once.
 * Returns: the count, 0 at end of stream, COR_ECLOSED, COR_ETIMEOUT, COR_ECANCELED, COR_ECLOSING (see
 * cor_serve_until_signal), -ECONNRESET and other errnos. Parks: until the read deadline. Threads: tasks only;
 * concurrent reads take turns. Owns: borrows `buf` until return.
 * Go: (net.Conn).Read.
 */
COR_API COR_CHECK ssize_t cor_read(cor_conn *conn, void *buf, size_t size_bytes);

/*
 * Waits until a read would not park (data, end of stream or an error is there) without needing a buffer: an idle
 * connection that waits here holds no buffer memory.
 * Returns: 0, COR_ECLOSED, COR_ETIMEOUT, COR_ECANCELED, COR_ECLOSING. Parks: until the read deadline.
 * Go: none (asked for in golang/go#15735).
 */
COR_API COR_CHECK int cor_wait_readable(cor_conn *conn);

/*
 * Writes all of `buf`, in one piece as seen by other writers of this connection.
 * Returns: `size_bytes`, or COR_ECLOSED, COR_ETIMEOUT, COR_ECANCELED, -EPIPE, -ECONNRESET, other errnos; the count
 * written before the error is lost (see cor_write_counted). Parks: until the write deadline. Threads: tasks only;
 * concurrent writes take turns.
 * Owns: borrows `buf` until return.
 * Go: (net.Conn).Write.
 */
COR_API COR_CHECK ssize_t cor_write(cor_conn *conn, const void *buf, size_t size_bytes);

/*
 * Writes as cor_write does and also tells in *written how many bytes the kernel took before an error.
 * Returns: 0, or the error of cor_write. Parks, Threads, Owns: as cor_write. Go: both results of (net.Conn).Write.
 */
COR_API COR_CHECK int cor_write_counted(cor_conn *conn, const void *buf, size_t size_bytes, size_t *written);

/*
 * Closes: calls waiting on the connection return COR_ECLOSED; the descriptor is closed before this returns (over
 * io_uring it waits 50 ms at most for a worker that has to do it and computes; the peer is told at once). Data already
 * written is still delivered by the kernel. NULL is accepted and does nothing.
 * Returns: 0, COR_ECLOSED if closed before. Parks: until calls in flight have left. Owns: takes the connection.
 * Go: (net.Conn).Close.
 */
COR_API int cor_close(cor_conn *conn);

/*
 * Half-close: no more writes from here, the peer reads end of stream. Reading goes on.
 * Returns: 0, COR_ECLOSED, -ENOTCONN after the peer has gone. Go: (*net.TCPConn).CloseWrite.
 */
COR_API int cor_close_write(cor_conn *conn);

/*
 * Half-close of the other direction: own reads return 0 from now on. Writing goes on.
 * Returns: 0, COR_ECLOSED, -ENOTCONN. Go: (*net.TCPConn).CloseRead.
 */
COR_API int cor_close_read(cor_conn *conn);

/*
 * Sets the absolute time after which reads and writes return COR_ETIMEOUT, 0 for none; calls parked now obey it too. It
 * stays until changed. If it has passed when a call is made it wins over ready data, which stays; a read that is parked
 * when it passes looks for data once more.
 * Returns: 0, COR_ECLOSED. Threads: tasks only, concurrently with anything. Go: (net.Conn).SetDeadline.
 */
COR_API int cor_set_deadline(cor_conn *conn, int64_t deadline);

/*
 * Sets the read deadline only.
 * Returns: 0, COR_ECLOSED. Go: (net.Conn).SetReadDeadline.
 */
COR_API int cor_set_read_deadline(cor_conn *conn, int64_t deadline);

/*
 * Sets the write deadline only.
 * Returns: 0, COR_ECLOSED. Go: (net.Conn).SetWriteDeadline.
 */
COR_API int cor_set_write_deadline(cor_conn *conn, int64_t deadline);

/*
 * Gives the local address as text, "127.0.0.1:5000"; "@" for an unnamed unix socket, "" after close.
 * Returns: `text`, NUL-terminated, cut at `size`; COR_ADDR_TEXT bytes suffice. Go: LocalAddr().String().
 */
COR_API char *cor_local_addr(cor_conn *conn, char *text, size_t size);

/*
 * Gives the peer's address as text, also after the peer has reset the connection; "" after close.
 * Returns: `text`. Go: RemoteAddr().String().
 */
COR_API char *cor_remote_addr(cor_conn *conn, char *text, size_t size);

/*
 * Gives the local end of a TCP connection as a value.
 * Returns: the endpoint; one without an address after close, and of connections that have none (unix, pipes, other
 * descriptors). Go: LocalAddr().(*net.TCPAddr).
 */
COR_API cor_addr cor_local_endpoint(cor_conn *conn);

/*
 * Gives the peer's end of a TCP connection as a value, without a system call, also after the peer has reset it. A
 * server that admits some networks only asks cor_prefix_contains about its `ip`.
 * Returns: as cor_local_endpoint. Go: RemoteAddr().(*net.TCPAddr).
 */
COR_API cor_addr cor_remote_endpoint(cor_conn *conn);

/*
 * Fills *error for a failed `op` ("read", "write", "writev", "close"; for a copy "readfrom" on the target or "writeto"
 * on the source) that returned `code`, so that it prints as Go prints it:
 * "read tcp 127.0.0.1:5000->127.0.0.1:45324: read: connection reset by peer". Code 0 prints "EOF". Call it before
 * cor_close.
 * Owns: borrows all until return.
 */
COR_API void cor_conn_error(cor_conn *conn, const char *op, int code, cor_error *error);

/*
 * Switches sending of small segments without delay on (the default) or off.
 * Returns: 0, COR_ECLOSED, -EOPNOTSUPP if it is no TCP socket, other errnos. Go: (*net.TCPConn).SetNoDelay.
 */
COR_API int cor_set_no_delay(cor_conn *conn, bool on);

/*
 * Sets what close does with unsent data: < 0 sends it in the background (default), 0 drops it and resets the
 * connection, > 0 seconds to try.
 * Returns: 0, COR_ECLOSED, -EOPNOTSUPP if it is no TCP socket, other errnos. Go: (*net.TCPConn).SetLinger.
 */
COR_API int cor_set_linger(cor_conn *conn, int seconds);

/*
 * Sets when an idle connection probes its peer: after `idle_ns` (0: never), then every `interval_ns`; after `count`
 * unanswered probes reads and writes return -ETIMEDOUT. Times are rounded up to whole seconds. The defaults are 15 s,
 * 15 s and 9: a peer that has vanished is noticed after 2.5 minutes.
 * Returns: 0, COR_ECLOSED, -EINVAL (out of range), -EOPNOTSUPP if it is no TCP socket, other errnos.
 * Go: (*net.TCPConn).SetKeepAliveConfig.
 */
COR_API int cor_set_keep_alive(cor_conn *conn, int64_t idle_ns, int64_t interval_ns, int count);

/*
 * As cor_set_keep_alive, for connections accepted from now on.
 * Returns, Parks, Threads: as cor_set_keep_alive. Go: net.ListenConfig.KeepAliveConfig.
 */
COR_API int cor_listener_set_keep_alive(cor_listener *listener, int64_t idle_ns, int64_t interval_ns, int count);

/*
 * Sets how long sent data may go unacknowledged before the connection fails with -ETIMEDOUT; 0 for the kernel's
 * default, about 15 minutes. It ends connections to vanished peers that keep-alive does not see because data is under
 * way; a peer that is there but has taken nothing for so long is given up too. With keep-alive it replaces `count`.
 * Rounded up to whole milliseconds.
 * Returns: 0, COR_ECLOSED, -EINVAL (negative), -EOPNOTSUPP if it is no TCP socket, other errnos.
 * Go: setting TCP_USER_TIMEOUT in (*net.TCPConn).SyscallConn.
 */
COR_API int cor_set_user_timeout(cor_conn *conn, int64_t timeout_ns);

/*
 * As cor_set_user_timeout, for connections accepted from now on.
 * Returns, Parks, Threads: as cor_set_user_timeout. Go: the same in net.ListenConfig.Control.
 */
COR_API int cor_listener_set_user_timeout(cor_listener *listener, int64_t timeout_ns);

COR_END

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of connections and listeners: handing sockets over to and from other programs and libraries, and making
 * your own system calls on a socket in use. For descriptors of other kinds see io.h.
 *
 * Two copies of a descriptor are one socket: they share O_NONBLOCK, options, and incoming data. These calls never clear
 * O_NONBLOCK, and neither must whoever gets a copy: the library's calls would block their worker's thread.
 *
 * Over io_uring bytes of a TCP connection are received ahead of the reads and are then no longer in the socket. Calls
 * that would miss them switch that off; if some have come already they fail with -EBUSY until cor_read has taken them,
 * and nothing more is received ahead meanwhile.
 *
 * Unless a call says otherwise: Parks: never. Threads: tasks only; any number at once.
 */
#ifndef CORACLE_FD_H
#define CORACLE_FD_H

#include <coracle/net.h>

COR_BEGIN

/*
 * Makes a listener from a socket that listens already: one that another program has handed over. It works on a copy of
 * the descriptor, and sets O_NONBLOCK. A socket file stays when it is closed (see cor_listener_unlink_on_close).
 * Returns: 0 and *out; -EBADF, -ENOTSOCK, -EINVAL if it does not listen, -EOPNOTSUPP if it is neither tcp nor unix,
 * -EMFILE, -ENOMEM; COR_ENOT_TASK.
 * Owns: borrows `fd` until return; returns owned; end with cor_listener_close. Go: net.FileListener.
 */
COR_API COR_CHECK int cor_listener_of_fd(cor_listener **out, int fd);

/*
 * Gives a copy of the listener's descriptor, for instance to hand it to a successor. The copy goes on listening when
 * this listener is closed. From now on this one takes nothing out of the kernel's queue before cor_accept asks (over
 * io_uring, with one worker, it did), so closing it loses no connection once those already taken have been accepted.
 * Returns: a descriptor (>= 0) that exec closes, COR_ECLOSED, -EINVAL (NULL), -EMFILE; COR_ENOT_TASK.
 * Owns: returns owned; end with close(2). Go: (*net.TCPListener).File.
 */
COR_API COR_CHECK int cor_listener_fd(cor_listener *listener);

/*
 * Says whether the file of a unix listener is removed when it is closed. A listener that made its file removes it
 * unless told otherwise; one of cor_listener_of_fd does not. Without a file (tcp, abstract names) nothing changes.
 * Returns: 0, COR_ECLOSED, -EINVAL (NULL), -ENOMEM; COR_ENOT_TASK.
 * Go: (*net.UnixListener).SetUnlinkOnClose.
 */
COR_API COR_CHECK int cor_listener_unlink_on_close(cor_listener *listener, bool unlink);

/*
 * Makes a connection from a connected tcp or unix stream socket, or a UDP socket, that another program has handed
 * over. It works on a copy of the descriptor and leaves O_NONBLOCK as it is.
 * Returns: 0 and *out; -EBADF, -ENOTSOCK, -ENOTCONN, -EOPNOTSUPP if it is none of the three (see cor_open_fd), -EMFILE,
 * -ENOMEM; COR_ENOT_TASK.
 * Owns: borrows `fd` until return; returns owned; end with cor_close. Go: net.FileConn, net.FilePacketConn.
 */
COR_API COR_CHECK int cor_conn_of_fd(cor_conn **out, int fd);

/*
 * Gives a copy of the connection's descriptor. The connection lasts until both are closed; what one reads the other
 * does not see.
 * Returns: a descriptor (>= 0) that exec closes, COR_ECLOSED, -EINVAL (NULL), -EOPNOTSUPP if it has none (cor_pipe),
 * -EMFILE; over io_uring -EBUSY (see above, or a worker computes for 5 s), COR_ECANCELED; COR_ENOT_TASK.
 * Parks: over io_uring, for TCP, until its turn among the reads.
 * Owns: returns owned; end with close(2). Go: (*net.TCPConn).File.
 */
COR_API COR_CHECK int cor_conn_fd(cor_conn *conn);

/*
 * Your code that uses a descriptor. It must not close or keep it, clear O_NONBLOCK, park, or wait in the kernel: a
 * socket from elsewhere may be a blocking one, so pass MSG_DONTWAIT. It returns 0 or more, or a negative code; in
 * cor_raw_read and cor_raw_write -EAGAIN means: not yet, call again when it is ready.
 */
typedef ssize_t cor_raw_call(int fd, void *arg);

/*
 * Calls `call` once with the descriptor, which stays open meanwhile: for options that the library has no call for.
 * Returns: what `call` gave, COR_ECLOSED, -EINVAL (NULL), -EOPNOTSUPP if it has no descriptor; COR_ENOT_TASK.
 * Owns: borrows all until return. Go: (syscall.RawConn).Control.
 */
COR_API ssize_t cor_raw_control(cor_conn *conn, cor_raw_call *call, void *arg);

/*
 * The same for a listener; there is no raw read or write of one.
 * Returns: what `call` gave, COR_ECLOSED, -EINVAL (NULL); COR_ENOT_TASK.
 * Owns: borrows all until return. Go: (syscall.RawConn).Control of a listener.
 */
COR_API ssize_t cor_listener_raw_control(cor_listener *listener, cor_raw_call *call, void *arg);

/*
 * Calls `call` until it gives something other than -EAGAIN; before each further time it waits until the descriptor can
 * be read from. Other reads have their turn before or after. After a past deadline `call` is not called.
 * Returns: what `call` gave, COR_ECLOSED, COR_ETIMEOUT, COR_ECANCELED, COR_ECLOSING, -EINVAL (NULL), -EOPNOTSUPP if
 * there is nothing to wait for (cor_pipe, a file); over io_uring -EBUSY (see above); COR_ENOT_TASK.
 * Parks: until the read deadline. Owns: borrows all until return. Go: (syscall.RawConn).Read.
 */
COR_API ssize_t cor_raw_read(cor_conn *conn, cor_raw_call *call, void *arg);

/*
 * As cor_raw_read, for writes: it waits until the descriptor can be written to, and takes turns with other writes. Over
 * io_uring it needs nothing that has been received.
 * Returns: what `call` gave, COR_ECLOSED, COR_ETIMEOUT, COR_ECANCELED, -EINVAL (NULL), -EOPNOTSUPP if there is nothing
 * to wait for (cor_pipe, a file); COR_ENOT_TASK.
 * Parks: until the write deadline. Owns: borrows all until return. Go: (syscall.RawConn).Write.
 */
COR_API ssize_t cor_raw_write(cor_conn *conn, cor_raw_call *call, void *arg);

COR_END

#endif

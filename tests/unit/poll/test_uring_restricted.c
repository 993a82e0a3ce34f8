/* SPDX-License-Identifier: MIT */
/*
 * What somebody who has got into the process can do with a worker's ring: nothing but what the poller does. Files,
 * sockets, connects, writes and further calls of io_uring_register are denied, whether there is a sandbox or not.
 */
/* test: workers=1 no-valgrind */
#include "support/taskcase.h"
#include "support/uring_main.h"

#if COR_HAVE_URING
#include "base/sys.h"
#include "poll/uring_ring.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static cori_poller *poller;

static int set_up(void **state)
{
    (void)state;
    assert_int_equal(cori_poll_uring.open(&poller), 0);
    cori_poll_uring.start(poller);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    cori_poll_uring.stop(poller);
    cori_poll_uring.close(poller);
    return 0;
}

static struct io_uring *ring(void)
{
    return &((cori_uring *)poller)->ring;
}

static struct io_uring_sqe *entry(void)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring());
    assert_non_null(sqe);
    return sqe;
}

/* Hands over what was prepared and waits for a completion. (liburing's own calls for it are local to the library.) */
static void enter(void)
{
    struct io_uring_sq *sq = &ring()->sq;
    unsigned count = sq->sqe_tail - *sq->khead;
    sq->sqe_head = sq->sqe_tail;
    io_uring_smp_store_release(sq->ktail, sq->sqe_tail);
    assert_true(syscall(SYS_io_uring_enter, ring()->ring_fd, count, 1, IORING_ENTER_GETEVENTS, NULL, 0) >= 0);
}

/* Asks for what was prepared, with user data of its own, and gives the result. */
static int result_of(struct io_uring_sqe *sqe)
{
    enum { MINE = 77 };
    struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    int result = 0;
    io_uring_sqe_set_data64(sqe, MINE);
    for (bool mine = false; !mine; count = 0) {
        enter();
        io_uring_for_each_cqe(ring(), head, cqe)
        {
            mine = mine || cqe->user_data == MINE;
            result = cqe->user_data == MINE ? cqe->res : result;
            count++;
        }
        io_uring_cq_advance(ring(), count);
    }
    return result;
}

static void other_requests_are_denied(void **state)
{
    struct sockaddr_in to = {.sin_family = AF_INET};
    char byte = 'x';
    (void)state;
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_openat(sqe, AT_FDCWD, "/dev/null", O_RDONLY, 0);
    assert_int_equal(result_of(sqe), -EACCES);
    sqe = entry();
    io_uring_prep_socket(sqe, AF_INET, SOCK_DGRAM, 0, 0);
    assert_int_equal(result_of(sqe), -EACCES);
    sqe = entry();
    io_uring_prep_connect(sqe, STDIN_FILENO, (struct sockaddr *)&to, sizeof(to));
    assert_int_equal(result_of(sqe), -EACCES);
    sqe = entry();
    io_uring_prep_write(sqe, STDOUT_FILENO, &byte, 1, 0);
    assert_int_equal(result_of(sqe), -EACCES);
}

/* One that is allowed, with a flag that is not: in a chain it would be the first of others. */
static void other_flags_are_denied(void **state)
{
    (void)state;
    struct io_uring_sqe *sqe = entry();
    io_uring_prep_poll_add(sqe, STDIN_FILENO, POLLIN);
    sqe->flags |= IOSQE_IO_LINK;
    assert_int_equal(result_of(sqe), -EACCES);
}

static void other_registrations_are_denied(void **state)
{
    int fd = STDIN_FILENO;
    (void)state;
    assert_int_equal(cori_sys_uring_register(ring()->ring_fd, IORING_REGISTER_FILES, &fd, 1), -EACCES);
    assert_int_equal(cori_sys_uring_register(ring()->ring_fd, IORING_UNREGISTER_PBUF_RING, &fd, 1), -EACCES);
}

#endif

URING_MAIN(cmocka_unit_test_setup_teardown(other_requests_are_denied, set_up, tear_down),
           cmocka_unit_test_setup_teardown(other_flags_are_denied, set_up, tear_down),
           cmocka_unit_test_setup_teardown(other_registrations_are_denied, set_up, tear_down))

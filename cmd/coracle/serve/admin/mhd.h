/* SPDX-License-Identifier: MIT */
/*
 * libmicrohttpd, loaded when it is asked for. Linked in it would be loaded at every start of the program, and with it
 * GnuTLS and nine libraries more, which nobody needs who does not look over HTTP: 1.6 ms of 2.5 for an empty program.
 */
#ifndef CORACLE_CMD_SERVE_ADMIN_MHD_H
#define CORACLE_CMD_SERVE_ADMIN_MHD_H

#if COR_HAVE_ADMIN

#include <microhttpd.h>

/* What is called of it. */
#define MHD_EACH_CALL(DO)                                                                                              \
    DO(start_daemon)                                                                                                   \
    DO(stop_daemon)                                                                                                    \
    DO(get_daemon_info)                                                                                                \
    DO(get_timeout)                                                                                                    \
    DO(run)                                                                                                            \
    DO(add_connection)                                                                                                 \
    DO(get_connection_info)                                                                                            \
    DO(get_connection_values)                                                                                          \
    DO(lookup_connection_value)                                                                                        \
    DO(http_unescape)                                                                                                  \
    DO(create_response_from_buffer)                                                                                    \
    DO(create_response_from_buffer_with_free_callback_cls)                                                             \
    DO(create_response_from_fd64)                                                                                      \
    DO(add_response_header)                                                                                            \
    DO(queue_response)                                                                                                 \
    DO(destroy_response)

/* mhd.start_daemon is MHD_start_daemon, and so on. */
struct mhd_calls {
#define MHD_DECLARE(name) __typeof__(MHD_##name) *name;
    MHD_EACH_CALL(MHD_DECLARE)
#undef MHD_DECLARE
};

extern struct mhd_calls mhd;

#endif

/*
 * Loads it for good. Returns NULL, or why it cannot be. Not for tasks: loading needs more stack than they have.
 */
const char *mhd_load(void);

#endif

/* SPDX-License-Identifier: MIT */
/*
 * Errors. A call returns a value >= 0, or a negative code: -errno for what the kernel said, or one of the COR_E codes
 * below. errno itself is never set and never read. Calls that set up a connection can also fill a cor_error, which
 * prints like Go's net.OpError: "listen tcp 127.0.0.1:80: bind: address already in use". Codes of your own, such as a
 * task gives to its group, may be anything below -10000: neither the kernel nor the library uses those.
 *
 * Unless a call says otherwise: Threads: any thread. Parks: never.
 */
#ifndef CORACLE_ERROR_H
#define CORACLE_ERROR_H

#include <coracle/base.h>

COR_BEGIN

/* The library's own codes: X(name, value, text). The texts are Go's where Go has one. */
#define COR_ERROR_LIST(X)                                                                                              \
    X(COR_ECLOSED, -2000, "use of closed network connection")                                                          \
    X(COR_ETIMEOUT, -2001, "i/o timeout")                                                                              \
    X(COR_ECANCELED, -2002, "operation was canceled")                                                                  \
    X(COR_EUNKNOWN_NETWORK, -2003, "unknown network")                                                                  \
    X(COR_EMISSING_ADDRESS, -2004, "missing address")                                                                  \
    X(COR_EMISSING_PORT, -2005, "missing port in address")                                                             \
    X(COR_ETOO_MANY_COLONS, -2006, "too many colons in address")                                                       \
    X(COR_EMISSING_BRACKET, -2007, "missing ']' in address")                                                           \
    X(COR_EUNEXPECTED_OPEN, -2008, "unexpected '[' in address")                                                        \
    X(COR_EUNEXPECTED_CLOSE, -2009, "unexpected ']' in address")                                                       \
    X(COR_EINVALID_PORT, -2010, "invalid port")                                                                        \
    X(COR_EUNKNOWN_PORT, -2011, "unknown port")                                                                        \
    X(COR_ENO_SUITABLE_ADDRESS, -2012, "no suitable address found")                                                    \
    X(COR_ENO_SUCH_HOST, -2013, "no such host")                                                                        \
    X(COR_EUNEXPECTED_TYPE, -2014, "unexpected address type")                                                          \
    X(COR_ETOO_LONG, -2015, "line too long")                                                                           \
    X(COR_EPIPE_CLOSED, -2016, "io: read/write on closed pipe")                                                        \
    X(COR_ECHAN_CLOSED, -2017, "send on closed channel")                                                               \
    X(COR_EDEADLOCK, -2018, "all tasks are asleep - deadlock!")                                                        \
    X(COR_ENOT_TASK, -2019, "not called from a task")                                                                  \
    X(COR_EBUSY_RUNTIME, -2020, "cor_run is already active in this process")                                           \
    X(COR_EMISUSE, -2021, "misuse of a synchronisation object")                                                        \
    X(COR_EUNEXPECTED_EOF, -2022, "unexpected EOF")                                                                    \
    X(COR_ECLOSING, -2023, "server is closing")                                                                        \
    X(COR_EINVALID_IP, -2024, "invalid IP address")                                                                    \
    X(COR_EINVALID_CIDR, -2025, "invalid CIDR address")                                                                \
    X(COR_EINVALID_MAC, -2026, "invalid MAC address")                                                                  \
    X(COR_ESERVER_MISBEHAVING, -2027, "server misbehaving")                                                            \
    X(COR_EBAD_ANSWER, -2028, "invalid DNS response")                                                                  \
    X(COR_EWRITE_TO_CONNECTED, -2029, "use of WriteTo with pre-connected connection")                                  \
    X(COR_ENOT_IPV4, -2030, "non-IPv4 address")                                                                        \
    X(COR_EUNRECOGNIZED_ADDRESS, -2031, "unrecognized address")                                                        \
    X(COR_ENO_SUCH_INTERFACE, -2032, "no such network interface")                                                      \
    X(COR_EINVALID_INTERFACE_NAME, -2033, "invalid network interface name")                                            \
    X(COR_EINVALID_INTERFACE_INDEX, -2034, "invalid network interface index")                                          \
    X(COR_EUNKNOWN_PROTOCOL, -2035, "unknown IP protocol specified")                                                   \
    X(COR_ELEAK, -2036, "tasks or connections are left")

enum {
#define COR_ERROR_ENUM(name, value, text) name = (value),
    COR_ERROR_LIST(COR_ERROR_ENUM)
#undef COR_ERROR_ENUM
};

/* Room for the text of one address and of one error; longer texts (unix paths are at most 108 bytes) do not occur. */
#define COR_ADDR_TEXT 128
#define COR_ERROR_TEXT 512

/* What failed, in the parts of Go's OpError. All texts are NUL-terminated; an empty text is left out when printing. */
typedef struct cor_error {
    int code;                       /* the negative code; 0 after a read means end of stream and prints as "EOF" */
    char op[12];                    /* dial listen accept read write close set */
    char network[16];               /* as the caller wrote it */
    char source[COR_ADDR_TEXT];     /* local address */
    char address[COR_ADDR_TEXT];    /* remote address, or the listener's */
    char where[COR_ADDR_TEXT + 32]; /* what comes before the cause: "bind", "address -10", "lookup tcp4/12a" */
} cor_error;

/*
 * Gives the text of a code: the lower-case words of Go ("connection refused", "i/o timeout").
 * Returns: a text, never NULL; "errno N" for a number without a text, "EOF" for 0.
 * Threads: any thread. The text of an unknown errno is per thread and valid until the next call.
 * Owns: returns borrowed. Go: (syscall.Errno).Error and the net error values.
 */
COR_API const char *cor_strerror(int code);

/*
 * Prints an error as Go prints a net.OpError, e.g. "dial tcp 127.0.0.1:1: connect: connection refused".
 * The text is cut at `size` and always NUL-terminated when size > 0. COR_ERROR_TEXT bytes are always enough.
 * Returns: `text`, so that the call can stand inside a printf. Owns: borrows both until return.
 * Go: (*net.OpError).Error.
 */
COR_API char *cor_error_text(const cor_error *error, char *text, size_t size);

/*
 * Tells whether a code means that a time limit has run out (COR_ETIMEOUT, -EAGAIN, -ETIMEDOUT).
 * Returns: true or false. Go: net.Error.Timeout.
 */
COR_API bool cor_is_timeout(int code);

/*
 * Tells whether trying again later may help: every timeout, COR_ESERVER_MISBEHAVING, -EINTR -EMFILE -ENFILE.
 * Returns: true or false. Go: net.Error.Temporary (used by accept loops for their back-off).
 */
COR_API bool cor_is_temporary(int code);

COR_END

#endif

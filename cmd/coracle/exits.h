/* SPDX-License-Identifier: MIT */
/* Exit codes: 0, 1 and 2 as everywhere, the others as sysexits.h numbers them. */
#ifndef CORACLE_CMD_EXITS_H
#define CORACLE_CMD_EXITS_H

enum {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,        /* the command line makes no sense */
    EXIT_UNREACHABLE = 69, /* nobody answers there */
    EXIT_TRY_AGAIN = 75,   /* address in use, out of descriptors or memory */
    EXIT_NO_PERMISSION = 77,
    EXIT_BAD_CONFIG = 78, /* an address, network or poller that cannot work here */
    EXIT_SIGNAL = 128     /* plus the signal's number */
};

/* Chooses the exit code for a failed call of the library (a negative code) that set up a connection or listener. */
int exit_code_of(int code);

#endif

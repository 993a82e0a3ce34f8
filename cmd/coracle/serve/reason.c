/* SPDX-License-Identifier: MIT */
/* The words for why connections end. */
#include "serve/reason.h"

const char *const reason_names[REASON_COUNT] = {
    [REASON_NONE] = "open",
    [REASON_EOF] = "eof",
    [REASON_RESET] = "reset",
    [REASON_IDLE] = "idle",
    [REASON_FIRST_BYTE] = "first_byte_timeout",
    [REASON_WRITE_TIMEOUT] = "write_timeout",
    [REASON_SLOW_CONSUMER] = "slow_consumer",
    [REASON_TOO_LONG] = "too_long",
    [REASON_PROTOCOL] = "protocol",
    [REASON_RATE] = "rate",
    [REASON_DENIED] = "denied",
    [REASON_MAX_CONNS] = "max_conns",
    [REASON_PER_IP] = "per_ip",
    [REASON_MAX_ROOMS] = "max_rooms",
    [REASON_DRAIN] = "drain",
    [REASON_KICKED] = "kicked",
    [REASON_EXEC_EXIT] = "exec_exit",
    [REASON_OOM] = "oom",
    [REASON_INTERNAL] = "internal",
};

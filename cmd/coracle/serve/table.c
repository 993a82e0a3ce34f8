/* SPDX-License-Identifier: MIT */
/* The services there are, in the order of the help. */
#include "serve/service.h"

const service_def *const service_table[] = {
    &ack_service,       &print_service,  &greet_service,
#if COR_HAVE_JSON
    &broadcast_service,
#endif
    &echo_service,      &random_service, &exec_service,  NULL,
};

/* SPDX-License-Identifier: MIT */
/* The end of a slot that is a descriptor. */
#ifndef CORI_NET_FD_CLOSE_H
#define CORI_NET_FD_CLOSE_H

#include "net/slot.h"

/* Entry of cori_conn_ops. */
void cori_fd_detach(cori_slot *slot);

/* Closes what is still the slot's own. */
void cori_fd_close(cori_slot *slot);

#endif

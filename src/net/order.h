/* SPDX-License-Identifier: MIT */
/* In which order the addresses of a host are tried (RFC 6724): see order.c. */
#ifndef CORI_NET_ORDER_H
#define CORI_NET_ORDER_H

#include "net/ip.h"

#include <stdint.h>

/*
 * How late an address is to be tried when packets to it would leave from `source`; with a source of family 0 it cannot
 * be reached. Lower comes first, and equal ones stay as they are.
 */
uint32_t cori_order_key(const cor_ip *to, const cor_ip *source);

/* Puts addresses into that order. Asks the kernel for sources; without memory for that they stay as they are. */
void cori_order(cor_addr *list, int count);

#endif

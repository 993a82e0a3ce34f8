/* SPDX-License-Identifier: MIT */
/* As sys.h, for interfaces and files of text, of which the C library gives memory of its own. Faults: SOCKET, READ. */
#ifndef CORI_BASE_SYS_INTERFACE_H
#define CORI_BASE_SYS_INTERFACE_H

#include "base/sys.h"

#include <ifaddrs.h>
#include <stdio.h>

/* The interfaces and their addresses; to be given back with freeifaddrs, NULL after a failure too. 0 or -errno. */
int cori_sys_interfaces(struct ifaddrs **list);
/* The MTU of an interface, or -errno. */
int cori_sys_mtu(const char *name);
/* Opens a file to be read by lines. 0 or -errno. */
int cori_sys_open_text(const char *path, FILE **file);

#endif

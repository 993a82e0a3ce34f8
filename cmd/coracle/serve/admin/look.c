/* SPDX-License-Identifier: MIT */
/* Two system calls on a socket in use. */
#include "serve/admin/look.h"

#include <linux/sockios.h>
#include <linux/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { LEVEL_TCP = 6 }; /* IPPROTO_TCP; the header with it and the one with struct tcp_info exclude each other */

static ssize_t look(int fd, void *arg)
{
    struct look *out = arg;
    struct tcp_info info = {0};
    unsigned size = sizeof(info);
    int unsent = 0;
    if (ioctl(fd, SIOCOUTQ, &unsent) == 0 && unsent > 0) {
        out->unsent = (uint32_t)unsent;
    }
    if (getsockopt(fd, LEVEL_TCP, TCP_INFO, &info, &size) == 0) {
        out->has_tcp = true;
        out->rtt_us = info.tcpi_rtt;
        out->retransmits = info.tcpi_total_retrans;
        out->idle_ms = info.tcpi_last_data_recv;
    }
    return 0;
}

int look_at(cor_conn *conn, struct look *out)
{
    *out = (struct look){0};
    return (int)cor_raw_control(conn, look, out);
}

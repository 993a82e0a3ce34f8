/* SPDX-License-Identifier: MIT */
/* Whether the kernel can do what the io_uring poller needs. */
#ifndef CORI_POLL_URING_PROBE_H
#define CORI_POLL_URING_PROBE_H

/* 0, or the -errno that says why not. */
int cori_uring_probe(void);

#endif

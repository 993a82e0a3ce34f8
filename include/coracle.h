/* SPDX-License-Identifier: MIT */
/* Coracle: Go's goroutines, channels and net for C. This header includes every public header and nothing else. */
#ifndef CORACLE_H
#define CORACLE_H

#include <coracle/addr.h>
#include <coracle/blocking.h>
#include <coracle/buffered.h>
#include <coracle/bulk.h>
#include <coracle/chan.h>
#include <coracle/errno.h>
#include <coracle/error.h>
#include <coracle/fd.h>
#include <coracle/group.h>
#include <coracle/interface.h>
#include <coracle/io.h>
#include <coracle/lines.h>
#include <coracle/lookup.h>
#include <coracle/message.h>
#include <coracle/multicast.h>
#include <coracle/net.h>
#include <coracle/packet.h>
#include <coracle/sim.h>
#include <coracle/sync.h>
#include <coracle/task.h>
#include <coracle/time.h>
#include <coracle/timer.h>

#endif

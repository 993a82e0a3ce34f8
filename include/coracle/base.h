/* SPDX-License-Identifier: MIT */
/* What every public header needs: the C++ guard, symbol visibility and the attributes. No function lives here. */
#ifndef CORACLE_BASE_H
#define CORACLE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#ifdef __cplusplus
#define COR_BEGIN extern "C" {
#define COR_END }
#else
#define COR_BEGIN
#define COR_END
#endif

/* Everything else in the library is hidden. */
#define COR_API __attribute__((visibility("default")))
/* Parameter number `string` is a printf format, number `values` its first value. */
#define COR_PRINTF(string, values) __attribute__((format(printf, string, values)))
/* The result carries an error that must be checked. */
#define COR_CHECK __attribute__((warn_unused_result))

#endif

/* SPDX-License-Identifier: MIT */
/* From an error code to an exit code. */
#include "exits.h"

#include <coracle.h>
#include <errno.h>

int exit_code_of(int code)
{
    switch (code) {
    case 0:
        return EXIT_OK;
    case -EADDRINUSE:
    case -EMFILE:
    case -ENFILE:
    case -ENOMEM:
    case -ENOBUFS:
    case -EAGAIN:
        return EXIT_TRY_AGAIN;
    case -EACCES:
    case -EPERM:
        return EXIT_NO_PERMISSION;
    case -ECONNREFUSED:
    case -ECONNRESET:
    case -ECONNABORTED:
    case -EHOSTUNREACH:
    case -ENETUNREACH:
    case -EHOSTDOWN:
    case -ENETDOWN:
    case -ETIMEDOUT:
    case -ENOENT: /* a unix socket that is not there */
    case COR_ETIMEOUT:
    case COR_ENO_SUCH_HOST:
    case COR_ESERVER_MISBEHAVING:
    case COR_EBAD_ANSWER:
        return EXIT_UNREACHABLE;
    case COR_EUNKNOWN_NETWORK:
    case COR_EMISSING_ADDRESS:
    case COR_EMISSING_PORT:
    case COR_ETOO_MANY_COLONS:
    case COR_EMISSING_BRACKET:
    case COR_EUNEXPECTED_OPEN:
    case COR_EUNEXPECTED_CLOSE:
    case COR_EINVALID_PORT:
    case COR_EUNKNOWN_PORT:
    case COR_ENO_SUITABLE_ADDRESS:
    case COR_EUNEXPECTED_TYPE:
    case COR_EUNRECOGNIZED_ADDRESS:
    case -EADDRNOTAVAIL:
    case -EAFNOSUPPORT:
    case -ENAMETOOLONG:
    case -EINVAL:
        return EXIT_BAD_CONFIG;
    default:
        return EXIT_FAILED;
    }
}

/* SPDX-License-Identifier: MIT */
/* The calls of sys_interface.h. */
#include "base/sys_interface.h"

#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

int cori_sys_interfaces(struct ifaddrs **list)
{
    int before = errno, fault = cori_sys_faulted(CORI_SYS_SOCKET);
    *list = NULL;
    int rc = fault < 0 ? fault : getifaddrs(list) == 0 ? 0 : -errno;
    errno = before;
    return rc;
}

int cori_sys_mtu(const char *name)
{
    struct ifreq request = {.ifr_mtu = 0};
    int before = errno, fd = cori_sys_socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0) {
        return fd;
    }
    (void)snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
    int rc = ioctl(fd, SIOCGIFMTU, &request) == 0 ? request.ifr_mtu : -errno;
    cori_sys_close(fd);
    errno = before;
    return rc;
}

int cori_sys_open_text(const char *path, FILE **file)
{
    int before = errno, fault = cori_sys_faulted(CORI_SYS_READ);
    *file = fault < 0 ? NULL : fopen(path, "re");
    int rc = fault < 0 ? fault : *file != NULL ? 0 : -errno;
    errno = before;
    return rc;
}

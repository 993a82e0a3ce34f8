/* SPDX-License-Identifier: MIT */
/*
 * Interfaces. The C library lists them with their addresses by one question to the kernel's routing socket, which is
 * answered at once; the groups are in files of /proc/net. Addresses of an interface with a label ("eth0:1") are its
 * own: they are matched by what comes before the colon.
 */
#include "base/sys_interface.h"
#include "net/conn.h"

#include <coracle/interface.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(IFNAMSIZ <= sizeof(((cor_interface *)0)->name), "a name fits");

static const struct {
    unsigned kernel, flag;
    const char *text;
} flags[] = {
    {IFF_UP, COR_INTERFACE_UP, "up"},
    {IFF_BROADCAST, COR_INTERFACE_BROADCAST, "broadcast"},
    {IFF_LOOPBACK, COR_INTERFACE_LOOPBACK, "loopback"},
    {IFF_POINTOPOINT, COR_INTERFACE_POINT_TO_POINT, "pointtopoint"},
    {IFF_MULTICAST, COR_INTERFACE_MULTICAST, "multicast"},
    {IFF_RUNNING, COR_INTERFACE_RUNNING, "running"},
};
enum { FLAGS = sizeof(flags) / sizeof(flags[0]) };

char *cor_interface_flags_text(unsigned set, char *text, size_t size)
{
    char all[80] = "";
    size_t used = 0;
    for (int i = 0; i < FLAGS; i++) {
        if ((set & flags[i].flag) != 0) {
            used += (size_t)snprintf(all + used, sizeof(all) - used, "%s%s", used > 0 ? "|" : "", flags[i].text);
        }
    }
    return used > 0 ? cori_put_text(text, size, all, used) : cori_put_text(text, size, "0", 1);
}

/* The hardware address of a link, if it is one that cor_mac can hold and not all zero. */
static cor_mac mac_of(const struct sockaddr_ll *link)
{
    cor_mac mac = {.size_bytes = link->sll_halen};
    uint8_t any = 0;
    if (mac.size_bytes != 6 && mac.size_bytes != 8 && mac.size_bytes != sizeof(mac.bytes)) {
        return (cor_mac){.size_bytes = 0};
    }
    memcpy(mac.bytes, (const char *)link + offsetof(struct sockaddr_ll, sll_addr), mac.size_bytes);
    for (int i = 0; i < mac.size_bytes; i++) {
        any |= mac.bytes[i];
    }
    return any != 0 ? mac : (cor_mac){.size_bytes = 0};
}

/* The interface that an entry tells of; false: it tells of an address. */
static bool read_link(const struct ifaddrs *entry, cor_interface *out)
{
    if (entry->ifa_addr == NULL || entry->ifa_addr->sa_family != AF_PACKET) {
        return false;
    }
    const struct sockaddr_ll *link = (const struct sockaddr_ll *)(const void *)entry->ifa_addr;
    *out = (cor_interface){.index = link->sll_ifindex, .mac = mac_of(link)};
    (void)snprintf(out->name, sizeof(out->name), "%s", entry->ifa_name);
    for (int i = 0; i < FLAGS; i++) {
        out->flags |= (entry->ifa_flags & flags[i].kernel) != 0 ? flags[i].flag : 0;
    }
    return true;
}

/*
 * Lists those with this name and index (NULL, 0: any). One that goes before its MTU is known is not there.
 */
static int list(const char *name, int index, cor_interface *out, int max)
{
    struct ifaddrs *entries = NULL;
    int count = cori_sys_interfaces(&entries);
    for (const struct ifaddrs *entry = entries; count >= 0 && entry != NULL; entry = entry->ifa_next) {
        cor_interface one;
        if (!read_link(entry, &one) || (index != 0 && one.index != index) ||
            (name != NULL && strcmp(one.name, name) != 0)) {
            continue;
        }
        one.mtu = cori_sys_mtu(one.name);
        if (one.mtu < 0) {
            count = one.mtu == -ENODEV ? count : one.mtu;
            continue;
        }
        if (count < max) {
            out[count] = one;
        }
        count++;
    }
    freeifaddrs(entries);
    return count;
}

int cor_interfaces(cor_interface *out, int max)
{
    return list(NULL, 0, out, max);
}

/* The answer to a search that found `count`. */
static int found(int count, cor_error *error)
{
    return count > 0 ? 0 : cori_error_fill(error, "route", "ip+net", "", count < 0 ? count : COR_ENO_SUCH_INTERFACE);
}

int cor_interface_by_index(cor_interface *out, int index, cor_error *error)
{
    return found(index > 0 ? list(NULL, index, out, 1) : COR_EINVALID_INTERFACE_INDEX, error);
}

int cor_interface_by_name(cor_interface *out, const char *name, cor_error *error)
{
    return found(name[0] != '\0' ? list(name, 0, out, 1) : COR_EINVALID_INTERFACE_NAME, error);
}

/* The number of leading ones of a mask. */
static uint8_t bits_of(const uint8_t *mask, size_t size)
{
    unsigned bits = 0;
    while (bits < size * 8 && (mask[bits / 8] & (0x80U >> bits % 8)) != 0) {
        bits++;
    }
    return (uint8_t)bits;
}

/* The address and network that an entry tells of; false: it tells of something else. */
static bool read_address(const struct ifaddrs *entry, cor_prefix *out)
{
    const void *address = entry->ifa_addr, *mask = entry->ifa_netmask;
    if (address == NULL || mask == NULL) {
        return false;
    }
    if (entry->ifa_addr->sa_family == AF_INET) {
        out->ip = cor_ip_of(&((const struct sockaddr_in *)address)->sin_addr, 4);
        out->bits = bits_of((const uint8_t *)&((const struct sockaddr_in *)mask)->sin_addr, 4);
    } else if (entry->ifa_addr->sa_family == AF_INET6) {
        out->ip = cor_ip_of(&((const struct sockaddr_in6 *)address)->sin6_addr, 16);
        out->bits = bits_of((const uint8_t *)&((const struct sockaddr_in6 *)mask)->sin6_addr, 16);
    } else {
        return false;
    }
    return true;
}

/* The name of the interface in a list of entries; NULL: there is none. */
static const char *name_of(const struct ifaddrs *entries, int index)
{
    cor_interface one;
    while (entries != NULL && (!read_link(entries, &one) || one.index != index)) {
        entries = entries->ifa_next;
    }
    return entries != NULL ? entries->ifa_name : NULL;
}

int cor_interface_addrs(int index, cor_prefix *out, int max)
{
    struct ifaddrs *entries = NULL;
    int count = cori_sys_interfaces(&entries);
    const char *name = index != 0 ? name_of(entries, index) : "";
    for (const struct ifaddrs *entry = entries; count >= 0 && name != NULL && entry != NULL; entry = entry->ifa_next) {
        cor_prefix one;
        size_t length = strcspn(entry->ifa_name, ":");
        bool mine = index == 0 || (strncmp(entry->ifa_name, name, length) == 0 && name[length] == '\0');
        if (mine && read_address(entry, &one)) {
            if (count < max) {
                out[count] = one;
            }
            count++;
        }
    }
    freeifaddrs(entries);
    return count;
}

static int hex_value(char digit)
{
    return digit >= '0' && digit <= '9' ? digit - '0' : (digit | 0x20) - 'a' + 10;
}

/* "1 lo ff020000000000000000000000000001 ..." of igmp6; false: it is no such line. */
static bool read_group6(const char *line, int *index, cor_ip *group)
{
    char hex[33];
    uint8_t bytes[16];
    if (sscanf(line, "%d %*15s %32[0-9a-fA-F]", index, hex) != 2 || strlen(hex) != 32) {
        return false;
    }
    for (int i = 0; i < 16; i++) {
        bytes[i] = (uint8_t)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
    }
    *group = cor_ip_of(bytes, sizeof(bytes));
    return true;
}

/* Of igmp: "4 eth0 : 1 V3" begins an interface, which stays in *index; its groups follow, as numbers of the CPU's. */
static bool read_group4(const char *line, int *index, cor_ip *group)
{
    uint32_t bytes = 0;
    if (line[0] >= '0' && line[0] <= '9') {
        *index = (int)strtol(line, NULL, 10);
        return false;
    }
    if (sscanf(line, " %8x", &bytes) != 1 || line[0] != '\t') {
        return false;
    }
    *group = cor_ip_of(&bytes, sizeof(bytes));
    return true;
}

typedef bool read_group(const char *line, int *index, cor_ip *group);

/* Adds the groups of a file after the `count` there are. The new number, or -errno; without the file as it was. */
static int add_groups(const char *path, read_group *parse, int index, cor_ip *out, int max, int count)
{
    char line[256];
    int current = 0, before = cori_errno_keep();
    FILE *file = NULL;
    int rc = cori_sys_open_text(path, &file);
    if (rc < 0) {
        return rc == -ENOENT ? count : rc;
    }
    while (fgets(line, sizeof(line), file) != NULL) {
        cor_ip one;
        if (parse(line, &current, &one) && (index == 0 || current == index)) {
            if (count < max) {
                out[count] = one;
            }
            count++;
        }
    }
    (void)fclose(file);
    cori_errno_restore(before);
    return count;
}

int cor_interface_groups(int index, cor_ip *out, int max)
{
    int count = add_groups("/proc/net/igmp", read_group4, index, out, max, 0);
    return count < 0 ? count : add_groups("/proc/net/igmp6", read_group6, index, out, max, count);
}

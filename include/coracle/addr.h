/* SPDX-License-Identifier: MIT */
/*
 * Addresses: values of IP addresses and endpoints, and texts "host:port", "[v6]:port", ":port".
 *
 * The values are small and passed by value: nothing is allocated, and nothing needs to be freed. All zero is "no
 * address". An IPv4-mapped IPv6 address becomes its IPv4 address wherever a value is made, as in Go's net.IP, so that
 * each address has one form. Texts are cut at the size given and always NUL-terminated; COR_ADDR_TEXT bytes suffice.
 *
 * Unless a call says otherwise: Threads: any thread. Parks: never.
 */
#ifndef CORACLE_ADDR_H
#define CORACLE_ADDR_H

#include <coracle/base.h>

COR_BEGIN

/* An IP address. Go: net.IP, netip.Addr. */
typedef struct cor_ip {
    uint8_t family;    /* AF_INET, AF_INET6 of sys/socket.h; 0: none */
    uint8_t bytes[16]; /* as in packets; IPv4 in the first four, the others zero */
} cor_ip;

/* An endpoint: address, port and IPv6 zone; 24 bytes. Go: net.TCPAddr, net.UDPAddr, netip.AddrPort. */
typedef struct cor_addr {
    cor_ip ip;
    uint16_t port; /* as a number: 80 is 80 */
    uint32_t zone; /* index of the interface, for link-local addresses; 0: none */
} cor_addr;

/* A block of addresses, or an address and the network that it is in: "192.0.2.0/24". Go: net.IPNet, netip.Prefix. */
typedef struct cor_prefix {
    cor_ip ip;    /* bits after the first `bits` may be set */
    uint8_t bits; /* 0 to 32, 0 to 128 */
} cor_prefix;

/* A hardware address of 6, 8 or 20 bytes. Go: net.HardwareAddr. */
typedef struct cor_mac {
    uint8_t size_bytes; /* 0: none */
    uint8_t bytes[20];
} cor_mac;

/* What an address is: bits, several at once. Go's predicates are in brackets. */
enum cor_ip_trait {
    COR_IP_UNSPECIFIED = 1 << 0,               /* 0.0.0.0, :: (IsUnspecified) */
    COR_IP_LOOPBACK = 1 << 1,                  /* 127/8, ::1 (IsLoopback) */
    COR_IP_PRIVATE = 1 << 2,                   /* 10/8, 172.16/12, 192.168/16, fc00::/7 (IsPrivate) */
    COR_IP_MULTICAST = 1 << 3,                 /* 224/4, ff00::/8 (IsMulticast) */
    COR_IP_INTERFACE_LOCAL_MULTICAST = 1 << 4, /* ffx1::/16 (IsInterfaceLocalMulticast) */
    COR_IP_LINK_LOCAL_MULTICAST = 1 << 5,      /* 224.0.0/24, ffx2::/16 (IsLinkLocalMulticast) */
    COR_IP_LINK_LOCAL = 1 << 6,                /* 169.254/16, fe80::/10 (IsLinkLocalUnicast) */
    COR_IP_BROADCAST = 1 << 7,                 /* 255.255.255.255 */
    COR_IP_GLOBAL = 1 << 8,                    /* unicast, and none of these but private (IsGlobalUnicast) */
};

/*
 * Makes an address of 4 or 16 bytes as they are in packets and in struct in_addr and in6_addr.
 * Returns: the address; no address if `size_bytes` is neither. Owns: borrows until return.
 * Go: netip.AddrFromSlice and Unmap.
 */
COR_API cor_ip cor_ip_of(const void *bytes, size_t size_bytes);

/*
 * Parses an address: "192.0.2.1", "2001:db8::1". As strict as Go: four decimal parts without leading zeros; no zone.
 * Returns: 0 and *out; COR_EINVALID_IP. Owns: borrows until return. Go: net.ParseIP.
 */
COR_API COR_CHECK int cor_ip_parse(cor_ip *out, const char *text);

/*
 * Writes an address as Go does: dotted, or in lower case with the longest run of zeros as "::"; "<nil>" if it is none.
 * Returns: `text`. Owns: borrows until return. Go: (net.IP).String.
 */
COR_API char *cor_ip_text(cor_ip ip, char *text, size_t size);

/*
 * Orders addresses: none, then IPv4, then IPv6, each by its bytes.
 * Returns: -1, 0 (they are equal) or 1. Go: (netip.Addr).Compare.
 */
COR_API int cor_ip_compare(cor_ip a, cor_ip b);

/*
 * Tells what an address is: `cor_ip_traits(ip) & COR_IP_LOOPBACK`.
 * Returns: bits of enum cor_ip_trait; 0 if it is no address. Go: (net.IP).IsLoopback and the like.
 */
COR_API unsigned cor_ip_traits(cor_ip ip);

/*
 * Parses "192.0.2.1/24" or "2001:db8::/32"; the address is kept as it is written. "::ffff:192.0.2.0/120" is
 * 192.0.2.0/24; of a mapped address whose prefix has fewer than 96 bits the network is kept.
 * Returns: 0 and *out; COR_EINVALID_CIDR. Owns: borrows until return. Go: net.ParseCIDR.
 */
COR_API COR_CHECK int cor_prefix_parse(cor_prefix *out, const char *text);

/*
 * Writes a prefix: "192.0.2.0/24"; "<nil>" if it has no address.
 * Returns: `text`. Owns: borrows until return. Go: (netip.Prefix).String.
 */
COR_API char *cor_prefix_text(cor_prefix prefix, char *text, size_t size);

/*
 * Gives the network: all bits after the prefix are zero.
 * Returns: the prefix; one without an address if it has none or too many bits. Go: (netip.Prefix).Masked.
 */
COR_API cor_prefix cor_prefix_masked(cor_prefix prefix);

/*
 * Tells whether an address is in the block. An IPv4 address is never in an IPv6 block, nor an IPv6 one in an IPv4
 * block.
 * Returns: true or false. Go: (*net.IPNet).Contains.
 */
COR_API bool cor_prefix_contains(cor_prefix prefix, cor_ip ip);

/*
 * Parses a hardware address in hex of either case: "00:00:5e:00:53:01", "00-00-5e-00-53-01" or "0000.5e00.5301".
 * Returns: 0 and *out; COR_EINVALID_MAC. Owns: borrows until return. Go: net.ParseMAC.
 */
COR_API COR_CHECK int cor_mac_parse(cor_mac *out, const char *text);

/*
 * Writes a hardware address in lower case with colons; "" if it is none.
 * Returns: `text`. Owns: borrows until return. Go: (net.HardwareAddr).String.
 */
COR_API char *cor_mac_text(cor_mac mac, char *text, size_t size);

/*
 * Writes an endpoint: "192.0.2.1:80", "[fe80::1%eth0]:80"; ":80" without an address. A zone whose interface is gone is
 * written as its number.
 * Returns: `text`. Owns: borrows until return. Go: (*net.TCPAddr).String.
 */
COR_API char *cor_addr_text(cor_addr addr, char *text, size_t size);

/*
 * Orders endpoints by address, then zone, then port.
 * Returns: -1, 0 (they are equal) or 1. Go: (netip.AddrPort).Compare.
 */
COR_API int cor_addr_compare(cor_addr a, cor_addr b);

/*
 * Splits "host:port", "[v6%zone]:port" or ":port". `host` and `port` get NUL-terminated copies without brackets.
 * Returns: 0; COR_EMISSING_PORT, COR_ETOO_MANY_COLONS, COR_EMISSING_BRACKET, COR_EUNEXPECTED_OPEN,
 * COR_EUNEXPECTED_CLOSE; -ENAMETOOLONG if a part does not fit. Nothing is written on failure.
 * Owns: borrows all until return. Go: net.SplitHostPort.
 */
COR_API COR_CHECK int cor_split_host_port(const char *address, char *host, size_t host_size, char *port,
                                          size_t port_size);

/*
 * Joins host and port, with brackets if and only if the host has a colon. Cut at `size`, always NUL-terminated.
 * Returns: `text`. Owns: borrows all until return. Go: net.JoinHostPort.
 */
COR_API char *cor_join_host_port(const char *host, const char *port, char *text, size_t size);

COR_END

#endif

/* SPDX-License-Identifier: MIT */
/* Hardware addresses: EUI-48, EUI-64, and the 20 bytes of IP over InfiniBand. */
#include "net/ip.h"

#include <coracle/error.h>
#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Two hex digits, or -1; a NUL among them ends it. */
static int hex_byte(const char *text)
{
    int high = hex_digit(text[0]);
    int low = high < 0 ? -1 : hex_digit(text[1]);
    return low < 0 ? -1 : high << 4 | low;
}

int cor_mac_parse(cor_mac *out, const char *text)
{
    cor_mac mac = {.size_bytes = 0};
    /* "0011.2233" has its separator after each second byte, the other forms after each; nothing comes without one. */
    const size_t end_of_pair = strnlen(text, 5);
    const char separator = end_of_pair > 4 && text[4] == '.' ? '.' : end_of_pair > 2 ? text[2] : '\0';
    const unsigned group = separator == '.' ? 2 : 1;
    if (separator != '.' && separator != ':' && separator != '-') {
        return COR_EINVALID_MAC;
    }
    for (;;) {
        int byte = mac.size_bytes < sizeof(mac.bytes) ? hex_byte(text) : -1;
        if (byte < 0) {
            return COR_EINVALID_MAC;
        }
        mac.bytes[mac.size_bytes++] = (uint8_t)byte;
        text += 2;
        if (mac.size_bytes % group != 0) {
            continue;
        }
        if (*text == '\0') {
            break;
        }
        if (*text++ != separator) {
            return COR_EINVALID_MAC;
        }
    }
    if (mac.size_bytes != 6 && mac.size_bytes != 8 && mac.size_bytes != 20) {
        return COR_EINVALID_MAC;
    }
    *out = mac;
    return 0;
}

char *cor_mac_text(cor_mac mac, char *text, size_t size)
{
    char form[3 * sizeof(mac.bytes)];
    char *to = form;
    for (unsigned i = 0; i < mac.size_bytes && i < sizeof(mac.bytes); i++) {
        *to++ = "0123456789abcdef"[mac.bytes[i] >> 4];
        *to++ = "0123456789abcdef"[mac.bytes[i] & 15];
        *to++ = ':';
    }
    return cori_put_text(text, size, form, to > form ? (size_t)(to - form) - 1 : 0);
}

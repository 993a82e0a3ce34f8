/* SPDX-License-Identifier: MIT */
/*
 * Values of addresses: what is taken prints to a text that is taken as the same, what is refused writes nothing, and
 * masking, containing and comparing agree with each other bit by bit.
 *
 * Input: text, NUL, then one byte with the room for a printed text, one with a number of bits, and up to 16 bytes of an
 * address.
 */
#include "input.h"

#include <coracle/addr.h>
#include <coracle/error.h>
#include <sys/socket.h>

/* Checks a text that was printed with `room` bytes of room: it is the beginning of the whole. */
static void check_cut(char *(*print)(const void *value, char *text, size_t size), const void *value, size_t room)
{
    char whole[COR_ADDR_TEXT];
    char *cut = malloc(room > 0 ? room : 1);
    CHECK(cut != NULL);
    CHECK(print(value, whole, sizeof(whole)) == whole && strlen(whole) < sizeof(whole) - 1);
    CHECK(print(value, cut, room) == cut);
    if (room > 0) {
        CHECK(strlen(cut) == (strlen(whole) < room ? strlen(whole) : room - 1));
        CHECK(strncmp(cut, whole, strlen(cut)) == 0);
    }
    free(cut);
}

static char *print_ip(const void *value, char *text, size_t size)
{
    return cor_ip_text(*(const cor_ip *)value, text, size);
}

static char *print_prefix(const void *value, char *text, size_t size)
{
    return cor_prefix_text(*(const cor_prefix *)value, text, size);
}

static char *print_mac(const void *value, char *text, size_t size)
{
    return cor_mac_text(*(const cor_mac *)value, text, size);
}

static void check_ip(const char *text, size_t room)
{
    cor_ip ip = {0}, again;
    char shown[COR_ADDR_TEXT];
    if (cor_ip_parse(&ip, text) < 0) {
        CHECK(cor_ip_compare(ip, (cor_ip){0}) == 0);
        return;
    }
    CHECK(ip.family == AF_INET || ip.family == AF_INET6);
    CHECK(cor_ip_parse(&again, cor_ip_text(ip, shown, sizeof(shown))) == 0 && cor_ip_compare(ip, again) == 0);
    CHECK(cor_ip_compare(cor_ip_of(ip.bytes, ip.family == AF_INET ? 4 : 16), ip) == 0);
    CHECK(cor_ip_traits(ip) != 0);
    check_cut(print_ip, &ip, room);
}

static void check_prefix(const char *text, size_t room)
{
    cor_prefix prefix = {.bits = 0}, again;
    char shown[COR_ADDR_TEXT];
    if (cor_prefix_parse(&prefix, text) < 0) {
        CHECK(prefix.ip.family == 0 && prefix.bits == 0);
        return;
    }
    CHECK(prefix.bits <= (prefix.ip.family == AF_INET ? 32 : 128));
    CHECK(cor_prefix_parse(&again, cor_prefix_text(prefix, shown, sizeof(shown))) == 0);
    CHECK(again.bits == prefix.bits && cor_ip_compare(again.ip, prefix.ip) == 0);
    CHECK(cor_prefix_contains(prefix, prefix.ip) && cor_prefix_contains(prefix, cor_prefix_masked(prefix).ip));
    check_cut(print_prefix, &prefix, room);
}

static void check_mac(const char *text, size_t room)
{
    cor_mac mac = {.size_bytes = 0}, again;
    char shown[COR_ADDR_TEXT];
    if (cor_mac_parse(&mac, text) < 0) {
        CHECK(mac.size_bytes == 0);
        return;
    }
    CHECK(strlen(cor_mac_text(mac, shown, sizeof(shown))) + 1 == 3 * (size_t)mac.size_bytes);
    CHECK(cor_mac_parse(&again, shown) == 0 && memcmp(&mac, &again, sizeof(mac)) == 0);
    check_cut(print_mac, &mac, room);
}

/* Each bit turned: before the prefix's end it leads out of the block and changes the network, after it neither. */
static void check_bits(cor_prefix prefix)
{
    const cor_ip network = cor_prefix_masked(prefix).ip;
    const unsigned size = prefix.ip.family == AF_INET ? 32 : 128;
    if (prefix.bits > size) {
        CHECK(network.family == 0 && !cor_prefix_contains(prefix, prefix.ip));
        return;
    }
    for (unsigned bit = 0; bit < size; bit++) {
        cor_prefix turned = prefix;
        turned.ip.bytes[bit / 8] ^= (uint8_t)(0x80U >> bit % 8);
        const bool inside = bit >= prefix.bits;
        CHECK(cor_prefix_contains(prefix, turned.ip) == inside);
        CHECK((cor_ip_compare(cor_prefix_masked(turned).ip, network) == 0) == inside);
        CHECK(cor_ip_compare(turned.ip, prefix.ip) == -cor_ip_compare(prefix.ip, turned.ip));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = {data, size};
    char *text = input_text(&in);
    const size_t room = input_byte(&in) % COR_ADDR_TEXT;
    cor_prefix prefix = {.bits = (uint8_t)input_byte(&in)};
    uint8_t bytes[16];
    const size_t length = in.left >= sizeof(bytes) ? sizeof(bytes) : 4;
    for (size_t i = 0; i < length; i++) {
        bytes[i] = (uint8_t)input_byte(&in);
    }
    prefix.ip = cor_ip_of(bytes, length);
    check_ip(text, room);
    check_prefix(text, room);
    check_mac(text, room);
    check_bits(prefix);
    free(text);
    return 0;
}

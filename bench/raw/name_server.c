/* SPDX-License-Identifier: MIT */
/*
 * A name server that has an address of each family for every name, at once. One thread, one socket on 127.0.0.1:53;
 * for lookups.py, in a network namespace. Prints "ready" when it listens.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum { PORT = 53, HEADER = 12, QUESTION_MAX = 512, PACKET = 1024, TYPE_A = 1, TYPE_AAAA = 28 };

/* Makes the answer of a question in place; its size, 0 for what is none. */
static size_t answer(unsigned char *packet, size_t size)
{
    static const unsigned char v4[4] = {192, 0, 2, 1}, v6[16] = {0x20, 0x01, 0x0d, 0xb8, [15] = 6};
    size_t at = HEADER;
    while (at < size && packet[at] != 0) {
        at += packet[at] + 1U;
    }
    at += 5; /* the name's end, type and class */
    if (at > size) {
        return 0;
    }
    unsigned char type = packet[at - 3];
    size_t length = type == TYPE_A ? sizeof(v4) : sizeof(v6);
    const unsigned char record[] = {0xc0, HEADER, 0, type, 0, 1, 0, 0, 0, 60, 0, (unsigned char)length};
    packet[2] |= 0x80;
    packet[3] = 0x80;
    memset(packet + 6, 0, HEADER - 6);
    if (type == TYPE_A || type == TYPE_AAAA) {
        packet[7] = 1;
        memcpy(packet + at, record, sizeof(record));
        memcpy(packet + at + sizeof(record), type == TYPE_A ? v4 : v6, length);
        at += sizeof(record) + length;
    }
    return at;
}

int main(void)
{
    const struct sockaddr_in here = {
        .sin_family = AF_INET, .sin_port = htons(PORT), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int buffer = 4 << 20;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof(buffer));
    if (bind(fd, (const struct sockaddr *)(const void *)&here, sizeof(here)) < 0) {
        perror("bind");
        return 1;
    }
    (void)puts("ready");
    (void)fflush(stdout);
    for (;;) {
        unsigned char packet[PACKET];
        struct sockaddr_in peer;
        socklen_t len = sizeof(peer);
        ssize_t size = recvfrom(fd, packet, QUESTION_MAX, 0, (struct sockaddr *)(void *)&peer, &len);
        size_t reply = size > HEADER ? answer(packet, (size_t)size) : 0;
        if (reply > 0) {
            (void)sendto(fd, packet, reply, 0, (const struct sockaddr *)(const void *)&peer, len);
        }
    }
}

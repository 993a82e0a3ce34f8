/* SPDX-License-Identifier: MIT */
/*
 * Answers of name servers: what a hostile one may send, through c-ares and our use of it, and the reader of messages by
 * itself. Each lookup ends with a result that it may have, and gives back everything; names in records are names.
 *
 * Input: a byte with the kind of lookup, one with what is made right in the answer (its number, its question), and
 * whether addresses are wanted as values; then the answer.
 */
#include "input.h"
#include "runtime.h"

#include "net/message.h"

#include <coracle/error.h>
#include <coracle/group.h>
#include <coracle/io.h>
#include <coracle/lookup.h>
#include <coracle/net.h>
#include <coracle/time.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/socket.h>

enum { PACKET = 4096, HEADER = 12, WAIT = 2 };

static struct {
    int fd;
    unsigned kind, repair;
    const uint8_t *answer;
    size_t size;
} server;

/* Answers one question with the input. */
static void answer_one(void)
{
    unsigned char packet[PACKET], question[PACKET];
    struct sockaddr_in peer;
    socklen_t len = sizeof(peer);
    ssize_t asked = recvfrom(server.fd, question, sizeof(question), MSG_DONTWAIT, (void *)&peer, &len);
    if (asked < HEADER) {
        return;
    }
    size_t used = 0, question_end = HEADER;
    while (question_end < (size_t)asked && question[question_end] != 0) {
        question_end += question[question_end] + 1U;
    }
    question_end += 5;
    if ((server.repair & 1) != 0) { /* a header and the question, as it must be; the records are the input's */
        memcpy(packet, question, question_end);
        packet[2] |= 0x80;
        packet[7] = (unsigned char)(server.repair >> 3);
        packet[3] = packet[6] = packet[8] = packet[9] = packet[10] = packet[11] = 0;
        used = question_end;
    }
    size_t taken = server.size < sizeof(packet) - used ? server.size : sizeof(packet) - used;
    memcpy(packet + used, server.answer, taken);
    used += taken;
    if ((server.repair & 2) != 0 && used >= 2) {
        memcpy(packet, question, 2);
    }
    (void)sendto(server.fd, packet, used, 0, (void *)&peer, len);
}

static void serve(void *arg)
{
    (void)arg;
    while (cor_wait_fd(server.fd, COR_READABLE, 0) >= 0) {
        answer_one();
    }
}

static void check_records(const cor_records *records)
{
    for (int i = 0; i < records->count; i++) {
        CHECK(records->list[i].text[records->list[i].size_bytes] == '\0');
    }
}

static void look_up(void *arg)
{
    char names[4][COR_ADDR_TEXT], name[COR_NAME_TEXT];
    cor_records *found = NULL;
    int64_t deadline = cor_after(WAIT * COR_MILLISECOND);
    int rc = 0;
    (void)arg;
    switch (server.kind % 7) {
    case 0:
        rc = (server.repair & 4) != 0 ? cor_lookup_ip(&found, "ip", "host.test", deadline, NULL)
                                      : cor_lookup_host(names, 4, "host.test", deadline, NULL);
        break;
    case 1:
        rc = cor_lookup_mx(&found, "host.test", deadline, NULL);
        break;
    case 2:
        rc = cor_lookup_txt(&found, "host.test", deadline, NULL);
        break;
    case 3:
        rc = cor_lookup_srv(&found, "", "", "host.test", deadline, NULL);
        break;
    case 4:
        rc = cor_lookup_ns(&found, "host.test", deadline, NULL);
        break;
    case 5:
        rc = cor_lookup_addr(&found, "192.0.2.1", deadline, NULL);
        break;
    default:
        rc = cor_lookup_cname(name, sizeof(name), "host.test", deadline, NULL);
        break;
    }
    CHECK(rc >= 0 || rc == COR_ENO_SUCH_HOST || rc == COR_ETIMEOUT || rc == COR_ESERVER_MISBEHAVING ||
          rc == COR_EBAD_ANSWER);
    CHECK((rc == 0) == (found != NULL) || server.kind % 7 == 0 || server.kind % 7 == 6);
    if (found != NULL) {
        check_records(found);
    }
    cor_records_free(found);
}

/* One lookup beside a server; both end. */
static void look_up_and_serve(void *arg)
{
    cor_group group = {0};
    CHECK(cor_group_go(&group, serve, NULL) == 0);
    look_up(arg);
    cor_group_cancel(&group);
    CHECK(cor_group_wait(&group, 0) == 0);
}

/* The reader alone: quicker, and with every type. */
static void read_alone(const uint8_t *bytes, size_t size)
{
    static const enum cori_dns_type types[] = {CORI_DNS_NS, CORI_DNS_CNAME, CORI_DNS_PTR,
                                               CORI_DNS_MX, CORI_DNS_TXT,   CORI_DNS_SRV};
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        cor_records *found = NULL;
        int rc = cori_message_records(bytes, size, types[i], &found);
        CHECK((rc == 0) == (found != NULL));
        if (found != NULL) {
            check_records(found);
            CHECK(types[i] == CORI_DNS_CNAME || found->count + found->dropped > 0);
        }
        cor_records_free(found);
    }
}

static void start(void)
{
    struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(here);
    char path[32];
    server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    CHECK(bind(server.fd, (void *)&here, len) == 0 && getsockname(server.fd, (void *)&here, &len) == 0);
    int file = memfd_create("resolv.conf", MFD_CLOEXEC);
    CHECK(file >= 0 &&
          dprintf(file, "nameserver 127.0.0.1:%d\noptions attempts:1 single-request\n", ntohs(here.sin_port)) > 0);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
    CHECK(setenv("COR_RESOLV_CONF", path, 1) == 0);
    runtime_start();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    if (!started) {
        started = true;
        start();
    }
    if (size < 2) {
        return 0;
    }
    read_alone(data + 2, size - 2);
    server.kind = data[0];
    server.repair = data[1];
    server.answer = data + 2;
    server.size = size - 2;
    runtime_run(look_up_and_serve, NULL);
    return 0;
}

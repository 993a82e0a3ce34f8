/* SPDX-License-Identifier: MIT */
/*
 * Records out of messages of name servers (RFC 1035). c-ares has checked that a message answers the question; what is
 * in it may still be anything. Nothing is read outside it, each byte is looked at a bounded number of times (a name
 * follows JUMPS_MAX pointers at most), and what is given is one allocation of no more than the message deserves.
 *
 * Go's rules: the strings of a TXT record are joined; records whose name is none are left out and counted; "." is a
 * name (nobody takes mail, the root's servers); other types of records in an answer are passed over.
 *
 * It is gone through twice: once to count, once to fill in.
 */
#include "net/message.h"

#include "base/memory.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { HEADER_BYTES = 12, JUMPS_MAX = 128, LABEL_BYTES_MAX = 63, POINTER = 0xc0 };

typedef struct reader {
    const unsigned char *bytes;
    size_t size, at;
    bool bad; /* something was not as it must be, or not there */
} reader;

/* A record, of which `at` .. `end` is the data. */
typedef struct record {
    char owner[COR_NAME_TEXT];
    unsigned type;
    size_t at, end;
} record;

/* What comes of a pass: the records found, the bytes of their texts; written if there is a place for them. */
typedef struct found {
    cor_record *list;
    char *text, *text_end;
    size_t text_bytes;
    int count, dropped, answers;
    char name[COR_NAME_TEXT];
} found;

static unsigned read_byte(reader *from)
{
    if (from->at >= from->size) {
        from->bad = true;
        return 0;
    }
    return from->bytes[from->at++];
}

static unsigned read_16(reader *from)
{
    unsigned high = read_byte(from);
    return high << 8 | read_byte(from);
}

/* Appends a label and its dot. A byte that would not survive as text becomes one that no name has. */
static void read_label(reader *from, unsigned length, char *out, size_t *used)
{
    if (length > LABEL_BYTES_MAX || *used + length + 2 > COR_NAME_TEXT) {
        from->bad = true;
        return;
    }
    for (unsigned i = 0; i < length; i++) {
        unsigned byte = read_byte(from);
        out[(*used)++] = byte == '.' || byte == '\0' ? '\\' : (char)byte;
    }
    out[(*used)++] = '.';
}

/* A name, with its last dot. */
static void read_name(reader *from, char out[COR_NAME_TEXT])
{
    size_t used = 0, after = 0;
    int jumps = 0;
    for (unsigned length = read_byte(from); length != 0 && !from->bad; length = read_byte(from)) {
        if (length < POINTER) {
            read_label(from, length, out, &used);
            continue;
        }
        size_t to = (size_t)(length & ~(unsigned)POINTER) << 8 | read_byte(from);
        after = jumps == 0 ? from->at : after;
        from->at = to;
        from->bad |= ++jumps > JUMPS_MAX;
    }
    from->at = jumps > 0 ? after : from->at;
    if (used == 0) {
        out[used++] = '.';
    }
    out[used] = '\0';
}

static void read_record(reader *from, record *out)
{
    read_name(from, out->owner);
    out->type = read_16(from);
    from->at += 6; /* class and time to live */
    size_t length = read_16(from);
    out->at = from->at;
    out->end = from->at + length;
    from->bad |= out->end > from->size;
    from->at = out->end;
}

/* Adds bytes to the text of the record that is being read. */
static void put_text(found *into, const void *bytes, size_t size)
{
    into->text_bytes += size;
    if (into->text != NULL) {
        memcpy(into->text_end, bytes, size);
        into->text_end += size;
    }
}

/* The record is complete, and its text. */
static void put_record(found *into, cor_record value, size_t text_before)
{
    value.size_bytes = into->text_bytes - text_before;
    put_text(into, "", 1);
    if (into->list != NULL) {
        value.text = into->text_end - value.size_bytes - 1;
        into->list[into->count] = value;
    }
    into->count++;
}

static void take_text(reader *data, found *into)
{
    size_t before = into->text_bytes;
    while (data->at < data->size && !data->bad) {
        unsigned length = read_byte(data);
        if (length > data->size - data->at) {
            data->bad = true;
            return;
        }
        put_text(into, data->bytes + data->at, length);
        data->at += length;
    }
    put_record(into, (cor_record){0}, before);
}

static void take_name(reader *data, cor_record value, found *into)
{
    char name[COR_NAME_TEXT];
    read_name(data, name);
    if (data->bad) {
        return;
    }
    if (!cori_is_domain_name(name)) {
        into->dropped++;
        return;
    }
    size_t before = into->text_bytes;
    put_text(into, name, strlen(name));
    put_record(into, value, before);
}

/* Takes a record of the type asked for. Names in it may point to before it, but not read on after it. */
static void take(const reader *message, const record *of, found *into, bool *bad)
{
    reader data = {.bytes = message->bytes, .size = of->end, .at = of->at};
    cor_record value = {0};
    if (of->type == CORI_DNS_TXT) {
        take_text(&data, into);
    } else {
        if (of->type == CORI_DNS_MX || of->type == CORI_DNS_SRV) {
            value.priority = (uint16_t)read_16(&data);
        }
        if (of->type == CORI_DNS_SRV) {
            value.weight = (uint16_t)read_16(&data);
            value.port = (uint16_t)read_16(&data);
        }
        take_name(&data, value, into);
    }
    *bad |= data.bad;
}

/* An alias of the name that was arrived at so far. */
static void follow(const reader *message, const record *of, found *into, bool *bad)
{
    reader data = {.bytes = message->bytes, .size = of->end, .at = of->at};
    if (of->type == CORI_DNS_CNAME && strcasecmp(of->owner, into->name) == 0) {
        read_name(&data, into->name);
        *bad |= data.bad;
    }
}

/* Goes through the message. False if it is none. */
static bool go_through(const unsigned char *bytes, size_t size, enum cori_dns_type type, found *into)
{
    reader message = {.bytes = bytes, .size = size, .at = 4};
    unsigned questions = read_16(&message);
    into->answers = (int)read_16(&message);
    message.at = HEADER_BYTES;
    for (unsigned i = 0; i < questions && !message.bad; i++) {
        read_name(&message, into->name);
        message.at += 4; /* type and class */
    }
    for (int i = 0; i < into->answers && !message.bad; i++) {
        record of;
        read_record(&message, &of);
        if (!message.bad) {
            follow(&message, &of, into, &message.bad);
        }
        if (!message.bad && of.type == type && type != CORI_DNS_CNAME) {
            take(&message, &of, into, &message.bad);
        }
    }
    return !message.bad && questions > 0;
}

int cori_message_records(const unsigned char *message, size_t size, enum cori_dns_type type, cor_records **out)
{
    found counted = {0};
    if (!go_through(message, size, type, &counted)) {
        return COR_EBAD_ANSWER;
    }
    bool any = type == CORI_DNS_CNAME ? counted.answers > 0 : counted.count + counted.dropped > 0;
    if (!any) {
        return COR_ENO_SUCH_HOST;
    }
    if (type == CORI_DNS_CNAME && !cori_is_domain_name(counted.name)) {
        return COR_EBAD_ANSWER;
    }
    size_t list_bytes = (size_t)counted.count * sizeof(cor_record);
    cor_records *made = cori_calloc(1, sizeof(*made) + list_bytes + counted.text_bytes);
    if (made == NULL) {
        return -ENOMEM;
    }
    made->list = (cor_record *)(made + 1);
    found filled = {.list = made->list, .text = (char *)made + sizeof(*made) + list_bytes};
    filled.text_end = filled.text;
    (void)go_through(message, size, type, &filled);
    made->count = filled.count;
    made->dropped = filled.dropped;
    memcpy(made->name, filled.name, sizeof(made->name));
    *out = made;
    return 0;
}

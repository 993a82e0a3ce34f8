/* SPDX-License-Identifier: MIT */
/*
 * Who may come in. Lists of blocks, in words and in a file, are read here once more in the plainest way: each address
 * goes through all blocks, the longest decides, of equal ones the one that denies. Both ways let the same addresses in;
 * a mistake leaves everything as it was.
 *
 * Input: three texts, each up to a NUL: --allow, --deny and the file, which '\1' stands for in both lists; then
 * addresses to ask for, 4 or 16 bytes each, by bit 0 of the byte before.
 */
/* sources: cmd/coracle/serve/access.c */
#include "input.h"
#include "serve/access.h"

#include <stdbool.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BLOCKS = 1 << 16, WORD_MAX = 4095, ADDRESSES = 16 };

/* Blocks as they come. */
static struct {
    cor_prefix block;
    bool allow;
} blocks[BLOCKS];
static size_t block_count;
static struct access access_now = {.lock = PTHREAD_MUTEX_INITIALIZER};
static int file;
static char file_word[32];

/* Takes one word; false: it is no block. */
static bool take_word(const char *word, bool allow)
{
    char whole[WORD_MAX + 8];
    size_t begin = strspn(word, " \t\r\n"), size = strlen(word);
    while (size > begin && strchr(" \t\r\n", word[size - 1]) != NULL) {
        size--;
    }
    if (size - begin > WORD_MAX) {
        return false;
    }
    bool bare = memchr(word + begin, '/', size - begin) == NULL;
    bool six = memchr(word + begin, ':', size - begin) != NULL;
    snprintf(whole, sizeof(whole), "%.*s%s", (int)(size - begin), word + begin, !bare ? "" : six ? "/128" : "/32");
    CHECK(block_count < BLOCKS);
    blocks[block_count].allow = allow;
    return cor_prefix_parse(&blocks[block_count++].block, whole) == 0;
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\r\n")] == '\0';
}

static bool take_lines(const char *text, bool allow)
{
    bool good = true;
    while (good && *text != '\0') {
        size_t size = strcspn(text, "\n");
        char *line = exact_copy(text, size, 1);
        line[strcspn(line, "#")] = '\0';
        good = is_blank(line) || take_word(line, allow);
        free(line);
        text += size + (text[size] == '\n');
    }
    return good;
}

/* A word of a list has a longest, blanks and comment included. */
static bool fits(const char *word, size_t size)
{
    size_t named = size;
    for (size_t i = 0; i < size; i++) {
        named += word[i] == '\1' ? strlen(file_word) - 1 : 0;
    }
    return named <= WORD_MAX;
}

static bool take_list(const char *list, const char *lines, bool allow)
{
    bool good = true;
    while (good && *list != '\0') {
        size_t size = strcspn(list, ",");
        char *word = exact_copy(list, size, 1);
        word[strcspn(word, "#")] = '\0';
        const char *begin = word + strspn(word, " \t\r\n");
        bool is_file = *begin == '\1' && is_blank(begin + 1);
        good = fits(list, size) && (is_file ? take_lines(lines, allow) : *begin != '@' && take_word(word, allow));
        free(word);
        list += size + (list[size] == ',');
    }
    return good;
}

static bool lets_in(cor_ip ip, bool has_allow)
{
    int longest = -1;
    bool allowed = !has_allow;
    for (size_t i = 0; i < block_count; i++) {
        int bits = blocks[i].block.bits;
        if (bits >= longest && cor_prefix_contains(blocks[i].block, ip)) {
            allowed = bits > longest ? blocks[i].allow : allowed && blocks[i].allow;
            longest = bits;
        }
    }
    return allowed;
}

/* The list with the file's name for each '\1'. */
static char *name_file(const char *list)
{
    size_t size = strlen(list), used = 0;
    char *named = malloc(size * sizeof(file_word) + 1);
    CHECK(named != NULL);
    for (size_t i = 0; i < size; i++) {
        if (list[i] == '\1') {
            used += (size_t)sprintf(named + used, "%s", file_word);
        } else {
            named[used++] = list[i];
        }
    }
    named[used] = '\0';
    return named;
}

static void write_file(const char *text)
{
    size_t size = strlen(text);
    CHECK(ftruncate(file, 0) == 0 && pwrite(file, text, size, 0) == (ssize_t)size);
}

/* The first and last addresses of blocks, and those of the input. */
static void ask_all(input *in, bool has_allow)
{
    for (size_t i = 0; i < block_count && i < ADDRESSES; i++) {
        cor_ip ip = blocks[i].block.ip;
        CHECK(access_allows(&access_now, ip) == lets_in(ip, has_allow));
        ip.bytes[ip.family == AF_INET ? 3 : 15] ^= 1;
        CHECK(access_allows(&access_now, ip) == lets_in(ip, has_allow));
    }
    for (int i = 0; i < ADDRESSES && in->left > 0; i++) {
        uint8_t bytes[16] = {0};
        size_t size = (input_byte(in) & 1) != 0 ? 16 : 4;
        for (size_t j = 0; j < size; j++) {
            bytes[j] = (uint8_t)input_byte(in);
        }
        cor_ip ip = cor_ip_of(bytes, size);
        CHECK(access_allows(&access_now, ip) == lets_in(ip, has_allow));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (file == 0) {
        file = memfd_create("list", MFD_CLOEXEC);
        CHECK(file > 0);
        snprintf(file_word, sizeof(file_word), "@/proc/self/fd/%d", file);
    }
    input in = {data, size};
    char trouble[ACCESS_TROUBLE] = "";
    char *allow = input_text(&in), *deny = input_text(&in), *lines = input_text(&in);
    char *allow_named = name_file(allow), *deny_named = name_file(deny);
    const cor_ip outside = cor_ip_of((const uint8_t[]){192, 0, 2, 1}, 4);
    write_file(lines);
    block_count = 0;
    bool good = take_list(allow, lines, true) && take_list(deny, lines, false);
    CHECK(access_read(&access_now, NULL, "192.0.2.1", trouble) && !access_allows(&access_now, outside));
    bool taken = access_read(&access_now, *allow != '\0' ? allow_named : NULL, deny_named, trouble);
    CHECK(taken == good);
    if (taken) {
        CHECK(access_count(&access_now) == block_count);
        ask_all(&in, *allow != '\0');
    } else {
        CHECK(memchr(trouble, 0, sizeof(trouble)) != NULL && trouble[0] != '\0');
        CHECK(access_count(&access_now) == 1 && !access_allows(&access_now, outside));
    }
    access_clear(&access_now);
    CHECK(access_allows(&access_now, outside));
    free(allow);
    free(deny);
    free(lines);
    free(allow_named);
    free(deny_named);
    return 0;
}

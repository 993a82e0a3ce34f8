/* SPDX-License-Identifier: MIT */
/* The page's document and policy are put into the program by the build: page/, cmake/Embed.cmake. */
#include "serve/ws/page.h"

#include "serve/ws/handshake.h"

#if COR_HAVE_WEBSOCKET

extern const unsigned char chat_html[], chat_policy[];
extern const size_t chat_html_size, chat_policy_size;

#include <stdio.h>

__attribute__((noinline)) static int write_head(struct session *session)
{
    char head[HANDSHAKE_MAX], fields[HANDSHAKE_MAX / 2];
    snprintf(fields, sizeof(fields),
             "Content-Security-Policy: %.*s\r\nReferrer-Policy: no-referrer\r\n"
             "Cross-Origin-Resource-Policy: same-origin\r\nCross-Origin-Opener-Policy: same-origin\r\n",
             (int)chat_policy_size, (const char *)chat_policy);
    const handshake_answer answer = {HANDSHAKE_PAGE, "200 OK", fields, REASON_EOF, NULL, ""};
    return session_write(session, head, handshake_write_end(&answer, "text/html", chat_html_size, head));
}

void page_write(struct session *session)
{
    int code = write_head(session);
    code = code == 0 ? session_write(session, chat_html, chat_html_size) : code;
    if (code < 0) {
        session_ended(session, "write", code);
    } else {
        session_hang_up(session, REASON_EOF);
    }
}

#endif

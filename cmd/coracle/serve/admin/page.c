/* SPDX-License-Identifier: MIT */
/* The page to look at, in three files that the build puts into the program: page/. */
#include "serve/admin/views.h"

#if COR_HAVE_ADMIN

extern const unsigned char page_html[], page_css[], page_js[];
extern const size_t page_html_size, page_css_size, page_js_size;

static void put(http_reply *reply, const char *type, const unsigned char *bytes, size_t size)
{
    reply->type = type;
    reply->bytes = bytes;
    reply->size = size;
}

void page_html_view(void *arg, const http_request *request, http_reply *reply)
{
    (void)arg, (void)request;
    put(reply, "text/html; charset=utf-8", page_html, page_html_size);
}

void page_css_view(void *arg, const http_request *request, http_reply *reply)
{
    (void)arg, (void)request;
    put(reply, "text/css; charset=utf-8", page_css, page_css_size);
}

void page_js_view(void *arg, const http_request *request, http_reply *reply)
{
    (void)arg, (void)request;
    put(reply, "text/javascript; charset=utf-8", page_js, page_js_size);
}

#endif

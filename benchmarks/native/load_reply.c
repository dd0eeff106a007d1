/* Checks what a server answered: known bytes one by one; of HTTP the status, the
 * Content-Length and that exactly so many bytes follow. A wrong answer that is
 * quick must not look like a fast server. */
#define _GNU_SOURCE
#include "load.h"

#include <stdlib.h>
#include <string.h>

void reply_begin(struct reply *reply)
{
    reply->received = reply->expected = reply->head_size = 0;
}

static enum reply_state state_of(const struct reply *reply)
{
    if (!reply->expected || reply->received < reply->expected)
        return REPLY_PARTIAL;
    return reply->received == reply->expected ? REPLY_COMPLETE : REPLY_WRONG;
}

static enum reply_state feed_known(struct reply *reply, const struct options *options,
                                   const char *data, size_t size)
{
    reply->expected = options->reply_size;
    if (reply->received + size > reply->expected
        || memcmp(data, options->reply + reply->received, size) != 0)
        return REPLY_WRONG;
    reply->received += size;
    return state_of(reply);
}

/* Sets `expected` when the head is complete; false when the head is not ours. */
static bool parse_head(struct reply *reply, const struct options *options)
{
    reply->head[reply->head_size] = '\0';
    const char *end = strstr(reply->head, "\r\n\r\n");
    if (!end)
        return reply->head_size < HEAD_LIMIT - 1;
    if (strncmp(reply->head, "HTTP/1.", 7) != 0 || strncmp(reply->head + 8, " 200", 4) != 0)
        return false;
    const char *length = strcasestr(reply->head, "\r\nContent-Length:");
    if (!length || length > end)
        return false;
    long body_length = strtol(length + strlen("\r\nContent-Length:"), NULL, 10);
    reply->expected = (size_t)(end + 4 - reply->head) + (size_t)body_length;
    return body_length == options->body_length;
}

static enum reply_state feed_http(struct reply *reply, const struct options *options,
                                  const char *data, size_t size)
{
    if (!reply->expected) {
        size_t space = HEAD_LIMIT - 1 - reply->head_size;
        size_t copied = size < space ? size : space;
        memcpy(reply->head + reply->head_size, data, copied);
        reply->head_size += copied;
        if (!parse_head(reply, options))
            return REPLY_WRONG;
    }
    reply->received += size;
    return state_of(reply);
}

enum reply_state reply_feed(struct reply *reply, const struct options *options,
                            const char *data, size_t size)
{
    bool is_http = options->mode == MODE_HTTP_CLOSE || options->mode == MODE_HTTP_KEEP;
    return is_http ? feed_http(reply, options, data, size)
                   : feed_known(reply, options, data, size);
}

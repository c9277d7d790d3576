/* HTTP/1.1: a FILE is one complete request, head and body. */
#include "loadgen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static Bytes *requests;

static void load(Bytes file, size_t number, size_t count) {
    if (!requests) requests = calloc(count, sizeof *requests);
    requests[number] = file;
}

static void opened(Connection *c) { (void)c; }

static void begin(Connection *c) {
    c->sent = c->have = c->missing = 0;
    c->head_done = 0;
}

static void write_rest(Connection *c) {
    const Bytes *request = &requests[c->number];
    while (c->busy && c->sent < request->size) {
        ssize_t n = send(c->fd, request->data + c->sent, request->size - c->sent, MSG_NOSIGNAL);
        if (n > 0) c->sent += (size_t)n;
        else if (errno == EAGAIN || errno == ENOTCONN) return;
        else if (errno == EPIPE || errno == ECONNRESET) { again(c); return; }
        else die("send");
    }
}

static const char *field(const char *head, const char *name) {
    const char *found = strcasestr(head, name);
    return found ? found + strlen(name) : NULL;
}

/* The head of a response, once it is complete. */
static void read_head(Connection *c) {
    char *end = memmem(c->head, c->have, "\r\n\r\n", 4);
    if (!end) {
        if (c->have == HEAD_ROOM) die("response head too large");
        return;
    }
    *end = 0;
    size_t size = (size_t)(end - c->head) + 4;
    const char *length = field(c->head, "\r\ncontent-length:"), *option = field(c->head, "\r\nconnection:");
    if (!length) die("response without Content-Length");
    c->refused = atoi(c->head + 9) != 200;
    if (c->refused && refuse(c))
        fprintf(stderr, "loadgen: %.200s ... %.*s\n", c->head, (int)(c->have - size < 300 ? c->have - size : 300), end + 4);
    c->last = option && strncasecmp(option + strspn(option, " "), "close", 5) == 0;
    c->missing = strtoull(length, NULL, 10) - (c->have - size);
    c->head_done = 1;
}

static void read_some(Connection *c) {
    static char scratch[1 << 18];
    for (;;) {
        size_t room = c->head_done ? (c->missing < sizeof scratch ? c->missing : sizeof scratch) : HEAD_ROOM - c->have;
        ssize_t n = recv(c->fd, c->head_done ? scratch : c->head + c->have, room, 0);
        if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) return;
        if (n < 0 && errno != ECONNRESET) die("recv");
        if (n <= 0) {
            /* An idle connection may be closed at any time, also when a request is on its way. That is sent again, and
             * counted: it may as well have been thrown away. */
            if (c->busy && c->have) die("connection closed within a response");
            if (c->busy) again(c);
            else drop(c);
            return;
        }
        if (c->head_done) c->missing -= (size_t)n;
        else {
            c->have += (size_t)n;
            read_head(c);
        }
        if (c->head_done && c->missing == 0) {
            finish(c);
            return;
        }
    }
}

const Protocol http1 = {load, opened, begin, write_rest, read_some};

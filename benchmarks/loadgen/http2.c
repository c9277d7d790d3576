/* gRPC, on HTTP/2 without TLS: a FILE is all that a client sends on a new connection for two calls of the same method
 * with the same message: preface and settings, HEADERS and DATA, HEADERS and DATA. The first HEADERS put their fields
 * into the server's table, the second ones point to them; all calls after it have these, too, with their own numbers of
 * streams. So all FILES of a run must have the same headers, but not the same message.
 */
#include "loadgen.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { DATA, HEADERS, RST_STREAM = 3, SETTINGS, PING = 6, GOAWAY, WINDOW_UPDATE };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4, PADDED = 8, PRIORITY = 32 };
enum { TABLE_SIZE_SETTING = 1, FIRST_WINDOW_SETTING = 4, FRAME_SETTING = 5 };
enum { PREFACE = 24, FRAME_HEAD = 9, FIRST_WINDOW = 65535, FIRST_FRAME = 16384, GIVEN_BACK = 1 << 20, BLOCK = 1024 };

typedef struct {
    Bytes opening, first, later, message;
} Call;

static Call *calls;

static uint32_t number_at(const char *at, size_t bytes) {
    uint32_t value = 0;
    for (size_t i = 0; i < bytes; i++) value = value << 8 | (unsigned char)at[i];
    return value;
}

static void put_number(char *to, uint32_t value, size_t bytes) {
    for (size_t i = bytes; i-- > 0; value >>= 8) to[i] = (char)value;
}

static void put_head(char *to, size_t size, unsigned type, unsigned flags, uint32_t stream) {
    put_number(to, (uint32_t)size, 3);
    put_number(to + 3, type, 1);
    put_number(to + 4, flags, 1);
    put_number(to + 5, stream, 4);
}

static void load(Bytes file, size_t number, size_t count) {
    if (!calls) calls = calloc(count, sizeof *calls);
    Call *call = &calls[number];
    call->message.data = malloc(file.size);
    for (size_t at = PREFACE, size; at + FRAME_HEAD <= file.size && !call->later.data; at += FRAME_HEAD + size) {
        size = number_at(file.data + at, 3);
        Bytes payload = {file.data + at + FRAME_HEAD, size};
        if (file.data[at + 3] == HEADERS) {
            if (size > BLOCK) die("HEADERS too large");
            if (!call->first.data) call->opening = (Bytes){file.data, at};
            *(call->first.data ? &call->later : &call->first) = payload;
        } else if (file.data[at + 3] == DATA) {
            memcpy(call->message.data + call->message.size, payload.data, size);
            call->message.size += size;
        }
    }
    if (!call->later.data || call->opening.size > CONTROL_ROOM) die("not the beginning of a connection");
}

static void opened(Connection *c) {
    Http2 *h = &c->http2;
    const Bytes *opening = &calls[c->number].opening;
    c->sent = c->have = c->missing = 0;
    h->out_size = h->slice_size = h->unacknowledged = 0;
    h->stream = (uint32_t)-1;
    h->window = h->first_window = FIRST_WINDOW;
    h->largest_frame = FIRST_FRAME;
    memcpy(h->control, opening->data, h->control_size = opening->size);
    forget_headers(&h->table);
}

static void begin(Connection *c) {
    Http2 *h = &c->http2;
    h->stream += 2;
    h->head_sent = h->ended = c->head_done = 0;
    h->message_sent = 0;
    h->stream_window = h->first_window;
}

static void add_headers(Http2 *h, const Bytes *block) {
    char *to = h->out + h->out_size;
    put_head(to, block->size, HEADERS, END_HEADERS, h->stream);
    memcpy(to + FRAME_HEAD, block->data, block->size);
    h->out_size += FRAME_HEAD + block->size;
    h->head_sent = 1;
}

/* As much of the message as the server has room for now. */
static void add_data(Http2 *h, const Bytes *message) {
    size_t left = message->size - h->message_sent, size = left < h->largest_frame ? left : h->largest_frame;
    int64_t window = h->window < h->stream_window ? h->window : h->stream_window;
    if ((int64_t)size > window) size = window > 0 ? (size_t)window : 0;
    if (!size) return;
    put_head(h->out + h->out_size, size, DATA, size == left ? END_STREAM : 0, h->stream);
    h->out_size += FRAME_HEAD;
    h->slice = message->data + h->message_sent;
    h->slice_size = size;
    h->message_sent += size;
    h->window -= (int64_t)size;
    h->stream_window -= (int64_t)size;
}

/* Whether there is something to send. */
static int fill(Connection *c) {
    Http2 *h = &c->http2;
    const Call *call = &calls[c->number];
    memcpy(h->out, h->control, h->out_size = h->control_size);
    c->sent = h->control_size = h->slice_size = 0;
    if (c->busy && !h->head_sent) add_headers(h, h->stream == 1 ? &call->first : &call->later);
    if (c->busy) add_data(h, &call->message);
    return h->out_size > 0;
}

static void write_rest(Connection *c) {
    Http2 *h = &c->http2;
    while (c->sent < h->out_size + h->slice_size || fill(c)) {
        size_t in_slice = c->sent < h->out_size ? 0 : c->sent - h->out_size;
        struct iovec parts[2] = {{h->out + c->sent, h->out_size - c->sent},
                                 {(char *)h->slice + in_slice, h->slice_size - in_slice}};
        int first = c->sent >= h->out_size;
        struct msghdr message = {.msg_iov = parts + first, .msg_iovlen = (size_t)(2 - first)};
        ssize_t n = sendmsg(c->fd, &message, MSG_NOSIGNAL);
        if (n > 0) c->sent += (size_t)n;
        else if (errno == EAGAIN || errno == ENOTCONN) return;
        else if (errno == EPIPE || errno == ECONNRESET) {
            if (c->busy) again(c);
            else drop(c);
            return;
        } else die("sendmsg");
    }
}

static void add_control(Http2 *h, unsigned type, unsigned flags, const char *payload, size_t size) {
    if (h->control_size + FRAME_HEAD + size > CONTROL_ROOM) die("too many frames to answer at once");
    put_head(h->control + h->control_size, size, type, flags, 0);
    if (size) memcpy(h->control + h->control_size + FRAME_HEAD, payload, size);
    h->control_size += FRAME_HEAD + size;
}

typedef struct {
    int status;          /* -1 where there is none */
    char message[300];
} Outcome;

static void see(void *with, const char *name, const char *value) {
    Outcome *outcome = with;
    if (strcmp(name, "grpc-status") == 0) outcome->status = atoi(value);
    if (strcmp(name, "grpc-message") == 0) snprintf(outcome->message, sizeof outcome->message, "%s", value);
    if (strcmp(name, ":status") == 0 && strcmp(value, "200") != 0)
        snprintf(outcome->message, sizeof outcome->message, "HTTP status %s", value);
}

static void end(Connection *c, int good, const char *how, int status, const char *message) {
    c->http2.ended = 1;
    c->refused = !good;
    if (c->refused && refuse(c)) fprintf(stderr, "loadgen: %s %d: %s\n", how, status, message);
}

static void read_block(Connection *c, unsigned flags, int ours, const char *payload, size_t size) {
    Outcome outcome = {-1, ""};
    if (!(flags & END_HEADERS) || flags & (PADDED | PRIORITY)) die("HEADERS that are not whole, or have more in them");
    if (!read_headers(&c->http2.table, payload, size, see, &outcome)) die("HEADERS that cannot be read");
    if (!ours) return;
    c->head_done = 1;
    if (flags & END_STREAM) end(c, outcome.status == 0, "grpc-status", outcome.status, outcome.message);
}

static void read_settings(Http2 *h, const char *payload, size_t size) {
    for (size_t at = 0; at + 6 <= size; at += 6) {
        uint32_t name = number_at(payload + at, 2), value = number_at(payload + at + 2, 4);
        if (name == TABLE_SIZE_SETTING && value < TABLE_SIZE) die("a table of headers smaller than what FILES were made for");
        if (name == FRAME_SETTING) h->largest_frame = value;
        if (name == FIRST_WINDOW_SETTING) {
            h->stream_window += (int64_t)value - h->first_window;
            h->first_window = value;
        }
    }
    add_control(h, SETTINGS, ACK, NULL, 0);
}

static void read_frame(Connection *c, unsigned type, unsigned flags, uint32_t stream, const char *payload, size_t size) {
    Http2 *h = &c->http2;
    int ours = c->busy && !h->ended && stream == h->stream;
    if (type == HEADERS) read_block(c, flags, ours, payload, size);
    else if (type == SETTINGS && !(flags & ACK)) read_settings(h, payload, size);
    else if (type == PING && !(flags & ACK)) add_control(h, PING, ACK, payload, size);
    else if (type == WINDOW_UPDATE && stream == 0) h->window += number_at(payload, 4);
    else if (type == WINDOW_UPDATE && ours) h->stream_window += number_at(payload, 4);
    else if (type == RST_STREAM && ours) end(c, 0, "RST_STREAM", (int)number_at(payload, 4), "");
    else if (type == GOAWAY) c->last = 1;
}

/* Messages are not kept, and their room is given back from time to time. */
static void read_data(Connection *c, unsigned flags, size_t size) {
    Http2 *h = &c->http2;
    char given[4];
    if (flags & END_STREAM) die("an answer without a grpc-status");
    c->missing = size;
    h->unacknowledged += size;
    if (h->unacknowledged < GIVEN_BACK) return;
    put_number(given, (uint32_t)h->unacknowledged, sizeof given);
    add_control(h, WINDOW_UPDATE, 0, given, sizeof given);
    h->unacknowledged = 0;
}

/* All frames that are there, and what there is of the DATA that is not. */
static void read_frames(Connection *c) {
    size_t at = 0;
    for (;;) {
        size_t skipped = c->missing < c->have - at ? c->missing : c->have - at;
        c->missing -= skipped;
        at += skipped;
        if (c->have - at < FRAME_HEAD) break;
        const char *head = c->head + at;
        size_t size = number_at(head, 3);
        unsigned type = (unsigned char)head[3], flags = (unsigned char)head[4];
        if (type == DATA) {
            at += FRAME_HEAD;
            read_data(c, flags, size);
            continue;
        }
        if (FRAME_HEAD + size > HEAD_ROOM) die("a frame that is too large");
        if (c->have - at < FRAME_HEAD + size) break;
        read_frame(c, type, flags, number_at(head + 5, 4), head + FRAME_HEAD, size);
        at += FRAME_HEAD + size;
    }
    memmove(c->head, c->head + at, c->have - at);
    c->have -= at;
}

static void read_some(Connection *c) {
    if (c->fd < 0) return;  /* closed by what was to be written for the same event */
    for (size_t room = 0, got = 0; got == room; c->have += got, read_frames(c)) {
        room = HEAD_ROOM - c->have;
        ssize_t n = recv(c->fd, c->head + c->have, room, 0);
        if (n < 0 && (errno == EAGAIN || errno == ENOTCONN)) break;
        if (n < 0 && errno != ECONNRESET) die("recv");
        if (n <= 0 && c->busy && c->http2.ended) {
            c->last = 1;
            break;
        }
        if (n <= 0) {
            if (c->busy && c->head_done) die("connection closed within a response");
            if (c->busy) again(c);
            else drop(c);
            return;
        }
        got = (size_t)n;
    }
    if (c->busy && c->http2.ended) finish(c);
    /* What is to be answered must not wait for the next request. */
    if (c->fd >= 0) write_rest(c);
}

const Protocol http2 = {load, opened, begin, write_rest, read_some};

/* What the loop of the load generator (loadgen.c) and the protocols that it speaks (http1.c, http2.c) share. */
#ifndef LOADGEN_H
#define LOADGEN_H

#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>

#include "hpack.h"

enum { HEAD_ROOM = 65536, CONTROL_ROOM = 2048, OUT_ROOM = 4096 };

typedef struct {
    char *data;
    size_t size;
} Bytes;

/* What an HTTP/2 connection is, beside what every connection is. `out` and after it `slice` are what is to be sent
 * next; `control` are frames that go before the next ones of a request. Windows are those for what we send. */
typedef struct {
    char out[OUT_ROOM], control[CONTROL_ROOM];
    size_t out_size, control_size;
    const char *slice;
    size_t slice_size;
    uint32_t stream;         /* of the request that is under way, or was last */
    int head_sent, ended;
    size_t message_sent, unacknowledged;
    int64_t window, stream_window, first_window;
    size_t largest_frame;
    HeaderTable table;
} Http2;

typedef struct {
    int fd;           /* -1 until there is something to send: a server may serve an idle connection and nobody else */
    int busy;         /* a request is under way */
    int head_done;    /* the head of its response has been read */
    int last;         /* the server said it will close the connection */
    int refused;      /* its status is not 200, or 0 in gRPC: counted as an error, and not among the latencies */
    size_t sent, have, missing;
    uint64_t since;   /* when the request was sent (closed loop) or due (open loop), ns */
    size_t number;    /* of the request that is under way, or else of the next one */
    char head[HEAD_ROOM];
    Http2 http2;
} Connection;

/* How requests are sent and answers read. `load` gets the bytes of a FILE and its number. `opened` is called for a new
 * connection, `begin` for a request that is to be sent from its beginning, `write` when something may be sent and
 * `read` when something came. They call `finish` for a whole answer, and `again` or `drop` for a connection that is
 * gone. */
typedef struct {
    void (*load)(Bytes file, size_t number, size_t count);
    void (*opened)(Connection *c);
    void (*begin)(Connection *c);
    void (*write)(Connection *c);
    void (*read)(Connection *c);
} Protocol;

extern const Protocol http1, http2;

void die(const char *what) __attribute__((noreturn));
void finish(Connection *c);
/* Send the request that is under way from its beginning, on a new connection. */
void again(Connection *c);
void drop(Connection *c);
/* Counts an answer that is none. Whether it is the first one, of which something should be said. */
int refuse(Connection *c);

#endif

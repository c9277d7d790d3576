/* A load generator that is cheaper than the servers it measures: one thread, epoll, requests rendered beforehand,
 * responses counted and not kept. It speaks HTTP/1.1, and gRPC where FILES begin as HTTP/2 does.
 *
 *     loadgen PORT CONNECTIONS SECONDS RATE SEED IN_TURN FILE...
 *
 * Each FILE is one complete request (http1.c, http2.c); connection i sends FILE number i modulo their count. With IN_TURN 1
 * its next one is CONNECTIONS files further, so that all files have their turn; with 0 it is the same again. RATE 0 is a
 * closed loop: every connection sends its next request when the answer to the last one is complete. RATE > 0 is an open
 * loop: requests are due at the times of a Poisson process of that many per second, whatever the server does, and a
 * latency counts from when the request was due, so a stall of the server shows in every request it delayed.
 *
 * When SECONDS are over nothing new is sent, and what is under way is waited for. Prints one JSON object. "completed" are
 * answers with status 200 (in gRPC: 0) in time, because to refuse a request is quicker than to answer it. Its "seconds"
 * of a closed loop end with the last answer in time: with batches that take a second, the one that did not make it would
 * else count as if nothing had been done. Not so when the next answer kept us waiting longer than any other.
 */
#include "loadgen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { BUCKETS = 4096, DRAIN_SECONDS = 10 };

static int epoll_fd, port, open_loop;
static const Protocol *protocol;          /* of the first FILE */
static size_t request_count, step;         /* step: how much further a connection's next request is */
static uint64_t deadline, *due;            /* due: requests of the open loop that wait for a connection */
static size_t due_first, due_end, due_room, busy_count;
static uint64_t completed, answered, errors, reconnects, resent, slowest, counts[BUCKETS];
static uint64_t last_in_time, longest_gap, first_late;

void die(const char *what) {
    fprintf(stderr, "loadgen: %s: %s\n", what, errno ? strerror(errno) : "unexpected");
    exit(1);
}

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* 64 buckets per power of two: a latency is known to 1.6 %. */
static unsigned bucket_of(uint64_t v) {
    if (v < 128) return (unsigned)v;
    unsigned shift = 63u - (unsigned)__builtin_clzll(v) - 6u;
    return (shift << 6) + (unsigned)(v >> shift);
}

static uint64_t bucket_top(unsigned i) {
    if (i < 128) return i;
    unsigned shift = i / 64 - 1;
    return (((uint64_t)(i - shift * 64) + 1) << shift) - 1;
}

static void open_connection(Connection *c) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (c->fd < 0) die("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(c->fd, (struct sockaddr *)&to, sizeof to) < 0 && errno != EINPROGRESS) die("connect");
    struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &e) < 0) die("epoll_ctl");
    protocol->opened(c);
}

void drop(Connection *c) {
    close(c->fd);
    c->fd = -1;
    c->last = 0;
    reconnects++;
}

void again(Connection *c) {
    drop(c);
    resent++;
    open_connection(c);
    protocol->begin(c);
}

int refuse(Connection *c) {
    c->refused = 1;
    return errors++ == 0;
}

static void begin(Connection *c, uint64_t since) {
    c->busy = 1;
    busy_count++;
    c->since = since;
    if (c->fd < 0) open_connection(c);
    protocol->begin(c);
    protocol->write(c);
}

/* What to do on a connection that has nothing under way. */
static void go_on(Connection *c, uint64_t now) {
    if (c->last) drop(c);
    if (open_loop) {
        if (due_first < due_end) begin(c, due[due_first++]);
    } else if (now < deadline) begin(c, now);
}

void finish(Connection *c) {
    uint64_t now = now_ns(), taken = now - c->since;
    c->busy = 0;
    c->number = (c->number + step) % request_count;
    busy_count--;
    answered++;
    if (now <= deadline) {
        if (!c->refused) completed++;
        if (now - last_in_time > longest_gap) longest_gap = now - last_in_time;
        last_in_time = now;
    } else if (!first_late) first_late = now;
    if (!c->refused) {
        counts[bucket_of(taken)]++;
        if (taken > slowest) slowest = taken;
    }
    go_on(c, now);
}

static Bytes read_file(const char *path) {
    FILE *file = fopen(path, "rb");
    struct stat st;
    if (!file || fstat(fileno(file), &st) < 0) die(path);
    Bytes r = {malloc((size_t)st.st_size), (size_t)st.st_size};
    if (fread(r.data, 1, r.size, file) != r.size) die(path);
    fclose(file);
    return r;
}

static void push_due(uint64_t when) {
    if (due_end == due_room) due = realloc(due, (due_room = due_room ? 2 * due_room : 1024) * sizeof *due);
    due[due_end++] = when;
}

static void set_timer(int timer, uint64_t when) {
    struct itimerspec t = {.it_value = {(time_t)(when / 1000000000u), (long)(when % 1000000000u)}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &t, NULL);
}

static void print_result(uint64_t start, uint64_t stop, size_t waiting) {
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    double cpu = (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) + (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
    printf("{\"completed\":%lu,\"answered\":%lu,\"seconds\":%.6f,\"errors\":%lu,\"reconnects\":%lu,\"resent\":%lu,\"unanswered\":%zu,"
           "\"cpu_seconds\":%.6f,\"max_ns\":%lu,\"histogram\":[",
           completed, answered, (double)(stop - start) * 1e-9, errors, reconnects, resent,
           busy_count + waiting, cpu, slowest);
    for (unsigned i = 0, n = 0; i < BUCKETS; i++)
        if (counts[i]) printf("%s[%lu,%lu]", n++ ? "," : "", bucket_top(i), counts[i]);
    puts("]}");
}

int main(int argc, char **argv) {
    if (argc < 8) return fputs("usage: loadgen PORT CONNECTIONS SECONDS RATE SEED IN_TURN FILE...\n", stderr), 2;
    port = atoi(argv[1]);
    size_t count = (size_t)atoi(argv[2]);
    request_count = (size_t)argc - 7;
    step = atoi(argv[6]) ? count : 0;
    double seconds = atof(argv[3]), rate = atof(argv[4]);
    open_loop = rate > 0;
    srand48(atol(argv[5]));
    prctl(PR_SET_TIMERSLACK, 1);
    for (size_t i = 0; i < request_count; i++) {
        Bytes file = read_file(argv[7 + i]);
        if (i == 0) protocol = file.size > 4 && memcmp(file.data, "PRI ", 4) == 0 ? &http2 : &http1;
        protocol->load(file, i, request_count);
    }
    epoll_fd = epoll_create1(0);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event e = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL}, events[256];
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, timer, &e) < 0) die("epoll_ctl");
    Connection *all = calloc(count, sizeof *all);
    for (size_t i = 0; i < count; i++) {
        all[i].number = i % request_count;
        all[i].fd = -1;
    }
    uint64_t start = now_ns(), now = start;
    last_in_time = start;
    deadline = start + (uint64_t)(seconds * 1e9);
    double next = (double)start + (open_loop ? -log(1 - drand48()) / rate * 1e9 : 0);
    if (!open_loop)
        for (size_t i = 0; i < count; i++) begin(&all[i], now);
    set_timer(timer, deadline);
    /* Also what was due right before the deadline is sent, when we wake up only after it. */
    while (now < deadline || busy_count || due_first < due_end || (open_loop && next < (double)deadline)) {
        if (now > deadline + DRAIN_SECONDS * 1000000000ull) break;
        if (open_loop) {
            for (; next <= (double)now && next < (double)deadline; next += -log(1 - drand48()) / rate * 1e9)
                push_due((uint64_t)next);
            for (size_t i = 0; i < count && due_first < due_end; i++)
                if (!all[i].busy) go_on(&all[i], now);
            if (now < deadline) set_timer(timer, next < (double)deadline ? (uint64_t)next : deadline);
        }
        int n = epoll_wait(epoll_fd, events, 256, 1000);
        if (n < 0 && errno != EINTR) die("epoll_wait");
        for (int i = 0; i < n; i++) {
            Connection *c = events[i].data.ptr;
            if (!c) continue;
            if (events[i].events & EPOLLOUT) protocol->write(c);
            if (events[i].events & (EPOLLIN | EPOLLERR | EPOLLHUP)) protocol->read(c);
        }
        now = now_ns();
    }
    int steady = !open_loop && first_late && first_late - last_in_time <= 2 * longest_gap;
    print_result(start, steady ? last_in_time : now < deadline ? now : deadline, due_end - due_first);
    return 0;
}

/* TCP load: every client is a slot that runs one exchange after the other.
 *
 * An exchange of the closing modes is connect, send, read the reply, read the
 * end of the stream, close; its latency counts from connect to that end. An
 * exchange of the persistent modes is send and read the reply; connections
 * are made, and have answered once, before the measured phase begins.
 *
 * Ports: whoever closes first keeps the pair of addresses for a minute
 * (TIME_WAIT), so 28,000 local ports last two seconds, and a table of those
 * pairs that fills up makes later connections cheaper than earlier ones. So
 * the client, once it has seen the end of the stream, closes with a reset
 * (SO_LINGER 0): nothing stays behind on either side, all connections cost
 * the same, and the client saves a segment. */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, SCAN_INTERVAL_MS = 100 };

struct slot {
    int fd;               /* -1: no connection */
    bool busy;            /* an exchange is going on */
    bool replied;         /* the whole reply is here; the end is awaited */
    bool watches_write;
    size_t sent;
    uint64_t begin_ns;
    struct reply reply;
};

struct load {
    const struct options *options;
    struct report *report;
    struct slot *slots;
    int epoll_fd;
    int busy;             /* slots with an exchange */
    bool closes;          /* a connection per exchange */
    bool once;            /* one exchange per slot, then rest */
    char buffer[256 * 1024];
};

static void close_slot(struct slot *slot)
{
    struct linger reset = {.l_onoff = 1, .l_linger = 0};
    if (slot->fd < 0)
        return;
    if (slot->replied)
        setsockopt(slot->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(slot->fd);
    slot->fd = -1;
}

static int open_connection(struct load *load)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -1;
    int one = 1;
    if (!load->closes) /* a single small request is sent at once anyway */
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct sockaddr_in server = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)load->options->port)};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (connect(fd, (struct sockaddr *)&server, sizeof server) == 0 || errno == EINPROGRESS)
        return fd;
    int error = errno;
    close(fd);
    errno = error;
    return -1;
}

static void end_exchange(struct load *load, struct slot *slot)
{
    slot->busy = false;
    load->busy--;
}

static void fail(struct load *load, struct slot *slot, enum failure kind)
{
    load->report->failures[kind]++;
    close_slot(slot);
    end_exchange(load, slot);
}

/* Sends what is left of the request; false when the exchange has failed. */
static bool send_request(struct load *load, struct slot *slot)
{
    const struct options *options = load->options;
    while (slot->sent < options->request_size) {
        ssize_t size = send(slot->fd, options->request + slot->sent,
                            options->request_size - slot->sent, MSG_NOSIGNAL);
        if (size < 0 && errno == EAGAIN)
            break;
        if (size < 0) {
            fail(load, slot, failure_of_errno(errno));
            return false;
        }
        slot->sent += (size_t)size;
    }
    return true;
}

/* Registers the slot, or changes what is watched, only where it must. */
static void watch(struct load *load, struct slot *slot, bool is_new)
{
    bool wants_write = slot->sent < load->options->request_size;
    if (!is_new && wants_write == slot->watches_write)
        return;
    /* A closing exchange is read in one go when its end is there (the replies
     * fit a socket buffer): one wake-up and one read instead of two of each. */
    uint32_t wants = load->closes ? EPOLLRDHUP : EPOLLIN | EPOLLRDHUP;
    struct epoll_event event = {.events = wants | (wants_write ? EPOLLOUT : 0),
                                .data.ptr = slot};
    epoll_ctl(load->epoll_fd, is_new ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, slot->fd, &event);
    slot->watches_write = wants_write;
}

static void begin_exchange(struct load *load, struct slot *slot)
{
    bool is_new = slot->fd < 0;
    slot->begin_ns = now_ns();
    slot->busy = true;
    slot->replied = false;
    slot->sent = 0;
    load->busy++;
    reply_begin(&slot->reply);
    if (is_new && (slot->fd = open_connection(load)) < 0) {
        fail(load, slot, failure_of_errno(errno));
        return;
    }
    if (send_request(load, slot))
        watch(load, slot, is_new);
}

static void finish_exchange(struct load *load, struct slot *slot)
{
    uint64_t now = now_ns();
    report_exchange(load->report, slot->begin_ns, now);
    if (load->closes)
        close_slot(slot);
    end_exchange(load, slot);
    bool stops = load->once || now >= load->report->stop_ns
                 || report_failures(load->report) >= FAILURES_TO_STOP;
    if (!stops)
        begin_exchange(load, slot);
}

static void take_data(struct load *load, struct slot *slot, size_t size)
{
    if (!slot->busy || slot->replied) { /* bytes that nobody asked for */
        load->report->failures[FAIL_WRONG_REPLY]++;
        return;
    }
    switch (reply_feed(&slot->reply, load->options, load->buffer, size)) {
    case REPLY_WRONG:
        fail(load, slot, FAIL_WRONG_REPLY);
        break;
    case REPLY_COMPLETE:
        slot->replied = true;
        if (!load->closes)
            finish_exchange(load, slot);
        break;
    case REPLY_PARTIAL:
        break;
    }
}

static void take_end(struct load *load, struct slot *slot)
{
    if (load->closes && slot->replied)
        finish_exchange(load, slot);
    else if (slot->busy)
        fail(load, slot, FAIL_EARLY_CLOSE);
    else { /* a persistent connection closed while at rest */
        load->report->failures[FAIL_EARLY_CLOSE]++;
        close_slot(slot);
    }
}

static void handle_event(struct load *load, struct slot *slot, uint32_t events)
{
    if (slot->fd < 0)
        return;
    if (events & EPOLLOUT) {
        if (!send_request(load, slot))
            return;
        watch(load, slot, false);
    }
    if (!(events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)))
        return;
    ssize_t size = recv(slot->fd, load->buffer, sizeof load->buffer, 0);
    if (size > 0)
        take_data(load, slot, (size_t)size);
    else if (size < 0 && errno != EAGAIN && slot->busy)
        fail(load, slot, failure_of_errno(errno));
    /* The peer has closed and this was all (more would have filled the buffer). */
    bool at_end = size == 0 || (events & EPOLLRDHUP && size < (ssize_t)sizeof load->buffer);
    if (at_end && slot->fd >= 0)
        take_end(load, slot);
}

static void fail_overdue(struct load *load)
{
    uint64_t timeout_ns = (uint64_t)(load->options->timeout_s * 1e9), now = now_ns();
    for (int i = 0; i < load->options->clients; i++) {
        struct slot *slot = &load->slots[i];
        if (slot->busy && now - slot->begin_ns > timeout_ns)
            fail(load, slot, FAIL_TIMEOUT);
    }
}

/* Begins an exchange in every slot and goes on until all slots rest. */
static void run_phase(struct load *load)
{
    struct epoll_event events[EVENTS];
    uint64_t scanned_ns = now_ns();
    for (int i = 0; i < load->options->clients; i++)
        begin_exchange(load, &load->slots[i]);
    while (load->busy > 0) {
        int count = epoll_wait(load->epoll_fd, events, EVENTS, SCAN_INTERVAL_MS);
        for (int i = 0; i < count; i++)
            handle_event(load, events[i].data.ptr, events[i].events);
        if (now_ns() - scanned_ns > SCAN_INTERVAL_MS * 1000000ull) {
            fail_overdue(load);
            scanned_ns = now_ns();
        }
    }
}

void run_tcp(const struct options *options, struct report *report, void (*ready)(void))
{
    static struct load load;
    load.options = options;
    load.report = report;
    load.closes = options->mode == MODE_CRC || options->mode == MODE_BURST
                  || options->mode == MODE_HTTP_CLOSE;
    load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    load.slots = calloc((size_t)options->clients, sizeof *load.slots);
    if (load.epoll_fd < 0 || !load.slots) {
        perror("load");
        exit(2);
    }
    for (int i = 0; i < options->clients; i++)
        load.slots[i].fd = -1;

    report_reset(report, now_ns(), UINT64_MAX);
    if (!load.closes) {
        load.once = true;
        run_phase(&load);
    }
    if (report_failures(report)) { /* the connections could not be made */
        report->end_ns = report->stop_ns = now_ns();
        return;
    }
    ready();
    uint64_t start_ns = now_ns();
    load.once = options->mode == MODE_BURST;
    report_reset(report, start_ns, start_ns + (uint64_t)(options->seconds * 1e9));
    run_phase(&load);
    report->end_ns = now_ns();
}

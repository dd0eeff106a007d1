/* Datagrams: `clients` of them are in flight at any time on one socket.
 *
 * Each begins with its slot and the slot's sequence number, so an answer is
 * matched, and one that comes twice is seen ("late"). Where the protocol has
 * only two bytes for a number, at `id_offset`, these are the slot and the low
 * byte of the sequence. A datagram without an answer for RESEND_NS is sent
 * again and counted; loss is a fact of UDP, not an error. Only after the
 * exchange's time limit does it become one. */
#define _GNU_SOURCE
#include "load.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define RESEND_NS 200000000ull /* a hundred times what a loaded server needs */
#define SCAN_NS 50000000ull
enum { POLL_MS = 20, DATAGRAM_LIMIT = 65536, RECEIVED_PER_WAKE = 64 };

struct label {
    uint32_t slot, sequence;
};

struct flight {
    uint32_t sequence;
    bool busy;
    uint64_t begin_ns, sent_ns;
};

struct udp_load {
    const struct options *options;
    struct report *report;
    struct flight *flights;
    int fd, busy;
    char buffer[DATAGRAM_LIMIT];
};

/* Where the label is: [begin, begin + size). */
static size_t label_begin(const struct options *options)
{
    return options->id_offset < 0 ? 0 : (size_t)options->id_offset;
}

static size_t label_size(const struct options *options)
{
    return options->id_offset < 0 ? sizeof(struct label) : 2;
}

static void write_label(const struct options *options, struct label label)
{
    char *place = options->request + label_begin(options);
    if (options->id_offset < 0) {
        memcpy(place, &label, sizeof label);
    } else {
        place[0] = (char)label.sequence;
        place[1] = (char)label.slot;
    }
}

static struct label read_label(const struct options *options, const char *datagram)
{
    struct label label;
    const char *place = datagram + label_begin(options);
    if (options->id_offset < 0)
        memcpy(&label, place, sizeof label);
    else
        label = (struct label){(uint8_t)place[1], (uint8_t)place[0]};
    return label;
}

static bool is_answer_to(const struct options *options, uint32_t sequence, struct label label)
{
    return label.sequence == (options->id_offset < 0 ? sequence : (sequence & 0xff));
}

static void send_datagram(struct udp_load *load, uint32_t slot)
{
    struct flight *flight = &load->flights[slot];
    write_label(load->options, (struct label){slot, flight->sequence});
    flight->sent_ns = now_ns();
    ssize_t size = send(load->fd, load->options->request, load->options->request_size, 0);
    if (size < 0 && errno != EAGAIN && errno != ENOBUFS) /* those two: sent again later */
        load->report->failures[failure_of_errno(errno)]++;
}

static void begin_flight(struct udp_load *load, uint32_t slot)
{
    struct flight *flight = &load->flights[slot];
    flight->busy = true;
    flight->sequence++;
    flight->begin_ns = now_ns();
    load->busy++;
    send_datagram(load, slot);
}

/* All of an answer is known but the label. */
static bool is_wrong(const struct udp_load *load, size_t size)
{
    const struct options *options = load->options;
    size_t before = label_begin(options), after = before + label_size(options);
    return size != options->reply_size || memcmp(load->buffer, options->reply, before) != 0
           || memcmp(load->buffer + after, options->reply + after, size - after) != 0;
}

static void take_answer(struct udp_load *load, size_t size)
{
    struct label label = {UINT32_MAX, 0};
    if (!is_wrong(load, size))
        label = read_label(load->options, load->buffer);
    if (label.slot >= (uint32_t)load->options->clients) {
        load->report->failures[FAIL_WRONG_REPLY]++;
        return;
    }
    struct flight *flight = &load->flights[label.slot];
    if (!flight->busy || !is_answer_to(load->options, flight->sequence, label)) {
        load->report->late++;
        return;
    }
    uint64_t now = now_ns();
    report_exchange(load->report, flight->begin_ns, now);
    flight->busy = false;
    load->busy--;
    if (now < load->report->stop_ns && report_failures(load->report) < FAILURES_TO_STOP)
        begin_flight(load, label.slot);
}

static void resend_lost(struct udp_load *load)
{
    uint64_t timeout_ns = (uint64_t)(load->options->timeout_s * 1e9), now = now_ns();
    for (int slot = 0; slot < load->options->clients; slot++) {
        struct flight *flight = &load->flights[slot];
        if (!flight->busy || now - flight->sent_ns < RESEND_NS)
            continue;
        if (now - flight->begin_ns > timeout_ns) {
            load->report->failures[FAIL_TIMEOUT]++;
            flight->busy = false;
            load->busy--;
        } else {
            load->report->resent++;
            send_datagram(load, (uint32_t)slot);
        }
    }
}

static void receive_answers(struct udp_load *load)
{
    for (int i = 0; i < RECEIVED_PER_WAKE; i++) {
        ssize_t size = recv(load->fd, load->buffer, sizeof load->buffer, MSG_DONTWAIT);
        if (size >= 0) {
            take_answer(load, (size_t)size);
            continue;
        }
        if (errno != EAGAIN)
            load->report->failures[failure_of_errno(errno)]++;
        return;
    }
}

static int open_socket(const struct options *options)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in server = {.sin_family = AF_INET,
                                 .sin_port = htons((uint16_t)options->port)};
    server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (fd < 0 || connect(fd, (struct sockaddr *)&server, sizeof server) < 0) {
        perror("load");
        exit(2);
    }
    return fd;
}

void run_udp(const struct options *options, struct report *report, void (*ready)(void))
{
    static struct udp_load load;
    load.options = options;
    load.report = report;
    load.fd = open_socket(options);
    load.flights = calloc((size_t)options->clients, sizeof *load.flights);
    if (!load.flights)
        exit(2);
    ready();
    uint64_t start_ns = now_ns(), scanned_ns = start_ns;
    report_reset(report, start_ns, start_ns + (uint64_t)(options->seconds * 1e9));
    for (int slot = 0; slot < options->clients; slot++)
        begin_flight(&load, (uint32_t)slot);
    while (load.busy > 0 && report_failures(report) < FAILURES_TO_STOP) {
        struct pollfd readable = {.fd = load.fd, .events = POLLIN};
        if (poll(&readable, 1, POLL_MS) > 0)
            receive_answers(&load);
        if (now_ns() - scanned_ns > SCAN_NS) {
            resend_lost(&load);
            scanned_ns = now_ns();
        }
    }
    report->end_ns = now_ns();
}

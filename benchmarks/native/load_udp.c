/* Datagrams: `clients` of them are in flight at any time on one socket.
 *
 * Each begins with its slot and the slot's sequence number, so an answer is
 * matched, and one that comes twice is seen ("late"). A datagram without an
 * answer for RESEND_NS is sent again and counted; loss is a fact of UDP, not an
 * error. Only after the exchange's time limit does it become one. */
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

static void send_datagram(struct udp_load *load, uint32_t slot)
{
    struct flight *flight = &load->flights[slot];
    struct label label = {slot, flight->sequence};
    memcpy(load->options->request, &label, sizeof label);
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

static bool is_wrong(const struct udp_load *load, struct label label, size_t size)
{
    size_t filler = sizeof label;
    return size != load->options->request_size || label.slot >= (uint32_t)load->options->clients
           || memcmp(load->buffer + filler, load->options->request + filler, size - filler) != 0;
}

static void take_answer(struct udp_load *load, size_t size)
{
    struct label label = {UINT32_MAX, 0};
    if (size >= sizeof label)
        memcpy(&label, load->buffer, sizeof label);
    if (is_wrong(load, label, size)) {
        load->report->failures[FAIL_WRONG_REPLY]++;
        return;
    }
    struct flight *flight = &load->flights[label.slot];
    if (!flight->busy || flight->sequence != label.sequence) {
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

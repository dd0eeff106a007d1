/* The load generator's shared types. One thread, epoll, loopback only.
 *
 *   load.c         options, the hand-shake with the runner, the JSON line
 *   load_tcp.c     connect-reply-close, persistent connections, bursts
 *   load_reply.c   checks of what a server answered (echo, HTTP)
 *   load_udp.c     datagrams in flight
 *   load_report.c  latencies and counts
 */
#ifndef LOAD_H
#define LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum mode { MODE_CRC, MODE_PERSIST, MODE_UDP, MODE_HTTP_CLOSE, MODE_HTTP_KEEP, MODE_BURST };

struct options {
    enum mode mode;
    int port;
    int clients;          /* concurrent connections, or datagrams in flight */
    double seconds;       /* length of the measured phase */
    double timeout_s;     /* an exchange that takes longer is an error */
    size_t size;          /* bytes of an echo request, the newline included */
    long body_length;     /* bytes of every HTTP reply's body */
    const char *request_path; /* file with the raw request; NULL: one is made up */
    const char *reply_path;   /* file with what an answer must be; NULL: an echo */
    int id_offset;        /* of a number in datagrams that tells them apart; -1: a label */
    bool wait;            /* say "ready" and wait for a line before measuring */
    char *request;        /* the bytes that every exchange sends */
    size_t request_size;
    const char *reply;    /* the bytes of every answer, but for HTTP */
    size_t reply_size;
};

/* What can go wrong with one exchange. */
enum failure { FAIL_REFUSED, FAIL_RESET, FAIL_TIMEOUT, FAIL_EARLY_CLOSE, FAIL_WRONG_REPLY,
               FAIL_OTHER, FAIL_KINDS };

/* Latencies in log-linear buckets: 64 per power of two, so within 1.6 %. */
enum { BUCKETS_PER_OCTAVE = 64, BUCKETS = 64 * 60 };

struct report {
    uint64_t buckets[BUCKETS];
    uint64_t completed;   /* all exchanges, those that end after the time too */
    uint64_t in_window;   /* those completed within the measured time */
    uint64_t max_ns;
    uint64_t resent, late; /* datagrams sent again; answers that came twice */
    uint64_t failures[FAIL_KINDS];
    uint64_t start_ns, stop_ns, end_ns;
    double start_cpu_s;   /* our own CPU time when the phase began */
};

uint64_t now_ns(void);
void report_reset(struct report *report, uint64_t start_ns, uint64_t stop_ns);
void report_exchange(struct report *report, uint64_t begin_ns, uint64_t end_ns);
uint64_t report_failures(const struct report *report);
void report_print(const struct report *report, const struct options *options);
enum failure failure_of_errno(int error);

/* A run with errors yields no figure, so there is no reason to go on for long. */
enum { FAILURES_TO_STOP = 100 };

/* The progress of one reply. */
enum { HEAD_LIMIT = 4096 };
struct reply {
    size_t received;
    size_t expected;      /* whole reply, once known; 0 before */
    size_t head_size;
    char head[HEAD_LIMIT];
};
enum reply_state { REPLY_PARTIAL, REPLY_COMPLETE, REPLY_WRONG };

void reply_begin(struct reply *reply);
enum reply_state reply_feed(struct reply *reply, const struct options *options,
                            const char *data, size_t size);

/* Each runs set-up, calls `ready`, runs the measured phase and fills `report`. */
void run_tcp(const struct options *options, struct report *report, void (*ready)(void));
void run_udp(const struct options *options, struct report *report, void (*ready)(void));

#endif

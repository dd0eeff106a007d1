/* Latencies and counts of one run, printed as one JSON line. */
#define _GNU_SOURCE
#include "load.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static const char *const FAILURE_NAMES[FAIL_KINDS] = {
    "refused", "reset", "timeout", "early_close", "wrong_reply", "other",
};

uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double own_cpu_s(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
           + (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

void report_reset(struct report *report, uint64_t start_ns, uint64_t stop_ns)
{
    memset(report, 0, sizeof *report);
    report->start_ns = start_ns;
    report->stop_ns = stop_ns;
    report->start_cpu_s = own_cpu_s();
}

static size_t bucket_of(uint64_t value_ns)
{
    if (value_ns < 2 * BUCKETS_PER_OCTAVE)
        return (size_t)value_ns;
    int shift = 63 - __builtin_clzll(value_ns) - 6; /* 2^6 buckets per octave */
    size_t bucket = (size_t)shift * BUCKETS_PER_OCTAVE + (size_t)(value_ns >> shift);
    return bucket < BUCKETS ? bucket : BUCKETS - 1;
}

static double bucket_middle_ns(size_t bucket)
{
    if (bucket < 2 * BUCKETS_PER_OCTAVE)
        return (double)bucket;
    int shift = (int)(bucket / BUCKETS_PER_OCTAVE) - 1;
    uint64_t low = (uint64_t)(bucket % BUCKETS_PER_OCTAVE + BUCKETS_PER_OCTAVE) << shift;
    return (double)low + (double)((uint64_t)1 << shift) / 2;
}

void report_exchange(struct report *report, uint64_t begin_ns, uint64_t end_ns)
{
    uint64_t latency_ns = end_ns - begin_ns;
    report->buckets[bucket_of(latency_ns)]++;
    report->completed++;
    if (end_ns <= report->stop_ns)
        report->in_window++;
    if (latency_ns > report->max_ns)
        report->max_ns = latency_ns;
}

uint64_t report_failures(const struct report *report)
{
    uint64_t total = 0;
    for (int kind = 0; kind < FAIL_KINDS; kind++)
        total += report->failures[kind];
    return total;
}

enum failure failure_of_errno(int error)
{
    switch (error) {
    case ECONNREFUSED: return FAIL_REFUSED;
    case ECONNRESET:
    case EPIPE:        return FAIL_RESET;
    case ETIMEDOUT:    return FAIL_TIMEOUT;
    default:           return FAIL_OTHER;
    }
}

static double percentile_us(const struct report *report, double fraction)
{
    double target = fraction * (double)report->completed;
    uint64_t seen = 0;
    for (size_t bucket = 0; bucket < BUCKETS; bucket++) {
        seen += report->buckets[bucket];
        if (report->buckets[bucket] && (double)seen >= target)
            return bucket_middle_ns(bucket) / 1e3;
    }
    return 0;
}

void report_print(const struct report *report, const struct options *options)
{
    /* A burst has no fixed length: it lasts until the last answer. */
    bool is_burst = options->mode == MODE_BURST;
    uint64_t window_end_ns = is_burst ? report->end_ns : report->stop_ns;
    double seconds = (double)(window_end_ns - report->start_ns) / 1e9;
    uint64_t counted = is_burst ? report->completed : report->in_window;

    printf("{\"requests\": %llu, \"seconds\": %.6f, \"elapsed_s\": %.6f, \"rate\": %.2f, ",
           (unsigned long long)report->completed, seconds,
           (double)(report->end_ns - report->start_ns) / 1e9, (double)counted / seconds);
    printf("\"p50_us\": %.2f, \"p99_us\": %.2f, \"p999_us\": %.2f, \"max_us\": %.2f, ",
           percentile_us(report, 0.50), percentile_us(report, 0.99),
           percentile_us(report, 0.999), (double)report->max_ns / 1e3);
    printf("\"resent\": %llu, \"late\": %llu, \"client_cpu_s\": %.4f, ",
           (unsigned long long)report->resent, (unsigned long long)report->late,
           own_cpu_s() - report->start_cpu_s);
    printf("\"error_total\": %llu, \"errors\": {", (unsigned long long)report_failures(report));
    const char *separator = "";
    for (int kind = 0; kind < FAIL_KINDS; kind++) {
        if (!report->failures[kind])
            continue;
        printf("%s\"%s\": %llu", separator, FAILURE_NAMES[kind],
               (unsigned long long)report->failures[kind]);
        separator = ", ";
    }
    printf("}}\n");
    fflush(stdout);
}

/* A small load generator for the benchmarks: options in, one JSON line out.
 *
 *   load MODE PORT [--clients N] [--seconds S] [--size BYTES] [--timeout S]
 *        [--request FILE --body-length BYTES] [--wait]
 *        [--request FILE --reply FILE [--id-offset BYTES]]
 *
 * MODE: crc         connect, send a line, read its echo and the end, close
 *       persist     line or payload echo on connections that stay
 *       udp         datagram echo, `clients` in flight
 *       http-close  the raw request of FILE, a connection each
 *       http-keep   the same on connections that stay
 *       burst       all clients connect at once, each once; time until the last
 *
 * With --reply the echo modes speak another protocol: they send the bytes of
 * the one file and must get those of the other. Datagrams need a number of two
 * bytes that comes back at the same place, --id-offset, as in DNS.
 *
 * With --wait it prints "ready" once connections stand, starts to measure when
 * a line comes on stdin, and after its JSON line keeps the connections until
 * stdin ends. So the runner can read the server's clocks on both sides of
 * exactly the measured phase. */
#define _GNU_SOURCE
#include "load.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool waits_for_runner;

static const char *const MODE_NAMES[] = {
    [MODE_CRC] = "crc",
    [MODE_PERSIST] = "persist",
    [MODE_UDP] = "udp",
    [MODE_HTTP_CLOSE] = "http-close",
    [MODE_HTTP_KEEP] = "http-keep",
    [MODE_BURST] = "burst",
};

static void stop_with(const char *message)
{
    fprintf(stderr, "load: %s\n", message);
    exit(2);
}

static enum mode mode_of(const char *name)
{
    for (size_t mode = 0; mode < sizeof MODE_NAMES / sizeof *MODE_NAMES; mode++)
        if (strcmp(name, MODE_NAMES[mode]) == 0)
            return (enum mode)mode;
    stop_with("unknown mode");
    return MODE_CRC;
}

static void ready(void)
{
    if (!waits_for_runner)
        return;
    puts("ready");
    fflush(stdout);
    int byte;
    while ((byte = getchar()) != '\n')
        if (byte == EOF)
            exit(0); /* the runner is gone */
}

static char *read_file(const char *path, size_t *size)
{
    enum { FILE_LIMIT = 1 << 20 };
    FILE *file = path ? fopen(path, "rb") : NULL;
    char *content = malloc(FILE_LIMIT);
    if (!file || !content)
        stop_with("HTTP modes need --request FILE, other requests --reply FILE");
    *size = fread(content, 1, FILE_LIMIT, file);
    fclose(file);
    return content;
}

/* "abc...xyzabc...\n": every byte has a place, so a shifted echo is noticed. */
static void make_request(struct options *options)
{
    options->request = malloc(options->size);
    if (!options->request)
        stop_with("no memory");
    for (size_t i = 0; i < options->size; i++)
        options->request[i] = (char)('a' + i % 26);
    options->request[options->size - 1] = '\n';
    options->request_size = options->size;
}

static void parse_options(struct options *options, int argc, char **argv)
{
    static const struct option names[] = {
        {"clients", required_argument, NULL, 'c'},  {"seconds", required_argument, NULL, 's'},
        {"size", required_argument, NULL, 'z'},     {"timeout", required_argument, NULL, 't'},
        {"request", required_argument, NULL, 'r'},  {"body-length", required_argument, NULL, 'b'},
        {"reply", required_argument, NULL, 'p'},    {"id-offset", required_argument, NULL, 'i'},
        {"wait", no_argument, NULL, 'w'},           {NULL, 0, NULL, 0},
    };
    int name;
    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (name) {
        case 'c': options->clients = atoi(optarg); break;
        case 's': options->seconds = atof(optarg); break;
        case 'z': options->size = (size_t)atol(optarg); break;
        case 't': options->timeout_s = atof(optarg); break;
        case 'r': options->request_path = optarg; break;
        case 'b': options->body_length = atol(optarg); break;
        case 'p': options->reply_path = optarg; break;
        case 'i': options->id_offset = atoi(optarg); break;
        case 'w': options->wait = true; break;
        default:  exit(2);
        }
    }
    if (argc - optind != 2)
        stop_with("usage: load MODE PORT [options]");
    options->mode = mode_of(argv[optind]);
    options->port = atoi(argv[optind + 1]);
    if (options->clients < 1 || options->size < 16 || options->seconds <= 0)
        stop_with("need --clients >= 1, --size >= 16, --seconds > 0");
    if (options->mode == MODE_UDP && options->size > 65507)
        stop_with("a datagram holds 65507 bytes at most");
    if (options->id_offset >= 0 && options->clients > 256)
        stop_with("a number of two bytes tells 256 clients apart");
}

static void prepare_exchange(struct options *options)
{
    if (options->request_path || options->body_length)
        options->request = read_file(options->request_path, &options->request_size);
    else
        make_request(options);
    options->reply = options->request;
    options->reply_size = options->request_size;
    if (options->reply_path)
        options->reply = read_file(options->reply_path, &options->reply_size);
    if (options->id_offset >= 0
        && options->id_offset + 2 > (int)(options->request_size < options->reply_size
                                              ? options->request_size : options->reply_size))
        stop_with("--id-offset lies outside");
}

int main(int argc, char **argv)
{
    static struct report report;
    struct options options = {.clients = 16, .seconds = 1, .timeout_s = 10, .size = 32,
                              .id_offset = -1};
    signal(SIGPIPE, SIG_IGN);
    parse_options(&options, argc, argv);
    waits_for_runner = options.wait;
    prepare_exchange(&options);
    (options.mode == MODE_UDP ? run_udp : run_tcp)(&options, &report, ready);
    report_print(&report, &options);
    while (options.wait && getchar() != EOF) {
    }
    return report_failures(&report) ? 1 : 0;
}

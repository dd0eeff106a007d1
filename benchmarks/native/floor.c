/* The floor: the least a server on one thread can cost, in C with epoll.
 *
 *   floor crc|echo|udp     (port announced on stdout; "stats" and end of stdin
 *                           as for the Python servers, see servers/control.py)
 *
 * It does what the Python servers under test do and nothing else: no request
 * objects, no time limits, no checks. Nothing in Python can be cheaper, so the
 * distance to it says how much is left to gain. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { EVENTS = 256, BACKLOG = 1024, ACCEPTS_PER_WAKE = 64, BUFFER_SIZE = 256 * 1024 };

static char buffer[BUFFER_SIZE];
static int epoll_fd;
static bool closes; /* crc: one reply a connection */

static void stop_with(const char *what)
{
    perror(what);
    exit(2);
}

static int listen_on_loopback(int type)
{
    int fd = socket(AF_INET, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0)
        stop_with("floor: bind");
    if (type == SOCK_STREAM && listen(fd, BACKLOG) < 0)
        stop_with("floor: listen");
    getsockname(fd, (struct sockaddr *)&address, &size);
    printf("{\"port\": %d, \"pid\": %d}\n", ntohs(address.sin_port), getpid());
    fflush(stdout);
    return fd;
}

static long peak_rss_kib(void)
{
    char line[128];
    long peak = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        if (sscanf(line, "VmHWM: %ld", &peak) == 1)
            break;
    if (status)
        fclose(status);
    return peak;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* One line of stdin: the runner wants our clocks, or has gone. */
static void answer_runner(void)
{
    char line[64];
    if (read(STDIN_FILENO, line, sizeof line) <= 0)
        exit(0);
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("{\"cpu_s\": %.6f, \"peak_rss_kib\": %ld, \"voluntary_switches\": %ld}\n",
           seconds(usage.ru_utime) + seconds(usage.ru_stime), peak_rss_kib(), usage.ru_nvcsw);
    fflush(stdout);
}

static void watch(int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0)
        stop_with("floor: epoll_ctl");
}

/* Sends all of it; a full send buffer is rare here, so it may simply wait. */
static bool send_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno == EAGAIN) {
            usleep(50);
            continue;
        }
        if (sent < 0)
            return false;
        data += sent;
        size -= (size_t)sent;
    }
    return true;
}

/* False when nothing has come yet. */
static bool serve_connection(int fd)
{
    ssize_t size = recv(fd, buffer, sizeof buffer, 0);
    if (size < 0 && errno == EAGAIN)
        return false;
    if (size <= 0 || !send_all(fd, buffer, (size_t)size) || closes)
        close(fd);
    return true;
}

static void accept_connections(int listener)
{
    int one = 1;
    for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
        int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0)
            return;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        /* The request is often here already: then epoll need not know. */
        if (!closes || !serve_connection(fd))
            watch(fd);
    }
}

static void serve_datagrams(int fd)
{
    struct sockaddr_storage peer;
    for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
        socklen_t peer_size = sizeof peer;
        ssize_t size = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&peer, &peer_size);
        if (size < 0)
            return;
        sendto(fd, buffer, (size_t)size, 0, (struct sockaddr *)&peer, peer_size);
    }
}

int main(int argc, char **argv)
{
    const char *work = argc == 2 ? argv[1] : "";
    bool is_udp = strcmp(work, "udp") == 0;
    closes = strcmp(work, "crc") == 0;
    if (!is_udp && !closes && strcmp(work, "echo") != 0) {
        fprintf(stderr, "usage: floor crc|echo|udp\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listener = listen_on_loopback(is_udp ? SOCK_DGRAM : SOCK_STREAM);
    watch(listener);
    watch(STDIN_FILENO);

    struct epoll_event events[EVENTS];
    for (;;) {
        int count = epoll_wait(epoll_fd, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == STDIN_FILENO)
                answer_runner();
            else if (fd != listener)
                serve_connection(fd);
            else if (is_udp)
                serve_datagrams(listener);
            else
                accept_connections(listener);
        }
    }
}

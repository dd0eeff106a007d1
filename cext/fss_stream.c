#include "fss_stream.h"

#include <errno.h>
#include <sys/socket.h>

#ifndef MSG_NOSIGNAL /* macOS; CPython ignores SIGPIPE from its start anyway */
#define MSG_NOSIGNAL 0
#endif

ssize_t fss_stream_receive(int fd, void *buffer, size_t size_bytes)
{
    ssize_t received = recv(fd, buffer, size_bytes, MSG_DONTWAIT);
    return received < 0 ? -errno : received;
}

ssize_t fss_stream_send(int fd, const void *data, size_t size_bytes)
{
    ssize_t sent = send(fd, data, size_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    return sent < 0 ? -errno : sent;
}

int fss_stream_flags_quiet(void)
{
    return MSG_NOSIGNAL;
}

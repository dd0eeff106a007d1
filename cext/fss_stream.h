/* Receiving and sending on a connected socket without ever waiting.
 *
 * Facts: MSG_DONTWAIT makes one call non-blocking and leaves O_NONBLOCK, which
 * the socket may share with other processes, alone. recv(2) of data that is
 * there, and send(2) into free buffer space, only copy memory. A pending error
 * (SO_ERROR) is reported once: who gets it must not ask again.
 * Choice: the caller waits by other means after -EAGAIN. Cost: one system call
 * in vain, about 0.2 us, when there is nothing to read yet.
 */
#ifndef FSS_STREAM_H
#define FSS_STREAM_H

#include <stddef.h>
#include <sys/types.h>

/* Bytes received, 0 at the end of the stream, or -errno; -EAGAIN: nothing there. */
ssize_t fss_stream_receive(int fd, void *buffer, size_t size_bytes);

/* Bytes sent, perhaps fewer than asked, or -errno; -EAGAIN: no space. No SIGPIPE. */
ssize_t fss_stream_send(int fd, const void *data, size_t size_bytes);

/* The flag of send(2) that keeps SIGPIPE away; 0 where there is none. */
int fss_stream_flags_quiet(void);

#endif

/* Accepting from a listener without ever blocking on it.
 *
 * Kernel facts: O_NONBLOCK lives on the open file description, which other
 * processes and other code may share, and accept4(2) has no flag of its own to
 * say "do not block". Choice: set it before each accept where it is missing,
 * and tell the caller, who clears it again when serving ends. So a process that
 * stops and clears the flag does not make the others block. Cost: one fcntl(2)
 * per accept (about 0.1 us).
 */
#ifndef FSS_ACCEPT_H
#define FSS_ACCEPT_H

#include <sys/socket.h>

/* Makes fd non-blocking. 1 if that changed it, 0 if it was so, or -errno. */
int fss_accept_set_nonblocking(int fd);

/* Makes fd blocking again. 0 or -errno. */
int fss_accept_set_blocking(int fd);

/* Whether fd is a listening socket: 1, 0. */
int fss_accept_is_listening(int fd);

/* Whether somebody waits in the backlog: 1, 0. An accept4(2) in vain costs 15 to 30 times
   as much as this poll(2), since it makes the socket before it looks. */
int fss_accept_is_pending(int listener_fd);

/* Accepts one connection: an owned descriptor (blocking, close-on-exec), or
   -errno (-EAGAIN: nobody is waiting). *changed becomes 1 if the listener had
   to be made non-blocking first; otherwise it is left alone. */
int fss_accept_connection(int listener_fd, struct sockaddr_storage *peer,
                          socklen_t *peer_length, int *changed);

/* Turns Nagle's algorithm off. 0 or -errno. */
int fss_accept_set_nodelay(int fd);

#endif

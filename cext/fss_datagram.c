#define _GNU_SOURCE
#include "fss_datagram.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#ifndef __linux__
struct mmsghdr {
    struct msghdr msg_hdr;
    unsigned int msg_len;
};

static int recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags, void *none)
{
    (void)none;
    unsigned int taken = 0;
    while (taken < count) {
        ssize_t length = recvmsg(fd, &messages[taken].msg_hdr, flags);
        if (length < 0)
            break;
        messages[taken++].msg_len = (unsigned int)length;
    }
    return taken ? (int)taken : -1;
}
#endif

int fss_datagram_resize(struct fss_datagram_batch *batch, size_t slot_size)
{
    if (batch->slot_size == slot_size)
        return 0;
    if (slot_size == 0)
        return -EINVAL; /* realloc(3) would free the buffer */
    char *buffer = realloc(batch->buffer, slot_size * FSS_DATAGRAM_BATCH);
    if (!buffer)
        return -ENOMEM;
    batch->buffer = buffer;
    batch->slot_size = slot_size;
    return 0;
}

int fss_datagram_receive(struct fss_datagram_batch *batch, int fd, int limit)
{
    struct mmsghdr messages[FSS_DATAGRAM_BATCH];
    struct iovec vectors[FSS_DATAGRAM_BATCH];
    int count = limit < FSS_DATAGRAM_BATCH ? limit : FSS_DATAGRAM_BATCH;

    memset(messages, 0, sizeof messages[0] * (size_t)count);
    for (int i = 0; i < count; i++) {
        struct fss_datagram *slot = &batch->slots[i];
        slot->data = batch->buffer + (size_t)i * batch->slot_size;
        memset(&slot->peer, 0, sizeof slot->peer);
        vectors[i] = (struct iovec){.iov_base = slot->data, .iov_len = batch->slot_size};
        messages[i].msg_hdr = (struct msghdr){
            .msg_name = &slot->peer,
            .msg_namelen = sizeof slot->peer,
            .msg_iov = &vectors[i],
            .msg_iovlen = 1,
        };
    }
    int taken = recvmmsg(fd, messages, (unsigned int)count, MSG_DONTWAIT, NULL);
    if (taken < 0)
        return -errno;
    for (int i = 0; i < taken; i++) {
        struct fss_datagram *slot = &batch->slots[i];
        slot->length = messages[i].msg_len;
        slot->truncated = (messages[i].msg_hdr.msg_flags & MSG_TRUNC) != 0;
        slot->peer_length = messages[i].msg_hdr.msg_namelen;
    }
    return taken;
}

void fss_datagram_free(struct fss_datagram_batch *batch)
{
    free(batch->buffer);
    batch->buffer = NULL;
    batch->slot_size = 0;
}

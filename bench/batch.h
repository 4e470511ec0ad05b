/* batch.h - datagrams in batches, and segments of one length in one system call. */
#ifndef BENCH_BATCH_H
#define BENCH_BATCH_H

#include "common.h"
#include "sockets.h"

enum { BATCH = 64, DATAGRAM = 2048, CONTROL = 64 };

/* For sendmmsg and recvmmsg: up to BATCH datagrams, each in its own part of one block. */
typedef struct {
  struct mmsghdr headers[BATCH];
  struct iovec parts[BATCH];
  struct sockaddr_in names[BATCH];
  char control[BATCH][CONTROL];
  u8 *bytes;
  size_t each; /* room of a datagram */
} Batch;

/* `has_names`: each datagram has an address of its own. */
Batch *batch_new(size_t each, int has_names);

/* Receives, waiting for the first only unless `flags` say otherwise; resets what a reception changes. */
int batch_receive(Batch *batch, int fd, int most, int flags);

/* Sends `count` datagrams; gives up at an error. */
void batch_send(Batch *batch, int fd, int count);

static inline u8 *batch_bytes(Batch *batch, int i) { return batch->bytes + (size_t)i * batch->each; }

/* The segment length that the kernel tells of a message that it has put together; `length` if it has not. */
u32 segment_length(struct msghdr *header, u32 length);

/* One message of several segments; gives its length, or -1. `from` may be NULL. */
ssize_t receive_segments(int fd, void *bytes, size_t room, struct sockaddr_in *from, u32 *segment);
void send_segments(int fd, void *bytes, size_t count, struct sockaddr_in *to, size_t segment);
void accept_segments(int fd); /* UDP_GRO */

#endif

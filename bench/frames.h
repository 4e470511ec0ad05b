/* frames.h - messages that share a datagram or a stream, as the programs without a protocol write them. */
#ifndef BENCH_FRAMES_H
#define BENCH_FRAMES_H

#include "common.h"

/* What stands before a message. */
typedef struct {
  u32 length, tag; /* tag 1: a heartbeat */
} Frame;

/* The frames of data among `count` bytes; `used` gets the bytes of whole frames. */
u64 count_frames(const u8 *bytes, size_t count, size_t *used);

/* Writes frame headers of the messages at hand, `count` of them, one after the other. */
void put_frames(u8 *bytes, u64 count);

static inline size_t frame_bytes(void) { return args.size + sizeof(Frame); }

#endif

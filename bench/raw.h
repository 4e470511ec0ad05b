/* raw.h - the modes of raw.c, by what they do. */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include "common.h"

enum { BIG = 1 << 18, PACKED = 1400 }; /* room for reading; bytes of a datagram that messages share */

/* What stands before a message where several share a datagram or a stream. */
typedef struct {
  u32 length, tag; /* tag 1: a heartbeat */
} Frame;

typedef struct {
  const char *mode;
  void (*server)(void), (*client)(void);
} Mode;

/* Each table ends with a mode of NULL. */
extern const Mode udp_echo_modes[], udp_one_way_modes[], tcp_modes[], many_modes[];

/* The frames of data among `count` bytes; `used` gets the bytes of whole frames. */
u64 count_frames(const u8 *bytes, size_t count, size_t *used);

/* Writes frame headers of the messages at hand, `count` of them, one after the other. */
void put_frames(u8 *bytes, u64 count);

static inline size_t frame_bytes(void) { return args.size + sizeof(Frame); }

#endif

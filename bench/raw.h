/* raw.h - the modes of raw.c, by what they do. */
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include "common.h"
#include "frames.h"

enum { BIG = 1 << 18, PACKED = 1400 }; /* room for reading; bytes of a datagram that messages share */

typedef struct {
  const char *mode;
  void (*server)(void), (*client)(void);
} Mode;

/* Each table ends with a mode of NULL. */
extern const Mode udp_echo_modes[], udp_one_way_modes[], tcp_modes[], many_modes[];

#endif

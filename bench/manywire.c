/* manywire.c - what of MsgBox's wire the cheap client needs. */
#include <string.h>

#include "manycli.h"

void put_u32(u8 *at, u32 value) {
  for (int i = 0; i < 4; i++) at[i] = (u8)(value >> (24 - 8 * i));
}

void put_u64(u8 *at, u64 value) {
  put_u32(at, (u32)(value >> 32));
  put_u32(at + 4, (u32)value);
}

u64 get_u64(const u8 *at) {
  u64 value = 0;
  for (int i = 0; i < 8; i++) value = value << 8 | at[i];
  return value;
}

void put_header(u8 *at, u8 flags, u8 kind) {
  memset(at, 0, HEADER_BYTES);
  at[0] = 0xc0 | flags;
  at[1] = kind;
  at[3] = 1; /* num_packets */
}

/* Without heartbeats the client asks for none, as one that is silent when idle; else it gives the server up
   after so long that a third of it, at which the server would have to hurry, is above the interval. */
static u32 lost_after_ms(void) { return args.heartbeat_ms ? (u32)args.heartbeat_ms * 8 + 1000 : 0; }

void put_hello(u8 *at, u64 own_id) {
  memset(at, 0, HELLO_BYTES);
  put_header(at, FLAG_SESSION, KIND_HELLO);
  put_u64(at + 16, own_id);
  put_u32(at + 24, lost_after_ms());
  put_u32(at + 28, 1 << 20); /* the largest message that it accepts */
}

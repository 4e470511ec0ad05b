/* What of the wire the peers written by hand need: headers, handshakes, frames (notes.md 2, 3 and 4). */
#ifndef WIRE_H
#define WIRE_H

#include <stdint.h>
#include <string.h>

enum {
  kind_one_way = 0, kind_request = 1, kind_reply = 2, kind_heartbeat = 3, kind_close = 4, kind_hello = 5,
  kind_accept = 6, kind_cookie = 7, kind_path_challenge = 8, kind_path_response = 9, kind_ack = 11,
  kind_number = 14, kind_reliable = 15,
  flag_session = 0x08, flag_length = 0x04, flag_id = 0x02, flag_options = 0x01,
  header_bytes = 8, head_bytes = 16, hello_bytes = 48, accept_bytes = 32, challenge_bytes = 24,
  largest_datagram = 1200
};

/* Writes a number of 1...8 bytes; gives where the next thing goes. */
static inline uint8_t *wire_put(uint8_t *at, uint64_t value, int bytes) {
  for (int i = bytes - 1; i >= 0; i--) *at++ = (uint8_t)(value >> (8 * i));
  return at;
}

static inline uint64_t wire_get(const uint8_t *at, int bytes) {
  uint64_t value = 0;
  for (int i = 0; i < bytes; i++) value = value << 8 | at[i];
  return value;
}

/* The header of packet `index` of `total`. */
static inline uint8_t *wire_part(uint8_t *at, int flags, int kind, int total, int index, int reply_id) {
  at = wire_put(at, (uint64_t)(0xc000 | flags << 8 | kind), 2);
  at = wire_put(at, (uint64_t)total, 2);
  at = wire_put(at, (uint64_t)index, 2);
  return wire_put(at, (uint64_t)reply_id, 2);
}

/* The header of a packet that is no part of several, without a session. */
static inline uint8_t *wire_header(uint8_t *at, int flags, int kind, int reply_id) {
  return wire_part(at, flags, kind, 1, 0, reply_id);
}

/* The header and the session of a packet with nothing else: 16 bytes. */
static inline uint8_t *wire_head(uint8_t *at, int flags, int kind, uint64_t session) {
  return wire_put(wire_header(at, flag_session | flags, kind, 0), session, 8);
}

/* A hello of 48 bytes: given up after 30 s of silence, messages of up to 1 MiB, no cookie. */
static inline uint8_t *wire_hello(uint8_t *at, uint64_t own) {
  at = wire_put(wire_head(at, 0, kind_hello, 0), own, 8);
  at = wire_put(wire_put(at, 30000, 4), 1 << 20, 4);
  memset(at, 0, 16);
  return at + 16;
}

/* Puts the length of what is behind it in front of a frame that was written from `frame` + 4 to `end`. */
static inline uint8_t *wire_frame(uint8_t *frame, uint8_t *end) {
  wire_put(frame, (uint64_t)(end - frame - 4), 4);
  return end;
}

#endif

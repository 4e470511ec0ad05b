/* manycli.h - the two halves of manycli.c: over UDP and over TCP. */
#ifndef BENCH_MANYCLI_H
#define BENCH_MANYCLI_H

#include "common.h"

enum { MOST = 64 }; /* messages that send_some sends at most, and datagrams of one system call */

typedef struct {
  u64 (*connect)(void);   /* opens all connections and sends a message on each; how many it sent */
  u64 (*send_some)(void); /* sends a few messages on connections drawn at random; how many */
  void (*pump)(int ms);   /* reads, and sends the heartbeats that are due, for so long */
} Client;

const Client *udp_client(void);
const Client *tcp_client(void);

extern u64 heard; /* packets from the server that are no data */

u64 pick_random(u64 count); /* 0..<count */

/* How many heartbeats are due now: a slice of all connections every 10 ms. */
u64 due_heartbeats(void);

/* The bytes of MsgBox, as its notes.md says: headers of 8 bytes, big-endian. */
enum { KIND_ONE_WAY = 0, KIND_HEARTBEAT = 3, KIND_HELLO = 5, KIND_ACCEPT = 6, HELLO_BYTES = 48, ACCEPT_BYTES = 32 };
enum { HEADER_BYTES = 8, SESSION_BYTES = 8, FLAG_SESSION = 0x08 };

void put_header(u8 *at, u8 flags, u8 kind);
void put_u32(u8 *at, u32 value);
void put_u64(u8 *at, u64 value);
u64 get_u64(const u8 *at);
void put_hello(u8 *at, u64 own_id);

#endif

/* What an attack has: whom it goes against, how long, what it has sent and what came back. */
#ifndef ATTACK_H
#define ATTACK_H

#include "forge.h"
#include "server.h"

typedef struct {
  const Process *server;
  Ports ports;
  int64_t end; /* of the time that it has, by now_ns */
  uint64_t random;
  uint64_t sent, sent_bytes, back, back_bytes;
  const char *failure; /* what should have been and was not; NULL: nothing */
} Attack;

typedef struct {
  const char *name;
  void (*run)(Attack *attack);
  int is_answered; /* it speaks as a peer does, and may be answered with more than it sends */
  int keeps_buffers; /* the server keeps those of large messages, up to 32 MiB of them, for others */
} AttackKind;

extern const AttackKind udp_attacks[], tcp_attacks[], replay_attacks[], implicit_attacks[];
extern const int udp_attack_count, tcp_attack_count, replay_attack_count, implicit_attack_count;

static inline int has_time(const Attack *attack) { return now_ns() < attack->end; }

/* An address in 127.0.0.0/8 that is not the one of the service. */
uint32_t any_source(Attack *attack);

/* ---- UDP by hand ---- */

typedef struct {
  int fd; /* connected */
  uint64_t session;
} Peer;

/* A socket of its own at an address of 127.0.0.0/8, 0: any, towards a port. */
Peer peer_open(Attack *attack, uint32_t source, int port);

/* Says hello under an id of its own until it is accepted; without the confirmation. 0 if that takes more than 2 s. */
int peer_join(Attack *attack, Peer *peer);

/* Peer_open, peer_join and a heartbeat; fails the attack if it is not let in. */
Peer peer_enter(Attack *attack);

void peer_send(Attack *attack, const Peer *peer, const void *bytes, size_t count);

/* The next datagram, waiting for at most so long; its size, or 0. */
size_t peer_receive(Attack *attack, const Peer *peer, uint8_t *bytes, size_t room, int ms);

/* Counts and throws away what came. */
void peer_drain(Attack *attack, const Peer *peer);

/* Whether the server answers a challenge within 2 s: whatever ids the peer has spoiled, its session lives. */
int peer_is_served(Attack *attack, const Peer *peer);

/* Closes the session and the socket. */
void peer_leave(Attack *attack, Peer *peer);

#endif

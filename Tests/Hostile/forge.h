/* Sends datagrams from addresses of its choice in 127.0.0.0/8, as fast as the system takes them, and counts what comes
   back to them. */
#ifndef FORGE_H
#define FORGE_H

#include "processes.h"

/* Writes one datagram at `at`; gives its size. */
typedef size_t (*Maker)(uint8_t *at, void *context);

enum { forge_sockets = 16, forge_batch = 64, most_segments = 64, most_noise = 900 };

typedef struct {
  int sockets[forge_sockets];
  int port;
  int segments;       /* datagrams of one size that a source sends together, which the kernel takes as one (UDP_SEGMENT) */
  uint32_t prefix;    /* sources are drawn from prefix...prefix + spread - 1 */
  uint32_t spread;
  uint64_t random;
  int turn;
  uint64_t sent, sent_bytes, back, back_bytes;
  uint64_t answers; /* of what came back, all but accepts and cookies */
} Forger;

/* Sources all over 127.0.0.0/8, datagrams to 127.0.0.1:`port`. */
void forger_open(Forger *forger, int port);
void forger_close(Forger *forger);

/* Sends at most one batch of at most `limit` datagrams; how many. */
uint64_t forge(Forger *forger, Maker maker, void *context, uint64_t limit);

/* Counts what has come back. */
void forger_drain(Forger *forger);

/* Forges for so many milliseconds, or until `limit` datagrams are sent, at most `rate` a second (0: no limit). */
void forge_for(Forger *forger, Maker maker, void *context, int ms, uint64_t limit, uint64_t rate);

/* Makers. The context is the state of a random_of. */
size_t make_hello(uint8_t *at, void *random);
size_t make_noise(uint8_t *at, void *random);   /* any bytes, of any size; half of them begin as packets do */
size_t make_unknown(uint8_t *at, void *random); /* packets of sessions that nobody has */
size_t make_stun(uint8_t *at, void *random);

/* One after the other. */
size_t make_mixed(uint8_t *at, void *random);

/* As make_noise, but so many after each other have one size, as a train of them must. */
typedef struct {
  uint64_t random;
  int length; /* of a train */
  int left;
  size_t count;
} Train;
size_t make_noise_train(uint8_t *at, void *train);

#endif

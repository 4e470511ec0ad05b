/* A client in a process of its own that does at random what clients do, and holds what it sees against the guarantees:
   one outcome of each start, one end of each open, one answer to each get, and all of them before the end. */
#ifndef GUEST_H
#define GUEST_H

#include "server.h"

enum { most_servers = 8 };

typedef struct {
  Ports servers[most_servers];
  int server_count;
  uint64_t seed;
} GuestSettings;

typedef struct {
  uint64_t resident_kib, descriptors;
  uint64_t starts, set_up, refused, closed, lost;
  uint64_t gets, replies, missing;
  uint64_t sent, delivered, undelivered;
} GuestReport;

Process guest_start(const GuestSettings *settings);
GuestReport guest_report(const Process *guest);

/* It disconnects and must hold nothing then: no connection, message, get or descriptor. What it has seen in all. */
GuestReport guest_finish(Process *guest);

#endif

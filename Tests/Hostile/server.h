/* A server in a process of its own: it answers each request with its bytes, holds what clients of service.h send
   against their numbers, and tells how it is. It gives up peers that do not take their answers. */
#ifndef SERVER_H
#define SERVER_H

#include "processes.h"

typedef struct {
  int udp_port, tcp_port, implicit_port; /* 0: any; implicit_port -1: no listener for peers without a session */
  uint32_t heartbeat_ms, lost_ms;
} ServerSettings;

typedef struct {
  int udp_port, tcp_port, implicit_port;
} Ports;

enum { drop_reasons = 64 };

typedef struct {
  uint64_t resident_kib, descriptors;
  uint64_t heap_kib;           /* what is allocated and not freed; resident memory has holes beside it */
  uint64_t ready, ended;       /* connections since it began */
  uint64_t requests, messages; /* and what they brought */
  uint64_t counted;            /* requests with counted_mark */
  uint64_t numbered, disorder; /* messages with a number, and those of a wrong one */
  uint64_t given_up;           /* peers that did not take their answers */
  msg_Statistics statistics;
  uint64_t drops[drop_reasons];
} ServerReport;

/* What begins each message that a server holds against its number: a mark, and the number. */
enum { numbered_mark = 0x4e554d42, numbered_bytes = 8 };

/* The first byte of a request that is never answered, and of one that is counted for itself. */
enum { unanswered_mark = 0xff, counted_mark = 0xfe };

/* Starts one and waits until it listens. */
Process server_start(const ServerSettings *settings, Ports *ports);

ServerReport server_report(const Process *server);

/* Sends a reliable message of some bytes to all; to how many. */
uint64_t server_broadcast(const Process *server, uint64_t bytes);

/* When the connections became ready since it began, in nanoseconds and in their order: `room` of them at most. */
int server_ready_times(const Process *server, int64_t *times, int room);

/* Ends the listeners and all that they have, and waits until nothing is held but what late packets need. */
void server_finish(Process *server);

/* What was dropped between two reports, by reason, to the end of the line. */
void print_drops(FILE *file, const ServerReport *from, const ServerReport *to);

/* In the form of an address. */
const char *address_of(const char *transport, int port);

#endif

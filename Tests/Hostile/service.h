/* Well-behaved clients in a process of their own, whose service is measured: gets and reliable messages on some
   connections, silence on others, and a new client now and then. */
#ifndef SERVICE_H
#define SERVICE_H

#include "processes.h"

typedef struct {
  int udp_port, tcp_port;
  int udp, tcp;            /* busy connections: a get under way at each, a numbered reliable message now and then */
  int idle_udp, idle_tcp;  /* connections that say nothing, at which the server's heartbeats are watched */
  uint32_t heartbeat_ms, lost_ms;
  uint32_t get_gap_ms, reliable_gap_ms;
  uint8_t get_mark;         /* the first byte of each request */
  uint32_t newcomer_gap_ms; /* 0: none; else so often a new client connects and leaves while it is measured, */
  int has_tcp_newcomers;    /* every other one over TCP */
} ServiceSettings;

/* What was seen between service_begin and service_end. */
typedef struct {
  uint64_t gets, missing;             /* replies, and gets without one */
  uint64_t reliable, undelivered;     /* told to be delivered, and not, those that never were told included */
  uint64_t lost;                      /* connections that ended or could not be */
  uint64_t newcomers, turned_away;    /* new clients that came in, and those that did not in 10 s */
  double get_p50, get_p99, get_worst; /* milliseconds */
  double newcomer_p90, newcomer_p99, newcomer_worst;
  double silence_worst;               /* the longest that an idle connection has heard nothing */
} Service;

/* Starts them; one byte is heard from the process when all are connected. */
Process service_launch(const ServiceSettings *settings);

/* Starts them and waits for that. */
Process service_start(const ServiceSettings *settings);

void service_begin(const Process *service);

/* Ends the measurement: waits, 12 s at most, until what is under way has its outcome. */
Service service_end(const Process *service);

/* Measures for so long while nothing else happens. */
Service service_for(const Process *service, int ms);

/* Disconnects all; each must be closed in order. */
void service_finish(Process *service);

#endif

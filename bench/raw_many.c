/* raw_many.c - servers of many connections: the least that can keep a record for each and send heartbeats. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "batch.h"
#include "raw.h"

enum { SLICE_MS = 10 };

/* ---- heartbeats: a slice of all connections every 10 ms ---- */

static u64 next_slice, turn_ns; /* turn_ns: the time, looked at once a turn */

/* Milliseconds until the next slice; 100 without heartbeats. */
static int wait_ms(u64 connections) {
  u64 now = now_ns();
  if (!args.heartbeat_ms || !connections) return 100;
  return next_slice > now ? (int)((next_slice - now) / 1000000) + 1 : 0;
}

static u64 due_now(u64 connections) {
  turn_ns = now_ns();
  if (!args.heartbeat_ms || !connections || turn_ns < next_slice) return 0;
  next_slice += SLICE_MS * 1000000;
  if (next_slice < turn_ns) next_slice = turn_ns + SLICE_MS * 1000000;
  return (connections * SLICE_MS + args.heartbeat_ms - 1) / args.heartbeat_ms;
}

/* ---- UDP: a table of addresses, and a record of 64 bytes for each ---- */

typedef struct {
  u64 key;
  u32 index, is_used;
} Slot;

typedef struct {
  u32 ip;
  u16 port, unused;
  u64 last_seen, last_sent, messages, context[4];
} UDPConnection;

static struct {
  Slot *slots;
  u64 mask;
  UDPConnection *connections;
  u32 count, room;
} table;

static void table_init(void) {
  u64 room = 1024;
  while (room < (u64)args.connections * 2) room *= 2;
  table.slots = must_alloc(room * sizeof *table.slots);
  table.mask = room - 1;
}

static u32 add_connection(const struct sockaddr_in *from) {
  if (table.count == table.room) {
    table.room = table.room ? table.room * 2 : 1024;
    table.connections = realloc(table.connections, table.room * sizeof *table.connections);
    if (!table.connections) die("out of memory");
  }
  table.connections[table.count] = (UDPConnection){.ip = from->sin_addr.s_addr, .port = from->sin_port};
  return table.count++;
}

static UDPConnection *connection_of(const struct sockaddr_in *from) {
  u64 key = (u64)from->sin_addr.s_addr << 16 | from->sin_port;
  u64 at = key * 0x9E3779B97F4A7C15u >> 20 & table.mask;
  while (table.slots[at].is_used && table.slots[at].key != key) at = (at + 1) & table.mask;
  if (!table.slots[at].is_used) table.slots[at] = (Slot){key, add_connection(from), 1};
  return &table.connections[table.slots[at].index];
}

static void send_udp_heartbeats(int fd, Batch *batch) {
  static u32 rotation;
  for (u64 due = due_now(table.count), part; due; due -= part) {
    part = due < BATCH ? due : BATCH;
    for (u64 i = 0; i < part; i++) {
      if (rotation >= table.count) rotation = 0;
      UDPConnection *connection = &table.connections[rotation++];
      connection->last_sent = turn_ns;
      batch->names[i] = loopback(0);
      batch->names[i].sin_addr.s_addr = connection->ip;
      batch->names[i].sin_port = connection->port;
    }
    batch_send(batch, fd, (int)part);
  }
}

static u64 take_datagrams(Batch *batch, int count) {
  u64 messages = 0;
  for (int i = 0; i < count; i++) {
    UDPConnection *connection = connection_of(&batch->names[i]);
    connection->last_seen = turn_ns;
    if (*batch_bytes(batch, i)) continue;
    connection->messages++;
    messages++;
  }
  return messages;
}

static void serve_udp(void) {
  int fd = udp_bound(loopback(args.port));
  struct pollfd poller = {fd, POLLIN, 0};
  set_nonblocking(fd);
  server_ready();
  Batch *in = batch_new(DATAGRAM, 1), *beats = batch_new(8, 1);
  for (int i = 0; i < BATCH; i++) *batch_bytes(beats, i) = 1;
  table_init();
  next_slice = now_ns();
  while (!server_stopped()) {
    send_udp_heartbeats(fd, beats);
    int n = batch_receive(in, fd, BATCH, 0);
    if (n <= 0) {
      poll(&poller, 1, wait_ms(table.count));
      continue;
    }
    u64 messages = take_datagrams(in, n);
    if (messages) server_received(messages);
  }
}

/* ---- TCP: a small record for each, and a buffer only while a frame is incomplete ---- */

typedef struct {
  int fd;
  u32 have;
  u8 *part;
  u64 last_seen;
} TCPConnection;

static TCPConnection **connections;
static u64 count;
static int is_greeted; /* whether each connection begins with a hello and an accept */

/* MsgBox's wire, as far as the same exchange needs it: a length of 4 bytes, a header of 8, big-endian. */
enum { FRAME_HEAD = 12, KIND_AT = 5, SESSION_AT = 12, OWN_ID_AT = 20, KIND_HELLO = 5 };

/* Answers a hello with an accept, by one write. */
static void answer_hello(int fd, const u8 *hello) {
  static u8 accept[4 + 32] = {0, 0, 0, 32, 0xc8, 6, 0, 1};
  static u64 session;
  memcpy(accept + SESSION_AT, hello + OWN_ID_AT, 8);
  session++;
  memcpy(accept + OWN_ID_AT, &session, sizeof session);
  accept[33] = 16; /* the largest message: 1 MiB */
  if (write(fd, accept, sizeof accept) != sizeof accept) die("the accept");
}

/* The messages among `size` bytes of MsgBox's frames; hellos are answered. */
static u64 take_greeted(int fd, const u8 *bytes, size_t size, size_t *used) {
  u64 messages = 0;
  size_t at = 0;
  while (at + FRAME_HEAD <= size) {
    const u8 *frame = bytes + at;
    size_t end = at + 4 + ((size_t)frame[0] << 24 | (size_t)frame[1] << 16 | (size_t)frame[2] << 8 | frame[3]);
    if (end > size) break;
    if (frame[KIND_AT] == KIND_HELLO) answer_hello(fd, frame);
    messages += frame[KIND_AT] == 0;
    at = end;
  }
  *used = at;
  return messages;
}

static void accept_all(int listener, int poller) {
  for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;) {
    TCPConnection *connection = must_alloc(sizeof *connection);
    connection->fd = fd;
    set_no_delay(fd);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    CHECK(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event));
    if (count < (u64)args.connections) connections[count++] = connection;
  }
}

static void keep_rest(TCPConnection *connection, const u8 *bytes, size_t rest) {
  connection->have = (u32)rest;
  if (!rest) return;
  connection->part = must_alloc(rest);
  memcpy(connection->part, bytes, rest);
}

static u64 read_connection(TCPConnection *connection, int poller) {
  static u8 bytes[2 * 65536];
  size_t have = connection->have, used;
  if (have) {
    memcpy(bytes, connection->part, have);
    free(connection->part);
    connection->part = NULL;
    connection->have = 0;
  }
  ssize_t n = read(connection->fd, bytes + have, 65536);
  if (n == 0 || (n < 0 && errno != EAGAIN)) epoll_ctl(poller, EPOLL_CTL_DEL, connection->fd, NULL);
  if (n < 0) n = 0;
  connection->last_seen = turn_ns;
  have += (size_t)n;
  u64 messages =
      is_greeted ? take_greeted(connection->fd, bytes, have, &used) : count_frames(bytes, have, &used);
  keep_rest(connection, bytes + used, have - used);
  return messages;
}

static void send_tcp_heartbeats(void) {
  static u64 rotation;
  Frame beat = {0, 1};
  for (u64 due = due_now(count); due; due--) {
    if (rotation >= count) rotation = 0;
    /* A client that does not read loses its heartbeats: it is not looked at here. */
    if (write(connections[rotation++]->fd, &beat, sizeof beat) < 0) continue;
  }
}

static void serve_tcp(void) {
  int listener = tcp_listen(args.port), poller = epoll_create1(0);
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, events[256];
  CHECK(epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event));
  set_nonblocking(listener);
  server_ready();
  connections = must_alloc((size_t)args.connections * sizeof(TCPConnection *));
  is_greeted = mode_has(".hello");
  next_slice = now_ns();
  while (!server_stopped()) {
    send_tcp_heartbeats();
    int n = epoll_wait(poller, events, 256, wait_ms(count));
    u64 messages = 0;
    for (int i = 0; i < n; i++) {
      if (events[i].data.ptr) messages += read_connection(events[i].data.ptr, poller);
      else accept_all(listener, poller);
    }
    if (messages) server_received(messages);
  }
}

const Mode many_modes[] = {
    {"udp.many", serve_udp, NULL},
    {"tcp.many", serve_tcp, NULL},
    {"tcp.many.hello", serve_tcp, NULL},
    {NULL, NULL, NULL},
};

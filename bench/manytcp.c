/* manytcp.c - many connections over TCP, each a socket, in the protocol of the server at hand. */
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "manycli.h"
#include "sockets.h"

enum { AT_ONCE = 100, ZMTP_GREETING = 64 };

typedef struct {
  const char *mode;
  size_t (*message_head)(u8 *at); /* writes what stands before a payload; its length */
  size_t (*heartbeat)(u8 *at);    /* writes a whole heartbeat; its length, 0 for none */
  size_t (*greeting)(u8 *at, u64 number);
  void (*read_greeting)(int fd);
} Protocol;

static const Protocol *protocol;
static int *connections, poller;
static u8 *message, heartbeat[32];
static size_t message_bytes, heartbeat_bytes;

static void must_read(int fd, void *bytes, size_t count) {
  if (read_all(fd, bytes, count)) die("the server's greeting");
}

/* ---- protocols ---- */

static size_t raw_head(u8 *at) {
  u32 length[2] = {(u32)args.size, 0};
  memcpy(at, length, sizeof length);
  return sizeof length;
}

static size_t raw_heartbeat(u8 *at) {
  u32 frame[2] = {0, 1};
  memcpy(at, frame, sizeof frame);
  return sizeof frame;
}

static size_t msgbox_head(u8 *at) {
  put_u32(at, (u32)(HEADER_BYTES + args.size));
  put_header(at + 4, 0, KIND_ONE_WAY);
  return 4 + HEADER_BYTES;
}

static size_t msgbox_heartbeat(u8 *at) {
  put_u32(at, HEADER_BYTES);
  put_header(at + 4, 0, KIND_HEARTBEAT);
  return 4 + HEADER_BYTES;
}

static size_t msgbox_greeting(u8 *at, u64 number) {
  put_u32(at, HELLO_BYTES);
  put_hello(at + 4, number + 1);
  return 4 + HELLO_BYTES;
}

static void read_msgbox(int fd) {
  u8 accept[4 + ACCEPT_BYTES];
  must_read(fd, accept, sizeof accept);
  if (accept[5] != KIND_ACCEPT) die("no accept");
}

static size_t sp_head(u8 *at) {
  put_u64(at, args.size);
  return 8;
}

static size_t sp_greeting(u8 *at, u64 number) {
  (void)number;
  memcpy(at, "\0SP\0\0\x50\0\0", 8);
  return 8;
}

static void read_sp(int fd) {
  u8 bytes[8];
  must_read(fd, bytes, sizeof bytes);
}

static size_t zmtp_head(u8 *at) {
  if (args.size > 255) die("ZMTP here has short frames only");
  at[0] = 0;
  at[1] = (u8)args.size;
  return 2;
}

static size_t zmtp_greeting(u8 *at, u64 number) {
  static const char ready[] = "\4\x1c\5READY\xbSocket-Type\0\0\0\6DEALER";
  (void)number;
  memset(at, 0, ZMTP_GREETING);
  at[0] = 0xFF;
  at[9] = 0x7F;
  at[10] = 3;
  memcpy(at + 12, "NULL", 4);
  memcpy(at + ZMTP_GREETING, ready, sizeof ready - 1);
  return ZMTP_GREETING + sizeof ready - 1;
}

static void read_zmtp(int fd) {
  u8 bytes[256];
  must_read(fd, bytes, ZMTP_GREETING);
  must_read(fd, bytes, 2);
  must_read(fd, bytes, bytes[1]);
}

static const Protocol protocols[] = {
    {"tcp.raw", raw_head, raw_heartbeat, NULL, NULL},
    {"tcp.msgbox", msgbox_head, msgbox_heartbeat, msgbox_greeting, read_msgbox},
    {"tcp.sp", sp_head, NULL, sp_greeting, read_sp},
    {"tcp.zmtp", zmtp_head, NULL, zmtp_greeting, read_zmtp},
};

/* ---- running ---- */

static void must_write(int fd, const void *bytes, size_t count) {
  if (write_all(fd, bytes, count)) die("write");
}

/* ZeroMQ's server sends its own heartbeats and wants them answered. */
static void answer_pings(int fd, const u8 *bytes, ssize_t count) {
  for (ssize_t at = 0; at + 7 <= count; at += 2 + bytes[at + 1])
    if (bytes[at] == 4 && !memcmp(bytes + at + 2, "\4PING", 5)) must_write(fd, "\4\5\4PONG", 7);
}

static void read_some(int timeout_ms) {
  static u8 bytes[65536];
  struct epoll_event events[256];
  int n = epoll_wait(poller, events, 256, timeout_ms);
  for (int i = 0; i < n; i++) {
    ssize_t count = read(events[i].data.fd, bytes, sizeof bytes);
    if (count == 0) die("the server closed a connection");
    if (count < 0) continue;
    heard++;
    if (protocol->message_head == zmtp_head) answer_pings(events[i].data.fd, bytes, count);
  }
}

static void send_heartbeats(void) {
  static u64 rotation;
  for (u64 due = heartbeat_bytes ? due_heartbeats() : 0; due; due--)
    must_write(connections[rotation++ % (u64)args.connections], heartbeat, heartbeat_bytes);
}

static void pump(int ms) {
  u64 end = now_ns() + (u64)ms * 1000000;
  do {
    send_heartbeats();
    read_some(ms ? 1 : 0);
  } while (now_ns() < end);
}

static void open_some(int first, int end) {
  u8 greeting[128];
  for (int i = first; i < end; i++) {
    connections[i] = tcp_connect(args.port);
    if (protocol->greeting) must_write(connections[i], greeting, protocol->greeting(greeting, (u64)i));
  }
  for (int i = first; i < end; i++) {
    int fd = connections[i];
    set_receive_timeout(fd, 5000);
    if (protocol->read_greeting) protocol->read_greeting(fd);
    set_nonblocking(fd);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    CHECK(epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event));
  }
}

static u64 connect_all(void) {
  for (int first = 0; first < args.connections; first += AT_ONCE) {
    int end = first + AT_ONCE < args.connections ? first + AT_ONCE : args.connections;
    open_some(first, end);
    for (int i = first; i < end; i++) must_write(connections[i], message, message_bytes);
    window_wait((u64)end, 0);
    pump(0);
  }
  return (u64)args.connections;
}

static u64 send_some(void) {
  for (int i = 0; i < MOST; i++)
    must_write(connections[pick_random((u64)args.connections)], message, message_bytes);
  return MOST;
}

/* The same, each message in two writes with a pause between, cut at every byte in turn. */
static u64 send_split(void) {
  static size_t turn;
  for (int i = 0; i < MOST; i++) {
    int fd = connections[pick_random((u64)args.connections)];
    size_t cut = 1 + turn++ % (message_bytes - 1);
    must_write(fd, message, cut);
    usleep(50);
    must_write(fd, message + cut, message_bytes - cut);
  }
  return MOST;
}

const Client *tcp_client(void) {
  static Client client = {connect_all, send_some, pump};
  if (mode_has(".split")) client.send_some = send_split;
  for (size_t i = 0; i < sizeof protocols / sizeof *protocols; i++)
    if (mode_has(protocols[i].mode)) protocol = &protocols[i];
  if (!protocol) die("unknown mode %s", args.mode);
  connections = must_alloc((size_t)args.connections * sizeof *connections);
  message = must_alloc(args.size + 32);
  message_bytes = protocol->message_head(message) + args.size;
  if (protocol->heartbeat) heartbeat_bytes = protocol->heartbeat(heartbeat);
  poller = epoll_create1(0);
  CHECK(poller);
  return &client;
}

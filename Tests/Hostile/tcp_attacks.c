/* What a stranger or a bad peer can do over TCP. */
#include "attack.h"

#include "wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

enum { tcp_hello_bytes = 4 + hello_bytes, most_streams = 600 };

/* ---- Streams by hand ---- */

/* A stream to the server from any address of 127.0.0.0/8, or -1. Writes of it do not wait. */
static int stream_open(Attack *attack) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), is_on = 1;
  struct sockaddr_in from = {.sin_family = AF_INET};
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)attack->ports.tcp_port)};
  from.sin_addr.s_addr = htonl(any_source(attack));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &is_on, sizeof is_on) == 0);
  CHECK(bind(fd, (struct sockaddr *)&from, sizeof from) == 0);
  CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &is_on, sizeof is_on) == 0);
  struct timeval limit = {.tv_sec = 2};
  CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) == 0);
  attack->sent++;
  if (connect(fd, (struct sockaddr *)&to, sizeof to) == 0) return fd;
  close(fd);
  attack->failure = "the server takes streams";
  return -1;
}

/* What the kernel takes of it, waiting for at most `flags` MSG_DONTWAIT or 2 s. */
static ssize_t stream_send(Attack *attack, int fd, const void *bytes, size_t count, int flags) {
  ssize_t sent = send(fd, bytes, count, MSG_NOSIGNAL | flags);
  if (sent > 0) attack->sent++, attack->sent_bytes += (uint64_t)sent;
  return sent;
}

/* What comes within so long: 0 at the end of the stream or its reset, -1 if nothing comes. */
static ssize_t stream_receive(Attack *attack, int fd, void *bytes, size_t room, int ms) {
  struct pollfd wait = {.fd = fd, .events = POLLIN};
  if (poll(&wait, 1, ms) <= 0) return -1;
  ssize_t count = recv(fd, bytes, room, 0);
  if (count > 0) attack->back++, attack->back_bytes += (uint64_t)count;
  return count > 0 ? count : 0;
}

/* Whether the server ends the stream within 3 s, whatever it says before. */
static int is_ended(Attack *attack, int fd) {
  uint8_t bytes[4096];
  for (int64_t end = now_ns() + 3000000000; now_ns() < end;) {
    if (stream_receive(attack, fd, bytes, sizeof bytes, 3000) == 0) return 1;
  }
  return 0;
}

static void write_hello(Attack *attack, uint8_t *at) {
  wire_frame(at, wire_hello(at + 4, random_of(&attack->random) | 1));
}

/* Whether the server's next bytes, within 2 s, are an accept. */
static int is_accepted(Attack *attack, int fd) {
  uint8_t answer[4 + accept_bytes];
  for (size_t have = 0; have < sizeof answer;) {
    ssize_t count = stream_receive(attack, fd, answer + have, sizeof answer - have, 2000);
    if (count <= 0) return 0;
    have += (size_t)count;
  }
  return answer[5] == kind_accept;
}

/* A stream that has said hello and was accepted, or -1. */
static int stream_enter(Attack *attack) {
  uint8_t hello[tcp_hello_bytes];
  int fd = stream_open(attack);
  if (fd < 0) return -1;
  write_hello(attack, hello);
  stream_send(attack, fd, hello, sizeof hello, 0);
  if (is_accepted(attack, fd)) return fd;
  attack->failure = "a peer by hand is let in";
  close(fd);
  return -1;
}

static void reset(int fd) {
  struct linger none = {.l_onoff = 1};
  CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &none, sizeof none) == 0);
  close(fd);
}

static void wait_for_end(const Attack *attack) {
  int64_t left = attack->end - now_ns();
  if (left > 0) poll(NULL, 0, (int)(left / 1000000));
}

/* Opens streams that send some bytes of a hello and nothing more, and holds them. */
static void hold_streams(Attack *attack, size_t bytes) {
  static int fds[most_streams];
  uint8_t hello[tcp_hello_bytes];
  int count = 0;
  for (; count < most_streams && has_time(attack); count++) {
    fds[count] = stream_open(attack);
    if (fds[count] < 0) break;
    write_hello(attack, hello);
    if (bytes > 0) stream_send(attack, fds[count], hello, bytes, 0);
  }
  wait_for_end(attack);
  while (count > 0) reset(fds[--count]);
}

static void silent(Attack *attack) { hold_streams(attack, 0); }
static void half_hellos(Attack *attack) { hold_streams(attack, 20); }

/* Connects and is gone, with RST, or with FIN in the middle of a hello. */
static void storm(Attack *attack) {
  uint8_t hello[tcp_hello_bytes];
  for (int turn = 0; has_time(attack); turn++) {
    int fd = stream_open(attack);
    if (fd < 0) return;
    write_hello(attack, hello);
    stream_send(attack, fd, hello, (size_t)turn % tcp_hello_bytes, 0);
    if (turn % 8 == 0) close(fd);
    else reset(fd);
  }
}

/* Comes in and is gone at once. */
static void visitors(Attack *attack) {
  while (has_time(attack)) {
    int fd = stream_enter(attack);
    if (fd < 0) return;
    reset(fd);
  }
}

/* A hello and a request, one byte in each segment, which is slow and nothing wrong. */
static void byte_by_byte(Attack *attack) {
  uint8_t bytes[tcp_hello_bytes + 4 + header_bytes + 4 + 4], answer[4 + header_bytes + 4 + 4];
  write_hello(attack, bytes);
  uint8_t *request = bytes + tcp_hello_bytes, *end = wire_header(request + 4, flag_id, kind_request, 1);
  wire_frame(request, wire_put(wire_put(end, 0, 4), 0x736c6f77, 4));
  while (has_time(attack)) {
    int fd = stream_open(attack);
    if (fd < 0) return;
    for (size_t i = 0; i < sizeof bytes; i++) stream_send(attack, fd, bytes + i, 1, 0);
    size_t have = 0;
    int is_in = is_accepted(attack, fd);
    while (is_in && have < sizeof answer) {
      ssize_t count = stream_receive(attack, fd, answer + have, sizeof answer - have, 2000);
      if (count <= 0) break;
      have += (size_t)count;
    }
    if (have != sizeof answer || memcmp(answer + have - 4, end + 4, 4) != 0) attack->failure = "who is slow is served";
    reset(fd);
  }
}

/* Something that breaks the rules, after a hello or instead of it; the server must end the stream. */
static void break_rules(Attack *attack, int is_in, size_t (*make)(uint8_t *at, uint64_t *random)) {
  static uint8_t bytes[1 << 16];
  while (has_time(attack)) {
    int fd = is_in ? stream_enter(attack) : stream_open(attack);
    if (fd < 0) return;
    stream_send(attack, fd, bytes, make(bytes, &attack->random), 0);
    if (!is_ended(attack, fd)) attack->failure = "the server ends the stream";
    reset(fd);
  }
}

static size_t make_wrong_length(uint8_t *at, uint64_t *random) {
  static const uint32_t lengths[] = {0, 7, (1 << 20) + 65, 0x7fffffff, 0xffffffff};
  wire_put(at, lengths[random_below(random, 5)], 4);
  return 4;
}

static void wrong_lengths(Attack *attack) { break_rules(attack, 1, make_wrong_length); }
static void wrong_first_lengths(Attack *attack) { break_rules(attack, 0, make_wrong_length); }

/* The first two bits are not those of the protocol, so that none of it can be one by chance. */
static size_t make_garbage(uint8_t *at, uint64_t *random) {
  size_t count = 64 + random_below(random, 4000);
  for (size_t i = 0; i < count; i++) at[i] = (uint8_t)random_of(random);
  wire_put(at, header_bytes, 4);
  at[4] &= 0x3f;
  return count;
}

static void garbage(Attack *attack) { break_rules(attack, 0, make_garbage); }
static void late_garbage(Attack *attack) { break_rules(attack, 1, make_garbage); }

/* A second hello, an accept, a heartbeat with a session, parts, a request without an id. */
static size_t make_misplaced(uint8_t *at, uint64_t *random) {
  uint8_t *end = at + 4;
  switch (random_below(random, 5)) {
  case 0: end = wire_hello(end, random_of(random) | 1); break;
  case 1: end = wire_put(wire_put(wire_head(end, 0, kind_accept, 1), 1, 8), 0, 8); break;
  case 2: end = wire_head(end, 0, kind_heartbeat, random_of(random)); break;
  case 3: end = wire_put(wire_put(wire_part(end, flag_id, kind_reliable, 2, 1, 0), 0, 8), 0, 1); break;
  default: end = wire_header(end, 0, kind_request, 1);
  }
  return (size_t)(wire_frame(at, end) - at);
}

static void misplaced(Attack *attack) { break_rules(attack, 1, make_misplaced); }

/* A one-way frame of a mebibyte whose end never comes: FIN or RST in the middle of it. */
static void torn_frames(Attack *attack) {
  static uint8_t bytes[200000];
  wire_put(wire_header(wire_put(bytes, 1 << 20, 4), 0, kind_one_way, 0), 0, 4);
  for (int turn = 0; has_time(attack); turn++) {
    int fd = stream_enter(attack);
    if (fd < 0) return;
    stream_send(attack, fd, bytes, 4 + random_below(&attack->random, sizeof bytes - 4), MSG_DONTWAIT);
    if (turn % 2 == 0) close(fd);
    else reset(fd);
  }
}

/* Forty such frames at once, each nearly whole, beyond what the server's box holds of all. */
static void hoarders(Attack *attack) {
  static uint8_t bytes[1 << 16];
  int fds[40], count = 0;
  for (; count < 40; count++) {
    fds[count] = stream_enter(attack);
    if (fds[count] < 0) break;
    uint8_t head[4 + header_bytes];
    wire_header(wire_put(head, 1 << 20, 4), 0, kind_one_way, 0);
    stream_send(attack, fds[count], head, sizeof head, 0);
    for (int i = 0; i < 15; i++) {
      if (stream_send(attack, fds[count], bytes, sizeof bytes, 0) < 0) break;
    }
  }
  wait_for_end(attack);
  while (count > 0) reset(fds[--count]);
}

/* Sends one frame over and over. */
static void repeat(Attack *attack, const uint8_t *frame, size_t count) {
  static uint8_t bytes[1 << 16];
  size_t filled = 0;
  for (; filled + count <= sizeof bytes; filled += count) memcpy(bytes + filled, frame, count);
  int fd = stream_enter(attack);
  if (fd < 0) return;
  for (size_t at = 0; has_time(attack);) {
    ssize_t sent = stream_send(attack, fd, bytes + at, filled - at, MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN) break;
    if (sent < 0) poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 10);
    else at = at + (size_t)sent == filled ? 0 : at + (size_t)sent;
  }
  reset(fd);
}

static void messages(Attack *attack) {
  uint8_t frame[4 + header_bytes + 8] = {0};
  wire_frame(frame, wire_put(wire_header(frame + 4, 0, kind_one_way, 0), 0, 8));
  repeat(attack, frame, sizeof frame);
}

/* Requests whose replies stay unread. */
static void never_reads(Attack *attack) {
  uint8_t frame[4 + header_bytes + 4 + 1000] = {0};
  wire_put(wire_header(wire_put(frame, sizeof frame - 4, 4), flag_id, kind_request, 1), 0, 4);
  repeat(attack, frame, sizeof frame);
}

static void heartbeats(Attack *attack) {
  uint8_t frame[4 + header_bytes];
  wire_frame(frame, wire_header(frame + 4, 0, kind_heartbeat, 0));
  repeat(attack, frame, sizeof frame);
}

static void acks(Attack *attack) {
  uint8_t frame[4 + header_bytes + 4];
  wire_frame(frame, wire_put(wire_header(frame + 4, 0, kind_ack, 0), 0x12345678, 4));
  repeat(attack, frame, sizeof frame);
}

const AttackKind tcp_attacks[] = {
    {"tcp streams that say nothing", silent, 0, 0},
    {"tcp half a hello", half_hellos, 0, 0},
    {"tcp connections that are reset or closed at once", storm, 0, 0},
    {"tcp peers that come in and are gone", visitors, 0, 0},
    {"tcp peers that send byte by byte", byte_by_byte, 0, 0},
    {"tcp lengths that lie", wrong_lengths, 0, 0},
    {"tcp lengths that lie instead of a hello", wrong_first_lengths, 0, 0},
    {"tcp garbage", garbage, 0, 0},
    {"tcp garbage after a hello", late_garbage, 0, 0},
    {"tcp packets in the wrong place", misplaced, 0, 0},
    {"tcp frames torn by FIN and RST", torn_frames, 0, 0},
    {"tcp large frames that never end", hoarders, 0, 1},
    {"tcp a peer that floods small messages", messages, 0, 0},
    {"tcp a peer that floods heartbeats", heartbeats, 0, 0},
    {"tcp acks of what was never sent", acks, 0, 0},
    {"tcp a peer that does not read replies", never_reads, 1, 0},
};
const int tcp_attack_count = sizeof tcp_attacks / sizeof *tcp_attacks;

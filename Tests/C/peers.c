/* 10 000 UDP peers on one listener: one descriptor for all, and each gets its own events and its own answers.
   The peers are written by hand from the specification of the wire: one socket that sends from 10 000 addresses of
   the loopback network. Then datagrams of any bytes, each dropped and counted, and a good message right after. */
#include "test.h"
#include "wire.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

enum { peer_count = 10000, at_once = 100 };

static uint64_t conns[peer_count]; /* the server's handles, by peer */
static uint64_t sessions[peer_count];
static int messages[peer_count], ends;

/* Peer n sends from 127.1.x.y; its context is n + 1, found by its address. */
static uint32_t address_of(int peer) { return 0x7f010000u + 1u + (uint32_t)peer; }

static int peer_of(msg_Conn conn) {
  char text[64];
  unsigned a, b, c, d;
  CHECK(msg_address(conn, text, sizeof text) > 0);
  CHECK(sscanf(text, "udp://%u.%u.%u.%u:", &a, &b, &c, &d) == 4);
  uint32_t address = a << 24 | b << 16 | c << 8 | d;
  CHECK(address > 0x7f010000u && address <= 0x7f010000u + peer_count);
  return (int)(address - 0x7f010001u);
}

static void on_event(const msg_Event *e) {
  switch (e->type) {
  case msg_listening: record(e); break;
  case msg_connection_ready: {
    int peer = peer_of(e->conn);
    CHECK(conns[peer] == 0);
    conns[peer] = e->conn.id;
    CHECK_CODE(msg_set_context(e->conn, &messages[peer]), MSG_OK);
    break;
  }
  case msg_message: {
    int peer = -1;
    CHECK(e->data.count == sizeof peer);
    memcpy(&peer, e->data.bytes, sizeof peer);
    CHECK(peer >= 0 && peer < peer_count && conns[peer] == e->conn.id);
    CHECK(e->context == &messages[peer]);
    messages[peer]++;
    CHECK_CODE(msg_send(e->conn, e->data), MSG_OK);
    break;
  }
  case msg_connection_closed: ends++; break;
  default: record(e);
  }
}

/* ---- The wire, by hand */

static int plain_socket(void) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), one = 1, size = 4 << 20;
  struct sockaddr_in any = {.sin_family = AF_INET};
  CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any) == 0);
  CHECK(setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &one, sizeof one) == 0);
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  return fd;
}

/* Sends from the address of a peer. */
static void send_from(int fd, int port, int peer, const void *bytes, size_t count) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  union {
    struct cmsghdr header;
    char room[CMSG_SPACE(sizeof(struct in_pktinfo))];
  } control;
  memset(&control, 0, sizeof control);
  struct iovec part = {(void *)(uintptr_t)bytes, count};
  struct msghdr message = {.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = IPPROTO_IP;
  header->cmsg_type = IP_PKTINFO;
  header->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
  struct in_pktinfo from = {.ipi_spec_dst.s_addr = htonl(address_of(peer))};
  memcpy(CMSG_DATA(header), &from, sizeof from);
  CHECK(sendmsg(fd, &message, 0) == (ssize_t)count);
}

/* Receives one datagram: its length, or -1; and the peer that it came to. */
static ssize_t receive_for(int fd, int *peer, uint8_t *bytes, size_t room) {
  char control[256];
  struct iovec part = {bytes, room};
  struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
  ssize_t count = recvmsg(fd, &message, 0);
  if (count < 0) return -1;
  struct in_pktinfo to;
  struct cmsghdr *header = CMSG_FIRSTHDR(&message);
  CHECK(header != NULL && header->cmsg_type == IP_PKTINFO);
  memcpy(&to, CMSG_DATA(header), sizeof to);
  *peer = (int)(ntohl(to.ipi_addr.s_addr) - 0x7f010001u);
  CHECK(*peer >= 0 && *peer < peer_count);
  return count;
}

/* ---- The peers */

/* What one datagram to a peer says: an accept gives the session to send with, a cookie wants a second hello,
   a one-way message is the echo. */
static void on_datagram(int fd, int port, int peer, const uint8_t *bytes, ssize_t count, int *accepted, int *echoed) {
  uint8_t out[64];
  CHECK(count >= 16 && bytes[0] >> 4 == 0xc && wire_get(bytes + 8, 8) == (uint64_t)peer + 1);
  switch (wire_get(bytes, 2) & 0xff) {
  case 6:
    CHECK(count == 32);
    if (sessions[peer] == 0) ++*accepted;
    sessions[peer] = wire_get(bytes + 16, 8);
    break;
  case 7: {
    CHECK(count == 32);
    size_t length = (size_t)(wire_hello(out, (uint64_t)peer + 1) - out);
    memcpy(out + length - 16, bytes + 16, 16);
    send_from(fd, port, peer, out, length);
    break;
  }
  case 0: {
    int named = -1;
    CHECK(count == 16 + sizeof named);
    memcpy(&named, bytes + 16, sizeof named);
    CHECK(named == peer);
    ++*echoed;
    break;
  }
  default: break; /* heartbeats */
  }
}

/* Runs server and peers until as many were accepted or echoed as there should be. */
static void exchange(int fd, int port, const int *done, int wanted, int *accepted, int *echoed) {
  int64_t limit = test_now_ms() + 5000;
  uint8_t bytes[2048];
  while (*done < wanted) {
    CHECK(test_now_ms() < limit);
    CHECK(msg_runloop(0) >= 0);
    int peer;
    ssize_t count;
    while ((count = receive_for(fd, &peer, bytes, sizeof bytes)) >= 0) {
      on_datagram(fd, port, peer, bytes, count, accepted, echoed);
    }
  }
}

static int descriptors(void) {
  int count = 0;
  DIR *directory = opendir("/proc/self/fd");
  CHECK(directory != NULL);
  while (readdir(directory)) count++;
  closedir(directory);
  return count;
}

static void ten_thousand(int fd, int port) {
  int accepted = 0, echoed = 0, files = descriptors();
  uint8_t bytes[64];
  for (int first = 0; first < peer_count; first += at_once) {
    for (int peer = first; peer < first + at_once; peer++) {
      wire_hello(bytes, (uint64_t)peer + 1);
      send_from(fd, port, peer, bytes, hello_bytes);
    }
    exchange(fd, port, &accepted, first + at_once, &accepted, &echoed);
    for (int peer = first; peer < first + at_once; peer++) {
      uint8_t *end = wire_head(bytes, 0, kind_one_way, sessions[peer]);
      memcpy(end, &peer, sizeof peer);
      send_from(fd, port, peer, bytes, (size_t)(end - bytes) + sizeof peer);
    }
    exchange(fd, port, &echoed, first + at_once, &accepted, &echoed);
  }
  for (int peer = 0; peer < peer_count; peer++) CHECK(messages[peer] == 1 && conns[peer] != 0);
  CHECK(descriptors() == files);
  msg_Statistics statistics = {.size = sizeof statistics};
  CHECK_CODE(msg_box_statistics(msg_default_box(), &statistics), MSG_OK);
  CHECK(statistics.connections == peer_count && statistics.listeners == 1);

  /* One of them leaves: nobody else does. */
  uint8_t *end = wire_head(bytes, 0, kind_close, sessions[77]);
  send_from(fd, port, 77, bytes, (size_t)(end - bytes));
  int64_t limit = test_now_ms() + 2000;
  while (ends == 0 && test_now_ms() < limit) CHECK(msg_runloop(100) >= 0);
  CHECK(ends == 1);
  CHECK_CODE(msg_send((msg_Conn){conns[77]}, msg_text("x")), MSG_ERR_BAD_HANDLE);
  CHECK_CODE(msg_send((msg_Conn){conns[78]}, msg_data("\0\0\0\0", 4)), MSG_OK);
}

/* Bytes of any kind, in all lengths: each datagram is dropped, or (by chance) means nothing. */
static void noise(int fd, int port, uint64_t session, int peer) {
  static uint8_t bytes[1400];
  uint64_t state = 12345;
  msg_Box box = msg_default_box();
  msg_Statistics before = {.size = sizeof before}, after = {.size = sizeof after};
  CHECK_CODE(msg_box_statistics(box, &before), MSG_OK);
  int sent = 20000;
  for (int i = 0; i < sent; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    size_t count = (size_t)(state >> 33) % (i % 2 ? 64 : sizeof bytes);
    for (size_t j = 0; j < count && j < 64; j++) {
      state = state * 6364136223846793005u + 1442695040888963407u;
      bytes[j] = (uint8_t)(state >> 56);
    }
    if (i % 4 == 0) wire_head(bytes, 0, (int)(state >> 40 & 31), i % 8 ? 0 : session ^ 1);
    send_from(fd, port, 5000 + i % 1000, bytes, count);
    if (i % 50 == 49) CHECK(msg_runloop(0) >= 0);
  }
  int seen = messages[peer];
  uint8_t good[32], *end = wire_head(good, 0, kind_one_way, session);
  memcpy(end, &peer, sizeof peer);
  send_from(fd, port, peer, good, (size_t)(end - good) + sizeof peer);
  int64_t limit = test_now_ms() + 2000;
  while (messages[peer] == seen && test_now_ms() < limit) CHECK(msg_runloop(10) >= 0);
  CHECK(messages[peer] == seen + 1);
  CHECK_CODE(msg_box_statistics(box, &after), MSG_OK);
  /* All were received, and all but hellos by chance and the good one were dropped. */
  CHECK(after.datagrams_received - before.datagrams_received == (uint64_t)sent + 1);
  CHECK(after.drops - before.drops > (uint64_t)sent * 9 / 10);
}

int main(void) {
  msg_Options options = MSG_OPTIONS_INIT;
  msg_Conn listener = test_listen(msg_default_box(), "udp", on_event, &options);
  int port = msg_local_port(listener), fd = plain_socket();
  ten_thousand(fd, port);
  noise(fd, port, sessions[3], 3);
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, listener) == 1, 5000);
  CHECK(ends >= peer_count);
  close(fd);
  return 0;
}

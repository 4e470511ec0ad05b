/* manyudp.c - many connections over UDP from few sockets: connection number j is on socket j % SOCKETS and
   has the source address 127.1.0.1 + j / SOCKETS, which IP_PKTINFO chooses for each datagram. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "manycli.h"
#include "sockets.h"

enum { SOCKETS = 16, FIRST_SOURCE = 0x7F010001 };

/* A datagram to send: its source, and for MsgBox the header and session before the payload. */
typedef struct {
  u8 head[HELLO_BYTES];
  struct iovec parts[2];
  char control[CMSG_SPACE(sizeof(struct in_pktinfo))];
} Outgoing;

static int sockets[SOCKETS];
static u32 per_socket;
static int is_msgbox;
static struct sockaddr_in server;
static struct mmsghdr out_headers[MOST];
static Outgoing out[MOST];
static u8 *payload;
static u64 *sessions; /* MsgBox: the server's id of each connection, 0 before its accept */
static u64 accepted;

/* ---- sending ---- */

static void prepare(void) {
  for (int i = 0; i < MOST; i++) {
    struct msghdr *header = &out_headers[i].msg_hdr;
    *header = (struct msghdr){.msg_name = &server, .msg_namelen = sizeof server, .msg_iov = out[i].parts,
                              .msg_control = out[i].control, .msg_controllen = sizeof out[i].control};
    struct cmsghdr *control = CMSG_FIRSTHDR(header);
    control->cmsg_level = IPPROTO_IP;
    control->cmsg_type = IP_PKTINFO;
    control->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
  }
}

static void set_source(int slot, u32 source) {
  struct in_pktinfo info = {0};
  info.ipi_spec_dst.s_addr = htonl(FIRST_SOURCE + source);
  memcpy(CMSG_DATA(CMSG_FIRSTHDR(&out_headers[slot].msg_hdr)), &info, sizeof info);
}

static void set_parts(int slot, size_t head_bytes, void *body, size_t body_bytes) {
  out[slot].parts[0] = (struct iovec){out[slot].head, head_bytes};
  out[slot].parts[1] = (struct iovec){body, body_bytes};
  out_headers[slot].msg_hdr.msg_iovlen = body_bytes ? 2 : 1;
}

static u32 connection_of(int socket_index, u32 source) { return source * SOCKETS + (u32)socket_index; }

/* Readies a message, or a heartbeat, of a connection. The bare server takes a first byte of 1 as heartbeat. */
static void put_packet(int slot, int socket_index, u32 source, int is_heartbeat) {
  set_source(slot, source);
  if (is_msgbox) {
    put_header(out[slot].head, FLAG_SESSION, is_heartbeat ? KIND_HEARTBEAT : KIND_ONE_WAY);
    put_u64(out[slot].head + HEADER_BYTES, sessions[connection_of(socket_index, source)]);
    set_parts(slot, HEADER_BYTES + SESSION_BYTES, payload, is_heartbeat ? 0 : args.size);
  } else if (is_heartbeat) {
    put_u64(out[slot].head, (u64)1 << 56);
    set_parts(slot, 8, NULL, 0);
  } else {
    set_parts(slot, 0, payload, args.size);
  }
}

static void send_slots(int socket_index, int count) {
  for (int sent = 0; sent < count;) {
    int n = sendmmsg(sockets[socket_index], out_headers + sent, (unsigned)(count - sent), 0);
    if (n > 0) sent += n;
    else if (errno != EAGAIN && errno != ENOBUFS) die("sendmmsg");
  }
}

/* ---- receiving ---- */

static void on_datagram(const u8 *bytes, size_t count) {
  if (!is_msgbox || count < ACCEPT_BYTES || bytes[1] != KIND_ACCEPT) {
    heard++;
    return;
  }
  u64 number = get_u64(bytes + 8) - 1; /* own ids are the numbers of the connections, from 1 */
  if (number >= (u64)args.connections || sessions[number]) return;
  sessions[number] = get_u64(bytes + 16);
  accepted++;
}

static void drain(int socket_index) {
  static struct mmsghdr headers[MOST];
  static struct iovec parts[MOST];
  static u8 bytes[MOST][2048];
  for (int n = MOST; n == MOST;) {
    for (int i = 0; i < MOST; i++) {
      parts[i] = (struct iovec){bytes[i], sizeof bytes[i]};
      headers[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i], .msg_iovlen = 1};
    }
    n = recvmmsg(sockets[socket_index], headers, MOST, MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++) on_datagram(bytes[i], headers[i].msg_len);
  }
}

static void drain_all(void) {
  for (int i = 0; i < SOCKETS; i++) drain(i);
}

static void send_heartbeats(void) {
  static u32 rotation; /* the next source */
  u64 due = due_heartbeats();
  u32 most = (u32)((due + SOCKETS - 1) / SOCKETS), sent = 0;
  while (sent < most) {
    int part = most - sent < MOST ? (int)(most - sent) : MOST;
    for (int s = 0; s < SOCKETS; s++) {
      for (int i = 0; i < part; i++) put_packet(i, s, (rotation + sent + (u32)i) % per_socket, 1);
      send_slots(s, part);
    }
    sent += (u32)part;
  }
  rotation = (rotation + most) % per_socket;
}

static void pump(int ms) {
  u64 end = now_ns() + (u64)ms * 1000000;
  do {
    send_heartbeats();
    drain_all();
    if (ms) usleep(1000);
  } while (now_ns() < end);
}

/* ---- connecting ---- */

static void send_hellos(int socket_index, u32 first, int count) {
  int used = 0;
  for (int i = 0; i < count; i++) {
    u32 source = first + (u32)i, number = connection_of(socket_index, source);
    if (sessions[number]) continue;
    set_source(used, source);
    put_hello(out[used].head, number + 1);
    set_parts(used++, HELLO_BYTES, NULL, 0);
  }
  send_slots(socket_index, used);
}

/* Says hello for so many connections of each socket, again to those that got no accept, until all have it. */
static void shake_hands(u32 first, int count) {
  u64 target = accepted + (u64)count * SOCKETS;
  for (int attempt = 0; accepted < target; attempt++) {
    if (attempt == 20) die("%llu of %llu handshakes", (unsigned long long)accepted, (unsigned long long)target);
    for (int s = 0; s < SOCKETS; s++) send_hellos(s, first, count);
    for (u64 since = now_ns(); accepted < target && now_ns() - since < 300000000;) drain_all();
  }
}

static u64 connect_all(void) {
  u64 sent = 0;
  for (u32 first = 0; first < per_socket; first += MOST) {
    int part = per_socket - first < MOST ? (int)(per_socket - first) : MOST;
    if (is_msgbox) shake_hands(first, part);
    for (int s = 0; s < SOCKETS; s++) {
      for (int i = 0; i < part; i++) put_packet(i, s, first + (u32)i, 0);
      window_wait(sent, (u64)part);
      send_slots(s, part);
      sent += (u64)part;
    }
    drain_all();
  }
  return sent;
}

static u64 send_some(void) {
  static int turn;
  int s = turn++ % SOCKETS;
  for (int i = 0; i < MOST; i++) put_packet(i, s, (u32)pick_random(per_socket), 0);
  send_slots(s, MOST);
  return MOST;
}

const Client *udp_client(void) {
  static const Client client = {connect_all, send_some, pump};
  is_msgbox = mode_has("msgbox");
  args.connections -= args.connections % SOCKETS;
  per_socket = (u32)args.connections / SOCKETS;
  server = loopback(args.port);
  payload = must_alloc(args.size);
  sessions = must_alloc((size_t)args.connections * sizeof *sessions);
  prepare();
  for (int i = 0; i < SOCKETS; i++) sockets[i] = udp_bound(any_address(0));
  return &client;
}

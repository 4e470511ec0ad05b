#include "forge.h"

#include "wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/socket.h>

enum { buffer_bytes = 4 << 20, most_message = 60000 };

typedef struct {
  struct mmsghdr headers[forge_batch];
  struct iovec parts[forge_batch];
  union {
    struct cmsghdr first;
    uint8_t room[CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(uint16_t))];
  } controls[forge_batch];
  uint8_t bytes[forge_batch][most_message];
} Batch;

static Batch batch;

void forger_open(Forger *forger, int port) {
  *forger = (Forger){.port = port, .segments = 1, .prefix = 0x7f000001, .spread = 0xfffffd, .random = 88172645463325252u};
  for (int i = 0; i < forge_sockets; i++) {
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), size = buffer_bytes;
    struct sockaddr_in any = {.sin_family = AF_INET};
    CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&any, sizeof any) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size) == 0);
    CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) == 0);
    forger->sockets[i] = fd;
  }
}

void forger_close(Forger *forger) {
  for (int i = 0; i < forge_sockets; i++) close(forger->sockets[i]);
}

static void put_control(struct msghdr *header, uint32_t source, size_t segment) {
  struct cmsghdr *control = CMSG_FIRSTHDR(header);
  *control = (struct cmsghdr){CMSG_LEN(sizeof(struct in_pktinfo)), IPPROTO_IP, IP_PKTINFO};
  struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(source)};
  memcpy(CMSG_DATA(control), &info, sizeof info);
  if (segment == 0) return;
  control = CMSG_NXTHDR(header, control);
  *control = (struct cmsghdr){CMSG_LEN(sizeof(uint16_t)), SOL_UDP, UDP_SEGMENT};
  uint16_t size = (uint16_t)segment;
  memcpy(CMSG_DATA(control), &size, sizeof size);
}

/* One message of the batch: `count` datagrams from one source. */
static void put_message(Forger *forger, int index, struct sockaddr_in *to, Maker maker, void *context, int count) {
  uint8_t *at = batch.bytes[index];
  size_t size = 0;
  for (int i = 0; i < count; i++) at += size = maker(at, context);
  batch.parts[index] = (struct iovec){batch.bytes[index], (size_t)(at - batch.bytes[index])};
  struct msghdr *header = &batch.headers[index].msg_hdr;
  size_t room = count > 1 ? sizeof batch.controls[index].room : CMSG_SPACE(sizeof(struct in_pktinfo));
  *header = (struct msghdr){.msg_name = to, .msg_namelen = sizeof *to, .msg_iov = &batch.parts[index], .msg_iovlen = 1,
                            .msg_control = &batch.controls[index], .msg_controllen = room};
  memset(&batch.controls[index], 0, sizeof batch.controls[index]);
  uint32_t source = forger->prefix + (uint32_t)random_below(&forger->random, forger->spread);
  put_control(header, source, count > 1 ? size : 0);
}

static uint64_t send_batch(Forger *forger, int messages, int last) {
  uint64_t before = forger->sent;
  int fd = forger->sockets[forger->turn++ % forge_sockets];
  for (int at = 0; at < messages;) {
    int taken = sendmmsg(fd, batch.headers + at, (unsigned)(messages - at), 0);
    if (taken < 0) CHECK(errno == EAGAIN || errno == ENOBUFS || errno == EINTR || errno == ECONNREFUSED);
    for (; taken > 0; taken--, at++) {
      forger->sent += (uint64_t)(at == messages - 1 ? last : forger->segments);
      forger->sent_bytes += batch.headers[at].msg_len;
    }
  }
  return forger->sent - before;
}

uint64_t forge(Forger *forger, Maker maker, void *context, uint64_t limit) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)forger->port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int messages = 0, last = 0;
  for (; messages < forge_batch && limit > 0; messages++) {
    last = limit < (uint64_t)forger->segments ? (int)limit : forger->segments;
    put_message(forger, messages, &to, maker, context, last);
    limit -= (uint64_t)last;
  }
  return send_batch(forger, messages, last);
}

void forger_drain(Forger *forger) {
  static uint8_t bytes[64][2048];
  struct mmsghdr headers[64];
  struct iovec parts[64];
  for (int i = 0; i < forge_sockets; i++) {
    for (int count = 64; count == 64;) {
      for (int j = 0; j < 64; j++) {
        parts[j] = (struct iovec){bytes[j], sizeof bytes[j]};
        headers[j] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[j], .msg_iovlen = 1}};
      }
      count = recvmmsg(forger->sockets[i], headers, 64, MSG_DONTWAIT, NULL);
      for (int j = 0; j < count; j++) {
        forger->back++;
        forger->back_bytes += headers[j].msg_len;
        forger->answers += !(headers[j].msg_len >= header_bytes && (bytes[j][1] == kind_accept || bytes[j][1] == kind_cookie));
      }
    }
  }
}

void forge_for(Forger *forger, Maker maker, void *context, int ms, uint64_t limit, uint64_t rate) {
  int64_t began = now_ns(), end = began + (int64_t)ms * 1000000;
  uint64_t sent = 0;
  for (int turn = 1; sent < limit && now_ns() < end; turn++) {
    uint64_t due = limit - sent;
    if (rate > 0) {
      uint64_t allowed = (uint64_t)((double)(now_ns() - began) * (double)rate / 1e9);
      due = allowed <= sent ? 0 : allowed - sent < due ? allowed - sent : due;
    }
    if (due > 0) sent += forge(forger, maker, context, due);
    if (due == 0 || turn % 16 == 0) forger_drain(forger);
  }
  forger_drain(forger);
}

/* ---- Makers ---- */

size_t make_hello(uint8_t *at, void *random) {
  return (size_t)(wire_hello(at, random_of(random) | 1) - at);
}

/* Fills with noise; half of it begins as packets do. */
static void put_noise(uint8_t *at, size_t count, uint64_t *random) {
  static uint8_t noise[1 << 16];
  static int is_made;
  for (size_t i = 0; !is_made && i < sizeof noise; i += 8) wire_put(noise + i, random_of(random), 8);
  is_made = 1;
  uint64_t dice = random_of(random);
  memcpy(at, noise + (dice >> 40) % (sizeof noise - most_noise), count);
  if (dice & 1 && count >= header_bytes)
    wire_part(at, (int)(dice >> 1 & 15), (int)(dice >> 5 & 15), 1 + (int)(dice >> 9 & 1), 0, (int)(dice >> 10 & 255));
}

size_t make_noise(uint8_t *at, void *random) {
  size_t count = 1 + random_below(random, most_noise);
  put_noise(at, count, random);
  return count;
}

size_t make_noise_train(uint8_t *at, void *context) {
  Train *train = context;
  if (train->left == 0) {
    train->left = train->length;
    train->count = 1 + random_below(&train->random, most_noise);
  }
  train->left--;
  put_noise(at, train->count, &train->random);
  return train->count;
}

size_t make_unknown(uint8_t *at, void *random) {
  uint64_t dice = random_of(random);
  wire_head(at, 0, (int)(dice % 16), random_of(random));
  size_t count = head_bytes + (dice >> 8) % 100;
  memset(at + head_bytes, 0, count - head_bytes);
  return count;
}

/* A Binding Request: type, length, magic cookie, transaction id. */
size_t make_stun(uint8_t *at, void *random) {
  uint8_t *end = wire_put(wire_put(at, 0x0001, 2), 0, 2);
  end = wire_put(end, 0x2112a442, 4);
  end = wire_put(wire_put(end, random_of(random), 8), random_of(random), 4);
  return (size_t)(end - at);
}

size_t make_mixed(uint8_t *at, void *random) {
  static const Maker makers[] = {make_hello, make_noise, make_unknown, make_stun};
  static int turn;
  return makers[turn++ % 4](at, random);
}

/* Somebody between a client and the server who keeps what passes, and sends it again: from the address that the server
   knows, and from another one. */
#include "attack.h"

#include "service.h"
#include "wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

enum { most_kept = 1 << 14, watch_ms = 400 };

typedef struct {
  uint8_t bytes[largest_datagram];
  size_t count;
} Kept;

static Kept kept[most_kept];
static int kept_count;

/* The socket that the client connects to. */
static int open_front(int *port) {
  int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  struct sockaddr_in at = {.sin_family = AF_INET};
  socklen_t size = sizeof at;
  at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof at) == 0);
  CHECK(getsockname(fd, (struct sockaddr *)&at, &size) == 0);
  *port = ntohs(at.sin_port);
  return fd;
}

/* Carries datagrams both ways for so long, and keeps those to the server. */
static void carry(Attack *attack, int front, const Peer *back, struct sockaddr_in *client, int ms) {
  struct pollfd waits[2] = {{.fd = front, .events = POLLIN}, {.fd = back->fd, .events = POLLIN}};
  uint8_t bytes[2048];
  for (int64_t end = now_ns() + (int64_t)ms * 1000000; now_ns() < end;) {
    CHECK(poll(waits, 2, 5) >= 0);
    socklen_t size = sizeof *client;
    for (ssize_t count; (count = recvfrom(front, bytes, sizeof bytes, MSG_DONTWAIT, (struct sockaddr *)client, &size)) > 0;) {
      peer_send(attack, back, bytes, (size_t)count);
      if (kept_count == most_kept || (size_t)count > sizeof kept[0].bytes) continue;
      memcpy(kept[kept_count].bytes, bytes, (size_t)count);
      kept[kept_count++].count = (size_t)count;
    }
    for (size_t count; (count = peer_receive(attack, back, bytes, sizeof bytes, 0)) > 0;)
      CHECK(sendto(front, bytes, count, 0, (struct sockaddr *)client, sizeof *client) == (ssize_t)count);
  }
}

/* The client's process is asked while the datagrams go on. */
static void forward(Attack *attack, int front, const Peer *back, Process *client) {
  struct sockaddr_in address = {0};
  char byte;
  struct pollfd ready = {.fd = client->control, .events = POLLIN};
  while (poll(&ready, 1, 0) == 0 && has_time(attack)) carry(attack, front, back, &address, 10);
  if (recv(client->control, &byte, 1, MSG_DONTWAIT) != 1) {
    attack->failure = "a client is let in through a forwarder";
    return;
  }
  carry(attack, front, back, &address, watch_ms);
}

/* How the server is when it has taken what was sent before. */
static ServerReport settled_report(const Attack *attack) {
  (void)server_report(attack->server);
  return server_report(attack->server);
}

/* Sends it all again; the server's program must see none of its reliable messages and requests. */
static void again(Attack *attack, const Peer *from) {
  ServerReport before = settled_report(attack);
  for (int i = 0; i < kept_count; i++) {
    peer_send(attack, from, kept[i].bytes, kept[i].count);
    if (i % 16 == 0) peer_drain(attack, from);
  }
  ServerReport after = settled_report(attack);
  if (before.counted == 0) attack->failure = "requests pass and are kept";
  if (after.counted != before.counted) attack->failure = "no request is seen twice";
  if (after.disorder != before.disorder) attack->failure = "no reliable message is seen twice";
}

static void replay(Attack *attack) {
  int port = 0, front = open_front(&port);
  Peer back = peer_open(attack, 0, attack->ports.udp_port), elsewhere = peer_open(attack, 0, attack->ports.udp_port);
  ServiceSettings settings = {.udp_port = port, .udp = 1, .heartbeat_ms = 200, .lost_ms = 5000, .get_gap_ms = 5,
                              .reliable_gap_ms = 10, .get_mark = counted_mark};
  attack->end += 4000000000;
  kept_count = 0;
  Process client = service_launch(&settings);
  forward(attack, front, &back, &client);
  again(attack, &back);
  again(attack, &elsewhere);
  process_kill(&client);
  again(attack, &elsewhere);
  close(front), close(back.fd), close(elsewhere.fd);
}

const AttackKind replay_attacks[] = {{"udp recorded traffic again, from the same and another address", replay, 0, 0}};
const int replay_attack_count = 1;

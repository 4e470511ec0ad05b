#include "attack.h"

#include "wire.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

uint32_t any_source(Attack *attack) { return 0x7f010001u + (uint32_t)random_below(&attack->random, 0xfe0000); }

Peer peer_open(Attack *attack, uint32_t source, int port) {
  Peer peer = {socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), 0};
  struct sockaddr_in from = {.sin_family = AF_INET}, to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  from.sin_addr.s_addr = htonl(source != 0 ? source : any_source(attack));
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  CHECK(peer.fd >= 0 && bind(peer.fd, (struct sockaddr *)&from, sizeof from) == 0);
  CHECK(connect(peer.fd, (struct sockaddr *)&to, sizeof to) == 0);
  return peer;
}

void peer_send(Attack *attack, const Peer *peer, const void *bytes, size_t count) {
  ssize_t sent = send(peer->fd, bytes, count, 0);
  if (sent < 0) {
    CHECK(errno == EAGAIN || errno == ENOBUFS || errno == ECONNREFUSED || errno == EINTR);
    return;
  }
  attack->sent++;
  attack->sent_bytes += (uint64_t)sent;
}

size_t peer_receive(Attack *attack, const Peer *peer, uint8_t *bytes, size_t room, int ms) {
  struct pollfd wait = {.fd = peer->fd, .events = POLLIN};
  if (poll(&wait, 1, ms) <= 0) return 0;
  ssize_t count = recv(peer->fd, bytes, room, MSG_DONTWAIT);
  if (count <= 0) return 0;
  attack->back++;
  /* A heartbeat answers nothing: it comes because a session is silent. */
  int is_heartbeat = count == head_bytes && bytes[1] == kind_heartbeat;
  if (!is_heartbeat) attack->back_bytes += (uint64_t)count;
  return (size_t)count;
}

void peer_drain(Attack *attack, const Peer *peer) {
  uint8_t bytes[2048];
  while (peer_receive(attack, peer, bytes, sizeof bytes, 0) > 0) {}
}

/* One hello and what comes for it; the cookie of an answer goes into the hello. */
static int say_hello(Attack *attack, Peer *peer, uint8_t *hello, int ms) {
  uint8_t answer[2048];
  peer_send(attack, peer, hello, hello_bytes);
  for (int64_t end = now_ns() + (int64_t)ms * 1000000; now_ns() < end;) {
    size_t count = peer_receive(attack, peer, answer, sizeof answer, ms);
    if (count >= accept_bytes && answer[1] == kind_accept && wire_get(answer + 8, 8) == wire_get(hello + 16, 8)) {
      peer->session = wire_get(answer + 16, 8);
      return 1;
    }
    if (count < head_bytes + 16 || answer[1] != kind_cookie) continue;
    memcpy(hello + 32, answer + head_bytes, 16);
    peer_send(attack, peer, hello, hello_bytes);
  }
  return 0;
}

int peer_join(Attack *attack, Peer *peer) {
  uint8_t hello[hello_bytes];
  wire_hello(hello, random_of(&attack->random) | 1);
  for (int attempt = 0; attempt < 4; attempt++) {
    if (say_hello(attack, peer, hello, 500)) return 1;
  }
  return 0;
}

Peer peer_enter(Attack *attack) {
  Peer peer = peer_open(attack, 0, attack->ports.udp_port);
  uint8_t beat[head_bytes];
  if (!peer_join(attack, &peer)) attack->failure = "a peer by hand is let in";
  wire_head(beat, 0, kind_heartbeat, peer.session);
  peer_send(attack, &peer, beat, sizeof beat);
  return peer;
}

int peer_is_served(Attack *attack, const Peer *peer) {
  uint8_t challenge[challenge_bytes], answer[2048];
  uint64_t token = random_of(&attack->random);
  wire_put(wire_head(challenge, 0, kind_path_challenge, peer->session), token, 8);
  peer_drain(attack, peer);
  for (int attempt = 0; attempt < 4; attempt++) {
    peer_send(attack, peer, challenge, sizeof challenge);
    for (int64_t end = now_ns() + 500000000; now_ns() < end;) {
      size_t count = peer_receive(attack, peer, answer, sizeof answer, 500);
      if (count == challenge_bytes && answer[1] == kind_path_response && wire_get(answer + 16, 8) == token) return 1;
    }
  }
  return 0;
}

void peer_leave(Attack *attack, Peer *peer) {
  uint8_t bytes[head_bytes];
  wire_head(bytes, 0, kind_close, peer->session);
  peer_send(attack, peer, bytes, sizeof bytes);
  /* The answer; without it the server repeats nothing, so it need not come. */
  (void)peer_receive(attack, peer, bytes, sizeof bytes, 50);
  close(peer->fd);
}

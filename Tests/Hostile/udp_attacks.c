/* What a stranger or a bad peer can do over UDP. */
#include "attack.h"

#include "wire.h"

/* ---- Strangers ---- */

static void forge_until_end(Attack *attack, int port, uint32_t prefix, uint32_t spread, Maker maker) {
  static Forger forger;
  forger_open(&forger, port);
  if (spread > 0) {
    forger.prefix = prefix;
    forger.spread = spread;
  }
  int ms = (int)((attack->end - now_ns()) / 1000000);
  forge_for(&forger, maker, &attack->random, ms > 0 ? ms : 0, UINT64_MAX, 0);
  forger_close(&forger);
  attack->sent += forger.sent, attack->sent_bytes += forger.sent_bytes;
  attack->back += forger.back, attack->back_bytes += forger.back_bytes;
}

static void noise(Attack *attack) { forge_until_end(attack, attack->ports.udp_port, 0, 0, make_noise); }
static void hellos(Attack *attack) { forge_until_end(attack, attack->ports.udp_port, 0, 0, make_hello); }
static void unknown(Attack *attack) { forge_until_end(attack, attack->ports.udp_port, 0, 0, make_unknown); }
static void mixed(Attack *attack) { forge_until_end(attack, attack->ports.udp_port, 0, 0, make_mixed); }

/* From the service's own /24. */
static void near_hellos(Attack *attack) {
  forge_until_end(attack, attack->ports.udp_port, 0x7f000001, 250, make_hello);
}

/* Bare headers, as of peers that never say hello. */
static size_t make_bare(uint8_t *at, void *random) {
  wire_put(wire_header(at, 0, kind_one_way, 0), random_of(random), 8);
  return header_bytes + 8;
}

/* From 10000 sources, so that there are as many peers at once whenever it is done. */
static void implicit(Attack *attack) {
  forge_until_end(attack, attack->ports.implicit_port, 0x7f010000, 10000, make_bare);
}

/* Other protocols and versions, kinds that are reserved, empty bodies. */
static size_t make_foreign(uint8_t *at, void *random) {
  uint64_t dice = random_of(random);
  wire_head(at, 0, (int)(dice >> 8 & 255), random_of(random));
  at[0] = (uint8_t)dice;
  return 1 + (dice >> 16) % (head_bytes + 8);
}

static void foreign(Attack *attack) { forge_until_end(attack, attack->ports.udp_port, 0, 0, make_foreign); }

static size_t make_close(uint8_t *at, void *random) {
  wire_head(at, 0, kind_close, random_of(random));
  at[7] = (uint8_t)(random_of(random) % 8);
  return head_bytes;
}

static void closes(Attack *attack) { forge_until_end(attack, attack->ports.udp_port, 0, 0, make_close); }

/* Hellos that are answered, and accepts that are not. */
static void half_handshakes(Attack *attack) {
  while (has_time(attack)) {
    Peer peer = peer_open(attack, 0, attack->ports.udp_port);
    for (int i = 0; i < 50 && has_time(attack); i++) {
      if (!peer_join(attack, &peer)) attack->failure = "a hello by hand is answered";
    }
    close(peer.fd);
  }
}

/* ---- Peers that were let in ---- */

/* Sends what `make` writes for the session of one peer until the time is over; then it must still be served. */
static void abuse(Attack *attack, size_t (*make)(uint8_t *at, uint64_t session, uint64_t *random)) {
  static uint8_t bytes[65536];
  Peer peer = peer_enter(attack);
  for (int turn = 1; has_time(attack); turn++) {
    peer_send(attack, &peer, bytes, make(bytes, peer.session, &attack->random));
    if (turn % 32 == 0) peer_drain(attack, &peer);
  }
  if (!peer_is_served(attack, &peer)) attack->failure = "its own session is served on";
  peer_leave(attack, &peer);
}

/* A packet whose sizes and counts say anything. */
static size_t make_lie(uint8_t *at, uint64_t session, uint64_t *random) {
  static const uint8_t kinds[] = {kind_one_way, kind_request, kind_reply, kind_ack, kind_number, kind_reliable,
                                  kind_hello, kind_accept, kind_path_challenge};
  uint64_t dice = random_of(random);
  uint8_t *end = wire_put(wire_part(at, flag_session | (int)(dice & 7), kinds[(dice >> 4) % sizeof kinds],
                                    (int)(dice >> 8 & 0xffff), (int)(dice >> 24 & 0xffff), (int)(dice >> 40 & 0xffff)),
                          session, 8);
  size_t rest = random_of(random) % 48;
  for (size_t i = 0; i < rest; i++) end[i] = (uint8_t)random_of(random);
  if (rest > 1 && dice & 8) end[0] = 0;
  return (size_t)(end - at) + rest;
}

static void lies(Attack *attack) { abuse(attack, make_lie); }

static size_t make_oversized(uint8_t *at, uint64_t session, uint64_t *random) {
  wire_head(at, 0, kind_one_way, session);
  return largest_datagram + 1 + random_below(random, 65507 - largest_datagram);
}

static void oversized(Attack *attack) { abuse(attack, make_oversized); }

/* Parts of sixteen messages that contradict each other in their totals and lengths, and overlap. */
static size_t make_overlap(uint8_t *at, uint64_t session, uint64_t *random) {
  int total = 2 + (int)random_below(random, 6);
  uint8_t *end = wire_part(at, flag_session | flag_id, kind_one_way, total, (int)random_below(random, (uint64_t)total), 0);
  end = wire_put(wire_put(end, session, 8), random_below(random, 16), 4);
  return (size_t)(end - at) + 1 + random_below(random, 1100);
}

static void overlaps(Attack *attack) { abuse(attack, make_overlap); }

/* One part of each of many messages. */
static size_t make_beginning(uint8_t *at, uint64_t session, uint64_t *random) {
  static uint32_t id;
  uint8_t *end = wire_part(at, flag_session | flag_id, kind_one_way, 2 + (int)random_below(random, 800), 1, 0);
  end = wire_put(wire_put(end, session, 8), id++, 4);
  memset(end, 1, 1100);
  return (size_t)(end - at) + 1100;
}

static void beginnings(Attack *attack) { abuse(attack, make_beginning); }

/* The same of reliable messages, in numbered datagrams, over all channels and places. */
static size_t make_reliable_beginning(uint8_t *at, uint64_t session, uint64_t *random) {
  static uint32_t number, place;
  uint8_t *end = wire_put(wire_header(at, flag_session | flag_length, kind_number, 0), session, 8);
  end = wire_put(wire_put(end, 4, 2), number++, 4);
  end = wire_part(end, flag_id, kind_reliable, 2 + (int)random_below(random, 800), 0, 0);
  end = wire_put(end, 1000000 + place, 4);
  end = wire_put(wire_put(end, random_below(random, 256), 1), place++ % 40000, 4);
  memset(end, 1, 1000);
  return (size_t)(end - at) + 1000;
}

/* Not served on: what is begun and left is a reason to close. */
static void reliable_beginnings(Attack *attack) {
  uint8_t bytes[2048];
  Peer peer = peer_enter(attack);
  while (has_time(attack)) {
    peer_send(attack, &peer, bytes, make_reliable_beginning(bytes, peer.session, &attack->random));
    peer_drain(attack, &peer);
  }
  peer_leave(attack, &peer);
}

/* Acknowledges anything, in gaps of any size. */
static size_t make_ack(uint8_t *at, uint64_t session, uint64_t *random) {
  uint8_t *end = wire_head(at, 0, kind_ack, session);
  size_t pairs = random_below(random, 256);
  for (size_t i = 0; i < 8 + 4 * pairs; i++) *end++ = (uint8_t)random_of(random);
  return (size_t)(end - at);
}

static void acks(Attack *attack) { abuse(attack, make_ack); }

static size_t make_challenge(uint8_t *at, uint64_t session, uint64_t *random) {
  wire_put(wire_head(at, 0, kind_path_challenge, session), random_of(random), 8);
  return challenge_bytes;
}

static void challenges(Attack *attack) { abuse(attack, make_challenge); }

static size_t make_response(uint8_t *at, uint64_t session, uint64_t *random) {
  wire_put(wire_head(at, 0, kind_path_response, session), random_of(random), 8);
  return challenge_bytes;
}

static void responses(Attack *attack) { abuse(attack, make_response); }

/* 118 empty messages in each datagram. */
static size_t make_packed(uint8_t *at, uint64_t session, uint64_t *random) {
  (void)random;
  uint8_t *end = wire_put(wire_head(at, flag_length, kind_one_way, session), 0, 2);
  while (end - at + 18 <= largest_datagram) end = wire_put(wire_header(end, flag_length, kind_one_way, 0), 0, 2);
  end = wire_header(end, 0, kind_one_way, 0);
  return (size_t)(end - at);
}

static void messages(Attack *attack) { abuse(attack, make_packed); }

/* Requests that the server's program never answers, each with an id of its own. */
static size_t make_request(uint8_t *at, uint64_t session, uint64_t *random) {
  static uint32_t id;
  uint8_t *end = wire_header(at, flag_session | flag_id, kind_request, 1 + (int)random_below(random, 65535));
  end = wire_put(wire_put(end, session, 8), id++, 4);
  end = wire_put(end, unanswered_mark, 1);
  return (size_t)(end - at);
}

static void unanswered(Attack *attack) {
  uint8_t bytes[64];
  Peer peer = peer_enter(attack);
  while (has_time(attack)) peer_send(attack, &peer, bytes, make_request(bytes, peer.session, &attack->random));
  peer_leave(attack, &peer);
}

/* Large requests, whose replies find no room. */
static void never_reads(Attack *attack) {
  static uint8_t bytes[largest_datagram];
  Peer peer = peer_enter(attack);
  for (uint32_t id = 0; has_time(attack); id++) {
    uint8_t *end = wire_header(bytes, flag_session | flag_id, kind_request, 1 + (int)(id % 65535));
    wire_put(wire_put(end, peer.session, 8), id, 4);
    peer_send(attack, &peer, bytes, sizeof bytes);
  }
  peer_leave(attack, &peer);
}

/* Two peers send for each other's sessions: messages, heartbeats and closes from the wrong address. */
static void swap(Attack *attack) {
  Peer peers[2] = {peer_enter(attack), peer_enter(attack)};
  uint8_t bytes[head_bytes];
  for (int turn = 0; has_time(attack); turn++) {
    static const uint8_t kinds[] = {kind_one_way, kind_heartbeat, kind_close};
    wire_head(bytes, 0, kinds[turn % 3], peers[1 - turn % 2].session);
    peer_send(attack, &peers[turn % 2], bytes, sizeof bytes);
    if (turn % 32 == 0) peer_drain(attack, &peers[0]), peer_drain(attack, &peers[1]);
  }
  for (int i = 0; i < 2; i++) {
    if (!peer_is_served(attack, &peers[i])) attack->failure = "both sessions are served on, at their own addresses";
    peer_leave(attack, &peers[i]);
  }
}

const AttackKind udp_attacks[] = {
    {"udp noise from anywhere", noise, 0, 0},
    {"udp hellos from forged sources", hellos, 0, 0},
    {"udp hellos from the prefix of the service", near_hellos, 0, 0},
    {"udp half handshakes", half_handshakes, 0, 0},
    {"udp packets of unknown sessions", unknown, 0, 0},
    {"udp other protocols and versions", foreign, 0, 0},
    {"udp forged closes", closes, 0, 0},
    {"udp hellos, noise, unknown sessions, STUN", mixed, 0, 0},
    {"udp a peer that lies about sizes", lies, 0, 0},
    {"udp a peer with oversized datagrams", oversized, 0, 0},
    {"udp fragments that contradict and overlap", overlaps, 0, 0},
    {"udp fragments of messages that never end", beginnings, 0, 0},
    {"udp reliable messages that never end", reliable_beginnings, 1, 0},
    {"udp acks of what was never sent", acks, 0, 0},
    {"udp path challenges", challenges, 0, 0},
    {"udp path responses to nothing", responses, 0, 0},
    {"udp a peer that floods small messages", messages, 0, 0},
    {"udp requests that are never answered", unanswered, 1, 0},
    {"udp a peer that does not read replies", never_reads, 1, 0},
    {"udp two peers with swapped sessions", swap, 0, 0},
};
const int udp_attack_count = sizeof udp_attacks / sizeof *udp_attacks;

/* It leaves connections behind that go by themselves, so it comes last. */
const AttackKind implicit_attacks[] = {{"udp bare headers to a listener of implicit peers", implicit, 0, 0}};
const int implicit_attack_count = 1;

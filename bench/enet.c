/* enet.c - ENet. Modes: udp.{rr,pipe,ow,big}.{unrel,rel}, udp.ow.*.f1 (a flush for each message), udp.many */
#include <enet/enet.h>
#include <stdio.h>
#include <string.h>

#include "common.h"
#include "sockets.h"

static enet_uint32 flags;
static ENetHost *host;
static ENetPeer *peer;
static u8 *data;

static ENetHost *new_host(const ENetAddress *address, size_t peers) {
  ENetHost *created = enet_host_create(address, peers, 1, 0, 0);
  if (!created) die("enet_host_create");
  set_buffers(created->socket);
  return created;
}

static ENetAddress server_address(void) {
  ENetAddress address;
  enet_address_set_host(&address, "127.0.0.1");
  address.port = (enet_uint16)args.port;
  return address;
}

/* ENet drops unreliable packets at the sender when the round-trip time varies; that is not to be measured. */
static void never_throttle(ENetPeer *of) {
  enet_peer_throttle_configure(of, 1000, ENET_PEER_PACKET_THROTTLE_SCALE, 0);
  of->packetThrottle = ENET_PEER_PACKET_THROTTLE_SCALE;
}

/* ---- server ---- */

static void take(ENetEvent *event, int echoes) {
  ENetPacket *packet = event->packet;
  if (echoes) enet_peer_send(event->peer, 0, enet_packet_create(packet->data, packet->dataLength, flags));
  enet_packet_destroy(packet);
  server_received(1);
}

static void serve(void) {
  int echoes = mode_has(".rr") || mode_has(".pipe"), many = mode_has("many");
  server_base();
  ENetAddress address = server_address();
  host = new_host(&address, many ? (size_t)args.connections : 4);
  server_ready();
  ENetEvent event;
  while (!server_stopped()) {
    if (enet_host_service(host, &event, 100) <= 0) continue;
    do {
      if (event.type == ENET_EVENT_TYPE_CONNECT && !many) never_throttle(event.peer);
      if (event.type == ENET_EVENT_TYPE_RECEIVE) take(&event, echoes);
    } while (enet_host_check_events(host, &event) > 0);
    if (echoes) enet_host_flush(host);
  }
}

/* ---- client of one connection ---- */

static void connect_one(void) {
  ENetEvent event;
  ENetAddress address = server_address();
  host = new_host(NULL, 4);
  peer = enet_host_connect(host, &address, 1, 0);
  if (enet_host_service(host, &event, 5000) <= 0 || event.type != ENET_EVENT_TYPE_CONNECT) die("no connection");
  never_throttle(peer);
  for (int i = 0; i < 20; i++) enet_host_service(host, &event, 5);
}

static void send_one(void) {
  if (enet_peer_send(peer, 0, enet_packet_create(data, args.size, flags))) die("enet_peer_send");
}

/* Runs the host for up to `ms`; how many messages came. */
static u64 pump(int ms) {
  ENetEvent event;
  u64 messages = 0;
  if (enet_host_service(host, &event, (enet_uint32)ms) <= 0) return 0;
  do {
    if (event.type == ENET_EVENT_TYPE_DISCONNECT) die("disconnected");
    if (event.type != ENET_EVENT_TYPE_RECEIVE) continue;
    enet_packet_destroy(event.packet);
    messages++;
  } while (enet_host_check_events(host, &event) > 0);
  return messages;
}

static void ask_one_by_one(void) {
  Rounds rounds;
  for (rounds_init(&rounds); rounds_left(&rounds); rounds_end(&rounds)) {
    rounds_begin(&rounds);
    send_one();
    enet_host_flush(host);
    for (int tries = 0; !pump(1000); tries++)
      if (tries == 3) die("lost");
  }
  report_rounds(&rounds);
}

static void ask_ahead(void) {
  u64 sent = 0, got = 0, start = now_ns(), cpu = cpu_ns();
  int silent = 0;
  for (; sent < args.outstanding; sent++) send_one();
  enet_host_flush(host);
  while (got < args.count) {
    u64 messages = pump(1000);
    if (!messages && ++silent > 3) die("lost");
    got += messages;
    for (; messages && sent < args.count; messages--, sent++) send_one();
    enet_host_flush(host);
  }
  report_pipe(got, start, cpu, 0, 0);
}

/* ---- one way ---- */

static struct {
  u64 last, since_ns;
} progress;

/* Whether nothing has come for so long. */
static int is_stalled(u64 patience_ns) {
  u64 count = server_count();
  if (count != progress.last) progress.last = count, progress.since_ns = now_ns();
  return now_ns() - progress.since_ns > patience_ns;
}

static void wait_for_window(u64 sent, u64 step, u64 window, u64 patience_ns) {
  while (window && sent + step > server_count() + window_lost + window) {
    pump(flags ? 1 : 0);
    if (!is_stalled(patience_ns)) continue;
    if (flags) die("stalled at %llu", (unsigned long long)progress.last);
    window_lost = sent - progress.last;
    progress.since_ns = now_ns();
  }
}

/* BENCH_BURST messages for each flush, which ENet packs into datagrams. */
static void send_one_way(void) {
  int is_big = args.size >= 65536;
  u64 step = is_big || mode_has(".f1") ? 1 : env_u64("BENCH_BURST", 32), window = args.window;
  if (is_big) window = args.size > 4 << 20 ? 1 : 4;
  u64 patience_ns = is_big ? 20000000000u : flags ? 5000000000u : 50000000u;
  u64 sent = 0, cpu = cpu_ns();
  progress.since_ns = now_ns();
  while (sent < args.count) {
    for (u64 k = 0; k < step && sent < args.count; k++, sent++) send_one();
    enet_host_flush(host);
    pump(0);
    wait_for_window(sent, step, window, patience_ns);
  }
  u64 most = flags ? 20000000000u : 300000000u;
  for (u64 since = now_ns(); server_count() < sent && now_ns() - since < most;) pump(1);
  report_one_way(sent, cpu_ns() - cpu);
}

/* ---- many connections, all from one host ---- */

static ENetPeer **peers;
static int connected;

static void count_connections(const ENetEvent *event) {
  if (event->type == ENET_EVENT_TYPE_CONNECT) connected++;
  if (event->type == ENET_EVENT_TYPE_DISCONNECT) connected--;
  if (event->type == ENET_EVENT_TYPE_RECEIVE) enet_packet_destroy(event->packet);
}

static void pump_many(int ms) {
  u64 end = now_ns() + (u64)ms * 1000000;
  ENetEvent event;
  do {
    int64_t left = (int64_t)(end - now_ns()) / 1000000;
    if (enet_host_service(host, &event, left < 0 ? 0 : left > 5 ? 5 : (enet_uint32)left) <= 0) continue;
    do count_connections(&event);
    while (enet_host_check_events(host, &event) > 0);
  } while (now_ns() < end);
}

static void send_on(int i) {
  peer = peers[i];
  peer->packetThrottle = ENET_PEER_PACKET_THROTTLE_SCALE;
  send_one();
}

static void connect_many(void) {
  enum { AT_ONCE = 64 };
  ENetAddress address = server_address();
  for (int i = 0; i < args.connections; i++) {
    peers[i] = enet_host_connect(host, &address, 1, 0);
    if (!peers[i]) die("enet_host_connect");
    for (int wait = 0; i % AT_ONCE == AT_ONCE - 1 && wait < 2000 && connected <= i; wait++) pump_many(1);
  }
  for (int wait = 0; wait < 5000 && connected < args.connections; wait++) pump_many(1);
  if (connected < args.connections) die("only %d connections", connected);
  for (int i = 0; i < args.connections; i++) {
    send_on(i);
    for (int wait = 0; i % AT_ONCE == AT_ONCE - 1 && wait < 200 && server_count() <= (u64)i; wait++) pump_many(0);
  }
  pump_many(300);
}

static void run_many(void) {
  enum { AT_ONCE = 256 };
  u64 seed = 88172645463325252u, sent = 0;
  host = new_host(NULL, (size_t)args.connections);
  peers = must_alloc((size_t)args.connections * sizeof(ENetPeer *));
  many_begin();
  connect_many();
  many_connected(args.connections);
  many_idle(pump_many, NULL);
  many_begin_traffic();
  while (sent < args.count && !many_time_is_over()) {
    for (int k = 0; k < AT_ONCE && sent < args.count; k++, sent++)
      send_on((int)(next_random(&seed) % (u64)args.connections));
    pump_many(0);
    many_window(sent, AT_ONCE, pump_many);
  }
  for (u64 since = now_ns(); many_received() < sent && now_ns() - since < 300000000;) pump_many(1);
  many_report(sent);
}

int main(int argc, char **argv) {
  bench_init(argc, argv, "enet");
  if (enet_initialize()) die("enet_initialize");
  flags = mode_has(".rel") || mode_has(".big") ? ENET_PACKET_FLAG_RELIABLE : 0;
  data = must_alloc(args.size);
  memset(data, 7, args.size);
  if (args.is_server) {
    serve();
    server_final();
    return 0;
  }
  wait_for_server();
  if (mode_has("many")) {
    run_many();
    return 0;
  }
  connect_one();
  if (mode_has(".rr")) ask_one_by_one();
  else if (mode_has(".pipe")) ask_ahead();
  else send_one_way();
  return 0;
}

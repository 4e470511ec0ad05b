/* manycli.c - a cheap client of the *.many servers: many connections to one process.
   Modes (what it speaks): udp.raw udp.msgbox tcp.raw (also for uv) tcp.msgbox tcp.sp (nng) tcp.zmtp (ZeroMQ) */
#include <stdio.h>
#include <stdlib.h>

#include "manycli.h"

u64 heard;
static u64 seed = 88172645463325252u;

u64 pick_random(u64 count) { return next_random(&seed) % count; }

u64 due_heartbeats(void) {
  static u64 next;
  enum { SLICE_MS = 10, SLICE_NS = SLICE_MS * 1000000 };
  u64 now = now_ns();
  if (!args.heartbeat_ms || now < next) return 0;
  next = next && now - next < 2 * SLICE_NS ? next + SLICE_NS : now + SLICE_NS;
  return ((u64)args.connections * SLICE_MS + args.heartbeat_ms - 1) / args.heartbeat_ms;
}

static void wait_for_first_messages(const Client *client, u64 sent) {
  for (u64 since = now_ns(); server_count() < sent && now_ns() - since < 20000000000u;) client->pump(1);
  if (server_count() < sent)
    die("%llu of %llu first messages", (unsigned long long)server_count(), (unsigned long long)sent);
}

static u64 send_traffic(const Client *client) {
  u64 sent = 0;
  many_begin_traffic();
  for (u64 turn = 1; sent < args.count && !many_time_is_over(); turn++) {
    many_window(sent, MOST, NULL);
    sent += client->send_some();
    if (!(turn & 15)) client->pump(0);
  }
  for (u64 since = now_ns(); many_received() < sent && now_ns() - since < 300000000;) client->pump(0);
  return sent;
}

int main(int argc, char **argv) {
  const char *peer = getenv("BENCH_PEER");
  bench_init(argc, argv, peer ? peer : "manycli");
  const Client *client = mode_has("udp") ? udp_client() : tcp_client();
  wait_for_server();
  many_begin();
  wait_for_first_messages(client, client->connect());
  many_connected(args.connections);
  many_idle(client->pump, &heard);
  many_report(send_traffic(client));
  return 0;
}

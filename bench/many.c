/* many.c - the phases that every client of many connections runs: connect, be idle, send at random. */
#include <stdio.h>
#include <unistd.h>

#include "common.h"

static struct {
  u64 start_ns, start_cpu_ns;                                  /* of the connecting */
  u64 base, traffic_ns, traffic_cpu_ns, lost, seen, seen_ns;   /* of the traffic */
  u64 longest_ns;
  int naps; /* instead of spinning, where the server needs all cores */
} many;

void many_begin(void) {
  many.start_ns = now_ns();
  many.start_cpu_ns = cpu_ns_of(shared->pid);
}

static double rss_per_connection(int connections) {
  return ((double)rss_kb_of(shared->pid) - (double)shared->start_rss_kb) * 1024 / connections;
}

void many_connected(int connections) {
  double seconds = (double)(now_ns() - many.start_ns) / 1e9;
  usleep(200000); /* so that the server is through with the last of them */
  printf("peer=%s mode=%s size=%zu count=%llu", args.peer, args.mode, args.size, (unsigned long long)args.count);
  printf(" conns=%d hb_ms=%llu connect_s=%.2f connect_cpu_us=%.2f rss_per_conn=%.0f rss_mb=%.3f", connections,
         (unsigned long long)args.heartbeat_ms, seconds,
         (double)(cpu_ns_of(shared->pid) - many.start_cpu_ns) / 1e3 / connections, rss_per_connection(connections),
         (double)rss_kb_of(shared->pid) / 1024);
}

void many_idle(void (*pump)(int ms), const u64 *heard) {
  if (!args.idle_seconds) return;
  /* The first heartbeats of those that came at once do not tell of the later ones. */
  pump(args.heartbeat_ms > 1000 ? (int)args.heartbeat_ms : 1000);
  u64 start = now_ns(), cpu = cpu_ns_of(shared->pid), before = heard ? *heard : 0;
  while (now_ns() - start < args.idle_seconds * 1000000000u) pump(10);
  double ns = (double)(now_ns() - start);
  printf(" idle_cpu_pct=%.3f", (double)(cpu_ns_of(shared->pid) - cpu) / ns * 100);
  if (heard) printf(" hb_per_s=%.0f", (double)(*heard - before) * 1e9 / ns);
}

void many_begin_traffic(void) {
  many.base = server_count();
  many.traffic_ns = many.seen_ns = now_ns();
  many.traffic_cpu_ns = cpu_ns_of(shared->pid);
  many.longest_ns = env_u64("BENCH_MAXS", 10) * 1000000000u;
  many.naps = env_u64("BENCH_NAP", 0) != 0;
}

u64 many_received(void) { return server_count() - many.base; }
int many_time_is_over(void) { return now_ns() - many.traffic_ns > many.longest_ns; }

void many_window(u64 sent, u64 more, void (*pump)(int ms)) {
  while (args.window && sent + more > many_received() + many.lost + args.window) {
    if (pump) pump(0);
    if (many.naps) usleep(50);
    else __builtin_ia32_pause();
    u64 got = many_received();
    if (got != many.seen) {
      many.seen = got;
      many.seen_ns = now_ns();
    } else if (now_ns() - many.seen_ns > 200000000) {
      many.lost = sent - got;
      many.seen_ns = now_ns();
    }
  }
}

void many_report(u64 sent) {
  double ns = (double)(now_ns() - many.traffic_ns), cpu = (double)(cpu_ns_of(shared->pid) - many.traffic_cpu_ns);
  double got = (double)many_received();
  printf(" rate=%.1f loss=%.6f srv_us=%.4f rss_after_per_conn=%.0f\n", got * 1e9 / ns,
         sent ? 1.0 - got / (double)sent : 0, cpu / 1e3 / (got > 0 ? got : 1), rss_per_connection(args.connections));
  fflush(stdout);
  stop_server();
}

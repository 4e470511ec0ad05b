/* Everything that bad peers and strangers can do, one after the other, against a server whose well-behaved clients are
   measured before and meanwhile. One line for each attack, and "N passed, N failed".

   hostile [MS [NAME]]: each attack lasts MS milliseconds (1200, and 1100 at least: who falls silent is to be seen); NAME: only
   those whose names contain it. All that leaves no large buffers is done twice: what the second time
   leaves allocated is a leak. */
#include "attack.h"

#include "service.h"

#include <sys/resource.h>

enum {
  default_ms = 1200, least_ms = 1100, before_ms = 1500, heartbeat_ms = 200, lost_ms = 5000,
  beat_slack_ms = 800, get_slack_ms = 1000, newcomer_ms = 2000, /* what the service may suffer on a busy machine */
  growth_kib = 24 << 10, /* of one attack: what may wait to be put together, half as much again for the heap's own */
  leak_kib = 512, settle_ms = 15000,
  busy = 10, idle = 5, service_connections = 2 * (busy + idle) /* over UDP and over TCP */
};
_Static_assert(least_ms > heartbeat_ms + beat_slack_ms, "a server that falls silent is seen in each attack");

static Process server, clients;
static Ports ports;
static Service before;
static int passed, failed;

static void count(int is_so) {
  if (is_so) passed++;
  else failed++;
}

static ServerSettings server_settings = {.heartbeat_ms = heartbeat_ms, .lost_ms = lost_ms};

static void begin(void) {
  static ServiceSettings settings = {.udp = busy, .tcp = busy, .idle_udp = idle, .idle_tcp = idle, .heartbeat_ms = heartbeat_ms,
                                     .lost_ms = lost_ms, .get_gap_ms = 2, .reliable_gap_ms = 20, .newcomer_gap_ms = 100,
                                     .has_tcp_newcomers = 1};
  server = server_start(&server_settings, &ports);
  settings.udp_port = ports.udp_port;
  settings.tcp_port = ports.tcp_port;
  clients = service_start(&settings);
  before = service_for(&clients, before_ms);
  printf("without an attack: %llu gets, p50 %.3f ms, p99 %.3f ms; new clients p99 %.1f ms; longest silence %.0f ms of %d\n",
         (unsigned long long)before.gets, before.get_p50, before.get_p99, before.newcomer_p99, before.silence_worst,
         heartbeat_ms);
}

/* What is not as it ought to be, or NULL. */
static const char *fault_of(const AttackKind *kind, const Attack *attack, const Service *seen, int64_t growth) {
  if (attack->failure != NULL) return attack->failure;
  if (attack->sent == 0) return "something is sent";
  if (seen->lost > 0) return "no connection is lost";
  if (seen->missing > 0) return "no get is without its reply";
  if (seen->undelivered > 0) return "no reliable message is lost";
  if (seen->turned_away > 0) return "each new client comes in";
  if (seen->newcomer_worst > newcomer_ms) return "each new client comes in within two seconds";
  if (seen->silence_worst > heartbeat_ms + beat_slack_ms) return "heartbeats are on time";
  if (seen->get_p99 > before.get_p99 + get_slack_ms) return "replies are on time";
  if (growth > growth_kib) return "memory is bounded";
  if (!kind->is_answered && attack->back_bytes > attack->sent_bytes) return "answers are no larger than their cause";
  return NULL;
}

static void run(const AttackKind *kind, int ms) {
  ServerReport from = server_report(&server);
  Attack attack = {.server = &server, .ports = ports, .end = now_ns() + (int64_t)ms * 1000000,
                   .random = 0x9e3779b97f4a7c15u + (uint64_t)(passed + failed)};
  service_begin(&clients);
  kind->run(&attack);
  Service seen = service_end(&clients);
  ServerReport to = server_report(&server);
  int64_t growth = (int64_t)to.resident_kib - (int64_t)from.resident_kib;
  const char *fault = fault_of(kind, &attack, &seen, growth);
  count(fault == NULL);
  printf("%s %s: %llu sent, %.2f bytes back for each", fault == NULL ? "ok     " : "FAILED ", kind->name,
         (unsigned long long)attack.sent, (double)attack.back_bytes / (double)(attack.sent_bytes > 0 ? attack.sent_bytes : 1));
  printf("; gets %.3f/%.3f ms, new clients %.0f ms, silence %.0f ms; memory %+lld KiB;", seen.get_p50, seen.get_p99,
         seen.newcomer_worst, seen.silence_worst, (long long)growth);
  print_drops(stdout, &from, &to);
  if (fault != NULL) printf("        not so: %s\n", fault);
  fflush(stdout);
}

static void run_all(const AttackKind *kinds, int count, int ms, const char *name, int is_second) {
  for (int i = 0; i < count; i++) {
    if (strstr(kinds[i].name, name) != NULL && !(is_second && kinds[i].keeps_buffers)) run(&kinds[i], ms);
  }
}

/* What attackers have left behind goes by itself: the connections and descriptors of the service are what remains. The
   heap in use then. */
static uint64_t wait_for_peace(uint64_t connections, uint64_t descriptors) {
  ServerReport report = server_report(&server);
  for (int64_t end = test_now_ms() + settle_ms; test_now_ms() < end; report = server_report(&server)) {
    if (report.statistics.connections == connections && report.descriptors == descriptors) break;
    (void)service_for(&clients, 100);
  }
  printf("afterwards: %llu connections of %llu, %llu descriptors of %llu, %llu KiB of %llu allocated\n",
         (unsigned long long)report.statistics.connections, (unsigned long long)connections,
         (unsigned long long)report.descriptors, (unsigned long long)descriptors,
         (unsigned long long)report.resident_kib, (unsigned long long)report.heap_kib);
  count(report.statistics.connections == connections && report.descriptors == descriptors && report.disorder == 0);
  return report.heap_kib;
}

/* The attacks, and what remains. */
static uint64_t run_round(int ms, const char *name, uint64_t descriptors, int is_second) {
  run_all(udp_attacks, udp_attack_count, ms, name, is_second);
  run_all(replay_attacks, replay_attack_count, ms, name, is_second);
  run_all(tcp_attacks, tcp_attack_count, ms, name, is_second);
  run_all(implicit_attacks, implicit_attack_count, ms, name, is_second);
  return wait_for_peace(service_connections, descriptors);
}

static void allow_descriptors(void) {
  struct rlimit limit;
  CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
  limit.rlim_cur = limit.rlim_max;
  CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
}

int main(int argc, char **argv) {
  int ms = argc > 1 ? atoi(argv[1]) : default_ms;
  if (ms < least_ms) ms = least_ms;
  const char *name = argc > 2 ? argv[2] : "";
  allow_descriptors();
  begin();
  uint64_t descriptors = server_report(&server).descriptors;
  uint64_t first = run_round(ms, name, descriptors, 0), second = run_round(ms, name, descriptors, 1);
  printf("allocated after all attacks: %llu KiB, after the same again %+lld KiB\n", (unsigned long long)first,
         (long long)(second - first));
  count(second <= first + leak_kib);
  service_finish(&clients);
  server_finish(&server);
  printf("%d passed, %d failed\n", passed, failed);
  return failed > 0;
}

/* Floods a server from forged sources as fast as the system takes datagrams, while clients are served and new ones
   come, and prints what it cost as a row of a table.

   flood hellos|noise|unknown|mixed [COUNT [RATE [SEGMENTS]]]: COUNT datagrams (10000000), at most RATE a second (0: no limit), of
   which each source sends SEGMENTS together (1) */
#include "forge.h"

#include "server.h"
#include "service.h"

enum {
  heartbeat_ms = 1000, lost_ms = 10000, most_seconds = 600, warm_up = 300000,
  beat_slack_ms = 300, newcomer_ms = 1000, newcomer_gap_ms = 50, settled_ms = 12000, answers_per_second = 1000,
  growth_kib = 512, short_growth_kib = 2048,
  tables_kib = 8 << 10, /* 4096 pending hellos, 4096 answers and 2048 cookies that wait, ten seconds of replies */
  /* The shortest time: three heartbeats, and for figures more than 100 new clients. */
  short_ms = 3500, long_ms = 6000, newcomers = 100, short_newcomers = 40
};

static uint64_t count = 10000000, rate;
static int segments = 1;
static const char *fault;

/* Whether enough is sent for figures; what a short flood shows is coarse. */
static int is_long(void) { return count >= 1000000; }

static void expect(int is_so, const char *what) {
  if (!is_so && fault == NULL) fault = what;
}

/* Datagrams that the kernel had no room for at the server's socket. */
static uint64_t kernel_drops(int port) {
  char line[512];
  uint64_t drops = 0;
  FILE *file = fopen("/proc/net/udp", "r");
  CHECK(file != NULL);
  while (fgets(line, sizeof line, file) != NULL) {
    unsigned local = 0, remote = 0;
    unsigned long long dropped = 0;
    if (sscanf(line, " %*d: %*x:%x %*x:%x %*x %*s %*s %*s %*s %*s %*s %*s %*s %llu", &local, &remote, &dropped) == 3 &&
        (int)local == port && remote == 0)
      drops += dropped;
  }
  fclose(file);
  return drops;
}

static Maker maker_of(const char *kind) {
  if (strcmp(kind, "hellos") == 0) return make_hello;
  if (strcmp(kind, "noise") == 0) return make_noise_train;
  if (strcmp(kind, "unknown") == 0) return make_unknown;
  if (strcmp(kind, "mixed") == 0) return make_mixed;
  return NULL;
}

static void send_flood(Forger *forger, const char *kind, uint64_t limit, int64_t least_ms) {
  static Train train = {.random = 0x1234567};
  static uint64_t random = 0x7654321;
  Maker maker = maker_of(kind);
  void *context = maker == make_noise_train ? (void *)&train : &random;
  train.length = segments;
  int64_t began = now_ns();
  forge_for(forger, maker, context, most_seconds * 1000, limit, rate);
  int64_t left = least_ms - (now_ns() - began) / 1000000;
  if (left > 0) forge_for(forger, maker, context, (int)left, UINT64_MAX, rate);
}

/* What strangers are told, but for handshakes, has a budget, and a second of it may have been saved. The server may
   still read when all is sent. */
static void judge_answers(const Forger *forger, double seconds) {
  expect((double)forger->answers <= answers_per_second * (seconds + 1), "answers to strangers keep to their budget");
}

/* In KiB: what the warm-up took, what is more at the end, and at the worst. */
typedef struct {
  int64_t tables, growth, peak;
} Memory;

static void judge_memory(const Memory *memory) {
  int64_t most = is_long() ? growth_kib : short_growth_kib;
  expect(memory->tables <= tables_kib, "what is kept of strangers is bounded");
  expect(memory->growth <= most && memory->peak <= most, "memory does not grow");
}

static void judge(const Service *seen, const Forger *forger, uint64_t sent_by_server, uint64_t disorder) {
  expect(forger->sent >= count, "everything is sent in ten minutes");
  expect(sent_by_server <= forger->sent_bytes, "no more bytes are sent, those to the clients included, than came");
  expect(seen->lost == 0, "no connection is lost");
  expect(seen->missing == 0, "no get is without its reply");
  expect(seen->undelivered == 0 && disorder == 0, "no reliable message is lost");
  expect(seen->turned_away == 0, "each new client comes in");
  if (is_long()) expect(seen->newcomers >= newcomers && seen->newcomer_p99 <= newcomer_ms, "99 of 100 new clients come in within a second");
  else expect(seen->newcomers >= short_newcomers && seen->newcomer_p90 <= newcomer_ms, "9 of 10 new clients come in within a second");
  expect(seen->silence_worst <= heartbeat_ms + beat_slack_ms, "heartbeats are on time");
}

static void print_row(
    const char *kind, const Forger *forger, const Service *seen, double seconds, uint64_t lost, const Memory *memory) {
  char name[64];
  snprintf(name, sizeof name, segments > 1 ? "%s, %d at once" : "%s", kind, segments);
  printf("| %s | %llu in %.1f s | %.0f | %llu | %+lld KiB (%+lld at the worst, %+lld before) | %.2f | %llu: %.1f, %.1f ms | "
         "%llu: %.2f ms | %llu | %.0f ms |\n",
         name, (unsigned long long)forger->sent, seconds, (double)forger->sent / seconds / 1e3, (unsigned long long)lost,
         (long long)memory->growth, (long long)memory->peak, (long long)memory->tables,
         (double)forger->back_bytes / (double)forger->sent_bytes, (unsigned long long)seen->newcomers,
         seen->newcomer_p99, seen->newcomer_worst, (unsigned long long)seen->gets, seen->get_p99,
         (unsigned long long)seen->reliable, seen->silence_worst);
}

int main(int argc, char **argv) {
  if (argc < 2 || maker_of(argv[1]) == NULL) {
    fprintf(stderr, "usage: flood hellos|noise|unknown|mixed [COUNT [RATE [SEGMENTS]]]\n");
    return 2;
  }
  if (argc > 2) count = strtoull(argv[2], NULL, 10);
  if (argc > 3) rate = strtoull(argv[3], NULL, 10);
  if (argc > 4) segments = atoi(argv[4]);
  CHECK(count > 0 && segments >= 1 && segments <= most_segments);
  static const ServerSettings server_settings = {.implicit_port = -1, .heartbeat_ms = heartbeat_ms, .lost_ms = lost_ms};
  Ports ports;
  Process server = server_start(&server_settings, &ports);
  const ServiceSettings settings = {.udp_port = ports.udp_port, .tcp_port = ports.tcp_port, .udp = 10, .tcp = 5,
                                    .idle_udp = 10, .heartbeat_ms = heartbeat_ms, .lost_ms = lost_ms, .get_gap_ms = 10,
                                    .reliable_gap_ms = 50, .get_mark = 1, .newcomer_gap_ms = newcomer_gap_ms};
  Process clients = service_start(&settings);
  static Forger forger;
  forger_open(&forger, ports.udp_port);
  forger.segments = segments;

  /* The tables of pending hellos and of answers have their bounds, and replies are remembered for ten seconds: what they
     take is not growth. A short flood is measured without the wait. */
  ServerReport cold = server_report(&server);
  send_flood(&forger, argv[1], warm_up, 0);
  (void)service_for(&clients, is_long() ? settled_ms : 1000);
  ServerReport before = server_report(&server);
  forger_drain(&forger);
  forger.sent = forger.sent_bytes = forger.back = forger.back_bytes = forger.answers = 0;
  uint64_t lost_before = kernel_drops(ports.udp_port);

  forget_peak(server.pid);
  service_begin(&clients);
  int64_t began = now_ns();
  send_flood(&forger, argv[1], count, is_long() ? long_ms : short_ms);
  double seconds = (double)(now_ns() - began) / 1e9;
  Service seen = service_end(&clients);
  forger_drain(&forger);
  double answering = (double)(now_ns() - began) / 1e9;
  ServerReport after = server_report(&server);
  uint64_t lost = kernel_drops(ports.udp_port) - lost_before;
  int64_t level = (int64_t)before.resident_kib;
  const Memory memory = {level - (int64_t)cold.resident_kib, (int64_t)after.resident_kib - level,
                         (int64_t)peak_kib(server.pid) - level};
  judge_memory(&memory);
  judge(&seen, &forger, after.statistics.bytes_sent - before.statistics.bytes_sent, after.disorder);
  judge_answers(&forger, answering);

  print_row(argv[1], &forger, &seen, seconds, lost, &memory);
  fprintf(stderr, "dropped:");
  print_drops(stderr, &before, &after);
  if (fault != NULL) fprintf(stderr, "not so: %s\n", fault);
  forger_close(&forger);
  service_finish(&clients);
  server_finish(&server);
  return fault != NULL;
}

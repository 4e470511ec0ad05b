/* Servers and clients that come, are killed, and go in order, at random and over both transports, for as long as is
   wanted. One server and one client stay all the time: their memory and descriptors are watched, and must be given back
   at the end.

   soak SECONDS [SEED]: the seed makes the same choices again, though not the same times */
#include "guest.h"

enum {
  servers = 3, guests = 8, heartbeat_ms = 200, lost_ms = 3000, most_samples_kept = 1 << 16,
  peace_ms = 30000, growth_kib = 1024
};

static uint64_t seed;
static ServerSettings server_settings[servers];
static GuestSettings guest_settings;
static Process server[servers], guest[guests];
static uint64_t killed_servers, killed_guests, finished_servers, finished_guests, broadcasts;
static GuestReport total;
static uint64_t server_kib[most_samples_kept], guest_kib[most_samples_kept];
static int samples;

static uint64_t below(uint64_t limit) { return random_below(&seed, limit); }

static void start_server(int index) {
  server[index] = server_start(&server_settings[index], &guest_settings.servers[index]);
  server_settings[index].udp_port = guest_settings.servers[index].udp_port;
  server_settings[index].tcp_port = guest_settings.servers[index].tcp_port;
}

static void start_guest(int index) {
  guest_settings.seed = random_of(&seed);
  guest[index] = guest_start(&guest_settings);
}

static void add(const GuestReport *report) {
  total.starts += report->starts, total.set_up += report->set_up, total.lost += report->lost;
  total.gets += report->gets, total.replies += report->replies;
  total.sent += report->sent, total.delivered += report->delivered;
}

static void finish_guest(int index) {
  GuestReport report = guest_finish(&guest[index]);
  add(&report);
  finished_guests++;
}

static void finish_server(int index) {
  CHECK(server_report(&server[index]).disorder == 0);
  server_finish(&server[index]);
  finished_servers++;
}

/* One thing that happens to one of those that do not stay. */
static void happen(void) {
  int one = 1 + (int)below(guests - 1), other = 1 + (int)below(servers - 1);
  switch (below(10)) {
  case 0 ... 3: process_kill(&guest[one]), killed_guests++, start_guest(one); break;
  case 4 ... 5: finish_guest(one), start_guest(one); break;
  case 6 ... 7: process_kill(&server[other]), killed_servers++, start_server(other); break;
  case 8: finish_server(other), start_server(other); break;
  default: (void)server_broadcast(&server[below(servers)], 1 + below(5000)), broadcasts++;
  }
}

static void sample(void) {
  if (samples == most_samples_kept) return;
  server_kib[samples] = server_report(&server[0]).resident_kib;
  guest_kib[samples++] = guest_report(&guest[0]).resident_kib;
}

static uint64_t most_of(const uint64_t *values, int from, int to) {
  uint64_t most = 0;
  for (int i = from; i < to; i++) most = values[i] > most ? values[i] : most;
  return most;
}

/* The most in the last quarter is not more than in the second one, but for what a peak may add. */
static void check_growth(const char *who, const uint64_t *values) {
  uint64_t early = most_of(values, samples / 4, samples / 2), late = most_of(values, samples * 3 / 4, samples);
  printf("%s that stayed: %llu KiB at most in the second quarter, %llu KiB in the last\n", who,
         (unsigned long long)early, (unsigned long long)late);
  fflush(stdout);
  CHECK(early > 0 && late <= early + growth_kib);
}

/* Nothing is left of those who were killed, and of nobody else. */
static void wait_for_peace(uint64_t descriptors) {
  ServerReport report = server_report(&server[0]);
  for (int64_t end = test_now_ms() + peace_ms; test_now_ms() < end; report = server_report(&server[0])) {
    if (report.statistics.connections == 0 && report.descriptors == descriptors) break;
    struct timespec pause = {.tv_nsec = 50000000};
    nanosleep(&pause, NULL);
  }
  const msg_Statistics *holds = &report.statistics;
  printf("the server that stayed: %llu connections in all, %llu held, %llu descriptors of %llu, %llu messages, %llu out of order\n",
         (unsigned long long)report.ready, (unsigned long long)holds->connections, (unsigned long long)report.descriptors,
         (unsigned long long)descriptors, (unsigned long long)report.messages, (unsigned long long)report.disorder);
  CHECK(holds->connections == 0 && report.ready == report.ended && report.descriptors == descriptors);
  CHECK(holds->requests_open == 0 && holds->queued_messages == 0 && holds->queued_bytes == 0);
  CHECK(holds->incomplete_bytes == 0 && report.disorder == 0 && report.numbered > 0);
}

static void run_for(int64_t seconds) {
  int64_t end = test_now_ms() + seconds * 1000, next_sample = 0;
  while (test_now_ms() < end) {
    struct timespec pause = {.tv_nsec = (long)(20 + below(200)) * 1000000};
    nanosleep(&pause, NULL);
    happen();
    if (test_now_ms() < next_sample) continue;
    next_sample = test_now_ms() + 1000;
    sample();
  }
}

int main(int argc, char **argv) {
  if (argc < 2) {
    fprintf(stderr, "usage: soak SECONDS [SEED]\n");
    return 2;
  }
  int64_t seconds = atoll(argv[1]);
  seed = (argc > 2 ? strtoull(argv[2], NULL, 10) : (uint64_t)now_ns()) | 1;
  CHECK(seconds > 0);
  printf("soak for %lld s, seed %llu\n", (long long)seconds, (unsigned long long)seed);
  guest_settings.server_count = servers;
  for (int i = 0; i < servers; i++) {
    server_settings[i] = (ServerSettings){.implicit_port = -1, .heartbeat_ms = heartbeat_ms, .lost_ms = lost_ms};
    start_server(i);
  }
  uint64_t descriptors = server_report(&server[0]).descriptors;
  for (int i = 0; i < guests; i++) start_guest(i);

  run_for(seconds);

  for (int i = guests - 1; i >= 0; i--) finish_guest(i);
  printf("%llu servers and %llu clients killed, %llu and %llu ended in order, %llu broadcasts; of the latter clients: %llu "
         "connections, %llu of %llu gets answered, %llu of %llu reliable messages told delivered, %llu connections lost\n",
         (unsigned long long)killed_servers, (unsigned long long)killed_guests, (unsigned long long)finished_servers,
         (unsigned long long)finished_guests, (unsigned long long)broadcasts, (unsigned long long)total.set_up,
         (unsigned long long)total.replies, (unsigned long long)total.gets, (unsigned long long)total.delivered,
         (unsigned long long)total.sent, (unsigned long long)total.lost);
  wait_for_peace(descriptors);
  check_growth("server", server_kib);
  check_growth("client", guest_kib);
  for (int i = 0; i < servers; i++) finish_server(i);
  return 0;
}

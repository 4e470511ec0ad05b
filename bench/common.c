#include "common.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

Arguments args;
Shared *shared;
u64 window_lost;

static u64 received, next_mark, mark_step;
static u64 window_known; /* the count of the server when it was last looked at */

/* ---- clocks and the system ---- */

void die(const char *format, ...) {
  int error = errno;
  va_list list;
  va_start(list, format);
  vfprintf(stderr, format, list);
  va_end(list);
  fprintf(stderr, " (errno %d %s)\n", error, strerror(error));
  exit(2);
}

static u64 clock_ns(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t)) return 0;
  return (u64)t.tv_sec * 1000000000u + (u64)t.tv_nsec;
}

u64 now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }
u64 cpu_ns(void) { return clock_ns(CLOCK_PROCESS_CPUTIME_ID); }

u64 cpu_ns_of(int pid) {
  clockid_t clock;
  return clock_getcpuclockid(pid, &clock) ? 0 : clock_ns(clock);
}

static u64 kb_in_file(const char *path, const char *key) {
  char line[256];
  u64 value = 0;
  FILE *file = fopen(path, "r");
  if (!file) return 0;
  while (fgets(line, sizeof line, file))
    if (!strncmp(line, key, strlen(key))) value = strtoull(line + strlen(key), NULL, 10);
  fclose(file);
  return value;
}

u64 rss_kb_of(int pid) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/status", pid);
  return kb_in_file(path, "VmRSS:");
}

u64 env_u64(const char *name, u64 otherwise) {
  const char *text = getenv(name);
  return text && *text ? strtoull(text, NULL, 10) : otherwise;
}

u64 next_random(u64 *state) {
  u64 x = *state;
  x ^= x << 13;
  x ^= x >> 7;
  x ^= x << 17;
  return *state = x;
}

void *must_alloc(size_t bytes) {
  void *memory = calloc(1, bytes ? bytes : 1);
  if (!memory) die("out of memory");
  return memory;
}

/* ---- the beginning ---- */

static void map_shared(void) {
  const char *path = getenv("BENCH_SHM");
  if (!path) die("BENCH_SHM is not set");
  int fd = open(path, O_RDWR | O_CREAT, 0600);
  CHECK(fd);
  CHECK(ftruncate(fd, 4096));
  shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (shared == MAP_FAILED) die("mmap");
  close(fd);
}

void bench_init(int argc, char **argv, const char *peer) {
  if (argc < 6) {
    fprintf(stderr, "usage: %s server|client MODE SIZE COUNT PORT\n", argv[0]);
    exit(1);
  }
  args = (Arguments){
      .peer = peer,
      .is_server = !strcmp(argv[1], "server"),
      .mode = argv[2],
      .size = strtoull(argv[3], NULL, 10),
      .count = strtoull(argv[4], NULL, 10),
      .port = atoi(argv[5]),
      .window = env_u64("BENCH_WIN", 1024),
      .outstanding = env_u64("BENCH_OUT", 64),
      .connections = (int)env_u64("BENCH_CONNS", 0),
      .heartbeat_ms = env_u64("BENCH_HB", 0),
      .idle_seconds = env_u64("BENCH_IDLE", 0),
  };
  map_shared();
  signal(SIGPIPE, SIG_IGN);
  alarm((unsigned)env_u64("BENCH_ALARM", 120));
  mark_step = args.size >= 65536 ? 1 : 256;
}

int mode_is(const char *mode) { return !strcmp(args.mode, mode); }
int mode_has(const char *part) { return strstr(args.mode, part) != NULL; }

/* ---- server ---- */

void server_base(void) {
  shared->start_rss_kb = rss_kb_of(getpid());
  shared->pid = getpid();
}

void server_ready(void) {
  if (!shared->pid) server_base();
  atomic_store(&shared->ready, 1);
}

static void mark(void) {
  u64 now = now_ns();
  if (!shared->first_ns) {
    shared->first_ns = now;
    shared->first_count = received;
    shared->first_cpu_ns = cpu_ns();
  }
  shared->last_ns = now;
  shared->last_count = received;
  next_mark = received + mark_step;
  if (next_mark > args.count && received < args.count) next_mark = args.count;
}

void server_received(u64 messages) {
  received += messages;
  if (received >= next_mark) mark();
  atomic_store_explicit(&shared->received, received, memory_order_release);
}

void server_final(void) {
  shared->end_cpu_ns = cpu_ns();
  atomic_store(&shared->final, 1);
}

/* ---- client ---- */

void wait_for_server(void) {
  for (int i = 0; i < 20000 && !shared->ready; i++) usleep(1000);
  if (!shared->ready) die("the server is not ready");
}

static int window_is_full(u64 sent) {
  if (!args.window || sent <= window_known + window_lost + args.window) return 0;
  window_known = server_count();
  return sent > window_known + window_lost + args.window;
}

void window_wait(u64 sent, u64 more) {
  if (!window_is_full(sent + more)) return;
  u64 since = now_ns(), known = window_known;
  for (unsigned spins = 1; window_is_full(sent + more); spins++) {
    __builtin_ia32_pause();
    if (spins & 1023) continue;
    if (window_known != known) {
      known = window_known;
      since = now_ns();
    } else if (now_ns() - since > 50000000) {
      window_lost = sent - window_known;
      return;
    }
  }
}

void wait_until_received(u64 sent) {
  u64 last = server_count(), since = now_ns();
  while (last < sent && now_ns() - since < 300000000) {
    usleep(500);
    u64 count = server_count();
    if (count != last) {
      last = count;
      since = now_ns();
    }
  }
}

void stop_server(void) {
  atomic_store(&shared->stop, 1);
  for (int i = 0; i < 3000 && !shared->final; i++) usleep(1000);
}

/* ---- reports ---- */

static void print_head(void) {
  printf("peer=%s mode=%s size=%zu count=%llu", args.peer, args.mode, args.size, (unsigned long long)args.count);
}

static void print_server_cpu(void) {
  double count = (double)(shared->received - shared->first_count);
  if (count > 0) printf(" srv_us=%.4f", (double)(shared->end_cpu_ns - shared->first_cpu_ns) / 1e3 / count);
}

void rounds_init(Rounds *rounds) {
  *rounds = (Rounds){.count = args.count, .warm = args.count / 10};
  rounds->rtt_ns = must_alloc(args.count * sizeof(u32));
}

void rounds_begin(Rounds *rounds) {
  rounds->sent_ns = now_ns();
  if (rounds->done != rounds->warm) return;
  rounds->start_ns = rounds->sent_ns;
  rounds->start_cpu_ns = cpu_ns();
}

void rounds_end(Rounds *rounds) {
  if (rounds->done >= rounds->warm) rounds->rtt_ns[rounds->done - rounds->warm] = (u32)(now_ns() - rounds->sent_ns);
  rounds->done++;
}

static int compare_u32(const void *a, const void *b) {
  u32 x = *(const u32 *)a, y = *(const u32 *)b;
  return x < y ? -1 : x > y;
}

void report_rounds(Rounds *rounds) {
  double total_ns = (double)(now_ns() - rounds->start_ns), cpu = (double)(cpu_ns() - rounds->start_cpu_ns);
  u64 n = rounds->count;
  stop_server();
  qsort(rounds->rtt_ns, n, sizeof *rounds->rtt_ns, compare_u32);
  print_head();
  printf(" p50=%.2f p99=%.2f min=%.2f rate=%.1f", rounds->rtt_ns[n / 2] / 1e3, rounds->rtt_ns[n * 99 / 100] / 1e3,
         rounds->rtt_ns[0] / 1e3, (double)n * 1e9 / total_ns);
  print_server_cpu();
  printf(" cli_us=%.4f\n", cpu / 1e3 / (double)n);
}

void report_pipe(u64 replies, u64 start_ns, u64 start_cpu_ns, u64 bad, u64 missing) {
  double total_ns = (double)(now_ns() - start_ns), cpu = (double)(cpu_ns() - start_cpu_ns);
  stop_server();
  print_head();
  printf(" rate=%.1f bad=%llu missing=%llu", (double)replies * 1e9 / total_ns, (unsigned long long)bad,
         (unsigned long long)missing);
  print_server_cpu();
  printf(" cli_us=%.4f\n", cpu / 1e3 / (double)(replies ? replies : 1));
}

void report_one_way(u64 sent, u64 client_cpu_ns) {
  wait_until_received(sent);
  stop_server();
  print_head();
  double seconds = (double)(shared->last_ns - shared->first_ns) / 1e9;
  double rate = seconds > 0 ? (double)(shared->last_count - shared->first_count) / seconds : 0;
  printf(" rate=%.1f gbs=%.4f loss=%.6f", rate, rate * (double)args.size / 1e9,
         sent ? 1.0 - (double)shared->received / (double)sent : 0);
  print_server_cpu();
  printf(" cli_us=%.4f\n", (double)client_cpu_ns / 1e3 / (double)(sent ? sent : 1));
}

/* common.h - what every benchmark program has in common: arguments, clocks, the page that the two
   processes share, the window of one-way messages, and the line that is printed at the end.

   Every program:  PROGRAM server|client MODE SIZE COUNT PORT
   Environment:    BENCH_SHM    a file of one page that both processes map (required)
                   BENCH_WIN    messages in flight of one-way UDP, 0 = no limit (1024)
                   BENCH_OUT    outstanding requests of *.pipe, where a program can choose (64)
                   BENCH_BURST  messages queued before they are flushed, where a program can choose
                   BENCH_CONNS  connections of *.many
                   BENCH_HB     heartbeat interval of *.many in milliseconds, 0 = off (0)
                   BENCH_IDLE   seconds of the idle phase of *.many (0)
                   BENCH_MAXS   seconds after which *.many stops sending (10)
                   BENCH_CC     TCP congestion control (the system's)
                   BENCH_ALARM  seconds after which a program gives up (120)

   The shared page carries no payload. The server counts there what it has received; the client bounds by
   it what is in flight, so that UDP figures are free of loss, and knows when everything has arrived. */
#ifndef BENCH_COMMON_H
#define BENCH_COMMON_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t u64;
typedef uint32_t u32;
typedef uint16_t u16;
typedef uint8_t u8;

/* The page that both processes map. The counter has a cache line of its own. */
typedef struct {
  _Atomic int ready, stop, final;
  int pid; /* of the server */
  char pad0[64];
  _Atomic u64 received;
  char pad1[56];
  u64 first_count, first_ns, last_count, last_ns; /* the first and the last mark of received messages */
  u64 first_cpu_ns, end_cpu_ns;                   /* CPU time of the server at the first mark and at its end */
  u64 start_rss_kb;                               /* resident memory of the server before any connection */
} Shared;

typedef struct {
  const char *peer, *mode;
  int is_server, port, connections;
  size_t size;
  u64 count, window, outstanding, heartbeat_ms, idle_seconds;
} Arguments;

extern Arguments args;
extern Shared *shared;

/* Messages that were sent and are known to be lost: they leave room in the window. */
extern u64 window_lost;

void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));
#define CHECK(x) \
  do { \
    if ((long)(x) < 0) die("%s:%d %s", __FILE__, __LINE__, #x); \
  } while (0)

u64 now_ns(void);
u64 cpu_ns(void);         /* of this process, all threads, user and system */
u64 cpu_ns_of(int pid);   /* of another */
u64 rss_kb_of(int pid);
u64 env_u64(const char *name, u64 otherwise);
u64 next_random(u64 *state); /* xorshift64; the state is never 0 */
void *must_alloc(size_t bytes); /* zeroed */

void bench_init(int argc, char **argv, const char *peer);
int mode_is(const char *mode);
int mode_has(const char *part);

/* ---- server ---- */
void server_ready(void);
/* As server_ready, but the base of memory is taken while clients still wait: for libraries that allocate
   for all their peers when they begin to listen. */
void server_base(void);
void server_received(u64 messages);
void server_final(void);
static inline int server_stopped(void) { return atomic_load_explicit(&shared->stop, memory_order_relaxed); }

/* ---- client ---- */
void wait_for_server(void);
void window_wait(u64 sent, u64 more); /* spins until `more` messages may follow the `sent` ones */
void wait_until_received(u64 sent);   /* or until nothing comes for 300 ms */
void stop_server(void);
static inline u64 server_count(void) { return atomic_load_explicit(&shared->received, memory_order_acquire); }

/* Round-trip times: the first tenth warms up and is not recorded. */
typedef struct {
  u32 *rtt_ns;
  u64 count, warm, done, start_ns, start_cpu_ns, sent_ns;
} Rounds;

void rounds_init(Rounds *rounds);
static inline int rounds_left(const Rounds *rounds) { return rounds->done < rounds->count + rounds->warm; }
void rounds_begin(Rounds *rounds); /* right before a request is sent */
void rounds_end(Rounds *rounds);   /* right after its reply has come */

void report_rounds(Rounds *rounds);
void report_pipe(u64 replies, u64 start_ns, u64 start_cpu_ns, u64 bad, u64 missing);
void report_one_way(u64 sent, u64 client_cpu_ns);

/* ---- clients of libraries whose calls block ---- */
typedef struct {
  void (*send_one)(void);
  void (*receive_one)(void);
} Blocking;

void blocking_rounds(const Blocking *peer);
void blocking_pipe(const Blocking *peer);
void blocking_one_way(const Blocking *peer);

/* ---- *.many: the phases that every client of many connections runs ---- */
void many_begin(void);
void many_connected(int connections);
/* `pump` runs the client for so many milliseconds; `heard` (NULL: unknown) counts packets from the server. */
void many_idle(void (*pump)(int ms), const u64 *heard);
void many_begin_traffic(void);
void many_report(u64 sent);
/* Spins until the window has room for `more`; what did not come within 200 ms is taken as lost. */
void many_window(u64 sent, u64 more, void (*pump)(int ms));
u64 many_received(void);       /* since many_begin_traffic */
int many_time_is_over(void);

#endif

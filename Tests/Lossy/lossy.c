/* Two processes send each other 16 MiB reliably over UDP, both at once, on a network that loses datagrams; what
   arrives is held against its checksum. scripts/test-lossy makes the losses and runs this.

   lossy PORT SECONDS MESSAGE_BYTES [BYTES]: sends BYTES (16 MiB) each way in messages of MESSAGE_BYTES. */
#include "test.h"

#include <sys/wait.h>

enum { channel = 1 };

static const char *name; /* of this process */
static uint64_t own_seed, peer_seed;
static size_t total = 16 << 20, message_bytes;
static unsigned char *pattern;
static size_t queued, received;
static uint64_t hash, expected_hash;
static uint64_t messages, outcomes;
static int peer_is_done, said_done, ended;
static msg_Conn peer;
static int64_t began, finished;

/* ---- What is sent ---- */

/* xorshift64*: the bytes of one direction. */
static void fill(unsigned char *bytes, size_t count, uint64_t seed) {
  for (size_t i = 0; i < count; i++) {
    seed ^= seed >> 12;
    seed ^= seed << 25;
    seed ^= seed >> 27;
    bytes[i] = (unsigned char)((seed * 0x2545f4914f6cdd1dull) >> 56);
  }
}

/* FNV-1a of 64 bits. */
static uint64_t hashed(uint64_t sum, const unsigned char *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) sum = (sum ^ bytes[i]) * 0x100000001b3ull;
  return sum;
}

static const uint64_t hash_start = 0xcbf29ce484222325ull;

/* Queues until the mark is reached; the outcome of each message is asked for. */
static void send_more(void) {
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  options.flags = MSG_SEND_RELIABLE | MSG_SEND_TELL;
  options.channel = channel;
  while (queued < total) {
    size_t count = total - queued < message_bytes ? total - queued : message_bytes;
    int32_t status = msg_send_with(peer, msg_data(pattern + queued, count), &options);
    if (status == MSG_ERR_WOULD_BLOCK) return;
    CHECK_CODE(status, MSG_OK);
    queued += count;
    messages++;
  }
}

/* All of ours has been acknowledged and all of the peer's is here. */
static int is_done(void) { return queued == total && outcomes == messages && received == total; }

static void report(void) {
  msg_ConnStatistics statistics = {.size = sizeof statistics};
  CHECK_CODE(msg_conn_statistics(peer, &statistics), MSG_OK);
  double seconds = (double)(finished - began) / 1000, sent = (double)statistics.tracked_sent;
  printf("%s: %zu bytes each way in %.2f s, %.1f Mbit/s; %llu datagrams, %llu found lost (%.2f %%), rtt %llu us\n", name,
         total, seconds, seconds > 0 ? (double)total * 8e-6 / seconds : 0,
         (unsigned long long)statistics.tracked_sent, (unsigned long long)statistics.tracked_lost,
         sent > 0 ? 100 * (double)statistics.tracked_lost / sent : 0, (unsigned long long)statistics.rtt_us);
  fflush(stdout);
}

/* Says so to the peer, behind all of the data. */
static void finish_if_done(void) {
  if (said_done || !is_done()) return;
  finished = test_now_ms();
  if (hash != expected_hash) {
    fprintf(stderr, "%s: the checksum is %016llx, not %016llx\n", name, (unsigned long long)hash,
            (unsigned long long)expected_hash);
    _exit(1);
  }
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  options.flags = MSG_SEND_RELIABLE;
  options.channel = channel;
  CHECK_CODE(msg_send_with(peer, msg_text(""), &options), MSG_OK);
  said_done = 1;
  report();
}

static void take(msg_Data data) {
  if (data.count == 0) {
    CHECK(received == total && !peer_is_done);
    peer_is_done = 1;
    return;
  }
  CHECK(data.count <= total - received);
  hash = hashed(hash, data.bytes, data.count);
  received += data.count;
}

static void on_event(const msg_Event *e) {
  switch (e->type) {
  case msg_connection_ready:
  case msg_connection_setup:
    CHECK(peer.id == 0);
    peer = e->conn;
    began = test_now_ms();
    send_more();
    break;
  case msg_writable: send_more(); break;
  case msg_message: take(e->data); break;
  case msg_delivered: outcomes++; break;
  case msg_connection_closed:
    CHECK(said_done && peer_is_done);
    ended = 1;
    break;
  case msg_listening: record(e); break;
  default:
    fprintf(stderr, "%s: %s, %s\n", name, msg_event_name(e->type), msg_status_name(e->code));
    _exit(1);
  }
  if (peer.id != 0) finish_if_done();
}

/* ---- The two processes ---- */

static void prepare(const char *who, uint64_t own, uint64_t others) {
  name = who;
  own_seed = own;
  peer_seed = others;
  pattern = malloc(total);
  CHECK(pattern != NULL);
  fill(pattern, total, peer_seed);
  expected_hash = hashed(hash_start, pattern, total);
  fill(pattern, total, own_seed);
  hash = hash_start;
}

static msg_Options options_of_both(void) {
  msg_Options options = MSG_OPTIONS_INIT;
  options.max_message_bytes = (uint32_t)total;
  return options;
}

static int serve(int port, int ms, int ready) {
  prepare("server", 0x5eed0001, 0x5eed0002);
  char address[64];
  snprintf(address, sizeof address, "udp://127.0.0.1:%d", port);
  msg_Options options = options_of_both();
  msg_Conn listener = msg_box_listen(msg_default_box(), address, on_event, &options);
  WAIT_FOR(count_of(msg_listening, listener) == 1, 5000);
  CHECK(write(ready, "!", 1) == 1);
  close(ready);
  WAIT_FOR(said_done && peer_is_done && ended, ms);
  return 0;
}

static void ask(int port, int ms, int ready) {
  prepare("client", 0x5eed0002, 0x5eed0001);
  char byte;
  CHECK(read(ready, &byte, 1) == 1);
  char address[64];
  snprintf(address, sizeof address, "udp://127.0.0.1:%d", port);
  msg_Options options = options_of_both();
  CHECK(msg_box_connect(msg_default_box(), address, on_event, &options).id != 0);
  WAIT_FOR(said_done && peer_is_done, ms);
  CHECK_CODE(msg_disconnect(peer), MSG_OK);
  WAIT_FOR(ended, 10000);
}

/* Runs on until the other process ends: its close may be lost, and is repeated to whoever still sends. */
static int status_of(pid_t process) {
  int status = 0, found = 0;
  for (int64_t deadline = test_now_ms() + 20000; found == 0 && test_now_ms() < deadline;) {
    CHECK(msg_runloop(10) >= 0);
    found = waitpid(process, &status, WNOHANG);
  }
  CHECK(found == process);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: lossy PORT SECONDS MESSAGE_BYTES [BYTES]\n");
    return 2;
  }
  int port = atoi(argv[1]), seconds = atoi(argv[2]);
  message_bytes = (size_t)atol(argv[3]);
  if (argc > 4) total = (size_t)atol(argv[4]);
  CHECK(port > 0 && seconds > 0 && message_bytes > 0 && total > 0);
  int ready[2];
  CHECK(pipe(ready) == 0);
  pid_t server = fork();
  CHECK(server >= 0);
  /* No wait below is without a deadline; this is for the ones of the system. */
  alarm((unsigned)seconds + 30);
  if (server == 0) {
    close(ready[0]);
    return serve(port, (seconds + 20) * 1000, ready[1]);
  }
  close(ready[1]);
  ask(port, seconds * 1000, ready[0]);
  return status_of(server);
}

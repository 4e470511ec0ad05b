/* A server with 100 peers, of which one stops to run its loop: its sender is told at the mark, the others wait no longer
   for their replies than without it, and memory does not grow.

   stalled udp|tcp */
#include "test.h"

#include <sys/wait.h>

enum { others = 99, replies_of_round = 20000, rounds = 5, message_bytes = 1000, most_sends = 1000000 };

static msg_Conn peers[others], stalled;
static int ready_count, set_up_count, ended_count;
static int is_flooding, refusals;
static uint64_t sent;
static int64_t asked_at[others];
static int64_t latencies[replies_of_round];
static int replies, is_asking;
static const char *transport;

static int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- The peers: processes of their own ---- */

static void on_peer_event(const msg_Event *e) {
  switch (e->type) {
  case msg_connection_setup: set_up_count++; break;
  case msg_request: CHECK_CODE(msg_answer(e->request, e->data), MSG_OK); break;
  case msg_connection_closed:
  case msg_connection_lost: ended_count++; break;
  case msg_message: break;
  default: test_failed(__FILE__, __LINE__, msg_event_name(e->type));
  }
}

static int read_port(int from) {
  int port = 0;
  if (read(from, &port, sizeof port) != sizeof port) _exit(0);
  return port;
}

/* 99 connections that answer, until the server closes them. */
static void run_others(int from) {
  int port = read_port(from);
  for (int i = 0; i < others; i++) test_connect(msg_default_box(), transport, port, on_peer_event, NULL);
  WAIT_FOR(ended_count == others, 90000);
  _exit(0);
}

/* One connection, whose loop is not run any more once it is set up; until the server's end of the pipe is closed. */
static void run_stalled(int from) {
  test_connect(msg_default_box(), transport, read_port(from), on_peer_event, NULL);
  WAIT_FOR(set_up_count == 1, 5000);
  char byte;
  while (read(from, &byte, 1) < 0 && errno == EINTR) {}
  _exit(0);
}

/* Starts a peer; gives the pipe that its port is written to. */
static int start(void (*run)(int from)) {
  int ends[2];
  CHECK(pipe(ends) == 0);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    alarm(95);
    close(ends[1]);
    run(ends[0]);
  }
  close(ends[0]);
  return ends[1];
}

/* ---- The server ---- */

static const char payload[message_bytes];

static void ask(intptr_t index) {
  asked_at[index] = now_ns();
  CHECK_CODE(msg_get(peers[index], msg_data(payload, 64), (void *)index), MSG_OK);
}

/* Sends to the peer that does not read, until it is refused. */
static void flood(void) {
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  if (strcmp(transport, "udp") == 0) options.flags = MSG_SEND_RELIABLE;
  while (sent < most_sends) {
    int32_t status = msg_send_with(stalled, msg_data(payload, sizeof payload), &options);
    if (status == MSG_ERR_WOULD_BLOCK) {
      refusals++;
      return;
    }
    CHECK_CODE(status, MSG_OK);
    sent++;
  }
  test_failed(__FILE__, __LINE__, "there is a mark");
}

static void on_reply(intptr_t index) {
  if (replies < replies_of_round) latencies[replies++] = now_ns() - asked_at[index];
  if (is_flooding) flood();
  if (is_asking) ask(index);
}

static void on_server_event(const msg_Event *e) {
  switch (e->type) {
  case msg_listening: record(e); break;
  case msg_connection_ready:
    if (ready_count < others) {
      peers[ready_count] = e->conn;
    } else {
      stalled = e->conn;
    }
    ready_count++;
    break;
  case msg_reply: on_reply((intptr_t)e->get_context); break;
  case msg_writable:
    CHECK(e->conn.id == stalled.id);
    break;
  default: test_failed(__FILE__, __LINE__, msg_event_name(e->type));
  }
}

static int compare(const void *left, const void *right) {
  int64_t a = *(const int64_t *)left, b = *(const int64_t *)right;
  return (a > b) - (a < b);
}

/* The 99th percentile of the time to a reply, in nanoseconds, with one get under way at each peer: the least of five
   rounds, since whatever else the machine does only adds to it. */
static int64_t p99(void) {
  int64_t least = INT64_MAX;
  for (int round = 0; round < rounds; round++) {
    replies = 0;
    is_asking = 1;
    for (intptr_t i = 0; i < others; i++) ask(i);
    WAIT_FOR(replies == replies_of_round, 20000);
    is_asking = 0;
    msg_Statistics statistics = {.size = sizeof statistics};
    do {
      CHECK(msg_runloop(10) >= 0);
      CHECK_CODE(msg_box_statistics(msg_default_box(), &statistics), MSG_OK);
    } while (statistics.gets_waiting > 0);
    qsort(latencies, replies_of_round, sizeof *latencies, compare);
    int64_t found = latencies[replies_of_round * 99 / 100];
    if (found < least) least = found;
  }
  return least;
}

/* Bytes of memory that this process has. */
static long resident(void) {
  long pages = 0, all = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  CHECK(file != NULL && fscanf(file, "%ld %ld", &all, &pages) == 2);
  fclose(file);
  return pages * sysconf(_SC_PAGESIZE);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: stalled udp|tcp\n");
    return 2;
  }
  transport = argv[1];
  alarm(95);
  /* Before there is a box: a forked process has none of its parent's. */
  int to_others = start(run_others), to_stalled = start(run_stalled);
  msg_Conn listener = test_listen(msg_default_box(), transport, on_server_event, NULL);
  int port = msg_local_port(listener);

  CHECK(write(to_others, &port, sizeof port) == sizeof port);
  WAIT_FOR(ready_count == others, 10000);
  int64_t without = p99();
  long before = resident();

  CHECK(write(to_stalled, &port, sizeof port) == sizeof port);
  WAIT_FOR(ready_count == others + 1, 10000);
  /* What the kernel takes first is not in the queue: the mark is reached when a turn makes no room. */
  for (int quiet = 0; quiet < 20;) {
    uint64_t had = sent;
    flood();
    CHECK(msg_runloop(5) >= 0);
    quiet = sent == had ? quiet + 1 : 0;
  }
  is_flooding = 1;
  int refused = refusals;
  int64_t with = p99();
  /* A machine that was busy just then gets another chance; what the stalled peer costs would be there each time. */
  for (int again = 0; again < 3 && with > 2 * without; again++) {
    int64_t more = p99();
    if (more < with) with = more;
  }
  long growth = resident() - before;

  msg_ConnStatistics statistics = {.size = sizeof statistics};
  CHECK_CODE(msg_conn_statistics(stalled, &statistics), MSG_OK);
  printf("p99 of %d replies: %.3f ms without it, %.3f ms with it; %llu messages of %d bytes taken for it, %llu queued; "
         "memory grew by %ld KiB\n",
         replies_of_round, (double)without / 1e6, (double)with / 1e6, (unsigned long long)sent, message_bytes,
         (unsigned long long)statistics.queued_messages, growth / 1024);
  /* Each reply has tried once more; at most what the kernel still took was accepted. */
  CHECK(refusals - refused >= rounds * replies_of_round);
  CHECK(statistics.queued_messages >= 500 && statistics.queued_messages <= 1000);
  CHECK(with <= 2 * without);
  CHECK(growth < 4 << 20);

  CHECK_CODE(msg_box_destroy(msg_default_box()), MSG_OK);
  close(to_stalled);
  close(to_others);
  int status = 0;
  for (int child = 0; child < 2; child++) {
    CHECK(wait(&status) > 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  }
  return 0;
}

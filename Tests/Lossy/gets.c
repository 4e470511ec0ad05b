/* 10 000 requests over UDP, of mixed sizes, on a network that loses datagrams: the handler runs at most once for each, and
   each has exactly one outcome. scripts/test-lossy makes the losses and runs this.

   gets PORT SECONDS */
#include "test.h"

#include <sys/wait.h>

enum { gets = 10000, at_once = 50, most_bytes = 6000, get_timeout_ms = 5000 };

static unsigned char bytes[most_bytes];
static int handled[gets], outcomes[gets];
static int asked, replied, missing, handlers;
static int is_set_up, is_over;
static msg_Conn peer;

/* One in twenty takes several packets, and of the replies another. */
static size_t size_of(int number, int is_reply) {
  unsigned dice = (unsigned)number * 2654435761u + (is_reply ? 40503u : 0u);
  dice ^= dice >> 15;
  return dice % 20 == 0 ? 1200 + dice % (most_bytes - 1200) : 8 + dice % 200;
}

static msg_Data content(int number, int is_reply) {
  size_t count = size_of(number, is_reply);
  memset(bytes, number & 255, count);
  memcpy(bytes, &number, sizeof number);
  return msg_data(bytes, count);
}

/* The number of a request or reply that is what was sent; -1 if it is not. */
static int number_of(msg_Data data, int is_reply) {
  int number = -1;
  if (data.count < sizeof number) return -1;
  memcpy(&number, data.bytes, sizeof number);
  if (number < 0 || number >= gets || data.count != size_of(number, is_reply)) return -1;
  for (size_t i = sizeof number; i < data.count; i++) {
    if (((const unsigned char *)data.bytes)[i] != (number & 255)) return -1;
  }
  return number;
}

static void ask(void) {
  while (asked < gets && asked - replied - missing < at_once) {
    void *context = (void *)(intptr_t)asked;
    int32_t status = msg_get_within(peer, content(asked, 0), context, get_timeout_ms, NULL);
    if (status == MSG_ERR_WOULD_BLOCK) return;
    CHECK_CODE(status, MSG_OK);
    asked++;
  }
}

static void on_client_event(const msg_Event *e) {
  intptr_t number = (intptr_t)e->get_context;
  switch (e->type) {
  case msg_connection_setup:
    peer = e->conn;
    is_set_up = 1;
    break;
  case msg_reply:
    CHECK(number_of(e->data, 1) == number && outcomes[number]++ == 0);
    replied++;
    break;
  case msg_reply_missing:
    CHECK(e->code == MSG_ERR_TIMED_OUT && outcomes[number]++ == 0);
    missing++;
    break;
  case msg_writable: break;
  case msg_connection_closed: is_over = 1; return;
  default: test_failed(__FILE__, __LINE__, msg_event_name(e->type));
  }
  ask();
}

static void on_server_event(const msg_Event *e) {
  switch (e->type) {
  case msg_request: {
    int number = number_of(e->data, 0);
    CHECK(number >= 0 && handled[number]++ == 0);
    handlers++;
    CHECK_CODE(msg_answer(e->request, content(number, 1)), MSG_OK);
    break;
  }
  case msg_connection_closed: is_over = 1; break;
  case msg_connection_ready: break;
  default: record(e);
  }
}

static int serve(int port, int ms, int ready, int result) {
  char address[64];
  snprintf(address, sizeof address, "udp://127.0.0.1:%d", port);
  msg_Conn listener = msg_box_listen(msg_default_box(), address, on_server_event, NULL);
  WAIT_FOR(count_of(msg_listening, listener) == 1, 5000);
  CHECK(write(ready, "!", 1) == 1);
  WAIT_FOR(is_over, ms);
  CHECK(write(result, &handlers, sizeof handlers) == sizeof handlers);
  return 0;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: gets PORT SECONDS\n");
    return 2;
  }
  int port = atoi(argv[1]), seconds = atoi(argv[2]), ready[2], result[2];
  CHECK(port > 0 && seconds > 0 && pipe(ready) == 0 && pipe(result) == 0);
  pid_t server = fork();
  CHECK(server >= 0);
  alarm((unsigned)seconds + 40);
  if (server == 0) return serve(port, (seconds + 30) * 1000, ready[1], result[1]);
  char byte;
  close(ready[1]);
  close(result[1]);
  CHECK(read(ready[0], &byte, 1) == 1);
  char address[64];
  snprintf(address, sizeof address, "udp://127.0.0.1:%d", port);
  CHECK(msg_connect(address, on_client_event).id != 0);
  WAIT_FOR(is_set_up && replied + missing == gets, seconds * 1000);
  msg_ConnStatistics statistics = {.size = sizeof statistics};
  CHECK_CODE(msg_conn_statistics(peer, &statistics), MSG_OK);
  CHECK_CODE(msg_disconnect(peer), MSG_OK);
  WAIT_FOR(is_over, 10000);
  for (int i = 0; i < gets; i++) CHECK(outcomes[i] == 1);
  int ran = 0, status = 0;
  /* Its close may be lost, and is repeated. */
  for (int64_t end = test_now_ms() + 20000; waitpid(server, &status, WNOHANG) == 0;) {
    CHECK(test_now_ms() < end && msg_runloop(10) >= 0);
  }
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK(read(result[0], &ran, sizeof ran) == sizeof ran);
  printf("%d gets: %d replies, %d missing, the handler ran %d times; %llu packets sent again, rtt %llu us\n", gets, replied,
         missing, ran, (unsigned long long)statistics.resent, (unsigned long long)statistics.rtt_us);
  /* Each reply was made by a handler. That nearly all come is no promise, but what sending again is for. */
  CHECK(replied <= ran && ran <= gets && replied >= gets * 99 / 100);
  return 0;
}

/* Every call inside every callback: each scenario brings about one type of event, and does one thing in its callback.
   Whatever that is, each start has one outcome, each open one end, each get one answer. */
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { most_handles = 32 };

typedef enum {
  do_disconnect, do_abort, do_unlisten, do_connect, do_listen, do_send, do_send_reliable, do_broadcast, do_send_any,
  do_get, do_cancel, do_answer, do_context, do_look, do_flush, do_runloop, do_other_box, do_disconnect_all, do_destroy,
  actions
} Action;

static msg_Box box;
static uint32_t trigger;
static Action action;
static int has_acted, is_destroyed, gets_begun, outcomes;
static msg_Conn listener, begun[most_handles];
static msg_Get last_get;
static int begun_count;
static int port;
static const char *transport;

static struct rlimit files;

static void on_event(const msg_Event *e);

static void begin(msg_Conn conn) {
  CHECK(conn.id != 0 && begun_count < most_handles);
  begun[begun_count++] = conn;
}

static void ask(msg_Conn conn, const char *text, uint32_t timeout_ms) {
  gets_begun += msg_get_within(conn, msg_text(text), NULL, timeout_ms, &last_get) == MSG_OK;
}

/* What may be answered is not the point here: that nothing breaks by it is. */
static void act(const msg_Event *e) {
  char text[64];
  msg_Statistics statistics = {.size = sizeof statistics};
  msg_ConnStatistics conn_statistics = {.size = sizeof conn_statistics};
  switch (action) {
  case do_disconnect: (void)msg_disconnect(e->conn); break;
  case do_abort: (void)msg_abort(e->conn); break;
  case do_unlisten: (void)msg_unlisten(listener); break;
  case do_connect: begin(test_connect(box, transport, port, on_event, NULL)); break;
  case do_listen:
    snprintf(text, sizeof text, "%s://127.0.0.1:0", transport);
    begin(msg_box_listen(box, text, on_event, NULL));
    break;
  case do_send: (void)msg_send(e->conn, msg_text("from a callback")); break;
  case do_send_reliable: {
    msg_SendOptions options = {.size = sizeof options, .flags = MSG_SEND_RELIABLE, .channel = 1};
    (void)msg_send_with(e->conn, msg_text("from a callback"), &options);
    break;
  }
  case do_broadcast: (void)msg_broadcast(listener, msg_text("to all"), NULL, NULL, NULL); break;
  case do_send_any: (void)msg_send_any(listener, msg_text("to one"), NULL, NULL); break;
  case do_cancel: (void)msg_cancel(last_get); break;
  case do_get: ask(e->conn, "from a callback", 100); break;
  case do_answer: (void)msg_answer(e->request, msg_text("answer")); break;
  case do_context:
    CHECK_CODE(msg_set_context(e->conn, text), MSG_OK);
    CHECK(msg_context(e->conn) == text);
    CHECK_CODE(msg_set_context(e->conn, NULL), MSG_OK);
    break;
  case do_look:
    CHECK(msg_address(e->conn, text, sizeof text) > 0);
    CHECK(msg_local_port(e->conn) >= 0);
    (void)msg_conn_statistics(e->conn, &conn_statistics);
    CHECK_CODE(msg_box_statistics(box, &statistics), MSG_OK);
    CHECK(msg_box_descriptor(box) >= 0 && msg_box_deadline_ms(box) >= -1);
    break;
  case do_flush: CHECK_CODE(msg_box_flush(box), MSG_OK); break;
  case do_runloop:
    CHECK_CODE(msg_box_runloop(box, 0), MSG_ERR_REENTRANT);
    CHECK_CODE(msg_box_runloop(box, -1), MSG_ERR_REENTRANT);
    break;
  case do_other_box: {
    /* Another box of the thread can be run from here. */
    msg_Box other = msg_box_create();
    CHECK(other.id != 0 && msg_box_runloop(other, 0) >= 0);
    CHECK_CODE(msg_box_destroy(other), MSG_OK);
    break;
  }
  case do_disconnect_all:
    for (int i = 0; i < begun_count; i++) (void)msg_disconnect(begun[i]);
    (void)msg_disconnect(e->conn);
    (void)msg_unlisten(listener);
    break;
  case do_destroy:
    CHECK_CODE(msg_box_destroy(box), MSG_OK);
    CHECK_CODE(msg_box_destroy(box), MSG_ERR_BAD_HANDLE);
    CHECK_CODE(msg_send(e->conn, msg_text("x")), MSG_ERR_BAD_HANDLE);
    is_destroyed = 1;
    break;
  case actions: break;
  }
}

static void on_event(const msg_Event *e) {
  CHECK(!is_destroyed); /* after msg_box_destroy nothing is called */
  record(e);
  outcomes += e->type == msg_reply || e->type == msg_reply_missing;
  if (e->type == msg_request && e->data.count > 0 && *(const char *)e->data.bytes == 'a') {
    (void)msg_answer(e->request, e->data);
  }
  if (e->type == msg_message) CHECK(e->data.count < 100000);
  if (e->type != trigger || has_acted) return;
  has_acted = 1;
  if (trigger == msg_error) CHECK(setrlimit(RLIMIT_NOFILE, &files) == 0);
  act(e);
  if (e->data.count > 0) CHECK(*(const char *)e->data.bytes != 0); /* the bytes still live */
}

static int ended_count(msg_Conn conn) {
  return count_of(msg_connection_closed, conn) + count_of(msg_connection_lost, conn) +
         count_of(msg_connection_setup_error, conn) + count_of(msg_listening_error, conn) +
         count_of(msg_listening_ended, conn);
}

static int all_ended(void) {
  for (int i = 0; i < begun_count; i++) {
    if (ended_count(begun[i]) == 0) return 0;
  }
  return 1;
}

static int bad_port(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(bind(fd, (struct sockaddr *)&address, length) == 0);
  CHECK(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
  close(fd);
  return ntohs(address.sin_port);
}

/* A TCP peer of the system that connects to the listener, says hello, and is gone without a close. */
static void stranger(void) {
  static const unsigned char hello[] = {
      0, 0, 0, 48, 0xc8, 5, 0, 1, 0, 0, 0, 0,             /* length; hello with a session of 0 */
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 99,    /* session; its own */
      0, 0, 0x75, 0x30, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, /* 30 s; 65536 bytes; no cookie */
      0, 0, 0, 0, 0, 0, 0, 0,
  };
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(fd >= 0);
  if (trigger == msg_error) {
    /* No descriptor is left to accept it with. */
    struct rlimit none = {(rlim_t)fd + 1, files.rlim_max};
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
  }
  CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
  CHECK(write(fd, hello, sizeof hello) == sizeof hello);
  int64_t limit = test_now_ms() + 3000;
  while (!is_destroyed && count_of(msg_connection_ready, anyone) == 0 && count_of(msg_error, anyone) == 0 && test_now_ms() < limit) {
    CHECK(msg_box_runloop(box, 100) >= 0);
  }
  close(fd);
  while (!is_destroyed && !has_acted && test_now_ms() < limit) CHECK(msg_box_runloop(box, 100) >= 0);
}

/* Asks, sends and waits until everything is said; the queue of one connection runs over its mark. */
static void traffic(void) {
  msg_Options options = MSG_OPTIONS_INIT;
  options.send_mark_messages = 4;
  options.connect_timeout_ms = 300;
  msg_Conn client = test_connect(box, transport, port, on_event, &options);
  begin(client);
  (void)msg_send(client, msg_text("hello"));
  ask(client, "a question", 300);
  if (trigger == msg_reply_missing) ask(client, "no answer", 30);
  if (trigger == msg_writable) {
    while (msg_send(client, msg_text("more")) == MSG_OK) {
    }
  }
  if (trigger == msg_connection_setup_error) begin(test_connect(box, "tcp", bad_port(), on_event, &options));
  if (trigger == msg_listening_error) begin(msg_box_listen(box, "udp://nonsense", on_event, NULL));
  int64_t limit = test_now_ms() + 3000;
  while (!is_destroyed && outcomes < gets_begun && test_now_ms() < limit) CHECK(msg_box_runloop(box, 100) >= 0);
}

static void scenario(void) {
  has_acted = is_destroyed = gets_begun = outcomes = begun_count = 0;
  forget();
  box = msg_box_create();
  CHECK(box.id != 0);
  char address[64];
  snprintf(address, sizeof address, "%s://127.0.0.1:0", transport);
  listener = msg_box_listen(box, address, on_event, NULL);
  begin(listener);
  while (!is_destroyed && count_of(msg_listening, listener) + count_of(msg_listening_error, listener) == 0) {
    CHECK(msg_box_runloop(box, 1000) >= 0);
  }
  if (!is_destroyed) {
    port = msg_local_port(listener);
    if (port <= 0) port = bad_port();
    if (trigger == msg_connection_lost || trigger == msg_error) stranger();
    else traffic();
  }
  if (!is_destroyed) {
    for (int i = 1; i < begun_count; i++) (void)msg_disconnect(begun[i]);
    int64_t limit = test_now_ms() + 3000;
    int closing = 0;
    while (!is_destroyed && !all_ended()) {
      if (test_now_ms() > limit) test_failed(__FILE__, __LINE__, "all ended");
      /* Listeners last, and those that were begun in a callback too. */
      for (int i = 0; i < begun_count; i++) {
        (void)msg_disconnect(begun[i]);
        if (closing) (void)msg_unlisten(begun[i]);
      }
      closing = 1;
      CHECK(msg_box_runloop(box, 100) >= 0);
    }
  }
  CHECK(has_acted);
  if (is_destroyed) {
    CHECK_CODE(msg_box_runloop(box, 0), MSG_ERR_BAD_HANDLE);
    return;
  }
  CHECK(outcomes == gets_begun);
  for (int i = 0; i < begun_count; i++) CHECK(ended_count(begun[i]) == 1);
  for (int i = 0; i < test_count; i++) {
    msg_Conn conn = {test_seen[i].conn};
    CHECK(ended_count(conn) <= 1);
    if (test_seen[i].type == msg_connection_ready) CHECK(ended_count(conn) == 1);
  }
  CHECK_CODE(msg_box_destroy(box), MSG_OK);
}

int main(void) {
  static const uint32_t triggers[] = {
      msg_listening, msg_listening_error, msg_listening_ended, msg_connection_setup, msg_connection_setup_error,
      msg_connection_ready, msg_message, msg_request, msg_reply, msg_reply_missing, msg_connection_closed, msg_writable,
      msg_connection_lost, msg_error,
  };
  CHECK(getrlimit(RLIMIT_NOFILE, &files) == 0);
  for (int t = 0; t < 2; t++) {
    transport = test_transport(t);
    for (size_t i = 0; i < sizeof triggers / sizeof triggers[0]; i++) {
      trigger = triggers[i];
      if (t == 0 && (trigger == msg_connection_lost || trigger == msg_error)) continue; /* of TCP here */
      for (action = 0; action < actions; action++) scenario();
    }
  }
  return 0;
}

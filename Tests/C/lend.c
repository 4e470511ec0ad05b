/* Bytes that are lent instead of copied are given back exactly once after OK, whatever becomes of the message, and
   never after a refusal. */
#include "test.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum { large = 200000, small = 20, lent_most = 64 };

/* How often each piece of lent memory was given back. */
static int released[lent_most];
static int lent;
static int received;
static msg_Conn client, server;

static void on_release(void *context, msg_Data data) {
  int *times = context;
  CHECK(times >= released && times < released + lent_most);
  ++*times;
  memset((void *)(uintptr_t)data.bytes, 0xee, data.count);
  free((void *)(uintptr_t)data.bytes);
}

/* Options of the next message that is lent. */
static msg_SendOptions lending(void) {
  CHECK(lent < lent_most);
  released[lent] = 0;
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  options.release = on_release;
  options.release_context = &released[lent++];
  return options;
}

static msg_Data memory(size_t count) {
  unsigned char *bytes = malloc(count);
  CHECK(bytes);
  memset(bytes, 'a' + lent % 26, count);
  return msg_data(bytes, count);
}

/* Lends and is not refused. */
static void lend(msg_Conn conn, size_t count, uint32_t flags, uint64_t key, uint32_t deadline_ms) {
  msg_Data data = memory(count);
  msg_SendOptions options = lending();
  options.flags = flags;
  options.key = key;
  options.deadline_ms = deadline_ms;
  CHECK_CODE(msg_send_with(conn, data, &options), MSG_OK);
}

/* Lends and is refused: the memory is still the program's. */
static void lend_in_vain(msg_Conn conn, size_t count, uint32_t flags, int32_t code) {
  msg_Data data = memory(count);
  msg_SendOptions options = lending();
  options.flags = flags;
  CHECK_CODE(msg_send_with(conn, data, &options), code);
  CHECK(released[--lent] == 0);
  free((void *)(uintptr_t)data.bytes);
}

static int all_released(void) {
  for (int i = 0; i < lent; i++) {
    CHECK(released[i] <= 1);
    if (!released[i]) return 0;
  }
  return 1;
}

static void on_event(const msg_Event *e) {
  record(e);
  if (e->type == msg_connection_setup) client = e->conn;
  if (e->type == msg_connection_ready) server = e->conn;
  if (e->type != msg_message) return;
  const unsigned char *bytes = e->data.bytes;
  for (size_t i = 1; i < e->data.count; i++) CHECK(bytes[i] == bytes[0]);
  received++;
}

/* A pair; the client may queue before it is set up. */
static void start(const char *transport, int waits) {
  forget();
  lent = received = 0;
  client.id = server.id = 0;
  msg_Options options = MSG_OPTIONS_INIT;
  options.send_mark_messages = 8;
  options.send_mark_bytes = 16 << 20;
  msg_Conn listener = test_listen(msg_default_box(), transport, on_event, &options);
  client = test_connect(msg_default_box(), transport, msg_local_port(listener), on_event, &options);
  if (waits) WAIT_FOR(server.id && count_of(msg_connection_setup, anyone) == 1, 10000);
}

static void end(void) {
  CHECK_CODE(msg_box_destroy(msg_default_box()), MSG_OK);
  CHECK(all_released());
}

static void written(const char *transport) {
  start(transport, 1);
  lend(client, small, 0, 0, 0);
  lend(client, large, 0, 0, 0);
  lend(client, 0, 0, 0, 0);
  lend(client, small, MSG_SEND_RELIABLE, 0, 0);
  lend(client, large, MSG_SEND_RELIABLE, 0, 0);
  lend(client, large, 0, 5, 60000);
  lend(server, large, MSG_SEND_RELIABLE, 0, 0);
  /* What is large is not copied, so it is needed still. */
  CHECK(!released[1] && !released[4] && !released[5] && !released[6]);
  WAIT_FOR(received == 7 && all_released(), 20000);
  end();
}

static void refused(const char *transport) {
  start(transport, 1);
  lend_in_vain(client, large, 1u << 30, MSG_ERR_INVALID_ARGUMENT);
  lend_in_vain(client, large, MSG_SEND_TELL, MSG_ERR_INVALID_ARGUMENT);
  lend_in_vain(client, (17 << 20), 0, MSG_ERR_TOO_BIG);
  lend_in_vain((msg_Conn){1}, large, 0, MSG_ERR_BAD_HANDLE);
  for (int i = 0; i < 8; i++) lend(client, large, 0, 0, 0);
  lend_in_vain(client, large, 0, MSG_ERR_WOULD_BLOCK);
  end();
}

/* Before there is somebody to send to, and behind messages with the same key. */
static void superseded_and_late(const char *transport) {
  start(transport, 0);
  lend(client, large, 0, 0, 1);
  int64_t late = test_now_ms() + 4;
  while (test_now_ms() < late) {
  }
  WAIT_FOR(count_of(msg_connection_setup, anyone) == 1, 10000);
  CHECK(released[0] == 1);
  lend(client, large, 0, 9, 0);
  lend(client, large, 0, 9, 0);
  CHECK(released[1] == 1 && released[2] == 0);
  end();
}

static void cut_off(const char *transport) {
  start(transport, 1);
  for (int i = 0; i < 4; i++) lend(client, large, i & 1 ? MSG_SEND_RELIABLE : 0, 0, 0);
  CHECK_CODE(msg_abort(client), MSG_OK);
  WAIT_FOR(all_released() && count_of(msg_connection_closed, anyone) > 0, 10000);
  end();
  start(transport, 1);
  for (int i = 0; i < 4; i++) lend(client, large, i & 1 ? MSG_SEND_RELIABLE : 0, 0, 0);
  CHECK_CODE(msg_abort(server), MSG_OK);
  WAIT_FOR(all_released() && count_of(msg_connection_closed, anyone) == 2, 10000);
  end();
  start(transport, 0);
  for (int i = 0; i < 4; i++) lend(client, large, 0, 0, 0);
  CHECK_CODE(msg_disconnect(client), MSG_OK);
  CHECK(all_released());
  end();
  start(transport, 1);
  for (int i = 0; i < 4; i++) lend(client, large, i & 1 ? MSG_SEND_RELIABLE : 0, 0, 0);
  end();
}

static void to_many(const char *transport) {
  start(transport, 1);
  msg_Data data = memory(large);
  msg_SendOptions options = lending();
  msg_Conn listener = {test_seen[0].conn};
  CHECK_CODE(msg_broadcast(listener, data, &options, NULL, NULL), 1);
  data = memory(large);
  options = lending();
  CHECK_CODE(msg_send_any(listener, data, &options, NULL), MSG_OK);
  WAIT_FOR(received == 2 && all_released(), 10000);
  data = memory(large);
  options = lending();
  CHECK_CODE(msg_broadcast(client, data, &options, NULL, NULL), MSG_ERR_INVALID_ARGUMENT);
  CHECK(released[--lent] == 0);
  free((void *)(uintptr_t)data.bytes);
  end();
}

/* A TCP peer of the system that says hello, reads the accept only, and is gone with a reset while much waits for it:
   what the system has, what the queue holds, what waits in its own form, and what is sent once it is gone. */
static void reset_by_peer(void) {
  static const unsigned char hello[52] = {[3] = 48, [4] = 0xc8, [5] = 5, [7] = 1, [27] = 9, [32] = 1};
  unsigned char accept[36];
  forget();
  lent = received = 0;
  client.id = server.id = 0;
  msg_Options options = MSG_OPTIONS_INIT;
  options.send_mark_bytes = 64 << 20;
  msg_Conn listener = test_listen(msg_default_box(), "tcp", on_event, &options);
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(msg_local_port(listener))};
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&name, sizeof name) == 0);
  CHECK(write(fd, hello, sizeof hello) == sizeof hello);
  WAIT_FOR(server.id, 10000);
  CHECK(recv(fd, accept, sizeof accept, MSG_WAITALL) == sizeof accept);
  for (int i = 0; i < 40; i++) lend(server, large, i & 1 ? MSG_SEND_RELIABLE : 0, (uint64_t)(i % 4 == 2 ? i : 0), 0);
  CHECK(msg_runloop(0) >= 0);
  CHECK(!all_released());
  struct linger linger = {.l_onoff = 1, .l_linger = 0};
  CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
  CHECK(close(fd) == 0);
  lend(server, large, 0, 0, 0);
  WAIT_FOR(count_of(msg_connection_lost, anyone) == 1 && all_released(), 10000);
  CHECK(msg_runloop(0) >= 0);
  end();
}

int main(void) {
  FOR_EACH_TRANSPORT(transport) {
    written(transport);
    refused(transport);
    superseded_and_late(transport);
    cut_off(transport);
    to_many(transport);
  }
  reset_by_peer();
  return 0;
}

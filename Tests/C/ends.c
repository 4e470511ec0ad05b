/* Gets that are given up, ends that deliver first and ends that do not, and connections that end for want of data. */
#include "test.h"

enum { messages = 100, message_bytes = 5000 };

static msg_Conn listener, client, server;
static unsigned char bytes[message_bytes];
static msg_Request held;

static void on_event(const msg_Event *e) {
  record(e);
  if (e->type == msg_connection_ready) server = e->conn;
  if (e->type == msg_request) held = e->request;
}

static void begin(const char *transport, const msg_Options *options) {
  forget();
  server = (msg_Conn){0};
  listener = test_listen(msg_default_box(), transport, on_event, options);
  client = test_connect(msg_default_box(), transport, msg_local_port(listener), on_event, options);
  WAIT_FOR(count_of(msg_connection_setup, client) == 1 && server.id != 0, 2000);
}

static void end(void) {
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, listener) == 1 && has_ended(client), 2000);
}

static void queue_messages(uint32_t flags) {
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  options.flags = flags;
  for (int i = 0; i < messages; i++) {
    CHECK_CODE(msg_send_with(client, msg_data(bytes, sizeof bytes), &options), MSG_OK);
  }
}

static void cancelled(const char *transport) {
  begin(transport, NULL);
  int tag;
  msg_Get get = {1};
  CHECK_CODE(msg_get_within(client, msg_data(NULL, 1), &tag, 0, &get), MSG_ERR_INVALID_ARGUMENT);
  CHECK(get.id == 0);
  CHECK_CODE(msg_get_within(client, msg_text("hold"), &tag, 60000, &get), MSG_OK);
  CHECK(get.id != 0);
  WAIT_FOR(count_of(msg_request, server) == 1, 2000);
  CHECK_CODE(msg_cancel(get), MSG_OK);
  CHECK_CODE(msg_cancel(get), MSG_ERR_BAD_HANDLE);
  WAIT_FOR(count_of(msg_reply_missing, client) == 1, 2000);
  CHECK(first_of(msg_reply_missing, client)->code == MSG_ERR_CANCELLED);
  CHECK(first_of(msg_reply_missing, client)->get_context == &tag);
  CHECK_CODE(msg_answer(held, msg_text("too late")), MSG_OK);
  CHECK_CODE(msg_get_within(client, msg_text("next"), NULL, 0, &get), MSG_OK);
  WAIT_FOR(count_of(msg_request, server) == 2, 2000);
  CHECK_CODE(msg_answer(held, msg_text("in time")), MSG_OK);
  WAIT_FOR(count_of(msg_reply, client) == 1, 2000);
  CHECK(strcmp(first_of(msg_reply, client)->text, "in time") == 0);
  CHECK_CODE(msg_cancel(get), MSG_ERR_BAD_HANDLE);
  end();
}

/* Everything that was accepted arrives, is told, and then the connection is closed. */
static void delivers_first(const char *transport) {
  begin(transport, NULL);
  queue_messages(MSG_SEND_RELIABLE | MSG_SEND_TELL);
  CHECK_CODE(msg_disconnect(client), MSG_OK);
  CHECK_CODE(msg_send(client, msg_text("late")), MSG_ERR_ENDED);
  CHECK_CODE(msg_disconnect(client), MSG_ERR_ENDED);
  WAIT_FOR(has_ended(client) && has_ended(server), 10000);
  CHECK(first_of(msg_connection_closed, client)->code == MSG_END_LOCAL);
  CHECK(first_of(msg_connection_closed, client)->undelivered == 0);
  CHECK(first_of(msg_connection_closed, server)->code == MSG_END_PEER);
  CHECK(count_of(msg_message, server) == messages && count_of(msg_delivered, client) == messages);
  CHECK(test_seen[test_count - 1].type == msg_connection_closed);
  end();
}

/* Nothing of what is queued is waited for, and all of it is accounted for. */
static void aborts(const char *transport, int disconnects_first) {
  begin(transport, NULL);
  int tag;
  CHECK_CODE(msg_get(client, msg_text("?"), &tag), MSG_OK);
  queue_messages(MSG_SEND_RELIABLE | MSG_SEND_TELL);
  if (disconnects_first) CHECK_CODE(msg_disconnect(client), MSG_OK);
  CHECK_CODE(msg_abort(client), MSG_OK);
  CHECK_CODE(msg_abort(client), MSG_ERR_ENDED);
  CHECK(msg_runloop(0) > 0);
  CHECK(has_ended(client));
  CHECK(first_of(msg_connection_closed, client)->code == MSG_END_LOCAL);
  CHECK(first_of(msg_connection_closed, client)->undelivered >= messages);
  CHECK(count_of(msg_delivered, client) == 0 && count_of(msg_undelivered, client) == messages);
  CHECK(first_of(msg_undelivered, client)->code == MSG_ERR_CONNECTION_ENDED);
  CHECK(first_of(msg_reply_missing, client)->code == MSG_ERR_CONNECTION_ENDED);
  WAIT_FOR(has_ended(server), 5000);
  CHECK_CODE(msg_abort(listener), MSG_ERR_INVALID_ARGUMENT);
  end();
}

static void aborts_before_setup(void) {
  forget();
  msg_Conn conn = test_connect(msg_default_box(), "udp", 1, on_event, NULL);
  msg_SendOptions options = {.size = sizeof options, .flags = MSG_SEND_RELIABLE | MSG_SEND_TELL};
  CHECK_CODE(msg_send_with(conn, msg_text("early"), &options), MSG_OK);
  CHECK_CODE(msg_abort(conn), MSG_OK);
  WAIT_FOR(has_ended(conn), 2000);
  CHECK_STORY(conn, "us");
  CHECK(first_of(msg_connection_setup_error, conn)->code == MSG_ERR_CANCELLED);
}

/* After so many heartbeats without a message the connection is closed, and both sides are told why. */
static void idle(const char *transport) {
  msg_Options options = MSG_OPTIONS_INIT;
  options.heartbeat_ms = 20;
  options.idle_keepalives = 5;
  begin(transport, &options);
  WAIT_FOR(has_ended(client) && has_ended(server), 3000);
  CHECK(first_of(msg_connection_closed, client)->code == MSG_ERR_IDLE);
  CHECK(first_of(msg_connection_closed, server)->code == MSG_ERR_IDLE);
  end();
}

int main(void) {
  FOR_EACH_TRANSPORT(transport) {
    cancelled(transport);
    delivers_first(transport);
    aborts(transport, 0);
    aborts(transport, 1);
    idle(transport);
  }
  aborts_before_setup();
  return 0;
}

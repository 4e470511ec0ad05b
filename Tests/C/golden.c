/* The golden cycles: client and server, over both transports, by the same events. */
#include "test.h"

static msg_Conn server_conn; /* the server's side of the latest connection */
static msg_Request held[8];
static int held_count;

static void on_server(const msg_Event *e) {
  record(e);
  if (e->type == msg_connection_ready) {
    server_conn = e->conn;
    CHECK(e->listener.id != 0);
  }
  if (e->type == msg_message) CHECK_CODE(msg_send(e->conn, e->data), MSG_OK);
  if (e->type == msg_request) {
    if (e->data.count == 4 && memcmp(e->data.bytes, "hold", 4) == 0) {
      held[held_count++] = e->request;
    } else {
      CHECK_CODE(msg_answer(e->request, e->data), MSG_OK);
      CHECK_CODE(msg_answer(e->request, e->data), MSG_ERR_BAD_HANDLE);
    }
  }
}

static void on_client(const msg_Event *e) {
  record(e);
  CHECK(e->listener.id == 0);
  if (e->type == msg_request) CHECK_CODE(msg_answer(e->request, msg_text("from client")), MSG_OK);
}

static int settled(void) { return count_of(msg_reply, anyone) + count_of(msg_reply_missing, anyone); }

/* What is queued before the setup leaves after it; each side sends and asks; the client disconnects. */
static void whole_cycle(const char *transport) {
  int tags[3] = {0, 1, 2};
  forget();
  msg_Conn listener = test_listen(msg_default_box(), transport, on_server, NULL);
  msg_Conn client = test_connect(msg_default_box(), transport, msg_local_port(listener), on_client, NULL);
  CHECK_CODE(msg_send(client, msg_text("early")), MSG_OK);
  CHECK_CODE(msg_get(client, msg_text("question"), &tags[0]), MSG_OK);
  WAIT_FOR(settled() == 1 && count_of(msg_message, client) == 1, 2000);
  CHECK(first_of(msg_reply, client)->get_context == &tags[0]);
  CHECK(strcmp(first_of(msg_reply, client)->text, "question") == 0);
  CHECK(strcmp(first_of(msg_message, client)->text, "early") == 0);

  /* Both ends may ask, after the setup. */
  CHECK_CODE(msg_get(server_conn, msg_text("to client"), &tags[1]), MSG_OK);
  WAIT_FOR(settled() == 2, 2000);
  CHECK(first_of(msg_reply, server_conn)->get_context == &tags[1]);
  CHECK(strcmp(first_of(msg_reply, server_conn)->text, "from client") == 0);

  /* Zero bytes are a message, a request and a reply. */
  CHECK_CODE(msg_send(client, msg_data(NULL, 0)), MSG_OK);
  CHECK_CODE(msg_get(client, msg_data(NULL, 0), &tags[2]), MSG_OK);
  WAIT_FOR(settled() == 3 && count_of(msg_message, client) == 2, 2000);
  CHECK(count_of(msg_request, server_conn) == 2);

  char address[64], expected[64];
  snprintf(expected, sizeof expected, "%s://127.0.0.1:%d", transport, (int)msg_local_port(listener));
  CHECK(msg_address(client, address, sizeof address) == (int32_t)strlen(expected));
  CHECK(strcmp(address, expected) == 0);
  snprintf(expected, sizeof expected, "%s://127.0.0.1:%d", transport, (int)msg_local_port(client));
  CHECK(msg_address(server_conn, address, sizeof address) > 0);
  CHECK(strcmp(address, expected) == 0);

  CHECK_CODE(msg_disconnect(client), MSG_OK);
  CHECK_CODE(msg_send(client, msg_text("late")), MSG_ERR_ENDED);
  WAIT_FOR(has_ended(client) && has_ended(server_conn), 2000);
  CHECK(first_of(msg_connection_closed, client)->code == MSG_END_LOCAL);
  CHECK(first_of(msg_connection_closed, server_conn)->code == MSG_END_PEER);
  CHECK_CODE(msg_send(client, msg_text("late")), MSG_ERR_BAD_HANDLE);

  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, listener) == 1, 2000);
  CHECK_STORY(listener, "LE");
  const char *story = story_of(client);
  CHECK(story[0] == 'S' && story[strlen(story) - 1] == 'C' && strlen(story) == 7);
  story = story_of(server_conn);
  CHECK(story[0] == 'R' && story[strlen(story) - 1] == 'C' && strlen(story) == 7);
}

/* Three requests are held and answered later, the last one first, outside of every callback. */
static void late_answers(const char *transport) {
  int tags[3] = {0, 1, 2};
  forget();
  held_count = 0;
  msg_Conn listener = test_listen(msg_default_box(), transport, on_server, NULL);
  msg_Conn client = test_connect(msg_default_box(), transport, msg_local_port(listener), on_client, NULL);
  for (int i = 0; i < 3; i++) CHECK_CODE(msg_get(client, msg_text("hold"), &tags[i]), MSG_OK);
  WAIT_FOR(held_count == 3, 2000);
  static const char *answers[] = {"first", "second", "third"};
  for (int i = 2; i >= 0; i--) CHECK_CODE(msg_answer(held[i], msg_text(answers[i])), MSG_OK);
  WAIT_FOR(settled() == 3, 2000);
  for (int i = 0; i < test_count; i++) {
    if (test_seen[i].type != msg_reply) continue;
    CHECK(strcmp(test_seen[i].text, answers[*(int *)test_seen[i].get_context]) == 0);
  }
  /* The server ends the listener: its connections are closed first. */
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, listener) == 1 && has_ended(client), 2000);
  CHECK(first_of(msg_connection_closed, server_conn)->code == MSG_END_UNLISTENED);
  CHECK(first_of(msg_connection_closed, client)->code == MSG_END_PEER);
  CHECK(first_of(msg_connection_closed, server_conn) < first_of(msg_listening_ended, listener));
}

/* Two clients of one listener: each handle names its own peer, and one that ends ends nobody else. */
static void two_clients(const char *transport) {
  forget();
  msg_Conn listener = test_listen(msg_default_box(), transport, on_server, NULL);
  msg_Conn clients[2], servers[2];
  for (int i = 0; i < 2; i++) {
    clients[i] = test_connect(msg_default_box(), transport, msg_local_port(listener), on_client, NULL);
    WAIT_FOR(count_of(msg_connection_ready, anyone) == i + 1, 2000);
    servers[i] = server_conn;
  }
  WAIT_FOR(count_of(msg_connection_setup, anyone) == 2, 2000);
  CHECK_CODE(msg_send(servers[1], msg_text("to 1")), MSG_OK);
  CHECK_CODE(msg_send(servers[0], msg_text("to 0")), MSG_OK);
  WAIT_FOR(count_of(msg_message, anyone) == 2, 2000);
  CHECK(strcmp(first_of(msg_message, clients[0])->text, "to 0") == 0);
  CHECK(strcmp(first_of(msg_message, clients[1])->text, "to 1") == 0);

  CHECK_CODE(msg_disconnect(servers[0]), MSG_OK);
  WAIT_FOR(has_ended(servers[0]) && has_ended(clients[0]), 2000);
  CHECK_CODE(msg_get(clients[1], msg_text("still there?"), NULL), MSG_OK);
  WAIT_FOR(count_of(msg_reply, clients[1]) == 1, 2000);
  CHECK(!has_ended(clients[1]) && !has_ended(servers[1]));
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, listener) == 1 && has_ended(clients[1]), 2000);
}

/* A listener on every address serves 127.0.0.2, ::1 and a name, and answers from the address that was asked. */
static void every_address(const char *transport) {
  forget();
  char address[64];
  snprintf(address, sizeof address, "%s://*:0", transport);
  msg_Conn listener = msg_listen(address, on_server);
  WAIT_FOR(count_of(msg_listening, listener) == 1, 2000);
  static const char *hosts[] = {"127.0.0.1", "127.0.0.2", "localhost"};
  for (int i = 0; i < 3; i++) {
    snprintf(address, sizeof address, "%s://%s:%d", transport, hosts[i], (int)msg_local_port(listener));
    msg_Conn client = msg_connect(address, on_client);
    CHECK_CODE(msg_get(client, msg_text("hello"), NULL), MSG_OK);
    WAIT_FOR(count_of(msg_reply, client) == 1 || has_ended(client), 4000);
    CHECK(count_of(msg_reply, client) == 1);
    CHECK_CODE(msg_disconnect(client), MSG_OK);
    WAIT_FOR(has_ended(client), 2000);
  }
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, listener) == 1, 2000);
}

int main(void) {
  CHECK(msg_version() == MSG_VERSION_NUMBER);
  FOR_EACH_TRANSPORT(transport) {
    whole_cycle(transport);
    late_answers(transport);
    two_clients(transport);
    every_address(transport);
  }
  return 0;
}

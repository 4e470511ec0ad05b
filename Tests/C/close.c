/* A close behind 200 KB that are still queued, while as much comes the other way and is never read: over TCP all of
   it arrives, and the end is closed, not lost. Over UDP the end is the same. */
#include "test.h"

enum { message_bytes = 1000, messages = 200 };

static msg_Conn client, server;
static int client_closes;
static unsigned char bytes[message_bytes];

static void send_all(msg_Conn conn) {
  for (int i = 0; i < messages; i++) {
    bytes[0] = (unsigned char)i;
    CHECK_CODE(msg_send(conn, msg_data(bytes, sizeof bytes)), MSG_OK);
  }
}

static void on_event(const msg_Event *e) {
  record(e);
  msg_Conn closer = client_closes ? client : server;
  if (e->type == msg_connection_setup) client = e->conn;
  if (e->type == msg_connection_ready) server = e->conn;
  if (e->type == msg_message && e->conn.id != closer.id) {
    CHECK(*(const unsigned char *)e->data.bytes == (unsigned char)(count_of(msg_message, e->conn) - 1));
  }
}

static void close_behind_data(const char *transport) {
  forget();
  client = server = (msg_Conn){0};
  msg_Conn listener = test_listen(msg_default_box(), transport, on_event, NULL);
  test_connect(msg_default_box(), transport, msg_local_port(listener), on_event, NULL);
  WAIT_FOR(client.id && server.id, 2000);
  msg_Conn closer = client_closes ? client : server, other = client_closes ? server : client;
  send_all(other);
  send_all(closer);
  CHECK_CODE(msg_disconnect(closer), MSG_OK);
  WAIT_FOR(has_ended(client) && has_ended(server), 5000);
  CHECK(first_of(msg_connection_closed, closer)->code == MSG_END_LOCAL);
  CHECK(first_of(msg_connection_closed, other)->code == MSG_END_PEER);
  if (strcmp(transport, "tcp") == 0) CHECK(count_of(msg_message, other) == messages);
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, listener) == 1, 2000);
}

int main(void) {
  for (client_closes = 0; client_closes <= 1; client_closes++) {
    FOR_EACH_TRANSPORT(transport) close_behind_data(transport);
  }
  return 0;
}

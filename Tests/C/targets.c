/* Sends to all and to any of a listener's connections, past those whose queues are full; marks of a box; states that
   replace each other; deadlines; what a program puts aside. */
#include "test.h"

#include <malloc.h>

enum { clients = 3, mark = 4 };

static msg_Conn listener, client[clients], server[clients];
static int servers;

static void on_event(const msg_Event *e) {
  record(e);
  if (e->type == msg_connection_ready) server[servers++] = e->conn;
}

/* A listener and three clients of it, with small queues. */
static void begin(const char *transport, const msg_Options *given) {
  forget();
  servers = 0;
  msg_Options options = MSG_OPTIONS_INIT;
  options.send_mark_messages = mark;
  listener = test_listen(msg_default_box(), transport, on_event, given ? given : &options);
  for (int i = 0; i < clients; i++) {
    client[i] = test_connect(msg_default_box(), transport, msg_local_port(listener), on_event, &options);
    WAIT_FOR(count_of(msg_connection_setup, client[i]) == 1 && servers == i + 1, 2000);
  }
}

static void end(void) {
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, listener) == 1, 2000);
  for (int i = 0; i < clients; i++) WAIT_FOR(has_ended(client[i]), 2000);
}

static void fill_queue(msg_Conn conn) {
  for (int i = 0; i < mark; i++) CHECK_CODE(msg_send(conn, msg_text("filler")), MSG_OK);
  CHECK_CODE(msg_send(conn, msg_text("one too many")), MSG_ERR_WOULD_BLOCK);
}

static void to_all(const char *transport) {
  begin(transport, NULL);
  msg_Conn skipped[clients] = {{0}};
  size_t count = clients;
  CHECK(msg_broadcast(listener, msg_text("first"), NULL, skipped, &count) == clients && count == 0);
  for (int i = 0; i < clients; i++) WAIT_FOR(count_of(msg_message, client[i]) == 1, 2000);

  fill_queue(server[1]);
  int tag;
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  options.flags = MSG_SEND_RELIABLE | MSG_SEND_TELL;
  options.context = &tag;
  count = clients;
  CHECK(msg_broadcast(listener, msg_text("second"), &options, skipped, &count) == clients - 1);
  CHECK(count == 1 && skipped[0].id == server[1].id);
  WAIT_FOR(count_of(msg_delivered, server[0]) == 1 && count_of(msg_delivered, server[2]) == 1, 2000);
  CHECK(first_of(msg_delivered, server[0])->get_context == &tag);
  WAIT_FOR(count_of(msg_writable, server[1]) == 1, 2000);
  CHECK(count_of(msg_delivered, server[1]) == 0);
  CHECK(count_of(msg_message, client[0]) == 2 && count_of(msg_message, client[2]) == 2);

  /* Without room for names they are counted all the same. */
  fill_queue(server[0]);
  count = 0;
  CHECK(msg_broadcast(listener, msg_text("third"), NULL, NULL, &count) == clients - 1 && count == 1);
  CHECK(msg_broadcast(listener, msg_text("fourth"), NULL, NULL, NULL) == clients - 1);
  CHECK_CODE(msg_broadcast(client[0], msg_text("x"), NULL, NULL, &count), MSG_ERR_INVALID_ARGUMENT);
  CHECK_CODE(msg_broadcast(listener, msg_data(NULL, 1), NULL, NULL, &count), MSG_ERR_INVALID_ARGUMENT);
  end();
  CHECK_CODE(msg_broadcast(listener, msg_text("x"), NULL, NULL, &count), MSG_ERR_BAD_HANDLE);
}

static size_t bytes_in_use(void) {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

/* A message to all over UDP that waits for its turn is kept once, not once for each. */
static void kept_once(void) {
  begin("udp", NULL);
  static const unsigned char big[1 << 20];
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  options.flags = MSG_SEND_RELIABLE;
  size_t before = bytes_in_use();
  CHECK(msg_broadcast(listener, msg_data(big, sizeof big), &options, NULL, NULL) == clients);
  CHECK(bytes_in_use() - before < sizeof big * 3 / 2);
  for (int i = 0; i < clients; i++) WAIT_FOR(count_of(msg_message, client[i]) == 1, 5000);
  end();
}

static void to_any(const char *transport) {
  begin(transport, NULL);
  msg_Conn chosen = {0};
  for (int i = 0; i < 2 * clients; i++) {
    CHECK_CODE(msg_send_any(listener, msg_text("work"), NULL, &chosen), MSG_OK);
    CHECK(chosen.id != 0);
  }
  for (int i = 0; i < clients; i++) WAIT_FOR(count_of(msg_message, client[i]) == 2, 2000);

  fill_queue(server[1]);
  for (int i = 0; i < clients; i++) {
    CHECK_CODE(msg_send_any(listener, msg_text("work"), NULL, &chosen), MSG_OK);
    CHECK(chosen.id != server[1].id);
  }
  while (msg_send_any(listener, msg_text("work"), NULL, NULL) == MSG_OK) {
  }
  CHECK_CODE(msg_send_any(listener, msg_text("work"), NULL, &chosen), MSG_ERR_WOULD_BLOCK);
  CHECK(chosen.id == 0);
  for (int i = 0; i < clients; i++) WAIT_FOR(count_of(msg_writable, server[i]) >= 1, 2000);
  for (int i = 0; i < clients; i++) CHECK_CODE(msg_disconnect(client[i]), MSG_OK);
  for (int i = 0; i < clients; i++) WAIT_FOR(has_ended(client[i]) && has_ended(server[i]), 2000);
  CHECK_CODE(msg_send_any(listener, msg_text("work"), NULL, &chosen), MSG_ERR_NO_PEER);
  CHECK(msg_broadcast(listener, msg_text("news"), NULL, NULL, NULL) == 0);
  end();
  CHECK_CODE(msg_send_any(listener, msg_text("x"), NULL, &chosen), MSG_ERR_BAD_HANDLE);
}

/* The box has marks too: what one connection queues counts for all. */
static void marks_of_the_box(const char *transport) {
  begin(transport, NULL);
  msg_BoxOptions options = MSG_BOX_OPTIONS_INIT;
  options.send_mark_messages = 3;
  CHECK_CODE(msg_box_set_options(msg_default_box(), &options), MSG_OK);
  CHECK_CODE(msg_send(client[0], msg_text("1")), MSG_OK);
  CHECK_CODE(msg_send(client[0], msg_text("2")), MSG_OK);
  CHECK_CODE(msg_get(server[1], msg_text("3"), NULL), MSG_OK);
  /* Each has a share beyond the mark, here one message. */
  CHECK_CODE(msg_send(client[2], msg_text("4")), MSG_OK);
  CHECK_CODE(msg_send(client[2], msg_text("5")), MSG_ERR_WOULD_BLOCK);
  CHECK_CODE(msg_get(client[2], msg_text("5"), NULL), MSG_ERR_WOULD_BLOCK);
  WAIT_FOR(count_of(msg_writable, client[2]) == 1, 2000);
  CHECK_CODE(msg_send(client[2], msg_text("5")), MSG_OK);
  WAIT_FOR(count_of(msg_message, anyone) == 4, 2000);
  CHECK_CODE(msg_box_set_options(msg_default_box(), NULL), MSG_OK);
  end();
}

static void states(const char *transport, uint32_t flags) {
  begin(transport, NULL);
  int tags[3];
  for (int i = 0; i < 3; i++) {
    msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
    options.flags = flags;
    options.key = 7;
    options.context = &tags[i];
    char text[8];
    snprintf(text, sizeof text, "%d", i);
    CHECK_CODE(msg_send_with(client[0], msg_text(text), &options), MSG_OK);
  }
  msg_ConnStatistics statistics = {.size = sizeof statistics};
  CHECK_CODE(msg_conn_statistics(client[0], &statistics), MSG_OK);
  CHECK(statistics.queued_messages == 1);
  WAIT_FOR(count_of(msg_message, server[0]) == 1, 2000);
  CHECK(strcmp(first_of(msg_message, server[0])->text, "2") == 0);
  CHECK(msg_conn_drops(client[0], MSG_DROP_SUPERSEDED) == 2);
  if (flags & MSG_SEND_TELL) {
    WAIT_FOR(count_of(msg_delivered, client[0]) == 1, 2000);
    CHECK(first_of(msg_delivered, client[0])->get_context == &tags[2]);
    CHECK(count_of(msg_undelivered, client[0]) == 2);
    CHECK(first_of(msg_undelivered, client[0])->code == MSG_ERR_SUPERSEDED);
    CHECK(first_of(msg_undelivered, client[0])->get_context == &tags[0]);
  }
  end();
}

static void deadlines(const char *transport, uint32_t flags) {
  begin(transport, NULL);
  int tag;
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  options.flags = flags;
  options.deadline_ms = 1;
  options.context = &tag;
  CHECK_CODE(msg_send_with(client[0], msg_text("stale"), &options), MSG_OK);
  /* The loop does not run before the deadline is over. */
  int64_t late = test_now_ms() + 3;
  while (test_now_ms() < late) {
  }
  options.deadline_ms = 60000;
  CHECK_CODE(msg_send_with(client[0], msg_text("fresh"), &options), MSG_OK);
  WAIT_FOR(count_of(msg_message, server[0]) == 1, 2000);
  CHECK(strcmp(first_of(msg_message, server[0])->text, "fresh") == 0);
  CHECK(msg_conn_drops(client[0], MSG_DROP_EXPIRED) == 1);
  if (flags & MSG_SEND_TELL) {
    WAIT_FOR(count_of(msg_delivered, client[0]) == 1, 2000);
    CHECK(first_of(msg_undelivered, client[0])->code == MSG_ERR_EXPIRED);
    CHECK(first_of(msg_undelivered, client[0])->get_context == &tag);
  }
  end();
}

/* At its receive mark the program gets nothing new but the news of that; then what is reliable comes after all. */
static void put_aside(const char *transport) {
  msg_Options options = MSG_OPTIONS_INIT;
  options.receive_mark_messages = 10;
  begin(transport, &options);
  CHECK_CODE(msg_untaken(server[0], 4, 4), MSG_OK);
  CHECK_CODE(msg_untaken(listener, 6, 6), MSG_OK);
  msg_SendOptions reliable = MSG_SEND_OPTIONS_INIT;
  reliable.flags = MSG_SEND_RELIABLE | MSG_SEND_TELL;
  static unsigned char bytes[300000]; /* more than is read of a stream at once */
  for (int i = 0; i < 3; i++) {
    CHECK_CODE(msg_send_with(client[0], msg_data(bytes, sizeof bytes), &reliable), MSG_OK);
  }
  WAIT_FOR(count_of(msg_error, listener) == 1, 2000);
  CHECK(first_of(msg_error, listener)->code == MSG_ERR_RECEIVE_MARK);
  int early = count_of(msg_message, server[0]);
  CHECK(early < 3);
  CHECK_CODE(msg_untaken(listener, -10, -10), MSG_OK);
  WAIT_FOR(count_of(msg_delivered, client[0]) == 3, 5000);
  CHECK(count_of(msg_message, server[0]) == 3 && count_of(msg_error, listener) == 1);
  end();
}

int main(void) {
  FOR_EACH_TRANSPORT(transport) {
    to_all(transport);
    to_any(transport);
    marks_of_the_box(transport);
    states(transport, 0);
    states(transport, MSG_SEND_RELIABLE | MSG_SEND_TELL);
    deadlines(transport, 0);
    deadlines(transport, MSG_SEND_RELIABLE | MSG_SEND_TELL);
    put_aside(transport);
  }
  kept_once();
  return 0;
}

/* Two peers send each other more than their queues hold: nobody blocks, each is told when there is room again, and
   over TCP every byte arrives. */
#include "test.h"

/* 64 MiB each way over TCP. */
enum { message_bytes = 60000, messages = 1120, small_bytes = 1000 };

static int sent[2], received[2], refusals, is_tcp;
static msg_Conn sides[2];
static unsigned char bytes[message_bytes];

static int side_of(msg_Conn conn) { return conn.id == sides[0].id ? 0 : 1; }

static void send_on(int side) {
  size_t count = is_tcp ? message_bytes : small_bytes;
  while (sent[side] < messages) {
    bytes[0] = (unsigned char)sent[side];
    int32_t status = msg_send(sides[side], msg_data(bytes, count));
    if (status == MSG_ERR_WOULD_BLOCK) {
      refusals++;
      return;
    }
    CHECK_CODE(status, MSG_OK);
    sent[side]++;
  }
}

static void on_event(const msg_Event *e) {
  switch (e->type) {
  case msg_connection_ready:
  case msg_connection_setup:
    record(e);
    sides[e->type == msg_connection_ready ? 1 : 0] = e->conn;
    if (sides[0].id && sides[1].id) {
      send_on(0);
      send_on(1);
    }
    break;
  case msg_message: {
    int side = side_of(e->conn);
    if (is_tcp) {
      CHECK(e->data.count == message_bytes);
      CHECK(*(const unsigned char *)e->data.bytes == (unsigned char)received[side]); /* in order */
    }
    received[side]++;
    break;
  }
  case msg_writable: send_on(side_of(e->conn)); break;
  default: record(e);
  }
}

static void both_ways(const char *transport) {
  forget();
  memset(sides, 0, sizeof sides);
  sent[0] = sent[1] = received[0] = received[1] = refusals = 0;
  is_tcp = strcmp(transport, "tcp") == 0;
  msg_Options options = MSG_OPTIONS_INIT;
  options.send_mark_messages = 20;
  msg_Conn listener = test_listen(msg_default_box(), transport, on_event, &options);
  test_connect(msg_default_box(), transport, msg_local_port(listener), on_event, &options);
  WAIT_FOR(sent[0] == messages && sent[1] == messages, 30000);
  CHECK(refusals >= 2 * (messages / 20 - 1));
  if (is_tcp) {
    WAIT_FOR(received[0] == messages && received[1] == messages, 30000);
    CHECK_CODE(msg_send(sides[0], msg_data(NULL, 0)), MSG_OK);
    static unsigned char big[17 << 20];
    CHECK_CODE(msg_send(sides[0], msg_data(big, sizeof big)), MSG_ERR_TOO_BIG);
  } else {
    static unsigned char big[(1 << 20) + 1];
    CHECK_CODE(msg_send(sides[0], msg_data(big, sizeof big)), MSG_ERR_TOO_BIG);
    CHECK_CODE(msg_send(sides[0], msg_data(big, sizeof big - 1)), MSG_OK);
  }
  CHECK_CODE(msg_box_destroy(msg_default_box()), MSG_OK);
}

int main(void) {
  FOR_EACH_TRANSPORT(transport) both_ways(transport);
  return 0;
}

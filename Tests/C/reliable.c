/* Reliable messages of all sizes in several channels: each arrives once and in the order of its channel, and each send
   that asked hears of it. The largest message each transport takes arrives whole. */
#include "test.h"

enum { messages = 400, channels = 4, most_bytes = 40000, big_most = 16 << 20 };

static int sent, received, told[messages], next_of[channels], seen[messages];
static unsigned char bytes[most_bytes], *big;
static size_t big_count;

/* Every message begins with its channel and number, and each byte after them follows from both. */
static size_t size_of(int number) { return 8 + (size_t)number * 7919 % (most_bytes - 8) / (number % 5 + 1); }

static void fill(unsigned char *at, size_t count, int number) {
  memcpy(at, &number, sizeof number);
  for (size_t i = sizeof number; i < count; i++) at[i] = (unsigned char)(i * 31 + (size_t)number);
}

static int is_filled(const unsigned char *at, size_t count, int number) {
  for (size_t i = sizeof number; i < count; i++) {
    if (at[i] != (unsigned char)(i * 31 + (size_t)number)) return 0;
  }
  return 1;
}

static void send_more(msg_Conn conn) {
  for (; sent < messages; sent++) {
    msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
    options.flags = MSG_SEND_RELIABLE | MSG_SEND_TELL;
    options.channel = (uint32_t)(sent % channels);
    options.context = &told[sent];
    fill(bytes, size_of(sent), sent);
    int32_t status = msg_send_with(conn, msg_data(bytes, size_of(sent)), &options);
    if (status == MSG_ERR_WOULD_BLOCK) return;
    CHECK_CODE(status, MSG_OK);
  }
}

static void receive(const msg_Event *e) {
  int number = -1;
  CHECK(e->data.count >= sizeof number);
  memcpy(&number, e->data.bytes, sizeof number);
  if (e->data.count > most_bytes) { /* the big one */
    CHECK(e->data.count == big_count && is_filled(e->data.bytes, e->data.count, number));
    received++;
    return;
  }
  CHECK(number >= 0 && number < messages && e->data.count == size_of(number));
  CHECK(is_filled(e->data.bytes, e->data.count, number));
  CHECK(seen[number]++ == 0);
  int channel = number % channels;
  if (channel > 0) {
    CHECK(number / channels == next_of[channel]);
    next_of[channel]++;
  }
  received++;
}

static void on_event(const msg_Event *e) {
  switch (e->type) {
  case msg_connection_setup:
    record(e);
    send_more(e->conn);
    break;
  case msg_writable: send_more(e->conn); break;
  case msg_message: receive(e); break;
  case msg_delivered:
    record(e);
    CHECK(e->code == MSG_OK && e->data.count == 0);
    (*(int *)e->get_context)++;
    break;
  default: record(e);
  }
}

static void each_once(const char *transport) {
  forget();
  memset(told, 0, sizeof told);
  memset(seen, 0, sizeof seen);
  memset(next_of, 0, sizeof next_of);
  sent = received = 0;
  msg_Conn listener = test_listen(msg_default_box(), transport, on_event, NULL);
  msg_Conn client = test_connect(msg_default_box(), transport, msg_local_port(listener), on_event, NULL);
  WAIT_FOR(count_of(msg_delivered, client) == messages, 30000);
  CHECK(received == messages && count_of(msg_undelivered, anyone) == 0);
  for (int i = 0; i < messages; i++) CHECK(told[i] == 1 && seen[i] == 1);

  msg_ConnStatistics statistics = {.size = sizeof statistics};
  CHECK_CODE(msg_conn_statistics(client, &statistics), MSG_OK);
  CHECK(statistics.queued_messages == 0 && statistics.queued_bytes == 0);
  CHECK(statistics.rtt_us > 0 && statistics.least_rtt_us > 0);
  if (strcmp(transport, "udp") == 0) {
    CHECK(statistics.tracked_sent > 0 && statistics.tracked_lost <= statistics.tracked_sent);
    CHECK(statistics.congestion_window > 0 && statistics.bytes_in_flight == 0);
  }
  msg_Statistics whole = {.size = sizeof whole};
  CHECK_CODE(msg_box_statistics(msg_default_box(), &whole), MSG_OK);
  CHECK(whole.queued_messages == 0 && whole.queued_bytes == 0 && whole.incomplete_bytes == 0);

  /* As large as the peer takes, and one byte more. */
  big_count = strcmp(transport, "udp") == 0 ? 1 << 20 : big_most;
  fill(big, big_count + 1, messages);
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  options.flags = MSG_SEND_RELIABLE;
  CHECK_CODE(msg_send_with(client, msg_data(big, big_count + 1), &options), MSG_ERR_TOO_BIG);
  CHECK_CODE(msg_send_with(client, msg_data(big, big_count), &options), MSG_OK);
  CHECK_CODE(msg_disconnect(client), MSG_OK); /* delivers it first */
  WAIT_FOR(has_ended(client) && count_of(msg_connection_closed, anyone) == 2, 20000);
  CHECK(received == messages + 1);
  CHECK(first_of(msg_connection_closed, client)->undelivered == 0);
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, listener) == 1, 2000);
}

int main(void) {
  big = malloc(big_most + 1);
  CHECK(big != NULL);
  FOR_EACH_TRANSPORT(transport) each_once(transport);
  free(big);
  return 0;
}

/* Options and statistics of older and newer callers, ranges, limits, contexts and the log. */
#include "test.h"

#include <stddef.h>

static void on_event(const msg_Event *e) {
  record(e);
  if (e->type == msg_request) CHECK_CODE(msg_answer(e->request, e->data), MSG_OK);
}

/* The code of the outcome of listening with these options; the listener is ended again. */
static int32_t listening_code(const msg_Options *options) {
  forget();
  msg_Conn listener = msg_box_listen(msg_default_box(), "tcp://127.0.0.1:0", on_event, options);
  CHECK(listener.id != 0);
  WAIT_FOR(count_of(msg_listening, listener) + count_of(msg_listening_error, listener) == 1, 2000);
  int32_t code = test_seen[0].code;
  if (code == MSG_OK) {
    CHECK_CODE(msg_unlisten(listener), MSG_OK);
    WAIT_FOR(count_of(msg_listening_ended, listener) == 1, 2000);
  }
  return code;
}

static void ranges(void) {
  msg_Options options = MSG_OPTIONS_INIT;
  CHECK(options.size == sizeof options);
  CHECK_CODE(listening_code(NULL), MSG_OK);
  CHECK_CODE(listening_code(&options), MSG_OK);
  options.heartbeat_ms = 9;
  CHECK_CODE(listening_code(&options), MSG_ERR_INVALID_ARGUMENT);
  options.heartbeat_ms = 10000;
  options.lost_ms = 20999;
  CHECK_CODE(listening_code(&options), MSG_ERR_INVALID_ARGUMENT);
  options.lost_ms = 21000;
  CHECK_CODE(listening_code(&options), MSG_OK);
  options.get_timeout_ms = 86400001;
  CHECK_CODE(listening_code(&options), MSG_ERR_INVALID_ARGUMENT);
  options.get_timeout_ms = 86400000;
  CHECK_CODE(listening_code(&options), MSG_OK);
  options.implicit_peers = 2;
  CHECK_CODE(listening_code(&options), MSG_ERR_INVALID_ARGUMENT);
  options.implicit_peers = 0;
  options.share_port = 2;
  CHECK_CODE(listening_code(&options), MSG_ERR_INVALID_ARGUMENT);
  options.share_port = 1;
  CHECK_CODE(listening_code(&options), MSG_OK);
  options.max_per_prefix = 1000001;
  CHECK_CODE(listening_code(&options), MSG_ERR_INVALID_ARGUMENT);
  options.max_per_prefix = 1;
  CHECK_CODE(listening_code(&options), MSG_OK);
  options.max_connections = 1000001;
  CHECK_CODE(listening_code(&options), MSG_ERR_INVALID_ARGUMENT);
  options.max_connections = 0;
  options.max_message_bytes = 67108865;
  CHECK_CODE(listening_code(&options), MSG_ERR_INVALID_ARGUMENT);
  options.max_message_bytes = 67108864;
  CHECK_CODE(listening_code(&options), MSG_OK);
  options.close_timeout_ms = 86400001;
  CHECK_CODE(listening_code(&options), MSG_ERR_INVALID_ARGUMENT);
  options.close_timeout_ms = 1;
  options.liveness = MSG_LIVENESS_ON_DEMAND;
  CHECK_CODE(listening_code(&options), MSG_OK);
  options.liveness = 2;
  CHECK_CODE(listening_code(&options), MSG_ERR_INVALID_ARGUMENT);
  options.liveness = MSG_LIVENESS_BEAT;
  options.keepalive_ms = 999;
  CHECK_CODE(listening_code(&options), MSG_ERR_INVALID_ARGUMENT);
  options.keepalive_ms = 65535001;
  CHECK_CODE(listening_code(&options), MSG_ERR_INVALID_ARGUMENT);
  options.keepalive_ms = 25000;
  options.idle_keepalives = 12;
  options.receive_mark_messages = 1;
  options.receive_mark_bytes = 1;
  CHECK_CODE(listening_code(&options), MSG_OK);
  options.max_connections = 1000001;

  forget();
  msg_Conn conn = msg_box_connect(msg_default_box(), "udp://127.0.0.1:1", on_event, &options);
  WAIT_FOR(has_ended(conn), 2000);
  CHECK(first_of(msg_connection_setup_error, conn)->code == MSG_ERR_INVALID_ARGUMENT);
}

/* Only the bytes that the caller's structure has are read. */
static void sizes_of_options(void) {
  /* A short structure at the very end of its memory: a checker of memory sees a read beyond it. */
  size_t shorter = offsetof(msg_Options, lost_ms);
  msg_Options *options = malloc(shorter);
  CHECK(options != NULL);
  msg_Options whole = MSG_OPTIONS_INIT;
  whole.size = shorter;
  whole.heartbeat_ms = 9;
  memcpy(options, &whole, shorter);
  CHECK_CODE(listening_code(options), MSG_ERR_INVALID_ARGUMENT);
  whole.heartbeat_ms = 1000;
  memcpy(options, &whole, shorter);
  CHECK_CODE(listening_code(options), MSG_OK);
  free(options);

  /* What is beyond the size does not count. */
  msg_Options cut = MSG_OPTIONS_INIT;
  cut.size = shorter;
  cut.lost_ms = 1;
  CHECK_CODE(listening_code(&cut), MSG_OK);

  struct {
    msg_Options options;
    char later[64];
  } longer = {MSG_OPTIONS_INIT, {0}};
  longer.options.size = sizeof longer;
  CHECK_CODE(listening_code(&longer.options), MSG_OK);

  msg_Options none = MSG_OPTIONS_INIT;
  for (none.size = 0; none.size < sizeof(size_t); none.size++) {
    CHECK_CODE(listening_code(&none), MSG_ERR_INVALID_ARGUMENT);
  }
}

/* Options of a box: 0 is the default, NULL is all defaults, and any size that holds itself is read as far as it goes. */
static void options_of_a_box(void) {
  msg_Box box = msg_box_create();
  msg_BoxOptions options = MSG_BOX_OPTIONS_INIT;
  CHECK(options.size == sizeof options);
  CHECK_CODE(msg_box_set_options(box, &options), MSG_OK);
  CHECK_CODE(msg_box_set_options(box, NULL), MSG_OK);
  options = (msg_BoxOptions){sizeof options, 1, 1, 1, 1, 0};
  for (size_t size = 0; size <= sizeof options; size++) {
    msg_BoxOptions *given = malloc(size < sizeof size ? sizeof size : size);
    CHECK(given != NULL);
    options.size = size;
    memcpy(given, &options, size < sizeof size ? sizeof size : size);
    CHECK_CODE(msg_box_set_options(box, given), size < sizeof size ? MSG_ERR_INVALID_ARGUMENT : MSG_OK);
    free(given);
  }
  CHECK_CODE(msg_box_destroy(box), MSG_OK);
  CHECK_CODE(msg_box_set_options(box, NULL), MSG_ERR_BAD_HANDLE);
}

/* Options of a send that cannot be are refused before anything is queued. */
static void options_of_sends(void) {
  forget();
  msg_Conn conn = msg_connect("udp://127.0.0.1:1", on_event);
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  CHECK(options.size == sizeof options);
  static const struct {
    uint32_t flags, channel, deadline_ms;
    int32_t code;
  } rows[] = {
      {0, 0, 0, MSG_OK},
      {0, 0, 86400000, MSG_OK},
      {0, 0, 86400001, MSG_ERR_INVALID_ARGUMENT},
      {MSG_SEND_ALONE, 0, 0, MSG_OK},
      {8, 0, 0, MSG_ERR_INVALID_ARGUMENT},
      {0x80000001, 0, 0, MSG_ERR_INVALID_ARGUMENT},
      {MSG_SEND_TELL, 0, 0, MSG_ERR_INVALID_ARGUMENT},
      {0, 1, 0, MSG_ERR_INVALID_ARGUMENT},
      {MSG_SEND_RELIABLE, 256, 0, MSG_ERR_INVALID_ARGUMENT},
      {MSG_SEND_RELIABLE, UINT32_MAX, 0, MSG_ERR_INVALID_ARGUMENT},
      {MSG_SEND_RELIABLE, 255, 0, MSG_OK},
      {MSG_SEND_RELIABLE | MSG_SEND_TELL, 0, 1, MSG_OK},
  };
  uint64_t queued = 0;
  msg_Conn chosen = {1};
  size_t skipped = 1;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    options = (msg_SendOptions){sizeof options, rows[i].flags, rows[i].channel, rows[i].deadline_ms, 0, NULL, NULL, NULL};
    CHECK_CODE(msg_send_with(conn, msg_text("x"), &options), rows[i].code);
    queued += rows[i].code == MSG_OK;
    msg_ConnStatistics statistics = {.size = sizeof statistics};
    CHECK_CODE(msg_conn_statistics(conn, &statistics), MSG_OK);
    CHECK(statistics.queued_messages == queued);
    if (rows[i].code == MSG_OK) continue;
    CHECK_CODE(msg_send_any(conn, msg_text("x"), &options, &chosen), rows[i].code);
    CHECK_CODE(msg_broadcast(conn, msg_text("x"), &options, &chosen, &skipped), rows[i].code);
    CHECK(chosen.id == 0 && skipped == 0);
  }
  options.size = sizeof(size_t) - 1;
  CHECK_CODE(msg_send_with(conn, msg_text("x"), &options), MSG_ERR_INVALID_ARGUMENT);
  options.size = offsetof(msg_SendOptions, flags);
  options.flags = UINT32_MAX; /* beyond the size: does not count */
  CHECK_CODE(msg_send_with(conn, msg_text("x"), &options), MSG_OK);
  CHECK_CODE(msg_send_with(conn, msg_data(NULL, 1), NULL), MSG_ERR_INVALID_ARGUMENT);
  CHECK_CODE(msg_disconnect(conn), MSG_OK);
  WAIT_FOR(has_ended(conn), 2000);
}

static void sizes_of_statistics(void) {
  struct {
    msg_Statistics statistics;
    unsigned char guard[16];
  } box;
  size_t shorter = offsetof(msg_Statistics, bytes_received);
  for (size_t size = 0; size <= sizeof box; size += 8) {
    memset(&box, 0xab, sizeof box);
    box.statistics.size = size;
    int32_t expected = size < sizeof(size_t) ? MSG_ERR_INVALID_ARGUMENT : MSG_OK;
    CHECK_CODE(msg_box_statistics(msg_default_box(), &box.statistics), expected);
    if (expected != MSG_OK) continue;
    size_t filled = size < sizeof box.statistics ? size : sizeof box.statistics;
    CHECK(box.statistics.size == filled);
    const unsigned char *bytes = (const unsigned char *)&box;
    for (size_t i = filled; i < sizeof box; i++) CHECK(bytes[i] == 0xab);
    if (filled > shorter) CHECK(box.statistics.datagrams_sent < 1000000);
  }
}

static void statistics_and_contexts(const char *transport) {
  forget();
  int tag, other_tag;
  msg_Options options = MSG_OPTIONS_INIT;
  options.context = &tag;
  msg_Conn listener = test_listen(msg_default_box(), transport, on_event, &options);
  msg_Conn client = test_connect(msg_default_box(), transport, msg_local_port(listener), on_event, NULL);
  CHECK_CODE(msg_send(client, msg_text("12345")), MSG_OK);
  CHECK_CODE(msg_get(client, msg_text("123"), NULL), MSG_OK);
  WAIT_FOR(count_of(msg_reply, client) == 1, 2000);
  msg_Conn server = {first_of(msg_connection_ready, anyone)->conn};
  CHECK(first_of(msg_listening, listener)->context == &tag); /* and its connections inherit it */
  CHECK(first_of(msg_connection_ready, server)->context == &tag && msg_context(server) == &tag);
  CHECK(first_of(msg_connection_setup, client)->context == NULL);
  CHECK_CODE(msg_set_context(server, &other_tag), MSG_OK);
  CHECK(msg_context(server) == &other_tag && msg_context(listener) == &tag);

  msg_ConnStatistics statistics = {.size = sizeof statistics};
  CHECK_CODE(msg_conn_statistics(client, &statistics), MSG_OK);
  CHECK(statistics.messages_sent == 2 && statistics.bytes_sent == 8);
  CHECK(statistics.messages_received == 1 && statistics.bytes_received == 3);
  CHECK(statistics.queued_messages == 0 && statistics.gets_waiting == 0 && statistics.silence_ms < 2000);
  CHECK_CODE(msg_conn_statistics(server, &statistics), MSG_OK);
  CHECK(statistics.messages_received == 2 && statistics.bytes_received == 8);
  CHECK(statistics.drops == 0 && msg_conn_drops(server, MSG_DROP_DUPLICATE) == 0);
  CHECK(msg_conn_drops(server, UINT32_MAX) == 0);
  if (strcmp(transport, "tcp") == 0) {
    /* The system has measured at least its handshake. */
    CHECK(statistics.rtt_us > 0 && statistics.rtt_us < 2000000);
    CHECK(statistics.least_rtt_us > 0 && statistics.least_rtt_us <= statistics.rtt_us * 8);
    CHECK(statistics.tracked_sent == 0 && statistics.tracked_lost == 0);
  }

  msg_Statistics whole = {.size = sizeof whole};
  CHECK_CODE(msg_box_statistics(msg_default_box(), &whole), MSG_OK);
  CHECK(whole.connections == 2 && whole.listeners == 1);
  CHECK(whole.queued_messages == 0 && whole.queued_bytes == 0 && whole.incomplete_bytes == 0);
  uint64_t drops = 0;
  for (uint32_t reason = 0; msg_drop_name(reason); reason++) drops += msg_box_drops(msg_default_box(), reason);
  CHECK(drops == whole.drops);

  CHECK_CODE(msg_disconnect(client), MSG_OK);
  WAIT_FOR(has_ended(client) && has_ended(server), 2000);
  CHECK(first_of(msg_connection_closed, server)->context == &other_tag);
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, listener) == 1, 2000);
}

/* One connection is all that this listener takes. */
static void max_connections(const char *transport) {
  forget();
  msg_Options options = MSG_OPTIONS_INIT;
  options.max_connections = 1;
  options.connect_timeout_ms = 500;
  msg_Conn listener = test_listen(msg_default_box(), transport, on_event, &options);
  msg_Conn first = test_connect(msg_default_box(), transport, msg_local_port(listener), on_event, &options);
  WAIT_FOR(count_of(msg_connection_setup, first) == 1, 2000);
  msg_Conn second = test_connect(msg_default_box(), transport, msg_local_port(listener), on_event, &options);
  WAIT_FOR(has_ended(second), 3000);
  CHECK_STORY(second, "s");
  CHECK(count_of(msg_connection_ready, anyone) == 1);
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, listener) == 1 && has_ended(first), 2000);
}

static int lines;

static void on_log(void *user, uint32_t level, const char *text) {
  CHECK(user == &lines && level >= MSG_LOG_ERROR && level <= MSG_LOG_DEBUG && text[0] != 0);
  lines++;
}

static void logging(void) {
  CHECK_CODE(msg_box_set_log(msg_default_box(), MSG_LOG_DEBUG, on_log, &lines), MSG_OK);
  CHECK_CODE(listening_code(NULL), MSG_OK);
  CHECK_CODE(msg_box_set_log(msg_default_box(), MSG_LOG_DEBUG, NULL, NULL), MSG_OK);
  int before = lines;
  CHECK_CODE(listening_code(NULL), MSG_OK);
  CHECK(lines == before);
}

int main(void) {
  ranges();
  sizes_of_options();
  options_of_a_box();
  options_of_sends();
  sizes_of_statistics();
  logging();
  FOR_EACH_TRANSPORT(transport) {
    statistics_and_contexts(transport);
    max_connections(transport);
  }
  return 0;
}

/* Handles that have ended, never were, or are another thread's, and NULL everywhere: codes, never a crash. */
#include "test.h"

#include <pthread.h>

static msg_Request last_request;

static void on_event(const msg_Event *e) {
  record(e);
  if (e->type == msg_request) last_request = e->request;
}

/* Every call that takes a handle gives this code. */
static void expect_conn(msg_Conn conn, int32_t code) {
  char text[64];
  msg_ConnStatistics statistics = {.size = sizeof statistics};
  CHECK_CODE(msg_send(conn, msg_text("x")), code);
  CHECK_CODE(msg_send_with(conn, msg_text("x"), NULL), code);
  CHECK_CODE(msg_get(conn, msg_text("x"), NULL), code);
  CHECK_CODE(msg_get_within(conn, msg_text("x"), NULL, 10, NULL), code);
  msg_Get get = {1};
  CHECK_CODE(msg_get_within(conn, msg_text("x"), NULL, 10, &get), code);
  CHECK(get.id == 0);
  CHECK_CODE(msg_cancel((msg_Get){conn.id}), code);
  msg_Conn other = {1};
  size_t count = 1;
  CHECK_CODE(msg_send_any(conn, msg_text("x"), NULL, &other), code);
  CHECK(other.id == 0);
  CHECK_CODE(msg_broadcast(conn, msg_text("x"), NULL, &other, &count), code);
  CHECK(count == 0);
  CHECK_CODE(msg_abort(conn), code);
  CHECK_CODE(msg_disconnect(conn), code);
  CHECK_CODE(msg_unlisten(conn), code);
  CHECK_CODE(msg_set_context(conn, NULL), code);
  CHECK_CODE(msg_untaken(conn, 1, 1), code);
  CHECK(msg_conn_drops(conn, MSG_DROP_SHORT) == 0);
  CHECK(msg_context(conn) == NULL);
  CHECK_CODE(msg_address(conn, text, sizeof text), code);
  CHECK_CODE(msg_local_port(conn), code);
  CHECK_CODE(msg_conn_statistics(conn, &statistics), code);
}

static void expect_box(msg_Box box, int32_t code) {
  msg_Statistics statistics = {.size = sizeof statistics};
  CHECK(msg_box_listen(box, "udp://127.0.0.1:0", on_event, NULL).id == 0);
  CHECK(msg_box_connect(box, "udp://127.0.0.1:1", on_event, NULL).id == 0);
  CHECK_CODE(msg_box_runloop(box, 0), code);
  CHECK_CODE(msg_box_descriptor(box), code);
  CHECK_CODE(msg_box_deadline_ms(box), code);
  CHECK_CODE(msg_box_flush(box), code);
  CHECK_CODE(msg_box_set_options(box, NULL), code);
  CHECK(msg_waker_create(box) == NULL);
  CHECK_CODE(msg_box_statistics(box, &statistics), code);
  CHECK(msg_box_drops(box, MSG_DROP_SHORT) == 0);
  CHECK_CODE(msg_box_set_log(box, MSG_LOG_DEBUG, NULL, NULL), code);
  CHECK_CODE(msg_box_destroy(box), code);
}

static void made_up(void) {
  uint64_t live = msg_default_box().id;
  static const uint64_t numbers[] = {0, 1, UINT64_MAX, UINT64_C(1) << 40, UINT64_C(0xffffff) << 40, 0x123456789abcdef};
  for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
    uint64_t number = numbers[i];
    if (number >> 40 == live >> 40) number ^= UINT64_C(3) << 40;
    expect_conn((msg_Conn){number}, MSG_ERR_BAD_HANDLE);
    expect_box((msg_Box){number}, MSG_ERR_BAD_HANDLE);
    CHECK_CODE(msg_answer((msg_Request){number}, msg_text("x")), MSG_ERR_BAD_HANDLE);
  }
  /* In the box of this thread, but no connection. */
  for (uint64_t low = 0; low < 5; low++) {
    expect_conn((msg_Conn){live | low | UINT64_C(0xfffff) << 20}, MSG_ERR_BAD_HANDLE);
    CHECK_CODE(msg_answer((msg_Request){live | low}, msg_text("x")), MSG_ERR_BAD_HANDLE);
  }
}

static void nothing(void) {
  CHECK(msg_listen("udp://127.0.0.1:0", NULL).id == 0);
  CHECK(msg_connect("udp://127.0.0.1:1", NULL).id == 0);
  msg_waker_wake(NULL);
  msg_waker_destroy(NULL);
  CHECK(msg_text(NULL).count == 0);
  CHECK_CODE(msg_box_statistics(msg_default_box(), NULL), MSG_ERR_INVALID_ARGUMENT);

  forget();
  msg_Conn listener = test_listen(msg_default_box(), "udp", on_event, NULL);
  CHECK_CODE(msg_disconnect(listener), MSG_ERR_INVALID_ARGUMENT);
  CHECK_CODE(msg_address(listener, NULL, 0), MSG_ERR_INVALID_ARGUMENT);
  char text[64];
  int32_t length = msg_address(listener, text, sizeof text);
  CHECK(length > 0);
  CHECK_CODE(msg_address(listener, text, (size_t)length), MSG_ERR_INVALID_ARGUMENT);
  CHECK(msg_address(listener, text, (size_t)length + 1) == length);

  msg_Conn conn = test_connect(msg_default_box(), "udp", msg_local_port(listener), on_event, NULL);
  CHECK_CODE(msg_unlisten(conn), MSG_ERR_INVALID_ARGUMENT);
  CHECK_CODE(msg_send(conn, msg_data(NULL, 1)), MSG_ERR_INVALID_ARGUMENT);
  CHECK_CODE(msg_get(conn, msg_data(NULL, 1), NULL), MSG_ERR_INVALID_ARGUMENT);
  CHECK_CODE(msg_answer((msg_Request){conn.id}, msg_data(NULL, 1)), MSG_ERR_INVALID_ARGUMENT);
  CHECK_CODE(msg_send(conn, msg_data("x", SIZE_MAX)), MSG_ERR_INVALID_ARGUMENT);
  CHECK_CODE(msg_conn_statistics(conn, NULL), MSG_ERR_INVALID_ARGUMENT);
  CHECK_CODE(msg_untaken(conn, INT32_MIN, INT64_MIN), MSG_OK);
  CHECK_CODE(msg_untaken(conn, 1, INT64_MAX), MSG_OK);
  CHECK_CODE(msg_untaken(conn, -1, -INT64_MAX), MSG_OK);
  CHECK_CODE(msg_disconnect(conn), MSG_OK);
  WAIT_FOR(has_ended(conn), 2000);
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, listener) == 1, 2000);
}

/* After the callback of its end a handle is bad, and a later connection in its place is not reached by it. */
static void ended(const char *transport) {
  forget();
  msg_Conn listener = test_listen(msg_default_box(), transport, on_event, NULL);
  msg_Conn old[20];
  for (int i = 0; i < 20; i++) {
    old[i] = test_connect(msg_default_box(), transport, msg_local_port(listener), on_event, NULL);
    WAIT_FOR(count_of(msg_connection_setup, old[i]) == 1, 2000);
    CHECK_CODE(msg_get(old[i], msg_text("hold"), NULL), MSG_OK);
    WAIT_FOR(count_of(msg_request, anyone) == i + 1, 2000);
    CHECK_CODE(msg_disconnect(old[i]), MSG_OK);
    CHECK_CODE(msg_disconnect(old[i]), MSG_ERR_ENDED);
    CHECK_CODE(msg_get(old[i], msg_text("x"), NULL), MSG_ERR_ENDED);
    WAIT_FOR(has_ended(old[i]) && count_of(msg_connection_closed, anyone) == 2 * (i + 1), 2000);
    CHECK_CODE(msg_answer(last_request, msg_text("late")), MSG_ERR_BAD_HANDLE);
    for (int j = 0; j <= i; j++) expect_conn(old[j], MSG_ERR_BAD_HANDLE);
    for (int j = 0; j < i; j++) CHECK(old[i].id != old[j].id);
  }
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, listener) == 1, 2000);
  expect_conn(listener, MSG_ERR_BAD_HANDLE);
}

typedef struct {
  msg_Box box;
  msg_Conn conn;
  msg_Box own;
} Others;

static void *other_thread(void *opaque) {
  Others *others = opaque;
  expect_conn(others->conn, MSG_ERR_WRONG_THREAD);
  expect_box(others->box, MSG_ERR_WRONG_THREAD);
  CHECK_CODE(msg_answer((msg_Request){others->conn.id}, msg_text("x")), MSG_ERR_WRONG_THREAD);
  others->own = msg_box_create(); /* ends with this thread */
  CHECK(others->own.id != 0);
  CHECK(msg_default_box().id != others->box.id);
  return NULL;
}

static void wrong_thread(void) {
  forget();
  Others others = {msg_default_box(), {0}, {0}};
  others.conn = test_listen(others.box, "udp", on_event, NULL);
  pthread_t thread;
  CHECK(pthread_create(&thread, NULL, other_thread, &others) == 0);
  CHECK(pthread_join(thread, NULL) == 0);
  expect_box(others.own, MSG_ERR_BAD_HANDLE);
  CHECK_CODE(msg_unlisten(others.conn), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, others.conn) == 1, 2000);
}

/* A destroyed default box is followed by another one. */
static void default_again(void) {
  msg_Box first = msg_default_box();
  CHECK(msg_default_box().id == first.id);
  CHECK_CODE(msg_box_destroy(first), MSG_OK);
  expect_box(first, MSG_ERR_BAD_HANDLE);
  msg_Box second = msg_default_box();
  CHECK(second.id != 0 && second.id != first.id);
  CHECK(msg_runloop(0) == 0);
}

static void names(void) {
  CHECK(strcmp(msg_status_name(MSG_ERR_TIMED_OUT), "ERR_TIMED_OUT") == 0);
  CHECK(strcmp(msg_status_name(12345), "UNKNOWN") == 0);
  CHECK(strcmp(msg_event_name(msg_reply_missing), "reply_missing") == 0);
  CHECK(strcmp(msg_event_name(0), "unknown") == 0 && strcmp(msg_event_name(UINT32_MAX), "unknown") == 0);
  CHECK(strcmp(msg_drop_name(MSG_DROP_WRONG_PATH), "WRONG_PATH") == 0);
  CHECK(msg_drop_name(UINT32_MAX) == NULL && msg_drop_text(MSG_DROP_PREFIX_FULL + 1) == NULL);
  for (int32_t code = -40; code < 40; code++) CHECK(msg_status_text(code)[0] != 0);
}

int main(void) {
  made_up();
  nothing();
  ended("udp");
  ended("tcp");
  wrong_thread();
  default_again();
  names();
  return 0;
}

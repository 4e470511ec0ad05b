/* The box in a foreign loop: descriptor, deadline, wake; and how long a turn waits. */
#include "test.h"

#include <poll.h>
#include <pthread.h>

static void on_event(const msg_Event *e) {
  record(e);
  if (e->type == msg_request) CHECK_CODE(msg_answer(e->request, e->data), MSG_OK);
}

/* Runs a box as a foreign loop would: never waits in it, only in poll. */
static int poll_turn(msg_Box box, int limit_ms) {
  struct pollfd watched = {.fd = msg_box_descriptor(box), .events = POLLIN};
  int deadline = msg_box_deadline_ms(box);
  CHECK(deadline >= -1);
  int wait = deadline < 0 || deadline > limit_ms ? limit_ms : deadline;
  CHECK(poll(&watched, 1, wait) >= 0 || errno == EINTR);
  int events = msg_box_runloop(box, 0);
  CHECK(events >= 0);
  return events;
}

static void foreign_loop(const char *transport) {
  forget();
  msg_Box box = msg_box_create();
  CHECK(box.id != 0);
  CHECK(msg_box_deadline_ms(box) == -1);
  char address[64];
  snprintf(address, sizeof address, "%s://127.0.0.1:0", transport);
  msg_Conn listener = msg_box_listen(box, address, on_event, NULL);
  CHECK(msg_box_deadline_ms(box) == 0); /* its outcome waits */
  int64_t limit = test_now_ms() + 3000;
  while (count_of(msg_listening, listener) == 0 && test_now_ms() < limit) poll_turn(box, 100);
  msg_Conn client = test_connect(box, transport, msg_local_port(listener), on_event, NULL);
  int turns = 0;
  while (count_of(msg_connection_setup, client) == 0 && test_now_ms() < limit) {
    poll_turn(box, 100);
    turns++;
  }
  CHECK(turns < 50);
  CHECK_CODE(msg_get(client, msg_text("question"), NULL), MSG_OK);
  CHECK(msg_box_deadline_ms(box) == 0); /* something is queued */
  while (count_of(msg_reply, client) == 0 && test_now_ms() < limit) poll_turn(box, 100);
  CHECK(count_of(msg_reply, client) == 1);

  /* Once the timer of the answered request has passed nothing is left to do: the descriptor is silent, the deadline is a
     heartbeat's. */
  while (msg_box_deadline_ms(box) < 1000 && test_now_ms() < limit) poll_turn(box, 100);
  struct pollfd watched = {.fd = msg_box_descriptor(box), .events = POLLIN};
  CHECK(poll(&watched, 1, 0) == 0);
  CHECK(msg_box_deadline_ms(box) >= 1000);

  /* The descriptor stays readable until the box has run. */
  msg_Box other = msg_box_create();
  snprintf(address, sizeof address, "%s://127.0.0.1:%d", transport, (int)msg_local_port(listener));
  msg_Conn stranger = msg_box_connect(other, address, on_event, NULL);
  CHECK(stranger.id != 0);
  while (poll(&watched, 1, 0) == 0 && test_now_ms() < limit) CHECK(msg_box_runloop(other, 10) >= 0);
  CHECK(poll(&watched, 1, 0) == 1 && poll(&watched, 1, 0) == 1);
  while (count_of(msg_connection_setup, stranger) == 0 && test_now_ms() < limit) {
    poll_turn(box, 10);
    CHECK(msg_box_runloop(other, 0) >= 0);
  }
  CHECK(count_of(msg_connection_setup, stranger) == 1);
  CHECK_CODE(msg_box_destroy(other), MSG_OK);
  while (count_of(msg_connection_closed, anyone) == 0 && test_now_ms() < limit) poll_turn(box, 100);
  CHECK(count_of(msg_connection_closed, anyone) == 1);
  CHECK_CODE(msg_box_destroy(box), MSG_OK);
}

/* Flush sends at once, before the turn ends. */
static void flushed(const char *transport) {
  forget();
  msg_Box sender = msg_box_create(), receiver = msg_box_create();
  msg_Conn listener = test_listen(receiver, transport, on_event, NULL);
  msg_Conn conn = test_connect(sender, transport, msg_local_port(listener), on_event, NULL);
  int64_t limit = test_now_ms() + 3000;
  while (count_of(msg_connection_setup, conn) == 0 && test_now_ms() < limit) {
    CHECK(msg_box_runloop(sender, 5) >= 0 && msg_box_runloop(receiver, 5) >= 0);
  }
  CHECK_CODE(msg_send(conn, msg_text("now")), MSG_OK);
  CHECK_CODE(msg_box_flush(sender), MSG_OK);
  WAIT_IN(receiver, count_of(msg_message, anyone) == 1, 2000);
  CHECK_CODE(msg_box_destroy(sender), MSG_OK);
  CHECK_CODE(msg_box_destroy(receiver), MSG_OK);
}

static void *wake_often(void *waker) {
  for (int i = 0; i < 1000; i++) msg_waker_wake(waker);
  return NULL;
}

static void *wake_once(void *waker) {
  msg_waker_wake(waker);
  msg_waker_destroy(waker);
  return NULL;
}

static void woken(void) {
  msg_Box box = msg_box_create();
  pthread_t thread;
  /* The waker is destroyed by the other thread; without the wake this would wait for ever. */
  for (int i = 0; i < 20; i++) {
    msg_Waker *waker = msg_waker_create(box);
    CHECK(waker != NULL);
    CHECK(pthread_create(&thread, NULL, wake_once, waker) == 0);
    CHECK(msg_box_runloop(box, 10000) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
  }
  /* A wake before the turn counts, and the descriptor shows it. */
  msg_Waker *waker = msg_waker_create(box);
  msg_waker_wake(waker);
  struct pollfd watched = {.fd = msg_box_descriptor(box), .events = POLLIN};
  CHECK(poll(&watched, 1, 0) == 1);
  int64_t start = test_now_ms();
  CHECK(msg_box_runloop(box, 5000) == 0);
  CHECK(test_now_ms() - start < 1000);
  CHECK(poll(&watched, 1, 0) == 0);
  /* It outlives its box. */
  CHECK(pthread_create(&thread, NULL, wake_often, waker) == 0);
  CHECK_CODE(msg_box_destroy(box), MSG_OK);
  CHECK(pthread_join(thread, NULL) == 0);
  msg_waker_wake(waker);
  msg_waker_destroy(waker);
}

static void waits(void) {
  int64_t start = test_now_ms();
  CHECK(msg_runloop(0) == 0);
  CHECK(test_now_ms() - start < 50);
  start = test_now_ms();
  CHECK(msg_runloop(80) == 0);
  int64_t took = test_now_ms() - start;
  CHECK(took >= 79 && took < 500);
}

int main(void) {
  FOR_EACH_TRANSPORT(transport) {
    foreign_loop(transport);
    flushed(transport);
  }
  woken();
  waits();
  return 0;
}

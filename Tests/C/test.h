/* What the C tests share: checks, a clock, and a record of every event. Each test is one program that ends with
   status 0 if all is well; every wait has a deadline, and nothing sleeps. */
#ifndef TEST_H
#define TEST_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif

#include <msgbox.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define CHECK(condition)                                                                  \
  do {                                                                                    \
    if (!(condition)) test_failed(__FILE__, __LINE__, #condition);                        \
  } while (0)

#define CHECK_CODE(call, expected) test_code(__FILE__, __LINE__, #call, (call), (expected))

/* Runs the default box until the condition holds; fails when that takes longer than `ms`. */
#define WAIT_FOR(condition, ms) WAIT_IN(msg_default_box(), condition, ms)

#define WAIT_IN(box, condition, ms)                                                       \
  do {                                                                                    \
    int64_t test_deadline = test_now_ms() + (ms);                                         \
    while (!(condition)) {                                                                \
      int64_t test_left = test_deadline - test_now_ms();                                  \
      if (test_left <= 0) test_failed(__FILE__, __LINE__, "in time: " #condition);        \
      CHECK(msg_box_runloop(box, (int32_t)test_left) >= 0);                               \
    }                                                                                     \
  } while (0)

/* Runs the default box for a while and lets happen what happens. */
#define RUN_FOR(ms)                                                                       \
  do {                                                                                    \
    int64_t test_deadline = test_now_ms() + (ms);                                         \
    while (test_now_ms() < test_deadline) {                                               \
      CHECK(msg_runloop((int32_t)(test_deadline - test_now_ms())) >= 0);                  \
    }                                                                                     \
  } while (0)

/* One event that came. */
typedef struct {
  uint32_t type;
  int32_t code;
  uint64_t conn, listener, next, request;
  void *context, *get_context;
  char text[64]; /* the first bytes of its data, with a final 0 */
  size_t count;  /* of its data */
  uint64_t undelivered;
} Seen;

enum { test_most = 100000 };
static Seen test_seen[test_most];
static int test_count;

static inline void test_print(void) {
  int first = test_count > 40 ? test_count - 40 : 0;
  for (int i = first; i < test_count; i++) {
    const Seen *e = &test_seen[i];
    fprintf(stderr, "  %llx %s %s \"%s\"\n", (unsigned long long)e->conn, msg_event_name(e->type),
            msg_status_name(e->code), e->text);
  }
}

static inline void test_failed(const char *file, int line, const char *what) {
  fprintf(stderr, "%s:%d: not so: %s\n", file, line, what);
  test_print();
  _exit(1);
}

static inline void test_code(const char *file, int line, const char *call, int32_t got, int32_t expected) {
  if (got == expected) return;
  fprintf(stderr, "%s:%d: %s gave %s, not %s\n", file, line, call, msg_status_name(got), msg_status_name(expected));
  test_print();
  _exit(1);
}

static inline int64_t test_now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Remembers an event; every callback of a test begins with it. */
static inline void record(const msg_Event *e) {
  CHECK(e->size == sizeof *e);
  CHECK(test_count < test_most);
  Seen *seen = &test_seen[test_count++];
  *seen = (Seen){e->type, e->code, e->conn.id, e->listener.id, e->next.id, e->request.id, e->context, e->get_context, "", e->data.count, e->undelivered};
  size_t kept = e->data.count < sizeof seen->text - 1 ? e->data.count : sizeof seen->text - 1;
  if (kept > 0) memcpy(seen->text, e->data.bytes, kept);
}

static inline void forget(void) { test_count = 0; }

/* How many events of a type came, for a connection or (id 0) for all. */
static inline int count_of(uint32_t type, msg_Conn conn) {
  int count = 0;
  for (int i = 0; i < test_count; i++) {
    count += test_seen[i].type == type && (conn.id == 0 || test_seen[i].conn == conn.id);
  }
  return count;
}

static const msg_Conn anyone = {0};

/* The first event of a type, for a connection or for all; the test fails without one. */
static inline const Seen *first_of(uint32_t type, msg_Conn conn) {
  for (int i = 0; i < test_count; i++) {
    if (test_seen[i].type == type && (conn.id == 0 || test_seen[i].conn == conn.id)) return &test_seen[i];
  }
  test_failed(__FILE__, __LINE__, msg_event_name(type));
  return NULL;
}

static inline int has_ended(msg_Conn conn) {
  return count_of(msg_connection_closed, conn) + count_of(msg_connection_lost, conn) +
             count_of(msg_connection_setup_error, conn) >
         0;
}

/* One letter per event of a connection or listener, in order: L listening, l its error, E its end, S setup, s its
   error, R ready, m message, q request, r reply, x reply missing, C closed, X lost, w writable, e error, d delivered,
   u undelivered. */
static inline const char *story_of(msg_Conn conn) {
  static const char letters[] = "?LlESsRmqrxCXwedu";
  static char stories[4][4096];
  static int turn;
  char *story = stories[turn++ % 4];
  size_t length = 0;
  for (int i = 0; i < test_count && length < sizeof stories[0] - 1; i++) {
    if (test_seen[i].conn == conn.id) story[length++] = letters[test_seen[i].type];
  }
  story[length] = 0;
  return story;
}

#define CHECK_STORY(conn, expected)                                                       \
  do {                                                                                    \
    const char *test_story = story_of(conn);                                              \
    if (strcmp(test_story, expected) != 0) test_failed(__FILE__, __LINE__, test_story);   \
  } while (0)

/* Listens on a free port of the loopback and waits until it does. */
static inline msg_Conn test_listen(msg_Box box, const char *transport, msg_Callback callback, const msg_Options *options) {
  char address[64];
  snprintf(address, sizeof address, "%s://127.0.0.1:0", transport);
  msg_Conn listener = msg_box_listen(box, address, callback, options);
  CHECK(listener.id != 0);
  WAIT_IN(box, count_of(msg_listening, listener) == 1, 2000);
  CHECK(msg_local_port(listener) > 0);
  return listener;
}

/* Connects to a listener on the loopback. */
static inline msg_Conn test_connect(msg_Box box, const char *transport, int port, msg_Callback callback, const msg_Options *options) {
  char address[64];
  snprintf(address, sizeof address, "%s://127.0.0.1:%d", transport, port);
  msg_Conn conn = msg_box_connect(box, address, callback, options);
  CHECK(conn.id != 0);
  return conn;
}

static inline const char *test_transport(int number) { return number == 0 ? "udp" : "tcp"; }

#define FOR_EACH_TRANSPORT(transport)                                                     \
  for (int test_number = 0; test_number < 2; test_number++)                               \
    for (const char *transport = test_transport(test_number); transport; transport = NULL)

#endif

/* A program that disconnects and ends at once, or just ends: its peer hears a close. A process that was forked from
   one with a box sends nothing for it. */
#include "test.h"

#include <pthread.h>
#include <sys/wait.h>

static void on_event(const msg_Event *e) { record(e); }

typedef enum { by_disconnect, by_return, by_exit_in_callback, by_thread_end, by_thread_exit_in_callback, by_destroy, ways } Way;
static Way way;

static void on_child_event(const msg_Event *e) {
  record(e);
  if (e->type == msg_connection_setup && way == by_exit_in_callback) exit(0);
  if (e->type == msg_connection_setup && way == by_thread_exit_in_callback) pthread_exit(NULL);
}

static void *connect_in_thread(void *address) {
  msg_Conn conn = msg_connect(address, on_child_event);
  WAIT_FOR(count_of(msg_connection_setup, conn) == 1, 5000);
  return NULL;
}

/* The life of the child, from its connection to its end. */
static void leave(char *address) {
  if (way == by_thread_end || way == by_thread_exit_in_callback) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, connect_in_thread, address) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    /* What the frames under a callback hold is lost with a thread that ends there; no leak checker follows this. */
    if (way == by_thread_exit_in_callback) execlp("true", "true", (char *)NULL);
    _exit(0);
  }
  msg_Conn conn = msg_connect(address, on_child_event);
  WAIT_FOR(count_of(msg_connection_setup, conn) == 1, 5000);
  if (way == by_disconnect) CHECK_CODE(msg_disconnect(conn), MSG_OK);
  if (way == by_destroy) {
    CHECK_CODE(msg_box_destroy(msg_default_box()), MSG_OK);
    _exit(0);
  }
  exit(0);
}

static void scenario(const char *transport) {
  int channel[2], port = 0;
  CHECK(pipe(channel) == 0);
  forget();
  pid_t child = fork(); /* before there is a box here */
  CHECK(child >= 0);
  if (child == 0) {
    CHECK(read(channel[0], &port, sizeof port) == sizeof port);
    char address[64];
    snprintf(address, sizeof address, "%s://127.0.0.1:%d", transport, port);
    leave(address);
  }
  msg_Conn listener = test_listen(msg_default_box(), transport, on_event, NULL);
  port = msg_local_port(listener);
  CHECK(write(channel[1], &port, sizeof port) == sizeof port);
  WAIT_FOR(count_of(msg_connection_ready, anyone) == 1, 5000);
  msg_Conn conn = {first_of(msg_connection_ready, anyone)->conn};
  WAIT_FOR(has_ended(conn), 5000);
  CHECK_STORY(conn, "RC");
  CHECK(first_of(msg_connection_closed, conn)->code == MSG_END_PEER);
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  CHECK_CODE(msg_box_destroy(msg_default_box()), MSG_OK);
  close(channel[0]);
  close(channel[1]);
}

/* The connection outlives a child that was forked with it and exits. */
static void forked_copy(const char *transport) {
  forget();
  msg_Conn listener = test_listen(msg_default_box(), transport, on_event, NULL);
  msg_Conn conn = test_connect(msg_default_box(), transport, msg_local_port(listener), on_event, NULL);
  WAIT_FOR(count_of(msg_connection_setup, conn) == 1, 2000);
  pid_t child = fork();
  if (child == 0) exit(0);
  int status = -1;
  CHECK(waitpid(child, &status, 0) == child && status == 0);
  RUN_FOR(50);
  CHECK(!has_ended(conn));
  CHECK_CODE(msg_send(conn, msg_text("still here")), MSG_OK);
  WAIT_FOR(count_of(msg_message, anyone) == 1, 2000);
  CHECK_CODE(msg_box_destroy(msg_default_box()), MSG_OK);
}

int main(void) {
  FOR_EACH_TRANSPORT(transport) {
    for (way = 0; way < ways; way++) scenario(transport);
    forked_copy(transport);
  }
  return 0;
}

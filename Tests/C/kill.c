/* A peer that is killed: each open get is missing, then its connection is lost once, in the time that the options
   say, on each transport and on each side. */
#include "test.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

enum { heartbeat_ms = 100, lost_ms = 1300 };

static msg_Options quick(void) {
  msg_Options options = MSG_OPTIONS_INIT;
  options.heartbeat_ms = heartbeat_ms;
  options.suspect_ms = 300;
  options.lost_ms = lost_ms;
  options.get_timeout_ms = 20000;
  return options;
}

static void on_event(const msg_Event *e) { record(e); }

/* The child's whole life: it answers nothing and is killed. Its port goes to the parent, or comes from it. */
static void run_server(const char *transport, int out) {
  msg_Options options = quick();
  msg_Conn listener = test_listen(msg_default_box(), transport, on_event, &options);
  int port = msg_local_port(listener);
  CHECK(write(out, &port, sizeof port) == sizeof port);
  RUN_FOR(20000);
}

static void run_client(const char *transport, int port, int out) {
  msg_Options options = quick();
  msg_Conn conn = test_connect(msg_default_box(), transport, port, on_event, &options);
  WAIT_FOR(count_of(msg_connection_setup, conn) == 1, 5000);
  CHECK(write(out, &port, sizeof port) == sizeof port);
  RUN_FOR(20000);
}

static void kill_and_wait(pid_t child, msg_Conn conn, const char *transport) {
  static int tags[3];
  for (int i = 0; i < 3; i++) CHECK_CODE(msg_get(conn, msg_text("anybody?"), &tags[i]), MSG_OK);
  CHECK(msg_runloop(0) >= 0);
  CHECK(kill(child, SIGKILL) == 0);
  CHECK(waitpid(child, NULL, 0) == child);
  int64_t start = test_now_ms();
  WAIT_FOR(has_ended(conn), lost_ms * 2 + heartbeat_ms + 500);
  int64_t took = test_now_ms() - start;
  CHECK(count_of(msg_reply_missing, conn) == 3);
  CHECK(count_of(msg_connection_lost, conn) == 1 && count_of(msg_connection_closed, conn) == 0);
  const char *story = story_of(conn);
  CHECK(strcmp(story + strlen(story) - 4, "xxxX") == 0);
  for (int i = 0; i < test_count; i++) {
    if (test_seen[i].type == msg_reply_missing) CHECK(test_seen[i].code == MSG_ERR_CONNECTION_ENDED);
  }
  int32_t code = first_of(msg_connection_lost, conn)->code;
  if (strcmp(transport, "tcp") == 0) {
    CHECK(code == MSG_ERR_RESET && took < 500); /* the kernel tells */
  } else {
    CHECK(code == MSG_ERR_TIMED_OUT || code == MSG_ERR_UNKNOWN_SESSION);
    CHECK(took >= lost_ms - 2 * heartbeat_ms - 100);
  }
  RUN_FOR(100);
  CHECK(count_of(msg_connection_lost, conn) == 1);
}

static void server_dies(const char *transport) {
  int channel[2], port = 0;
  CHECK(pipe(channel) == 0);
  pid_t child = fork();
  if (child == 0) {
    run_server(transport, channel[1]);
    _exit(1);
  }
  CHECK(read(channel[0], &port, sizeof port) == sizeof port);
  forget();
  msg_Options options = quick();
  msg_Conn conn = test_connect(msg_default_box(), transport, port, on_event, &options);
  WAIT_FOR(count_of(msg_connection_setup, conn) == 1, 5000);
  kill_and_wait(child, conn, transport);
  close(channel[0]);
  close(channel[1]);
}

static void client_dies(const char *transport) {
  int port_channel[2], ready_channel[2], port = 0;
  CHECK(pipe(port_channel) == 0 && pipe(ready_channel) == 0);
  /* The child is made before there is a box here: a box is not to be shared with it. */
  pid_t child = fork();
  if (child == 0) {
    CHECK(read(port_channel[0], &port, sizeof port) == sizeof port);
    run_client(transport, port, ready_channel[1]);
    _exit(1);
  }
  forget();
  msg_Options options = quick();
  msg_Conn listener = test_listen(msg_default_box(), transport, on_event, &options);
  port = msg_local_port(listener);
  CHECK(write(port_channel[1], &port, sizeof port) == sizeof port);
  WAIT_FOR(count_of(msg_connection_ready, anyone) == 1, 5000);
  msg_Conn conn = {first_of(msg_connection_ready, anyone)->conn};
  struct pollfd is_ready = {.fd = ready_channel[0], .events = POLLIN};
  int64_t limit = test_now_ms() + 5000;
  while (poll(&is_ready, 1, 0) == 0) {
    CHECK(test_now_ms() < limit && msg_runloop(20) >= 0);
  }
  kill_and_wait(child, conn, transport);
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, listener) == 1, 2000);
  close(port_channel[0]);
  close(port_channel[1]);
  close(ready_channel[0]);
  close(ready_channel[1]);
}

int main(void) {
  FOR_EACH_TRANSPORT(transport) {
    /* Each in a process of its own, so that every fork comes before the first box. */
    for (int side = 0; side < 2; side++) {
      pid_t child = fork();
      if (child == 0) {
        if (side == 0) server_dies(transport);
        else client_dies(transport);
        _exit(0);
      }
      int status = -1;
      CHECK(waitpid(child, &status, 0) == child);
      CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
  }
  return 0;
}

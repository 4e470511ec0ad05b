/* A forked process has the descriptors of its parent: what the parent closes neither keeps its loop from sleeping, nor
   does what happens on it later. */
#include "test.h"

#include <signal.h>
#include <sys/wait.h>

static void on_event(const msg_Event *e) { record(e); }

/* Turns of the loop in 300 ms in which nothing happens. */
static int idle_turns(void) {
  int turns = 0;
  int64_t end = test_now_ms() + 300;
  for (int64_t left; (left = end - test_now_ms()) > 0; turns++) CHECK(msg_runloop((int32_t)left) >= 0);
  return turns;
}

static void scenario(const char *transport) {
  forget();
  msg_Conn listener = test_listen(msg_default_box(), transport, on_event, NULL);
  char address[64];
  snprintf(address, sizeof address, "%s://127.0.0.1:%d", transport, msg_local_port(listener));
  msg_Conn conn = msg_connect(address, on_event);
  WAIT_FOR(count_of(msg_connection_setup, conn) == 1 && count_of(msg_connection_ready, anyone) == 1, 5000);
  int channel[2];
  CHECK(pipe(channel) == 0);
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) {
    close(channel[1]);
    char byte;
    while (read(channel[0], &byte, 1) < 0) {}
    _exit(0);
  }
  close(channel[0]);
  CHECK_CODE(msg_disconnect(conn), MSG_OK);
  WAIT_FOR(count_of(msg_connection_closed, anyone) == 2, 5000);
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, listener) == 1, 5000);
  CHECK(idle_turns() < 50);
  /* Whom the child's copy of the listener hears. */
  msg_Conn late = msg_connect(address, on_event);
  CHECK(idle_turns() < 50);
  CHECK_CODE(msg_disconnect(late), MSG_OK);
  close(channel[1]);
  CHECK(waitpid(child, NULL, 0) == child);
}

int main(void) {
  scenario("tcp");
  scenario("udp");
  return 0;
}

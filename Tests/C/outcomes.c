/* Each start has exactly one outcome, also when it fails or is given up. */
#include "test.h"

#include <arpa/inet.h>
#include <sys/socket.h>

static void on_event(const msg_Event *e) { record(e); }

/* A socket of the system on a free port of the loopback, which speaks nothing. */
static int silent_socket(int type, int *port) {
  int fd = socket(AF_INET, type, 0);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  CHECK(fd >= 0 && bind(fd, (struct sockaddr *)&address, length) == 0);
  CHECK(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
  *port = ntohs(address.sin_port);
  return fd;
}

static void bad_addresses(void) {
  static const char *bad[] = {"", "udp://", "udp://x", "http://x:1", "udp://1.2.3.4:65536", "tcp://1.2.3.4: 1", NULL};
  for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
    forget();
    msg_Conn conn = msg_connect(bad[i], on_event);
    msg_Conn listener = msg_listen(bad[i], on_event);
    CHECK(conn.id != 0 && listener.id != 0);
    CHECK(test_count == 0); /* never from inside the call */
    WAIT_FOR(test_count == 2, 2000);
    CHECK_STORY(conn, "s");
    CHECK_STORY(listener, "l");
    CHECK(test_seen[0].code == MSG_ERR_BAD_ADDRESS && test_seen[1].code == MSG_ERR_BAD_ADDRESS);
    CHECK_CODE(msg_send(conn, msg_text("x")), MSG_ERR_BAD_HANDLE);
  }
  forget();
  msg_Conn conn = msg_connect("udp://*:1", on_event);
  WAIT_FOR(test_count == 1, 2000);
  CHECK_STORY(conn, "s");
}

static void nobody_there(const char *transport) {
  int port, fd = silent_socket(strcmp(transport, "tcp") == 0 ? SOCK_STREAM : SOCK_DGRAM, &port);
  if (strcmp(transport, "tcp") == 0) CHECK(listen(fd, 4) == 0);
  msg_Options options = MSG_OPTIONS_INIT;
  options.connect_timeout_ms = 200;
  forget();
  int64_t start = test_now_ms();
  int tag;
  msg_Conn conn = test_connect(msg_default_box(), transport, port, on_event, &options);
  CHECK_CODE(msg_get(conn, msg_text("anybody?"), &tag), MSG_OK);
  CHECK_CODE(msg_get(conn, msg_text("hello?"), &tag), MSG_OK);
  WAIT_FOR(has_ended(conn), 3000);
  CHECK_STORY(conn, "xxs"); /* the missing ones come first */
  CHECK(first_of(msg_connection_setup_error, conn)->code == MSG_ERR_TIMED_OUT);
  CHECK(first_of(msg_reply_missing, conn)->get_context == &tag);
  int64_t took = test_now_ms() - start;
  CHECK(took >= 200 && took < 1500);
  close(fd);
}

static void refused(void) {
  int port, fd = silent_socket(SOCK_STREAM, &port); /* bound, but it does not listen */
  forget();
  msg_Conn conn = test_connect(msg_default_box(), "tcp", port, on_event, NULL);
  WAIT_FOR(has_ended(conn), 3000);
  CHECK_STORY(conn, "s");
  CHECK(first_of(msg_connection_setup_error, conn)->code == MSG_ERR_REFUSED);
  close(fd);
}

static void in_use(const char *transport) {
  forget();
  msg_Conn first = test_listen(msg_default_box(), transport, on_event, NULL);
  char address[64];
  snprintf(address, sizeof address, "%s://127.0.0.1:%d", transport, (int)msg_local_port(first));
  msg_Conn second = msg_listen(address, on_event);
  WAIT_FOR(count_of(msg_listening_error, second) == 1, 2000);
  CHECK(first_of(msg_listening_error, second)->code == MSG_ERR_ADDRESS_IN_USE);
  CHECK_CODE(msg_unlisten(first), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, first) == 1, 2000);
  /* Its port is free again. */
  msg_Conn third = msg_listen(address, on_event);
  WAIT_FOR(count_of(msg_listening, third) == 1, 2000);
  CHECK_CODE(msg_unlisten(third), MSG_OK);
  WAIT_FOR(count_of(msg_listening_ended, third) == 1, 2000);
  CHECK_STORY(second, "l");
  CHECK_STORY(third, "LE");
}

static void given_up(const char *transport) {
  int port, fd = silent_socket(strcmp(transport, "tcp") == 0 ? SOCK_STREAM : SOCK_DGRAM, &port);
  if (strcmp(transport, "tcp") == 0) CHECK(listen(fd, 4) == 0);
  forget();
  msg_Conn conn = test_connect(msg_default_box(), transport, port, on_event, NULL);
  CHECK_CODE(msg_get(conn, msg_text("x"), NULL), MSG_OK);
  CHECK_CODE(msg_disconnect(conn), MSG_OK);
  CHECK_CODE(msg_disconnect(conn), MSG_ERR_ENDED);
  char address[64];
  snprintf(address, sizeof address, "%s://127.0.0.1:0", transport);
  msg_Conn listener = msg_listen(address, on_event);
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  CHECK(test_count == 0);
  WAIT_FOR(test_count == 3, 2000);
  CHECK_STORY(conn, "xs");
  CHECK_STORY(listener, "l");
  CHECK(first_of(msg_connection_setup_error, conn)->code == MSG_ERR_CANCELLED);
  CHECK(first_of(msg_listening_error, listener)->code == MSG_ERR_CANCELLED);
  RUN_FOR(50);
  CHECK(test_count == 3);
  close(fd);
}

static void no_such_name(void) {
  forget();
  msg_Conn conn = msg_connect("tcp://no-such-host.invalid:1", on_event);
  WAIT_FOR(has_ended(conn), 12000);
  CHECK_STORY(conn, "s");
  int32_t code = first_of(msg_connection_setup_error, conn)->code;
  CHECK(code == MSG_ERR_RESOLVE || code == MSG_ERR_TIMED_OUT);
}

int main(void) {
  bad_addresses();
  refused();
  no_such_name();
  FOR_EACH_TRANSPORT(transport) {
    nobody_there(transport);
    in_use(transport);
    given_up(transport);
  }
  return 0;
}

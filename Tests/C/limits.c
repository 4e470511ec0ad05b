/* The limits of the process, hit on purpose: without descriptors or memory a start fails with its code, and works once
   there are some again. */
#include "test.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>

static void on_event(const msg_Event *e) {
  record(e);
  if (e->type == msg_message) CHECK_CODE(msg_send(e->conn, e->data), MSG_OK);
}

static void limit(int resource, rlim_t most) {
  struct rlimit limits;
  CHECK(getrlimit(resource, &limits) == 0);
  limits.rlim_cur = most;
  CHECK(setrlimit(resource, &limits) == 0);
}

/* The number that the next descriptor gets. */
static rlim_t next_descriptor(void) {
  int fd = dup(0);
  CHECK(fd >= 0);
  close(fd);
  return (rlim_t)fd;
}

static void descriptors(const char *transport) {
  struct rlimit before;
  CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
  msg_Box box = msg_default_box();
  msg_Conn listener = test_listen(box, transport, on_event, NULL);
  int port = msg_local_port(listener);

  rlim_t next = next_descriptor();
  limit(RLIMIT_NOFILE, next);
  CHECK(msg_box_create().id == 0);
  CHECK(msg_waker_create(box) == NULL);
  msg_Conn none = test_connect(box, transport, port, on_event, NULL);
  char address[64];
  snprintf(address, sizeof address, "%s://127.0.0.1:0", transport);
  msg_Conn deaf = msg_box_listen(box, address, on_event, NULL);
  WAIT_FOR(has_ended(none) && count_of(msg_listening_error, deaf) == 1, 2000);
  CHECK(first_of(msg_connection_setup_error, none)->code == MSG_ERR_NO_DESCRIPTORS);
  CHECK(first_of(msg_listening_error, deaf)->code == MSG_ERR_NO_DESCRIPTORS);

  /* One descriptor: over TCP it is the client's, and the server has to shed the connection. */
  limit(RLIMIT_NOFILE, next + 1);
  msg_Conn one = test_connect(box, transport, port, on_event, NULL);
  int is_tcp = strcmp(transport, "tcp") == 0;
  WAIT_FOR(is_tcp ? has_ended(one) : count_of(msg_connection_setup, one) == 1, 2000);
  if (is_tcp) CHECK(first_of(msg_error, listener)->code == MSG_ERR_NO_DESCRIPTORS);

  limit(RLIMIT_NOFILE, before.rlim_cur);
  msg_Conn good = test_connect(box, transport, port, on_event, NULL);
  WAIT_FOR(count_of(msg_connection_setup, good) == 1, 5000);
  CHECK_CODE(msg_disconnect(good), MSG_OK);
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(has_ended(good) && count_of(msg_listening_ended, listener) == 1, 5000);
  forget();
}

static int is_in_valgrind(void) {
  const char *preloaded = getenv("LD_PRELOAD");
  return preloaded && strstr(preloaded, "vgpreload");
}

static int descriptors_below(int most) {
  int count = 0;
  for (int fd = 0; fd < most; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

/* Leaves the process so many descriptors that are free. */
static void leave_descriptors(int count) {
  int most = 0;
  while (most - descriptors_below(most) < count) most++;
  limit(RLIMIT_NOFILE, (rlim_t)most);
}

/* Connects while the process has no more descriptors than the client needs, and `more`. */
static msg_Conn join(msg_Box box, int port, int more) {
  leave_descriptors(1 + more);
  msg_Conn client = test_connect(box, "tcp", port, on_event, NULL);
  WAIT_FOR(count_of(msg_connection_setup, client) == 1, 2000);
  return client;
}

/* A stream that says nothing. */
static int silent_stream(int port) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int fd = socket(AF_INET, SOCK_STREAM, 0);
  CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
  return fd;
}

/* Silent streams have all descriptors: the oldest makes way for a client, and no other. Not in valgrind, which keeps the
   table and the limit of descriptors itself. */
static void silent_streams(void) {
  if (is_in_valgrind()) return;
  struct rlimit before;
  CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
  msg_Box box = msg_default_box();
  msg_Conn listener = test_listen(box, "tcp", on_event, NULL);
  int port = msg_local_port(listener);
  int silent[3];
  for (int i = 0; i < 3; i++) {
    silent[i] = silent_stream(port);
    int count = descriptors_below(256);
    WAIT_FOR(descriptors_below(256) == count + 1, 2000);
  }
  char byte;
  /* Who takes the last one takes nobody else's. */
  msg_Conn last = join(box, port, 1);
  CHECK(count_of(msg_error, listener) == 0);
  CHECK(recv(silent[0], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
  msg_Conn one_more = join(box, port, 0);
  CHECK(count_of(msg_error, listener) == 1);
  CHECK(recv(silent[0], &byte, 1, MSG_DONTWAIT) == 0);
  for (int i = 1; i < 3; i++) CHECK(recv(silent[i], &byte, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);

  limit(RLIMIT_NOFILE, before.rlim_cur);
  for (int i = 0; i < 3; i++) close(silent[i]);
  CHECK_CODE(msg_disconnect(last), MSG_OK);
  CHECK_CODE(msg_disconnect(one_more), MSG_OK);
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_FOR(has_ended(last) && has_ended(one_more) && count_of(msg_listening_ended, listener) == 1, 5000);
  forget();
}

/* A box holds 2 MiB for what is received, which only the pages that are used cost; a process that may have no more
   address space gets an error for it, before anything else is asked for. */
static void memory(void) {
  if (is_in_valgrind()) return;
  struct rlimit before;
  CHECK(getrlimit(RLIMIT_AS, &before) == 0);
  long pages = 0;
  FILE *file = fopen("/proc/self/statm", "r");
  CHECK(file && fscanf(file, "%ld", &pages) == 1);
  fclose(file);
  limit(RLIMIT_AS, (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (3 << 19));
  msg_Box none = msg_box_create();
  limit(RLIMIT_AS, before.rlim_cur);
  CHECK(none.id == 0);
  msg_Box box = msg_box_create();
  CHECK(box.id != 0);
  CHECK_CODE(msg_box_destroy(box), MSG_OK);
}

int main(void) {
  FOR_EACH_TRANSPORT(transport) descriptors(transport);
  silent_streams();
  memory();
  CHECK_CODE(msg_box_destroy(msg_default_box()), MSG_OK);
  return 0;
}

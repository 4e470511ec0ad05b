/* 1000 connections one after the other, each with a message and a get, leave the memory and the descriptors flat. */
#include "test.h"

#include <dirent.h>
#include <malloc.h>

/* What is left of a connection goes when the rotation of heartbeats comes by. */
static msg_Options options = MSG_OPTIONS_INIT;

static void on_event(const msg_Event *e) {
  record(e);
  if (e->type == msg_request) CHECK_CODE(msg_answer(e->request, e->data), MSG_OK);
}

static size_t bytes_in_use(void) {
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

static int descriptors(void) {
  int count = 0;
  DIR *directory = opendir("/proc/self/fd");
  CHECK(directory != NULL);
  while (readdir(directory)) count++;
  closedir(directory);
  return count;
}

static void round_trip(msg_Box box, const char *transport, int port) {
  forget();
  msg_Conn conn = test_connect(box, transport, port, on_event, &options);
  CHECK_CODE(msg_send(conn, msg_text("hello")), MSG_OK);
  CHECK_CODE(msg_get(conn, msg_text("question"), NULL), MSG_OK);
  WAIT_IN(box, count_of(msg_reply, conn) == 1, 2000);
  CHECK_CODE(msg_disconnect(conn), MSG_OK);
  WAIT_IN(box, count_of(msg_connection_closed, anyone) == 2, 2000);
}

static void rounds(const char *transport, int warm_up, int count) {
  forget();
  msg_Box box = msg_box_create();
  CHECK(box.id != 0);
  msg_Conn listener = test_listen(box, transport, on_event, &options);
  int port = msg_local_port(listener);
  /* Tables and pools reach their size first: UDP keeps the latest 4096 ends for 30 s. */
  for (int i = 0; i < warm_up; i++) round_trip(box, transport, port);
  size_t bytes = bytes_in_use();
  int files = descriptors();
  for (int i = 0; i < count; i++) round_trip(box, transport, port);
  size_t growth = bytes_in_use() > bytes ? bytes_in_use() - bytes : 0;
  if (growth > 64 * 1024 || descriptors() > files + 2) {
    fprintf(stderr, "%s: %zu bytes and %d descriptors more\n", transport, growth, descriptors() - files);
    test_failed(__FILE__, __LINE__, "flat");
  }
  msg_Statistics statistics = {.size = sizeof statistics};
  CHECK_CODE(msg_box_statistics(box, &statistics), MSG_OK);
  CHECK(statistics.connections == 0 && statistics.listeners == 1);
  CHECK(statistics.gets_waiting == 0 && statistics.requests_open == 0 && statistics.pending_hellos == 0);
  CHECK_CODE(msg_unlisten(listener), MSG_OK);
  WAIT_IN(box, count_of(msg_listening_ended, listener) == 1, 2000);
  CHECK_CODE(msg_box_destroy(box), MSG_OK);
}

/* Boxes, too, leave nothing behind. */
static void boxes(int count) {
  size_t bytes = 0;
  int files = 0;
  for (int i = 0; i < count; i++) {
    if (i == count / 2) bytes = bytes_in_use(), files = descriptors();
    forget();
    msg_Box box = msg_box_create();
    CHECK(box.id != 0);
    msg_Conn listener = test_listen(box, "udp", on_event, NULL);
    msg_Conn conn = test_connect(box, "udp", msg_local_port(listener), on_event, NULL);
    WAIT_IN(box, count_of(msg_connection_setup, conn) == 1, 2000);
    CHECK_CODE(msg_box_destroy(box), MSG_OK);
  }
  CHECK(descriptors() <= files);
  CHECK(bytes_in_use() < bytes + 64 * 1024);
}

int main(int argc, char **argv) {
  /* A checker of memory wants fewer. */
  options.heartbeat_ms = 20;
  int count = argc > 1 ? atoi(argv[1]) : 1000;
  FOR_EACH_TRANSPORT(transport) rounds(transport, argc > 1 ? count : 4200, count);
  boxes(count / 10);
  return 0;
}

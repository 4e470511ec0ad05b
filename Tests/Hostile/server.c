#include "server.h"

#include <malloc.h>
#include <signal.h>

enum { most_ready = 4096, largest_message = 1 << 20, held_bytes = 16 << 20, finish_ms = 20000 };

static ServerReport report;
static msg_Conn listeners[3];
static int listening, ended_listeners;
static int64_t ready_times[most_ready];

const char *address_of(const char *transport, int port) {
  static char address[4][64];
  static int turn;
  char *text = address[turn++ % 4];
  snprintf(text, sizeof address[0], "%s://127.0.0.1:%d", transport, port);
  return text;
}

/* The context of a connection is the number that its next numbered message must have. */
static void take(const msg_Event *e) {
  uint32_t head[2];
  report.messages++;
  if (e->data.count < sizeof head) return;
  memcpy(head, e->data.bytes, sizeof head);
  if (head[0] != numbered_mark) return;
  uintptr_t next = (uintptr_t)e->context;
  report.numbered++;
  if (head[1] != next) report.disorder++;
  CHECK_CODE(msg_set_context(e->conn, (void *)(next + 1)), MSG_OK);
}

static void answer(const msg_Event *e) {
  uint8_t mark = e->data.count > 0 ? *(const uint8_t *)e->data.bytes : 0;
  report.requests++;
  report.counted += mark == counted_mark;
  if (mark == unanswered_mark) return;
  if (msg_answer(e->request, e->data) == MSG_OK) return;
  report.given_up++;
  (void)msg_abort(e->conn);
}

static void on_event(const msg_Event *e) {
  switch (e->type) {
  case msg_listening: listening++; break;
  case msg_connection_ready:
    if (report.ready < most_ready) ready_times[report.ready] = now_ns();
    report.ready++;
    CHECK_CODE(msg_set_context(e->conn, NULL), MSG_OK);
    break;
  case msg_message: take(e); break;
  case msg_request: answer(e); break;
  case msg_connection_closed:
  case msg_connection_lost: report.ended++; break;
  case msg_listening_ended: ended_listeners++; break;
  case msg_error:
  case msg_writable: break;
  default: test_failed(__FILE__, __LINE__, msg_event_name(e->type));
  }
}

static void listen_on(int index, const char *transport, int port, const ServerSettings *settings) {
  msg_Options options = MSG_OPTIONS_INIT;
  options.heartbeat_ms = settings->heartbeat_ms;
  options.suspect_ms = settings->heartbeat_ms * 2;
  options.lost_ms = settings->lost_ms;
  options.max_message_bytes = largest_message;
  options.implicit_peers = index == 2;
  listeners[index] = msg_box_listen(msg_default_box(), address_of(transport, port), on_event, &options);
  CHECK(listeners[index].id != 0);
}

static int port_of(int index) { return listeners[index].id != 0 ? msg_local_port(listeners[index]) : -1; }

static void tell(int control) {
  report.resident_kib = resident_kib(getpid());
  report.descriptors = (uint64_t)descriptors_of(getpid());
  struct mallinfo2 heap = mallinfo2();
  report.heap_kib = (uint64_t)(heap.uordblks + heap.hblkhd) / 1024;
  report.statistics.size = sizeof report.statistics;
  CHECK_CODE(msg_box_statistics(msg_default_box(), &report.statistics), MSG_OK);
  for (uint32_t reason = 0; reason < drop_reasons; reason++)
    report.drops[reason] = msg_box_drops(msg_default_box(), reason);
  answer_command(control, &report, sizeof report);
}

static void broadcast(int control, size_t bytes) {
  static uint8_t content[largest_message];
  msg_SendOptions options = MSG_SEND_OPTIONS_INIT;
  options.flags = MSG_SEND_RELIABLE;
  uint64_t reached = 0;
  for (int i = 0; i < 2; i++) {
    int32_t count = msg_broadcast(listeners[i], msg_data(content, bytes), &options, NULL, NULL);
    CHECK(count >= 0);
    reached += (uint64_t)count;
  }
  answer_command(control, &reached, sizeof reached);
}

static void finish(int control) {
  int count = 0;
  for (int i = 0; i < 3; i++) {
    if (listeners[i].id == 0) continue;
    CHECK_CODE(msg_unlisten(listeners[i]), MSG_OK);
    count++;
  }
  WAIT_FOR(ended_listeners == count, finish_ms);
  CHECK(report.ready == report.ended);
  tell(control);
}

static void run(int control, const void *given) {
  const ServerSettings *settings = given;
  msg_BoxOptions box = MSG_BOX_OPTIONS_INIT;
  box.receive_bytes = held_bytes;
  CHECK_CODE(msg_box_set_options(msg_default_box(), &box), MSG_OK);
  listen_on(0, "udp", settings->udp_port, settings);
  listen_on(1, "tcp", settings->tcp_port, settings);
  if (settings->implicit_port >= 0) listen_on(2, "udp", settings->implicit_port, settings);
  WAIT_FOR(listening == (settings->implicit_port >= 0 ? 3 : 2), 5000);
  Ports ports = {port_of(0), port_of(1), port_of(2)};
  answer_command(control, &ports, sizeof ports);
  Command command;
  while (next_command(control, &command, 1000, NULL)) {
    if (command.what == 'r') tell(control);
    if (command.what == 'b') broadcast(control, (size_t)command.value);
    if (command.what == 't') answer_command(control, ready_times, sizeof ready_times);
    if (command.what == 'f') finish(control);
  }
}

Process server_start(const ServerSettings *settings, Ports *ports) {
  Process server = process_start(run, settings);
  process_hear(&server, ports, sizeof *ports);
  return server;
}

ServerReport server_report(const Process *server) {
  ServerReport answer;
  process_ask(server, 'r', 0, &answer, sizeof answer);
  return answer;
}

uint64_t server_broadcast(const Process *server, uint64_t bytes) {
  uint64_t reached;
  process_ask(server, 'b', bytes, &reached, sizeof reached);
  return reached;
}

int server_ready_times(const Process *server, int64_t *times, int room) {
  static int64_t all[most_ready];
  process_ask(server, 't', 0, all, sizeof all);
  int count = 0;
  for (; count < most_ready && count < room && all[count] != 0; count++) times[count] = all[count];
  return count;
}

void server_finish(Process *server) {
  ServerReport left;
  process_ask(server, 'f', 0, &left, sizeof left);
  const msg_Statistics *holds = &left.statistics;
  CHECK(holds->connections == 0 && holds->listeners == 0 && holds->pending_hellos == 0);
  CHECK(holds->gets_waiting == 0 && holds->requests_open == 0);
  CHECK(holds->queued_messages == 0 && holds->queued_bytes == 0 && holds->incomplete_bytes == 0);
  process_finish(server);
}

void print_drops(FILE *file, const ServerReport *from, const ServerReport *to) {
  for (uint32_t reason = 0; msg_drop_name(reason) != NULL && reason < drop_reasons; reason++) {
    uint64_t count = to->drops[reason] - from->drops[reason];
    if (count > 0) fprintf(file, " %s %llu", msg_drop_name(reason), (unsigned long long)count);
  }
  fprintf(file, "\n");
}
